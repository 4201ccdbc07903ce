//! Doing what a command says.

use std::str::FromStr;

use domain::bedrock::{BedrockModel, BedrockSettings};
use domain::bedrock_key::BedrockKey;
use domain::grant::{KeyRecord, KeyStatus};
use domain::id::{KeyId, UserId};
use domain::key::{AccessKey, ServerSecret};
use domain::policy::PolicyChange;
use domain::time::Timestamp;
use domain::user::{User, UserStatus};
use ring::rand::{SecureRandom as _, SystemRandom};
use store::StoreError;
use store::access::{AccessTable, Binding, BindingSummary, ListedKey, Written};
use store::vault::{Owner, Sealer, VaultError};

use crate::{Command, IssuedKey, NewUser, Outcome, Settings};

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

    async fn create_user(&self, new: NewUser, now: Timestamp) -> Result<Outcome, AdminError> {
        let name = new.name.trim();
        if name.is_empty() || name.chars().count() > 100 || name.chars().any(char::is_control) {
            let text = "a user's name must be 1 to 100 printable characters";
            return Err(AdminError::Invalid(text.to_owned()));
        }
        let policy = checked_policy(new.settings.policy.clone())?;
        let bedrock = changed(BedrockSettings::default(), new.settings)?;
        let user = User {
            id: new_id(UserId::PREFIX),
            name: name.to_owned(),
            description: new.description,
            team: new.team,
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
            team: user.team,
            masked: key.masked(),
            status: KeyStatus::Active,
            user_status: user.status,
            expires_at: None,
            created_at: now,
            policy: checked_policy(settings.policy.clone())?.or(user.policy),
            bedrock: changed(user.bedrock, settings)?,
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
        let presigned = bedrock_key.presigned();
        let own_region = presigned.as_ref().map(|presigned| presigned.region.clone());
        if let (Some(region), Some(own)) = (&region, &own_region)
            && region != own
        {
            return Err(AdminError::Invalid(format!(
                "this short-term Bedrock API key works in {own} only, not in {region}"
            )));
        }
        if let Some(end) = presigned.as_ref().map(|presigned| presigned.expires_at)
            && end <= now
        {
            return Err(AdminError::Invalid(format!(
                "this short-term Bedrock API key expired at {end}; generate a new one"
            )));
        }
        let resolved = self.access.key(&key_id).await?;
        let record = resolved
            .ok_or_else(|| AdminError::NoSuchKey(key_id.clone()))?
            .record;
        let region = region
            .or(own_region.clone())
            .map(checked_region)
            .transpose()?;
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
                .fingerprint("bedrock key", bedrock_key.expose()),
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

fn checked_policy(policy: PolicyChange) -> Result<PolicyChange, AdminError> {
    policy
        .checked()
        .map_err(|error| AdminError::Invalid(error.to_string()))
}

fn changed(mut settings: BedrockSettings, change: Settings) -> Result<BedrockSettings, AdminError> {
    if let Some(region) = change.region {
        settings.region = checked_region(region)?;
    }
    if let Some(model) = change.model {
        settings.models.default = checked_model(model)?;
    }
    if !change.rules.is_empty() {
        settings.models.rules = change.rules;
        for rule in &settings.models.rules {
            checked_model(rule.serve.clone())?;
        }
    }
    settings.dialect = change.dialect.or(settings.dialect);
    Ok(settings)
}

/// A model that the request's URL can name. An application inference profile's ARN does not say what
/// is behind it, so that must be said.
fn checked_model(model: BedrockModel) -> Result<BedrockModel, AdminError> {
    let is_visible = |text: &str| {
        (1..=2048).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    if !is_visible(&model.id) || !model.base_model.as_deref().is_none_or(is_visible) {
        let text = "a model must be a Bedrock model id, an inference profile id or an ARN";
        return Err(AdminError::Invalid(text.to_owned()));
    }
    if model.id.contains(":application-inference-profile/") && model.base_model.is_none() {
        return Err(AdminError::Invalid(
            "the ARN of an application inference profile does not name its model: give the \
             foundation model too, such as anthropic.claude-sonnet-4-5-20250929-v1:0"
                .to_owned(),
        ));
    }
    Ok(model)
}

fn checked_region(region: String) -> Result<String, AdminError> {
    let is_label = (5..=32).contains(&region.len())
        && region
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && region.starts_with(|first: char| first.is_ascii_lowercase())
        && region.contains('-');
    if is_label {
        Ok(region)
    } else {
        Err(AdminError::Invalid(format!(
            "`{region}` is not an AWS region; give one such as eu-central-1"
        )))
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
