//! Bedrock API keys, sealed under KMS and opened again (requirement R4.5).
//!
//! Envelope encryption: KMS makes a data key per secret, AES-256-GCM seals the token with it, and
//! only the encrypted data key is stored. The encryption context names the access key and the user,
//! and is the additional data of the seal too, so a ciphertext copied to another key does not open.
//! Sealing and opening are two types, because the two functions have two roles: one may encrypt,
//! the other decrypt (requirement R4.7).

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
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

use crate::code;

/// How long an opened token stays in memory at most (requirement R4.5).
pub const OPENED_LIFETIME: Duration = Duration::from_mins(5);

const OPENED_CAPACITY: NonZeroUsize = NonZeroUsize::new(1000).unwrap();

/// A sealed secret, and the encrypted data key that opens it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// Changes with every sealing; a token opened from another version is not used.
    version: String,
    #[serde(with = "serde_bytes")]
    data_key: Vec<u8>,
    #[serde(with = "serde_bytes")]
    nonce: Vec<u8>,
    #[serde(with = "serde_bytes")]
    ciphertext: Vec<u8>,
}

/// A secret could not be sealed or opened.
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
        "the sealed Bedrock key does not open: it was changed, or belongs to another access key"
    )]
    Refused,
    /// The operating system gave no random bytes.
    #[error("no random bytes from the operating system")]
    NoEntropy,
}

/// Whom a sealed secret belongs to.
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

    fn additional_data(&self) -> Aad<String> {
        Aad::from(format!(
            "spillway:key_id={}\nspillway:user_id={}",
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
            owner.additional_data(),
            &mut ciphertext,
        )
        .map_err(|_| VaultError::Refused)?;
        Ok(Sealed {
            version,
            data_key: encrypted.into_inner(),
            nonce: nonce.to_vec(),
            ciphertext,
        })
    }
}

/// Opens, and keeps what it opened for at most [`OPENED_LIFETIME`]. Needs `kms:Decrypt` and nothing
/// else.
#[derive(Debug)]
pub struct Opener {
    kms: Client,
    opened: Mutex<LruCache<KeyId, Opened>>,
}

#[derive(Debug)]
struct Opened {
    version: String,
    token: BedrockKey,
    at: Timestamp,
}

impl Opener {
    /// An opener that has opened nothing yet.
    pub fn new(kms: Client) -> Self {
        Self {
            kms,
            opened: Mutex::new(LruCache::new(OPENED_CAPACITY)),
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
        if let Some(token) = self.kept(owner.key, &sealed.version, now) {
            return Ok(token);
        }
        let answer = self
            .kms
            .decrypt()
            .ciphertext_blob(Blob::new(sealed.data_key.clone()))
            .set_encryption_context(Some(owner.encryption_context()))
            .send()
            .await
            .map_err(|error| match code(&error).as_str() {
                "InvalidCiphertextException" | "IncorrectKeyException" => VaultError::Refused,
                code => VaultError::Unavailable {
                    operation: "Decrypt",
                    code: code.to_owned(),
                },
            })?;
        let key = aead_key(answer.plaintext.ok_or(VaultError::Refused)?)?;
        let nonce =
            Nonce::try_assume_unique_for_key(&sealed.nonce).map_err(|_| VaultError::Refused)?;
        let mut plain = Zeroizing::new(sealed.ciphertext.clone());
        let token = key
            .open_in_place(nonce, owner.additional_data(), &mut plain)
            .ok()
            .and_then(|plain| std::str::from_utf8(plain).ok())
            .and_then(|text| BedrockKey::parse(text).ok())
            .ok_or(VaultError::Refused)?;
        self.keep(owner.key, &sealed.version, &token, now);
        Ok(token)
    }

    fn kept(&self, key: &KeyId, version: &str, now: Timestamp) -> Option<BedrockKey> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = opened.get(key)?;
        let is_fresh = kept.at <= now && now.since(kept.at) < OPENED_LIFETIME;
        if kept.version == version && is_fresh {
            return Some(kept.token.clone());
        }
        opened.pop(key);
        None
    }

    fn keep(&self, key: &KeyId, version: &str, token: &BedrockKey, now: Timestamp) {
        let opened = Opened {
            version: version.to_owned(),
            token: token.clone(),
            at: now,
        };
        let mut all = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        all.put(key.clone(), opened);
    }
}

fn aead_key(data_key: Blob) -> Result<LessSafeKey, VaultError> {
    let data_key = secrecy::SecretBox::<[u8]>::from(data_key.into_inner());
    let key = UnboundKey::new(
        &AES_256_GCM,
        secrecy::ExposeSecret::expose_secret(&data_key),
    )
    .map_err(|_| VaultError::Refused)?;
    Ok(LessSafeKey::new(key))
}
