//! Reads the bodies of requests.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::time::{Instant, timeout, timeout_at};

use crate::BODY_LIMIT_BYTES;
use crate::error_response::ErrorResponse;

/// How much of a refused request's body is read and thrown away. A connection that is closed on unread
/// bytes is reset, and the client may lose the answer.
const DRAINED_BYTES: usize = 4 * 1024 * 1024;
/// For how long.
const DRAINED_FOR: Duration = Duration::from_secs(2);

/// Reads a whole body, of which a piece comes at least every `idle`, and all by `until`.
pub(crate) async fn read(
    body: &mut Body,
    idle: Duration,
    until: Instant,
) -> Result<Bytes, ErrorResponse> {
    let mut limited = Limited::new(body, BODY_LIMIT_BYTES);
    let mut read = BytesMut::new();
    loop {
        let Ok(Ok(frame)) = timeout_at(until, timeout(idle, limited.frame())).await else {
            return Err(ErrorResponse::slow_request());
        };
        match frame {
            None => return Ok(read.freeze()),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    read.extend_from_slice(&data);
                }
            }
            Some(Err(error)) if error.is::<LengthLimitError>() => {
                return Err(ErrorResponse::too_large(BODY_LIMIT_BYTES));
            }
            Some(Err(_)) => return Err(ErrorResponse::incomplete_request()),
        }
    }
}

/// Reads a little more of a body and throws it away.
pub(crate) async fn drain(body: &mut Body) {
    let mut left = DRAINED_BYTES;
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            left = match left.checked_sub(bytes) {
                Some(left) => left,
                None => return,
            };
        }
    };
    // A longer body is not read to its end.
    let _ = timeout(DRAINED_FOR, reading).await;
}
