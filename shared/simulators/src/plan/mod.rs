//! A simulated Claude subscription behind the Anthropic Messages API.
//!
//! A usage window has a number of requests. When they are used up, the response is a 429 with the headers and
//! the text of the real API. Any credential is accepted, and each is a separate subscription.

mod errors;
mod headers;

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::sync::Mutex;
use std::time::Duration;

use http::Method;
use http::header::AUTHORIZATION;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;

use super::anthropic::{Event, Message, Platform, add_pings, scripted_sse_event, sse, sse_event};
use super::conversation::Conversation;
use super::delivery::{Chunk, Delivery, DeliveryEnd, Headers, Reply};
use super::ids;
use super::json::{at, text};
use super::prompt_cache::{Prompt, PromptCache};
use super::response_plan::{InjectedError, ResponsePlan};
use super::rules;
use super::script::{Frame, Point, Step, StepQueue, Window};
use super::server::{self, Simulator};
use super::service::{Request, Service};
use crate::lock::lock;
use errors::{
    error_event, error_reply, json_reply, service_headers, stream_error_reply, usage_limit,
};

/// The default number of requests in a usage window.
pub const DEFAULT_PLAN_REQUESTS: u64 = 2;

/// The simulator's name in its responses.
const NAME: &str = "Simulated Claude plan";

/// The listed models.
const MODELS: [(&str, &str); 4] = [
    ("claude-opus-5-5", "Claude Opus 5.5"),
    ("claude-sonnet-5-5", "Claude Sonnet 5.5"),
    ("claude-haiku-5-5", "Claude Haiku 5.5"),
    ("claude-sonnet-4-5-20250929", "Claude Sonnet 4.5"),
];

/// The options of a simulated subscription.
#[derive(Clone, Debug)]
pub struct PlanOptions {
    /// The number of requests of each credential in a window; unlimited if `None`. Only successful responses of
    /// `/v1/messages` count.
    pub requests: Option<u64>,
    /// The length of a window from its first request.
    pub window: Duration,
    /// The time between two events of a stream.
    pub pace: Duration,
}

impl Default for PlanOptions {
    /// [`DEFAULT_PLAN_REQUESTS`] in half an hour, without a pause between events.
    fn default() -> Self {
        Self {
            requests: Some(DEFAULT_PLAN_REQUESTS),
            window: Duration::from_mins(30),
            pace: Duration::ZERO,
        }
    }
}

/// Serves a simulated subscription on `listener`, under any path that ends in one of the API's.
///
/// Nothing runs until the future is polled; dropping it ends every connection.
///
/// # Errors
///
/// When the listener has no address.
pub fn serve(
    listener: TcpListener,
    options: PlanOptions,
) -> io::Result<(Simulator, impl Future<Output = ()> + Send + use<>)> {
    server::serve(listener, Box::new(Plan::new(options)))
}

#[derive(Debug)]
struct Plan {
    options: PlanOptions,
    /// By the SHA-256 of the credential.
    usage: Mutex<HashMap<[u8; 32], UsageWindow>>,
    cache: PromptCache,
}

/// The requests of one credential since its window began.
#[derive(Clone, Copy, Debug)]
struct UsageWindow {
    ends_ms: u64,
    used: u64,
}

impl Service for Plan {
    fn answer(&self, request: &Request, script: &StepQueue) -> Reply {
        let path = request.path.trim_end_matches('/');
        let known = ["/v1/messages", "/v1/messages/count_tokens", "/v1/models"]
            .into_iter()
            .find(|known| path.ends_with(known));
        let Some(known) = known else {
            return error_reply(404, "not_found_error", "Not found");
        };
        let Some(credential) = credential(request) else {
            return error_reply(401, "authentication_error", "x-api-key header is required");
        };
        if !request.headers.contains_key("anthropic-version") {
            return error_reply(
                400,
                "invalid_request_error",
                "anthropic-version: header is required",
            );
        }
        match (known, &request.method) {
            ("/v1/models", &Method::GET) => json_reply(200, service_headers(), &models()),
            ("/v1/messages", &Method::POST) => self.message(request, credential, script),
            ("/v1/messages/count_tokens", &Method::POST) => match read(request) {
                Ok(body) => {
                    let count = json!({ "input_tokens": Prompt::from_messages(&body).tokens() });
                    json_reply(200, service_headers(), &count)
                }
                Err(refusal) => refusal,
            },
            _ => error_reply(405, "invalid_request_error", "Method Not Allowed"),
        }
    }

    fn reset(&self) {
        lock(&self.usage).clear();
        self.cache.clear();
    }
}

impl Plan {
    fn new(options: PlanOptions) -> Self {
        Self {
            options,
            usage: Mutex::default(),
            cache: PromptCache::default(),
        }
    }

    fn message(&self, request: &Request, credential: [u8; 32], script: &StepQueue) -> Reply {
        let scripted = script.next();
        let body = match read(request) {
            Ok(body) => body,
            Err(refusal) => return refusal,
        };
        let conversation = Conversation::from_messages(&body);
        let marked = if scripted.is_none() {
            conversation.step("plan")
        } else {
            None
        };
        let step = match (scripted, marked) {
            (Some(step), _) | (None, Some(Ok(step))) => step,
            (None, Some(Err(reason))) => return error_reply(400, "invalid_request_error", &reason),
            (None, None) => Step::Normal,
        };
        // A body that the API would reject is not counted.
        if let Err(refused) = rules::messages::check(&body) {
            return error_reply(400, "invalid_request_error", &refused.0);
        }
        let (step, headers) = step.split_headers();
        let reply = match step.response_plan() {
            Ok(response) => match self.admit(credential, request.now_ms) {
                Ok(headers) => self.run(response, headers, &body, &conversation),
                Err(reply) => reply,
            },
            Err(Step::Frames { events }) => match self.admit(credential, request.now_ms) {
                Ok(headers) => self.frames(&body, headers, &events),
                Err(reply) => reply,
            },
            Err(step) => errors::from_step(step, request.now_ms),
        };
        reply.with_headers(headers)
    }

    fn run(
        &self,
        mut response: ResponsePlan,
        headers: Headers,
        body: &Value,
        conversation: &Conversation,
    ) -> Reply {
        let content = response.content_or(|| conversation.answer(NAME));
        let model = text(body, "/model").unwrap_or_default();
        let prompt = Prompt::from_messages(body);
        let charged = self.cache.charge(model, &prompt, &content);
        let message = Message {
            platform: Platform::Anthropic,
            id: ids::message(),
            model: model.to_owned(),
            stop_reason: response.stop_reason_for(&content),
            stop_sequence: response.matched_stop_sequence(at(body, "/stop_sequences")),
            usage: response.usage.unwrap_or(charged),
            content,
        };
        if at(body, "/stream") == true {
            self.stream(message.events(), headers, response)
        } else {
            single(&message.full_body(), headers, response)
        }
    }

    fn frames(&self, body: &Value, mut headers: Headers, events: &[Frame]) -> Reply {
        if at(body, "/stream") != true {
            let message = "The simulator sends frames in a stream only.";
            return error_reply(400, "invalid_request_error", message);
        }
        let chunks = events.iter().map(|event| Chunk {
            reaches: None,
            bytes: scripted_sse_event(event),
        });
        let delivery = Delivery {
            between_chunks: Some(self.options.pace),
            ..Delivery::default()
        };
        headers.extend(headers::for_event_stream());
        Reply::streamed(headers, chunks.collect(), delivery)
    }

    fn stream(&self, events: Vec<Event>, mut headers: Headers, response: ResponsePlan) -> Reply {
        let mut chunks = sse(events);
        add_pings(&mut chunks, response.pings);
        let mut delivery = response.delivery;
        delivery.between_chunks.get_or_insert(self.options.pace);
        match response.injected_error {
            Some((Point::Connect, InjectedError::Error { kind, message })) => {
                return stream_error_reply(kind.as_deref(), message.as_deref());
            }
            Some((point, InjectedError::Error { kind, message })) => {
                let event = error_event(kind.as_deref(), message.as_deref());
                delivery.ending = DeliveryEnd::Instead(point, sse_event(&event));
            }
            Some((point, InjectedError::Garbage)) => {
                let garbage = "event: content_block_delta\ndata: {\"type\":\"content_bl\n\n";
                delivery.ending = DeliveryEnd::Instead(point, garbage.into());
            }
            None => {}
        }
        headers.extend(headers::for_event_stream());
        Reply::streamed(headers, chunks, delivery)
    }

    /// Counts a request, and returns the headers of its response, or the error response of a used-up window.
    fn admit(&self, credential: [u8; 32], now_ms: u64) -> Result<Headers, Reply> {
        let length = u64::try_from(self.options.window.as_millis()).unwrap_or(u64::MAX);
        let mut usage = lock(&self.usage);
        let fresh = UsageWindow {
            ends_ms: now_ms.saturating_add(length),
            used: 0,
        };
        let window = usage.entry(credential).or_insert(fresh);
        if window.ends_ms <= now_ms {
            *window = fresh;
        }
        if self
            .options
            .requests
            .is_some_and(|requests| window.used >= requests)
        {
            return Err(usage_limit(Window::FiveHour, window.ends_ms / 1000, now_ms));
        }
        window.used += 1;
        let utilization = match self.options.requests {
            Some(requests) => hundredths(window.used, requests),
            None => "0.01".to_owned(),
        };
        let reset_s = window.ends_ms / 1000;
        Ok(headers::for_success(reset_s, &utilization, now_ms))
    }
}

fn single(message: &Value, mut headers: Headers, response: ResponsePlan) -> Reply {
    let mut delivery = response.delivery;
    match response.injected_error {
        Some((_, InjectedError::Error { kind, message })) => {
            return stream_error_reply(kind.as_deref(), message.as_deref());
        }
        Some((point, InjectedError::Garbage)) => delivery.ending = DeliveryEnd::Early(point),
        None => {}
    }
    headers.push(("content-type".into(), "application/json".into()));
    Reply::single(headers, message.to_string().into_bytes(), &delivery)
}

/// The SHA-256 of the client's credential, from either header.
fn credential(request: &Request) -> Option<[u8; 32]> {
    let key = request
        .headers
        .get("x-api-key")
        .map(http::HeaderValue::as_bytes);
    let bearer = || {
        let value = request.headers.get(AUTHORIZATION)?.as_bytes();
        let (scheme, token) = value.split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
    };
    let presented = key
        .or_else(bearer)
        .filter(|presented| !presented.trim_ascii().is_empty())?;
    Some(Sha256::digest(presented).into())
}

fn read(request: &Request) -> Result<Value, Reply> {
    let body: Option<Value> = serde_json::from_slice(&request.body).ok();
    body.filter(Value::is_object).ok_or_else(|| {
        error_reply(
            400,
            "invalid_request_error",
            "The request body is not valid JSON.",
        )
    })
}

fn models() -> Value {
    let data: Vec<_> = MODELS
        .iter()
        .map(|(id, name)| {
            json!({
                "type": "model",
                "id": id,
                "display_name": name,
                "created_at": "2026-01-01T00:00:00Z",
            })
        })
        .collect();
    json!({
        "data": data,
        "has_more": false,
        "first_id": MODELS.first().map(|(id, _)| id),
        "last_id": MODELS.last().map(|(id, _)| id),
    })
}

/// `part` of `whole` as a decimal fraction with two places.
fn hundredths(part: u64, whole: u64) -> String {
    let hundredths = (part * 100).checked_div(whole).unwrap_or(100);
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}
