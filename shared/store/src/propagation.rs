//! The copies of a user in the user's keys, rewritten after a change of the user.
//!
//! A user may have more keys than fit in one transaction, so a change writes the user first, with a mark
//! that the copies are outdated, and then rewrites the copies page by page. The mark holds the last key
//! that was rewritten: a process that ends in between leaves it, and any other one continues there. Each
//! copy is written on the condition that the key's row holds an older version of the user, so pages may be
//! repeated, and two processes may rewrite at once. No key is missed: the keys are read consistently from
//! the user's own partition, and a key that is issued meanwhile needs the version of the user it has copied.

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::AttributeValue;
use domain::grant::UserCopy;
use domain::id::{KeyId, UserId};

use crate::keys::{Pointer, UserCopyRow};
use crate::layout::{SK_KEY, SK_USER, SK_USER_KEY, key_pk_of_text, sk_of_user_key, user_pk};
use crate::table::{AccessTable, read_row, value};
use crate::users::{Propagation, StoredUser};
use crate::{StoreError, unavailable};

/// The keys that are rewritten between two notes of the progress.
const PAGE_KEYS: i32 = 50;

/// The result of rewriting one page of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Propagated {
    /// All keys have the user's latest version.
    All,
    /// There are more keys.
    Page,
}

impl AccessTable {
    /// Rewrites the copies in the next page of a user's keys. Call it until it returns
    /// [`Propagated::All`]; it continues where an earlier process has ended.
    ///
    /// # Errors
    /// [`StoreError`]; the page is repeated by the next call.
    pub async fn propagate_user(&self, id: &UserId) -> Result<Propagated, StoreError> {
        let Some(StoredUser {
            user,
            propagation: Some(propagation),
        }) = self.user(id).await?
        else {
            return Ok(Propagated::All);
        };
        let after = propagation.after.as_ref().map(sk_of_user_key);
        let pk = user_pk(id);
        let prefix = format!("{SK_USER_KEY}#");
        let (items, next) = self.items_after(&pk, &prefix, after, PAGE_KEYS).await?;
        let copy = UserCopy::from(&user);
        for item in items {
            let row = read_row::<Pointer>("pointer", item)?;
            self.copy_user(&key_pk_of_text(&row.body.key_hash), &copy)
                .await?;
        }
        let next = next.and_then(|sk| sk.strip_prefix(&prefix)?.parse::<KeyId>().ok());
        let propagated = if next.is_some() {
            Propagated::Page
        } else {
            Propagated::All
        };
        self.note_propagation(&copy, next).await?;
        Ok(propagated)
    }

    /// Rewrites the copy in one key's row, unless it is of this version or a newer one.
    async fn copy_user(&self, pk: &str, user: &UserCopy) -> Result<(), StoreError> {
        let update = self
            .client
            .update_item()
            .table_name(&self.name)
            .key(crate::layout::PK, AttributeValue::S(pk.to_owned()))
            .key(crate::layout::SK, AttributeValue::S(SK_KEY.to_owned()))
            .update_expression("SET #user = :user, #version = #version + :one")
            .condition_expression("#user.#version < :copied")
            .expression_attribute_names("#user", "user")
            .expression_attribute_names("#version", "version")
            .expression_attribute_values(":user", value(UserCopyRow::from(user))?)
            .expression_attribute_values(":one", AttributeValue::N("1".to_owned()))
            .expression_attribute_values(":copied", AttributeValue::N(user.version.to_string()));
        is_written(update.send().await)
    }

    /// Notes the last rewritten key in the user's row, or that there are no more; a newer version of the
    /// user has a note of its own.
    async fn note_propagation(
        &self,
        user: &UserCopy,
        after: Option<KeyId>,
    ) -> Result<(), StoreError> {
        let update = self
            .client
            .update_item()
            .table_name(&self.name)
            .key(crate::layout::PK, AttributeValue::S(user_pk(&user.id)))
            .key(crate::layout::SK, AttributeValue::S(SK_USER.to_owned()))
            .condition_expression("#version = :version")
            .expression_attribute_names("#propagation", "propagation")
            .expression_attribute_names("#version", "version")
            .expression_attribute_values(":version", AttributeValue::N(user.version.to_string()));
        let update = match after {
            None => update.update_expression("REMOVE #propagation"),
            Some(after) => {
                let propagation = Propagation { after: Some(after) };
                update
                    .update_expression("SET #propagation = :propagation")
                    .expression_attribute_values(":propagation", value(propagation)?)
            }
        };
        is_written(update.send().await)
    }
}

/// A condition that does not hold means that a newer version was written.
fn is_written<T, R>(
    result: Result<T, aws_smithy_runtime_api::client::result::SdkError<UpdateItemError, R>>,
) -> Result<(), StoreError> {
    match result {
        Ok(_) => Ok(()),
        Err(error) => match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(()),
            _ => Err(unavailable("UpdateItem", &error)),
        },
    }
}
