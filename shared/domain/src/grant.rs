//! May this key be served now?

use serde::{Deserialize, Serialize};

use crate::bedrock::BedrockSettings;
use crate::id::{KeyId, UserId};
use crate::key::MaskedKey;
use crate::policy::PolicyChange;
use crate::time::Timestamp;
use crate::user::UserStatus;

/// What an access key resolves to. It carries a copy of what the proxy needs of the user, so that
/// one read of the key's partition is enough; whoever changes a user changes the copies too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// Names the key in logs and answers.
    pub key_id: KeyId,
    /// Whose key it is.
    pub user_id: UserId,
    /// The user's name, for people who read logs. Absent in records made before it was copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_name: Option<String>,
    /// The user's team, for attribution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// The beginning of the key.
    pub masked: MaskedKey,
    /// Active or revoked.
    pub status: KeyStatus,
    /// The user's status.
    pub user_status: UserStatus,
    /// The key is refused from this moment on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When it was issued.
    pub created_at: Timestamp,
    /// The settings in force: the key's own, or else the user's.
    pub bedrock: BedrockSettings,
    /// When requests fall back, as far as it differs from the deployment's policy: what the key has of
    /// its own, and else what its user has.
    #[serde(default)]
    pub policy: PolicyChange,
}

/// Whether a key was revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyStatus {
    /// Served, as far as the key itself is concerned.
    Active,
    /// Refused for ever.
    Revoked,
}

/// Why a key is not served. For the log only: the client gets one answer for all of them
/// (requirement R1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// The text was no access key.
    Malformed,
    /// No such key was issued.
    Unknown,
    /// The key was revoked.
    Revoked,
    /// The key's time is over.
    Expired,
    /// The user is inactive.
    UserInactive,
    /// The user was deleted.
    UserDeleted,
}

impl Denial {
    /// The name for logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Unknown => "unknown",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::UserInactive => "user_inactive",
            Self::UserDeleted => "user_deleted",
        }
    }
}

/// The witness that a live key was presented. Only [`KeyRecord::admit`] makes one, and no upstream
/// is called without it.
#[derive(Clone, Debug)]
pub struct Grant {
    record: KeyRecord,
}

impl Grant {
    /// The record that was admitted.
    pub fn record(&self) -> &KeyRecord {
        &self.record
    }
}

impl KeyRecord {
    /// Decides whether the key is served at `now`.
    ///
    /// # Errors
    /// The [`Denial`] that says why not.
    pub fn admit(self, now: Timestamp) -> Result<Grant, Denial> {
        match (self.status, self.user_status) {
            (KeyStatus::Revoked, _) => Err(Denial::Revoked),
            (KeyStatus::Active, UserStatus::Inactive) => Err(Denial::UserInactive),
            (KeyStatus::Active, UserStatus::Deleted) => Err(Denial::UserDeleted),
            (KeyStatus::Active, UserStatus::Active) => match self.expires_at {
                Some(end) if end <= now => Err(Denial::Expired),
                Some(_) | None => Ok(Grant { record: self }),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::AccessKey;

    fn record(status: KeyStatus, user_status: UserStatus, expires_at: Option<i64>) -> KeyRecord {
        KeyRecord {
            key_id: "key_1".parse().unwrap(),
            user_id: "usr_1".parse().unwrap(),
            user_name: None,
            team: None,
            masked: AccessKey::from_entropy(&[0; 32]).masked(),
            status,
            user_status,
            expires_at: expires_at.map(Timestamp::from_millis),
            created_at: Timestamp::from_millis(0),
            bedrock: BedrockSettings::default(),
            policy: PolicyChange::default(),
        }
    }

    #[test]
    fn only_a_live_key_of_an_active_user_is_admitted() {
        let now = Timestamp::from_millis(1000);
        let cases = [
            (KeyStatus::Active, UserStatus::Active, None, Ok(())),
            (KeyStatus::Active, UserStatus::Active, Some(1001), Ok(())),
            (
                KeyStatus::Active,
                UserStatus::Active,
                Some(1000),
                Err(Denial::Expired),
            ),
            (
                KeyStatus::Active,
                UserStatus::Inactive,
                None,
                Err(Denial::UserInactive),
            ),
            (
                KeyStatus::Active,
                UserStatus::Deleted,
                None,
                Err(Denial::UserDeleted),
            ),
            (
                KeyStatus::Revoked,
                UserStatus::Active,
                None,
                Err(Denial::Revoked),
            ),
            (
                KeyStatus::Revoked,
                UserStatus::Deleted,
                Some(0),
                Err(Denial::Revoked),
            ),
        ];
        for (status, user_status, expires_at, expected) in cases {
            let record = record(status, user_status, expires_at);
            let outcome = record.clone().admit(now).map(drop);
            assert_eq!(outcome, expected, "{record:?}");
        }
    }
}
