//! The headers of a simulated plan's successful responses.

use super::errors::{limit_headers, service_headers};
use crate::delivery::Headers;

/// The utilization from which on a window names its surpassed threshold.
const THRESHOLD: &str = "0.75";

/// The headers of a successful response to a subscription's credential: the state of its windows and of its
/// paid overage (shape seen in the public issues anthropics/claude-code#41506 and
/// anthropics/claude-code#12829), and those of the gateway.
/// `utilization` is a decimal fraction with two places.
pub(super) fn for_success(reset_s: u64, utilization: &str, now_ms: u64) -> Headers {
    let mut headers = service_headers();
    headers.extend(limit_headers(None, reset_s, utilization, now_ms));
    let mut add = |name: &str, value: String| {
        headers.push((format!("anthropic-ratelimit-unified-{name}"), value));
    };
    // Fractions with the same number of places compare as texts.
    if utilization >= THRESHOLD {
        add("5h-surpassed-threshold", THRESHOLD.to_owned());
    }
    add("upgrade-paths", "upgrade_plan,overage".to_owned());
    add("overage-in-use", "false".to_owned());
    add("overage-utilization", "0.0".to_owned());
    add(
        "overage-reset",
        (now_ms / 1000 + 9 * 24 * 60 * 60).to_string(),
    );
    for (name, value) in [
        ("anthropic-workspace-id", "wrkspc_01SimulatedWorkspace"),
        (
            "traceresponse",
            "00-00000000000000000000000000000001-0000000000000001-01",
        ),
        ("cf-ray", "0000000000000000-SIM"),
        (
            "content-security-policy",
            "default-src 'none'; frame-ancestors 'none'",
        ),
        ("server-timing", "x-originResponse;dur=17"),
        ("server", "cloudflare"),
    ] {
        headers.push((name.to_owned(), value.to_owned()));
    }
    headers
}

pub(super) fn for_event_stream() -> Headers {
    [
        ("content-type", "text/event-stream; charset=utf-8"),
        ("cache-control", "no-cache"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}
