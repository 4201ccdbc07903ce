//! A Claude subscription behind the Anthropic Messages API, pretended.
//!
//! It has a number of requests in a usage window, and answers 429 with the headers and the text
//! of the real API when they are used up. It checks that a credential is there and takes any: each
//! credential is a subscription of its own.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::io;
use std::sync::Mutex;
use std::time::Duration;

use http::Method;
use http::header::AUTHORIZATION;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;

use super::anthropic::{Event, Message, error, sse, sse_event};
use super::conversation::Conversation;
use super::delivery::{Ending, Reply};
use super::ids;
use super::json::{at, text};
use super::prompt_cache::{Prompt, PromptCache};
use super::rules;
use super::script::{BreakIn, Performance, Point, Step, Window};
use super::server::{self, Request, Script, Service, Simulator};
use crate::aws::files::lock;

/// How many requests a pretended subscription answers in a window by default.
pub const DEFAULT_PLAN_REQUESTS: u64 = 2;

/// How the simulator calls itself in its answers.
const NAME: &str = "Simulated Claude plan";

/// What the API says when a usage window is used up.
const LIMIT_MESSAGE: &str =
    "This request would exceed your account's rate limit. Please try again later.";

/// The models it lists.
const MODELS: [(&str, &str); 4] = [
    ("claude-opus-5-5", "Claude Opus 5.5"),
    ("claude-sonnet-5-5", "Claude Sonnet 5.5"),
    ("claude-haiku-5-5", "Claude Haiku 5.5"),
    ("claude-sonnet-4-5-20250929", "Claude Sonnet 4.5"),
];

const ORGANIZATION: &str = "00000000-0000-4000-8000-000000000000";

/// How the pretended subscription behaves.
#[derive(Clone, Debug)]
pub struct PlanOptions {
    /// How many requests each credential has in a window; no end to them if `None`. Only good
    /// answers of `/v1/messages` count.
    pub requests: Option<u64>,
    /// How long a window lasts from its first request.
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

/// Serves a pretended subscription on `listener`, under any path that ends as the API's do.
///
/// Nothing runs until the future is polled; dropping it ends every connection.
///
/// # Errors
///
/// When the listener does not know its own address.
pub fn serve(
    listener: TcpListener,
    options: PlanOptions,
) -> io::Result<(Simulator, impl Future<Output = ()> + Send + use<>)> {
    server::serve(listener, Service::Plan(Plan::new(options)))
}

#[derive(Debug)]
pub(super) struct Plan {
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

type Headers = Vec<(String, String)>;

impl Plan {
    pub(super) fn new(options: PlanOptions) -> Self {
        Self {
            options,
            usage: Mutex::default(),
            cache: PromptCache::default(),
        }
    }

    pub(super) fn reset(&self) {
        lock(&self.usage).clear();
        self.cache.clear();
    }

    pub(super) fn answer(&self, request: &Request, script: &Script) -> Reply {
        let path = request.path.trim_end_matches('/');
        let known = ["/v1/messages", "/v1/messages/count_tokens", "/v1/models"]
            .into_iter()
            .find(|known| path.ends_with(known));
        let Some(known) = known else {
            return refuse(404, "not_found_error", "Not found");
        };
        let Some(credential) = credential(request) else {
            return refuse(401, "authentication_error", "x-api-key header is required");
        };
        if !request.headers.contains_key("anthropic-version") {
            return refuse(
                400,
                "invalid_request_error",
                "anthropic-version: header is required",
            );
        }
        match (known, &request.method) {
            ("/v1/models", &Method::GET) => json_reply(200, own_headers(), &models()),
            ("/v1/messages", &Method::POST) => self.message(request, credential, script),
            ("/v1/messages/count_tokens", &Method::POST) => match read(request) {
                Ok(body) => {
                    let count = json!({ "input_tokens": Prompt::of_messages(&body).tokens() });
                    json_reply(200, own_headers(), &count)
                }
                Err(refusal) => refusal,
            },
            _ => refuse(405, "invalid_request_error", "Method Not Allowed"),
        }
    }

    fn message(&self, request: &Request, credential: [u8; 32], script: &Script) -> Reply {
        let scripted = script.next();
        let body = match read(request) {
            Ok(body) => body,
            Err(refusal) => return refusal,
        };
        let conversation = Conversation::of_messages(&body);
        let marked = if scripted.is_none() {
            conversation.step("plan")
        } else {
            None
        };
        let step = match (scripted, marked) {
            (Some(step), _) | (None, Some(Ok(step))) => step,
            (None, Some(Err(reason))) => return refuse(400, "invalid_request_error", &reason),
            (None, None) => Step::Normal,
        };
        // A body that the API would refuse is refused before anything is counted.
        if let Err(refused) = rules::messages::check(&body) {
            return refuse(400, "invalid_request_error", &refused.0);
        }
        let streaming = at(&body, "/stream") == true;
        let mut performance = match step.performance() {
            Ok(performance) => performance,
            Err(step) => return Self::refusal(step, request.now_ms),
        };
        let headers = match self.admit(credential, request.now_ms) {
            Ok(headers) => headers,
            Err(reply) => return reply,
        };
        let content = performance.content_or(|| conversation.answer(NAME));
        let model = text(&body, "/model").unwrap_or_default();
        let prompt = Prompt::of_messages(&body);
        let charged = self.cache.charge(model, &prompt, &content);
        let message = Message {
            id: ids::message(),
            model: model.to_owned(),
            stop_reason: performance.stop_reason_for(&content),
            usage: performance.usage.unwrap_or(charged),
            content,
        };
        if streaming {
            self.stream(message.events(), headers, performance)
        } else {
            single(&message.whole(), headers, performance)
        }
    }

    fn stream(&self, events: Vec<Event>, mut headers: Headers, performance: Performance) -> Reply {
        let mut delivery = performance.delivery;
        delivery.between_beats.get_or_insert(self.options.pace);
        match performance.break_in {
            Some((Point::Connect, BreakIn::Error { kind, message })) => {
                return broken(kind.as_deref(), message.as_deref());
            }
            Some((point, BreakIn::Error { kind, message })) => {
                let event = error_event(kind.as_deref(), message.as_deref());
                delivery.ending = Ending::Instead(point, sse_event(&event));
            }
            Some((point, BreakIn::Garbage)) => {
                let garbage = "event: content_block_delta\ndata: {\"type\":\"content_bl\n\n";
                delivery.ending = Ending::Instead(point, garbage.into());
            }
            None => {}
        }
        headers.push((
            "content-type".into(),
            "text/event-stream; charset=utf-8".into(),
        ));
        headers.push(("cache-control".into(), "no-cache".into()));
        Reply::streamed(headers, sse(events), delivery)
    }

    /// Counts a request, and gives the headers of a good answer or the refusal of a window that is
    /// used up.
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
        let mut headers = own_headers();
        headers.extend(unified(None, window.ends_ms / 1000, &utilization, now_ms));
        Ok(headers)
    }

    /// The answers that are no good ones.
    fn refusal(step: Step, now_ms: u64) -> Reply {
        match step {
            Step::UsageLimit {
                window,
                reset_after_s,
            } => usage_limit(
                window,
                (now_ms / 1000).saturating_add(reset_after_s),
                now_ms,
            ),
            Step::RateLimit { retry_after_s } => rate_limit(retry_after_s, now_ms),
            Step::SpendLimit => spend_limit(),
            Step::Entitlement => refuse(
                429,
                "rate_limit_error",
                "Extra usage is required for long context requests.",
            ),
            Step::Unauthorized => refuse(401, "authentication_error", "invalid x-api-key"),
            Step::Forbidden => refuse(
                403,
                "permission_error",
                "Your account does not have permission to use this model.",
            ),
            Step::ServerError => refuse(500, "api_error", "Internal server error"),
            Step::Overloaded => refuse(529, "overloaded_error", "Overloaded"),
            Step::NotReady => refuse(503, "api_error", "Service temporarily unavailable"),
            Step::TooLong => refuse(
                400,
                "invalid_request_error",
                "prompt is too long: 207312 tokens > 200000 maximum",
            ),
            Step::Error {
                status,
                kind,
                message,
                headers,
            } => {
                let mut reply = refuse(status, &kind, &message);
                reply.headers.extend(headers);
                reply
            }
            Step::Html => html(),
            Step::Raw {
                status,
                headers,
                body,
            } => raw(status, headers, body),
            // The rest are good answers, which `performance` has taken.
            _ => refuse(500, "api_error", "the simulator has no such answer"),
        }
    }
}

fn single(message: &Value, mut headers: Headers, performance: Performance) -> Reply {
    let mut delivery = performance.delivery;
    match performance.break_in {
        Some((_, BreakIn::Error { kind, message })) => {
            return broken(kind.as_deref(), message.as_deref());
        }
        Some((point, BreakIn::Garbage)) => delivery.ending = Ending::Early(point),
        None => {}
    }
    headers.push(("content-type".into(), "application/json".into()));
    Reply::single(headers, message.to_string().into_bytes(), &delivery)
}

/// The SHA-256 of what the client presents, whichever header it is in.
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
        refuse(
            400,
            "invalid_request_error",
            "The request body is not valid JSON.",
        )
    })
}

fn own_headers() -> Headers {
    vec![
        ("request-id".into(), ids::request()),
        ("anthropic-organization-id".into(), ORGANIZATION.into()),
    ]
}

fn json_reply(status: u16, mut headers: Headers, body: &Value) -> Reply {
    headers.push(("content-type".into(), "application/json".into()));
    Reply::whole(status, headers, body.to_string())
}

fn refuse(status: u16, kind: &str, message: &str) -> Reply {
    refuse_with(status, kind, message, Vec::new())
}

fn refuse_with(status: u16, kind: &str, message: &str, further: Headers) -> Reply {
    let mut headers = own_headers();
    let body = error(kind, message, &headers_request_id(&headers));
    headers.extend(further);
    json_reply(status, headers, &body)
}

fn headers_request_id(headers: &Headers) -> String {
    headers
        .first()
        .map(|(_, id)| id.clone())
        .unwrap_or_default()
}

/// A stream's error, said before the stream began.
fn broken(kind: Option<&str>, message: Option<&str>) -> Reply {
    let kind = kind.unwrap_or("overloaded_error");
    let status = match kind {
        "invalid_request_error" => 400,
        "authentication_error" => 401,
        "permission_error" => 403,
        "not_found_error" => 404,
        "rate_limit_error" => 429,
        "overloaded_error" => 529,
        _ => 500,
    };
    refuse(status, kind, message.unwrap_or("Overloaded"))
}

fn error_event(kind: Option<&str>, message: Option<&str>) -> Value {
    let kind = kind.unwrap_or("overloaded_error");
    error(kind, message.unwrap_or("Overloaded"), &ids::request())
}

fn usage_limit(window: Window, reset_s: u64, now_ms: u64) -> Reply {
    let mut headers = unified(Some(window), reset_s, "1.02", now_ms);
    let retry_after = reset_s.saturating_sub(now_ms / 1000);
    headers.push(("retry-after".into(), retry_after.to_string()));
    refuse_with(429, "rate_limit_error", LIMIT_MESSAGE, headers)
}

/// The headers about a subscription's windows, as the API sends them on every answer to a
/// subscription's credential (shape seen in the public issues anthropics/claude-code#12829 and
/// router-for-me/CLIProxyAPI#5915). `rejected` is the window that is used up.
fn unified(rejected: Option<Window>, reset_s: u64, utilization: &str, now_ms: u64) -> Headers {
    let week_s = now_ms / 1000 + 3 * 24 * 60 * 60;
    let (claim, short) = match rejected {
        None | Some(Window::FiveHour) => ("five_hour", "5h"),
        Some(Window::SevenDay) => ("seven_day", "7d"),
        Some(Window::SevenDayOpus) => ("seven_day_opus", "7d_opus"),
        Some(Window::SevenDaySonnet) => ("seven_day_sonnet", "7d_sonnet"),
        Some(Window::SevenDayOverageIncluded) => ("seven_day_overage_included", "7d_oi"),
    };
    let status = if rejected.is_some() {
        "rejected"
    } else {
        "allowed"
    };
    let mut headers = Vec::new();
    let mut add = |name: &str, value: String| {
        headers.push((format!("anthropic-ratelimit-unified-{name}"), value));
    };
    add("status", status.into());
    for (window, others_reset_s) in [("5h", now_ms / 1000 + 60 * 60), ("7d", week_s)] {
        if window != short {
            add(&format!("{window}-status"), "allowed".into());
            add(&format!("{window}-reset"), others_reset_s.to_string());
            add(&format!("{window}-utilization"), "0.31".into());
        }
    }
    add(&format!("{short}-status"), status.into());
    add(&format!("{short}-reset"), reset_s.to_string());
    add(&format!("{short}-utilization"), utilization.into());
    add("representative-claim", claim.into());
    add("fallback-percentage", "0.5".into());
    add("reset", reset_s.to_string());
    add("overage-disabled-reason", "org_level_disabled".into());
    add("overage-status", "rejected".into());
    headers
}

fn rate_limit(retry_after_s: Option<u64>, now_ms: u64) -> Reply {
    let mut headers: Headers = [("requests-limit", "50"), ("requests-remaining", "0")]
        .into_iter()
        .map(|(name, value)| (format!("anthropic-ratelimit-{name}"), value.to_owned()))
        .collect();
    let reset_s = (now_ms / 1000).saturating_add(retry_after_s.unwrap_or(60));
    let reset = i64::try_from(reset_s)
        .ok()
        .and_then(|s| jiff::Timestamp::from_second(s).ok());
    if let Some(reset) = reset {
        headers.push((
            "anthropic-ratelimit-requests-reset".into(),
            reset.to_string(),
        ));
    }
    if let Some(retry_after) = retry_after_s {
        headers.push(("retry-after".into(), retry_after.to_string()));
    }
    let message = "This request would exceed the rate limit for your organization of 50 requests \
                   per minute.";
    refuse_with(429, "rate_limit_error", message, headers)
}

fn spend_limit() -> Reply {
    let headers = own_headers();
    let body = json!({
        "type": "error",
        "error": {
            "type": "rate_limit_error",
            "message": "Your organization has reached its monthly spend limit.",
            "details": { "error_code": "enforced_spend_limit_reached" },
        },
        "request_id": headers_request_id(&headers),
    });
    json_reply(429, headers, &body)
}

pub(super) fn html() -> Reply {
    let headers = vec![("content-type".into(), "text/html; charset=utf-8".into())];
    let page = "<!doctype html><html><head><title>Sign in</title></head><body>Please sign in to \
                use this network.</body></html>";
    Reply::whole(200, headers, page)
}

pub(super) fn raw(status: u16, headers: BTreeMap<String, String>, body: String) -> Reply {
    Reply::whole(status, headers.into_iter().collect(), body)
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
