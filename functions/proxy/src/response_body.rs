//! The bodies of responses, and their one end: the log of a request is written after the last byte and before
//! the end of its body.
//!
//! A message that breaks off gets an `error` event, and never a clean end without `message_stop`, which the
//! SDKs would take for a whole message. Anything else that breaks off is an error of the body.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};

use async_stream::stream;
use bytes::Bytes;
use dialect::sse;
use domain::id::RequestId;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, StreamExt as _};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;

use crate::request_log::{Outcome, RequestLog};

/// A download broke off, and its format cannot report that. A server aborts the connection; the Lambda
/// runtime would write the error into the body as text, so there the body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer broke off upstream")]
pub(crate) struct Truncated;

/// A body of a response. It fails only where a download breaks off ([`Truncated`]).
pub(crate) type Body = UnsyncBoxBody<Bytes, Truncated>;

/// What the client reads when a message breaks off. Claude Code goes on by itself after it.
pub(crate) const BROKE_OFF: &str =
    "The answer broke off upstream. Sending the request again usually helps.";

/// Where the bytes of a body come from.
#[derive(Debug)]
pub(crate) enum BodySource {
    /// All of it is there.
    Full {
        bytes: Bytes,
        /// How the request ends with it.
        outcome: Outcome,
    },
    /// It comes piece by piece.
    Streamed(Box<dyn StreamedBody>),
}

/// The next piece of a streamed body, or its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Chunk(Bytes),
    /// The end of the body.
    End(Outcome),
    /// The body breaks off.
    Truncated,
}

/// Makes the body of a response. It owns the log and is the only place that finishes it: for a body that is all
/// there, before it leaves; for a stream, after its last byte and before its end. The log of a body that the
/// client drops goes to the tasks of the proxy.
pub(crate) fn logged_body(source: BodySource, log: RequestLog) -> Body {
    let (frames, remaining) = match source {
        BodySource::Full { bytes, outcome } => {
            let length = u64::try_from(bytes.len()).ok();
            (full(bytes, outcome, log), length)
        }
        BodySource::Streamed(body) => (body.into_frames(log), None),
    };
    LoggedBody { frames, remaining }.boxed_unsync()
}

/// The frames of a body.
pub(crate) type Frames = BoxStream<'static, Result<Frame<Bytes>, Truncated>>;

fn full(bytes: Bytes, outcome: Outcome, mut log: RequestLog) -> Frames {
    log.set_outcome_if_dropped(outcome);
    let frames = stream! {
        log.finish(outcome);
        if !bytes.is_empty() {
            yield Ok(Frame::data(bytes));
        }
    };
    frames.boxed()
}

/// A body that comes piece by piece, as a trait object.
pub(crate) trait StreamedBody: std::fmt::Debug + Send {
    /// The frames of the body, which own the log.
    fn into_frames(self: Box<Self>, log: RequestLog) -> Frames;
}

impl<P: Pieces> StreamedBody for P {
    fn into_frames(self: Box<Self>, log: RequestLog) -> Frames {
        streamed(self, log)
    }
}

/// The pieces of a body.
pub(crate) trait Pieces: std::fmt::Debug + Send + 'static {
    /// Waits for the next piece, and records in the log what it shows.
    fn next(&mut self, log: &mut RequestLog) -> impl Future<Output = Next> + Send;

    /// The end of the body when a defect of Spillway ends it.
    fn end_at_panic(&self, request_id: &RequestId) -> Result<Bytes, Truncated>;
}

/// The frames of a streamed body. A panic ends in an `error` event or a broken body instead of a clean end.
fn streamed(mut body: Box<impl Pieces>, mut log: RequestLog) -> Frames {
    let frames = stream! {
        loop {
            match AssertUnwindSafe(body.next(&mut log)).catch_unwind().await {
                Ok(Next::Chunk(chunk)) => yield Ok(Frame::data(chunk)),
                Ok(Next::End(outcome)) => {
                    log.finish(outcome);
                    break;
                }
                Ok(Next::Truncated) => {
                    log.finish(Outcome::UpstreamFailed);
                    yield Err(Truncated);
                    break;
                }
                Err(_) => {
                    let end = body.end_at_panic(log.request_id());
                    log.finish(Outcome::Panicked);
                    yield end.map(Frame::data);
                    break;
                }
            }
        }
    };
    frames.boxed()
}

/// Frames with the number of bytes that remain, where it is known.
struct LoggedBody {
    frames: Frames,
    remaining: Option<u64>,
}

impl http_body::Body for LoggedBody {
    type Data = Bytes;
    type Error = Truncated;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Truncated>>> {
        let polled = self.frames.poll_next_unpin(context);
        if let (Poll::Ready(Some(Ok(frame))), Some(remaining)) = (&polled, self.remaining) {
            let sent = frame.data_ref().map_or(0, Bytes::len);
            let sent = u64::try_from(sent).unwrap_or(u64::MAX);
            self.remaining = Some(remaining.saturating_sub(sent));
        }
        polled
    }

    fn size_hint(&self) -> SizeHint {
        self.remaining
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// The `error` event with which a message ends when a defect of Spillway ends it.
pub(crate) fn panic_event(request_id: &RequestId) -> Bytes {
    let mut out = HALF_EVENT_ENDS.to_vec();
    sse::error_event(&mut out, "api_error", BROKE_OFF, request_id.as_str());
    Bytes::from(out)
}

/// Ends an event that broke off, so that no client reads its half: of several `event:` lines the last
/// one counts, and events that a client does not know are skipped.
pub(crate) const HALF_EVENT_ENDS: &[u8] = b"\nevent: broken_off\n\n";

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dialect::sse::SseReader;
    use service::clock::Clock;

    use super::*;
    use crate::request_kind::RequestKind;

    /// A message that panics after half an event.
    #[derive(Debug)]
    struct Panicking {
        has_begun: bool,
    }

    impl Pieces for Panicking {
        async fn next(&mut self, _log: &mut RequestLog) -> Next {
            assert!(!self.has_begun, "a defect");
            self.has_begun = true;
            Next::Chunk(Bytes::from_static(b"event: ping\ndata: {\"ty"))
        }

        fn end_at_panic(&self, request_id: &RequestId) -> Result<Bytes, Truncated> {
            Ok(panic_event(request_id))
        }
    }

    fn log() -> RequestLog {
        let (clock, id) = (Clock::system(), "req_1".parse().unwrap());
        RequestLog::begin(clock, Arc::default(), id, RequestKind::StreamedMessage)
    }

    #[tokio::test]
    async fn panic_ends_a_message_with_an_error_event() {
        let frames = streamed(Box::new(Panicking { has_begun: false }), log());
        let remaining = None;
        let body = LoggedBody { frames, remaining }.collect().await.unwrap();
        let text = String::from_utf8(body.to_bytes().to_vec()).unwrap();
        let mut seen = Vec::new();
        SseReader::new(1000).push(text.as_bytes(), |event| seen.push(event.name.to_owned()));
        assert_eq!(
            seen,
            ["broken_off", "error"],
            "no client reads a half event: {text}"
        );
        assert!(text.contains("req_1"), "{text}");
    }
}
