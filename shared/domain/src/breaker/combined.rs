//! The combined decision of the breakers that guard one request: a denial wins, and a probe needs every lease.

use super::{Admission, BreakerState};
use crate::id::RequestId;
use crate::policy::BreakerPolicy;
use crate::time::Timestamp;

/// One breaker that guards a request.
pub trait Guard {
    /// The state of the breaker.
    fn state(&self) -> &BreakerState;
}

/// The decision of several breakers on a request.
#[derive(Debug)]
pub struct CombinedDecision<'b, B> {
    /// Whether the request may go to Plan. A probe may go only after all of `leases` are written.
    pub admission: Admission,
    /// The breakers whose state changes, each with its next state; empty for a denial.
    pub leases: Vec<(&'b B, BreakerState)>,
}

/// Decides for a request that all of `breakers` guard. The first denial wins, and then no breaker changes. A
/// limit with a known end is reported if any of the denying breakers has one. Otherwise the request is a
/// probe if it is one for any of the breakers.
pub fn admit<'b, B: Guard>(
    breakers: impl IntoIterator<Item = &'b B>,
    policy_of: impl Fn(&B) -> BreakerPolicy,
    request_id: &RequestId,
    now: Timestamp,
) -> CombinedDecision<'b, B> {
    let mut combined = CombinedDecision {
        admission: Admission::Allow,
        leases: Vec::new(),
    };
    for breaker in breakers {
        let decision = breaker.state().admit(request_id, now, &policy_of(breaker));
        combined.admission = stricter(combined.admission, decision.admission);
        combined
            .leases
            .extend(decision.next.map(|next| (breaker, next)));
    }
    if matches!(combined.admission, Admission::Deny { .. }) {
        combined.leases.clear();
    }
    combined
}

fn stricter(first: Admission, second: Admission) -> Admission {
    match (first, second) {
        (
            Admission::Deny {
                class,
                until,
                is_limit_with_end,
            },
            Admission::Deny {
                is_limit_with_end: other_has_end,
                ..
            },
        ) => Admission::Deny {
            class,
            until,
            is_limit_with_end: is_limit_with_end || other_has_end,
        },
        (deny @ Admission::Deny { .. }, _) | (_, deny @ Admission::Deny { .. }) => deny,
        (Admission::Probe, _) | (_, Admission::Probe) => Admission::Probe,
        (Admission::Allow, Admission::Allow) => Admission::Allow,
    }
}
