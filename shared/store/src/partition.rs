//! The partition of an access key: all that one Query returns for it, and the changes of an admin to it.

use std::sync::Arc;

use aws_sdk_dynamodb::types::AttributeValue;
use domain::grant::{KeyRecord, KeyStatus};
use domain::id::KeyId;
use domain::key::KeyHash;

use crate::StoreError;
use crate::breakers::StoredBreaker;
use crate::keys::Binding;
use crate::layout::{PK, SK, SK_BEDROCK_KEY, SK_BREAKER, SK_KEY, SK_SESSION, key_pk};
use crate::mutation::Mutation;
use crate::sessions::BedrockSession;
use crate::table::{AccessTable, value};

/// The partition of an access key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPartition {
    pub(crate) pk: Arc<str>,
    /// The key.
    pub record: KeyRecord,
    /// Its Bedrock key, if one is registered. One that cannot be read cannot be decrypted.
    pub binding: Option<Binding>,
    /// Its breakers that have been written at least once.
    pub breakers: Vec<StoredBreaker>,
    /// Its conversations that were on Bedrock a while ago. Some may have ended.
    pub sessions: Vec<BedrockSession>,
}

impl AccessTable {
    /// The partition of the key with this hash, by one consistent Query per megabyte; `None` when there is
    /// no key.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn resolve(&self, hash: &KeyHash) -> Result<Option<KeyPartition>, StoreError> {
        self.key_partition(key_pk(hash)).await
    }

    /// The partition of the key with this id, by two reads: for admins.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn key(&self, id: &KeyId) -> Result<Option<KeyPartition>, StoreError> {
        match self.partition_of(id).await? {
            Some(pk) => self.key_partition(pk).await,
            None => Ok(None),
        }
    }

    async fn key_partition(&self, pk: String) -> Result<Option<KeyPartition>, StoreError> {
        let (mut record, mut binding) = (None, None);
        let (mut breakers, mut sessions) = (Vec::new(), Vec::new());
        for item in self.items(&pk).await? {
            let sk = item.get(SK).and_then(|sk| sk.as_s().ok());
            match sk.and_then(|sk| sk.split('#').next()) {
                Some(SK_KEY) => record = Some(self.read_key(&pk, item)?),
                Some(SK_BEDROCK_KEY) => binding = Some(item),
                // One that cannot be read must not block traffic: it counts as closed.
                Some(SK_BREAKER) => breakers.extend(StoredBreaker::read(item).ok()),
                Some(SK_SESSION) => sessions.extend(BedrockSession::read(item).ok()),
                _ => {} // A kind of a newer version.
            }
        }
        Ok(record.map(|record| KeyPartition {
            binding: binding.map(|item| self.read_binding(&pk, &record.key_id, item)),
            pk: pk.into(),
            record,
            breakers,
            sessions,
        }))
    }
}

/// Increments the version of a key's row.
const NEXT_VERSION: &str = "#version = #version + :one";

impl Mutation<'_> {
    /// Revokes a key permanently. The condition is that the key exists; a revoked key meets it too.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when the change cannot be written.
    pub fn revoke_key(self, key: &KeyPartition) -> Result<Self, StoreError> {
        let revoked = value(KeyStatus::Revoked)?;
        self.update(&key.pk, SK_KEY, |update| {
            update
                .update_expression(format!("SET #status = :revoked, {NEXT_VERSION}"))
                .condition_expression("attribute_exists(#pk)")
                .expression_attribute_names("#pk", PK)
                .expression_attribute_names("#status", "status")
                .expression_attribute_names("#version", "version")
                .expression_attribute_values(":revoked", revoked)
                .expression_attribute_values(":one", one())
        })
    }

    /// Registers the one Bedrock key of an access key, in place of the one before, and with `region` the
    /// AWS region that the access key uses from now on. The condition is that the access key exists and is
    /// not revoked.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when the change cannot be written.
    pub fn register_bedrock_key(
        self,
        key: &KeyPartition,
        binding: &Binding,
        region: Option<&str>,
    ) -> Result<Self, StoreError> {
        let (summary, active) = (value(&binding.summary)?, value(KeyStatus::Active)?);
        let mutation = self.update(&key.pk, SK_KEY, |update| {
            let update = update
                .condition_expression("#status = :active")
                .expression_attribute_names("#bedrock_key", "bedrock_key")
                .expression_attribute_names("#status", "status")
                .expression_attribute_names("#version", "version")
                .expression_attribute_values(":summary", summary)
                .expression_attribute_values(":active", active)
                .expression_attribute_values(":one", one());
            match region {
                None => update
                    .update_expression(format!("SET #bedrock_key = :summary, {NEXT_VERSION}")),
                Some(region) => update
                    .update_expression(format!(
                        "SET #bedrock_key = :summary, #own.#bedrock.#region = :region, {NEXT_VERSION}"
                    ))
                    .expression_attribute_names("#own", "own")
                    .expression_attribute_names("#bedrock", "bedrock")
                    .expression_attribute_names("#region", "region")
                    .expression_attribute_values(":region", AttributeValue::S(region.to_owned())),
            }
        })?;
        mutation.put_binding(&key.pk, binding)
    }

    /// Removes the Bedrock key of an access key. The condition is that one is registered.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when the change cannot be written.
    pub fn remove_bedrock_key(self, key: &KeyPartition) -> Result<Self, StoreError> {
        let mutation = self.update(&key.pk, SK_KEY, |update| {
            update
                .update_expression(format!("SET {NEXT_VERSION} REMOVE #bedrock_key"))
                .condition_expression("attribute_exists(#bedrock_key)")
                .expression_attribute_names("#bedrock_key", "bedrock_key")
                .expression_attribute_names("#version", "version")
                .expression_attribute_values(":one", one())
        })?;
        mutation.delete(&key.pk, SK_BEDROCK_KEY)
    }
}

fn one() -> AttributeValue {
    AttributeValue::N("1".to_owned())
}
