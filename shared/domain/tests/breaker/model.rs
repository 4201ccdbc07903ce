//! Every way in which the fleet can go on, within bounds: reads fail; writes are lost, late, or arrive
//! twice; nobody hears what came of them; caches are stale; clocks differ; Plan answers what it likes.

use std::sync::Arc;

use domain::breaker::{BreakerState, CountedFailure, Trip};
use domain::id::RequestId;
use domain::policy::FallbackClass;
use domain::time::Timestamp;
use stateright::{Checker, HasDiscoveries, Model, Property};

use crate::fleet::{
    Answer, Arrival, Doing, INSTANCES, Instance, Item, Knows, Moment, Rules, SKEW, Store, Try,
    Write, WriteId, at, policy, state,
};

/// A fleet, and how far it is followed.
#[derive(Clone, Debug)]
struct Fleet {
    starts: Vec<Item>,
    rules: Rules,
    /// What Plan can answer.
    answers: &'static [Answer],
    pace: Pace,
    /// So many steps of true time.
    steps: i64,
    /// So much goes wrong.
    faults: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    Any,
    /// A request is done within a step.
    Prompt,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    TimePasses,
    Comes(usize, Knows),
    Arrives(WriteId, Arrival),
    GivesUp(usize),
    Answers(usize, Answer),
}

const ONE_PROBE: &str = "two never probe under a lease that lasts";
/// More than anything takes.
const MANY: usize = 100;
const HEARD: Arrival = Arrival {
    heard: true,
    copied: false,
};

impl Model for Fleet {
    type State = Moment;
    type Action = Action;

    fn init_states(&self) -> Vec<Moment> {
        let start = |item: &Item| Moment {
            now: 0,
            item: item.clone(),
            instances: std::array::from_fn(|_| Instance {
                cached: item.clone(),
                requests: 0,
                doing: Doing::Nothing,
            }),
            sent: Vec::new(),
            faults: self.faults,
        };
        self.starts.iter().map(start).collect()
    }

    fn actions(&self, moment: &Moment, actions: &mut Vec<Action>) {
        actions.push(Action::TimePasses);
        for write in &moment.sent {
            for (heard, copied) in [(true, false), (true, true), (false, false), (false, true)] {
                actions.push(Action::Arrives(write.id, Arrival { heard, copied }));
            }
        }
        for (instance, it) in moment.instances.iter().enumerate() {
            match it.doing {
                Doing::Nothing if is_spent(it) => {}
                Doing::Nothing => actions.extend(
                    [Knows::Current, Knows::Cached, Knows::Nothing]
                        .map(|knows| Action::Comes(instance, knows)),
                ),
                Doing::Writing(..) => actions.push(Action::GivesUp(instance)),
                Doing::Asking(_) => {
                    let answers = self.answers.iter();
                    actions.extend(answers.map(|answer| Action::Answers(instance, *answer)));
                }
            }
        }
    }

    fn next_state(&self, last: &Moment, action: Action) -> Option<Moment> {
        let faults = last.faults.checked_sub(cost(last, action))?;
        let mut then = last.clone();
        then.faults = faults;
        self.follow(&mut then, action).then(|| {
            then.tidy(is_spent, &self.rules);
            then
        })
    }

    fn within_boundary(&self, moment: &Moment) -> bool {
        moment.now <= self.steps
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONE_PROBE, Self::has_one_probe),
            Property::always("nothing is open past its cap", Self::is_capped),
            Property::always("any instance can close it alone", Self::is_not_stuck),
            Property::sometimes("a request probes", |_, moment: &Moment| {
                matches!(state(&moment.item), BreakerState::HalfOpen { .. })
            }),
            Property::sometimes(
                "a probe fails",
                |_, moment: &Moment| matches!(state(&moment.item), BreakerState::Open { trip, .. } if trip.count > 1),
            ),
            Property::sometimes(
                "a probe's lease is over before it is",
                |_, moment: &Moment| {
                    let BreakerState::HalfOpen { lease_until, .. } = state(&moment.item) else {
                        return false;
                    };
                    leases(moment).any(|lease| lease < *lease_until)
                },
            ),
            Property::sometimes(
                "a request has a lease and does not know",
                |_, moment: &Moment| {
                    moment.instances.iter().any(|it| {
                        let knows = matches!(state(&it.cached), BreakerState::HalfOpen { .. });
                        matches!(it.doing, Doing::Asking(Some(_))) && !knows
                    })
                },
            ),
            Property::sometimes(
                "a copy will be refused, and it is heard",
                |_, moment: &Moment| {
                    let is_refused = |write: &Write| {
                        write.again && moment.has_outdated(write) && moment.awaits(write.id)
                    };
                    moment.sent.iter().any(is_refused)
                },
            ),
            Property::sometimes("nobody waits for a write any more", |_, moment: &Moment| {
                moment.sent.iter().any(|write| !moment.awaits(write.id))
            }),
        ]
    }
}

/// Each instance has one request, besides those that it takes to close the breaker.
fn is_spent(instance: &Instance) -> bool {
    instance.requests > 0
}

fn cost(last: &Moment, action: Action) -> u8 {
    let goes_wrong = match action {
        Action::TimePasses | Action::Answers(..) => false,
        Action::Comes(_, knows) => knows == Knows::Nothing,
        Action::Arrives(id, arrival) => arrival.copied || (last.awaits(id) && !arrival.heard),
        Action::GivesUp(instance) => last
            .awaited(instance)
            .is_some_and(|id| last.is_on_its_way(id)),
    };
    goes_wrong.into()
}

/// The leases of the requests that are at Plan.
fn leases(moment: &Moment) -> impl Iterator<Item = Timestamp> {
    moment.instances.iter().filter_map(|it| match it.doing {
        Doing::Asking(lease) => lease,
        Doing::Nothing | Doing::Writing(..) => None,
    })
}

impl Fleet {
    /// False when the action does not come about.
    fn follow(&self, moment: &mut Moment, action: Action) -> bool {
        let rules = &self.rules;
        match action {
            Action::TimePasses => {
                let is_busy = |it: &Instance| it.doing != Doing::Nothing;
                if self.pace == Pace::Prompt && moment.instances.iter().any(is_busy) {
                    return false;
                }
                moment.now += 1;
            }
            Action::Comes(instance, knows) => return moment.comes(instance, knows, rules),
            Action::Arrives(id, arrival) => {
                if arrival.heard && !moment.awaits(id) {
                    return false;
                }
                moment.arrives(id, arrival, rules);
            }
            Action::GivesUp(instance) => moment.gives_up(instance),
            Action::Answers(instance, answer) => moment.tell(instance, answer, Try::First, rules),
        }
        true
    }

    /// While a probe's lease lasts by every clock, no other request has one. Where all are prompt, no
    /// lease is ever over before its probe is.
    fn has_one_probe(&self, moment: &Moment) -> bool {
        let lasts = |lease: &_| self.pace == Pace::Prompt || *lease > at(moment.now + SKEW);
        leases(moment).filter(lasts).count() <= 1
    }

    fn is_capped(&self, moment: &Moment) -> bool {
        let policy = &self.rules.policy;
        let latest = at(moment.now + SKEW);
        match state(&moment.item) {
            BreakerState::Open { until, .. } => *until <= latest.plus(policy.max_open),
            BreakerState::HalfOpen { lease_until, .. } => *lease_until <= latest.plus(policy.lease),
            BreakerState::Closed { .. } => true,
        }
    }

    fn is_not_stuck(&self, moment: &Moment) -> bool {
        (0..INSTANCES).all(|instance| self.closes(moment, instance))
    }

    /// Whether traffic flows again when nothing goes wrong any more, Plan is well, and this instance
    /// alone is left: once the longest lease is over by the slowest clock, at the latest.
    fn closes(&self, moment: &Moment, instance: usize) -> bool {
        let is_done = |moment: &Moment| {
            moment.instances[instance].doing == Doing::Nothing
                && matches!(state(&moment.item), BreakerState::Closed { .. })
        };
        if is_done(moment) {
            return true;
        }
        let mut moment = moment.clone();
        moment.sent.retain(|write| write.id.instance == instance);
        let deadline = at(moment.now + 2 * SKEW).plus(self.rules.policy.lease);
        for _ in 0..MANY {
            let action = match moment.instances[instance].doing {
                _ if is_done(&moment) => return at(moment.now) <= deadline,
                Doing::Nothing => Action::Comes(instance, Knows::Current),
                Doing::Asking(_) => Action::Answers(instance, Answer::Good),
                Doing::Writing(..) => match moment.awaited(instance) {
                    Some(id) if moment.is_on_its_way(id) => Action::Arrives(id, HEARD),
                    _ => Action::GivesUp(instance),
                },
            };
            if !self.follow(&mut moment, action) {
                moment.now += 1;
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

fn gone() -> RequestId {
    "req_gone".parse().unwrap()
}

fn failed_once() -> BreakerState {
    let failures = vec![CountedFailure {
        at: at(-1),
        request: gone(),
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

/// The slowest instance still takes it for open.
fn open() -> BreakerState {
    BreakerState::Open {
        trip: first_trip(-2),
        until: at(0),
    }
}

/// Of its probe, nobody hears again.
fn half_open() -> BreakerState {
    BreakerState::HalfOpen {
        trip: first_trip(-3),
        probe: gone(),
        lease_until: at(0),
    }
}

fn fleet(starts: &[Option<BreakerState>], steps: i64, faults: u8) -> Fleet {
    let item = |state: &Option<_>| state.clone().map(|state| (1, Arc::new(state)));
    Fleet {
        starts: starts.iter().map(item).collect(),
        rules: Rules {
            policy: policy(2 * SKEW + 1),
            store: Store::Conditional,
        },
        answers: Answer::COMMON,
        pace: Pace::Any,
        steps,
        faults,
    }
}

fn from_anything() -> Fleet {
    let starts = [None, Some(failed_once()), Some(open()), Some(half_open())];
    fleet(&starts, 3, 1)
}

/// All 850 000 states.
#[test]
fn whatever_goes_wrong_once_two_never_probe_and_the_breaker_is_never_stuck() {
    let checked = from_anything().explored();
    checked.assert_properties();
    let states = checked.unique_state_count();
    assert!(states > 500_000, "only {states} states");
}

/// All 240 000 states.
#[test]
fn whatever_goes_wrong_twice_two_never_probe_and_the_breaker_is_never_stuck() {
    let checked = fleet(&[Some(open())], 2, 2).explored();
    checked.assert_properties();
    let states = checked.unique_state_count();
    assert!(states > 150_000, "only {states} states");
}

/// All 180 000 states, until the lease is too short.
#[test]
fn a_lease_longer_than_an_answer_and_twice_the_skew_is_never_over_before_the_answer() {
    let mut fleet = from_anything();
    fleet.pace = Pace::Prompt;
    let checked = fleet.clone().explored();
    checked.assert_no_discovery(ONE_PROBE);
    let states = checked.unique_state_count();
    assert!(states > 100_000, "only {states} states");
    fleet.rules.policy = policy(2 * SKEW);
    fleet.explored().assert_any_discovery(ONE_PROBE);
}

/// A burst was counted, and another has opened the breaker.
#[test]
fn bursts_never_make_two_probe_nor_leave_the_breaker_stuck() {
    let failures = vec![CountedFailure {
        at: at(-1),
        request: gone(),
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
    fleet.answers = &[Answer::Good, Answer::Burst];
    let checked = fleet.explored();
    checked.assert_properties();
    let states = checked.unique_state_count();
    assert!(states > 10_000, "only {states} states");
}

#[test]
fn without_the_conditions_of_the_writes_two_would_probe() {
    let mut careless = from_anything();
    careless.rules.store = Store::Careless;
    careless.explored().assert_any_discovery(ONE_PROBE);
}
