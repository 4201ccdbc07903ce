//! The record of an access key, and the decision whether the key is served.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::bedrock::BedrockSettings;
use crate::id::{KeyId, UserId};
use crate::key::MaskedKey;
use crate::policy::Policy;
use crate::time::Timestamp;
use crate::user::{Overrides, User, UserStatus};

/// The record that an access key resolves to. It has the overrides of the key and, apart from them, a copy
/// of its user, so that one read of the key's partition is enough. The merged settings are never stored:
/// [`KeyRecord::effective_policy`] and [`KeyRecord::effective_bedrock`] merge when they are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// The id of the key, for logs and responses.
    pub key_id: KeyId,
    /// The beginning of the key.
    pub masked: MaskedKey,
    /// The status of the key.
    pub status: KeyStatus,
    /// The time from which the key is rejected.
    pub expires_at: Option<Timestamp>,
    /// The time at which the key was issued.
    pub created_at: Timestamp,
    /// The settings of the key itself.
    pub own: Overrides,
    /// The copy of the key's user.
    pub user: UserCopy,
    /// Counts the changes of this record, from 1 on.
    pub version: u64,
}

/// The part of a user that each of the user's keys has a copy of. A change of the user rewrites the copies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserCopy {
    /// The user's id.
    pub id: UserId,
    /// The user's name, for people who read logs.
    pub name: String,
    /// The user's team, for attribution.
    pub team: Option<String>,
    /// The user's status.
    pub status: UserStatus,
    /// The user's settings.
    pub settings: Overrides,
    /// The [`User::version`] that was copied.
    pub version: u64,
}

impl From<&User> for UserCopy {
    fn from(user: &User) -> Self {
        Self {
            id: user.id.clone(),
            name: user.name.clone(),
            team: user.team.clone(),
            status: user.status,
            settings: user.settings.clone(),
            version: user.version,
        }
    }
}

/// Whether a key was revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyStatus {
    /// The key is served if its user is active.
    Active,
    /// The key is never served again.
    Revoked,
}

/// The reason why a key is not served. For the log only: the client gets the same response for all of them
/// (requirement R1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// The text is not an access key.
    Malformed,
    /// No such key was issued.
    Unknown,
    /// The key was revoked.
    Revoked,
    /// The key has expired.
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

/// The proof that a request has a valid key. Only [`KeyRecord::admit`] creates it, and every call of an upstream
/// requires it.
#[derive(Clone, Debug)]
pub struct Grant {
    record: Arc<KeyRecord>,
}

impl Grant {
    /// The record that was admitted.
    pub fn record(&self) -> &Arc<KeyRecord> {
        &self.record
    }
}

impl KeyRecord {
    /// The policy in force: the deployment's, overridden by the user, overridden by the key.
    pub fn effective_policy(&self, deployment: &Policy) -> Policy {
        let mut policy = deployment.clone();
        policy.apply(&self.user.settings.policy);
        policy.apply(&self.own.policy);
        policy
    }

    /// The Bedrock settings in force: the deployment's, overridden by the user, overridden by the key.
    pub fn effective_bedrock(&self, deployment: BedrockSettings) -> BedrockSettings {
        deployment
            .with(&self.user.settings.bedrock)
            .with(&self.own.bedrock)
    }

    /// Decides whether the key is served at `now`.
    ///
    /// # Errors
    /// The [`Denial`] with the reason.
    pub fn admit(self: Arc<Self>, now: Timestamp) -> Result<Grant, Denial> {
        match (self.status, self.user.status) {
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
            masked: AccessKey::from_entropy(&[0; 32]).masked(),
            status,
            expires_at: expires_at.map(Timestamp::from_millis),
            created_at: Timestamp::from_millis(0),
            own: Overrides::default(),
            user: UserCopy {
                id: "usr_1".parse().unwrap(),
                name: "one".to_owned(),
                team: None,
                status: user_status,
                settings: Overrides::default(),
                version: 1,
            },
            version: 1,
        }
    }

    #[test]
    fn key_overrides_its_user_and_the_user_the_deployment() {
        let mut record = record(KeyStatus::Active, UserStatus::Active, None);
        record.user.settings.policy.breaker_failures = Some(4);
        record.user.settings.policy.breaker_open_s = Some(20);
        record.user.settings.bedrock.region = Some("eu-central-1".to_owned());
        record.own.policy.breaker_failures = Some(5);
        record.own.bedrock.dialect = Some(crate::bedrock::Dialect::Auto);
        let policy = record.effective_policy(&Policy::default());
        assert_eq!(policy.breaker.failures, 5);
        assert_eq!(policy.breaker.open_for.as_secs(), 20);
        assert_eq!(policy.breaker.window, Policy::default().breaker.window);
        let bedrock = record.effective_bedrock(BedrockSettings::default());
        assert_eq!(bedrock.region, "eu-central-1");
        assert_eq!(bedrock.dialect, Some(crate::bedrock::Dialect::Auto));
        assert_eq!(bedrock.models, BedrockSettings::default().models);
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
            let outcome = Arc::new(record.clone()).admit(now).map(drop);
            assert_eq!(outcome, expected, "{record:?}");
        }
    }
}
