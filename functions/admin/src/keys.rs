//! Access keys and their Bedrock keys, issued, registered and revoked by an admin.

use domain::bedrock::{BedrockOverrides, BedrockSettings};
use domain::bedrock_key::BedrockKey;
use domain::grant::{KeyRecord, KeyStatus, UserCopy};
use domain::id::{KeyId, UserId};
use domain::key::AccessKey;
use domain::user::UserStatus;
use ring::rand::{SecureRandom as _, SystemRandom};
use service::id::{new_id, new_uuid};
use store::audit::AuditRecord;
use store::keys::{Binding, BindingSummary, ListedKey};
use store::mutation::Written;
use store::partition::KeyPartition;
use store::vault::Owner;

use crate::api::{KeyView, Settings};
use crate::audit::audit_record;
use crate::command::{IssuedKey, Outcome};
use crate::execute::{Admin, AdminError};
use crate::invocation::Invocation;
use crate::settings::{check_bedrock_key, check_settings, checked_overrides};

/// The purpose of fingerprints of Bedrock API keys.
const FINGERPRINT: &str = "bedrock key";
/// The attempts to issue a key while its user is changed.
const TRIES: usize = 5;

impl Admin {
    /// Returns true when this Bedrock API key is the one that is registered for an access key.
    ///
    /// # Errors
    /// [`AdminError::NoSuchKey`], or [`AdminError::Store`] when the table cannot be read.
    pub async fn is_registered(
        &self,
        key_id: &KeyId,
        bedrock_key: &BedrockKey,
    ) -> Result<bool, AdminError> {
        let key = self.stored_key(key_id).await?;
        Ok(key.binding.is_some_and(|binding| {
            self.server_secret.matches_fingerprint(
                FINGERPRINT,
                bedrock_key.expose(),
                &binding.fingerprint,
            )
        }))
    }

    pub(crate) async fn issue_key(
        &self,
        user_id: UserId,
        settings: &Settings,
        invocation: &Invocation,
    ) -> Result<Outcome, AdminError> {
        let own = checked_overrides(settings)?;
        let mut random = [0; 32];
        SystemRandom::new()
            .fill(&mut random)
            .map_err(|_| AdminError::NoEntropy)?;
        let key = AccessKey::from_entropy(&random);
        let mut hashes = self.server_secret.hashes(&key);
        let hash = hashes.next().ok_or(AdminError::NoEntropy)?;
        for _ in 0..TRIES {
            let user = self.stored_user(&user_id).await?.user;
            if user.status != UserStatus::Active {
                return Err(AdminError::UserNotActive(user_id));
            }
            let record = KeyRecord {
                key_id: new_id(KeyId::PREFIX),
                masked: key.masked(),
                status: KeyStatus::Active,
                expires_at: None,
                created_at: invocation.now,
                own: own.clone(),
                user: UserCopy::from(&user),
                version: 1,
            };
            check_settings(&record.effective_bedrock(BedrockSettings::default()))?;
            let states = (None, Some(&KeyView::new(&record, None)));
            let audit = audit_record(invocation, "key.issue", &record.key_id, states)?;
            let mutation = self.access.mutation().issue_key(&hash, &record)?;
            if mutation.commit(&audit).await? == Written::Done {
                return Ok(Outcome::KeyIssued(IssuedKey {
                    key_id: record.key_id,
                    user_id,
                    access_key: key.expose().to_owned(),
                }));
            }
        }
        Err(AdminError::UserBusy(user_id))
    }

    pub(crate) async fn list_keys(&self, user_id: Option<UserId>) -> Result<Outcome, AdminError> {
        let users = match user_id {
            Some(id) => vec![self.stored_user(&id).await?.user],
            None => self.all_users().await?,
        };
        let mut keys = Vec::new();
        for user in users {
            let of_user = self.all_keys_of(&user.id).await?;
            keys.extend(of_user.iter().map(KeyView::from));
        }
        Ok(Outcome::Keys { keys })
    }

    pub(crate) async fn all_keys_of(&self, user: &UserId) -> Result<Vec<ListedKey>, AdminError> {
        let mut keys = Vec::new();
        let mut after = None;
        loop {
            let page = self.access.keys(user, after.as_deref()).await?;
            keys.extend(page.items);
            after = page.next;
            if after.is_none() {
                return Ok(keys);
            }
        }
    }

    pub(crate) async fn revoke_key(
        &self,
        key_id: KeyId,
        invocation: &Invocation,
    ) -> Result<Outcome, AdminError> {
        let key = self.stored_key(&key_id).await?;
        let (_, audit) = audited_change(invocation, "key.revoke", &key, |key| {
            key.status = KeyStatus::Revoked;
        })?;
        let mutation = self.access.mutation().revoke_key(&key)?;
        match mutation.commit(&audit).await? {
            Written::Done => Ok(Outcome::KeyRevoked {
                key_id,
                status: KeyStatus::Revoked,
            }),
            Written::ConditionFailed => Err(AdminError::NoSuchKey(key_id)),
        }
    }

    pub(crate) async fn register_bedrock_key(
        &self,
        key_id: KeyId,
        region: Option<String>,
        bedrock_key: &BedrockKey,
        invocation: &Invocation,
    ) -> Result<Outcome, AdminError> {
        let presigned = check_bedrock_key(bedrock_key, region.as_deref(), invocation.now)?;
        let own_region = presigned.as_ref().map(|presigned| presigned.region.clone());
        let key = self.stored_key(&key_id).await?;
        let region = region.or_else(|| own_region.clone());
        let before = key.record.effective_bedrock(BedrockSettings::default());
        let settings = before.with(&BedrockOverrides {
            region: region.clone(),
            ..BedrockOverrides::default()
        });
        if region.is_some() {
            check_settings(&settings)?;
        }
        let owner = Owner {
            key: &key_id,
            user: &key.record.user.id,
        };
        let summary = BindingSummary {
            bedrock_key_masked: bedrock_key.masked(),
            bedrock_key_kind: bedrock_key.kind(),
            bedrock_key_region: own_region,
            bedrock_key_expires_at: presigned.map(|presigned| presigned.expires_at),
            bedrock_key_set_at: invocation.now,
        };
        let binding = Binding {
            sealed: self.sealer.seal(owner, bedrock_key, new_uuid()).await?,
            fingerprint: self
                .server_secret
                .fingerprint(FINGERPRINT, bedrock_key.expose()),
            summary,
        };
        let (after, audit) = audited_change(invocation, "bedrock_key.register", &key, |key| {
            key.bedrock = settings.into();
            key.bedrock_key = Some((&binding.summary).into());
        })?;
        let mutation = self.access.mutation();
        let mutation = mutation.register_bedrock_key(&key, &binding, region.as_deref())?;
        match mutation.commit(&audit).await? {
            Written::Done => Ok(Outcome::BedrockKeySet {
                key_id,
                region: after.bedrock.region,
                bedrock_key: (&binding.summary).into(),
            }),
            Written::ConditionFailed => Err(AdminError::KeyRevoked(key_id)),
        }
    }

    pub(crate) async fn remove_bedrock_key(
        &self,
        key_id: KeyId,
        invocation: &Invocation,
    ) -> Result<Outcome, AdminError> {
        let key = self.stored_key(&key_id).await?;
        let (_, audit) = audited_change(invocation, "bedrock_key.remove", &key, |key| {
            key.bedrock_key = None;
        })?;
        let mutation = self.access.mutation().remove_bedrock_key(&key)?;
        match mutation.commit(&audit).await? {
            Written::Done => Ok(Outcome::BedrockKeyRemoved { key_id }),
            Written::ConditionFailed => Err(AdminError::NoRegisteredBedrockKey(key_id)),
        }
    }
}

/// The key after a change, and the audit record of the change.
fn audited_change(
    invocation: &Invocation,
    action: &'static str,
    key: &KeyPartition,
    change: impl FnOnce(&mut KeyView),
) -> Result<(KeyView, AuditRecord), AdminError> {
    let before = view(key);
    let mut after = before.clone();
    change(&mut after);
    let states = (Some(&before), Some(&after));
    let audit = audit_record(invocation, action, &key.record.key_id, states)?;
    Ok((after, audit))
}

fn view(key: &KeyPartition) -> KeyView {
    let summary = key.binding.as_ref().map(|binding| &binding.summary);
    KeyView::new(&key.record, summary)
}
