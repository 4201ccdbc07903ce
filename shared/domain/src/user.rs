//! Users and their status.

use serde::{Deserialize, Serialize};

use crate::bedrock::BedrockSettings;
use crate::id::UserId;
use crate::policy::PolicyChange;
use crate::time::Timestamp;

/// A person who works with Claude Code through this deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Stable; never used again for someone else.
    pub id: UserId,
    /// For people to read; need not be unique.
    pub name: String,
    /// Free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What usage is summed by, besides the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// Whether the user's keys are served.
    pub status: UserStatus,
    /// The Bedrock settings of all the user's keys that have none of their own.
    pub bedrock: BedrockSettings,
    /// When the user's requests fall back, as far as it differs from the deployment's policy.
    #[serde(default)]
    pub policy: PolicyChange,
    /// When the user was created.
    pub created_at: Timestamp,
}

/// Whether a user's keys are served: `active ⇄ inactive → deleted`; deleted is final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserStatus {
    /// Keys are served.
    Active,
    /// Keys are refused until the user is active again.
    Inactive,
    /// Keys are refused for ever.
    Deleted,
}
