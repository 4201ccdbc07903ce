//! The breaker: after Plan has said for how long it is exhausted, or has failed several times in a row,
//! requests go to Bedrock without asking Plan first, until one of them probes whether Plan is back.
//!
//! One breaker's state is a value, and its transitions are two pure functions: [`BreakerState::ask`]
//! before a request, [`BreakerState::tell`] after Plan's answer. Whoever keeps the state writes what
//! they return on the condition that it has not changed meanwhile, and otherwise asks them again with
//! what it has become. So a fleet that shares nothing but the stored state never has two probes.
//!
//! *Closed* means that traffic flows, here, in logs and on screens.
//!
//! # Transitions
//!
//! `n` is [`BreakerPolicy::failures`], `ƒ` the failures within [`BreakerPolicy::window`].
//!
//! | state | asked | [`Success`] | [`LimitUntil`] | [`Failure`] | [`Burst`] | [`Answered`] | [`Nothing`] |
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
//! A dash writes nothing. Who is not the probe changes nothing that is not closed, however late its
//! answer comes, and telling the same answer twice is telling it once.
//!
//! [`Success`]: Signal::Success
//! [`LimitUntil`]: Signal::LimitUntil
//! [`Failure`]: Signal::Failure
//! [`Burst`]: Signal::Burst
//! [`Answered`]: Signal::Answered
//! [`Nothing`]: Signal::Nothing

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use crate::circuit::{Circuit, UnknownCircuit};
use crate::id::RequestId;
use crate::policy::{BreakerPolicy, BreakerScope, FallbackClass};
use crate::time::Timestamp;
use crate::verdict::{LimitOf, Verdict};

/// The state of one breaker. Each is written with the clock of the instance that wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum BreakerState {
    /// Plan is asked.
    Closed {
        /// The latest counted failures in a row, oldest first; fewer than open the breaker.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        failures: Vec<CountedFailure>,
    },
    /// Plan is not asked.
    Open {
        /// What opened it.
        because: FallbackClass,
        /// When it was opened last.
        since: Timestamp,
        /// From then on, one request probes.
        until: Timestamp,
        /// How often it was opened since it was closed last.
        trips: u32,
        /// How many of these openings, counted back from the last one, were due to a burst without
        /// another reason in between. Zero in items that were written without this field.
        #[serde(default, skip_serializing_if = "is_zero")]
        burst_trips: u32,
        /// A limit opened it whose end the answer named. False in items that were written without this
        /// field.
        #[serde(default, skip_serializing_if = "is_false")]
        end_is_known: bool,
    },
    /// One request has been sent to see whether Plan is back.
    HalfOpen {
        /// What had opened it.
        because: FallbackClass,
        /// When it was opened last.
        since: Timestamp,
        /// The request that may ask Plan.
        probe: RequestId,
        /// From then on, another request may.
        lease_until: Timestamp,
        /// How often it was opened since it was closed last.
        trips: u32,
        /// How many of these openings, counted back from the last one, were due to a burst without
        /// another reason in between. Zero in items that were written without this field.
        #[serde(default, skip_serializing_if = "is_zero")]
        burst_trips: u32,
        /// A limit opened it whose end the answer named. False in items that were written without this
        /// field.
        #[serde(default, skip_serializing_if = "is_false")]
        end_is_known: bool,
    },
}

/// A failure that counts towards opening.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CountedFailure {
    /// When its answer came.
    pub at: Timestamp,
    /// Whose answer it was, so that none counts twice.
    pub request: RequestId,
    /// It was a burst. False in items that were written without this field.
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

/// May a request ask Plan?
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Yes.
    Allow,
    /// Yes, as the only one in the whole fleet, to see whether Plan is back.
    Probe,
    /// No.
    Deny {
        /// What opened the breaker.
        because: FallbackClass,
        /// When Plan is asked again, at the earliest.
        until: Timestamp,
    },
}

/// What the breaker says to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// May it ask Plan? A probe may only once `next` is written.
    pub admission: Admission,
    /// What the state becomes by asking, if anything.
    pub next: Option<BreakerState>,
}

/// What a verdict says to one breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// What this breaker guards works.
    Success,
    /// It is exhausted, and it is known until when.
    LimitUntil(Timestamp),
    /// It failed.
    Failure {
        /// How.
        class: FallbackClass,
        /// Another try is not welcome before.
        not_before: Option<Timestamp>,
    },
    /// It refuses requests that come close together, and says nothing about when it accepts them again.
    Burst,
    /// It answered; the answer was about the request.
    Answered,
    /// The answer says nothing about what this breaker guards.
    Nothing,
}

impl Signal {
    /// What `verdict` says to the breaker of `circuit`.
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
                // The plan as a whole, and Anthropic, have answered.
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

/// A clock of another instance may be wrong by this much and still be believed. Beyond it, what was
/// written under a wild clock counts as over, so that it cannot keep a breaker open for ever.
const CLOCK_TOLERANCE: Duration = Duration::from_mins(5);

/// Bursts within this time of one that was counted are the same burst: several agents that start at once
/// are refused within some 8 s (anthropics/claude-code#68968, #53922, #42947).
const BURST_WINDOW: Duration = Duration::from_secs(10);

/// How long a burst opens the breaker for at first. The plan itself is well, and agents that start one
/// after the other are served.
const FIRST_BURST_OPEN: Duration = Duration::from_mins(1);

impl BreakerState {
    /// Traffic flows, and nothing has failed.
    pub const CLOSED: Self = Self::Closed {
        failures: Vec::new(),
    };

    /// Whether the breaker is open at `now` and stays so until a known moment to come: nothing that
    /// happens elsewhere changes this, but an admin's reset.
    pub fn is_open(&self, now: Timestamp, policy: &BreakerPolicy) -> bool {
        match self {
            Self::Open { until, .. } => lasts(*until, now, policy.max_open),
            Self::Closed { .. } | Self::HalfOpen { .. } => false,
        }
    }

    /// Whether a limit with a known end opened the breaker. Plan is of no use before that end; after any
    /// other failure it may be well again at any moment.
    pub fn is_opened_by_limit_with_end(&self) -> bool {
        match self {
            Self::Open { end_is_known, .. } | Self::HalfOpen { end_is_known, .. } => *end_is_known,
            Self::Closed { .. } => false,
        }
    }

    /// May the request `who` ask Plan at `now`?
    pub fn ask(&self, who: &RequestId, now: Timestamp, policy: &BreakerPolicy) -> Asked {
        let (because, since, trips, burst_trips, end_is_known) = match self {
            Self::Closed { .. } => {
                return Asked {
                    admission: Admission::Allow,
                    next: None,
                };
            }
            Self::Open { because, until, .. } if lasts(*until, now, policy.max_open) => {
                return Asked {
                    admission: Admission::Deny {
                        because: *because,
                        until: *until,
                    },
                    next: None,
                };
            }
            Self::HalfOpen { probe, .. } if probe == who => {
                return Asked {
                    admission: Admission::Probe,
                    next: None,
                };
            }
            Self::HalfOpen {
                because,
                lease_until,
                ..
            } if lasts(*lease_until, now, BreakerPolicy::LONGEST_LEASE) => {
                return Asked {
                    admission: Admission::Deny {
                        because: *because,
                        until: *lease_until,
                    },
                    next: None,
                };
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
            } => (*because, *since, *trips, *burst_trips, *end_is_known),
        };
        Asked {
            admission: Admission::Probe,
            next: Some(Self::HalfOpen {
                because,
                since,
                probe: who.clone(),
                lease_until: now.plus(policy.lease),
                trips,
                burst_trips,
                end_is_known,
            }),
        }
    }

    /// What the state becomes by the answer that the request `who` got at `now`; `None` when nothing
    /// changes and nothing need be written.
    pub fn tell(
        &self,
        who: &RequestId,
        signal: Signal,
        now: Timestamp,
        policy: &BreakerPolicy,
    ) -> Option<Self> {
        let telling = Telling { who, now, policy };
        match self {
            Self::Closed { failures } => telling.while_closed(failures, signal),
            Self::HalfOpen {
                because,
                since,
                probe,
                trips,
                burst_trips,
                end_is_known,
                ..
            } if probe == who => Some(match signal {
                Signal::Success | Signal::Answered => Self::CLOSED,
                Signal::LimitUntil(until) => telling.limit(until, *trips),
                Signal::Failure { class, not_before } => telling.failed(class, not_before, *trips),
                Signal::Burst => telling.burst(*trips, *burst_trips),
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

/// What opens a breaker.
#[derive(Clone, Copy)]
enum Opener {
    LimitWithEnd,
    Failure,
    /// So many bursts in a row have opened it.
    Burst {
        trips: u32,
    },
}

/// Who tells of an answer, when it came, and the policy in force.
struct Telling<'a> {
    who: &'a RequestId,
    now: Timestamp,
    policy: &'a BreakerPolicy,
}

impl Telling<'_> {
    fn while_closed(&self, failures: &[CountedFailure], signal: Signal) -> Option<BreakerState> {
        let (now, window) = (self.now, self.policy.window);
        // A clock that runs ahead must not make a failure count for longer.
        let counts = |failure: &&CountedFailure| {
            now.since(failure.at) <= window && failure.at.since(now) <= window
        };
        let counted: Vec<CountedFailure> = failures.iter().filter(counts).cloned().collect();
        match signal {
            Signal::Success => (!counted.is_empty()).then_some(BreakerState::CLOSED),
            Signal::Answered | Signal::Nothing => None,
            Signal::LimitUntil(until) => Some(self.limit(until, 0)),
            Signal::Failure { class, not_before } => self.count(failures, counted, false, || {
                self.failed(class, not_before, 0)
            }),
            Signal::Burst => {
                let is_same = |failure: &CountedFailure| {
                    failure.is_burst
                        && now.since(failure.at) < BURST_WINDOW
                        && failure.at.since(now) < BURST_WINDOW
                };
                if failures.iter().any(is_same) {
                    return None;
                }
                self.count(failures, counted, true, || self.burst(0, 0))
            }
        }
    }

    /// One more failure, unless the request has failed before. `counted` are those of `failures` that
    /// still count.
    fn count(
        &self,
        failures: &[CountedFailure],
        mut counted: Vec<CountedFailure>,
        is_burst: bool,
        opened: impl FnOnce() -> BreakerState,
    ) -> Option<BreakerState> {
        if failures.iter().any(|failure| failure.request == *self.who) {
            return None;
        }
        counted.push(CountedFailure {
            at: self.now,
            request: self.who.clone(),
            is_burst,
        });
        let enough = usize::try_from(self.policy.failures).unwrap_or(usize::MAX);
        Some(if counted.len() >= enough {
            opened()
        } else {
            BreakerState::Closed { failures: counted }
        })
    }

    fn limit(&self, until: Timestamp, trips: u32) -> BreakerState {
        self.open(
            FallbackClass::UsageLimit,
            until,
            trips,
            Opener::LimitWithEnd,
        )
    }

    fn failed(
        &self,
        class: FallbackClass,
        not_before: Option<Timestamp>,
        trips: u32,
    ) -> BreakerState {
        let usual = self.now.plus(self.policy.open_for);
        let until = not_before.map_or(usual, |named| named.max(usual));
        self.open(class, until, trips, Opener::Failure)
    }

    fn burst(&self, trips: u32, burst_trips: u32) -> BreakerState {
        let doubled = FIRST_BURST_OPEN.saturating_mul(2_u32.saturating_pow(burst_trips));
        self.open(
            FallbackClass::RateLimited,
            self.now.plus(doubled.min(self.policy.open_for)),
            trips,
            Opener::Burst {
                trips: burst_trips.saturating_add(1),
            },
        )
    }

    fn open(
        &self,
        because: FallbackClass,
        until: Timestamp,
        trips: u32,
        opener: Opener,
    ) -> BreakerState {
        let burst_trips = match opener {
            Opener::Burst { trips } => trips,
            Opener::LimitWithEnd | Opener::Failure => 0,
        };
        let until = until.plus(jitter(self.who, self.policy.jitter));
        BreakerState::Open {
            because,
            since: self.now,
            until: until.min(self.now.plus(self.policy.max_open)),
            trips: trips.saturating_add(1),
            burst_trips,
            end_is_known: matches!(opener, Opener::LimitWithEnd),
        }
    }
}

/// Whether a time that was said to last until `until`, and lasts `at_most`, goes on at `now`.
fn lasts(until: Timestamp, now: Timestamp, at_most: Duration) -> bool {
    now < until && until.since(now) <= at_most.saturating_add(CLOCK_TOLERANCE)
}

/// A part of `most` that differs from request to request and is always the same for one: request ids
/// are random enough, and this crate has no randomness of its own.
fn jitter(who: &RequestId, most: Duration) -> Duration {
    // FNV-1a, whose low bits are the good ones.
    let hash = who
        .as_str()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    let thousandths = u32::try_from(hash % 1000).unwrap_or(0);
    most.saturating_mul(thousandths) / 1000
}
