//! Bodies that are streamed to the client. A message that breaks off gets an `error` event, and never a
//! clean end without `message_stop`, which the SDKs would take for a whole answer. Anything else that breaks
//! off is an error of the body.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use async_stream::stream;
use bytes::Bytes;
use dialect::sse::{self, SseReader};
use dialect::stream_start;
use domain::id::RequestId;
use futures_util::{FutureExt as _, Stream, StreamExt as _};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use tokio::time::{Instant, timeout, timeout_at};

use crate::plan::Rest;
use crate::record::{Outcome, Record};
use crate::reply::{Body, Truncated};

/// What the client reads when an answer breaks off. Claude Code goes on by itself after it.
pub(crate) const BROKE_OFF: &str =
    "The answer broke off upstream. Sending the request again usually helps.";

/// Anthropic's error type for a stream that broke after its first content: Claude Code resumes from it
/// by itself.
const RESUMED_FROM: &str = "overloaded_error";

/// The type for one that broke before any content: Claude Code asks again without streaming, at once. From
/// `overloaded_error` it would try the stream again, up to three times, which is more than it does when a
/// stream simply ends.
const ASKED_AGAIN: &str = "api_error";

/// Whether a passing stream must end like an answer of the Messages API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// `message_stop` or `error` comes last. Without it an `error` event is added.
    Message,
    /// Nothing is known of the stream. Where it breaks off, the connection is aborted.
    Any,
}

/// How long a stream may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Between two pieces.
    pub(crate) idle: Duration,
    /// For everything.
    pub(crate) until: Instant,
}

impl Patience {
    /// Waits for the next piece; `None` when it does not come in time.
    pub(crate) async fn wait<T>(&self, next: impl Future<Output = T>) -> Option<T> {
        timeout_at(self.until, timeout(self.idle, next))
            .await
            .ok()?
            .ok()
    }
}

/// Passes a stream of Plan's on, piece by piece as it comes, unchanged: what was held of it, and the
/// rest.
pub(crate) fn pass_through(
    held: Vec<Bytes>,
    rest: Rest,
    ending: Ending,
    patience: Patience,
    mut record: Record,
) -> Body {
    let request_id = record.request_id().clone();
    let guarded_id = request_id.clone();
    let pieces = stream! {
        let mut watch = Watch::new();
        for piece in held {
            watch.see(&piece);
            yield Ok(piece);
        }
        let ended_in_order = match rest {
            Rest::Open(mut rest) => loop {
                match patience.wait(rest.chunk()).await {
                    Some(Ok(Some(piece))) => {
                        record.first_byte();
                        watch.see(&piece);
                        yield Ok(piece);
                    }
                    Some(Ok(None)) => break true,
                    Some(Err(_)) | None => break false,
                }
            },
            Rest::Ended => true,
            Rest::Broken => false,
        };
        if watch.has_ended || (ended_in_order && ending == Ending::Any) {
            record.write(Outcome::Complete);
        } else if ending == Ending::Message {
            yield Ok(watch.error_event(&request_id));
            record.write(Outcome::UpstreamFailed);
        } else {
            // Nobody reads on after an error.
            record.write(Outcome::UpstreamFailed);
            yield Err(Truncated);
        }
    };
    let at_panic = match ending {
        Ending::Message => Ok(panic_event(&guarded_id)),
        Ending::Any => Err(Truncated),
    };
    body_of(pieces, at_panic)
}

/// Makes a body of an event stream. A panic ends in an `error` event instead of a clean end of the stream.
pub(crate) fn guarded(
    pieces: impl Stream<Item = Bytes> + Send + 'static,
    request_id: &RequestId,
) -> Body {
    body_of(pieces.map(Ok), Ok(panic_event(request_id)))
}

/// Makes a body of a stream of bytes, which ends with `at_panic` at a panic.
fn body_of(
    pieces: impl Stream<Item = Result<Bytes, Truncated>> + Send + 'static,
    at_panic: Result<Bytes, Truncated>,
) -> Body {
    let mut pieces = Box::pin(pieces);
    let frames = stream! {
        loop {
            match AssertUnwindSafe(pieces.next()).catch_unwind().await {
                Ok(Some(piece)) => yield piece.map(Frame::data),
                Ok(None) => break,
                Err(_) => {
                    yield at_panic.map(Frame::data);
                    break;
                }
            }
        }
    };
    StreamBody::new(frames).boxed_unsync()
}

fn panic_event(request_id: &RequestId) -> Bytes {
    let mut out = HALF_EVENT_ENDS.to_vec();
    sse::error_event(&mut out, "api_error", BROKE_OFF, request_id.as_str());
    Bytes::from(out)
}

/// Ends an event that broke off, so that no client reads its half: of several `event:` lines the last
/// one counts, and events that a client does not know are skipped.
const HALF_EVENT_ENDS: &[u8] = b"\nevent: broken_off\n\n";

/// Sees the events of a passing stream without touching its bytes.
struct Watch {
    reader: SseReader,
    /// `message_stop` or `error` has passed.
    has_ended: bool,
    /// A content event has passed.
    has_content: bool,
    last: [u8; 2],
}

impl Watch {
    fn new() -> Self {
        // Names are all that matters: an event's data may be let go.
        Self {
            reader: SseReader::new(64),
            has_ended: false,
            has_content: false,
            last: *b"\n\n",
        }
    }

    fn see(&mut self, piece: &[u8]) {
        let (has_ended, has_content) = (&mut self.has_ended, &mut self.has_content);
        self.reader.push(piece, |event| {
            *has_ended |= matches!(event.name, "message_stop" | "error");
            *has_content |= stream_start::is_content(event.name);
        });
        match *piece {
            [] => {}
            [last] => self.last = [self.last[1], last],
            [.., before, last] => self.last = [before, last],
        }
    }

    /// An `error` event that can follow whatever came before, even half an event.
    fn error_event(&self, request_id: &RequestId) -> Bytes {
        let mut out = match self.last {
            [b'\n', b'\n'] => Vec::new(),
            [_, b'\n'] => b"event: broken_off\n\n".to_vec(),
            [_, _] => HALF_EVENT_ENDS.to_vec(),
        };
        let error_type = if self.has_content {
            RESUMED_FROM
        } else {
            ASKED_AGAIN
        };
        sse::error_event(&mut out, error_type, BROKE_OFF, request_id.as_str());
        Bytes::from(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(pieces: &[&str]) -> (bool, String) {
        let mut watch = Watch::new();
        for piece in pieces {
            watch.see(piece.as_bytes());
        }
        let request_id = "req_1".parse().unwrap();
        let event = String::from_utf8(watch.error_event(&request_id).to_vec()).unwrap();
        let (before, _) = event.split_once("event: error\n").unwrap();
        (watch.has_ended, before.to_owned())
    }

    #[test]
    fn an_error_event_can_follow_whatever_came_before() {
        let cases: [(&[&str], &str); 6] = [
            (&[], ""),
            (&["event: ping\ndata: {}\n\n"], ""),
            (&["event: ping\ndata: {}\n"], "event: broken_off\n\n"),
            (&["event: ping\ndata: {", "}"], "\nevent: broken_off\n\n"),
            (&["event: pi"], "\nevent: broken_off\n\n"),
            (&["event: ping\ndata: {}\n", "\n"], ""),
        ];
        for (pieces, expected) in cases {
            assert_eq!(after(pieces), (false, expected.to_owned()), "{pieces:?}");
        }
    }

    #[test]
    fn what_breaks_before_any_content_is_not_asked_for_as_a_stream_again() {
        let error_type = |seen: &str| {
            let mut watch = Watch::new();
            watch.see(seen.as_bytes());
            let event = watch.error_event(&"req_1".parse().unwrap()).to_vec();
            let event = String::from_utf8(event).unwrap();
            let (_, rest) = event.split_once("\"error\":{\"type\":\"").unwrap();
            rest.split('"').next().unwrap().to_owned()
        };
        let start = "event: message_start\ndata: {}\n\nevent: ping\ndata: {}\n\n";
        assert_eq!(error_type(""), "api_error");
        assert_eq!(error_type(start), "api_error");
        let content = format!("{start}event: content_block_start\ndata: {{}}\n\n");
        assert_eq!(error_type(&content), "overloaded_error");
    }

    #[tokio::test]
    async fn a_panic_ends_a_stream_with_an_error_event_and_not_as_if_all_were_well() {
        let pieces = stream! {
            yield Bytes::from_static(b"event: ping\ndata: {\"ty");
            panic!("a defect");
        };
        let body = guarded(pieces, &"req_1".parse().unwrap())
            .collect()
            .await
            .unwrap();
        let text = String::from_utf8(body.to_bytes().to_vec()).unwrap();
        let mut seen = Vec::new();
        SseReader::new(1000).push(text.as_bytes(), |event| seen.push(event.name.to_owned()));
        assert_eq!(
            seen,
            ["broken_off", "error"],
            "a half event is none that a client knows: {text}"
        );
        assert!(text.contains("req_1"), "{text}");
    }

    #[test]
    fn the_end_of_a_message_is_seen_however_it_is_split() {
        let text = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
        for at in 0..text.len() {
            let (left, right) = text.split_at(at);
            assert!(after(&[left, right]).0, "split at {at}");
        }
        assert!(after(&["event: error\ndata: {}\n\n"]).0);
        assert!(
            !after(&["event: message_stop\ndata: {}\n"]).0,
            "the event is not complete"
        );
    }
}
