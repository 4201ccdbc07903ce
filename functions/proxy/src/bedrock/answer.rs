//! A Bedrock answer on its way to the client.

use async_stream::stream;
use bytes::Bytes;
use dialect::reply::Reply;
use dialect::request::BedrockRequest;
use dialect::stream::StreamEnd;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use tokio::time::{Instant, timeout, timeout_at};

use super::BedrockCall;
use super::failure::Failure;
use super::pump::Pump;
use crate::config::Deadlines;
use crate::record::{Outcome, Record};
use crate::reply::{ANTHROPIC_REQUEST_ID, Body, UPSTREAM, header, whole};
use crate::streaming::guarded;

/// An answer that is good enough to commit to.
pub(crate) struct BedrockAnswer {
    pub(super) head: Head,
    pub(super) body: AnswerBody,
}

pub(super) enum AnswerBody {
    Whole(Reply),
    Counted(u64),
    Streaming {
        pump: Box<Pump>,
        /// What the client will see first.
        begun: Vec<u8>,
    },
}

/// What is said of an answer before its body.
pub(super) struct Head {
    headers: HeaderMap,
    /// Names of what was left out of the request.
    losses: Vec<String>,
}

/// What was left out of the request, and of a whole answer.
const DROPPED: HeaderName = HeaderName::from_static("x-spillway-bedrock-dropped");
/// The model that answered.
const MODEL: HeaderName = HeaderName::from_static("x-spillway-bedrock-model");

impl Head {
    pub(super) fn new(sent: &BedrockRequest, call: &BedrockCall<'_>) -> Self {
        let losses: Vec<String> = sent.losses.iter().map(str::to_owned).collect();
        let mut headers = HeaderMap::new();
        headers.insert(UPSTREAM, header(&format!("bedrock; reason={}", call.why)));
        headers.insert(ANTHROPIC_REQUEST_ID, header(call.request_id.as_str()));
        if !sent.model_id.starts_with("arn:") {
            headers.insert(MODEL, header(&sent.model_id));
        }
        Self { headers, losses }
    }
}

impl BedrockAnswer {
    /// Whether Bedrock has accepted the request. A stream that has sent only keep-alives does not
    /// show it yet.
    pub(super) fn is_accepted(&self) -> bool {
        match &self.body {
            AnswerBody::Whole(_) | AnswerBody::Counted(_) => true,
            AnswerBody::Streaming { pump, .. } => pump.has_content(),
        }
    }

    /// How many things of the request were left out.
    pub(crate) fn losses(&self) -> usize {
        self.head.losses.len()
    }

    /// Commits to this answer. A stream ends at `until` at the latest.
    pub(crate) fn commit(
        self,
        until: Instant,
        deadlines: &Deadlines,
        mut record: Record,
    ) -> Response<Body> {
        record.note().upstream = Some("bedrock");
        record.note().status = Some(200);
        record.first_byte();
        let Head {
            mut headers,
            mut losses,
        } = self.head;
        if let AnswerBody::Whole(reply) = &self.body {
            losses.extend(reply.losses.iter().map(str::to_owned));
        }
        if !losses.is_empty() {
            headers.insert(DROPPED, header(&losses.join(",")));
        }
        record.note().losses = named(&losses);
        let body = match self.body {
            AnswerBody::Whole(reply) => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                record.note().usage = reply.usage;
                record.note().stop_reason = Some(reply.stop_reason);
                record.write(Outcome::Complete);
                whole(reply.body)
            }
            AnswerBody::Counted(tokens) => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                record.write(Outcome::Complete);
                whole(format!("{{\"input_tokens\":{tokens}}}"))
            }
            AnswerBody::Streaming { pump, begun } => {
                let event_stream = HeaderValue::from_static("text/event-stream; charset=utf-8");
                headers.insert(CONTENT_TYPE, event_stream);
                headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
                headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
                streamed(pump, begun, losses, record, until, *deadlines)
            }
        };
        let mut response = Response::new(body);
        *response.headers_mut() = headers;
        response
    }
}

/// Losses as the log has them.
fn named(losses: &[String]) -> Option<String> {
    Some(losses.join(",")).filter(|losses| !losses.is_empty())
}

/// Tells nginx, and what learned from it, to pass the stream on as it comes.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

fn streamed(
    mut pump: Box<Pump>,
    begun: Vec<u8>,
    mut losses: Vec<String>,
    mut record: Record,
    until: Instant,
    deadlines: Deadlines,
) -> Body {
    let request_id = record.request_id().clone();
    note_answer(&mut record, &pump);
    let pieces = stream! {
        yield Bytes::from(begun);
        let mut heard = Instant::now();
        while pump.end().is_none() {
            let mut out = Vec::new();
            let quiet_until = until.min(heard + deadlines.idle);
            let step = timeout_at(quiet_until, timeout(deadlines.ping, pump.advance(&mut out))).await;
            match step {
                Ok(Ok(Ok(()))) => heard = Instant::now(),
                Ok(Ok(Err(failure))) => pump.fail(&failure, &mut out),
                Ok(Err(_)) => pump.ping(&mut out),
                Err(_) => pump.fail(&Failure::TimedOut, &mut out),
            }
            // Before the piece leaves: a client may go away with it, and then nothing more runs here.
            note_answer(&mut record, &pump);
            if !out.is_empty() {
                yield Bytes::from(out);
            }
        }
        losses.extend(pump.losses().iter().map(str::to_owned));
        record.note().losses = named(&losses);
        record.write(match pump.end() {
            Some(StreamEnd::Complete) => Outcome::Complete,
            Some(StreamEnd::Failed) | None => Outcome::UpstreamFailed,
        });
    };
    guarded(pieces, &request_id)
}

/// What the stream has shown of its answer.
fn note_answer(record: &mut Record, pump: &Pump) {
    let noted = record.note();
    noted.usage = pump.usage();
    if noted.bedrock_request_id.is_none() {
        noted.bedrock_request_id = pump.aws_request_id().map(str::to_owned);
    }
    if noted.stop_reason.is_none() {
        noted.stop_reason = pump.stop_reason().map(str::to_owned);
    }
}
