//! The meaning of a verdict for a breaker.

use super::Circuit;
use crate::policy::{BreakerScope, FallbackClass};
use crate::time::Timestamp;
use crate::verdict::{LimitOf, Verdict};

/// The meaning of a verdict for one breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The circuit works.
    Success,
    /// A usage limit of the circuit is reached until this time.
    LimitUntil(Timestamp),
    /// The circuit failed.
    Failure {
        /// The class of the failure.
        class: FallbackClass,
        /// The earliest time for another try, where the response names one.
        not_before: Option<Timestamp>,
    },
    /// Plan rejects requests that arrive close together, without a time for another try.
    Burst,
    /// The circuit responded, and the response concerns the request alone.
    Answered,
    /// The response has no meaning for the circuit.
    Nothing,
}

impl Signal {
    /// The meaning of `verdict` for the breaker of `circuit`.
    pub fn from_verdict(verdict: &Verdict, circuit: &Circuit, scope: BreakerScope) -> Self {
        let failure = |not_before: Option<Timestamp>| Self::Failure {
            class: verdict.fallback_class().unwrap_or(FallbackClass::Broken),
            not_before,
        };
        match (verdict, circuit) {
            (Verdict::Good, _) => Self::Success,
            (Verdict::UsageLimit { of, until }, _) => match (of, circuit) {
                (LimitOf::Plan, Circuit::Key) => until.map_or(failure(None), Self::LimitUntil),
                (LimitOf::Family(limited), Circuit::Family(guarded)) if limited == guarded => {
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
