//! What is kept in Secrets Manager: the server secret that hashes access keys, and the optional
//! default Plan key.

use std::collections::BTreeMap;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use domain::key::{ServerSecret, UnusableSecret};
use secrecy::SecretString;

use crate::code;

/// A secret could not be had.
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
