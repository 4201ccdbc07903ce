//! Doing what a command says.

use std::str::FromStr;

use domain::bedrock::BedrockSettings;
use domain::bedrock_key::BedrockKey;
use domain::grant::{KeyRecord, KeyStatus};
use domain::id::{KeyId, UserId};
use domain::key::{AccessKey, ServerSecret};
use domain::time::Timestamp;
use domain::user::{User, UserStatus};
use ring::rand::{SecureRandom as _, SystemRandom};
use store::StoreError;
use store::access::{AccessTable, Binding, BindingSummary, ListedKey, Written};
use store::vault::{Owner, Sealer, VaultError};

use crate::settings::{
    change_settings, check_bedrock_key, check_settings, checked_policy, checked_text,
};
use crate::{Command, IssuedKey, NewUser, Outcome, Settings};

/// What fingerprints of Bedrock API keys are made for.
const FINGERPRINT: &str = "bedrock key";

/// What an admin works with.
#[derive(Debug)]
pub struct Admin {
    /// Users, keys and bindings.
    pub access: AccessTable,
    /// Hashes access keys.
    pub server_secret: ServerSecret,
    /// Seals Bedrock keys.
    pub sealer: Sealer,
}

/// A command was not carried out. Nothing of it was written.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// What was given cannot be used; the text says what to give.
    #[error("{0}")]
    Invalid(String),
    /// There is no such user.
    #[error("there is no user {0}; `spillway user list` shows all")]
    NoSuchUser(UserId),
    /// The user is inactive or deleted.
    #[error("the user {0} is not active")]
    UserNotActive(UserId),
    /// There is no such key.
    #[error("there is no key {0}; `spillway key list` shows all")]
    NoSuchKey(KeyId),
    /// The key was revoked before.
    #[error("the key {0} is revoked; issue a new one with `spillway key issue`")]
    KeyRevoked(KeyId),
    /// Others write the breaker all the time.
    #[error("the breaker of {0} changes all the time; try again")]
    BreakerBusy(String),
    /// The command needs a Bedrock key beside it.
    #[error("the Bedrock API key is missing")]
    NoBedrockKey,
    /// The operating system gave no random bytes.
    #[error("no random bytes from the operating system")]
    NoEntropy,
    /// The table failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Sealing failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl Admin {
    /// Carries out a command at `now`. `bedrock_key` goes with [`Command::SetBedrockKey`] only.
    ///
    /// # Errors
    /// [`AdminError`]; nothing was changed then.
    pub async fn execute(
        &self,
        command: Command,
        bedrock_key: Option<BedrockKey>,
        now: Timestamp,
    ) -> Result<Outcome, AdminError> {
        match command {
            Command::CreateUser(new) => self.create_user(new, now).await,
            Command::ListUsers => Ok(Outcome::Users {
                users: self.users().await?,
            }),
            Command::IssueKey { user_id, settings } => self.issue_key(user_id, settings, now).await,
            Command::ListKeys { user_id } => self.keys(user_id).await,
            Command::RevokeKey { key_id } => self.revoke_key(key_id).await,
            Command::SetBedrockKey { key_id, region } => {
                let bedrock_key = bedrock_key.ok_or(AdminError::NoBedrockKey)?;
                self.set_bedrock_key(key_id, region, &bedrock_key, now)
                    .await
            }
            Command::ShowBreakers { key_id } => self.show_breakers(key_id, now).await,
            Command::ResetBreakers { of } => self.reset_breakers(of, now).await,
        }
    }

    /// Whether this Bedrock API key is the one that is registered for an access key.
    ///
    /// # Errors
    /// [`AdminError::NoSuchKey`], or [`AdminError::Store`] when the table cannot be read.
    pub async fn is_registered(
        &self,
        key_id: &KeyId,
        bedrock_key: &BedrockKey,
    ) -> Result<bool, AdminError> {
        let resolved = self.access.key(key_id).await?;
        let resolved = resolved.ok_or_else(|| AdminError::NoSuchKey(key_id.clone()))?;
        Ok(resolved.binding.is_some_and(|binding| {
            self.server_secret.matches_fingerprint(
                FINGERPRINT,
                bedrock_key.expose(),
                &binding.fingerprint,
            )
        }))
    }

    async fn create_user(&self, new: NewUser, now: Timestamp) -> Result<Outcome, AdminError> {
        let name = checked_text("a user's name", &new.name, 100)?;
        let description = new
            .description
            .map(|text| checked_text("a description", &text, 500));
        let team = new.team.map(|text| checked_text("a team", &text, 64));
        let policy = checked_policy(new.settings.policy.clone())?;
        let bedrock = change_settings(BedrockSettings::default(), new.settings)?;
        let user = User {
            id: new_id(UserId::PREFIX),
            name,
            description: description.transpose()?,
            team: team.transpose()?,
            status: UserStatus::Active,
            bedrock,
            policy,
            created_at: now,
        };
        match self.access.create_user(&user).await? {
            Written::Done => Ok(Outcome::UserCreated(user)),
            Written::ConditionFailed => Err(AdminError::Invalid(
                "the new user id exists already; try again".to_owned(),
            )),
        }
    }

    async fn users(&self) -> Result<Vec<User>, AdminError> {
        let mut users = Vec::new();
        let mut after = None;
        loop {
            let page = self.access.users(after.as_deref()).await?;
            users.extend(page.items);
            after = page.next;
            if after.is_none() {
                return Ok(users);
            }
        }
    }

    async fn issue_key(
        &self,
        user_id: UserId,
        settings: Settings,
        now: Timestamp,
    ) -> Result<Outcome, AdminError> {
        let user = self.access.user(&user_id).await?;
        let user = user.ok_or_else(|| AdminError::NoSuchUser(user_id.clone()))?;
        let mut random = [0; 32];
        SystemRandom::new()
            .fill(&mut random)
            .map_err(|_| AdminError::NoEntropy)?;
        let key = AccessKey::from_entropy(&random);
        let record = KeyRecord {
            key_id: new_id(KeyId::PREFIX),
            user_id: user.id,
            user_name: Some(user.name),
            team: user.team,
            masked: key.masked(),
            status: KeyStatus::Active,
            user_status: user.status,
            expires_at: None,
            created_at: now,
            policy: checked_policy(settings.policy.clone())?.or(user.policy),
            bedrock: change_settings(user.bedrock, settings)?,
        };
        let mut hashes = self.server_secret.hashes(&key);
        let hash = hashes.next().ok_or(AdminError::NoEntropy)?;
        match self.access.issue_key(&hash, &record).await? {
            Written::Done => Ok(Outcome::KeyIssued(IssuedKey {
                key_id: record.key_id,
                user_id,
                access_key: key.expose().to_owned(),
            })),
            Written::ConditionFailed => Err(AdminError::UserNotActive(user_id)),
        }
    }

    async fn keys(&self, user_id: Option<UserId>) -> Result<Outcome, AdminError> {
        let users = match user_id {
            Some(id) => match self.access.user(&id).await? {
                Some(user) => vec![user.id],
                None => return Err(AdminError::NoSuchUser(id)),
            },
            None => self
                .users()
                .await?
                .into_iter()
                .map(|user| user.id)
                .collect(),
        };
        let mut keys: Vec<ListedKey> = Vec::new();
        for user in users {
            let mut after = None;
            loop {
                let page = self.access.keys(&user, after.as_deref()).await?;
                keys.extend(page.items);
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(Outcome::Keys { keys })
    }

    async fn revoke_key(&self, key_id: KeyId) -> Result<Outcome, AdminError> {
        match self.access.revoke_key(&key_id).await? {
            Written::Done => Ok(Outcome::KeyRevoked {
                key_id,
                status: KeyStatus::Revoked,
            }),
            Written::ConditionFailed => Err(AdminError::NoSuchKey(key_id)),
        }
    }

    async fn set_bedrock_key(
        &self,
        key_id: KeyId,
        region: Option<String>,
        bedrock_key: &BedrockKey,
        now: Timestamp,
    ) -> Result<Outcome, AdminError> {
        let presigned = check_bedrock_key(bedrock_key, region.as_deref(), now)?;
        let own_region = presigned.as_ref().map(|presigned| presigned.region.clone());
        let resolved = self.access.key(&key_id).await?;
        let record = resolved
            .ok_or_else(|| AdminError::NoSuchKey(key_id.clone()))?
            .record;
        let region = region.or_else(|| own_region.clone());
        if let Some(region) = &region {
            check_settings(&BedrockSettings {
                region: region.clone(),
                ..record.bedrock.clone()
            })?;
        }
        let owner = Owner {
            key: &key_id,
            user: &record.user_id,
        };
        let summary = BindingSummary {
            bedrock_key_masked: bedrock_key.masked(),
            bedrock_key_kind: bedrock_key.kind(),
            bedrock_key_region: own_region,
            bedrock_key_expires_at: presigned.map(|presigned| presigned.expires_at),
            bedrock_key_set_at: now,
        };
        let binding = Binding {
            sealed: self.sealer.seal(owner, bedrock_key, new_uuid()).await?,
            fingerprint: self
                .server_secret
                .fingerprint(FINGERPRINT, bedrock_key.expose()),
            summary: summary.clone(),
        };
        match self
            .access
            .bind_bedrock_key(&key_id, &binding, region.as_deref())
            .await?
        {
            Written::Done => Ok(Outcome::BedrockKeySet {
                key_id,
                region: region.unwrap_or(record.bedrock.region),
                bedrock_key: summary,
            }),
            Written::ConditionFailed => Err(AdminError::KeyRevoked(key_id)),
        }
    }
}

fn new_id<T>(prefix: &str) -> T
where
    T: FromStr,
    T::Err: std::fmt::Debug,
{
    #[expect(
        clippy::expect_used,
        reason = "the prefix and hexadecimal digits are of the id's form"
    )]
    format!("{prefix}{}", new_uuid())
        .parse()
        .expect("the prefix and hexadecimal digits are its form")
}

fn new_uuid() -> String {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the place where these ids are made"
    )]
    uuid::Uuid::now_v7().simple().to_string()
}
