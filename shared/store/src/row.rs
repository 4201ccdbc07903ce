//! Items of the table, to and from values.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::StoreError;

/// An item as the SDK gives it.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// An item: its keys, and the value it holds.
#[derive(Serialize, Deserialize)]
pub(crate) struct Row<T> {
    pub(crate) pk: String,
    pub(crate) sk: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) listed_in: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) listed_as: Option<String>,
    #[serde(flatten)]
    pub(crate) body: T,
}

pub(crate) fn read_row<T: DeserializeOwned>(
    what: &'static str,
    item: Item,
) -> Result<Row<T>, StoreError> {
    serde_dynamo::from_item(item).map_err(|error| StoreError::Damaged {
        item: what,
        reason: error.to_string(),
    })
}

pub(crate) fn read<T: DeserializeOwned>(what: &'static str, item: Item) -> Result<T, StoreError> {
    read_row::<T>(what, item).map(|row| row.body)
}

pub(crate) fn write<T: Serialize>(row: &Row<T>) -> Result<Item, StoreError> {
    serde_dynamo::to_item(row).map_err(unwritable)
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
