//! A fleet in small: three instances, the one item that they share, and what is on its way between
//! them. An instance does what every caller of the breaker has to do; what it writes and what it may,
//! the real transition functions say.

use std::sync::Arc;

use domain::breaker::{Admission, BreakerState, Signal};
use domain::id::RequestId;
use domain::policy::{BreakerPolicy, BreakerScope, FallbackClass};
use domain::time::Timestamp;

pub(crate) const INSTANCES: usize = 3;
/// How wrong a clock may be, in steps. The three are slow, right and fast.
pub(crate) const SKEW: i64 = 1;
const CLOCKS: [i64; INSTANCES] = [-SKEW, 0, SKEW];

/// Time goes in steps of 10 s. All of it is far below what a clock may be wrong and still be believed,
/// so that plays no part here.
pub(crate) fn at(step: i64) -> Timestamp {
    Timestamp::from_seconds(step * 10)
}

/// What the fleet lives by.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) policy: BreakerPolicy,
    pub(crate) store: Store,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    /// A write is refused when the item is not what it was made for.
    Conditional,
    /// Whatever arrives is written.
    Careless,
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

/// What is stored, with its version; before the first write, nothing.
pub(crate) type Item = Option<(u8, Arc<BreakerState>)>;

static CLOSED: BreakerState = BreakerState::CLOSED;

pub(crate) fn state(item: &Item) -> &BreakerState {
    item.as_ref().map_or(&CLOSED, |(_, state)| state)
}

fn version(item: &Item) -> u8 {
    item.as_ref().map_or(0, |(version, _)| *version)
}

/// The fleet at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Moment {
    /// The true time, which nobody knows.
    pub(crate) now: i64,
    pub(crate) item: Item,
    pub(crate) instances: [Instance; INSTANCES],
    /// What may arrive at the store, in the order of the names.
    pub(crate) sent: Vec<Write>,
    /// So much may still go wrong.
    pub(crate) faults: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Instance {
    pub(crate) cached: Item,
    pub(crate) requests: u8,
    pub(crate) doing: Doing,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Doing {
    Nothing,
    /// It waits for the store.
    Writing(Why, Try),
    /// It waits for Plan, under a lease that the store has given to it, if any, known or not.
    Asking(Option<Timestamp>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Why {
    Ask,
    Tell(Answer),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Answer {
    Good,
    /// Until long after the cap.
    Limit,
    Failure,
    Burst,
    Answered,
}

impl Answer {
    /// All but bursts, which differ from failures only in how they are counted and for how long they
    /// open.
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
pub(crate) enum Try {
    First,
    Second,
}

/// What an instance goes by when a request comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Knows {
    Current,
    /// What it has cached, current or not.
    Cached,
    /// The read failed.
    Nothing,
}

/// The name of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct WriteId {
    pub(crate) instance: usize,
    request: u8,
    why: Why,
    which: Try,
}

/// A write on the condition that the item has the version `expects`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Write {
    pub(crate) id: WriteId,
    expects: u8,
    next: Arc<BreakerState>,
    /// It has arrived before.
    pub(crate) again: bool,
}

/// How a write arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// Its sender hears what came of it.
    pub(crate) heard: bool,
    /// It will arrive once more.
    pub(crate) copied: bool,
}

impl Moment {
    fn clock(&self, instance: usize) -> Timestamp {
        at(self.now + CLOCKS[instance])
    }

    fn request(&self, instance: usize) -> RequestId {
        let request = self.instances[instance].requests;
        format!("req_{instance}-{request}").parse().unwrap()
    }

    /// The lease that the store gives to the request.
    fn lease(&self, who: &RequestId) -> Option<Timestamp> {
        match state(&self.item) {
            BreakerState::HalfOpen {
                probe, lease_until, ..
            } if probe == who => Some(*lease_until),
            _ => None,
        }
    }

    /// The write whose outcome the instance waits for.
    pub(crate) fn awaited(&self, instance: usize) -> Option<WriteId> {
        let it = &self.instances[instance];
        match it.doing {
            Doing::Writing(why, which) => Some(WriteId {
                instance,
                request: it.requests,
                why,
                which,
            }),
            Doing::Nothing | Doing::Asking(_) => None,
        }
    }

    pub(crate) fn awaits(&self, id: WriteId) -> bool {
        self.awaited(id.instance) == Some(id)
    }

    pub(crate) fn is_on_its_way(&self, id: WriteId) -> bool {
        self.sent.iter().any(|write| write.id == id)
    }

    /// Whether the item has changed since the write was made for it.
    pub(crate) fn has_outdated(&self, write: &Write) -> bool {
        write.expects != version(&self.item)
    }

    /// A request comes to an instance. False when that changes nothing.
    pub(crate) fn comes(&mut self, instance: usize, knows: Knows, rules: &Rules) -> bool {
        let now = self.clock(instance);
        let it = &mut self.instances[instance];
        if state(&it.cached).is_open(now, &rules.policy) {
            return false;
        }
        let is_news = version(&it.cached) != version(&self.item);
        it.requests += 1;
        match knows {
            Knows::Current => {
                it.cached.clone_from(&self.item);
                self.ask(instance, Try::First, rules);
            }
            Knows::Cached => self.ask(instance, Try::First, rules),
            // A store that cannot be read does not hold traffic up.
            Knows::Nothing => it.doing = Doing::Asking(None),
        }
        let it = &mut self.instances[instance];
        if it.doing == Doing::Nothing {
            it.requests -= 1;
            return knows == Knows::Current && is_news;
        }
        true
    }

    fn ask(&mut self, instance: usize, which: Try, rules: &Rules) {
        let who = self.request(instance);
        let cached = state(&self.instances[instance].cached);
        let asked = cached.admit(&who, self.clock(instance), &rules.policy);
        match (asked.admission, asked.next) {
            (Admission::Deny { .. }, _) => self.instances[instance].doing = Doing::Nothing,
            (_, None) => self.instances[instance].doing = Doing::Asking(self.lease(&who)),
            (_, Some(next)) => self.send(instance, Why::Ask, which, next),
        }
    }

    /// Plan has answered.
    pub(crate) fn tell(&mut self, instance: usize, answer: Answer, which: Try, rules: &Rules) {
        let who = self.request(instance);
        let cached = state(&self.instances[instance].cached);
        let now = self.clock(instance);
        match cached.record(&who, answer.signal(), now, &rules.policy) {
            Some(next) => self.send(instance, Why::Tell(answer), which, next),
            None => self.instances[instance].doing = Doing::Nothing,
        }
    }

    fn send(&mut self, instance: usize, why: Why, which: Try, next: BreakerState) {
        let it = &mut self.instances[instance];
        it.doing = Doing::Writing(why, which);
        let id = WriteId {
            instance,
            request: it.requests,
            why,
            which,
        };
        let write = Write {
            id,
            expects: version(&it.cached),
            next: Arc::new(next),
            again: false,
        };
        let place = self.sent.partition_point(|other| other.id < id);
        self.sent.insert(place, write);
    }

    /// A write arrives at the store, and at once, if at all, its sender hears of it.
    pub(crate) fn arrives(&mut self, id: WriteId, arrival: Arrival, rules: &Rules) {
        let Some(place) = self.sent.iter().position(|write| write.id == id) else {
            return;
        };
        let write = self.sent[place].clone();
        if arrival.copied {
            self.sent[place].again = true;
        } else {
            self.sent.remove(place);
        }
        let is_written = rules.store == Store::Careless || !self.has_outdated(&write);
        if is_written {
            self.item = Some((version(&self.item) + 1, write.next));
        }
        let instance = id.instance;
        let lease = self.lease(&self.request(instance));
        let it = &mut self.instances[instance];
        if arrival.heard {
            it.cached.clone_from(&self.item);
            match (id.why, id.which) {
                (Why::Ask, _) if is_written => it.doing = Doing::Asking(lease),
                (Why::Ask, Try::First) => self.ask(instance, Try::Second, rules),
                (Why::Ask, Try::Second) => self.asks_no_more(instance, rules),
                (Why::Tell(answer), Try::First) if !is_written => {
                    self.tell(instance, answer, Try::Second, rules);
                }
                (Why::Tell(_), _) => it.doing = Doing::Nothing,
            }
        } else if let Doing::Asking(given) = &mut it.doing {
            // It gave up waiting for this, and has the lease all the same.
            *given = lease.or(*given);
        }
    }

    /// Others were faster twice. Whatever would take another write is left to them.
    fn asks_no_more(&mut self, instance: usize, rules: &Rules) {
        let who = self.request(instance);
        let cached = state(&self.instances[instance].cached);
        let asked = cached.admit(&who, self.clock(instance), &rules.policy);
        self.instances[instance].doing = match (asked.admission, asked.next) {
            (Admission::Deny { .. }, _) | (_, Some(_)) => Doing::Nothing,
            (_, None) => Doing::Asking(self.lease(&who)),
        };
    }

    /// The instance waits for the store no longer.
    pub(crate) fn gives_up(&mut self, instance: usize) {
        let lease = self.lease(&self.request(instance));
        let it = &mut self.instances[instance];
        it.doing = match it.doing {
            Doing::Writing(Why::Ask, _) => Doing::Asking(lease),
            Doing::Writing(Why::Tell(_), _) | Doing::Nothing | Doing::Asking(_) => Doing::Nothing,
        };
    }

    /// Forgets what makes no difference any more, so that moments are equal that differ in nothing
    /// else.
    pub(crate) fn tidy(&mut self, is_spent: impl Fn(&Instance) -> bool, rules: &Rules) {
        if rules.store == Store::Conditional {
            let mut sent = std::mem::take(&mut self.sent);
            // The others will be refused, and nobody will hear of it.
            sent.retain(|write| !self.has_outdated(write) || self.awaits(write.id));
            self.sent = sent;
        }
        for it in &mut self.instances {
            if it.doing == Doing::Nothing && is_spent(it) {
                it.cached = None;
            }
        }
    }
}
