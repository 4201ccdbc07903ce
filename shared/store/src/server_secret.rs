//! The server secret as an instance holds it: read when it starts, and again as versions come and go.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_secretsmanager::Client;
use domain::key::ServerSecret;
use domain::time::Timestamp;
use tokio::time::timeout;

use crate::secrets::{SecretError, server_secret};

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
        Arc::clone(&self.state().secret)
    }

    /// Reads the secret again when it is older than ten minutes.
    pub(crate) async fn refresh_when_old(&self, now: Timestamp) -> Arc<ServerSecret> {
        let is_old = !is_within(self.state().read_at, now, MAX_AGE);
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
        let before = self.state().read_at;
        self.refresh(now).await;
        let state = self.state();
        (state.read_at != before).then(|| Arc::clone(&state.secret))
    }

    /// One attempt a minute, of one request: the others go on with the versions that are there. When
    /// Secrets Manager does not answer, the versions stay as they are.
    async fn refresh(&self, now: Timestamp) {
        {
            let mut state = self.state();
            if is_within(state.tried_at, now, MIN_INTERVAL) {
                return;
            }
            state.tried_at = now;
        }
        let reading = server_secret(&self.client, &self.id);
        match timeout(READ_TIMEOUT, reading).await {
            Ok(Ok(secret)) => {
                let mut state = self.state();
                state.secret = Arc::new(secret);
                state.read_at = now;
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "the server secret cannot be read again");
            }
            Err(_) => tracing::warn!("reading the server secret again timed out"),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_within(at: Timestamp, now: Timestamp, time: Duration) -> bool {
    at <= now && now.since(at) < time
}
