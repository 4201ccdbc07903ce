//! The state of a breaker after Plan's response to one request.

use std::time::Duration;

use super::{BreakerState, CountedFailure, Signal, Trip};
use crate::id::RequestId;
use crate::policy::{BreakerPolicy, FallbackClass};
use crate::time::Timestamp;

/// The time within which bursts count as one. Several agents that start at once are rejected within some 8 s
/// (anthropics/claude-code#68968, #53922, #42947).
const BURST_WINDOW: Duration = Duration::from_secs(10);

/// The time for which the first burst opens the breaker. The plan has not reached a limit, and Plan accepts
/// agents that start one after the other.
const FIRST_BURST_OPEN: Duration = Duration::from_mins(1);

/// The response of one request, recorded at one time under one policy.
pub(super) struct Recording<'a> {
    pub(super) request_id: &'a RequestId,
    pub(super) now: Timestamp,
    pub(super) policy: &'a BreakerPolicy,
}

impl Recording<'_> {
    /// The state after a response while the breaker is closed; `None` if the state stays the same.
    pub(super) fn while_closed(
        &self,
        failures: &[CountedFailure],
        signal: Signal,
    ) -> Option<BreakerState> {
        let (now, window) = (self.now, self.policy.window);
        // A failure whose recorded time lies in the future must not count for longer than the window.
        let counts = |failure: &&CountedFailure| {
            now.since(failure.at) <= window && failure.at.since(now) <= window
        };
        let counted: Vec<CountedFailure> = failures.iter().filter(counts).cloned().collect();
        match signal {
            Signal::Success => (!counted.is_empty()).then_some(BreakerState::CLOSED),
            Signal::Answered | Signal::Nothing => None,
            Signal::LimitUntil(until) => Some(self.open_for_limit(until, 0)),
            Signal::Failure { class, not_before } => self.count(failures, counted, false, || {
                self.open_for_failure(class, not_before, 0)
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
                self.count(failures, counted, true, || self.open_for_burst(0, 0))
            }
        }
    }

    /// Counts one more failure, unless `failures` already has one of the same request. `counted` has the
    /// members of `failures` within the window. `opened` returns the state if the number is reached.
    fn count(
        &self,
        failures: &[CountedFailure],
        mut counted: Vec<CountedFailure>,
        is_burst: bool,
        opened: impl FnOnce() -> BreakerState,
    ) -> Option<BreakerState> {
        if failures
            .iter()
            .any(|failure| failure.request == *self.request_id)
        {
            return None;
        }
        counted.push(CountedFailure {
            at: self.now,
            request: self.request_id.clone(),
            is_burst,
        });
        let enough = usize::try_from(self.policy.failures).unwrap_or(usize::MAX);
        Some(if counted.len() >= enough {
            opened()
        } else {
            BreakerState::Closed { failures: counted }
        })
    }

    /// The state after the response to the probe of the breaker that `trip` opened.
    pub(super) fn while_probing(&self, trip: &Trip, signal: Signal) -> BreakerState {
        match signal {
            Signal::Success | Signal::Answered => BreakerState::CLOSED,
            Signal::LimitUntil(until) => self.open_for_limit(until, trip.count),
            Signal::Failure { class, not_before } => {
                self.open_for_failure(class, not_before, trip.count)
            }
            Signal::Burst => self.open_for_burst(trip.count, trip.bursts),
            Signal::Nothing => BreakerState::Open {
                trip: *trip,
                until: self.now,
            },
        }
    }

    /// Opens the breaker until the end of a usage limit. `count` is the number of openings before this one.
    fn open_for_limit(&self, until: Timestamp, count: u32) -> BreakerState {
        let trip = Trip {
            end_is_known: true,
            ..self.next_trip(FallbackClass::UsageLimit, count)
        };
        self.open(trip, until)
    }

    fn open_for_failure(
        &self,
        class: FallbackClass,
        not_before: Option<Timestamp>,
        count: u32,
    ) -> BreakerState {
        let usual = self.now.plus(self.policy.open_for);
        let until = not_before.map_or(usual, |named| named.max(usual));
        self.open(self.next_trip(class, count), until)
    }

    /// Opens the breaker for a burst. `bursts` is the number of consecutive openings by bursts before this
    /// one.
    fn open_for_burst(&self, count: u32, bursts: u32) -> BreakerState {
        let doubled = FIRST_BURST_OPEN.saturating_mul(2_u32.saturating_pow(bursts));
        let trip = Trip {
            bursts: bursts.saturating_add(1),
            ..self.next_trip(FallbackClass::RateLimited, count)
        };
        self.open(trip, self.now.plus(doubled.min(self.policy.open_for)))
    }

    fn next_trip(&self, class: FallbackClass, count: u32) -> Trip {
        Trip {
            class,
            since: self.now,
            count: count.saturating_add(1),
            bursts: 0,
            end_is_known: false,
        }
    }

    fn open(&self, trip: Trip, until: Timestamp) -> BreakerState {
        let until = until.plus(jitter(self.request_id, self.policy.jitter));
        BreakerState::Open {
            trip,
            until: until.min(self.now.plus(self.policy.max_open)),
        }
    }
}

/// A fraction of `most`, derived from the request id: constant for one request, spread over all requests. This
/// crate has no random source.
fn jitter(request_id: &RequestId, most: Duration) -> Duration {
    // FNV-1a; its low bits are the most evenly distributed.
    let hash = request_id
        .as_str()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    let thousandths = u32::try_from(hash % 1000).unwrap_or(0);
    most.saturating_mul(thousandths) / 1000
}
