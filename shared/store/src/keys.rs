//! Access keys and their Bedrock keys, as rows.

use domain::bedrock_key::BedrockKeyKind;
use domain::grant::{KeyRecord, KeyStatus, UserCopy};
use domain::id::{KeyId, UserId};
use domain::key::{KeyHash, MaskedKey};
use domain::time::Timestamp;
use domain::user::UserStatus;
use serde::{Deserialize, Serialize};

use crate::StoreError;
use crate::layout::{
    SK_BEDROCK_KEY, SK_KEY, SK_POINTER, key_pk, key_pk_of_text, pointer_pk, sk_of_user_key, user_pk,
};
use crate::mutation::Mutation;
use crate::overrides::OverridesRow;
use crate::table::{AccessTable, Item, Page, PageCursor, Row, read};
use crate::vault::Sealed;

/// A Bedrock API key as it is stored: sealed, with the part that may be shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// The sealed token.
    pub sealed: Sealed,
    /// A keyed fingerprint: equal for equal tokens.
    pub fingerprint: String,
    /// The part that may be shown.
    #[serde(flatten)]
    pub summary: BindingSummary,
}

/// The part of a Bedrock API key that may be shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindingSummary {
    /// The token without its secret part.
    pub bedrock_key_masked: String,
    /// Long-term or short-term.
    pub bedrock_key_kind: BedrockKeyKind,
    /// The only region it works in, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bedrock_key_region: Option<String>,
    /// The time of its end, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bedrock_key_expires_at: Option<Timestamp>,
    /// The time of its registration.
    pub bedrock_key_set_at: Timestamp,
}

impl Binding {
    /// In place of one that cannot be read: it cannot be decrypted.
    fn unreadable() -> Self {
        Self {
            sealed: Sealed::unreadable(),
            fingerprint: String::new(),
            summary: BindingSummary {
                bedrock_key_masked: String::new(),
                bedrock_key_kind: BedrockKeyKind::LongTerm,
                bedrock_key_region: None,
                bedrock_key_expires_at: None,
                bedrock_key_set_at: Timestamp::from_millis(0),
            },
        }
    }
}

/// A key as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedKey {
    /// The key.
    pub record: KeyRecord,
    /// The part of its Bedrock key that may be shown, if one is registered.
    pub bedrock_key: Option<BindingSummary>,
}

#[derive(Serialize, Deserialize)]
struct KeyRow {
    key_id: KeyId,
    masked: MaskedKey,
    status: KeyStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    created_at: Timestamp,
    own: OverridesRow,
    user: UserCopyRow,
    version: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bedrock_key: Option<BindingSummary>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct UserCopyRow {
    id: UserId,
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    team: Option<String>,
    status: UserStatus,
    settings: OverridesRow,
    version: u64,
}

/// Finds the partition of a key by its id. It is never changed.
#[derive(Serialize, Deserialize)]
pub(crate) struct Pointer {
    pub(crate) key_hash: String,
}

impl From<&UserCopy> for UserCopyRow {
    fn from(user: &UserCopy) -> Self {
        Self {
            id: user.id.clone(),
            name: user.name.clone(),
            team: user.team.clone(),
            status: user.status,
            settings: (&user.settings).into(),
            version: user.version,
        }
    }
}

impl From<&KeyRecord> for KeyRow {
    fn from(record: &KeyRecord) -> Self {
        Self {
            key_id: record.key_id.clone(),
            masked: record.masked.clone(),
            status: record.status,
            expires_at: record.expires_at,
            created_at: record.created_at,
            own: (&record.own).into(),
            user: (&record.user).into(),
            version: record.version,
            bedrock_key: None,
        }
    }
}

impl KeyRow {
    /// The key, and whether settings of a newer version were left out.
    fn into_listed(self) -> (ListedKey, bool) {
        let (own, own_is_incomplete) = self.own.into_overrides();
        let (settings, user_is_incomplete) = self.user.settings.into_overrides();
        let record = KeyRecord {
            key_id: self.key_id,
            masked: self.masked,
            status: self.status,
            expires_at: self.expires_at,
            created_at: self.created_at,
            own,
            user: UserCopy {
                id: self.user.id,
                name: self.user.name,
                team: self.user.team,
                status: self.user.status,
                settings,
                version: self.user.version,
            },
            version: self.version,
        };
        let bedrock_key = self.bedrock_key;
        let key = ListedKey {
            record,
            bedrock_key,
        };
        (key, own_is_incomplete || user_is_incomplete)
    }
}

impl AccessTable {
    /// Reads a key. Settings that a newer version of Spillway has written and this one does not have are
    /// left out.
    pub(crate) fn read_key(&self, pk: &str, item: Item) -> Result<KeyRecord, StoreError> {
        let (key, is_incomplete) = read::<KeyRow>("key", item)?.into_listed();
        if is_incomplete && self.is_new_damage(pk, "settings") {
            tracing::warn!(
                key.id = %key.record.key_id,
                "settings of a key have names or values that this version does not have; they are left out"
            );
        }
        Ok(key.record)
    }

    /// Reads a Bedrock key. One that cannot be read counts as registered and cannot be decrypted, so that
    /// its access key is still served by Plan.
    pub(crate) fn read_binding(&self, pk: &str, key_id: &KeyId, item: Item) -> Binding {
        read("Bedrock key", item).unwrap_or_else(|_| {
            // The text of the error may quote the item.
            if self.is_new_damage(pk, "Bedrock key") {
                tracing::error!(
                    key.id = %key_id,
                    "a Bedrock key in the table cannot be read; it must be registered anew"
                );
            }
            Binding::unreadable()
        })
    }

    /// The partition of a key.
    pub(crate) async fn partition_of(&self, id: &KeyId) -> Result<Option<String>, StoreError> {
        let pointer = self
            .item::<Pointer>("pointer", pointer_pk(id), SK_POINTER)
            .await?;
        Ok(pointer.map(|pointer| key_pk_of_text(&pointer.key_hash)))
    }

    /// One page of a user's keys. `after` is the [`Page::next`] of the page before.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn keys(
        &self,
        user: &UserId,
        after: Option<&str>,
    ) -> Result<Page<ListedKey>, StoreError> {
        let found = match after.map(str::parse::<KeyId>) {
            Some(Ok(id)) => self.partition_of(&id).await?.zip(after),
            Some(Err(_)) | None => None,
        };
        let cursor = found.map(|(pk, listed_as)| PageCursor {
            pk,
            sk: SK_KEY.to_owned(),
            listed_as,
        });
        let read_listed = |item| Ok(read::<KeyRow>("key", item)?.into_listed().0);
        self.listing(user_pk(user), cursor, read_listed).await
    }
}

impl Mutation<'_> {
    /// Adds a key. The conditions are that its user is active and still of the copied version.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when the key cannot be written as an item.
    pub fn issue_key(self, hash: &KeyHash, record: &KeyRecord) -> Result<Self, StoreError> {
        let (user, id) = (&record.user.id, &record.key_id);
        let pointer = || Pointer {
            key_hash: hash.to_string(),
        };
        let key = Row::new(key_pk(hash), SK_KEY, KeyRow::from(record))
            .listed(user_pk(user), id.to_string());
        self.check_active_user(user, record.user.version)?
            .insert(&key)?
            .insert(&Row::new(pointer_pk(id), SK_POINTER, pointer()))?
            .insert(&Row::new(user_pk(user), sk_of_user_key(id), pointer()))
    }

    /// Puts the sealed Bedrock key of a partition in place of the one before.
    pub(crate) fn put_binding(self, pk: &str, binding: &Binding) -> Result<Self, StoreError> {
        self.put(&Row::new(pk, SK_BEDROCK_KEY, binding), |put| put)
    }
}
