//! The execution of commands.

use domain::bedrock_key::BedrockKey;
use domain::id::{KeyId, UserId};
use domain::key::ServerSecret;
use domain::time::Timestamp;
use store::StoreError;
use store::partition::KeyPartition;
use store::table::AccessTable;
use store::vault::{Sealer, VaultError};

use crate::command::{Command, Outcome};
use crate::invocation::Invocation;

/// The administration of users, keys, Bedrock keys and breakers.
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
    /// A given value cannot be used; the text names the values that can.
    #[error("{0}")]
    Invalid(String),
    /// There is no such user.
    #[error("there is no user {0}")]
    NoSuchUser(UserId),
    /// The user is inactive or deleted.
    #[error("the user {0} is not active")]
    UserNotActive(UserId),
    /// The user is deleted, which is final.
    #[error("the user {0} is deleted")]
    UserDeleted(UserId),
    /// Others change the user at the same time.
    #[error("the user {0} was changed at the same moment; try again")]
    UserBusy(UserId),
    /// There is no such key.
    #[error("there is no key {0}")]
    NoSuchKey(KeyId),
    /// The key was revoked before.
    #[error("the key {0} is revoked")]
    KeyRevoked(KeyId),
    /// The key has no Bedrock key.
    #[error("the key {0} has no Bedrock API key")]
    NoRegisteredBedrockKey(KeyId),
    /// Instances write the breaker at the same time.
    #[error("the breaker of {0} was changed at the same moment; try again")]
    BreakerBusy(String),
    /// The command needs a Bedrock key beside it.
    #[error("the Bedrock API key is missing")]
    NoBedrockKey,
    /// The operating system returned no random bytes.
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
    /// Executes a command at `now` as the local caller `cli`. `bedrock_key` goes with
    /// [`Command::SetBedrockKey`] only.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn execute(
        &self,
        command: Command,
        bedrock_key: Option<BedrockKey>,
        now: Timestamp,
    ) -> Result<Outcome, AdminError> {
        let invocation = Invocation::local("cli", now);
        self.execute_as(&invocation, command, bedrock_key).await
    }

    /// Executes a command. `bedrock_key` goes with [`Command::SetBedrockKey`] only.
    ///
    /// # Errors
    /// [`AdminError`]. Nothing was changed then, but for [`Command::UpdateUser`], whose change may not have
    /// reached all of the user's keys: [`Admin::finish_user_update`] completes it.
    pub async fn execute_as(
        &self,
        invocation: &Invocation,
        command: Command,
        bedrock_key: Option<BedrockKey>,
    ) -> Result<Outcome, AdminError> {
        match command {
            Command::CreateUser(new) => self.create_user(new, invocation).await,
            Command::ListUsers => Ok(Outcome::Users {
                users: self.all_users().await?.iter().map(Into::into).collect(),
            }),
            Command::UpdateUser { user_id, change } => {
                self.update_user(user_id, *change, invocation).await
            }
            Command::IssueKey { user_id, settings } => {
                self.issue_key(user_id, &settings, invocation).await
            }
            Command::ListKeys { user_id } => self.list_keys(user_id).await,
            Command::RevokeKey { key_id } => self.revoke_key(key_id, invocation).await,
            Command::SetBedrockKey { key_id, region } => {
                let bedrock_key = bedrock_key.ok_or(AdminError::NoBedrockKey)?;
                self.register_bedrock_key(key_id, region, &bedrock_key, invocation)
                    .await
            }
            Command::RemoveBedrockKey { key_id } => {
                self.remove_bedrock_key(key_id, invocation).await
            }
            Command::ShowBreakers { key_id } => self.show_breakers(key_id, invocation).await,
            Command::ResetBreakers { of } => self.reset_breakers(of, invocation).await,
        }
    }

    pub(crate) async fn stored_key(&self, id: &KeyId) -> Result<KeyPartition, AdminError> {
        let key = self.access.key(id).await?;
        key.ok_or_else(|| AdminError::NoSuchKey(id.clone()))
    }
}
