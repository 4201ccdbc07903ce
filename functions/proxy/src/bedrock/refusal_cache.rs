//! What Bedrock's models have refused, and what later requests to them leave out for an hour.
//!
//! Only properties of a model, or of one key's AWS account, are in it, and only after Bedrock has
//! accepted the repaired request. An entry for an account is keyed by the access key, because each
//! access key has its own Bedrock key. The number of entries is bounded: clients choose model ids.

use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::time::Duration;

use dialect::error::{Repair, Scope};
use dialect::{UnsupportedFeature, UnsupportedFeatures};
use domain::id::KeyId;
use domain::time::Timestamp;
use lru::LruCache;
use service::lock;

/// How long a refused part is left out of later requests. A capability that AWS adds to a model is
/// used at the latest after this time.
const LIFETIME: Duration = Duration::from_hours(1);

/// Maximum number of targets; the one that was not used for longest leaves first.
const TARGETS: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// Maximum number of parts of one target; the oldest leaves first.
const PARTS: usize = 32;

/// Parts that later requests leave out, by target.
#[derive(Debug)]
pub(super) struct RefusalCache(Mutex<LruCache<Key, Vec<CachedRefusal>>>);

/// The target of a request, under an access key.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestTarget<'a> {
    pub(super) region: &'a str,
    pub(super) model_id: &'a str,
    pub(super) key_id: &'a KeyId,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    region: String,
    model_id: String,
    /// The access key, for a property of its AWS account.
    account: Option<KeyId>,
}

#[derive(Debug)]
struct CachedRefusal {
    part: UnsupportedFeature,
    expires: Timestamp,
}

impl Default for RefusalCache {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(TARGETS)))
    }
}

impl RequestTarget<'_> {
    fn key(self, account: Option<&KeyId>) -> Key {
        Key {
            region: self.region.to_owned(),
            model_id: self.model_id.to_owned(),
            account: account.cloned(),
        }
    }
}

impl RefusalCache {
    /// The parts that a request to this target leaves out.
    pub(super) fn parts(&self, target: RequestTarget<'_>, now: Timestamp) -> UnsupportedFeatures {
        let mut cache = lock(&self.0);
        let mut parts = UnsupportedFeatures::default();
        for account in [None, Some(target.key_id)] {
            let cached = cache.get(&target.key(account)).into_iter().flatten();
            for refusal in cached.filter(|refusal| now < refusal.expires) {
                parts.insert(refusal.part.clone());
            }
        }
        parts
    }

    /// Adds the properties among the parts of a repair that Bedrock has accepted. Returns those that
    /// were not cached before.
    pub(super) fn insert(
        &self,
        target: RequestTarget<'_>,
        repairs: &[Repair],
        now: Timestamp,
    ) -> Vec<UnsupportedFeature> {
        let mut cache = lock(&self.0);
        let mut added = Vec::new();
        for Repair { part, scope } in repairs {
            let account = match scope {
                Scope::Request => continue,
                Scope::Account => Some(target.key_id),
                Scope::Model => None,
            };
            let parts = cache.get_or_insert_mut(target.key(account), Vec::new);
            parts.retain(|cached| now < cached.expires);
            if parts.iter().any(|cached| cached.part == *part) {
                continue;
            }
            if parts.len() >= PARTS {
                parts.remove(0);
            }
            parts.push(CachedRefusal {
                part: part.clone(),
                expires: now.plus(LIFETIME),
            });
            added.push(part.clone());
        }
        added
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);

    fn key(letter: &str) -> KeyId {
        format!("key_{}", letter.repeat(26)).parse().unwrap()
    }

    fn target<'a>(model_id: &'a str, key_id: &'a KeyId) -> RequestTarget<'a> {
        RequestTarget {
            region: "eu-central-1",
            model_id,
            key_id,
        }
    }

    fn repair(name: &str, scope: Scope) -> Repair {
        Repair {
            part: UnsupportedFeature::Field(name.to_owned()),
            scope,
        }
    }

    #[test]
    fn a_property_applies_to_its_model_or_account_and_to_nothing_else() {
        let (one, other) = (key("a"), key("b"));
        for (scope, same_account, other_account) in [
            (Scope::Request, false, false),
            (Scope::Account, true, false),
            (Scope::Model, true, true),
        ] {
            let cache = RefusalCache::default();
            let added = cache.insert(target("m", &one), &[repair("top_k", scope)], NOW);
            assert_eq!(!added.is_empty(), same_account, "{scope:?}");
            let is_cached = |target| cache.parts(target, NOW).has_field("top_k");
            assert_eq!(is_cached(target("m", &one)), same_account, "{scope:?}");
            assert_eq!(is_cached(target("m", &other)), other_account, "{scope:?}");
            assert!(!is_cached(target("another", &one)), "{scope:?}");
            let elsewhere = RequestTarget {
                region: "us-east-1",
                ..target("m", &one)
            };
            assert!(!is_cached(elsewhere), "{scope:?}");
        }
    }

    #[test]
    fn a_property_is_added_once_and_expires_after_an_hour() {
        let (cache, key) = (RefusalCache::default(), key("a"));
        let target = target("m", &key);
        let repairs = [repair("top_k", Scope::Model)];
        assert_eq!(cache.insert(target, &repairs, NOW).len(), 1);
        let later = NOW.plus(LIFETIME.saturating_sub(Duration::from_millis(1)));
        assert!(cache.insert(target, &repairs, later).is_empty());
        assert!(cache.parts(target, later).has_field("top_k"));
        assert_eq!(
            cache.parts(target, NOW.plus(LIFETIME)),
            UnsupportedFeatures::default()
        );
        assert_eq!(cache.insert(target, &repairs, NOW.plus(LIFETIME)).len(), 1);
    }

    #[test]
    fn targets_and_their_parts_are_bounded_and_the_oldest_leave_first() {
        let (cache, key) = (RefusalCache::default(), key("a"));
        for number in 0..1000 {
            let model = format!("arn:{number}");
            cache.insert(target(&model, &key), &[repair("top_k", Scope::Model)], NOW);
        }
        assert_eq!(cache.0.lock().unwrap().len(), TARGETS.get());
        assert!(cache.parts(target("arn:999", &key), NOW).has_field("top_k"));
        assert!(!cache.parts(target("arn:0", &key), NOW).has_field("top_k"));
        for number in 0..100 {
            let name = format!("field-{number}");
            cache.insert(target("m", &key), &[repair(&name, Scope::Account)], NOW);
        }
        let parts = cache.parts(target("m", &key), NOW);
        assert!(
            parts.has_field("field-99")
                && parts.has_field("field-68")
                && !parts.has_field("field-67")
        );
    }
}
