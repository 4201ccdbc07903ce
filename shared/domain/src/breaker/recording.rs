//! What Plan's response to one request makes of a breaker.

use std::time::Duration;

use super::{BreakerState, CountedFailure, Signal};
use crate::id::RequestId;
use crate::policy::{BreakerPolicy, FallbackClass};
use crate::time::Timestamp;

/// Bursts within this time of one that was counted are the same burst: several agents that start at once
/// are refused within some 8 s (anthropics/claude-code#68968, #53922, #42947).
const BURST_WINDOW: Duration = Duration::from_secs(10);

/// The time for which the first burst opens the breaker. The plan has not reached a limit, and agents that
/// start one after the other are served.
const FIRST_BURST_OPEN: Duration = Duration::from_mins(1);

/// What opens a breaker.
#[derive(Clone, Copy)]
enum Opener {
    LimitWithEnd,
    Failure,
    /// Bursts, this many of them in a row.
    Burst {
        trips: u32,
    },
}

/// The response of one request, recorded at one moment under one policy.
pub(super) struct Recording<'a> {
    pub(super) request_id: &'a RequestId,
    pub(super) now: Timestamp,
    pub(super) policy: &'a BreakerPolicy,
}

impl Recording<'_> {
    pub(super) fn while_closed(
        &self,
        failures: &[CountedFailure],
        signal: Signal,
    ) -> Option<BreakerState> {
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
                self.failure(class, not_before, 0)
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

    /// Counts one more failure, unless the request is among `failures` already. `counted` are those of
    /// `failures` that still count.
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

    pub(super) fn limit(&self, until: Timestamp, trips: u32) -> BreakerState {
        self.open(
            FallbackClass::UsageLimit,
            until,
            trips,
            Opener::LimitWithEnd,
        )
    }

    pub(super) fn failure(
        &self,
        class: FallbackClass,
        not_before: Option<Timestamp>,
        trips: u32,
    ) -> BreakerState {
        let usual = self.now.plus(self.policy.open_for);
        let until = not_before.map_or(usual, |named| named.max(usual));
        self.open(class, until, trips, Opener::Failure)
    }

    pub(super) fn burst(&self, trips: u32, burst_trips: u32) -> BreakerState {
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
        let until = until.plus(jitter(self.request_id, self.policy.jitter));
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

/// A part of `most` that differs from request to request and is always the same for one. Request ids are
/// random enough, and this crate has no random source.
fn jitter(request_id: &RequestId, most: Duration) -> Duration {
    // FNV-1a, whose low bits are the good ones.
    let hash = request_id
        .as_str()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    let thousandths = u32::try_from(hash % 1000).unwrap_or(0);
    most.saturating_mul(thousandths) / 1000
}
