//! The commands of an admin, and their outcomes.
//!
//! Secrets are not part of a command: a Bedrock key is passed beside it. The one secret in an outcome is a
//! new access key, which is returned in full this once.

use domain::grant::KeyStatus;
use domain::id::{KeyId, UserId};
use domain::user::UserStatus;
use serde::{Deserialize, Serialize};

use crate::api::{BedrockKeyView, KeyView, Settings, Time, UserView};
use crate::breaker_view::BreakerView;

/// A command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// Adds a user.
    CreateUser(NewUser),
    /// Lists all users.
    ListUsers,
    /// Changes a user, and the copies in all of the user's keys.
    UpdateUser {
        /// The user.
        user_id: UserId,
        /// The change.
        change: Box<UserChange>,
    },
    /// Issues an access key to a user.
    IssueKey {
        /// The user.
        user_id: UserId,
        /// The key's own settings, as far as they differ from the user's.
        #[serde(flatten)]
        settings: Settings,
    },
    /// Lists the keys of one user, or of all.
    ListKeys {
        /// The user; the keys of all users when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user_id: Option<UserId>,
    },
    /// Revokes an access key permanently.
    RevokeKey {
        /// The access key.
        key_id: KeyId,
    },
    /// Registers the Bedrock API key of an access key, in place of the one before. The Bedrock key
    /// itself comes beside the command.
    SetBedrockKey {
        /// The access key.
        key_id: KeyId,
        /// The AWS region that the access key uses from now on. Without it a short-term key's own
        /// region is taken, and a long-term key leaves the region as it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        region: Option<String>,
    },
    /// Removes the Bedrock API key of an access key.
    RemoveBedrockKey {
        /// The access key.
        key_id: KeyId,
    },
    /// Shows breakers.
    ShowBreakers {
        /// The access key; all breakers that have been written at least once, when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key_id: Option<KeyId>,
    },
    /// Closes breakers, so that requests go to Plan again.
    ResetBreakers {
        /// The breakers.
        of: BreakersOf,
    },
}

/// A choice of breakers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakersOf {
    /// All of one access key.
    Key(KeyId),
    /// The one of the deployment.
    Deployment,
    /// All of them.
    All,
}

/// A new user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewUser {
    /// The name that people read: 1 to 100 printable characters.
    pub name: String,
    /// Free text: 1 to 256 printable characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The team, by which usage is summed besides the user: 1 to 64 printable characters, none of them `#`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// The user's settings, as far as they differ from the deployment's defaults.
    #[serde(flatten)]
    pub settings: Settings,
}

/// A change of a user. A member that is `None` is not changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserChange {
    /// Another name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Another description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Another team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// Another status; a deleted user keeps theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<UserStatus>,
    /// Other settings, in place of all that the user has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<Settings>,
}

/// The outcome of a command.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The new user.
    UserCreated(UserView),
    /// The changed user. All of the user's keys have the change.
    UserUpdated(UserView),
    /// All users, oldest first.
    Users {
        /// The users.
        users: Vec<UserView>,
    },
    /// The new key.
    KeyIssued(IssuedKey),
    /// Keys, oldest first within each user.
    Keys {
        /// The keys.
        keys: Vec<KeyView>,
    },
    /// The key is revoked; it is refused everywhere within the revocation bound.
    KeyRevoked {
        /// The access key.
        key_id: KeyId,
        /// Always revoked.
        status: KeyStatus,
    },
    /// The Bedrock key is sealed and bound.
    BedrockKeySet {
        /// The access key.
        key_id: KeyId,
        /// The AWS region that it is used in.
        region: String,
        /// The part of it that may be shown.
        bedrock_key: BedrockKeyView,
    },
    /// The Bedrock key is removed.
    BedrockKeyRemoved {
        /// The access key.
        key_id: KeyId,
    },
    /// Breakers as they are.
    Breakers {
        /// The breakers.
        breakers: Vec<BreakerView>,
        /// The time of this outcome.
        as_of: Time,
    },
    /// Breakers in their state before the reset. An instance that has cached one as open reads it again
    /// within the revocation bound.
    BreakersReset {
        /// The breakers, without those that were closed already.
        breakers: Vec<BreakerView>,
        /// The time of this outcome.
        as_of: Time,
    },
}

/// A new access key, which is returned in full this once.
#[derive(Serialize, Deserialize)]
pub struct IssuedKey {
    /// The key's id.
    pub key_id: KeyId,
    /// The id of its user.
    pub user_id: UserId,
    /// The key itself. It is not stored and cannot be shown again.
    pub access_key: String,
}

impl std::fmt::Debug for IssuedKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("IssuedKey")
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}
