//! Users.

use aws_sdk_dynamodb::types::AttributeValue;
use domain::id::{KeyId, UserId};
use domain::time::Timestamp;
use domain::user::{User, UserStatus};
use serde::{Deserialize, Serialize};

use crate::StoreError;
use crate::layout::{IN_USERS, SK_USER, user_pk};
use crate::mutation::Mutation;
use crate::overrides::OverridesRow;
use crate::table::{AccessTable, Item, Page, PageCursor, Row, read, value};

/// A user, and the keys that do not have a copy of the user's latest version yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredUser {
    /// The user.
    pub user: User,
    /// The work that a change of the user has left; `None` when all keys have the latest version.
    pub propagation: Option<Propagation>,
}

/// The rewriting of the copies of a user in the user's keys, which is not finished.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Propagation {
    /// The last key that was rewritten; the keys are rewritten in the order of their ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) after: Option<KeyId>,
}

#[derive(Serialize, Deserialize)]
struct UserRow {
    id: UserId,
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    team: Option<String>,
    status: UserStatus,
    settings: OverridesRow,
    created_at: Timestamp,
    version: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    propagation: Option<Propagation>,
}

impl UserRow {
    fn new(user: &User, propagation: Option<Propagation>) -> Row<Self> {
        let body = Self {
            id: user.id.clone(),
            name: user.name.clone(),
            description: user.description.clone(),
            team: user.team.clone(),
            status: user.status,
            settings: (&user.settings).into(),
            created_at: user.created_at,
            version: user.version,
            propagation,
        };
        Row::new(user_pk(&user.id), SK_USER, body).listed(IN_USERS.to_owned(), user.id.to_string())
    }

    fn into_stored(self) -> StoredUser {
        let (settings, _) = self.settings.into_overrides();
        StoredUser {
            user: User {
                id: self.id,
                name: self.name,
                description: self.description,
                team: self.team,
                status: self.status,
                settings,
                created_at: self.created_at,
                version: self.version,
            },
            propagation: self.propagation,
        }
    }
}

fn read_user(item: Item) -> Result<StoredUser, StoreError> {
    read::<UserRow>("user", item).map(UserRow::into_stored)
}

impl AccessTable {
    /// The user of this id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn user(&self, id: &UserId) -> Result<Option<StoredUser>, StoreError> {
        let row = self.item::<UserRow>("user", user_pk(id), SK_USER).await?;
        Ok(row.map(UserRow::into_stored))
    }

    /// One page of users. `after` is the [`Page::next`] of the page before.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn users(&self, after: Option<&str>) -> Result<Page<StoredUser>, StoreError> {
        let cursor = after.map(|id| PageCursor {
            pk: format!("user#{id}"),
            sk: SK_USER.to_owned(),
            listed_as: id,
        });
        self.listing(IN_USERS.to_owned(), cursor, read_user).await
    }
}

impl Mutation<'_> {
    /// Adds a user. The condition is that the id is new.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when the user cannot be written as an item.
    pub fn create_user(self, user: &User) -> Result<Self, StoreError> {
        self.insert(&UserRow::new(user, None))
    }

    /// Replaces a user by its next version, and marks the copies in the user's keys as outdated. The
    /// condition is that the stored version is the one before.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when the user cannot be written as an item.
    pub fn update_user(self, user: &User) -> Result<Self, StoreError> {
        let before = AttributeValue::N(user.version.saturating_sub(1).to_string());
        let row = UserRow::new(user, Some(Propagation::default()));
        self.put(&row, |put| {
            put.condition_expression("#version = :before")
                .expression_attribute_names("#version", "version")
                .expression_attribute_values(":before", before)
        })
    }

    /// Adds the condition that the user is active and of this version.
    pub(crate) fn check_active_user(self, id: &UserId, version: u64) -> Result<Self, StoreError> {
        let active = value(UserStatus::Active)?;
        self.check(&user_pk(id), SK_USER, |check| {
            check
                .condition_expression("#status = :active AND #version = :version")
                .expression_attribute_names("#status", "status")
                .expression_attribute_names("#version", "version")
                .expression_attribute_values(":active", active)
                .expression_attribute_values(":version", AttributeValue::N(version.to_string()))
        })
    }
}
