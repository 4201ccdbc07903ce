//! Bedrock API keys, sealed under KMS and opened again (requirement R4.5).
//!
//! Envelope encryption: KMS makes a data key per secret, AES-256-GCM seals the token with it, and
//! only the encrypted data key is stored. The encryption context names the access key and the user.
//! The additional data of the seal names them too, and the version of the seal: a ciphertext that is
//! copied to another key, or under another version, cannot be decrypted. `Decrypt` names the KMS key,
//! because KMS otherwise takes the key that the ciphertext names, and the ciphertext comes from the
//! table. A whole older seal of the same access key can be put back by a principal that may write
//! the table; it decrypts to a Bedrock key that was registered for that access key before.
//! Sealing and opening are two types, because the two functions have two roles: the admin function may
//! encrypt, the proxy may decrypt (requirement R4.7).

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::time::Duration;

use aws_sdk_kms::Client;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::DataKeySpec;
use domain::bedrock_key::BedrockKey;
use domain::id::{KeyId, UserId};
use domain::time::Timestamp;
use lru::LruCache;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};
use secrecy::zeroize::Zeroizing;
use serde::{Deserialize, Serialize};
use service::lock;

use crate::code;

/// The lifetime of a decrypted token; with [`PURGE_INTERVAL`] it leaves memory within five minutes
/// (requirement R4.5), as long as any token is decrypted or used.
const OPENED_LIFETIME: Duration = Duration::from_secs(270);

/// The interval at which tokens past their lifetime are removed.
const PURGE_INTERVAL: Duration = Duration::from_secs(30);

const OPENED_CAPACITY: NonZeroUsize = NonZeroUsize::new(1000).unwrap();

/// A sealed secret, and the encrypted data key that decrypts it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// Changes with every sealing; a cached token of another version is not used.
    version: String,
    #[serde(with = "serde_bytes")]
    data_key: Vec<u8>,
    #[serde(with = "serde_bytes")]
    nonce: Vec<u8>,
    #[serde(with = "serde_bytes")]
    ciphertext: Vec<u8>,
}

impl Sealed {
    /// In place of one that cannot be read: it cannot be decrypted.
    pub(crate) fn unreadable() -> Self {
        Self {
            version: String::new(),
            data_key: Vec::new(),
            nonce: Vec::new(),
            ciphertext: Vec::new(),
        }
    }
}

/// A secret could not be encrypted or decrypted.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// KMS could not be reached or refused for a reason that may pass.
    #[error("KMS {operation} failed ({code})")]
    Unavailable {
        /// The operation, such as `Decrypt`.
        operation: &'static str,
        /// The error code, or the kind of transport failure.
        code: String,
    },
    /// The ciphertext does not belong to this key and user, or was changed.
    #[error(
        "the Bedrock key cannot be decrypted: it was changed, or belongs to another access key"
    )]
    CiphertextRejected,
    /// The operating system returned no random bytes.
    #[error("no random bytes from the operating system")]
    NoEntropy,
}

/// The owner of a sealed secret.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    /// The access key it is bound to.
    pub key: &'a KeyId,
    /// That key's user.
    pub user: &'a UserId,
}

impl Owner<'_> {
    fn encryption_context(&self) -> HashMap<String, String> {
        HashMap::from([
            ("spillway:key_id".to_owned(), self.key.to_string()),
            ("spillway:user_id".to_owned(), self.user.to_string()),
        ])
    }

    fn additional_data(&self, version: &str) -> Aad<String> {
        Aad::from(format!(
            "spillway:key_id={}\nspillway:user_id={}\nspillway:version={version}",
            self.key, self.user
        ))
    }
}

/// Seals. Needs `kms:GenerateDataKey` and nothing else.
#[derive(Clone, Debug)]
pub struct Sealer {
    kms: Client,
    kms_key: String,
}

impl Sealer {
    /// A sealer under this KMS key (id, ARN or alias).
    pub fn new(kms: Client, kms_key: impl Into<String>) -> Self {
        Self {
            kms,
            kms_key: kms_key.into(),
        }
    }

    /// Seals a token for its owner. `version` must be new for each sealing.
    ///
    /// # Errors
    /// [`VaultError`].
    pub async fn seal(
        &self,
        owner: Owner<'_>,
        token: &BedrockKey,
        version: String,
    ) -> Result<Sealed, VaultError> {
        let made = self
            .kms
            .generate_data_key()
            .key_id(&self.kms_key)
            .key_spec(DataKeySpec::Aes256)
            .set_encryption_context(Some(owner.encryption_context()))
            .send()
            .await
            .map_err(|error| VaultError::Unavailable {
                operation: "GenerateDataKey",
                code: code(&error),
            })?;
        let (Some(plain), Some(encrypted)) = (made.plaintext, made.ciphertext_blob) else {
            return Err(VaultError::Unavailable {
                operation: "GenerateDataKey",
                code: "incomplete_answer".to_owned(),
            });
        };
        let key = aead_key(plain)?;
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new()
            .fill(&mut nonce)
            .map_err(|_| VaultError::NoEntropy)?;
        let mut ciphertext = token.expose().as_bytes().to_vec();
        key.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            owner.additional_data(&version),
            &mut ciphertext,
        )
        .map_err(|_| VaultError::CiphertextRejected)?;
        Ok(Sealed {
            version,
            data_key: encrypted.into_inner(),
            nonce: nonce.to_vec(),
            ciphertext,
        })
    }
}

/// Decrypts tokens, and caches them for less than five minutes. Needs `kms:Decrypt` and nothing else.
#[derive(Debug)]
pub struct Opener {
    kms: Client,
    kms_key: String,
    opened: Mutex<DecryptedTokens>,
}

/// The cached tokens.
#[derive(Debug)]
struct DecryptedTokens {
    tokens: LruCache<KeyId, DecryptedToken>,
    purged_at: Timestamp,
}

#[derive(Debug)]
struct DecryptedToken {
    version: String,
    token: BedrockKey,
    at: Timestamp,
}

impl DecryptedToken {
    fn is_fresh(&self, now: Timestamp) -> bool {
        self.at.is_fresh(now, OPENED_LIFETIME)
    }
}

impl DecryptedTokens {
    fn get(&mut self, key: &KeyId, version: &str, now: Timestamp) -> Option<BedrockKey> {
        self.purge(now);
        let opened = self.tokens.get(key)?;
        if opened.version == version && opened.is_fresh(now) {
            return Some(opened.token.clone());
        }
        self.tokens.pop(key);
        None
    }

    fn put(&mut self, key: &KeyId, version: &str, token: &BedrockKey, now: Timestamp) {
        self.purge(now);
        let opened = DecryptedToken {
            version: version.to_owned(),
            token: token.clone(),
            at: now,
        };
        self.tokens.put(key.clone(), opened);
    }

    fn purge(&mut self, now: Timestamp) {
        if self.purged_at <= now && now.since(self.purged_at) < PURGE_INTERVAL {
            return;
        }
        self.purged_at = now;
        let expired: Vec<KeyId> = self
            .tokens
            .iter()
            .filter(|(_, opened)| !opened.is_fresh(now))
            .map(|(key, _)| key.clone())
            .collect();
        for key in expired {
            self.tokens.pop(&key);
        }
    }
}

impl Opener {
    /// An opener of tokens that were sealed under this KMS key (id, ARN or alias). KMS refuses data keys of
    /// another KMS key.
    pub fn new(kms: Client, kms_key: impl Into<String>) -> Self {
        Self {
            kms,
            kms_key: kms_key.into(),
            opened: Mutex::new(DecryptedTokens {
                tokens: LruCache::new(OPENED_CAPACITY),
                purged_at: Timestamp::from_millis(0),
            }),
        }
    }

    /// Opens the token that was sealed for its owner.
    ///
    /// # Errors
    /// [`VaultError`].
    pub async fn open(
        &self,
        owner: Owner<'_>,
        sealed: &Sealed,
        now: Timestamp,
    ) -> Result<BedrockKey, VaultError> {
        if sealed.data_key.is_empty() {
            // KMS refuses an empty ciphertext as a malformed request.
            return Err(VaultError::CiphertextRejected);
        }
        if let Some(token) = lock(&self.opened).get(owner.key, &sealed.version, now) {
            return Ok(token);
        }
        let answer = self
            .kms
            .decrypt()
            .key_id(&self.kms_key)
            .ciphertext_blob(Blob::new(sealed.data_key.clone()))
            .set_encryption_context(Some(owner.encryption_context()))
            .send()
            .await
            .map_err(|error| match code(&error).as_str() {
                "InvalidCiphertextException" | "IncorrectKeyException" => {
                    VaultError::CiphertextRejected
                }
                code => VaultError::Unavailable {
                    operation: "Decrypt",
                    code: code.to_owned(),
                },
            })?;
        let key = aead_key(answer.plaintext.ok_or(VaultError::CiphertextRejected)?)?;
        let nonce = Nonce::try_assume_unique_for_key(&sealed.nonce)
            .map_err(|_| VaultError::CiphertextRejected)?;
        let mut plain = Zeroizing::new(sealed.ciphertext.clone());
        let token = key
            .open_in_place(nonce, owner.additional_data(&sealed.version), &mut plain)
            .ok()
            .and_then(|plain| std::str::from_utf8(plain).ok())
            .and_then(|text| BedrockKey::parse(text).ok())
            .ok_or(VaultError::CiphertextRejected)?;
        lock(&self.opened).put(owner.key, &sealed.version, &token, now);
        Ok(token)
    }
}

fn aead_key(data_key: Blob) -> Result<LessSafeKey, VaultError> {
    let data_key = secrecy::SecretBox::<[u8]>::from(data_key.into_inner());
    let key = UnboundKey::new(
        &AES_256_GCM,
        secrecy::ExposeSecret::expose_secret(&data_key),
    )
    .map_err(|_| VaultError::CiphertextRejected)?;
    Ok(LessSafeKey::new(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opened_token_leaves_memory_within_five_minutes_while_others_are_used() {
        let mut opened = DecryptedTokens {
            tokens: LruCache::new(OPENED_CAPACITY),
            purged_at: Timestamp::from_millis(0),
        };
        let start = Timestamp::from_millis(1_795_000_000_000);
        let token = BedrockKey::parse("ABSKdGhpcy1pcy1ub3QtYS1yZWFsLWtleS1hdC1hbGw=").unwrap();
        let revoked: KeyId = "key_01890000000070008000000000000001".parse().unwrap();
        let used: KeyId = "key_01890000000070008000000000000002".parse().unwrap();
        opened.put(&revoked, "1", &token, start);
        for second in 0..=300 {
            let now = start.plus(Duration::from_secs(second));
            if opened.get(&used, "1", now).is_none() {
                opened.put(&used, "1", &token, now);
            }
        }
        assert!(opened.tokens.peek(&revoked).is_none());
        assert!(opened.tokens.peek(&used).is_some());
    }
}
