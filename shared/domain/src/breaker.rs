//! The breaker: after Plan has named the end of a limit, or has failed several times in a row, requests go
//! to Bedrock and none to Plan, until one request probes whether Plan is back.
//!
//! The state of one breaker is a value, and its transitions are two pure functions: [`BreakerState::admit`]
//! before a request, [`BreakerState::record`] after Plan's response. The owner of the stored state writes the
//! returned state on the condition that the stored state is unchanged, and otherwise calls the function again
//! with the current state. So a fleet that shares only the stored state never has two probes. Several breakers
//! guard a request; [`admit`] combines their decisions.
//!
//! *Closed* means that requests go to Plan. Logs and screens use the word in the same sense.
//!
//! # Transitions
//!
//! `n` is [`BreakerPolicy::failures`], `ƒ` the failures within [`BreakerPolicy::window`].
//!
//! | state | `admit` | [`Success`] | [`LimitUntil`] | [`Failure`] | [`Burst`] | [`Answered`] | [`Nothing`] |
//! |---|---|---|---|---|---|---|---|
//! | no `ƒ` | allow | – | open | `ƒ` + 1 < `n`: `ƒ` + 1, else open | `ƒ` + 1 < `n`: `ƒ` + 1, else open | – | – |
//! | `ƒ` < `n` | allow | no `ƒ` | open | `ƒ` + 1 < `n`: `ƒ` + 1, else open | `ƒ` + 1 < `n`: `ƒ` + 1, else open | – | – |
//! | `ƒ` < `n`, with a burst in the last 10 s | allow | no `ƒ` | open | `ƒ` + 1 < `n`: `ƒ` + 1, else open | – | – | – |
//! | open, before `until` | deny | – | – | – | – | – | – |
//! | open, after `until` | half-open, probe | – | – | – | – | – | – |
//! | half-open, another's probe | deny | – | – | – | – | – | – |
//! | half-open, another's probe, lease over | half-open, probe | – | – | – | – | – | – |
//! | half-open, own probe | probe | closed | open | open | open | closed | open until now |
//!
//! Of bursts, one per 10 s is counted. A burst opens the breaker for 60 s, and for twice as long each time
//! that the probe receives a burst again, up to [`BreakerPolicy::open_for`].
//!
//! A dash writes nothing. Only the probe changes an open or half-open breaker; late responses are ignored.
//! Recording a response twice has no further effect.
//!
//! [`Success`]: Signal::Success
//! [`LimitUntil`]: Signal::LimitUntil
//! [`Failure`]: Signal::Failure
//! [`Burst`]: Signal::Burst
//! [`Answered`]: Signal::Answered
//! [`Nothing`]: Signal::Nothing

mod combined;
mod recording;
mod signal;

use std::time::Duration;

pub use self::combined::{CombinedDecision, Guard, admit};
use self::recording::Recording;
pub use self::signal::Signal;
pub use crate::circuit::{Circuit, UnknownCircuit};
use crate::id::RequestId;
use crate::policy::{BreakerPolicy, FallbackClass};
use crate::time::Timestamp;

/// The state of one breaker. Its times are those of the clock of the instance that wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum BreakerState {
    /// Requests go to Plan.
    Closed {
        /// The latest counted failures in a row, oldest first; fewer than open the breaker.
        failures: Vec<CountedFailure>,
    },
    /// No request goes to Plan.
    Open {
        /// The latest opening of the breaker.
        trip: Trip,
        /// The time from which one request may probe.
        until: Timestamp,
    },
    /// One request probes whether Plan is back.
    HalfOpen {
        /// The latest opening of the breaker.
        trip: Trip,
        /// The request that may go to Plan.
        probe: RequestId,
        /// The end of the probe's lease, from which another request may probe.
        lease_until: Timestamp,
    },
}

/// One opening of a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Trip {
    /// The class of the failure that opened the breaker.
    pub class: FallbackClass,
    /// The time at which the breaker opened.
    pub since: Timestamp,
    /// The number of openings since the breaker was last closed, this one included.
    pub count: u32,
    /// The number of consecutive openings by a burst, counted back from this one. Zero if this one has
    /// another cause.
    pub bursts: u32,
    /// Whether a usage limit opened the breaker and Plan's response named the limit's end.
    pub end_is_known: bool,
}

/// A failure that counts towards opening.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CountedFailure {
    /// The time at which the failed response arrived.
    pub at: Timestamp,
    /// The request that failed; each request counts once.
    pub request: RequestId,
    /// Whether the failure was a burst.
    pub is_burst: bool,
}

impl Default for BreakerState {
    fn default() -> Self {
        Self::CLOSED
    }
}

/// Whether a request may go to Plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The request may go to Plan.
    Allow,
    /// The request may go to Plan as the only one of the fleet, to test whether Plan is back.
    Probe,
    /// The request may not go to Plan.
    Deny {
        /// The class of the failure that opened the breaker.
        class: FallbackClass,
        /// The earliest time at which a request may go to Plan again.
        until: Timestamp,
        /// Whether a usage limit opened the breaker and Plan named the limit's end. Plan rejects requests
        /// before that end; after any other failure it may recover at any time.
        is_limit_with_end: bool,
    },
}

/// The decision of one breaker on a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether the request may go to Plan. A probe may go only after `next` is written.
    pub admission: Admission,
    /// The next state, with the lease of the probe; `None` if the state stays the same.
    pub next: Option<BreakerState>,
}

impl From<Admission> for Decision {
    fn from(admission: Admission) -> Self {
        Self {
            admission,
            next: None,
        }
    }
}

/// The maximum error of another instance's clock. A stored time that lies further ahead counts as past, so
/// that an instance with a wrong clock cannot keep a breaker open forever.
const CLOCK_TOLERANCE: Duration = Duration::from_mins(5);

impl BreakerState {
    /// The closed state without counted failures.
    pub const CLOSED: Self = Self::Closed {
        failures: Vec::new(),
    };

    /// Whether the breaker is open at `now`, with its end in the future. Only an admin's reset closes it
    /// before that end.
    pub fn is_open(&self, now: Timestamp, policy: &BreakerPolicy) -> bool {
        match self {
            Self::Open { until, .. } => lasts(*until, now, policy.max_open),
            Self::Closed { .. } | Self::HalfOpen { .. } => false,
        }
    }

    /// Decides whether the request may go to Plan at `now`.
    pub fn admit(
        &self,
        request_id: &RequestId,
        now: Timestamp,
        policy: &BreakerPolicy,
    ) -> Decision {
        match self {
            Self::Closed { .. } => Admission::Allow.into(),
            Self::Open { trip, until } if lasts(*until, now, policy.max_open) => {
                trip.deny_until(*until).into()
            }
            Self::HalfOpen { probe, .. } if probe == request_id => Admission::Probe.into(),
            Self::HalfOpen {
                trip, lease_until, ..
            } if lasts(*lease_until, now, BreakerPolicy::LONGEST_LEASE) => {
                trip.deny_until(*lease_until).into()
            }
            Self::Open { trip, .. } | Self::HalfOpen { trip, .. } => Decision {
                admission: Admission::Probe,
                next: Some(Self::HalfOpen {
                    trip: *trip,
                    probe: request_id.clone(),
                    lease_until: now.plus(policy.lease),
                }),
            },
        }
    }

    /// A denial until `until` by the breaker's latest trip; a closed breaker allows the request.
    pub fn deny_until(&self, until: Timestamp) -> Admission {
        match self {
            Self::Closed { .. } => Admission::Allow,
            Self::Open { trip, .. } | Self::HalfOpen { trip, .. } => trip.deny_until(until),
        }
    }

    /// The state after the response that the request received at `now`; `None` where nothing changes and
    /// nothing is to be written.
    pub fn record(
        &self,
        request_id: &RequestId,
        signal: Signal,
        now: Timestamp,
        policy: &BreakerPolicy,
    ) -> Option<Self> {
        let recording = Recording {
            request_id,
            now,
            policy,
        };
        match self {
            Self::Closed { failures } => recording.while_closed(failures, signal),
            Self::HalfOpen { trip, probe, .. } if probe == request_id => {
                Some(recording.while_probing(trip, signal))
            }
            Self::Open { .. } | Self::HalfOpen { .. } => None,
        }
    }
}

impl Trip {
    fn deny_until(&self, until: Timestamp) -> Admission {
        Admission::Deny {
            class: self.class,
            until,
            is_limit_with_end: self.end_is_known,
        }
    }
}

/// Returns true while `now < until`, unless `until` is further ahead than `at_most` and the tolerance for
/// clocks allow.
fn lasts(until: Timestamp, now: Timestamp, at_most: Duration) -> bool {
    now < until && until.since(now) <= at_most.saturating_add(CLOCK_TOLERANCE)
}
