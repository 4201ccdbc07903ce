//! The bodies of responses, and their one end: the log of a request is written after the last byte and before
//! the end of its body.
//!
//! A message that breaks off gets an `error` event, and never a clean end without `message_stop`, which the
//! SDKs would take for a whole message. Anything else that breaks off is an error of the body.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use async_stream::stream;
use bytes::Bytes;
use dialect::sse::{self, SseReader};
use dialect::stream_start;
use domain::id::RequestId;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, StreamExt as _};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout, timeout_at};

use crate::bedrock::BedrockStream;
use crate::plan::RemainingBody;
use crate::request_log::{Outcome, RequestLog};
use crate::response::Body;

/// A download broke off, and its format cannot report that. A server aborts the connection; the Lambda
/// runtime would write the error into the body as text, so there the body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer broke off upstream")]
pub(crate) struct Truncated;

/// What the client reads when a message breaks off. Claude Code goes on by itself after it.
pub(crate) const BROKE_OFF: &str =
    "The answer broke off upstream. Sending the request again usually helps.";

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

/// Where the bytes of a body come from.
#[derive(Debug)]
pub(crate) enum BodySource {
    /// All of it is there.
    Full {
        bytes: Bytes,
        /// How the request ends with it.
        outcome: Outcome,
    },
    /// A stream of Plan.
    Plan(Box<PlanStream>),
    /// An event stream of Bedrock.
    Bedrock(Box<BedrockStream>),
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
        BodySource::Plan(body) => (streamed(body, log), None),
        BodySource::Bedrock(body) => (streamed(body, log), None),
    };
    LoggedBody { frames, remaining }.boxed_unsync()
}

type Frames = BoxStream<'static, Result<Frame<Bytes>, Truncated>>;

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

/// A body that comes piece by piece.
pub(crate) trait StreamedBody: Send + 'static {
    /// Waits for the next piece, and records in the log what it shows.
    fn next(&mut self, log: &mut RequestLog) -> impl Future<Output = Next> + Send;

    /// The end of the body when a defect of Spillway ends it.
    fn end_at_panic(&self, request_id: &RequestId) -> Result<Bytes, Truncated>;
}

/// The frames of a streamed body. A panic ends in an `error` event or a broken body instead of a clean end.
fn streamed(mut body: Box<impl StreamedBody>, mut log: RequestLog) -> Frames {
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

impl StreamedBody for PlanStream {
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

/// The `error` event with which a message ends when a defect of Spillway ends it.
pub(crate) fn panic_event(request_id: &RequestId) -> Bytes {
    let mut out = HALF_EVENT_ENDS.to_vec();
    sse::error_event(&mut out, "api_error", BROKE_OFF, request_id.as_str());
    Bytes::from(out)
}

/// Ends an event that broke off, so that no client reads its half: of several `event:` lines the last
/// one counts, and events that a client does not know are skipped.
const HALF_EVENT_ENDS: &[u8] = b"\nevent: broken_off\n\n";

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
    use std::sync::Arc;

    use super::*;
    use crate::clock::Clock;
    use crate::request::RequestKind;

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

    /// A message that panics after half an event.
    struct Panicking {
        has_begun: bool,
    }

    impl StreamedBody for Panicking {
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
