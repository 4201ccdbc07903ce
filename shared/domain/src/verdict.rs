//! What an answer from Plan means, and what is done about it.
//!
//! Routing and breaker read the same verdict, so they cannot drift apart.

use http::{HeaderMap, StatusCode};

use crate::time::Timestamp;

/// The meaning of one answer from Plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It answered.
    Good,
    /// 429 with `anthropic-ratelimit-unified-status: rejected`: the plan is used up.
    UsageLimit {
        /// When the plan comes back, as `anthropic-ratelimit-unified-reset` (Unix seconds) says.
        until: Option<Timestamp>,
    },
    /// Any other 429.
    RateLimited,
    /// 529.
    Overloaded,
    /// 5xx, or no answer at all.
    Broken,
    /// 401 and 403: the developer's own login. It never falls back, or a logged-out developer
    /// would be billed on Bedrock.
    Login,
    /// The request itself was refused. Another upstream would refuse it too.
    ClientFault,
}

/// Why a request went to Bedrock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FallbackReason {
    /// The plan is used up.
    UsageLimit,
    /// Plan throttled the request.
    RateLimited,
}

impl FallbackReason {
    /// The name in `x-spillway-upstream` and in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UsageLimit => "usage_limit",
            Self::RateLimited => "rate_limited",
        }
    }
}

/// What to do after Plan's answer, while the client has seen nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Hand the answer to the client as it is.
    Deliver,
    /// Send the same request to Bedrock.
    FallBack(FallbackReason),
}

impl Verdict {
    /// Reads the status line and headers of an answer.
    pub fn read(status: StatusCode, headers: &HeaderMap) -> Self {
        match status.as_u16() {
            200..=399 => Self::Good,
            401 | 403 => Self::Login,
            429 if text(headers, "anthropic-ratelimit-unified-status") == Some("rejected") => {
                Self::UsageLimit {
                    until: reset(headers),
                }
            }
            429 => Self::RateLimited,
            529 => Self::Overloaded,
            400..=499 => Self::ClientFault,
            _ => Self::Broken,
        }
    }

    /// What follows for the request.
    pub fn next(self) -> Next {
        match self {
            Self::UsageLimit { .. } => Next::FallBack(FallbackReason::UsageLimit),
            Self::RateLimited => Next::FallBack(FallbackReason::RateLimited),
            Self::Good | Self::Overloaded | Self::Broken | Self::Login | Self::ClientFault => {
                Next::Deliver
            }
        }
    }

    /// The name in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::UsageLimit { .. } => "usage_limit",
            Self::RateLimited => "rate_limited",
            Self::Overloaded => "overloaded",
            Self::Broken => "broken",
            Self::Login => "login",
            Self::ClientFault => "client_fault",
        }
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

fn reset(headers: &HeaderMap) -> Option<Timestamp> {
    let seconds = text(headers, "anthropic-ratelimit-unified-reset")?
        .trim()
        .parse()
        .ok()?;
    Some(Timestamp::from_seconds(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(status: u16, headers: &[(&'static str, &'static str)]) -> Verdict {
        let headers = headers
            .iter()
            .map(|(name, value)| {
                (
                    http::HeaderName::from_static(name),
                    http::HeaderValue::from_static(value),
                )
            })
            .collect();
        Verdict::read(StatusCode::from_u16(status).unwrap(), &headers)
    }

    #[test]
    fn every_429_falls_back_and_nothing_else_does() {
        for status in 200..600 {
            let falls_back = matches!(verdict(status, &[]).next(), Next::FallBack(_));
            assert_eq!(falls_back, status == 429, "{status}");
        }
    }

    #[test]
    fn a_rejected_plan_names_when_it_comes_back() {
        let rejected = ("anthropic-ratelimit-unified-status", "rejected");
        let reset = ("anthropic-ratelimit-unified-reset", "1795000000");
        assert_eq!(
            verdict(429, &[rejected, reset]),
            Verdict::UsageLimit {
                until: Some(Timestamp::from_seconds(1_795_000_000))
            }
        );
        let garbled = ("anthropic-ratelimit-unified-reset", "tomorrow");
        assert_eq!(
            verdict(429, &[rejected, garbled]),
            Verdict::UsageLimit { until: None }
        );
        assert_eq!(
            verdict(429, &[("anthropic-ratelimit-unified-status", "allowed")]),
            Verdict::RateLimited
        );
    }

    #[test]
    fn a_served_request_is_good_even_when_the_plan_runs_on_overage() {
        let rejected = ("anthropic-ratelimit-unified-status", "rejected");
        assert_eq!(verdict(200, &[rejected]), Verdict::Good);
    }

    #[test]
    fn the_developers_login_and_the_clients_faults_stay_on_plan() {
        for status in [401, 403] {
            assert_eq!(verdict(status, &[]), Verdict::Login, "{status}");
        }
        for status in [400, 402, 404, 408, 409, 413, 422] {
            assert_eq!(verdict(status, &[]), Verdict::ClientFault, "{status}");
        }
        assert_eq!(verdict(529, &[]), Verdict::Overloaded);
        for status in [500, 502, 503, 504] {
            assert_eq!(verdict(status, &[]), Verdict::Broken, "{status}");
        }
    }
}
