//! The first user with the first access key, which a start finds or creates, and the Bedrock API key from the
//! environment.

use admin::{Admin, Command, IssuedKey, KeyView, NewUser, Outcome, Settings, check_bedrock_key};
use anyhow::{Context as _, bail};
use domain::bedrock_key::BedrockKey;
use domain::grant::KeyStatus;
use domain::id::{KeyId, UserId};
use domain::region::check_region;
use domain::time::Timestamp;
use simulators::bedrock::DEMO_BEDROCK_API_KEY;

use crate::environment::{self, BEDROCK_API_KEY};
use crate::folder::Folder;
use crate::local_stack::LocalStack;

/// The values from the environment or the demo. An `Err` has the reason why a value cannot be used.
pub(crate) struct Offered {
    bedrock_key: Option<Result<BedrockKey, String>>,
    region: Option<Result<String, String>>,
    is_demo: bool,
}

impl Offered {
    /// The values of the demo; the environment is not read.
    pub(crate) fn from_demo() -> anyhow::Result<Self> {
        Ok(Self {
            bedrock_key: Some(Ok(BedrockKey::parse(DEMO_BEDROCK_API_KEY)?)),
            region: None,
            is_demo: true,
        })
    }

    /// The values of the environment, checked without calls of AWS.
    pub(crate) fn from_environment(now: Timestamp) -> Self {
        let bedrock_key = environment::bedrock_api_key().map(|text| {
            let key = BedrockKey::parse(&text).map_err(|error| error.to_string())?;
            match check_bedrock_key(&key, None, now) {
                Ok(_) => Ok(key),
                Err(error) => Err(error.to_string()),
            }
        });
        let bedrock_key = bedrock_key
            .map(|key| key.map_err(|error: String| format!("{BEDROCK_API_KEY}: {error}")));
        let region = environment::region().map(|(name, region)| match check_region(&region) {
            Ok(()) => Ok(region),
            Err(error) => Err(format!("{name}: {error}")),
        });
        Self {
            bedrock_key,
            region,
            is_demo: false,
        }
    }

    /// Checks that all values can be used, as a first start does.
    ///
    /// # Errors
    /// A sentence with the reason.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let wrong = |error: &String| anyhow::anyhow!("{error}");
        if let Some(Err(error)) = &self.bedrock_key {
            return Err(wrong(error));
        }
        match &self.region {
            Some(Err(error)) => Err(wrong(error)),
            Some(Ok(_)) | None => Ok(()),
        }
    }
}

/// The keys that a start found or created.
pub(crate) struct Found {
    /// The key that was issued now, in full for the only time.
    pub(crate) issued: Option<IssuedKey>,
    /// The active key, when there is exactly one.
    pub(crate) only: Option<KeyView>,
    /// Sentences for the person who starts Spillway.
    pub(crate) notices: Vec<String>,
}

/// Creates the first user and key where there is none, and registers the offered Bedrock API key where
/// that replaces none. `folder` is `None` when data is kept in memory only.
///
/// # Errors
/// When an offered value is needed and cannot be used, or the table fails. Nothing was created then.
pub(crate) async fn find_or_create(
    stack: &LocalStack,
    offered: Offered,
    folder: Option<&Folder>,
) -> anyhow::Result<Found> {
    let (admin, now) = (stack.admin(), stack.clock().now());
    let active = active_keys(admin, now).await?;
    let mut notices = Vec::new();
    let mut issued = None;
    if active.is_empty()
        && let Some(user) = user_without_key(admin, now).await?
    {
        offered.check()?;
        let region = offered
            .region
            .as_ref()
            .and_then(|region| region.clone().ok());
        issued = Some(first_key(admin, user, region, now).await?);
    } else if let Some(Err(error)) = &offered.region {
        notices.push(format!("{error}. It is not used: each key has its region."));
    }
    let active = active_keys(admin, now).await?;
    let count = active.len();
    let mut only = match <[KeyView; 1]>::try_from(active) {
        Ok([only]) => Some(only),
        Err(_) => None,
    };
    match (offered.bedrock_key, &only) {
        (None, _) => {}
        (Some(_), None) if offered.is_demo => {}
        (Some(_), None) => notices.push(format!(
            "{BEDROCK_API_KEY} was not registered: there are {count} access keys, and it belongs to one \
             of them.{}",
            paste(folder, "KEY_ID")
        )),
        (Some(offered_key), Some(key)) => {
            let outcome = register(admin, key, offered_key, offered.is_demo, folder, now).await;
            let notice = match outcome {
                Ok(notice) => notice,
                // The key that was just issued must be shown all the same.
                Err(error) if issued.is_some() => Some(format!(
                    "{BEDROCK_API_KEY} was not registered: {error:#}.{}",
                    paste(folder, key.key_id.as_str())
                )),
                Err(error) => return Err(error),
            };
            notices.extend(notice);
            only = active_keys(admin, now).await?.pop();
        }
    }
    Ok(Found {
        issued,
        only,
        notices,
    })
}

/// Registers an offered Bedrock API key for an access key that has none, or whose Bedrock API key has expired.
/// Returns a notice when it was not registered, or replaced another one.
async fn register(
    admin: &Admin,
    key: &KeyView,
    offered: Result<BedrockKey, String>,
    is_demo: bool,
    folder: Option<&Folder>,
    now: Timestamp,
) -> anyhow::Result<Option<String>> {
    let key_id = &key.key_id;
    let offered = match (offered, &key.bedrock_key) {
        (Ok(offered), _) => offered,
        (Err(error), None) => bail!("{error}"),
        (Err(error), Some(registered)) => {
            return Ok(Some(format!(
                "{error}. It is not used: {} is registered.",
                registered.bedrock_key_masked
            )));
        }
    };
    let mut notice = None;
    if let Some(registered) = &key.bedrock_key {
        if is_demo || admin.is_registered(key_id, &offered).await? {
            return Ok(None);
        }
        let (old, new) = (&registered.bedrock_key_masked, offered.masked());
        match registered.bedrock_key_expires_at.filter(|end| end.0 <= now) {
            None => {
                return Ok(Some(format!(
                    "{BEDROCK_API_KEY} holds another key ({new}) than the registered one ({old}), which \
                     stays in use.{}",
                    paste(folder, key_id.as_str())
                )));
            }
            Some(end) => {
                notice = Some(format!(
                    "The registered Bedrock API key ({old}) expired at {end}; the one of \
                     {BEDROCK_API_KEY} ({new}) replaces it."
                ));
            }
        }
    }
    let set = Command::SetBedrockKey {
        key_id: key_id.clone(),
        region: None,
    };
    admin
        .execute(set, Some(offered), now)
        .await
        .context(BEDROCK_API_KEY)?;
    Ok(notice)
}

/// The shell command that registers the environment's Bedrock API key.
fn paste(folder: Option<&Folder>, key_id: &str) -> String {
    folder.map_or_else(String::new, |folder| {
        let set = folder.command(&format!("bedrock-key set {key_id}"));
        format!(" To register it: printenv {BEDROCK_API_KEY} | {set}")
    })
}

/// The user who gets the first key: a new one when there is no user, or the only one. A start that was
/// interrupted, or could not show the key, leaves such a user.
async fn user_without_key(admin: &Admin, now: Timestamp) -> anyhow::Result<Option<FirstUser>> {
    let Outcome::Users { users } = admin.execute(Command::ListUsers, None, now).await? else {
        bail!("users cannot be listed");
    };
    Ok(match users.as_slice() {
        [] => Some(FirstUser::New),
        [only] => Some(FirstUser::Existing(only.user_id.clone())),
        _ => None,
    })
}

enum FirstUser {
    New,
    Existing(UserId),
}

async fn first_key(
    admin: &Admin,
    user: FirstUser,
    region: Option<String>,
    now: Timestamp,
) -> anyhow::Result<IssuedKey> {
    let user_id = match user {
        FirstUser::Existing(id) => id,
        FirstUser::New => {
            let new = NewUser {
                name: "me".to_owned(),
                settings: Settings {
                    region,
                    ..Settings::default()
                },
                ..NewUser::default()
            };
            match admin.execute(Command::CreateUser(new), None, now).await? {
                Outcome::UserCreated(user) => user.user_id,
                _ => bail!("the first user was not created"),
            }
        }
    };
    let issue = Command::IssueKey {
        user_id,
        settings: Settings::default(),
    };
    match admin.execute(issue, None, now).await? {
        Outcome::KeyIssued(issued) => Ok(issued),
        _ => bail!("the first key was not issued"),
    }
}

/// Revokes a key that could not be shown: it is not stored and cannot be shown again.
pub(crate) async fn revoke(stack: &LocalStack, key_id: KeyId) -> anyhow::Result<()> {
    let revoke = Command::RevokeKey { key_id };
    let now = stack.clock().now();
    stack.admin().execute(revoke, None, now).await?;
    Ok(())
}

async fn active_keys(admin: &Admin, now: Timestamp) -> anyhow::Result<Vec<KeyView>> {
    let all = Command::ListKeys { user_id: None };
    let Outcome::Keys { mut keys } = admin.execute(all, None, now).await? else {
        bail!("access keys cannot be listed");
    };
    keys.retain(|key| key.status == KeyStatus::Active);
    Ok(keys)
}
