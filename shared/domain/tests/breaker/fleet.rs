//! A model of a fleet: three instances, the stored item that they share, and the writes in flight. An
//! instance takes the steps of every caller of the breaker; the real transition functions compute the
//! decisions and the states.

use std::sync::Arc;

use domain::breaker::{Admission, BreakerState, Signal};
use domain::id::RequestId;
use domain::policy::{BreakerPolicy, BreakerScope, FallbackClass};
use domain::time::Timestamp;

pub(crate) const INSTANCES: usize = 3;
/// The maximum clock error in steps. One clock is slow, one is right and one is fast.
pub(crate) const SKEW: i64 = 1;
const CLOCKS: [i64; INSTANCES] = [-SKEW, 0, SKEW];

/// The time after this many steps of 10 s. All times stay within the breaker's clock tolerance.
pub(crate) fn at(step: i64) -> Timestamp {
    Timestamp::from_seconds(step * 10)
}

/// The policy and the store of a fleet.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) policy: BreakerPolicy,
    pub(crate) store: Store,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    /// The store rejects a write if the item has another version than the expected one.
    Conditional,
    /// The store accepts every write.
    Unconditional,
}

pub(crate) fn policy(lease: i64) -> BreakerPolicy {
    let steps = |count| at(count).since(at(0));
    BreakerPolicy {
        failures: 2,
        window: steps(2),
        open_for: steps(1),
        max_open: steps(2),
        jitter: steps(0),
        lease: steps(lease),
        scope: BreakerScope::Key,
    }
}

/// The stored state with its version; `None` before the first write.
pub(crate) type Item = Option<(u8, Arc<BreakerState>)>;

static CLOSED: BreakerState = BreakerState::CLOSED;

pub(crate) fn state(item: &Item) -> &BreakerState {
    item.as_ref().map_or(&CLOSED, |(_, state)| state)
}

fn version(item: &Item) -> u8 {
    item.as_ref().map_or(0, |(version, _)| *version)
}

/// The state of the fleet at one time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Snapshot {
    /// The true time in steps, from which the clocks of the instances differ.
    pub(crate) now: i64,
    pub(crate) item: Item,
    pub(crate) instances: [Instance; INSTANCES],
    /// The writes in flight, in the order of their ids.
    pub(crate) sent: Vec<Write>,
    /// The number of faults that may still occur.
    pub(crate) faults: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Instance {
    pub(crate) cached: Item,
    pub(crate) requests: u8,
    pub(crate) activity: Activity,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Activity {
    Idle,
    /// The instance waits for the store.
    Writing(Purpose, Attempt),
    /// The instance waits for Plan, with the end of its request's stored lease, if there is one.
    AtPlan(Option<Timestamp>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Purpose {
    Admit,
    Record(Response),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Response {
    Good,
    /// A limit whose end lies beyond the maximum open time.
    Limit,
    Failure,
    Burst,
    Answered,
}

impl Response {
    /// All responses except bursts, which differ from failures in their count and open time only.
    pub(crate) const COMMON: &[Self] = &[Self::Good, Self::Limit, Self::Failure, Self::Answered];

    fn signal(self) -> Signal {
        match self {
            Self::Good => Signal::Success,
            Self::Limit => Signal::LimitUntil(at(1000)),
            Self::Failure => Signal::Failure {
                class: FallbackClass::Overloaded,
                not_before: None,
            },
            Self::Burst => Signal::Burst,
            Self::Answered => Signal::Answered,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Attempt {
    First,
    Second,
}

/// The state that an instance uses for a new request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StateRead {
    Current,
    /// The cached state, current or outdated.
    Cached,
    /// No state, because the read failed.
    Failed,
}

/// The id of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct WriteId {
    pub(crate) instance: usize,
    request: u8,
    purpose: Purpose,
    attempt: Attempt,
}

/// A write on the condition that the item has the version `expects`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Write {
    pub(crate) id: WriteId,
    expects: u8,
    next: Arc<BreakerState>,
    /// Whether the write has arrived before.
    pub(crate) is_duplicate: bool,
}

/// The way in which a write arrives at the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Delivery {
    /// Whether the sender receives the store's response.
    pub(crate) is_acknowledged: bool,
    /// Whether the write arrives once more.
    pub(crate) is_duplicated: bool,
}

impl Snapshot {
    fn clock(&self, instance: usize) -> Timestamp {
        at(self.now + CLOCKS[instance])
    }

    fn request(&self, instance: usize) -> RequestId {
        let request = self.instances[instance].requests;
        format!("req_{instance}-{request}").parse().unwrap()
    }

    /// The end of the request's stored lease; `None` if the request has no lease.
    fn lease(&self, request_id: &RequestId) -> Option<Timestamp> {
        match state(&self.item) {
            BreakerState::HalfOpen {
                probe, lease_until, ..
            } if probe == request_id => Some(*lease_until),
            _ => None,
        }
    }

    /// The write whose result the instance awaits.
    pub(crate) fn awaited(&self, instance: usize) -> Option<WriteId> {
        let it = &self.instances[instance];
        match it.activity {
            Activity::Writing(purpose, attempt) => Some(WriteId {
                instance,
                request: it.requests,
                purpose,
                attempt,
            }),
            Activity::Idle | Activity::AtPlan(_) => None,
        }
    }

    pub(crate) fn awaits(&self, id: WriteId) -> bool {
        self.awaited(id.instance) == Some(id)
    }

    pub(crate) fn is_in_flight(&self, id: WriteId) -> bool {
        self.sent.iter().any(|write| write.id == id)
    }

    /// Whether the item has another version than the write expects.
    pub(crate) fn is_outdated(&self, write: &Write) -> bool {
        write.expects != version(&self.item)
    }

    /// An instance receives a request. Returns false if nothing changes.
    pub(crate) fn receive_request(
        &mut self,
        instance: usize,
        read: StateRead,
        setup: &Setup,
    ) -> bool {
        let now = self.clock(instance);
        let it = &mut self.instances[instance];
        if state(&it.cached).is_open(now, &setup.policy) {
            return false;
        }
        let is_outdated = version(&it.cached) != version(&self.item);
        it.requests += 1;
        match read {
            StateRead::Current => {
                it.cached.clone_from(&self.item);
                self.admit(instance, Attempt::First, setup);
            }
            StateRead::Cached => self.admit(instance, Attempt::First, setup),
            // A failed read does not delay the request.
            StateRead::Failed => it.activity = Activity::AtPlan(None),
        }
        let it = &mut self.instances[instance];
        if it.activity == Activity::Idle {
            it.requests -= 1;
            return read == StateRead::Current && is_outdated;
        }
        true
    }

    fn admit(&mut self, instance: usize, attempt: Attempt, setup: &Setup) {
        let request_id = self.request(instance);
        let cached = state(&self.instances[instance].cached);
        let decision = cached.admit(&request_id, self.clock(instance), &setup.policy);
        match (decision.admission, decision.next) {
            (Admission::Deny { .. }, _) => self.instances[instance].activity = Activity::Idle,
            (_, None) => {
                self.instances[instance].activity = Activity::AtPlan(self.lease(&request_id));
            }
            (_, Some(next)) => self.send_write(instance, Purpose::Admit, attempt, next),
        }
    }

    /// Records Plan's response.
    pub(crate) fn record(
        &mut self,
        instance: usize,
        response: Response,
        attempt: Attempt,
        setup: &Setup,
    ) {
        let request_id = self.request(instance);
        let cached = state(&self.instances[instance].cached);
        let now = self.clock(instance);
        match cached.record(&request_id, response.signal(), now, &setup.policy) {
            Some(next) => self.send_write(instance, Purpose::Record(response), attempt, next),
            None => self.instances[instance].activity = Activity::Idle,
        }
    }

    fn send_write(
        &mut self,
        instance: usize,
        purpose: Purpose,
        attempt: Attempt,
        next: BreakerState,
    ) {
        let it = &mut self.instances[instance];
        it.activity = Activity::Writing(purpose, attempt);
        let id = WriteId {
            instance,
            request: it.requests,
            purpose,
            attempt,
        };
        let write = Write {
            id,
            expects: version(&it.cached),
            next: Arc::new(next),
            is_duplicate: false,
        };
        let place = self.sent.partition_point(|other| other.id < id);
        self.sent.insert(place, write);
    }

    /// A write arrives at the store. Its sender receives the result at once or never.
    pub(crate) fn deliver(&mut self, id: WriteId, delivery: Delivery, setup: &Setup) {
        let Some(place) = self.sent.iter().position(|write| write.id == id) else {
            return;
        };
        let write = self.sent[place].clone();
        if delivery.is_duplicated {
            self.sent[place].is_duplicate = true;
        } else {
            self.sent.remove(place);
        }
        let is_written = setup.store == Store::Unconditional || !self.is_outdated(&write);
        if is_written {
            self.item = Some((version(&self.item) + 1, write.next));
        }
        let instance = id.instance;
        let lease = self.lease(&self.request(instance));
        let it = &mut self.instances[instance];
        if delivery.is_acknowledged {
            it.cached.clone_from(&self.item);
            match (id.purpose, id.attempt) {
                (Purpose::Admit, _) if is_written => it.activity = Activity::AtPlan(lease),
                (Purpose::Admit, Attempt::First) => self.admit(instance, Attempt::Second, setup),
                (Purpose::Admit, Attempt::Second) => self.admit_without_write(instance, setup),
                (Purpose::Record(response), Attempt::First) if !is_written => {
                    self.record(instance, response, Attempt::Second, setup);
                }
                (Purpose::Record(_), _) => it.activity = Activity::Idle,
            }
        } else if let Activity::AtPlan(given) = &mut it.activity {
            // The instance timed out, but its request has the lease.
            *given = lease.or(*given);
        }
    }

    /// Decides after two lost writes, without a third one.
    fn admit_without_write(&mut self, instance: usize, setup: &Setup) {
        let request_id = self.request(instance);
        let cached = state(&self.instances[instance].cached);
        let decision = cached.admit(&request_id, self.clock(instance), &setup.policy);
        self.instances[instance].activity = match (decision.admission, decision.next) {
            (Admission::Deny { .. }, _) | (_, Some(_)) => Activity::Idle,
            (_, None) => Activity::AtPlan(self.lease(&request_id)),
        };
    }

    /// The instance stops waiting for the store.
    pub(crate) fn time_out(&mut self, instance: usize) {
        let lease = self.lease(&self.request(instance));
        let it = &mut self.instances[instance];
        it.activity = match it.activity {
            Activity::Writing(Purpose::Admit, _) => Activity::AtPlan(lease),
            Activity::Writing(Purpose::Record(_), _) | Activity::Idle | Activity::AtPlan(_) => {
                Activity::Idle
            }
        };
    }

    /// Removes everything without a further effect, so that equivalent snapshots are equal.
    pub(crate) fn normalize(&mut self, is_spent: impl Fn(&Instance) -> bool, setup: &Setup) {
        if setup.store == Store::Conditional {
            let mut sent = std::mem::take(&mut self.sent);
            // The store would reject the others, and no instance awaits their results.
            sent.retain(|write| !self.is_outdated(write) || self.awaits(write.id));
            self.sent = sent;
        }
        for it in &mut self.instances {
            if it.activity == Activity::Idle && is_spent(it) {
                it.cached = None;
            }
        }
    }
}
