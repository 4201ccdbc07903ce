//! The deployment's breaker as this instance has cached it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::time::Timestamp;
use store::breaker::{BreakerPlace, StoredBreaker};
use store::directory::CachePolicy;

/// A cache of one breaker.
#[derive(Debug)]
pub(super) struct DeploymentCache {
    policy: CachePolicy,
    cached: Mutex<Option<Cached>>,
}

#[derive(Debug)]
struct Cached {
    breaker: StoredBreaker,
    read_at: Timestamp,
    /// When an open breaker was to be read again last.
    tried_at: Option<Timestamp>,
}

impl DeploymentCache {
    pub(super) fn new(policy: CachePolicy) -> Self {
        Self {
            policy,
            cached: Mutex::default(),
        }
    }

    /// The breaker as it is cached, however old; closed when nothing is cached.
    pub(super) fn breaker(&self) -> StoredBreaker {
        let cached = self.lock().as_ref().map(|cached| cached.breaker.clone());
        cached.unwrap_or_else(|| StoredBreaker::untouched(BreakerPlace::deployment()))
    }

    /// Whether the state need not be read for a request ([`CachePolicy::breaker`]).
    pub(super) fn is_current(&self, now: Timestamp) -> bool {
        let cached = self.lock();
        let read_at = cached.as_ref().map(|cached| cached.read_at);
        read_at.is_some_and(|read_at| is_fresh(read_at, now, self.policy.breaker))
    }

    /// Whether the caller is to read the open breaker again: when it was read longer ago than
    /// [`CachePolicy::revocation_bound`]. True for one caller; for another one only after
    /// [`CachePolicy::breaker`], when the read has failed.
    pub(super) fn must_read_open_again(&self, now: Timestamp) -> bool {
        let mut cached = self.lock();
        let Some(cached) = cached.as_mut() else {
            return false;
        };
        let tried = cached.tried_at;
        let was_tried = tried.is_some_and(|at| is_fresh(at, now, self.policy.breaker));
        let is_due = !was_tried && !is_fresh(cached.read_at, now, self.policy.revocation_bound);
        if is_due {
            cached.tried_at = Some(now);
        }
        is_due
    }

    /// Caches what was read at `now`.
    pub(super) fn put(&self, read: StoredBreaker, now: Timestamp) {
        let mut cached = self.lock();
        let breaker = match cached.take() {
            // A write of this instance may have been faster than the read.
            Some(known) if known.breaker.version > read.version => known.breaker,
            Some(_) | None => read,
        };
        *cached = Some(Cached {
            breaker,
            read_at: now,
            tried_at: None,
        });
    }

    /// Caches what a write of this instance has shown.
    pub(super) fn update(&self, current: StoredBreaker) {
        if let Some(cached) = self.lock().as_mut()
            && cached.breaker.version < current.version
        {
            cached.breaker = current;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Cached>> {
        self.cached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A clock that was set back must not make a state live longer.
fn is_fresh(since: Timestamp, now: Timestamp, lifetime: Duration) -> bool {
    since <= now && now.since(since) < lifetime
}
