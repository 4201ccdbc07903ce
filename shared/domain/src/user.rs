//! Users, their status and their settings.

use serde::{Deserialize, Serialize};

use crate::bedrock::BedrockOverrides;
use crate::id::UserId;
use crate::policy::PolicyChange;
use crate::time::Timestamp;

/// A person who works with Claude Code through this deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The id, which is never assigned again.
    pub id: UserId,
    /// The name that people read; need not be unique.
    pub name: String,
    /// Free text; at most [`User::MAX_DESCRIPTION_CHARS`].
    pub description: Option<String>,
    /// The team, by which usage is summed besides the user; at most [`User::MAX_TEAM_CHARS`], without control
    /// characters and `#`.
    pub team: Option<String>,
    /// Whether the user's keys are served.
    pub status: UserStatus,
    /// The settings of all the user's keys that have none of their own.
    pub settings: Overrides,
    /// The time at which the user was created.
    pub created_at: Timestamp,
    /// Counts the changes of this user, from 1 on.
    pub version: u64,
}

impl User {
    /// The longest description, in characters.
    pub const MAX_DESCRIPTION_CHARS: usize = 256;
    /// The longest team, in characters.
    pub const MAX_TEAM_CHARS: usize = 64;
    /// The longest name, in characters.
    pub const MAX_NAME_CHARS: usize = 100;
}

/// The settings that a user or a key has instead of the ones of the level below: a key overrides its user,
/// and a user the deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Bedrock settings.
    pub bedrock: BedrockOverrides,
    /// Policy settings.
    pub policy: PolicyChange,
}

/// Whether a user's keys are served: `active ⇄ inactive → deleted`; deleted is final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserStatus {
    /// Keys are served.
    Active,
    /// Keys are rejected until the user is active again.
    Inactive,
    /// Keys are rejected forever.
    Deleted,
}
