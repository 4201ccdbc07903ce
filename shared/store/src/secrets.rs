//! The secrets in Secrets Manager: the server secret that hashes access keys, which an instance reads when
//! it starts and again as versions come and go, and the optional default Plan key.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use domain::key::{ServerSecret, UnusableSecret};
use domain::time::Timestamp;
use secrecy::SecretString;
use service::lock;
use tokio::time::timeout;

use crate::code;

/// A secret could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Secrets Manager could not be reached or refused.
    #[error("Secrets Manager {operation} failed ({code})")]
    Unavailable {
        /// The operation, such as `GetSecretValue`.
        operation: &'static str,
        /// The error code, or the kind of transport failure.
        code: String,
    },
    /// There is no secret of this name.
    #[error("there is no secret `{0}` in Secrets Manager")]
    Missing(String),
    /// The server secret is not a JSON object of versions.
    #[error(
        "the secret `{0}` must be a JSON object such as {{\"v1\": \"…\"}}: version names `v1`, `v2`, … \
         and random strings of at least 32 characters"
    )]
    Malformed(String),
    /// The server secret has no strong version.
    #[error(transparent)]
    Unusable(#[from] UnusableSecret),
}

/// Reads the server secret: a JSON object `{"v1": "…", "v2": "…"}` of random strings, the highest
/// version being the current one. `AWS::SecretsManager::Secret` can generate it.
///
/// # Errors
/// [`SecretError`].
pub async fn server_secret(client: &Client, id: &str) -> Result<ServerSecret, SecretError> {
    let text = value(client, id).await?;
    let malformed = || SecretError::Malformed(id.to_owned());
    let versions: BTreeMap<String, String> =
        serde_json::from_str(secrecy::ExposeSecret::expose_secret(&text))
            .map_err(|_| malformed())?;
    let versions = versions
        .into_iter()
        .map(|(name, secret)| {
            let number = name
                .strip_prefix('v')
                .and_then(|number| number.parse().ok());
            number
                .map(|number: u32| (number, secret.into_bytes()))
                .ok_or_else(malformed)
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(ServerSecret::new(versions)?)
}

/// Reads a secret that is one text, such as a default Plan key.
///
/// # Errors
/// [`SecretError`].
pub async fn value(client: &Client, id: &str) -> Result<SecretString, SecretError> {
    let answer = client
        .get_secret_value()
        .secret_id(id)
        .send()
        .await
        .map_err(|error| match error.as_service_error() {
            Some(GetSecretValueError::ResourceNotFoundException(_)) => {
                SecretError::Missing(id.to_owned())
            }
            _ => SecretError::Unavailable {
                operation: "GetSecretValue",
                code: code(&error),
            },
        })?;
    let text = answer
        .secret_string
        .ok_or_else(|| SecretError::Malformed(id.to_owned()))?;
    Ok(SecretString::from(text))
}

/// Creates the server secret with one version made of `random` and returns it; when there is one
/// already, that one is returned.
///
/// # Errors
/// [`SecretError`].
pub async fn ensure_server_secret(
    client: &Client,
    id: &str,
    random: &[u8; 32],
) -> Result<ServerSecret, SecretError> {
    match server_secret(client, id).await {
        Err(SecretError::Missing(_)) => {}
        outcome => return outcome,
    }
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD_NO_PAD, random);
    let body = serde_json::json!({ "v1": encoded }).to_string();
    match client
        .create_secret()
        .name(id)
        .secret_string(body)
        .send()
        .await
    {
        Ok(_) => server_secret(client, id).await,
        Err(error) if code(&error) == "ResourceExistsException" => server_secret(client, id).await,
        Err(error) => Err(SecretError::Unavailable {
            operation: "CreateSecret",
            code: code(&error),
        }),
    }
}

/// The secret is read again when a key is to be read and the secret is older than this: a version that
/// was removed stops within this time and the lifetime of a cached key together.
const MAX_AGE: Duration = Duration::from_mins(10);

/// For an unknown key the secret is read again at most this often: a new version works within this
/// time of its first use.
const MIN_INTERVAL: Duration = Duration::from_mins(1);

/// The longest time that a request waits for Secrets Manager.
const READ_TIMEOUT: Duration = Duration::from_secs(1);

/// The server secret of one instance.
#[derive(Debug)]
pub struct CachedServerSecret {
    client: Client,
    id: String,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    secret: Arc<ServerSecret>,
    read_at: Timestamp,
    /// The last attempt, whether or not it succeeded.
    tried_at: Timestamp,
}

impl CachedServerSecret {
    /// Reads the secret of this name for the first time.
    ///
    /// # Errors
    /// [`SecretError`].
    pub async fn read(
        client: Client,
        id: impl Into<String>,
        now: Timestamp,
    ) -> Result<Self, SecretError> {
        let id = id.into();
        let secret = server_secret(&client, &id).await?;
        Ok(Self {
            client,
            id,
            state: Mutex::new(State {
                secret: Arc::new(secret),
                read_at: now,
                tried_at: now,
            }),
        })
    }

    /// The versions as they were read last.
    pub fn current(&self) -> Arc<ServerSecret> {
        Arc::clone(&lock(&self.state).secret)
    }

    /// Reads the secret again when it is older than ten minutes.
    pub(crate) async fn refresh_when_old(&self, now: Timestamp) -> Arc<ServerSecret> {
        let is_old = !lock(&self.state).read_at.is_fresh(now, MAX_AGE);
        if is_old {
            self.refresh(now).await;
        }
        self.current()
    }

    /// Reads the secret again for a key that is not found under the current versions. `None` when that
    /// was tried within the last minute, or brought nothing newer.
    pub(crate) async fn refresh_for_unknown_key(
        &self,
        now: Timestamp,
    ) -> Option<Arc<ServerSecret>> {
        let before = lock(&self.state).read_at;
        self.refresh(now).await;
        let state = lock(&self.state);
        (state.read_at != before).then(|| Arc::clone(&state.secret))
    }

    /// One attempt a minute, of one request: the others go on with the versions that are there. When
    /// Secrets Manager does not answer, the versions stay as they are.
    async fn refresh(&self, now: Timestamp) {
        {
            let mut state = lock(&self.state);
            if state.tried_at.is_fresh(now, MIN_INTERVAL) {
                return;
            }
            state.tried_at = now;
        }
        let reading = server_secret(&self.client, &self.id);
        match timeout(READ_TIMEOUT, reading).await {
            Ok(Ok(secret)) => {
                let mut state = lock(&self.state);
                state.secret = Arc::new(secret);
                state.read_at = now;
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "the server secret cannot be read again");
            }
            Err(_) => tracing::warn!("reading the server secret again timed out"),
        }
    }
}
