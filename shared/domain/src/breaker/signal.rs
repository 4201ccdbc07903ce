//! What a verdict means for a breaker.

use super::Circuit;
use crate::policy::{BreakerScope, FallbackClass};
use crate::time::Timestamp;
use crate::verdict::{LimitOf, Verdict};

/// What a verdict means for one breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// What this breaker guards works.
    Success,
    /// It is exhausted until a known moment.
    LimitUntil(Timestamp),
    /// It failed.
    Failure {
        /// The kind of failure.
        class: FallbackClass,
        /// The earliest moment for another try, where the response names one.
        not_before: Option<Timestamp>,
    },
    /// It refuses requests that come close together, and names no moment at which it accepts them again.
    Burst,
    /// It responded, and the response is about the request.
    Answered,
    /// The response has no meaning for what this breaker guards.
    Nothing,
}

impl Signal {
    /// What `verdict` means for the breaker of `circuit`.
    pub fn of(verdict: &Verdict, circuit: &Circuit, scope: BreakerScope) -> Self {
        let failure = |not_before: Option<Timestamp>| Self::Failure {
            class: verdict.fallback_class().unwrap_or(FallbackClass::Broken),
            not_before,
        };
        match (verdict, circuit) {
            (Verdict::Good, _) => Self::Success,
            (Verdict::UsageLimit { of, until }, _) => match (of, circuit) {
                (LimitOf::Plan, Circuit::Key) => until.map_or(failure(None), Self::LimitUntil),
                (LimitOf::Family(limited), Circuit::Family(asked)) if limited == asked => {
                    until.map_or(failure(None), Self::LimitUntil)
                }
                // The plan as a whole, and Anthropic, have responded.
                (LimitOf::Family(_), Circuit::Key) | (_, Circuit::Deployment) => Self::Answered,
                (_, Circuit::Family(_)) => Self::Nothing,
            },
            (Verdict::RateLimited { retry_at }, Circuit::Key) => failure(*retry_at),
            (Verdict::Burst, Circuit::Key) => Self::Burst,
            (Verdict::RateLimited { .. } | Verdict::Burst, Circuit::Family(_)) => Self::Nothing,
            (Verdict::Overloaded { retry_at } | Verdict::Broken { retry_at }, circuit) => {
                match (circuit, scope) {
                    (Circuit::Key, BreakerScope::Key)
                    | (Circuit::Deployment, BreakerScope::Deployment) => failure(*retry_at),
                    _ => Self::Nothing,
                }
            }
            (Verdict::RateLimited { .. } | Verdict::Burst, Circuit::Deployment)
            | (Verdict::Entitlement | Verdict::Login | Verdict::ClientFault, _) => Self::Answered,
        }
    }
}
