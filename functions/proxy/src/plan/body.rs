//! Reads the bodies of Plan's responses: all of a JSON body, an event stream until it has content.

use bytes::{Bytes, BytesMut};
use dialect::sse;
use dialect::stream_start::{StreamStart, StreamStartReader};
use domain::id::RequestId;
use domain::verdict::BodyStart;
use http::StatusCode;
use tokio::time::{Instant, timeout_at};

use super::failure::PlanFailure;

/// A response that is not a stream is read whole before it is passed on, up to this size, so that one
/// that breaks off becomes an error and not half an answer.
const BUFFERED_BYTES: usize = 8 * 1024 * 1024;

/// What is to come of a stream.
#[derive(Debug)]
pub(crate) enum RemainingBody {
    Open(reqwest::Response),
    /// It has ended in good order.
    Ended,
    /// It broke off, or is given up.
    Broken,
}

/// A body, as far as it was read.
pub(super) struct ReadBody {
    pub(super) start: BodyStart<Bytes>,
    pub(super) buffered: Vec<Bytes>,
    pub(super) rest: RemainingBody,
}

impl ReadBody {
    /// A stream that passes as it comes.
    pub(super) fn passing(response: reqwest::Response) -> Self {
        Self::stream(
            BodyStart::Content,
            Vec::new(),
            RemainingBody::Open(response),
        )
    }

    fn stream(start: BodyStart<Bytes>, buffered: Vec<Bytes>, rest: RemainingBody) -> Self {
        Self {
            start,
            buffered,
            rest,
        }
    }

    /// A body of which no more is to come.
    fn ended(start: BodyStart<Bytes>) -> Self {
        Self::stream(start, Vec::new(), RemainingBody::Ended)
    }

    /// A body that is too large to be read whole.
    fn large(read: BytesMut, response: reqwest::Response) -> Self {
        let rest = RemainingBody::Open(response);
        Self::stream(BodyStart::Content, vec![read.freeze()], rest)
    }
}

/// Reads a body to its end by `until`, or the first [`BUFFERED_BYTES`] of it.
pub(super) async fn whole_body(
    mut response: reqwest::Response,
    until: Instant,
) -> Result<ReadBody, PlanFailure> {
    let mut read = BytesMut::new();
    loop {
        match timeout_at(until, response.chunk()).await {
            Err(_) => return Err(PlanFailure::Timeout),
            Ok(Err(error)) => return Err(PlanFailure::from(&error)),
            Ok(Ok(None)) => return Ok(ReadBody::ended(BodyStart::Whole(read.freeze()))),
            Ok(Ok(Some(piece))) => read.extend_from_slice(&piece),
        }
        if read.len() >= BUFFERED_BYTES {
            return Ok(ReadBody::large(read, response));
        }
    }
}

/// Reads the body of an error, or as much of it as comes in time.
pub(super) async fn error_body(mut response: reqwest::Response, until: Instant) -> ReadBody {
    let mut read = BytesMut::new();
    loop {
        match timeout_at(until, response.chunk()).await {
            Ok(Ok(Some(piece))) => read.extend_from_slice(&piece),
            Ok(Ok(None)) => return ReadBody::ended(BodyStart::Whole(read.freeze())),
            Ok(Err(_)) | Err(_) => return ReadBody::ended(BodyStart::Part(read.freeze())),
        }
        if read.len() >= BUFFERED_BYTES {
            return ReadBody::large(read, response);
        }
    }
}

/// Buffers a stream until it has come to its content, and lets it go at `let_go_at` even if it has not: the
/// client must not wait longer without a byte. After `until`, the first-byte deadline, it is given up. The
/// bytes are kept as they came.
pub(super) async fn buffer_until_content(
    mut response: reqwest::Response,
    until: Instant,
    let_go_at: Instant,
) -> ReadBody {
    let mut watch = StreamStartReader::default();
    let mut buffered = Vec::new();
    let (start, rest) = loop {
        if let_go_at < until && Instant::now() >= let_go_at {
            break (BodyStart::Pending, RemainingBody::Open(response));
        }
        let piece = match timeout_at(until.min(let_go_at), response.chunk()).await {
            Ok(Ok(Some(piece))) => piece,
            Ok(Ok(None)) => break (BodyStart::Nothing, RemainingBody::Ended),
            Err(_) if let_go_at < until => {
                break (BodyStart::Pending, RemainingBody::Open(response));
            }
            Ok(Err(_)) | Err(_) => break (BodyStart::Nothing, RemainingBody::Broken),
        };
        let start = watch.push(&piece);
        buffered.push(piece);
        let start = match start {
            None => continue,
            Some(StreamStart::Content | StreamStart::LimitReached) => BodyStart::Content,
            Some(StreamStart::Error(data)) => BodyStart::ErrorEvent(data.into()),
        };
        break (start, RemainingBody::Open(response));
    };
    ReadBody::stream(start, buffered, rest)
}

/// The body of an error of Plan whose own body did not arrive. Its type follows from the status
/// (<https://platform.claude.com/docs/en/api/errors>).
pub(super) fn incomplete_error(status: StatusCode, id: &RequestId) -> Bytes {
    let error_type = match status.as_u16() {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        529 => "overloaded_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    };
    let message = format!(
        "Anthropic answered with status {}, and the rest of its answer did not arrive.",
        status.as_u16()
    );
    sse::error_body(error_type, &message, id.as_str()).into()
}
