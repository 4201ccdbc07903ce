//! The error responses of a simulated plan, and the headers about its windows.

use serde_json::{Value, json};

use crate::anthropic::error;
use crate::delivery::{Headers, Reply};
use crate::ids;
use crate::script::{Step, Window};

/// The API's message for a used-up usage window.
const LIMIT_MESSAGE: &str =
    "This request would exceed your account's rate limit. Please try again later.";

const ORGANIZATION: &str = "00000000-0000-4000-8000-000000000000";

/// The error response of a step.
pub(super) fn from_step(step: Step, now_ms: u64) -> Reply {
    let step = match Reply::from_written_out(step, error_reply) {
        Ok(reply) => return reply,
        Err(step) => step,
    };
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
        Step::SelfSetLimit => self_set_limit(now_ms),
        Step::OutOfCredit => error_reply(
            400,
            "invalid_request_error",
            "Your credit balance is too low to access the Anthropic API. Please go to Plans & \
             Billing to upgrade or purchase credits.",
        ),
        Step::Entitlement => error_reply(
            429,
            "rate_limit_error",
            "Extra usage is required for long context requests.",
        ),
        Step::Unauthorized => error_reply(401, "authentication_error", "invalid x-api-key"),
        Step::Forbidden => error_reply(
            403,
            "permission_error",
            "Your account does not have permission to use this model.",
        ),
        Step::ServerError => error_reply(500, "api_error", "Internal server error"),
        Step::Overloaded => error_reply(529, "overloaded_error", "Overloaded"),
        Step::NotReady => error_reply(503, "api_error", "Service temporarily unavailable"),
        Step::TooLong => error_reply(
            400,
            "invalid_request_error",
            "prompt is too long: 207312 tokens > 200000 maximum",
        ),
        Step::Status { status } => from_status(status, now_ms),
        // The other steps are no errors; `response_plan` handles them.
        _ => error_reply(500, "api_error", "the simulator has no such answer"),
    }
}

/// The API's error response with a status (<https://platform.claude.com/docs/en/api/errors>), or Cloudflare's
/// (anthropics/claude-code#1101, #3197).
fn from_status(status: u16, now_ms: u64) -> Reply {
    let (kind, message) = match status {
        401 => return from_step(Step::Unauthorized, now_ms),
        403 => return from_step(Step::Forbidden, now_ms),
        500 => return from_step(Step::ServerError, now_ms),
        503 => return from_step(Step::NotReady, now_ms),
        529 => return from_step(Step::Overloaded, now_ms),
        502 => return cloudflare(status, "Bad Gateway"),
        400 => (
            "invalid_request_error",
            "messages: at least one message is required",
        ),
        402 => (
            "billing_error",
            "There's an issue with your billing or payment information.",
        ),
        404 => ("not_found_error", "model: claude-simulated-0"),
        413 => ("request_too_large", "Request exceeds the maximum size"),
        429 => ("rate_limit_error", LIMIT_MESSAGE),
        501.. => ("api_error", "The request could not be served."),
        // Also the type of statuses without their own.
        _ => ("invalid_request_error", "The request could not be served."),
    };
    error_reply(status, kind, message)
}

fn cloudflare(status: u16, reason: &str) -> Reply {
    let headers = [("content-type", "text/html"), ("server", "cloudflare")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let page = format!(
        "<html>\r\n<head><title>{status} {reason}</title></head>\r\n<body>\r\n\
         <center><h1>{status} {reason}</h1></center>\r\n\
         <hr><center>cloudflare</center>\r\n</body>\r\n</html>\r\n"
    );
    Reply::full(status, headers.into(), page)
}

/// The limit that an organization set for itself, which ends with the month
/// (anthropics/claude-code#2127).
fn self_set_limit(now_ms: u64) -> Reply {
    let now = i64::try_from(now_ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        .unwrap_or_default();
    let today = now.to_zoned(jiff::tz::TimeZone::UTC).date();
    let next_month = today.last_of_month().tomorrow().unwrap_or(today);
    let message = format!(
        "You have reached your specified API usage limits. You will regain access on {next_month} \
         at 00:00 UTC."
    );
    error_reply(400, "invalid_request_error", &message)
}

pub(super) fn service_headers() -> Headers {
    vec![
        ("request-id".into(), ids::request()),
        ("anthropic-organization-id".into(), ORGANIZATION.into()),
    ]
}

pub(super) fn json_reply(status: u16, mut headers: Headers, body: &Value) -> Reply {
    headers.push(("content-type".into(), "application/json".into()));
    Reply::full(status, headers, body.to_string())
}

pub(super) fn error_reply(status: u16, kind: &str, message: &str) -> Reply {
    error_reply_with(status, kind, message, Vec::new())
}

fn error_reply_with(status: u16, kind: &str, message: &str, further: Headers) -> Reply {
    let mut headers = service_headers();
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

/// A stream's error as an error response before the stream.
pub(super) fn stream_error_reply(kind: Option<&str>, message: Option<&str>) -> Reply {
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
    error_reply(status, kind, message.unwrap_or("Overloaded"))
}

pub(super) fn error_event(kind: Option<&str>, message: Option<&str>) -> Value {
    let kind = kind.unwrap_or("overloaded_error");
    error(kind, message.unwrap_or("Overloaded"), &ids::request())
}

pub(super) fn usage_limit(window: Window, reset_s: u64, now_ms: u64) -> Reply {
    let mut headers = limit_headers(Some(window), reset_s, "1.02", now_ms);
    let retry_after = reset_s.saturating_sub(now_ms / 1000);
    headers.push(("retry-after".into(), retry_after.to_string()));
    error_reply_with(429, "rate_limit_error", LIMIT_MESSAGE, headers)
}

/// The headers about a subscription's windows, as the API sends them with every response to a
/// subscription's credential (shape seen in the public issues anthropics/claude-code#12829 and
/// router-for-me/CLIProxyAPI#5915). `rejected` is the window that is used up.
pub(super) fn limit_headers(
    rejected: Option<Window>,
    reset_s: u64,
    utilization: &str,
    now_ms: u64,
) -> Headers {
    let (claim, short) = match rejected {
        None | Some(Window::FiveHour) => ("five_hour", "5h"),
        Some(Window::SevenDay) => ("seven_day", "7d"),
        Some(Window::SevenDayOpus) => ("seven_day_opus", "7d_opus"),
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
    let mut window = |name: &str, status: &str, reset_s: u64, utilization: &str| {
        add(&format!("{name}-status"), status.into());
        add(&format!("{name}-reset"), reset_s.to_string());
        add(&format!("{name}-utilization"), utilization.into());
    };
    for (name, length_s) in [("5h", 60 * 60), ("7d", 3 * 24 * 60 * 60)] {
        if name != short {
            window(name, "allowed", now_ms / 1000 + length_s, "0.31");
        }
    }
    window(short, status, reset_s, utilization);
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
    error_reply_with(429, "rate_limit_error", message, headers)
}

fn spend_limit() -> Reply {
    let headers = service_headers();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::Action;

    #[test]
    fn self_set_limit_ends_with_the_month() {
        for (now_ms, date) in [
            (0, "1970-02-01"),
            // The last millisecond of a year, and of a February that has 29 days.
            (1_735_689_599_999, "2025-01-01"),
            (1_709_251_199_999, "2024-03-01"),
            (1_709_251_200_000, "2024-04-01"),
        ] {
            let reply = self_set_limit(now_ms);
            let [Action::Send(body)] = reply.body.as_slice() else {
                panic!("{reply:?}")
            };
            let body: Value = serde_json::from_slice(body).unwrap();
            let expected = format!(
                "You have reached your specified API usage limits. You will regain access on \
                 {date} at 00:00 UTC."
            );
            assert_eq!(body["error"]["message"], expected);
        }
    }
}
