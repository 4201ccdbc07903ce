//! All cached state of an instance: access keys with their breakers, and the breaker of the deployment.
//! The age of the cache bounds for how long a revoked key is still served.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::breaker::Circuit;
use domain::grant::KeyRecord;
use domain::key::{AccessKey, KeyHash, ServerSecret};
use domain::time::Timestamp;
use lru::LruCache;
use service::lock;

use crate::StoreError;
use crate::breakers::{BreakerKey, StoredBreaker};
use crate::keys::Binding;
use crate::partition::KeyPartition;
use crate::secrets::CachedServerSecret;
use crate::sessions::BedrockSession;
use crate::table::AccessTable;

/// The lifetimes of cached state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CachePolicy {
    /// The lifetime of a key: a revoked key is refused by every instance at most this long after its
    /// revocation (requirement R4.4: at most 60 s).
    pub revocation_bound: Duration,
    /// The lifetime of the absence of a key. Short, so that a new key that was used too early soon works.
    pub negative: Duration,
    /// The lifetime of a breaker, unless it is cached as open until a future time. For this long a request
    /// may still go to Plan after another instance has opened the breaker.
    pub breaker: Duration,
    /// The maximum number of cached keys, and of cached absent ones.
    pub capacity: NonZeroUsize,
}

impl Default for CachePolicy {
    fn default() -> Self {
        Self {
            revocation_bound: Duration::from_mins(1),
            negative: Duration::from_secs(5),
            breaker: Duration::from_secs(5),
            capacity: NonZeroUsize::new(10_000).unwrap_or(NonZeroUsize::MIN),
        }
    }
}

/// The cache in front of the access table. A cached key costs no read; any other costs one Query, and one
/// more for each newer version of the server secret when an old key is read for the first time.
#[derive(Debug)]
pub struct AccessCache {
    table: AccessTable,
    secret: CachedServerSecret,
    policy: CachePolicy,
    present: Mutex<LruCache<KeyHash, CachedKey>>,
    // Apart from the present ones, so that a flood of made-up keys does not evict them.
    absent: Mutex<LruCache<KeyHash, Timestamp>>,
    deployment: Mutex<Option<CachedDeployment>>,
}

/// A cached access key.
#[derive(Clone, Debug)]
pub struct CachedKey {
    /// The key's hash, under which it is cached.
    pub hash: KeyHash,
    /// The key, at most [`CachePolicy::revocation_bound`] old.
    pub record: Arc<KeyRecord>,
    /// Its Bedrock key, if one is registered; as old as the key.
    pub binding: Option<Arc<Binding>>,
    partition: Arc<str>,
    read_at: Timestamp,
    /// The breakers that were read or written; any other one is in its initial state.
    breakers: Vec<StoredBreaker>,
    sessions: Vec<BedrockSession>,
    breakers_read_at: Timestamp,
    store_failed_at: Option<Timestamp>,
}

/// The cached breaker of the deployment.
#[derive(Debug)]
struct CachedDeployment {
    breaker: StoredBreaker,
    read_at: Timestamp,
    /// The last attempt to read the breaker again while it was open.
    tried_at: Option<Timestamp>,
}

impl CachedKey {
    fn new(hash: KeyHash, partition: KeyPartition, now: Timestamp) -> Self {
        Self {
            hash,
            record: Arc::new(partition.record),
            binding: partition.binding.map(Arc::new),
            partition: partition.pk,
            read_at: now,
            breakers: partition.breakers,
            sessions: partition.sessions,
            breakers_read_at: now,
            store_failed_at: None,
        }
    }

    /// One breaker of the key, as it is cached.
    pub fn breaker(&self, circuit: &Circuit) -> StoredBreaker {
        let cached = self
            .breakers
            .iter()
            .find(|cached| cached.key.circuit() == circuit);
        cached.cloned().unwrap_or_else(|| {
            let key = BreakerKey::of_key(&self.partition, &self.record.key_id, circuit.clone());
            StoredBreaker::initial(key)
        })
    }

    /// The time until which a conversation may stay on Bedrock, if it was there.
    pub fn session(&self, session_id: &str) -> Option<Timestamp> {
        let sessions = self.sessions.iter();
        let same = sessions.filter(|session| session.session_id == session_id);
        same.map(|session| session.until).max()
    }

    /// Replaces a breaker, unless the cached one is as new.
    fn update_breaker(&mut self, breaker: StoredBreaker) {
        let circuit = breaker.key.circuit();
        match self
            .breakers
            .iter_mut()
            .find(|cached| cached.key.circuit() == circuit)
        {
            Some(cached) if cached.version >= breaker.version => {}
            Some(cached) => *cached = breaker,
            None => self.breakers.push(breaker),
        }
    }
}

impl AccessCache {
    /// A cache in front of `table`, whose keys are hashed under `secret`.
    pub fn new(table: AccessTable, secret: CachedServerSecret, policy: CachePolicy) -> Self {
        Self {
            table,
            secret,
            policy,
            present: Mutex::new(LruCache::new(policy.capacity)),
            absent: Mutex::new(LruCache::new(policy.capacity)),
            deployment: Mutex::default(),
        }
    }

    /// The table behind the cache.
    pub fn table(&self) -> &AccessTable {
        &self.table
    }

    /// The key, at most [`CachePolicy::revocation_bound`] old at `now`; `None` when no such key was issued.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read. An outdated key is never returned instead.
    pub async fn resolve(
        &self,
        key: &AccessKey,
        now: Timestamp,
    ) -> Result<Option<CachedKey>, StoreError> {
        let secret = self.secret.current();
        if let Some(cached) = self.fresh(&secret, key, now) {
            return Ok(Some(cached));
        }
        let secret = self.secret.refresh_when_old(now).await;
        if let Some(cached) = self.read_any(&secret, key, now).await? {
            return Ok(Some(cached));
        }
        match self.secret.refresh_for_unknown_key(now).await {
            Some(secret) => self.read_any(&secret, key, now).await,
            None => Ok(None),
        }
    }

    /// The cached key under any version of the secret, if it need not be read again.
    fn fresh(&self, secret: &ServerSecret, key: &AccessKey, now: Timestamp) -> Option<CachedKey> {
        let cached = secret.hashes(key).filter_map(|hash| self.cached(&hash));
        let mut fresh =
            cached.filter(|cached| cached.read_at.is_fresh(now, self.policy.revocation_bound));
        fresh.next()
    }

    /// Reads a key under each version of the secret until it is found: first under the version under
    /// which it was found before, then under the current one, then under the older ones.
    async fn read_any(
        &self,
        secret: &ServerSecret,
        key: &AccessKey,
        now: Timestamp,
    ) -> Result<Option<CachedKey>, StoreError> {
        let mut hashes: Vec<KeyHash> = secret.hashes(key).collect();
        hashes.sort_by_key(|hash| self.cached(hash).is_none());
        for hash in hashes {
            let absent_since = lock(&self.absent).get(&hash).copied();
            if absent_since.is_some_and(|since| since.is_fresh(now, self.policy.negative)) {
                continue;
            }
            if let Some(cached) = self.read(&hash, now).await? {
                return Ok(Some(cached));
            }
        }
        Ok(None)
    }

    /// The cached key, however old, without a read.
    pub fn cached(&self, hash: &KeyHash) -> Option<CachedKey> {
        lock(&self.present).get(hash).cloned()
    }

    /// Returns true when the cached breakers of a key need not be read again ([`CachePolicy::breaker`]).
    pub fn are_breakers_fresh(&self, key: &CachedKey, now: Timestamp) -> bool {
        key.breakers_read_at.is_fresh(now, self.policy.breaker)
    }

    /// Reads a key with its breakers again, in one Query; `None` when it is gone.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    pub async fn read(
        &self,
        hash: &KeyHash,
        now: Timestamp,
    ) -> Result<Option<CachedKey>, StoreError> {
        let Some(partition) = self.table.resolve(hash).await? else {
            lock(&self.present).pop(hash);
            lock(&self.absent).put(hash.clone(), now);
            return Ok(None);
        };
        let mut cached = CachedKey::new(hash.clone(), partition, now);
        let mut present = lock(&self.present);
        // A write of this instance may have been faster than the read.
        if let Some(before) = present.pop(hash) {
            for breaker in before.breakers {
                cached.update_breaker(breaker);
            }
        }
        present.put(hash.clone(), cached.clone());
        Ok(Some(cached))
    }

    /// Caches the state that a write has returned for a breaker: of this key, or of the deployment.
    pub fn update_cached_breaker(&self, hash: &KeyHash, breaker: StoredBreaker) {
        match breaker.key.circuit() {
            Circuit::Deployment => {
                if let Some(cached) = lock(&self.deployment).as_mut()
                    && cached.breaker.version < breaker.version
                {
                    cached.breaker = breaker;
                }
            }
            Circuit::Key | Circuit::Family(_) => {
                if let Some(cached) = lock(&self.present).get_mut(hash) {
                    cached.update_breaker(breaker);
                }
            }
        }
    }

    /// Caches that a conversation is on Bedrock.
    pub fn update_cached_session(&self, hash: &KeyHash, session: BedrockSession, now: Timestamp) {
        if let Some(cached) = lock(&self.present).get_mut(hash) {
            cached
                .sessions
                .retain(|other| other.until > now && other.session_id != session.session_id);
            cached.sessions.push(session);
        }
    }

    /// Marks that the breakers of a key could not be read or written.
    pub fn mark_store_unavailable(&self, hash: &KeyHash, now: Timestamp) {
        if let Some(cached) = lock(&self.present).get_mut(hash) {
            cached.store_failed_at = Some(now);
        }
    }

    /// Returns true when the breakers of a key could not be read or written within the last
    /// [`CachePolicy::breaker`]: the caller then leaves out another attempt.
    pub fn store_recently_failed(&self, key: &CachedKey, now: Timestamp) -> bool {
        let failed_at = key.store_failed_at;
        failed_at.is_some_and(|failed_at| failed_at.is_fresh(now, self.policy.breaker))
    }

    /// The breaker of the deployment as it is cached, however old; initial when it is not cached.
    pub fn deployment_breaker(&self) -> StoredBreaker {
        let cached = lock(&self.deployment);
        let breaker = cached.as_ref().map(|cached| cached.breaker.clone());
        breaker.unwrap_or_else(|| StoredBreaker::initial(BreakerKey::deployment()))
    }

    /// Returns true when the breaker of the deployment need not be read again ([`CachePolicy::breaker`]).
    pub fn is_deployment_fresh(&self, now: Timestamp) -> bool {
        let read_at = lock(&self.deployment).as_ref().map(|cached| cached.read_at);
        read_at.is_some_and(|read_at| read_at.is_fresh(now, self.policy.breaker))
    }

    /// Returns true when the caller is to read the open breaker of the deployment again: when it was read
    /// longer ago than [`CachePolicy::revocation_bound`]. True for one caller; for another one only after
    /// [`CachePolicy::breaker`], when the read has failed.
    pub fn must_read_open_deployment_again(&self, now: Timestamp) -> bool {
        let mut cached = lock(&self.deployment);
        let Some(cached) = cached.as_mut() else {
            return false;
        };
        let tried = cached.tried_at;
        let was_tried = tried.is_some_and(|at| at.is_fresh(now, self.policy.breaker));
        let is_due = !was_tried && !cached.read_at.is_fresh(now, self.policy.revocation_bound);
        if is_due {
            cached.tried_at = Some(now);
        }
        is_due
    }

    /// Reads the breaker of the deployment again, by one `GetItem`.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read; the cached breaker stays as it is.
    pub async fn read_deployment(&self, now: Timestamp) -> Result<(), StoreError> {
        let read = self.table.breaker(&BreakerKey::deployment()).await?;
        let mut cached = lock(&self.deployment);
        let breaker = match cached.take() {
            // A write of this instance may have been faster than the read.
            Some(before) if before.breaker.version > read.version => before.breaker,
            Some(_) | None => read,
        };
        *cached = Some(CachedDeployment {
            breaker,
            read_at: now,
            tried_at: None,
        });
        Ok(())
    }
}
