//! Access key → record and breakers, with the cache that bounds how long a revoked key lives on.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::breaker::Circuit;
use domain::grant::KeyRecord;
use domain::key::{AccessKey, KeyHash, ServerSecret};
use domain::time::Timestamp;
use lru::LruCache;

use crate::StoreError;
use crate::access::{AccessTable, Binding};
use crate::breaker::{BreakerPlace, StoredBreaker};
use crate::layout::key_pk;
use crate::server_secret::CachedServerSecret;
use crate::session::BedrockSession;

/// How long answers are kept in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CachePolicy {
    /// A revoked key is refused everywhere at the latest this long after its revocation
    /// (requirement R4.4: at most 60 s).
    pub revocation_bound: Duration,
    /// A key that was not there is asked for again after this long. Short, so that a new key works
    /// at once for those who were too fast with it.
    pub negative: Duration,
    /// The breakers of a key are asked for again after this long, unless one is known to be open until
    /// a moment to come. So long may a request still go to Plan after another instance has opened the
    /// breaker.
    pub breaker: Duration,
    /// The most keys, and as many absent ones, that are kept.
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

/// Resolves access keys: no read for a key in the cache; one Query for any other, and one more for each
/// newer version of the server secret when an old key is read for the first time.
#[derive(Debug)]
pub struct Directory {
    table: AccessTable,
    secret: CachedServerSecret,
    policy: CachePolicy,
    present: Mutex<LruCache<KeyHash, Known>>,
    // Apart from the present ones, so that a flood of made-up keys cannot push them out.
    absent: Mutex<LruCache<KeyHash, Timestamp>>,
}

/// What is known of a key.
#[derive(Clone, Debug)]
pub struct Known {
    /// The key's hash, by which the directory knows it.
    pub hash: KeyHash,
    /// The key and its Bedrock key, at most [`CachePolicy::revocation_bound`] old.
    pub key: Arc<KnownKey>,
    /// Where the table keeps it all.
    partition: Arc<str>,
    read_at: Timestamp,
    /// The breakers, as the table or this instance's own writes showed them last; each as untouched
    /// where nothing is known.
    breakers: Vec<StoredBreaker>,
    sessions: Vec<BedrockSession>,
    breakers_read_at: Timestamp,
    breakers_failed_at: Option<Timestamp>,
}

/// A key as it is kept in memory.
#[derive(Clone, Debug)]
pub struct KnownKey {
    /// The key.
    pub record: KeyRecord,
    /// Its Bedrock key, if one is registered.
    pub binding: Option<Binding>,
}

impl Known {
    /// One breaker of the key, as it is known.
    pub fn breaker(&self, circuit: &Circuit) -> StoredBreaker {
        let known = self
            .breakers
            .iter()
            .find(|known| known.place.circuit() == circuit);
        known.cloned().unwrap_or_else(|| {
            let key_id = &self.key.record.key_id;
            let place = BreakerPlace::of_key(&self.partition, key_id, circuit.clone());
            StoredBreaker::untouched(place)
        })
    }

    /// Until when a conversation may stay on Bedrock, if it was there.
    pub fn session(&self, session_id: &str) -> Option<Timestamp> {
        let sessions = self.sessions.iter();
        let same = sessions.filter(|session| session.session_id == session_id);
        same.map(|session| session.until).max()
    }

    /// Takes a breaker that is newer than what is known.
    fn learn(&mut self, breaker: StoredBreaker) {
        let circuit = breaker.place.circuit();
        match self
            .breakers
            .iter_mut()
            .find(|known| known.place.circuit() == circuit)
        {
            Some(known) if known.version >= breaker.version => {}
            Some(known) => *known = breaker,
            None => self.breakers.push(breaker),
        }
    }
}

impl Directory {
    /// A directory over `table`, whose keys are hashed under `secret`.
    pub fn new(table: AccessTable, secret: CachedServerSecret, policy: CachePolicy) -> Self {
        Self {
            table,
            secret,
            policy,
            present: Mutex::new(LruCache::new(policy.capacity)),
            absent: Mutex::new(LruCache::new(policy.capacity)),
        }
    }

    /// The table behind it.
    pub fn table(&self) -> &AccessTable {
        &self.table
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
    ) -> Result<Option<Known>, StoreError> {
        let secret = self.secret.current();
        if let Some(known) = self.fresh(&secret, key, now) {
            return Ok(Some(known));
        }
        let secret = self.secret.refresh_when_old(now).await;
        if let Some(known) = self.read_any(&secret, key, now).await? {
            return Ok(Some(known));
        }
        match self.secret.refresh_for_unknown_key(now).await {
            Some(secret) => self.read_any(&secret, key, now).await,
            None => Ok(None),
        }
    }

    /// What the cache holds of a key under any version of the secret, where it need not be read again.
    fn fresh(&self, secret: &ServerSecret, key: &AccessKey, now: Timestamp) -> Option<Known> {
        let cached = secret.hashes(key).filter_map(|hash| self.known(&hash));
        let mut fresh =
            cached.filter(|known| is_fresh(known.read_at, now, self.policy.revocation_bound));
        fresh.next()
    }

    /// Reads a key under each version of the secret until it is found: first under the version under
    /// which it was found before, then under the current one, then under the older ones.
    async fn read_any(
        &self,
        secret: &ServerSecret,
        key: &AccessKey,
        now: Timestamp,
    ) -> Result<Option<Known>, StoreError> {
        let mut hashes: Vec<KeyHash> = secret.hashes(key).collect();
        hashes.sort_by_key(|hash| self.known(hash).is_none());
        for hash in hashes {
            let absent_since = lock(&self.absent).get(&hash).copied();
            if absent_since.is_some_and(|since| is_fresh(since, now, self.policy.negative)) {
                continue;
            }
            if let Some(known) = self.read(&hash, now).await? {
                return Ok(Some(known));
            }
        }
        Ok(None)
    }

    /// What is known of a key without a read, however old.
    pub fn known(&self, hash: &KeyHash) -> Option<Known> {
        lock(&self.present).get(hash).cloned()
    }

    /// Whether breakers may be believed at `now` that are known since then
    /// ([`CachePolicy::breaker`]).
    pub fn believes_breakers(&self, known: &Known, now: Timestamp) -> bool {
        is_fresh(known.breakers_read_at, now, self.policy.breaker)
    }

    /// Reads everything of a key anew, in one Query; `None` when it is gone.
    ///
    /// # Errors
    /// [`StoreError`] when the table cannot be read.
    pub async fn read(&self, hash: &KeyHash, now: Timestamp) -> Result<Option<Known>, StoreError> {
        let Some(resolved) = self.table.resolve(hash).await? else {
            lock(&self.present).pop(hash);
            lock(&self.absent).put(hash.clone(), now);
            return Ok(None);
        };
        let mut known = Known {
            hash: hash.clone(),
            key: Arc::new(KnownKey {
                record: resolved.record,
                binding: resolved.binding,
            }),
            partition: key_pk(hash).into(),
            read_at: now,
            breakers: resolved.breakers,
            sessions: resolved.sessions,
            breakers_read_at: now,
            breakers_failed_at: None,
        };
        let mut present = lock(&self.present);
        // A write of this instance may have been faster than the read.
        if let Some(before) = present.pop(hash) {
            for breaker in before.breakers {
                known.learn(breaker);
            }
        }
        present.put(hash.clone(), known.clone());
        Ok(Some(known))
    }

    /// Takes in what a write has shown of a key's breaker.
    pub fn learn_breaker(&self, hash: &KeyHash, breaker: StoredBreaker) {
        if let Some(known) = lock(&self.present).get_mut(hash) {
            known.learn(breaker);
        }
    }

    /// Takes in that a conversation is on Bedrock.
    pub fn learn_session(&self, hash: &KeyHash, session: BedrockSession, now: Timestamp) {
        if let Some(known) = lock(&self.present).get_mut(hash) {
            known
                .sessions
                .retain(|other| other.until > now && other.session_id != session.session_id);
            known.sessions.push(session);
        }
    }

    /// The breakers could not be read or written.
    pub fn put_off_breakers(&self, hash: &KeyHash, now: Timestamp) {
        if let Some(known) = lock(&self.present).get_mut(hash) {
            known.breakers_failed_at = Some(now);
        }
    }

    /// Whether the breakers were put off so short a while ago that it is not worth another try: not
    /// every request is to wait for a table that is down.
    pub fn breakers_failed(&self, known: &Known, now: Timestamp) -> bool {
        let failed_at = known.breakers_failed_at;
        failed_at.is_some_and(|failed_at| is_fresh(failed_at, now, self.policy.breaker))
    }
}

/// A clock that was set back must not make an answer live longer.
fn is_fresh(read_at: Timestamp, now: Timestamp, lifetime: Duration) -> bool {
    read_at <= now && now.since(read_at) < lifetime
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
