//! Users, keys and their Bedrock keys: the reads and the conditional writes.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, ConditionCheck, Put, TransactWriteItem, Update};
use domain::bedrock_key::BedrockKeyKind;
use domain::grant::{KeyRecord, KeyStatus};
use domain::id::{KeyId, UserId};
use domain::key::KeyHash;
use domain::policy::FallbackClass;
use domain::time::Timestamp;
use domain::user::{User, UserStatus};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::breaker::StoredBreaker;
use crate::layout::{
    IN_USERS, LISTED_AS, LISTED_IN, LISTING, PK, SK, SK_BEDROCK_KEY, SK_BREAKER, SK_KEY,
    SK_POINTER, SK_SESSION, SK_USER, key_pk, pointer_pk, user_pk,
};
use crate::row::{Item, Row, read, unwritable, value};
use crate::session::BedrockSession;
use crate::vault::Sealed;
use crate::{StoreError, unavailable};

/// The table of users, keys and bindings.
#[derive(Clone, Debug)]
pub struct AccessTable {
    pub(crate) client: Client,
    pub(crate) name: String,
    damage: Arc<ReportedDamage>,
}

/// The damaged items that were logged already.
#[derive(Debug, Default)]
struct ReportedDamage(Mutex<HashSet<(String, &'static str)>>);

impl ReportedDamage {
    /// So many items are remembered; then it begins anew.
    const MOST: usize = 1000;

    /// Whether this item of a partition was not reported before.
    fn is_new(&self, pk: &str, item: &'static str) -> bool {
        let mut reported = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if reported.len() >= Self::MOST {
            reported.clear();
        }
        reported.insert((pk.to_owned(), item))
    }
}

/// A Bedrock API key as it is stored: sealed, with what may be shown of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// The sealed token.
    pub sealed: Sealed,
    /// A keyed fingerprint: equal for equal tokens.
    pub fingerprint: String,
    /// What may be shown.
    #[serde(flatten)]
    pub summary: BindingSummary,
}

impl Binding {
    /// In the place of one that cannot be read.
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

/// Leaves the classes out of `policy.fallback_on` that this version has no name for; whether there were any.
fn leave_out_unknown_classes(item: &mut Item) -> bool {
    let Some(AttributeValue::M(policy)) = item.get_mut("policy") else {
        return false;
    };
    let Some(AttributeValue::L(classes)) = policy.get_mut("fallback_on") else {
        return false;
    };
    let before = classes.len();
    classes.retain(|class| {
        let class = class.as_s().ok();
        class.is_some_and(|class| class.parse::<FallbackClass>().is_ok())
    });
    classes.len() < before
}

fn text_of<'i>(item: &'i Item, name: &str) -> Option<&'i str> {
    item.get(name)?.as_s().ok().map(String::as_str)
}

/// What may be shown of a Bedrock API key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindingSummary {
    /// The beginning of the token.
    pub bedrock_key_masked: String,
    /// Long-term or short-term.
    pub bedrock_key_kind: BedrockKeyKind,
    /// The only region it works in, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bedrock_key_region: Option<String>,
    /// When it ends, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bedrock_key_expires_at: Option<Timestamp>,
    /// When it was registered.
    pub bedrock_key_set_at: Timestamp,
}

/// All that the Query of a key's partition gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The key.
    pub record: KeyRecord,
    /// Its Bedrock key, if one is registered. One that cannot be read opens for nobody.
    pub binding: Option<Binding>,
    /// Its breakers, as far as they ever were anything but closed.
    pub breakers: Vec<StoredBreaker>,
    /// Its conversations that were on Bedrock a while ago. Some may be over.
    pub sessions: Vec<BedrockSession>,
}

/// A key as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedKey {
    /// The key.
    #[serde(flatten)]
    pub record: KeyRecord,
    /// What may be shown of its Bedrock key, if one is registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bedrock_key: Option<BindingSummary>,
}

/// How a conditional write ended. That its condition did not hold is an answer, not an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Written {
    /// It was written.
    Done,
    /// What it depends on is not there, or not in the state it needs. Nothing was written.
    ConditionFailed,
}

/// One page of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// In the order of their ids, which is the order of creation.
    pub items: Vec<T>,
    /// Where the next page begins; `None` on the last one.
    pub next: Option<String>,
}

/// Where a listing goes on: behind this item.
pub(crate) struct Behind<'a> {
    pub(crate) pk: String,
    pub(crate) sk: String,
    pub(crate) name: &'a str,
}

#[derive(Serialize, Deserialize)]
struct Pointer {
    key_hash: String,
}

impl AccessTable {
    /// The table of this name, which exists.
    pub fn new(client: Client, name: impl Into<String>) -> Self {
        Self {
            client,
            name: name.into(),
            damage: Arc::default(),
        }
    }

    /// Everything in the key's partition, in one consistent Query for each megabyte; `None` when there
    /// is no key.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn resolve(&self, hash: &KeyHash) -> Result<Option<Resolved>, StoreError> {
        self.resolve_partition(key_pk(hash)).await
    }

    /// Like [`AccessTable::resolve`], by the key's id: two reads, for admins.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn key(&self, id: &KeyId) -> Result<Option<Resolved>, StoreError> {
        match self.partition_of(id).await? {
            Some(pk) => self.resolve_partition(pk).await,
            None => Ok(None),
        }
    }

    async fn resolve_partition(&self, pk: String) -> Result<Option<Resolved>, StoreError> {
        let (mut record, mut binding) = (None, None);
        let (mut breakers, mut sessions) = (Vec::new(), Vec::new());
        for item in self.partition(&pk).await? {
            let kind = item
                .get(SK)
                .and_then(|sk| sk.as_s().ok())
                .and_then(|sk| sk.split('#').next());
            match kind {
                Some(SK_KEY) => record = Some(self.read_key(&pk, item)?),
                Some(SK_BEDROCK_KEY) => binding = Some(item),
                // One that cannot be read must not block traffic: it counts as closed.
                Some(SK_BREAKER) => breakers.extend(StoredBreaker::read(item).ok()),
                Some(SK_SESSION) => sessions.extend(BedrockSession::read(item).ok()),
                _ => {} // Written by a newer version; it reads them, this one need not.
            }
        }
        Ok(record.map(|record| Resolved {
            binding: binding.map(|item| self.read_binding(&pk, &record.key_id, item)),
            record,
            breakers,
            sessions,
        }))
    }

    /// All items of a partition, a page of at most 1 MB at a time.
    async fn partition(&self, pk: &str) -> Result<Vec<Item>, StoreError> {
        let mut items = Vec::new();
        let mut after = None;
        loop {
            let answer = self
                .client
                .query()
                .table_name(&self.name)
                .consistent_read(true)
                .key_condition_expression("#pk = :pk")
                .expression_attribute_names("#pk", PK)
                .expression_attribute_values(":pk", AttributeValue::S(pk.to_owned()))
                .set_exclusive_start_key(after)
                .send()
                .await
                .map_err(|error| unavailable("Query", &error))?;
            items.extend(answer.items.unwrap_or_default());
            after = answer.last_evaluated_key;
            if after.is_none() {
                return Ok(items);
            }
        }
    }

    /// Reads a key. Classes of `fallback_on` that this version has no name for, which a newer one has
    /// written, are left out: they never apply here.
    fn read_key(&self, pk: &str, mut item: Item) -> Result<KeyRecord, StoreError> {
        if leave_out_unknown_classes(&mut item) && self.damage.is_new(pk, "fallback_on") {
            tracing::warn!(
                key.id = text_of(&item, "key_id"),
                "`fallback_on` of a key names classes that this version does not have; they are \
                 left out"
            );
        }
        read("key", item)
    }

    /// Reads a Bedrock key. One that cannot be read must not keep its access key from Plan; it counts
    /// as registered, and opens for nobody.
    fn read_binding(&self, pk: &str, key_id: &KeyId, item: Item) -> Binding {
        read("Bedrock key", item).unwrap_or_else(|_| {
            // The reader's own words may quote what it read.
            if self.damage.is_new(pk, "Bedrock key") {
                tracing::error!(
                    key.id = %key_id,
                    "a Bedrock key in the table cannot be read; it must be registered anew"
                );
            }
            Binding::unreadable()
        })
    }

    pub(crate) async fn partition_of(&self, id: &KeyId) -> Result<Option<String>, StoreError> {
        let pointer = self
            .item::<Pointer>("pointer", pointer_pk(id), SK_POINTER)
            .await?;
        Ok(pointer.map(|pointer| format!("key#{}", pointer.key_hash)))
    }

    /// The user of this id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn user(&self, id: &UserId) -> Result<Option<User>, StoreError> {
        self.item("user", user_pk(id), SK_USER).await
    }

    pub(crate) async fn item<T: DeserializeOwned>(
        &self,
        what: &'static str,
        pk: String,
        sk: &str,
    ) -> Result<Option<T>, StoreError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.name)
            .consistent_read(true)
            .key(PK, AttributeValue::S(pk))
            .key(SK, AttributeValue::S(sk.to_owned()))
            .send()
            .await
            .map_err(|error| unavailable("GetItem", &error))?;
        answer.item.map(|item| read(what, item)).transpose()
    }

    /// One page of users. `after` is the [`Page::next`] of the page before.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn users(&self, after: Option<&str>) -> Result<Page<User>, StoreError> {
        let at = after.map(|id| Behind {
            pk: format!("user#{id}"),
            sk: SK_USER.to_owned(),
            name: id,
        });
        self.listing(IN_USERS.to_owned(), at, |item| read("user", item))
            .await
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
        let at = match after.map(str::parse::<KeyId>) {
            Some(Ok(id)) => self.partition_of(&id).await?.zip(after),
            Some(Err(_)) | None => None,
        };
        let at = at.map(|(pk, id)| Behind {
            pk,
            sk: SK_KEY.to_owned(),
            name: id,
        });
        self.listing(user_pk(user), at, |item| read("key", item))
            .await
    }

    pub(crate) async fn listing<T>(
        &self,
        listed_in: String,
        after: Option<Behind<'_>>,
        read: impl Fn(Item) -> Result<T, StoreError>,
    ) -> Result<Page<T>, StoreError> {
        let start = after.map(|Behind { pk, sk, name }| {
            HashMap::from([
                (PK.to_owned(), AttributeValue::S(pk)),
                (SK.to_owned(), AttributeValue::S(sk)),
                (LISTED_IN.to_owned(), AttributeValue::S(listed_in.clone())),
                (LISTED_AS.to_owned(), AttributeValue::S(name.to_owned())),
            ])
        });
        let answer = self
            .client
            .query()
            .table_name(&self.name)
            .index_name(LISTING)
            .key_condition_expression("#in = :in")
            .expression_attribute_names("#in", LISTED_IN)
            .expression_attribute_values(":in", AttributeValue::S(listed_in))
            .set_exclusive_start_key(start)
            .send()
            .await
            .map_err(|error| unavailable("Query", &error))?;
        let next = answer
            .last_evaluated_key
            .and_then(|mut key| key.remove(LISTED_AS))
            .and_then(|id| id.as_s().ok().cloned());
        let items = answer
            .items
            .unwrap_or_default()
            .into_iter()
            .map(read)
            .collect::<Result<_, _>>()?;
        Ok(Page { items, next })
    }

    /// Adds a user. The condition is that the id is new.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn create_user(&self, user: &User) -> Result<Written, StoreError> {
        let row = Row {
            pk: user_pk(&user.id),
            sk: SK_USER.to_owned(),
            listed_in: Some(IN_USERS.to_owned()),
            listed_as: Some(user.id.to_string()),
            body: user,
        };
        self.write(vec![self.put_new(&row)?]).await
    }

    /// Adds a key. The condition is that its user exists and is active.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn issue_key(
        &self,
        hash: &KeyHash,
        record: &KeyRecord,
    ) -> Result<Written, StoreError> {
        let key = Row {
            pk: key_pk(hash),
            sk: SK_KEY.to_owned(),
            listed_in: Some(user_pk(&record.user_id)),
            listed_as: Some(record.key_id.to_string()),
            body: record,
        };
        let pointer = Row {
            pk: pointer_pk(&record.key_id),
            sk: SK_POINTER.to_owned(),
            listed_in: None,
            listed_as: None,
            body: Pointer {
                key_hash: hash.to_string(),
            },
        };
        let user_is_active = ConditionCheck::builder()
            .table_name(&self.name)
            .key(PK, AttributeValue::S(user_pk(&record.user_id)))
            .key(SK, AttributeValue::S(SK_USER.to_owned()))
            .condition_expression("#status = :active")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":active", value(UserStatus::Active)?)
            .build()
            .map_err(unwritable)?;
        self.write(vec![
            TransactWriteItem::builder()
                .condition_check(user_is_active)
                .build(),
            self.put_new(&key)?,
            self.put_new(&pointer)?,
        ])
        .await
    }

    /// Revokes a key for ever. The condition is that it exists; revoking twice is well.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn revoke_key(&self, id: &KeyId) -> Result<Written, StoreError> {
        let Some(pk) = self.partition_of(id).await? else {
            return Ok(Written::ConditionFailed);
        };
        let revoke = self
            .update_key(pk)
            .update_expression("SET #status = :revoked")
            .condition_expression("attribute_exists(#pk)")
            .expression_attribute_names("#pk", PK)
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":revoked", value(KeyStatus::Revoked)?)
            .build()
            .map_err(unwritable)?;
        self.write(vec![TransactWriteItem::builder().update(revoke).build()])
            .await
    }

    /// Registers the one Bedrock key of an access key, in place of the one before, and with `region`
    /// the AWS region that the access key uses from now on. The condition is that the access key
    /// exists and is not revoked.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn bind_bedrock_key(
        &self,
        id: &KeyId,
        binding: &Binding,
        region: Option<&str>,
    ) -> Result<Written, StoreError> {
        let Some(pk) = self.partition_of(id).await? else {
            return Ok(Written::ConditionFailed);
        };
        let mut show = self
            .update_key(pk.clone())
            .update_expression("SET #bedrock_key = :summary")
            .condition_expression("#status = :active")
            .expression_attribute_names("#bedrock_key", "bedrock_key")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":summary", value(&binding.summary)?)
            .expression_attribute_values(":active", value(KeyStatus::Active)?);
        if let Some(region) = region {
            show = show
                .update_expression("SET #bedrock_key = :summary, #bedrock.#region = :region")
                .expression_attribute_names("#bedrock", "bedrock")
                .expression_attribute_names("#region", "region")
                .expression_attribute_values(":region", AttributeValue::S(region.to_owned()));
        }
        let show = show.build().map_err(unwritable)?;
        let row = Row {
            pk,
            sk: SK_BEDROCK_KEY.to_owned(),
            listed_in: None,
            listed_as: None,
            body: binding,
        };
        let put = Put::builder()
            .table_name(&self.name)
            .set_item(Some(serde_dynamo::to_item(&row).map_err(unwritable)?))
            .build()
            .map_err(unwritable)?;
        self.write(vec![
            TransactWriteItem::builder().update(show).build(),
            TransactWriteItem::builder().put(put).build(),
        ])
        .await
    }

    fn update_key(&self, pk: String) -> aws_sdk_dynamodb::types::builders::UpdateBuilder {
        Update::builder()
            .table_name(&self.name)
            .key(PK, AttributeValue::S(pk))
            .key(SK, AttributeValue::S(SK_KEY.to_owned()))
    }

    fn put_new<T: Serialize>(&self, row: &Row<T>) -> Result<TransactWriteItem, StoreError> {
        let put = Put::builder()
            .table_name(&self.name)
            .set_item(Some(serde_dynamo::to_item(row).map_err(unwritable)?))
            .condition_expression("attribute_not_exists(#pk)")
            .expression_attribute_names("#pk", PK)
            .build()
            .map_err(unwritable)?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    /// Every mutation is one transaction, so that what must change together does.
    async fn write(&self, items: Vec<TransactWriteItem>) -> Result<Written, StoreError> {
        let mut attempts = 0;
        loop {
            let request = self
                .client
                .transact_write_items()
                .set_transact_items(Some(items.clone()));
            let Err(error) = request.send().await else {
                return Ok(Written::Done);
            };
            let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) =
                error.as_service_error()
            else {
                return Err(unavailable("TransactWriteItems", &error));
            };
            let reasons: Vec<_> = cancelled
                .cancellation_reasons()
                .iter()
                .filter_map(|reason| reason.code())
                .filter(|code| *code != "None")
                .collect();
            attempts += 1;
            if reasons.contains(&"ConditionalCheckFailed") {
                return Ok(Written::ConditionFailed);
            }
            // Another transaction holds one of the items. The SDK does not retry this one.
            if reasons.iter().all(|code| *code == "TransactionConflict")
                && attempts < WRITE_ATTEMPTS
            {
                tokio::time::sleep(CONFLICT_PAUSE * attempts).await;
                continue;
            }
            let code = reasons
                .first()
                .copied()
                .unwrap_or("TransactionCanceledException")
                .to_owned();
            return Err(StoreError::Unavailable {
                operation: "TransactWriteItems",
                code,
            });
        }
    }
}

const WRITE_ATTEMPTS: u32 = 5;
const CONFLICT_PAUSE: std::time::Duration = std::time::Duration::from_millis(25);
