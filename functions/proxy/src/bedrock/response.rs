//! A Bedrock response on its way to the client.

use bytes::Bytes;
use dialect::error::BedrockFailure;
use dialect::reply::Reply;
use dialect::request::BedrockRequest;
use dialect::stream::StreamEnd;
use domain::id::RequestId;
use domain::route::{FallbackReason, Upstream};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use service::metrics::Metrics;
use tokio::time::{Instant, timeout, timeout_at};

use super::event_stream::EventStream;
use crate::config::Deadlines;
use crate::request_log::{Outcome, RequestLog};
use crate::response::{ANTHROPIC_REQUEST_ID, HeldResponse, header_value};
use crate::response_body::{BodySource, Next, Pieces, Truncated, panic_event};

/// The losses: what was left out of the request, and of a whole response.
const DROPPED: HeaderName = HeaderName::from_static("x-spillway-bedrock-dropped");
/// The model that answered.
const MODEL: HeaderName = HeaderName::from_static("x-spillway-bedrock-model");
/// Makes nginx, and proxies that read its headers, pass the stream on as it comes.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// A response that is good enough to commit to.
pub(super) enum BedrockResponse {
    Message(Reply),
    TokenCount(u64),
    Stream {
        events: Box<EventStream>,
        /// The bytes that the client receives first.
        begun: Vec<u8>,
    },
}

impl BedrockResponse {
    /// Whether Bedrock has accepted the request. A stream of keep-alives alone does not show it yet.
    pub(super) fn is_accepted(&self) -> bool {
        match self {
            Self::Message(_) | Self::TokenCount(_) => true,
            Self::Stream { events, .. } => events.has_content(),
        }
    }

    /// The response to the request that `sent` is the translation of, with what it shows in the log. A stream
    /// ends at `until` at the latest.
    pub(super) fn into_held(
        self,
        sent: &BedrockRequest,
        reason: FallbackReason,
        until: Instant,
        deadlines: Deadlines,
        metrics: Metrics,
        log: &mut RequestLog,
    ) -> HeldResponse {
        let mut losses: Vec<String> = sent.losses.iter().map(str::to_owned).collect();
        if let Self::Message(reply) = &self {
            losses.extend(reply.losses.iter().map(str::to_owned));
        }
        let mut headers = HeaderMap::new();
        let request_id = header_value(log.request_id().as_str());
        headers.insert(ANTHROPIC_REQUEST_ID, request_id);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if !sent.model_id.starts_with("arn:") {
            headers.insert(MODEL, header_value(&sent.model_id));
        }
        if !losses.is_empty() {
            headers.insert(DROPPED, header_value(&losses.join(",")));
        }
        let now = log.now();
        let fields = log.fields_mut();
        fields.losses = joined(&losses);
        let model = fields.bedrock_model.clone().unwrap_or_default();
        metrics.losses(&model, losses.len(), now);
        let full = |bytes: Bytes| BodySource::Full {
            bytes,
            outcome: Outcome::Complete,
        };
        let body = match self {
            Self::Message(reply) => {
                fields.usage = reply.usage;
                fields.stop_reason = Some(reply.stop_reason);
                full(reply.body.into())
            }
            Self::TokenCount(tokens) => full(format!("{{\"input_tokens\":{tokens}}}").into()),
            Self::Stream { events, begun } => {
                let event_stream = HeaderValue::from_static("text/event-stream; charset=utf-8");
                headers.insert(CONTENT_TYPE, event_stream);
                headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
                headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
                record_progress(&events, log);
                BodySource::Streamed(Box::new(BedrockStream {
                    events,
                    begun: Some(begun),
                    losses,
                    model,
                    metrics,
                    received_at: Instant::now(),
                    until,
                    deadlines,
                }))
            }
        };
        HeldResponse {
            status: StatusCode::OK,
            headers,
            upstream: Some(Upstream::Bedrock(reason)),
            error_class: None,
            body,
        }
    }
}

/// Losses as the log has them.
fn joined(losses: &[String]) -> Option<String> {
    Some(losses.join(",")).filter(|losses| !losses.is_empty())
}

/// The body of a streamed Bedrock response, with keep-alives in its gaps.
struct BedrockStream {
    events: Box<EventStream>,
    /// The bytes that the client receives first.
    begun: Option<Vec<u8>>,
    losses: Vec<String>,
    /// The model for the metric of losses.
    model: String,
    metrics: Metrics,
    /// When Bedrock sent something last.
    received_at: Instant,
    until: Instant,
    deadlines: Deadlines,
}

impl std::fmt::Debug for BedrockStream {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("BedrockStream")
    }
}

impl Pieces for BedrockStream {
    async fn next(&mut self, log: &mut RequestLog) -> Next {
        if let Some(begun) = self.begun.take() {
            self.received_at = Instant::now();
            return Next::Chunk(begun.into());
        }
        while self.events.end().is_none() {
            let mut out = Vec::new();
            let silent_until = self.until.min(self.received_at + self.deadlines.idle);
            let advanced = timeout(self.deadlines.ping, self.events.advance(&mut out));
            match timeout_at(silent_until, advanced).await {
                Ok(Ok(Ok(()))) => self.received_at = Instant::now(),
                Ok(Ok(Err(failure))) => self.events.fail(&failure, &mut out),
                Ok(Err(_)) => self.events.ping(&mut out),
                Err(_) => self.events.fail(&BedrockFailure::TimedOut, &mut out),
            }
            // Before the piece leaves: the client may leave with it, and then nothing more runs here.
            record_progress(&self.events, log);
            if !out.is_empty() {
                return Next::Chunk(out.into());
            }
        }
        let of_request = self.losses.len();
        let of_message = self.events.losses().iter().map(str::to_owned);
        self.losses.extend(of_message);
        if self.losses.len() > of_request {
            let count = self.losses.len() - of_request;
            self.metrics.losses(&self.model, count, log.now());
            log.fields_mut().losses = joined(&self.losses);
        }
        Next::End(match self.events.end() {
            Some(StreamEnd::Complete) => Outcome::Complete,
            Some(StreamEnd::Failed) | None => Outcome::UpstreamFailed,
        })
    }

    fn end_at_panic(&self, request_id: &RequestId) -> Result<Bytes, Truncated> {
        Ok(panic_event(request_id))
    }
}

/// Records what the stream has shown of its message.
fn record_progress(events: &EventStream, log: &mut RequestLog) {
    let fields = log.fields_mut();
    fields.usage = events.usage();
    if fields.bedrock_request_id.is_none() {
        fields.bedrock_request_id = events.aws_request_id().map(str::to_owned);
    }
    if fields.stop_reason.is_none() {
        fields.stop_reason = events.stop_reason().map(str::to_owned);
    }
}
