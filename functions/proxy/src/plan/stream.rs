//! The body of a passing stream of Plan.
//!
//! A message that breaks off gets an `error` event, and never a clean end without `message_stop`, which the
//! SDKs would take for a whole message. Anything else that breaks off is an error of the body.

use std::time::Duration;

use bytes::Bytes;
use dialect::sse::{self, SseReader};
use dialect::stream_start;
use domain::id::RequestId;
use tokio::time::{Instant, timeout, timeout_at};

use super::body::RemainingBody;
use crate::request_log::{Outcome, RequestLog};
use crate::response_body::{BROKE_OFF, HALF_EVENT_ENDS, Next, Pieces, Truncated, panic_event};

/// Anthropic's error type for a stream that broke off after its first content. Claude Code resumes the
/// message by itself.
const ERROR_TYPE_AFTER_CONTENT: &str = "overloaded_error";

/// The type for one that broke off before any content. Claude Code sends the request again without
/// streaming, at once. At `overloaded_error` it would try the stream again, up to three times, which is more
/// than it does when a stream simply ends.
const ERROR_TYPE_BEFORE_CONTENT: &str = "api_error";

/// How a stream of Plan must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExpectedEnd {
    /// `message_stop` or `error` comes last. Without it an `error` event is added.
    Message,
    /// Any end. Where the stream breaks off, the connection is aborted.
    Any,
}

/// How long a stream may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamTimeouts {
    /// The most between two pieces.
    pub(crate) idle: Duration,
    /// The end of everything.
    pub(crate) until: Instant,
}

impl StreamTimeouts {
    /// Waits for the next piece; `None` when it does not come in time.
    pub(crate) async fn wait<T>(&self, next: impl Future<Output = T>) -> Option<T> {
        timeout_at(self.until, timeout(self.idle, next))
            .await
            .ok()?
            .ok()
    }
}

/// The body of a response of Plan, passed on piece by piece as it comes, unchanged: what was buffered of it, and
/// the rest.
#[derive(Debug)]
pub(crate) struct PlanStream {
    buffered: std::vec::IntoIter<Bytes>,
    rest: RemainingBody,
    expected_end: ExpectedEnd,
    timeouts: StreamTimeouts,
    watch: EndWatch,
    /// Whether the `error` event was added.
    has_failed: bool,
}

impl PlanStream {
    pub(crate) fn new(
        buffered: Vec<Bytes>,
        rest: RemainingBody,
        expected_end: ExpectedEnd,
        timeouts: StreamTimeouts,
    ) -> Self {
        Self {
            buffered: buffered.into_iter(),
            rest,
            expected_end,
            timeouts,
            watch: EndWatch::new(),
            has_failed: false,
        }
    }
}

impl Pieces for PlanStream {
    async fn next(&mut self, log: &mut RequestLog) -> Next {
        if let Some(piece) = self.buffered.next() {
            self.watch.observe(&piece);
            return Next::Chunk(piece);
        }
        if self.has_failed {
            return Next::End(Outcome::UpstreamFailed);
        }
        let has_ended_in_order = match &mut self.rest {
            RemainingBody::Open(response) => match self.timeouts.wait(response.chunk()).await {
                Some(Ok(Some(piece))) => {
                    log.record_first_byte();
                    self.watch.observe(&piece);
                    return Next::Chunk(piece);
                }
                Some(Ok(None)) => true,
                Some(Err(_)) | None => false,
            },
            RemainingBody::Ended => true,
            RemainingBody::Broken => false,
        };
        match self.expected_end {
            _ if self.watch.has_ended => Next::End(Outcome::Complete),
            ExpectedEnd::Any if has_ended_in_order => Next::End(Outcome::Complete),
            ExpectedEnd::Any => Next::Truncated,
            ExpectedEnd::Message => {
                self.has_failed = true;
                Next::Chunk(self.watch.error_event(log.request_id()))
            }
        }
    }

    fn end_at_panic(&self, request_id: &RequestId) -> Result<Bytes, Truncated> {
        match self.expected_end {
            ExpectedEnd::Message => Ok(panic_event(request_id)),
            ExpectedEnd::Any => Err(Truncated),
        }
    }
}

/// Watches the events of a passing stream without touching its bytes.
#[derive(Debug)]
struct EndWatch {
    reader: SseReader,
    /// `message_stop` or `error` has passed.
    has_ended: bool,
    /// A content event has passed.
    has_content: bool,
    last: [u8; 2],
}

impl EndWatch {
    fn new() -> Self {
        // Names are all that matters: an event's data may be let go.
        Self {
            reader: SseReader::new(64),
            has_ended: false,
            has_content: false,
            last: *b"\n\n",
        }
    }

    fn observe(&mut self, piece: &[u8]) {
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
            ERROR_TYPE_AFTER_CONTENT
        } else {
            ERROR_TYPE_BEFORE_CONTENT
        };
        sse::error_event(&mut out, error_type, BROKE_OFF, request_id.as_str());
        Bytes::from(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(pieces: &[&str]) -> (bool, String) {
        let mut watch = EndWatch::new();
        for piece in pieces {
            watch.observe(piece.as_bytes());
        }
        let request_id = "req_1".parse().unwrap();
        let event = String::from_utf8(watch.error_event(&request_id).to_vec()).unwrap();
        let (before, _) = event.split_once("event: error\n").unwrap();
        (watch.has_ended, before.to_owned())
    }

    #[test]
    fn error_event_can_follow_any_bytes() {
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
    fn error_type_depends_on_whether_content_has_passed() {
        let error_type = |seen: &str| {
            let mut watch = EndWatch::new();
            watch.observe(seen.as_bytes());
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

    #[test]
    fn end_of_a_message_is_found_however_it_is_split() {
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
