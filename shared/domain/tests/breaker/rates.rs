//! The number of times that independent failures open a fleet's shared breaker in simulated time, compared
//! with the number of times that as many failures follow each other by chance.
//!
//! Requests arrive at random; each goes to the free instance that was used last, as on AWS Lambda. A
//! response takes 1 s to 15 s. The store responds at once.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use domain::breaker::{BreakerState, Signal};
use domain::id::RequestId;
use domain::policy::{BreakerPolicy, BreakerScope, FallbackClass};
use domain::time::Timestamp;
use insta::assert_snapshot;

/// The cache period of a state, in milliseconds.
const CACHED_MS: i64 = 5_000;
/// The number of failures in a row that open the breaker.
const FAILURES_TO_OPEN: u32 = 3;

/// The condition under which an instance reads the state before it records a success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reads {
    /// Never.
    Never,
    /// When the cached state is older than [`CACHED_MS`].
    WhenOld,
    /// Always.
    Always,
}

/// The traffic of a deployment.
#[derive(Clone, Copy, Debug)]
struct Traffic {
    per_minute: u32,
    /// The percentage of requests that fail.
    failing_percent: u64,
    requests: u32,
}

/// The openings of one run.
#[derive(Clone, Copy, Debug, Default)]
struct Openings {
    minutes: f64,
    /// The openings of the fleet's breaker.
    fleet: u32,
    /// The openings by the same failures if one instance received them all.
    by_chance: u32,
    /// The number of reads of the stored state.
    reads: u32,
}

#[derive(Clone, Debug)]
struct Cached {
    version: u64,
    state: BreakerState,
    read_at: i64,
}

/// The generator `SplitMix64`.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

struct Fleet {
    policy: BreakerPolicy,
    reads: Reads,
    version: u64,
    state: BreakerState,
    instances: Vec<Cached>,
    openings: Openings,
}

impl Fleet {
    fn read(&mut self, instance: usize, now: i64) {
        self.instances[instance] = Cached {
            version: self.version,
            state: self.state.clone(),
            read_at: now,
        };
    }

    fn is_old(&self, instance: usize, now: i64) -> bool {
        now - self.instances[instance].read_at >= CACHED_MS
    }

    fn read_if_old(&mut self, instance: usize, now: i64) {
        if self.is_old(instance, now) {
            self.read(instance, now);
            self.openings.reads += 1;
        }
    }

    fn record(&mut self, instance: usize, request_id: &RequestId, signal: Signal, now: i64) {
        let reads = match self.reads {
            Reads::Never => false,
            Reads::WhenOld => self.is_old(instance, now),
            Reads::Always => true,
        };
        if signal == Signal::Success && reads {
            self.read(instance, now);
            self.openings.reads += 1;
        }
        for _ in 0..2 {
            let cached = &self.instances[instance];
            let at = Timestamp::from_millis(now);
            let Some(next) = cached.state.record(request_id, signal, at, &self.policy) else {
                return;
            };
            if cached.version == self.version {
                self.version += 1;
                self.state = next;
                if matches!(self.state, BreakerState::Open { .. }) {
                    self.openings.fleet += 1;
                    self.version += 1;
                    self.state = BreakerState::CLOSED;
                }
                let read_at = cached.read_at;
                self.read(instance, read_at);
                return;
            }
            let read_at = cached.read_at;
            self.read(instance, read_at);
        }
    }
}

fn simulate(traffic: Traffic, reads: Reads) -> Openings {
    let mut random = Random(7);
    let succeeded: RequestId = "req_served".parse().unwrap();
    let mut fleet = Fleet {
        policy: BreakerPolicy {
            failures: FAILURES_TO_OPEN,
            scope: BreakerScope::Deployment,
            ..BreakerPolicy::default()
        },
        reads,
        version: 0,
        state: BreakerState::CLOSED,
        instances: Vec::new(),
        openings: Openings::default(),
    };
    let mut free: Vec<usize> = Vec::new();
    let mut responses: BinaryHeap<Reverse<(i64, u32, usize)>> = BinaryHeap::new();
    let mut failed_at: Vec<i64> = Vec::new();
    let mut now = 0;
    for request in 0..traffic.requests {
        // The intervals are uniformly distributed between zero and twice their mean.
        let mean = u64::from(60_000 / traffic.per_minute);
        now += i64::try_from(random.below(2 * mean + 1)).unwrap();
        while let Some(&Reverse((at, finished, instance))) = responses.peek() {
            if at > now {
                break;
            }
            responses.pop();
            free.push(instance);
            let failed: RequestId;
            let (request_id, signal) = if random.below(100) < traffic.failing_percent {
                failed_at.retain(|before| at - before <= 60_000);
                failed_at.push(at);
                if failed_at.len() == FAILURES_TO_OPEN as usize {
                    fleet.openings.by_chance += 1;
                    failed_at.clear();
                }
                let signal = Signal::Failure {
                    class: FallbackClass::Broken,
                    not_before: None,
                };
                failed = format!("req_{finished}").parse().unwrap();
                (&failed, signal)
            } else {
                failed_at.clear();
                (&succeeded, Signal::Success)
            };
            fleet.record(instance, request_id, signal, at);
        }
        let instance = free.pop().unwrap_or_else(|| {
            fleet.instances.push(Cached {
                version: 0,
                state: BreakerState::CLOSED,
                read_at: i64::MIN / 2,
            });
            fleet.instances.len() - 1
        });
        fleet.read_if_old(instance, now);
        let takes = i64::try_from(1_000 + random.below(14_001)).unwrap();
        responses.push(Reverse((now + takes, request, instance)));
    }
    fleet.openings.minutes = Duration::from_millis(now.unsigned_abs()).as_secs_f64() / 60.0;
    fleet.openings
}

/// Decision 25 has the same for more requests and rates.
#[test]
fn fleet_failures_open_the_breaker_at_most_twice_as_often_as_chance() {
    let mut table =
        vec!["per minute, failing: openings without the read, with it, by chance".to_owned()];
    for (per_minute, failing_percent) in [(1000, 1), (1000, 2), (100, 2)] {
        let traffic = Traffic {
            per_minute,
            failing_percent,
            requests: 500_000,
        };
        let [never, when_old] = [Reads::Never, Reads::WhenOld].map(|it| simulate(traffic, it));
        table.push(format!(
            "{per_minute}, {failing_percent} %: {}, {}, {} in {:.0} min; reads per request {:.2}, {:.2}",
            never.fleet,
            when_old.fleet,
            when_old.by_chance,
            when_old.minutes,
            f64::from(never.reads) / f64::from(traffic.requests),
            f64::from(when_old.reads) / f64::from(traffic.requests),
        ));
        assert!(
            when_old.fleet <= 2 * when_old.by_chance.max(1),
            "{when_old:?}"
        );
    }
    let always = simulate(
        Traffic {
            per_minute: 1000,
            failing_percent: 2,
            requests: 300_000,
        },
        Reads::Always,
    );
    assert_eq!(always.fleet, always.by_chance);
    assert_snapshot!(table.join("\n"), @"
    per minute, failing: openings without the read, with it, by chance
    1000, 1 %: 66, 1, 1 in 500 min; reads per request 0.79, 0.83
    1000, 2 %: 227, 3, 3 in 500 min; reads per request 0.79, 0.83
    100, 2 %: 87, 5, 4 in 5000 min; reads per request 0.83, 0.97
    ");
}
