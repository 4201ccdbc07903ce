//! The breakers of requests: the states that this instance has cached or reads, and the conditional writes that
//! make a transition hold for the whole fleet. The decisions are [`domain::breaker`]'s.
//!
//! Nothing here blocks traffic: a state that cannot be read or written in time counts as closed, with a warning
//! and a metric.

use std::time::Duration;

use domain::breaker::{Admission, BreakerState, Circuit, CombinedDecision, Signal};
use domain::policy::{BreakerPolicy, BreakerScope};
use domain::time::Timestamp;
use domain::verdict::Verdict;
use service::clock::Clock;
use service::metrics::Metrics;
use store::StoreError;
use store::breakers::{StoredBreaker, Swap};
use store::cache::{AccessCache, CachedKey};
use store::transition::{Transition, WriteBreaker, change_breaker};
use tokio::time::timeout;

use crate::config::Settings;
use crate::request::AuthorizedRequest;
use crate::request_kind::RequestKind;
use crate::request_log::RequestLog;

/// The most writes that are tried for one transition. After two lost races this gives up: the competing writers
/// recorded an equal or newer state.
const TRIES: usize = 2;

/// Checks breakers before requests and records what came of them.
#[derive(Debug)]
pub(crate) struct Breakers {
    clock: Clock,
    metrics: Metrics,
    /// The deployment's policy, which applies to the breaker that all keys share.
    policy: BreakerPolicy,
    /// The deadline of one operation on the table.
    store_deadline: Duration,
    /// The longest time that a message which is not streamed may take.
    whole_answer: Duration,
}

/// The breakers that guard one request.
#[derive(Clone, Copy)]
pub(crate) struct RequestBreakers<'a> {
    shared: &'a Breakers,
    directory: &'a AccessCache,
    request: &'a AuthorizedRequest<'a>,
    /// The policy of the key's own breakers.
    own_policy: BreakerPolicy,
    /// The policy of the deployment's breaker.
    shared_policy: BreakerPolicy,
}

/// The result of a check.
#[derive(Debug)]
pub(crate) enum Check {
    /// The breakers were not checked.
    Skipped,
    /// The states could not be read or written. The request goes to Plan, and nothing is recorded.
    StoreUnavailable,
    /// The states that the admission is based on.
    Checked {
        admission: Admission,
        breakers: Vec<StoredBreaker>,
    },
}

impl Check {
    pub(crate) fn admission(&self) -> Admission {
        match self {
            Self::Skipped | Self::StoreUnavailable => Admission::Allow,
            Self::Checked { admission, .. } => *admission,
        }
    }

    /// The name in logs; `None` without a check.
    fn as_str(&self) -> Option<&'static str> {
        match self {
            Self::Skipped => None,
            Self::StoreUnavailable => Some("unavailable"),
            Self::Checked { admission, .. } => Some(match admission {
                Admission::Allow => "closed",
                Admission::Probe => "probe",
                Admission::Deny { .. } => "open",
            }),
        }
    }
}

impl Breakers {
    pub(crate) fn new(clock: Clock, settings: &Settings) -> Self {
        Self {
            clock,
            metrics: settings.metrics,
            policy: settings.policy.breaker,
            store_deadline: settings.deadlines.store,
            whole_answer: settings.deadlines.whole_answer,
        }
    }

    /// The breakers that guard `request`.
    pub(crate) fn guarding<'a>(
        &'a self,
        request: &'a AuthorizedRequest<'a>,
        directory: &'a AccessCache,
    ) -> RequestBreakers<'a> {
        // The verdict on a message that is not streamed follows its last byte.
        let with_lease = |policy: BreakerPolicy| match request.incoming.kind {
            RequestKind::StreamedMessage => policy,
            _ => policy.with_lease_for(self.whole_answer),
        };
        RequestBreakers {
            shared: self,
            directory,
            request,
            own_policy: with_lease(request.policy.breaker),
            shared_policy: with_lease(self.policy),
        }
    }
}

impl RequestBreakers<'_> {
    /// Whether a cached state is open at `now`. Nothing is read.
    pub(crate) fn is_open(&self, now: Timestamp) -> bool {
        self.find_open(&self.cached(&self.request.key), now)
            .is_some()
    }

    /// Whether the request may go to Plan. Nothing is read for a breaker whose cached state is open or fresh;
    /// otherwise one Query. An open breaker of the deployment is read once per
    /// [`CachePolicy::revocation_bound`](store::cache::CachePolicy::revocation_bound), so that a reset takes
    /// effect. A lease that is taken on an outdated state fails at its write. A request that may probe holds the
    /// lease.
    pub(crate) async fn check(&self, log: &mut RequestLog) -> Check {
        let check = self.checked().await;
        log.fields_mut().breaker = check.as_str();
        check
    }

    async fn checked(&self) -> Check {
        let now = self.shared.clock.now();
        let mut breakers = self.cached(&self.request.key);
        let open = self.find_open(&breakers, now);
        if open.is_some_and(|open| *open.key.circuit() == Circuit::Deployment)
            && self.directory.must_read_open_deployment_again(now)
        {
            Box::pin(self.read_open_deployment(now)).await;
            breakers = self.cached(&self.request.key);
        }
        if self.find_open(&breakers, now).is_some() {
            let admission = self.decide(&breakers, now).admission;
            return Check::Checked {
                admission,
                breakers,
            };
        }
        let is_current = self.is_current(&self.request.key, now);
        let takes_lease = !self.decide(&breakers, now).leases.is_empty();
        if (!is_current || takes_lease)
            && self.directory.store_recently_failed(&self.request.key, now)
        {
            return Check::StoreUnavailable;
        }
        if !is_current {
            match Box::pin(self.read(&self.request.key, now)).await {
                Ok(read) => breakers = read,
                Err(error) => return self.mark_store_unavailable(&error, now),
            }
        }
        match self.take_leases(&mut breakers, now).await {
            Ok(admission) => Check::Checked {
                admission,
                breakers,
            },
            Err(error) => self.mark_store_unavailable(&error, now),
        }
    }
}

impl RequestBreakers<'_> {
    /// The admission by current states. A probe takes the lease of every breaker that needs one; a request that
    /// does not get them all gives the others back.
    async fn take_leases(
        &self,
        breakers: &mut [StoredBreaker],
        now: Timestamp,
    ) -> Result<Admission, StoreError> {
        let admission = loop {
            let CombinedDecision { admission, leases } = self.decide(breakers, now);
            let wanted = leases.first().map(|(breaker, _)| breaker.key.clone());
            let is_wanted = |breaker: &&mut StoredBreaker| Some(&breaker.key) == wanted.as_ref();
            let Some(breaker) = breakers.iter_mut().find(is_wanted) else {
                break Ok(admission);
            };
            let lease = |breaker: &StoredBreaker, state: &BreakerState| {
                let policy = self.policy_of(breaker.key.circuit());
                state.admit(&self.request.incoming.id, now, &policy).next
            };
            match self.change(breaker, lease).await {
                Err(error) => break Err(error),
                // Another request holds the probe lease.
                Ok(Transition::LostRaces) if lease(breaker, &breaker.state).is_some() => {
                    break Ok(breaker.state.deny_until(now));
                }
                Ok(_) => {}
            }
        };
        if !matches!(admission, Ok(Admission::Allow | Admission::Probe)) {
            self.signal(breakers, now, |_| Signal::Nothing).await;
        }
        admission
    }

    /// Records what came of the request; returns the name of the state after it, for the log. While the store is
    /// unavailable only a probe writes: the verdicts of other requests will come again.
    ///
    /// A success ends the failures in a row that other instances have counted, so it reads the breakers again when
    /// the cached ones are older than [`CachePolicy::breaker`](store::cache::CachePolicy::breaker). The next
    /// request uses what was read.
    pub(crate) async fn record(self, check: Check, verdict: &Verdict) -> Option<&'static str> {
        let Check::Checked {
            admission,
            mut breakers,
        } = check
        else {
            return None;
        };
        let now = self.shared.clock.now();
        if let Some(key) = self.directory.cached(&self.request.key.hash) {
            if admission != Admission::Probe && self.directory.store_recently_failed(&key, now) {
                return None;
            }
            let mut newer = self.cached(&key);
            let is_closed = breakers
                .iter()
                .all(|breaker| matches!(breaker.state, BreakerState::Closed { .. }));
            if *verdict == Verdict::Good && is_closed && !self.is_current(&key, now) {
                match Box::pin(self.read(&key, now)).await {
                    Ok(read) => newer = read,
                    Err(error) => {
                        self.mark_store_unavailable(&error, now);
                        return None;
                    }
                }
            }
            // Other requests of this instance may have read or written newer states meanwhile.
            for breaker in &mut breakers {
                let newest = newer.iter().find(|newer| newer.key == breaker.key);
                if let Some(newest) = newest.filter(|newest| newest.version > breaker.version) {
                    breaker.clone_from(newest);
                }
            }
        }
        let scope = self.request.policy.breaker.scope;
        self.signal(&mut breakers, now, |circuit| {
            Signal::from_verdict(verdict, circuit, scope)
        })
        .await;
        breakers
            .iter()
            .map(|breaker| state_name(&breaker.state))
            .max_by_key(|name| *name != "closed")
    }

    /// Records a signal in each breaker.
    async fn signal(
        &self,
        breakers: &mut [StoredBreaker],
        now: Timestamp,
        signal: impl Fn(&Circuit) -> Signal,
    ) {
        for breaker in breakers {
            let record = |breaker: &StoredBreaker, state: &BreakerState| {
                let circuit = breaker.key.circuit();
                let policy = self.policy_of(circuit);
                state.record(&self.request.incoming.id, signal(circuit), now, &policy)
            };
            match self.change(breaker, record).await {
                Ok(Transition::Written { before }) => self.report(&before, breaker, now),
                Ok(Transition::Unneeded | Transition::LostRaces) => {}
                Err(error) => {
                    self.mark_store_unavailable(&error, now);
                }
            }
        }
    }

    /// Changes a breaker to what `next` makes of its state.
    async fn change(
        &self,
        breaker: &mut StoredBreaker,
        next: impl Fn(&StoredBreaker, &BreakerState) -> Option<BreakerState>,
    ) -> Result<Transition, StoreError> {
        let guarded = breaker.clone();
        change_breaker(breaker, TRIES, |state| next(&guarded, state), self).await
    }

    fn report(&self, before: &BreakerState, breaker: &StoredBreaker, now: Timestamp) {
        let key_id = &self.request.key.record.key_id;
        let circuit = breaker.key.circuit();
        match (before, &breaker.state) {
            (_, BreakerState::Open { trip, until }) if *until > now => {
                tracing::info!(key.id = %key_id, %circuit, because = %trip.class, %until, "breaker open");
                self.shared.metrics.breaker_opened(trip.class, now);
            }
            (BreakerState::HalfOpen { .. }, BreakerState::Closed { .. }) => {
                tracing::info!(key.id = %key_id, %circuit, "breaker closed");
            }
            _ => {}
        }
    }

    /// The breakers of the request as this instance has cached them; `key` is the cached key.
    fn cached(&self, key: &CachedKey) -> Vec<StoredBreaker> {
        let mut breakers = vec![key.breaker(&Circuit::Key)];
        let family = self.request.family.clone().map(Circuit::Family);
        breakers.extend(family.map(|family| key.breaker(&family)));
        if self.is_shared() {
            breakers.push(self.directory.deployment_breaker());
        }
        breakers
    }

    /// Whether the deployment's breaker guards the request too.
    fn is_shared(&self) -> bool {
        self.own_policy.scope == BreakerScope::Deployment
    }

    fn decide<'b>(
        &self,
        breakers: &'b [StoredBreaker],
        now: Timestamp,
    ) -> CombinedDecision<'b, StoredBreaker> {
        let policy_of = |breaker: &StoredBreaker| self.policy_of(breaker.key.circuit());
        domain::breaker::admit(breakers, policy_of, &self.request.incoming.id, now)
    }

    fn find_open<'b>(
        &self,
        breakers: &'b [StoredBreaker],
        now: Timestamp,
    ) -> Option<&'b StoredBreaker> {
        breakers.iter().find(|breaker| {
            let policy = self.policy_of(breaker.key.circuit());
            breaker.state.is_open(now, &policy)
        })
    }

    fn policy_of(&self, circuit: &Circuit) -> BreakerPolicy {
        match circuit {
            Circuit::Key | Circuit::Family(_) => self.own_policy,
            Circuit::Deployment => self.shared_policy,
        }
    }

    /// Whether the cached states need not be read again.
    fn is_current(&self, key: &CachedKey, now: Timestamp) -> bool {
        self.directory.are_breakers_fresh(key, now)
            && (!self.is_shared() || self.directory.is_deployment_fresh(now))
    }

    /// Reads the breakers whose cached states are too old.
    async fn read(
        &self,
        key: &CachedKey,
        now: Timestamp,
    ) -> Result<Vec<StoredBreaker>, StoreError> {
        let reading_key = async {
            if self.directory.are_breakers_fresh(key, now) {
                return Ok(None);
            }
            let reading = self.directory.read(&key.hash, now);
            self.in_time("Query", reading).await
        };
        let reading_deployment = async {
            if !self.is_shared() || self.directory.is_deployment_fresh(now) {
                return Ok(());
            }
            self.read_deployment(now).await
        };
        let (read, ()) = tokio::try_join!(reading_key, reading_deployment)?;
        Ok(self.cached(read.as_ref().unwrap_or(key)))
    }

    async fn read_deployment(&self, now: Timestamp) -> Result<(), StoreError> {
        let reading = self.directory.read_deployment(now);
        self.in_time("GetItem", reading).await
    }

    /// Reads the deployment's breaker, whose cached state is open. If that fails, the cached state stays in force.
    async fn read_open_deployment(&self, now: Timestamp) {
        if let Err(error) = self.read_deployment(now).await {
            tracing::warn!(%error, "open breaker of the deployment cannot be read, stays open");
            self.shared.metrics.breaker_unavailable("GetItem", now);
        }
    }

    async fn in_time<T>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let done = timeout(self.shared.store_deadline, work).await;
        done.unwrap_or_else(|_| {
            Err(StoreError::Unavailable {
                operation,
                code: "deadline".to_owned(),
            })
        })
    }

    /// Logs and counts the store error, and suppresses further attempts for the cache period.
    fn mark_store_unavailable(&self, error: &StoreError, now: Timestamp) -> Check {
        let key_id = &self.request.key.record.key_id;
        tracing::warn!(%error, key.id = %key_id, "breaker unavailable, treated as closed");
        let operation = match error {
            StoreError::Unavailable { operation, .. } => operation,
            StoreError::Damaged { .. } => "read",
        };
        self.shared.metrics.breaker_unavailable(operation, now);
        let hash = &self.request.key.hash;
        self.directory.mark_store_unavailable(hash, now);
        Check::StoreUnavailable
    }
}

impl WriteBreaker for RequestBreakers<'_> {
    type Error = StoreError;

    /// Writes within the deadline, and caches what is stored then.
    async fn write(&self, breaker: &StoredBreaker, next: BreakerState) -> Result<Swap, StoreError> {
        let writing = Box::pin(self.directory.table().swap_breaker(breaker, next));
        let swap = self.in_time("PutItem", writing).await?;
        let (Swap::Won(current) | Swap::Lost(current)) = &swap;
        let hash = &self.request.key.hash;
        self.directory.update_cached_breaker(hash, current.clone());
        Ok(swap)
    }
}

fn state_name(state: &BreakerState) -> &'static str {
    match state {
        BreakerState::Closed { .. } => "closed",
        BreakerState::Open { .. } => "open",
        BreakerState::HalfOpen { .. } => "half_open",
    }
}
