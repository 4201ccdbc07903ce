//! The writes of an admin. A [`Mutation`] is a list of transaction items; [`Mutation::commit`] adds the
//! audit record and writes all of them in one transaction, or none.

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::builders::{ConditionCheckBuilder, UpdateBuilder};
use aws_sdk_dynamodb::types::{AttributeValue, ConditionCheck, Put, TransactWriteItem, Update};
use serde::Serialize;

use crate::audit::AuditRecord;
use crate::layout::{PK, SK};
use crate::table::{AccessTable, Row, unwritable};
use crate::{StoreError, unavailable};

/// The attempts of a transaction that collides with others.
const ATTEMPTS: u32 = 5;
/// The pause before the next attempt, times the number of attempts.
const CONFLICT_PAUSE: std::time::Duration = std::time::Duration::from_millis(25);

/// The result of a conditional write. A condition that does not hold is a result, not an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Written {
    /// It was written.
    Done,
    /// An item that it depends on is missing or in another state. Nothing was written.
    ConditionFailed,
}

/// A change of the table that is not yet written. Its items are added by the modules of their kinds.
#[derive(Clone, Debug)]
#[must_use = "a mutation changes nothing until it is committed"]
pub struct Mutation<'t> {
    table: &'t AccessTable,
    items: Vec<TransactWriteItem>,
}

impl AccessTable {
    /// A mutation without items.
    pub fn mutation(&self) -> Mutation<'_> {
        Mutation {
            table: self,
            items: Vec::new(),
        }
    }

    pub(crate) fn update_of(&self, pk: &str, sk: &str) -> UpdateBuilder {
        Update::builder()
            .table_name(&self.name)
            .key(PK, AttributeValue::S(pk.to_owned()))
            .key(SK, AttributeValue::S(sk.to_owned()))
    }
}

impl Mutation<'_> {
    /// Puts a row. The condition is that there is none.
    pub(crate) fn insert<T: Serialize>(self, row: &Row<T>) -> Result<Self, StoreError> {
        self.put(row, |put| {
            put.condition_expression("attribute_not_exists(#pk)")
                .expression_attribute_names("#pk", PK)
        })
    }

    /// Puts a row in place of any other, under the condition that `condition` adds.
    pub(crate) fn put<T: Serialize>(
        mut self,
        row: &Row<T>,
        condition: impl FnOnce(
            aws_sdk_dynamodb::types::builders::PutBuilder,
        ) -> aws_sdk_dynamodb::types::builders::PutBuilder,
    ) -> Result<Self, StoreError> {
        let put = Put::builder()
            .table_name(&self.table.name)
            .set_item(Some(row.to_item()?));
        let put = condition(put).build().map_err(unwritable)?;
        self.items
            .push(TransactWriteItem::builder().put(put).build());
        Ok(self)
    }

    /// Updates the item `pk`, `sk` with `change`.
    pub(crate) fn update(
        mut self,
        pk: &str,
        sk: &str,
        change: impl FnOnce(UpdateBuilder) -> UpdateBuilder,
    ) -> Result<Self, StoreError> {
        let update = change(self.table.update_of(pk, sk));
        let update = update.build().map_err(unwritable)?;
        self.items
            .push(TransactWriteItem::builder().update(update).build());
        Ok(self)
    }

    /// Deletes the item `pk`, `sk`, if there is one.
    pub(crate) fn delete(mut self, pk: &str, sk: &str) -> Result<Self, StoreError> {
        let delete = aws_sdk_dynamodb::types::Delete::builder()
            .table_name(&self.table.name)
            .key(PK, AttributeValue::S(pk.to_owned()))
            .key(SK, AttributeValue::S(sk.to_owned()))
            .build()
            .map_err(unwritable)?;
        self.items
            .push(TransactWriteItem::builder().delete(delete).build());
        Ok(self)
    }

    /// Adds a condition on the item `pk`, `sk`, which is not changed.
    pub(crate) fn check(
        mut self,
        pk: &str,
        sk: &str,
        condition: impl FnOnce(ConditionCheckBuilder) -> ConditionCheckBuilder,
    ) -> Result<Self, StoreError> {
        let check = ConditionCheck::builder()
            .table_name(&self.table.name)
            .key(PK, AttributeValue::S(pk.to_owned()))
            .key(SK, AttributeValue::S(sk.to_owned()));
        let check = condition(check).build().map_err(unwritable)?;
        self.items
            .push(TransactWriteItem::builder().condition_check(check).build());
        Ok(self)
    }

    /// Writes all items and the audit record in one transaction. A transaction that collides with another
    /// one is tried again, five times in all.
    ///
    /// # Errors
    /// [`StoreError`]; a lost response leaves open whether it was written.
    pub async fn commit(self, audit: &AuditRecord) -> Result<Written, StoreError> {
        let mutation = self.insert(&audit.to_row()?)?;
        let mut attempts = 0;
        loop {
            let request = mutation
                .table
                .client
                .transact_write_items()
                .set_transact_items(Some(mutation.items.clone()));
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
            if reasons.iter().all(|code| *code == "TransactionConflict") && attempts < ATTEMPTS {
                tokio::time::sleep(CONFLICT_PAUSE * attempts).await;
                continue;
            }
            let code = reasons.first().copied();
            return Err(StoreError::Unavailable {
                operation: "TransactWriteItems",
                code: code.unwrap_or("TransactionCanceledException").to_owned(),
            });
        }
    }
}
