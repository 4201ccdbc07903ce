//! A Bedrock answer on its way to the client.

use async_stream::stream;
use aws_sdk_bedrockruntime::primitives::event_stream::EventReceiver;
use aws_sdk_bedrockruntime::types::error::{ConverseStreamOutputError, ResponseStreamError};
use aws_sdk_bedrockruntime::types::{ConverseStreamOutput, ResponseStream};
use bytes::Bytes;
use dialect::error::classify;
use dialect::reply::Reply;
use dialect::stream::{InvokeTranslator, StreamEnd, StreamTranslator};
use domain::usage::TokenUsage;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use tokio::time::{Instant, timeout, timeout_at};

use super::events;
use super::failure::{Failure, of_stream};
use crate::config::Deadlines;
use crate::record::{Outcome, Record};
use crate::reply::{Body, whole};
use crate::streaming::guarded;

/// What an operation gave.
pub(super) struct Answered {
    pub(super) aws_request_id: Option<String>,
    pub(super) stream: Stream,
}

pub(super) enum Stream {
    /// The body of an answer that is not streamed.
    Whole(Vec<u8>),
    /// A number of tokens.
    Counted(i32),
    Converse(EventReceiver<ConverseStreamOutput, ConverseStreamOutputError>),
    Invoke(EventReceiver<ResponseStream, ResponseStreamError>),
}

/// An answer that is good enough to commit to.
pub(crate) struct BedrockAnswer {
    /// Ready, but for what goes with the body.
    pub(super) headers: HeaderMap,
    /// How many things of the request were left out.
    pub(crate) losses: usize,
    pub(super) body: AnswerBody,
}

pub(super) enum AnswerBody {
    Whole(Reply),
    Counted(i32),
    Streaming {
        pump: Box<Pump>,
        /// What the client will see first.
        begun: Vec<u8>,
    },
}

/// Bedrock's events in, Anthropic's events out.
pub(super) enum Pump {
    Converse {
        events: EventReceiver<ConverseStreamOutput, ConverseStreamOutputError>,
        translator: StreamTranslator,
    },
    Invoke {
        events: EventReceiver<ResponseStream, ResponseStreamError>,
        translator: InvokeTranslator,
    },
}

impl Pump {
    /// Waits for the next event and appends what the client is told of it. Dropping the future
    /// loses nothing.
    pub(super) async fn advance(&mut self, out: &mut Vec<u8>) -> Result<(), Failure> {
        match self {
            Self::Converse { events, translator } => match events.recv().await {
                Ok(Some(event)) => translator.push(events::event(&event), out),
                Ok(None) => translator.finish(out),
                Err(error) => return Err(of_stream(&error)),
            },
            Self::Invoke { events, translator } => match events.recv().await {
                Ok(Some(ResponseStream::Chunk(chunk))) => {
                    let bytes = chunk.bytes.as_ref().map(AsRef::as_ref).unwrap_or_default();
                    translator.push(bytes, out);
                }
                Ok(Some(_)) => {}
                Ok(None) => translator.finish(out),
                Err(error) => return Err(of_stream(&error)),
            },
        }
        Ok(())
    }

    pub(super) fn ping(&mut self, out: &mut Vec<u8>) {
        match self {
            Self::Converse { translator, .. } => translator.ping(out),
            Self::Invoke { translator, .. } => translator.ping(out),
        }
    }

    fn fail(&mut self, failure: &Failure, out: &mut Vec<u8>) {
        let error = classify(&failure.as_failure());
        match self {
            Self::Converse { translator, .. } => translator.fail(&error, out),
            Self::Invoke { translator, .. } => translator.fail(&error, out),
        }
    }

    pub(super) fn end(&self) -> Option<StreamEnd> {
        match self {
            Self::Converse { translator, .. } => translator.end(),
            Self::Invoke { translator, .. } => translator.end(),
        }
    }

    pub(super) fn has_content(&self) -> bool {
        match self {
            Self::Converse { translator, .. } => translator.has_content(),
            Self::Invoke { translator, .. } => translator.has_content(),
        }
    }

    fn usage(&self) -> TokenUsage {
        match self {
            Self::Converse { translator, .. } => translator.usage(),
            Self::Invoke { translator, .. } => translator.usage(),
        }
    }

    fn stop_reason(&self) -> Option<&str> {
        match self {
            Self::Converse { translator, .. } => translator.stop_reason(),
            Self::Invoke { translator, .. } => translator.stop_reason(),
        }
    }
}

impl BedrockAnswer {
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
        let mut headers = self.headers;
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
                streamed(pump, begun, record, until, *deadlines)
            }
        };
        let mut response = Response::new(body);
        *response.headers_mut() = headers;
        response
    }
}

/// Tells nginx, and what learned from it, to pass the stream on as it comes.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

fn streamed(
    mut pump: Box<Pump>,
    begun: Vec<u8>,
    mut record: Record,
    until: Instant,
    deadlines: Deadlines,
) -> Body {
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
            if !out.is_empty() {
                yield Bytes::from(out);
            }
            // Always current: when the client goes away, this is what is known of its answer.
            record.note().usage = pump.usage();
        }
        record.note().stop_reason = pump.stop_reason().map(str::to_owned);
        record.write(match pump.end() {
            Some(StreamEnd::Complete) => Outcome::Complete,
            Some(StreamEnd::Failed) | None => Outcome::UpstreamFailed,
        });
    };
    guarded(pieces)
}
