//! A model checker explores every run of the fleet within bounds: reads fail; writes are lost, delayed or
//! duplicated; their results are lost; caches are stale; clocks differ; Plan returns any response.

use std::sync::Arc;

use domain::breaker::{BreakerState, CountedFailure, Trip};
use domain::id::RequestId;
use domain::policy::FallbackClass;
use domain::time::Timestamp;
use stateright::{Checker, HasDiscoveries, Model, Property};

use crate::fleet::{
    Activity, Attempt, Delivery, INSTANCES, Instance, Item, Response, SKEW, Setup, Snapshot,
    StateRead, Store, Write, WriteId, at, policy, state,
};

/// A fleet and the bounds of its exploration.
#[derive(Clone, Debug)]
struct Fleet {
    starts: Vec<Item>,
    setup: Setup,
    /// The possible responses of Plan.
    responses: &'static [Response],
    pace: Pace,
    /// The maximum true time in steps.
    steps: i64,
    /// The maximum number of faults.
    faults: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    Any,
    /// Each request ends within one step.
    Prompt,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    TimePasses,
    RequestArrives(usize, StateRead),
    WriteArrives(WriteId, Delivery),
    WriteTimesOut(usize),
    PlanResponds(usize, Response),
}

const ONE_PROBE: &str = "at most one request probes under a valid lease";
/// More actions than any run to the closed state takes.
const MAX_ACTIONS: usize = 100;
const ACKNOWLEDGED: Delivery = Delivery {
    is_acknowledged: true,
    is_duplicated: false,
};

impl Model for Fleet {
    type State = Snapshot;
    type Action = Action;

    fn init_states(&self) -> Vec<Snapshot> {
        let start = |item: &Item| Snapshot {
            now: 0,
            item: item.clone(),
            instances: std::array::from_fn(|_| Instance {
                cached: item.clone(),
                requests: 0,
                activity: Activity::Idle,
            }),
            sent: Vec::new(),
            faults: self.faults,
        };
        self.starts.iter().map(start).collect()
    }

    fn actions(&self, snapshot: &Snapshot, actions: &mut Vec<Action>) {
        actions.push(Action::TimePasses);
        for write in &snapshot.sent {
            for (is_acknowledged, is_duplicated) in
                [(true, false), (true, true), (false, false), (false, true)]
            {
                actions.push(Action::WriteArrives(
                    write.id,
                    Delivery {
                        is_acknowledged,
                        is_duplicated,
                    },
                ));
            }
        }
        for (instance, it) in snapshot.instances.iter().enumerate() {
            match it.activity {
                Activity::Idle if is_spent(it) => {}
                Activity::Idle => actions.extend(
                    [StateRead::Current, StateRead::Cached, StateRead::Failed]
                        .map(|read| Action::RequestArrives(instance, read)),
                ),
                Activity::Writing(..) => actions.push(Action::WriteTimesOut(instance)),
                Activity::AtPlan(_) => {
                    let responses = self.responses.iter();
                    actions.extend(
                        responses.map(|response| Action::PlanResponds(instance, *response)),
                    );
                }
            }
        }
    }

    fn next_state(&self, last: &Snapshot, action: Action) -> Option<Snapshot> {
        let faults = last.faults.checked_sub(cost(last, action))?;
        let mut then = last.clone();
        then.faults = faults;
        self.apply(&mut then, action).then(|| {
            then.normalize(is_spent, &self.setup);
            then
        })
    }

    fn within_boundary(&self, snapshot: &Snapshot) -> bool {
        snapshot.now <= self.steps
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONE_PROBE, Self::has_one_probe),
            Property::always(
                "no open time and no lease exceeds its maximum",
                Self::is_capped,
            ),
            Property::always(
                "each instance alone can close the breaker",
                Self::is_not_stuck,
            ),
            Property::sometimes("a request probes", |_, snapshot: &Snapshot| {
                matches!(state(&snapshot.item), BreakerState::HalfOpen { .. })
            }),
            Property::sometimes(
                "a probe fails",
                |_, snapshot: &Snapshot| matches!(state(&snapshot.item), BreakerState::Open { trip, .. } if trip.count > 1),
            ),
            Property::sometimes("a lease ends before its probe", |_, snapshot: &Snapshot| {
                let BreakerState::HalfOpen { lease_until, .. } = state(&snapshot.item) else {
                    return false;
                };
                leases(snapshot).any(|lease| lease < *lease_until)
            }),
            Property::sometimes(
                "a request has a lease that is not cached",
                |_, snapshot: &Snapshot| {
                    snapshot.instances.iter().any(|it| {
                        let is_cached = matches!(state(&it.cached), BreakerState::HalfOpen { .. });
                        matches!(it.activity, Activity::AtPlan(Some(_))) && !is_cached
                    })
                },
            ),
            Property::sometimes(
                "the store rejects a duplicate whose result is awaited",
                |_, snapshot: &Snapshot| {
                    let is_rejected = |write: &Write| {
                        write.is_duplicate
                            && snapshot.is_outdated(write)
                            && snapshot.awaits(write.id)
                    };
                    snapshot.sent.iter().any(is_rejected)
                },
            ),
            Property::sometimes(
                "a write in flight is not awaited",
                |_, snapshot: &Snapshot| {
                    snapshot.sent.iter().any(|write| !snapshot.awaits(write.id))
                },
            ),
        ]
    }
}

/// Whether the instance has had its one request. Further requests only close the breaker.
fn is_spent(instance: &Instance) -> bool {
    instance.requests > 0
}

fn cost(last: &Snapshot, action: Action) -> u8 {
    let is_fault = match action {
        Action::TimePasses | Action::PlanResponds(..) => false,
        Action::RequestArrives(_, read) => read == StateRead::Failed,
        Action::WriteArrives(id, delivery) => {
            delivery.is_duplicated || (last.awaits(id) && !delivery.is_acknowledged)
        }
        Action::WriteTimesOut(instance) => last
            .awaited(instance)
            .is_some_and(|id| last.is_in_flight(id)),
    };
    is_fault.into()
}

/// The leases of the requests at Plan.
fn leases(snapshot: &Snapshot) -> impl Iterator<Item = Timestamp> {
    snapshot
        .instances
        .iter()
        .filter_map(|it| match it.activity {
            Activity::AtPlan(lease) => lease,
            Activity::Idle | Activity::Writing(..) => None,
        })
}

impl Fleet {
    /// Applies the action. Returns false if the action is impossible.
    fn apply(&self, snapshot: &mut Snapshot, action: Action) -> bool {
        let setup = &self.setup;
        match action {
            Action::TimePasses => {
                let is_busy = |it: &Instance| it.activity != Activity::Idle;
                if self.pace == Pace::Prompt && snapshot.instances.iter().any(is_busy) {
                    return false;
                }
                snapshot.now += 1;
            }
            Action::RequestArrives(instance, read) => {
                return snapshot.receive_request(instance, read, setup);
            }
            Action::WriteArrives(id, delivery) => {
                if delivery.is_acknowledged && !snapshot.awaits(id) {
                    return false;
                }
                snapshot.deliver(id, delivery, setup);
            }
            Action::WriteTimesOut(instance) => snapshot.time_out(instance),
            Action::PlanResponds(instance, response) => {
                snapshot.record(instance, response, Attempt::First, setup);
            }
        }
        true
    }

    /// Whether at most one request has a lease that lasts by every clock. At the prompt pace, expired leases
    /// count too.
    fn has_one_probe(&self, snapshot: &Snapshot) -> bool {
        let lasts = |lease: &_| self.pace == Pace::Prompt || *lease > at(snapshot.now + SKEW);
        leases(snapshot).filter(lasts).count() <= 1
    }

    fn is_capped(&self, snapshot: &Snapshot) -> bool {
        let policy = &self.setup.policy;
        let latest = at(snapshot.now + SKEW);
        match state(&snapshot.item) {
            BreakerState::Open { until, .. } => *until <= latest.plus(policy.max_open),
            BreakerState::HalfOpen { lease_until, .. } => *lease_until <= latest.plus(policy.lease),
            BreakerState::Closed { .. } => true,
        }
    }

    fn is_not_stuck(&self, snapshot: &Snapshot) -> bool {
        (0..INSTANCES).all(|instance| self.can_close(snapshot, instance))
    }

    /// Whether this instance alone closes the breaker while Plan succeeds and no further fault occurs. The
    /// deadline is the end of the longest lease by the slowest clock.
    fn can_close(&self, snapshot: &Snapshot, instance: usize) -> bool {
        let is_done = |snapshot: &Snapshot| {
            snapshot.instances[instance].activity == Activity::Idle
                && matches!(state(&snapshot.item), BreakerState::Closed { .. })
        };
        if is_done(snapshot) {
            return true;
        }
        let mut snapshot = snapshot.clone();
        snapshot.sent.retain(|write| write.id.instance == instance);
        let deadline = at(snapshot.now + 2 * SKEW).plus(self.setup.policy.lease);
        for _ in 0..MAX_ACTIONS {
            let action = match snapshot.instances[instance].activity {
                _ if is_done(&snapshot) => return at(snapshot.now) <= deadline,
                Activity::Idle => Action::RequestArrives(instance, StateRead::Current),
                Activity::AtPlan(_) => Action::PlanResponds(instance, Response::Good),
                Activity::Writing(..) => match snapshot.awaited(instance) {
                    Some(id) if snapshot.is_in_flight(id) => Action::WriteArrives(id, ACKNOWLEDGED),
                    _ => Action::WriteTimesOut(instance),
                },
            };
            if !self.apply(&mut snapshot, action) {
                snapshot.now += 1;
            }
        }
        false
    }

    fn explored(self) -> impl Checker<Self> {
        self.checker()
            .threads(2)
            .finish_when(HasDiscoveries::AnyFailures)
            .spawn_bfs()
            .join()
    }
}

fn lost_request() -> RequestId {
    "req_gone".parse().unwrap()
}

fn failed_once() -> BreakerState {
    let failures = vec![CountedFailure {
        at: at(-1),
        request: lost_request(),
        is_burst: false,
    }];
    BreakerState::Closed { failures }
}

fn first_trip(since: i64) -> Trip {
    Trip {
        class: FallbackClass::UsageLimit,
        since: at(since),
        count: 1,
        bursts: 0,
        end_is_known: false,
    }
}

/// An open state that has not ended by the slowest clock.
fn open() -> BreakerState {
    BreakerState::Open {
        trip: first_trip(-2),
        until: at(0),
    }
}

/// A half-open state whose probe never ends.
fn half_open() -> BreakerState {
    BreakerState::HalfOpen {
        trip: first_trip(-3),
        probe: lost_request(),
        lease_until: at(0),
    }
}

fn fleet(starts: &[Option<BreakerState>], steps: i64, faults: u8) -> Fleet {
    let item = |state: &Option<_>| state.clone().map(|state| (1, Arc::new(state)));
    Fleet {
        starts: starts.iter().map(item).collect(),
        setup: Setup {
            policy: policy(2 * SKEW + 1),
            store: Store::Conditional,
        },
        responses: Response::COMMON,
        pace: Pace::Any,
        steps,
        faults,
    }
}

fn from_anything() -> Fleet {
    let starts = [None, Some(failed_once()), Some(open()), Some(half_open())];
    fleet(&starts, 3, 1)
}

/// Explores all 850 000 states.
#[test]
fn fleet_has_one_probe_and_closes_again_after_any_single_fault() {
    let checked = from_anything().explored();
    checked.assert_properties();
    let states = checked.unique_state_count();
    assert!(states > 500_000, "only {states} states");
}

/// Explores all 240 000 states.
#[test]
fn fleet_has_one_probe_and_closes_again_after_any_two_faults() {
    let checked = fleet(&[Some(open())], 2, 2).explored();
    checked.assert_properties();
    let states = checked.unique_state_count();
    assert!(states > 150_000, "only {states} states");
}

/// Explores all 180 000 states, and finds the counterexample of a shorter lease.
#[test]
fn lease_outlasts_its_probe_when_longer_than_response_and_skew() {
    let mut fleet = from_anything();
    fleet.pace = Pace::Prompt;
    let checked = fleet.clone().explored();
    checked.assert_no_discovery(ONE_PROBE);
    let states = checked.unique_state_count();
    assert!(states > 100_000, "only {states} states");
    fleet.setup.policy = policy(2 * SKEW);
    fleet.explored().assert_any_discovery(ONE_PROBE);
}

/// Starts with one counted burst, and with a breaker that a burst opened.
#[test]
fn fleet_has_one_probe_and_closes_again_after_bursts() {
    let failures = vec![CountedFailure {
        at: at(-1),
        request: lost_request(),
        is_burst: true,
    }];
    let mut opened = open();
    if let BreakerState::Open { trip, .. } = &mut opened {
        trip.bursts = 1;
    }
    let mut fleet = fleet(
        &[Some(BreakerState::Closed { failures }), Some(opened)],
        2,
        1,
    );
    fleet.responses = &[Response::Good, Response::Burst];
    let checked = fleet.explored();
    checked.assert_properties();
    let states = checked.unique_state_count();
    assert!(states > 10_000, "only {states} states");
}

#[test]
fn unconditional_writes_allow_two_probes() {
    let mut unconditional = from_anything();
    unconditional.setup.store = Store::Unconditional;
    unconditional.explored().assert_any_discovery(ONE_PROBE);
}
