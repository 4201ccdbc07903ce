//! The breaker's shell: which breakers a request has to ask, what is known of them here, and the
//! conditional writes that make a transition true for the whole fleet. The transitions themselves are
//! `domain::breaker`'s.
//!
//! Nothing here blocks traffic: a state that cannot be read or written in time is treated as closed,
//! with a warning and a metric.

use std::time::Duration;

use domain::breaker::{Admission, BreakerState, Circuit, Signal};
use domain::id::RequestId;
use domain::model_family::ModelFamily;
use domain::policy::{BreakerPolicy, BreakerScope};
use domain::time::Timestamp;
use domain::verdict::Verdict;
use store::StoreError;
use store::breakers::{StoredBreaker, Swap};
use store::cache::{AccessCache, CachedKey};
use tokio::time::timeout;

use crate::clock::Clock;
use crate::metrics::Metrics;

/// At most this many writes are tried for one transition. Who loses twice leaves it to others: they
/// have just said the same, or something newer.
const TRIES: usize = 2;

/// A state that nobody knows does not block traffic.
const UNAVAILABLE: Asked = Asked {
    admission: Admission::Allow,
    breakers: Vec::new(),
};

/// Asks and tells the breakers of requests.
#[derive(Debug)]
pub(crate) struct Breaker {
    clock: Clock,
    metrics: Metrics,
    /// For one operation on the table.
    deadline: Duration,
}

/// Whose breakers, and for which request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'a> {
    pub(crate) directory: &'a AccessCache,
    pub(crate) known: &'a CachedKey,
    pub(crate) who: &'a RequestId,
    /// Of the model that is asked for.
    pub(crate) family: Option<&'a ModelFamily>,
    /// The key's.
    pub(crate) policy: &'a BreakerPolicy,
    /// The deployment's, by which everybody goes for the breaker that they share.
    pub(crate) deployment: &'a BreakerPolicy,
}

impl Question<'_> {
    fn policy_of(&self, breaker: &StoredBreaker) -> &BreakerPolicy {
        match breaker.key.circuit() {
            Circuit::Key | Circuit::Family(_) => self.policy,
            Circuit::Deployment => self.deployment,
        }
    }

    fn ask(&self, breaker: &StoredBreaker, now: Timestamp) -> domain::breaker::Asked {
        breaker.state.ask(self.who, now, self.policy_of(breaker))
    }

    fn is_open(&self, breaker: &StoredBreaker, now: Timestamp) -> bool {
        breaker.state.is_open(now, self.policy_of(breaker))
    }
}

/// What the breakers said.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) admission: Admission,
    /// The states that the answer rests on. None, when they could not be read: then nothing is told
    /// either.
    breakers: Vec<StoredBreaker>,
}

impl Asked {
    /// Whether the states are known, and all of them are closed.
    fn is_closed(&self) -> bool {
        let is_closed =
            |breaker: &StoredBreaker| matches!(breaker.state, BreakerState::Closed { .. });
        !self.breakers.is_empty() && self.breakers.iter().all(is_closed)
    }

    /// For logs.
    pub(crate) fn as_str(&self) -> &'static str {
        match self.admission {
            Admission::Allow if self.breakers.is_empty() => "unavailable",
            Admission::Allow => "closed",
            Admission::Probe => "probe",
            Admission::Deny { .. } => "open",
        }
    }
}

impl Breaker {
    pub(crate) fn new(clock: Clock, metrics: Metrics, deadline: Duration) -> Self {
        Self {
            clock,
            metrics,
            deadline,
        }
    }

    /// Whether a breaker is known to be open, without a read.
    pub(crate) fn is_open(&self, question: Question<'_>) -> bool {
        let now = self.clock.now();
        let breakers = Self::seen(question, question.known);
        breakers
            .iter()
            .any(|breaker| question.is_open(breaker, now))
    }

    /// May the request ask Plan? No read for a breaker that is known to be open, or that was seen
    /// seconds ago; otherwise one Query. An open breaker of the deployment is read once per
    /// [`CachePolicy::revocation_bound`](store::cache::CachePolicy::revocation_bound), so that a reset is noticed. Whoever takes a lease by what it has seen seconds ago learns
    /// from the failed write what has become of it. A request that may probe holds the lease.
    pub(crate) async fn ask(&self, question: Question<'_>) -> Asked {
        let now = self.clock.now();
        let mut breakers = Self::seen(question, question.known);
        let is_open = |breaker: &&StoredBreaker| question.is_open(breaker, now);
        let open = breakers.iter().find(is_open);
        if open.is_some_and(|open| *open.key.circuit() == Circuit::Deployment)
            && question.directory.must_read_open_deployment_again(now)
        {
            Box::pin(self.read_open_deployment(question, now)).await;
            breakers = Self::seen(question, question.known);
        }
        if let Some(open) = breakers.iter().find(is_open) {
            let admission = question.ask(open, now).admission;
            return Asked {
                admission,
                breakers,
            };
        }
        let moves = |breaker: &StoredBreaker| question.ask(breaker, now).next.is_some();
        let is_current = Self::is_current(question, now);
        if (!is_current || breakers.iter().any(moves))
            && question
                .directory
                .store_recently_failed(question.known, now)
        {
            return UNAVAILABLE;
        }
        if !is_current {
            match Box::pin(self.read(question, now)).await {
                Ok(read) => breakers = read,
                Err(error) => return self.unavailable(&error, question, now),
            }
        }
        match self.admit(&mut breakers, question, now).await {
            Ok(admission) => Asked {
                admission,
                breakers,
            },
            Err(error) => self.unavailable(&error, question, now),
        }
    }

    /// The admission by states that are current. Leases are taken only when no breaker denies.
    async fn admit(
        &self,
        breakers: &mut [StoredBreaker],
        question: Question<'_>,
        now: Timestamp,
    ) -> Result<Admission, StoreError> {
        for breaker in &*breakers {
            let asked = question.ask(breaker, now);
            if let deny @ Admission::Deny { .. } = asked.admission {
                return Ok(deny);
            }
        }
        let mut admission = Admission::Allow;
        for at in 0..breakers.len() {
            let Some(breaker) = breakers.get_mut(at) else {
                continue;
            };
            match self.take_lease(breaker, question, now).await {
                Ok(Admission::Allow) => {}
                Ok(Admission::Probe) => admission = Admission::Probe,
                denied_or_failed => {
                    // The leases taken before are of no use to this request.
                    self.signal(breakers, question, now, |_| Signal::Nothing)
                        .await;
                    return denied_or_failed;
                }
            }
        }
        Ok(admission)
    }

    async fn take_lease(
        &self,
        breaker: &mut StoredBreaker,
        question: Question<'_>,
        now: Timestamp,
    ) -> Result<Admission, StoreError> {
        for _ in 0..TRIES {
            let asked = question.ask(breaker, now);
            let Some(next) = asked.next else {
                return Ok(asked.admission);
            };
            if self.swap(breaker, next, question).await? {
                return Ok(asked.admission);
            }
        }
        let asked = question.ask(breaker, now);
        Ok(match (asked.admission, asked.next) {
            // Somebody else is at it.
            (Admission::Probe, Some(_)) => match breaker.state {
                BreakerState::Open { because, .. } | BreakerState::HalfOpen { because, .. } => {
                    Admission::Deny {
                        because,
                        until: now,
                    }
                }
                BreakerState::Closed { .. } => Admission::Allow,
            },
            (admission, _) => admission,
        })
    }

    /// Whether a limit with a known end opened one of the breakers that denied the request.
    pub(crate) fn is_limited(&self, asked: &Asked, question: Question<'_>) -> bool {
        let now = self.clock.now();
        asked.breakers.iter().any(|breaker| {
            breaker.state.is_opened_by_limit_with_end()
                && matches!(question.ask(breaker, now).admission, Admission::Deny { .. })
        })
    }

    /// Tells the breakers what came of it; gives the name of the state after it, for the log. While the
    /// table is down only a probe tries: the others' answers will be given again.
    ///
    /// A success ends the row of failures that other instances have counted, so it reads the breakers
    /// again when the cached ones are older than [`CachePolicy::breaker`](store::cache::CachePolicy::breaker). The next request uses what was
    /// read.
    pub(crate) async fn tell(
        &self,
        mut asked: Asked,
        question: Question<'_>,
        verdict: &Verdict,
    ) -> Option<&'static str> {
        let now = self.clock.now();
        if let Some(known) = question.directory.cached(&question.known.hash) {
            let is_probe = asked.admission == Admission::Probe;
            if !is_probe && question.directory.store_recently_failed(&known, now) {
                return None;
            }
            let current = Question {
                known: &known,
                ..question
            };
            let mut newer = Self::seen(question, &known);
            let may_be_reset = *verdict == Verdict::Good && asked.is_closed();
            if may_be_reset && !Self::is_current(current, now) {
                match Box::pin(self.read(current, now)).await {
                    Ok(read) => newer = read,
                    Err(error) => {
                        self.put_off(&error, question, now);
                        return None;
                    }
                }
            }
            // Other requests of this instance may have read or written newer states meanwhile.
            for (breaker, newer) in asked.breakers.iter_mut().zip(newer) {
                if newer.version > breaker.version {
                    *breaker = newer;
                }
            }
        }
        let scope = question.policy.scope;
        self.signal(&mut asked.breakers, question, now, |circuit| {
            Signal::of(verdict, circuit, scope)
        })
        .await;
        asked
            .breakers
            .iter()
            .map(|breaker| state_name(&breaker.state))
            .max_by_key(|name| *name != "closed")
    }

    async fn signal(
        &self,
        breakers: &mut [StoredBreaker],
        question: Question<'_>,
        now: Timestamp,
        signal: impl Fn(&Circuit) -> Signal,
    ) {
        for breaker in breakers {
            let signal = signal(breaker.key.circuit());
            for _ in 0..TRIES {
                let policy = question.policy_of(breaker);
                let told = breaker.state.tell(question.who, signal, now, policy);
                let Some(next) = told else { break };
                let before = breaker.state.clone();
                match self.swap(breaker, next, question).await {
                    Ok(false) => {}
                    Ok(true) => {
                        self.report(&before, breaker, question, now);
                        break;
                    }
                    Err(error) => {
                        self.put_off(&error, question, now);
                        break;
                    }
                }
            }
        }
    }

    fn report(
        &self,
        before: &BreakerState,
        breaker: &StoredBreaker,
        question: Question<'_>,
        now: Timestamp,
    ) {
        let key_id = &question.known.record.key_id;
        let circuit = breaker.key.circuit();
        match (before, &breaker.state) {
            (_, BreakerState::Open { because, until, .. }) if *until > now => {
                tracing::info!(key.id = %key_id, %circuit, %because, %until, "breaker open");
                self.metrics.breaker_opened(*because, now);
            }
            (BreakerState::HalfOpen { .. }, BreakerState::Closed { .. }) => {
                tracing::info!(key.id = %key_id, %circuit, "breaker closed");
            }
            _ => {}
        }
    }

    /// Makes a transition, and takes in what is there after it. False when another write was faster.
    async fn swap(
        &self,
        breaker: &mut StoredBreaker,
        next: BreakerState,
        question: Question<'_>,
    ) -> Result<bool, StoreError> {
        let table = question.directory.table();
        let swapping = Box::pin(table.swap_breaker(breaker, next));
        let swapped = self.in_time("PutItem", swapping).await?;
        let (is_won, current) = match swapped {
            Swap::Won(written) => (true, written),
            Swap::Lost(current) => (false, current),
        };
        *breaker = current.clone();
        question
            .directory
            .update_cached_breaker(&question.known.hash, current);
        Ok(is_won)
    }

    /// The breakers that a request has to ask, as this instance knows them.
    fn seen(question: Question<'_>, known: &CachedKey) -> Vec<StoredBreaker> {
        let mut breakers = vec![known.breaker(&Circuit::Key)];
        let family = question.family.cloned().map(Circuit::Family);
        breakers.extend(family.map(|family| known.breaker(&family)));
        if question.policy.scope == BreakerScope::Deployment {
            breakers.push(question.directory.deployment_breaker());
        }
        breakers
    }

    fn is_current(question: Question<'_>, now: Timestamp) -> bool {
        question.directory.are_breakers_fresh(question.known, now)
            && (question.policy.scope == BreakerScope::Key
                || question.directory.is_deployment_fresh(now))
    }

    async fn read(
        &self,
        question: Question<'_>,
        now: Timestamp,
    ) -> Result<Vec<StoredBreaker>, StoreError> {
        let directory = question.directory;
        let reading_key = async {
            if directory.are_breakers_fresh(question.known, now) {
                return Ok(None);
            }
            let reading = directory.read(&question.known.hash, now);
            self.in_time("Query", reading).await
        };
        let reading_deployment = async {
            if question.policy.scope == BreakerScope::Key
                || question.directory.is_deployment_fresh(now)
            {
                return Ok(());
            }
            self.read_deployment(directory, now).await
        };
        let (known, ()) = tokio::try_join!(reading_key, reading_deployment)?;
        Ok(Self::seen(
            question,
            known.as_ref().unwrap_or(question.known),
        ))
    }

    async fn read_deployment(
        &self,
        directory: &AccessCache,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let reading = directory.read_deployment(now);
        self.in_time("GetItem", reading).await
    }

    /// Reads the deployment's breaker, which is cached as open. If that fails, the cached state stays in
    /// force.
    async fn read_open_deployment(&self, question: Question<'_>, now: Timestamp) {
        if let Err(error) = self.read_deployment(question.directory, now).await {
            tracing::warn!(%error, "open breaker of the deployment cannot be read, stays open");
            self.metrics.breaker_unavailable("GetItem", now);
        }
    }

    async fn in_time<T>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        timeout(self.deadline, work).await.unwrap_or_else(|_| {
            Err(StoreError::Unavailable {
                operation,
                code: "deadline".to_owned(),
            })
        })
    }

    fn unavailable(&self, error: &StoreError, question: Question<'_>, now: Timestamp) -> Asked {
        self.put_off(error, question, now);
        UNAVAILABLE
    }

    /// The table does not work: it is said, counted, and left alone for a while.
    fn put_off(&self, error: &StoreError, question: Question<'_>, now: Timestamp) {
        let key_id = &question.known.record.key_id;
        tracing::warn!(%error, key.id = %key_id, "breaker unavailable, treated as closed");
        let operation = match error {
            StoreError::Unavailable { operation, .. } => operation,
            StoreError::Damaged { .. } => "read",
        };
        self.metrics.breaker_unavailable(operation, now);
        let hash = &question.known.hash;
        question.directory.mark_store_unavailable(hash, now);
    }
}

fn state_name(state: &BreakerState) -> &'static str {
    match state {
        BreakerState::Closed { .. } => "closed",
        BreakerState::Open { .. } => "open",
        BreakerState::HalfOpen { .. } => "half_open",
    }
}
