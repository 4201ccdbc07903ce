//! The answers of a pretended plan that are no good ones, and the headers about its windows.

use serde_json::{Value, json};

use super::Headers;
use crate::simulator::anthropic::error;
use crate::simulator::delivery::Reply;
use crate::simulator::ids;
use crate::simulator::script::{Step, Window};

/// What the API says when a usage window is used up.
const LIMIT_MESSAGE: &str =
    "This request would exceed your account's rate limit. Please try again later.";

const ORGANIZATION: &str = "00000000-0000-4000-8000-000000000000";

/// The answers that are no good ones.
pub(super) fn of_step(step: Step, now_ms: u64) -> Reply {
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
        Step::Html => Reply::web_page(),
        Step::Raw {
            status,
            headers,
            body,
        } => Reply::exactly(status, headers, body),
        // The rest are good answers, which `performance` has taken.
        _ => refuse(500, "api_error", "the simulator has no such answer"),
    }
}

pub(super) fn own_headers() -> Headers {
    vec![
        ("request-id".into(), ids::request()),
        ("anthropic-organization-id".into(), ORGANIZATION.into()),
    ]
}

pub(super) fn json_reply(status: u16, mut headers: Headers, body: &Value) -> Reply {
    headers.push(("content-type".into(), "application/json".into()));
    Reply::whole(status, headers, body.to_string())
}

pub(super) fn refuse(status: u16, kind: &str, message: &str) -> Reply {
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
pub(super) fn broken(kind: Option<&str>, message: Option<&str>) -> Reply {
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

pub(super) fn error_event(kind: Option<&str>, message: Option<&str>) -> Value {
    let kind = kind.unwrap_or("overloaded_error");
    error(kind, message.unwrap_or("Overloaded"), &ids::request())
}

pub(super) fn usage_limit(window: Window, reset_s: u64, now_ms: u64) -> Reply {
    let mut headers = unified(Some(window), reset_s, "1.02", now_ms);
    let retry_after = reset_s.saturating_sub(now_ms / 1000);
    headers.push(("retry-after".into(), retry_after.to_string()));
    refuse_with(429, "rate_limit_error", LIMIT_MESSAGE, headers)
}

/// The headers about a subscription's windows, as the API sends them on every answer to a
/// subscription's credential (shape seen in the public issues anthropics/claude-code#12829 and
/// router-for-me/CLIProxyAPI#5915). `rejected` is the window that is used up.
pub(super) fn unified(
    rejected: Option<Window>,
    reset_s: u64,
    utilization: &str,
    now_ms: u64,
) -> Headers {
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
