//! The access table: its items, its pages, and the schema version that every row carries.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use service::lock;

use crate::layout::{LISTED_AS, LISTED_IN, LISTING, PK, SCHEMA, SK};
use crate::{StoreError, unavailable};

/// The schema version of the rows that this version of Spillway reads and writes.
pub const SCHEMA_VERSION: u32 = 1;

/// The table of users, keys, Bedrock keys, breakers and audit records.
#[derive(Clone, Debug)]
pub struct AccessTable {
    pub(crate) client: Client,
    pub(crate) name: String,
    reported: Arc<ReportedDamage>,
}

/// The damaged items that were logged already.
#[derive(Debug, Default)]
struct ReportedDamage(Mutex<HashSet<(String, &'static str)>>);

impl ReportedDamage {
    /// The number of items after which the set is cleared.
    const CAPACITY: usize = 1000;
}

/// One page of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The items, ordered by id, which is the order of creation.
    pub items: Vec<T>,
    /// The cursor of the next page; `None` on the last one.
    pub next: Option<String>,
}

/// The item after which a page of the listing index begins.
pub(crate) struct PageCursor<'a> {
    pub(crate) pk: String,
    pub(crate) sk: String,
    pub(crate) listed_as: &'a str,
}

/// An item as the SDK returns it.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// An item: its keys, its schema version, and the attributes of its kind.
#[derive(Serialize, Deserialize)]
pub(crate) struct Row<T> {
    pub(crate) pk: String,
    pub(crate) sk: String,
    schema: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    listed_in: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    listed_as: Option<String>,
    #[serde(flatten)]
    pub(crate) body: T,
}

impl<T> Row<T> {
    pub(crate) fn new(pk: impl Into<String>, sk: impl Into<String>, body: T) -> Self {
        Self {
            pk: pk.into(),
            sk: sk.into(),
            schema: SCHEMA_VERSION,
            listed_in: None,
            listed_as: None,
            body,
        }
    }

    /// The same row, found in the listing index.
    pub(crate) fn listed(self, listed_in: String, listed_as: String) -> Self {
        Self {
            listed_in: Some(listed_in),
            listed_as: Some(listed_as),
            ..self
        }
    }
}

impl<T: Serialize> Row<T> {
    pub(crate) fn to_item(&self) -> Result<Item, StoreError> {
        serde_dynamo::to_item(self).map_err(unwritable)
    }
}

/// Reads the row of a kind of item.
pub(crate) fn read_row<T: DeserializeOwned>(
    kind: &'static str,
    item: Item,
) -> Result<Row<T>, StoreError> {
    check_schema(kind, &item)?;
    serde_dynamo::from_item(item).map_err(|error| StoreError::Damaged {
        item: kind,
        reason: error.to_string(),
    })
}

/// Reads the attributes of a kind of item.
pub(crate) fn read<T: DeserializeOwned>(kind: &'static str, item: Item) -> Result<T, StoreError> {
    read_row::<T>(kind, item).map(|row| row.body)
}

/// Refuses rows of another schema version.
fn check_schema(kind: &'static str, item: &Item) -> Result<(), StoreError> {
    let schema = item.get(SCHEMA).and_then(|schema| schema.as_n().ok());
    let reason = match schema {
        Some(schema) if *schema == SCHEMA_VERSION.to_string() => return Ok(()),
        Some(schema) => format!(
            "it has schema version {schema} and this version of Spillway reads {SCHEMA_VERSION}; use the \
             version of Spillway that wrote it"
        ),
        None => "an earlier, unreleased version of Spillway wrote it; remove the data folder (in AWS: the \
                 table), and create users and keys anew"
            .to_owned(),
    };
    Err(StoreError::Damaged { item: kind, reason })
}

pub(crate) fn value<T: Serialize>(value: T) -> Result<AttributeValue, StoreError> {
    serde_dynamo::to_attribute_value(value).map_err(unwritable)
}

pub(crate) fn unwritable(error: impl std::error::Error) -> StoreError {
    StoreError::Damaged {
        item: "write",
        reason: error.to_string(),
    }
}

impl AccessTable {
    /// The table of this name, which exists.
    pub fn new(client: Client, name: impl Into<String>) -> Self {
        Self {
            client,
            name: name.into(),
            reported: Arc::default(),
        }
    }

    /// Returns true the first time that an item of a partition is found damaged.
    pub(crate) fn is_new_damage(&self, pk: &str, item: &'static str) -> bool {
        let mut reported = lock(&self.reported.0);
        if reported.len() >= ReportedDamage::CAPACITY {
            reported.clear();
        }
        reported.insert((pk.to_owned(), item))
    }

    /// The attributes of one item, by a consistent read.
    pub(crate) async fn item<T: DeserializeOwned>(
        &self,
        kind: &'static str,
        pk: String,
        sk: &str,
    ) -> Result<Option<T>, StoreError> {
        let output = self
            .client
            .get_item()
            .table_name(&self.name)
            .consistent_read(true)
            .key(PK, AttributeValue::S(pk))
            .key(SK, AttributeValue::S(sk.to_owned()))
            .send()
            .await
            .map_err(|error| unavailable("GetItem", &error))?;
        output.item.map(|item| read(kind, item)).transpose()
    }

    /// All items of a partition, by consistent reads of at most 1 MB each.
    pub(crate) async fn items(&self, pk: &str) -> Result<Vec<Item>, StoreError> {
        let mut items = Vec::new();
        let mut after = None;
        loop {
            let output = self
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
            items.extend(output.items.unwrap_or_default());
            after = output.last_evaluated_key;
            if after.is_none() {
                return Ok(items);
            }
        }
    }

    /// At most `limit` items of a partition whose sort key begins with `prefix` and follows `after`, by a
    /// consistent read.
    pub(crate) async fn items_after(
        &self,
        pk: &str,
        prefix: &str,
        after: Option<String>,
        limit: i32,
    ) -> Result<(Vec<Item>, Option<String>), StoreError> {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let start = after.map(|sk| {
            HashMap::from([
                (PK.to_owned(), text(pk)),
                (SK.to_owned(), AttributeValue::S(sk)),
            ])
        });
        let output = self
            .client
            .query()
            .table_name(&self.name)
            .consistent_read(true)
            .key_condition_expression("#pk = :pk AND begins_with(#sk, :prefix)")
            .expression_attribute_names("#pk", PK)
            .expression_attribute_names("#sk", SK)
            .expression_attribute_values(":pk", text(pk))
            .expression_attribute_values(":prefix", text(prefix))
            .set_exclusive_start_key(start)
            .limit(limit)
            .send()
            .await
            .map_err(|error| unavailable("Query", &error))?;
        let next = output.last_evaluated_key;
        let next = next.and_then(|mut key| match key.remove(SK) {
            Some(AttributeValue::S(sk)) => Some(sk),
            _ => None,
        });
        Ok((output.items.unwrap_or_default(), next))
    }

    /// A page of the listing index, which may lag some moments behind the table.
    pub(crate) async fn listing<T>(
        &self,
        listed_in: String,
        after: Option<PageCursor<'_>>,
        read: impl Fn(Item) -> Result<T, StoreError>,
    ) -> Result<Page<T>, StoreError> {
        let start = after.map(|cursor| {
            HashMap::from([
                (PK.to_owned(), AttributeValue::S(cursor.pk)),
                (SK.to_owned(), AttributeValue::S(cursor.sk)),
                (LISTED_IN.to_owned(), AttributeValue::S(listed_in.clone())),
                (
                    LISTED_AS.to_owned(),
                    AttributeValue::S(cursor.listed_as.to_owned()),
                ),
            ])
        });
        let output = self
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
        let next = output
            .last_evaluated_key
            .and_then(|mut key| key.remove(LISTED_AS))
            .and_then(|id| id.as_s().ok().cloned());
        let items = output.items.unwrap_or_default().into_iter();
        let items = items.map(read).collect::<Result<_, _>>()?;
        Ok(Page { items, next })
    }
}
