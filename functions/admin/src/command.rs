//! What can be asked of an admin, and what comes of it.
//!
//! Secrets are not part of a command: a Bedrock key travels beside it, and the one secret in an
//! outcome is a new access key, in full for the only time.

use domain::bedrock::{BedrockModel, Dialect, ModelPreset, ModelRule};
use domain::breaker::{BreakerState, Circuit};
use domain::grant::KeyStatus;
use domain::id::{KeyId, UserId};
use domain::policy::PolicyChange;
use domain::time::Timestamp;
use domain::user::User;
use serde::{Deserialize, Serialize};
use store::access::{BindingSummary, ListedKey};

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// Adds a user.
    CreateUser(NewUser),
    /// Lists all users.
    ListUsers,
    /// Issues an access key to a user.
    IssueKey {
        /// Whose key it will be.
        user_id: UserId,
        /// The key's own settings, as far as they differ from the user's.
        #[serde(flatten)]
        settings: Settings,
    },
    /// Lists the keys of one user, or of all.
    ListKeys {
        /// Whose keys; everybody's when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user_id: Option<UserId>,
    },
    /// Revokes an access key for ever.
    RevokeKey {
        /// Which key.
        key_id: KeyId,
    },
    /// Registers the Bedrock API key of an access key, in place of the one before. The Bedrock key
    /// itself comes beside the command.
    SetBedrockKey {
        /// Whose Bedrock key it is.
        key_id: KeyId,
        /// The AWS region that the access key uses from now on. Without it a short-term key's own
        /// region is taken, and a long-term key leaves the region as it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        region: Option<String>,
    },
    /// Shows breakers.
    ShowBreakers {
        /// Of which key; all that ever were anything but closed, when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key_id: Option<KeyId>,
    },
    /// Closes breakers, so that Plan is asked again.
    ResetBreakers {
        /// Which.
        of: BreakersOf,
    },
}

/// Which breakers.
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

/// A user to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewUser {
    /// For people to read: 1 to 100 characters.
    pub name: String,
    /// Free text: 1 to 500 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What usage is summed by, besides the user: 1 to 64 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// The user's settings, as far as they differ from the deployment's defaults.
    #[serde(flatten)]
    pub settings: Settings,
}

/// Settings, as far as they differ from those that hold without them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// The AWS region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The Bedrock model that serves whatever no rule names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<BedrockModel>,
    /// What serves the requests that no rule names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<ModelPreset>,
    /// Which model serves which requested one; they replace all rules that hold otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<ModelRule>,
    /// Which Bedrock API carries the requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialect: Option<Dialect>,
    /// When requests fall back.
    #[serde(flatten)]
    pub policy: PolicyChange,
}

/// What came of a command.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The new user.
    UserCreated(User),
    /// All users, oldest first.
    Users {
        /// The users.
        users: Vec<User>,
    },
    /// The new key.
    KeyIssued(IssuedKey),
    /// Keys, oldest first within each user.
    Keys {
        /// The keys.
        keys: Vec<ListedKey>,
    },
    /// The key is revoked; it is refused everywhere within the revocation bound.
    KeyRevoked {
        /// Which key.
        key_id: KeyId,
        /// Always revoked.
        status: KeyStatus,
    },
    /// The Bedrock key is sealed and bound.
    BedrockKeySet {
        /// Whose Bedrock key it is.
        key_id: KeyId,
        /// The AWS region that it is used in.
        region: String,
        /// What may be shown of it.
        bedrock_key: BindingSummary,
    },
    /// Breakers as they are.
    Breakers {
        /// The breakers.
        breakers: Vec<BreakerView>,
        /// By this clock.
        as_of: Timestamp,
    },
    /// Breakers as they were before they were closed. Who knows one to be open takes notice within
    /// the revocation bound.
    BreakersReset {
        /// The breakers, those left out that were closed already.
        breakers: Vec<BreakerView>,
        /// By this clock.
        as_of: Timestamp,
    },
}

/// A breaker as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerView {
    /// Whose it is; absent for the deployment's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<KeyId>,
    /// What it guards.
    pub circuit: Circuit,
    /// Its state.
    #[serde(flatten)]
    pub state: BreakerState,
}

/// A key that has just been issued, in full for the only time.
#[derive(Serialize, Deserialize)]
pub struct IssuedKey {
    /// Names the key from now on.
    pub key_id: KeyId,
    /// Whose key it is.
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
