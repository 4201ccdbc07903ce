//! The breaker: after Plan has named the end of a limit, or has failed several times in a row, requests go
//! to Bedrock and Plan receives nothing, until one request probes whether Plan is back.
//!
//! The state of one breaker is a value, and its transitions are two pure functions: [`BreakerState::admit`]
//! before a request, [`BreakerState::record`] after Plan's response. The owner of the stored state writes what
//! they return on the condition that it has not changed meanwhile, and otherwise calls them again with the
//! current state. So a fleet that shares nothing but the stored state never has two probes. A request is
//! guarded by several breakers, which [`admit`] combines.
//!
//! *Closed* means that requests go to Plan, here, in logs and on screens.
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
//! that the probe meets a burst again, up to [`BreakerPolicy::open_for`].
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

use serde::{Deserialize, Serialize};

pub use self::combined::{CombinedDecision, Guard, admit};
use self::recording::Recording;
pub use self::signal::Signal;
pub use crate::circuit::{Circuit, UnknownCircuit};
use crate::id::RequestId;
use crate::policy::{BreakerPolicy, FallbackClass};
use crate::time::Timestamp;

/// The state of one breaker. Its times are those of the clock of the instance that wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum BreakerState {
    /// Requests go to Plan.
    Closed {
        /// The latest counted failures in a row, oldest first; fewer than open the breaker.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        failures: Vec<CountedFailure>,
    },
    /// No request goes to Plan.
    Open {
        /// What opened it.
        because: FallbackClass,
        /// When it was opened.
        since: Timestamp,
        /// When it ends; then one request probes.
        until: Timestamp,
        /// How often it was opened since it was closed last.
        trips: u32,
        /// How many of these openings, counted back from the last one, were due to a burst without
        /// another reason in between. Zero in items that were written without this field.
        #[serde(default, skip_serializing_if = "is_zero")]
        burst_trips: u32,
        /// Whether a limit opened it whose end the response named. False in items that were written without this
        /// field.
        #[serde(default, skip_serializing_if = "is_false")]
        end_is_known: bool,
    },
    /// One request has been sent to see whether Plan is back.
    HalfOpen {
        /// What opened it.
        because: FallbackClass,
        /// When it was opened.
        since: Timestamp,
        /// The request that may go to Plan.
        probe: RequestId,
        /// When the lease of the probe ends; then another request may probe.
        lease_until: Timestamp,
        /// How often it was opened since it was closed last.
        trips: u32,
        /// How many of these openings, counted back from the last one, were due to a burst without
        /// another reason in between. Zero in items that were written without this field.
        #[serde(default, skip_serializing_if = "is_zero")]
        burst_trips: u32,
        /// Whether a limit opened it whose end the response named. False in items that were written without this
        /// field.
        #[serde(default, skip_serializing_if = "is_false")]
        end_is_known: bool,
    },
}

/// A failure that counts towards opening.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CountedFailure {
    /// When its response came.
    pub at: Timestamp,
    /// The request that failed, so that none counts twice.
    pub request: RequestId,
    /// Whether it was a burst. False in items that were written without this field.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_burst: bool,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn is_false(flag: &bool) -> bool {
    !flag
}

impl Default for BreakerState {
    fn default() -> Self {
        Self::CLOSED
    }
}

/// Whether a request may go to Plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    Allow,
    /// It may, as the only request of the whole fleet, to see whether Plan is back.
    Probe,
    /// It may not.
    Deny {
        /// What opened the breaker.
        class: FallbackClass,
        /// The earliest moment at which a request may go to Plan again.
        until: Timestamp,
        /// Whether a limit opened the breaker whose end Plan named. Plan is of no use before that end;
        /// after any other failure it may be well again at any moment.
        is_limit_with_end: bool,
    },
}

/// What one breaker decides for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether the request may go to Plan; as a probe only once `next` is written.
    pub admission: Admission,
    /// The state that the decision leads to, where it changes the state: the lease of a probe.
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

/// The most that the clock of another instance may be wrong. A time that lies further ahead counts as over,
/// so that an instance with a wild clock cannot keep a breaker open for ever.
const CLOCK_TOLERANCE: Duration = Duration::from_mins(5);

impl BreakerState {
    /// Requests go to Plan, and nothing has failed.
    pub const CLOSED: Self = Self::Closed {
        failures: Vec::new(),
    };

    /// Whether the breaker is open at `now` and stays so until a known moment to come. Only an admin's reset
    /// changes this.
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
            Self::Open { until, .. } if lasts(*until, now, policy.max_open) => {
                self.deny_until(*until).into()
            }
            Self::HalfOpen { probe, .. } if probe == request_id => Admission::Probe.into(),
            Self::HalfOpen { lease_until, .. }
                if lasts(*lease_until, now, BreakerPolicy::LONGEST_LEASE) =>
            {
                self.deny_until(*lease_until).into()
            }
            Self::Open {
                because,
                since,
                trips,
                burst_trips,
                end_is_known,
                ..
            }
            | Self::HalfOpen {
                because,
                since,
                trips,
                burst_trips,
                end_is_known,
                ..
            } => Decision {
                admission: Admission::Probe,
                next: Some(Self::HalfOpen {
                    because: *because,
                    since: *since,
                    probe: request_id.clone(),
                    lease_until: now.plus(policy.lease),
                    trips: *trips,
                    burst_trips: *burst_trips,
                    end_is_known: *end_is_known,
                }),
            },
        }
    }

    /// A denial until `until`, for what opened the breaker; a closed breaker denies nothing.
    pub fn deny_until(&self, until: Timestamp) -> Admission {
        match self {
            Self::Closed { .. } => Admission::Allow,
            Self::Open {
                because,
                end_is_known,
                ..
            }
            | Self::HalfOpen {
                because,
                end_is_known,
                ..
            } => Admission::Deny {
                class: *because,
                until,
                is_limit_with_end: *end_is_known,
            },
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
            Self::HalfOpen {
                because,
                since,
                probe,
                trips,
                burst_trips,
                end_is_known,
                ..
            } if probe == request_id => Some(match signal {
                Signal::Success | Signal::Answered => Self::CLOSED,
                Signal::LimitUntil(until) => recording.limit(until, *trips),
                Signal::Failure { class, not_before } => {
                    recording.failure(class, not_before, *trips)
                }
                Signal::Burst => recording.burst(*trips, *burst_trips),
                Signal::Nothing => Self::Open {
                    because: *because,
                    since: *since,
                    until: now,
                    trips: *trips,
                    burst_trips: *burst_trips,
                    end_is_known: *end_is_known,
                },
            }),
            Self::Open { .. } | Self::HalfOpen { .. } => None,
        }
    }
}

/// Returns true while `now < until`, unless `until` is further ahead than `at_most` and the tolerance for
/// clocks allow.
fn lasts(until: Timestamp, now: Timestamp, at_most: Duration) -> bool {
    now < until && until.since(now) <= at_most.saturating_add(CLOCK_TOLERANCE)
}
