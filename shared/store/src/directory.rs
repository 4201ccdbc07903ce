//! Access key → record, with the cache that bounds how long a revoked key lives on.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::key::{AccessKey, KeyHash, ServerSecret};
use domain::time::Timestamp;
use lru::LruCache;

use crate::StoreError;
use crate::access::{AccessTable, Resolved};

/// How long answers are kept in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CachePolicy {
    /// A revoked key is refused everywhere at the latest this long after its revocation
    /// (requirement R4.4: at most 60 s).
    pub revocation_bound: Duration,
    /// A key that was not there is asked for again after this long. Short, so that a new key works
    /// at once for those who were too fast with it.
    pub negative: Duration,
    /// The most keys, and as many absent ones, that are kept.
    pub capacity: NonZeroUsize,
}

impl Default for CachePolicy {
    fn default() -> Self {
        Self {
            revocation_bound: Duration::from_mins(1),
            negative: Duration::from_secs(5),
            capacity: NonZeroUsize::new(10_000).unwrap_or(NonZeroUsize::MIN),
        }
    }
}

/// Resolves access keys: no read for a key in the cache, one Query for any other.
#[derive(Debug)]
pub struct Directory {
    table: AccessTable,
    secret: ServerSecret,
    policy: CachePolicy,
    present: Mutex<LruCache<KeyHash, Cached<Arc<Resolved>>>>,
    // Apart from the present ones, so that a flood of made-up keys cannot push them out.
    absent: Mutex<LruCache<KeyHash, Cached<()>>>,
}

#[derive(Debug)]
struct Cached<T> {
    value: T,
    read_at: Timestamp,
}

impl Directory {
    /// A directory over `table`, whose keys are hashed under `secret`.
    pub fn new(table: AccessTable, secret: ServerSecret, policy: CachePolicy) -> Self {
        Self {
            table,
            secret,
            policy,
            present: Mutex::new(LruCache::new(policy.capacity)),
            absent: Mutex::new(LruCache::new(policy.capacity)),
        }
    }

    /// What this key resolves to, at most [`CachePolicy::revocation_bound`] old at `now`; `None`
    /// when no such key was issued.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read. An outdated answer is never given instead.
    pub async fn resolve(
        &self,
        key: &AccessKey,
        now: Timestamp,
    ) -> Result<Option<Arc<Resolved>>, StoreError> {
        // The current version of the server secret first: nearly every key is under it.
        for hash in self.secret.hashes(key) {
            if let Some(resolved) = fresh(&self.present, &hash, now, self.policy.revocation_bound) {
                return Ok(Some(resolved));
            }
            if fresh(&self.absent, &hash, now, self.policy.negative).is_some() {
                continue;
            }
            if let Some(resolved) = self.table.resolve(&hash).await? {
                let resolved = Arc::new(resolved);
                keep(&self.present, hash, Arc::clone(&resolved), now);
                return Ok(Some(resolved));
            }
            keep(&self.absent, hash, (), now);
        }
        Ok(None)
    }
}

fn fresh<T: Clone>(
    cache: &Mutex<LruCache<KeyHash, Cached<T>>>,
    hash: &KeyHash,
    now: Timestamp,
    lifetime: Duration,
) -> Option<T> {
    let mut cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
    let cached = cache.get(hash)?;
    // A clock that was set back must not make an answer live longer.
    let is_fresh = cached.read_at <= now && now.since(cached.read_at) < lifetime;
    is_fresh.then(|| cached.value.clone())
}

fn keep<T>(cache: &Mutex<LruCache<KeyHash, Cached<T>>>, hash: KeyHash, value: T, now: Timestamp) {
    let mut cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
    cache.put(
        hash,
        Cached {
            value,
            read_at: now,
        },
    );
}
