//! The headers with which Anthropic reports limits.

use http::HeaderMap;
use http::header::RETRY_AFTER;

use super::{LimitOf, Verdict};
use crate::model_family::ModelFamily;
use crate::time::Timestamp;

const RATE_LIMIT: &str = "anthropic-ratelimit-";
const UNIFIED: &str = "anthropic-ratelimit-unified-";

/// Whether a response has a header about a limit or about the time of another try, readable or not.
pub(super) fn has_limit_headers(headers: &HeaderMap) -> bool {
    headers.contains_key(RETRY_AFTER)
        || headers
            .keys()
            .any(|name| name.as_str().starts_with(RATE_LIMIT))
}

/// Whether the only header about limits is the reason why extra usage is off: one model or beta is not
/// included, while the plan serves other requests (tombii/better-ccflare#261).
pub(super) fn has_only_disabled_overage(headers: &HeaderMap) -> bool {
    const REASON: &str = "anthropic-ratelimit-unified-overage-disabled-reason";
    headers.contains_key(REASON)
        && !headers.contains_key(RETRY_AFTER)
        && headers
            .keys()
            .all(|name| name == REASON || !name.as_str().starts_with(RATE_LIMIT))
}

/// The limit that is reached by the `anthropic-ratelimit-unified-*` headers of a subscription, if any.
pub(super) fn unified_limit(
    headers: &HeaderMap,
    requested: Option<&ModelFamily>,
    now: Timestamp,
) -> Option<Verdict> {
    let value = |name: &str| text(headers, &format!("{UNIFIED}{name}"));
    let summary = value("status");
    let is_of_plan = |window: &&str| matches!(*window, "5h" | "7d");
    let mut rejected: Vec<&str> = headers
        .keys()
        .filter_map(|name| name.as_str().strip_prefix(UNIFIED)?.strip_suffix("-status"))
        // Windows are named for their length: `5h`, `7d`, `7d_opus`. `overage` is not a window.
        .filter(|window| window.starts_with(|first: char| first.is_ascii_digit()))
        .filter(|window| value(&format!("{window}-status")) == Some("rejected"))
        .collect();
    let of_plan = rejected.iter().any(is_of_plan);
    if of_plan {
        rejected.retain(is_of_plan);
    } else if summary.is_some_and(|summary| summary != "rejected") {
        // Every response names all windows. The window of a family causes the 429 unless the summary has
        // another status than `rejected`.
        rejected.clear();
    }
    if rejected.is_empty() && summary != Some("rejected") {
        return None;
    }

    let of = if of_plan {
        LimitOf::Plan
    } else {
        // If several families are limited, use the one of this request.
        let matches_requested = |window: &&str| {
            let named = named_family(window);
            named.is_none() || named.as_ref() == requested
        };
        if rejected.iter().any(matches_requested) {
            rejected.retain(matches_requested);
        }
        let claim = value("representative-claim").unwrap_or_default();
        let is_claimed = claim.starts_with("seven_day_") || claim.contains("overage");
        let named = match rejected.iter().min() {
            Some(window) => named_family(window),
            None if is_claimed => named_family(claim),
            None => return Some(limit_until(LimitOf::Plan, &rejected, headers, now)),
        };
        match named.as_ref().or(requested) {
            Some(family) => LimitOf::Family(family.clone()),
            // A limit of an unnamed model, which this request has reached.
            None => return Some(Verdict::Entitlement),
        }
    };
    Some(limit_until(of, &rejected, headers, now))
}

/// A limit, with the latest future reset of its windows; or else the common one, or `retry-after`.
fn limit_until(of: LimitOf, windows: &[&str], headers: &HeaderMap, now: Timestamp) -> Verdict {
    let future_reset = |name: &str| {
        let seconds = text(headers, &format!("{UNIFIED}{name}"))?.parse().ok()?;
        Some(Timestamp::from_seconds(seconds)).filter(|reset| *reset > now)
    };
    let until = windows
        .iter()
        .filter_map(|window| future_reset(&format!("{window}-reset")))
        .max()
        .or_else(|| future_reset("reset"))
        .or_else(|| retry_after(headers, now));
    Verdict::UsageLimit { of, until }
}

/// The family that a window (`7d_opus`) or a claim (`seven_day_opus`) names. The window of models that are
/// paid from overage (`7d_oi`) names no family; it limits the requested model's family.
fn named_family(window_or_claim: &str) -> Option<ModelFamily> {
    let name = window_or_claim.rsplit('_').next()?;
    matches!(name, "opus" | "sonnet")
        .then(|| ModelFamily::from_model(&format!("claude-{name}")))
        .flatten()
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    Some(headers.get(name)?.to_str().ok()?.trim())
}

/// The time in `retry-after`, in whole seconds: the only form that Anthropic sends and its clients read.
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Timestamp> {
    let seconds: u32 = text(headers, "retry-after")?
        .parse::<u64>()
        .ok()
        .map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX))?;
    (seconds > 0).then(|| now.plus(std::time::Duration::from_secs(seconds.into())))
}
