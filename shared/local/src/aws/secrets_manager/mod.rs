//! Secrets Manager, kept in a private file.
//!
//! Every change is on the disk before its response. Versions, staging labels and errors follow
//! the API reference (<https://docs.aws.amazon.com/secretsmanager/latest/apireference/>): a new
//! version takes `AWSCURRENT`, and the one that had it becomes `AWSPREVIOUS`.

mod vault;

use std::sync::Mutex;

use ring::rand::{SecureRandom as _, SystemRandom};
use serde::Deserialize;
use serde_json::{Value, json};

use super::files::{PrivateFile, lock};
use super::protocol::{AwsError, AwsResponse, Blob, input};
use super::{LocalError, arn, epoch_seconds, now_ms};
use vault::{CURRENT, Secret, SecretValue, Vault, Version};

/// The maximum number of secrets in a page of `ListSecrets`.
const PAGE: usize = 100;

/// The maximum length of a secret value, in bytes.
const VALUE_LIMIT: usize = 65_536;

pub(super) struct SecretsManager {
    file: PrivateFile,
    vault: Mutex<Vault>,
}

impl std::fmt::Debug for SecretsManager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretsManager").finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CreateSecretInput {
    name: String,
    client_request_token: Option<String>,
    description: Option<String>,
    secret_string: Option<String>,
    secret_binary: Option<Blob>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetSecretValueInput {
    secret_id: String,
    version_id: Option<String>,
    version_stage: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutSecretValueInput {
    secret_id: String,
    client_request_token: Option<String>,
    secret_string: Option<String>,
    secret_binary: Option<Blob>,
    version_stages: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DescribeSecretInput {
    secret_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct UpdateSecretVersionStageInput {
    secret_id: String,
    version_stage: String,
    remove_from_version_id: Option<String>,
    move_to_version_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListSecretsInput {
    max_results: Option<usize>,
    next_token: Option<String>,
    #[serde(default)]
    filters: Vec<Filter>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Filter {
    key: String,
    #[serde(default)]
    values: Vec<String>,
}

impl SecretsManager {
    /// Reads the secrets; a first open writes an empty file.
    pub(super) fn open(file: PrivateFile) -> Result<Self, LocalError> {
        let vault = if let Some(bytes) = file.read()? {
            serde_json::from_slice(&bytes)
                .map_err(|_| file.damaged("it is not the JSON of a set of secrets"))?
        } else {
            file.replace(br#"{"secrets":{}}"#)?;
            Vault::default()
        };
        Ok(Self {
            file,
            vault: Mutex::new(vault),
        })
    }

    pub(super) fn call(&self, operation: &str, body: &[u8]) -> AwsResponse {
        let answer = match operation {
            "CreateSecret" => self.create_secret(body),
            "GetSecretValue" => self.secret_value(body),
            "PutSecretValue" => self.put_secret_value(body),
            "DescribeSecret" => self.describe_secret(body),
            "UpdateSecretVersionStage" => self.update_secret_version_stage(body),
            "ListSecrets" => self.list_secrets(body),
            _ => return AwsResponse::unknown_operation(),
        };
        answer.unwrap_or_else(AwsResponse::from)
    }

    fn create_secret(&self, body: &[u8]) -> Result<AwsResponse, AwsError> {
        let input: CreateSecretInput = input(body)?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || "/_+=.@-".contains(c);
        if input.name.is_empty() || input.name.len() > 512 || !input.name.chars().all(allowed) {
            return Err(AwsError::new(
                "ValidationException",
                "Invalid name. Must be a valid name containing alphanumeric characters, or any of \
                 the following: -/_+=.@!",
            ));
        }
        let value = one_value(input.secret_string, input.secret_binary)?;
        self.change(|vault| {
            if let Some(existing) = vault.secrets.get(&input.name) {
                // A repeated call, with the same token, gets the response of the first one.
                let again = existing.versions.iter().find(|version| {
                    Some(&version.id) == input.client_request_token.as_ref()
                        && Some(&version.value) == value.as_ref()
                });
                return match again {
                    Some(version) => Ok(json!({
                        "ARN": existing.arn, "Name": input.name, "VersionId": version.id,
                    })),
                    None => Err(AwsError::new(
                        "ResourceExistsException",
                        format!(
                            "The operation failed because the secret {} already exists.",
                            input.name
                        ),
                    )),
                };
            }
            let now = now_ms();
            let mut secret = Secret {
                arn: arn(
                    "secretsmanager",
                    &format!("secret:{}-{}", input.name, suffix()?),
                ),
                description: input.description,
                created_ms: now,
                changed_ms: now,
                versions: Vec::new(),
            };
            let version_id = match value {
                Some(value) => {
                    let id = token(input.client_request_token)?;
                    secret.add(&id, value, &[CURRENT.to_owned()]);
                    Some(id)
                }
                None => None,
            };
            let mut answer = json!({ "ARN": secret.arn, "Name": input.name });
            insert(&mut answer, "VersionId", version_id.map(Value::from));
            vault.secrets.insert(input.name, secret);
            Ok(answer)
        })
    }

    fn secret_value(&self, body: &[u8]) -> Result<AwsResponse, AwsError> {
        let input: GetSecretValueInput = input(body)?;
        let vault = lock(&self.vault);
        let (name, secret) = vault.find(&input.secret_id)?;
        let stage = match (&input.version_id, &input.version_stage) {
            (None, None) => Some(CURRENT),
            (_, stage) => stage.as_deref(),
        };
        let by_id =
            |version: &&Version| input.version_id.as_ref().is_none_or(|id| version.id == *id);
        let by_stage = |version: &&Version| {
            stage.is_none_or(|stage| version.stages.iter().any(|s| s == stage))
        };
        let Some(version) = secret.versions.iter().filter(by_id).find(by_stage) else {
            if stage.is_some()
                && input.version_id.is_some()
                && secret.versions.iter().any(|v| by_id(&v))
            {
                return Err(AwsError::new(
                    "InvalidRequestException",
                    "You provided a VersionStage that is not associated to the provided VersionId.",
                ));
            }
            let wanted = match (&input.version_id, stage) {
                (Some(id), _) => format!("VersionId: {id}"),
                (None, stage) => format!("staging label: {}", stage.unwrap_or(CURRENT)),
            };
            return Err(AwsError::new(
                "ResourceNotFoundException",
                format!("Secrets Manager can't find the specified secret value for {wanted}"),
            ));
        };
        let mut answer = json!({
            "ARN": secret.arn,
            "CreatedDate": epoch_seconds(version.created_ms),
            "Name": name,
            "VersionId": version.id,
            "VersionStages": version.stages,
        });
        match &version.value {
            SecretValue::Text(text) => insert(&mut answer, "SecretString", Some(json!(text))),
            SecretValue::Binary(bytes) => insert(&mut answer, "SecretBinary", Some(json!(bytes))),
        }
        Ok(AwsResponse::ok(&answer))
    }

    fn put_secret_value(&self, body: &[u8]) -> Result<AwsResponse, AwsError> {
        let input: PutSecretValueInput = input(body)?;
        let Some(value) = one_value(input.secret_string, input.secret_binary)? else {
            return Err(AwsError::new(
                "InvalidRequestException",
                "You must provide either SecretString or SecretBinary.",
            ));
        };
        let id = token(input.client_request_token)?;
        let stages = input
            .version_stages
            .unwrap_or_else(|| vec![CURRENT.to_owned()]);
        if stages.is_empty() || stages.len() > 20 {
            return Err(AwsError::new(
                "InvalidParameterException",
                "A version has between 1 and 20 staging labels.",
            ));
        }
        self.change(|vault| {
            let (name, secret) = vault.find_mut(&input.secret_id)?;
            match secret.versions.iter().find(|version| version.id == id) {
                Some(existing) if existing.value != value => {
                    return Err(AwsError::new(
                        "ResourceExistsException",
                        "You can't use ClientRequestToken again for another secret value.",
                    ));
                }
                Some(_) => {}
                None => secret.add(&id, value, &stages),
            }
            let stages = secret.version(&id).map(|version| version.stages.clone());
            Ok(json!({
                "ARN": secret.arn, "Name": name, "VersionId": id, "VersionStages": stages,
            }))
        })
    }

    fn describe_secret(&self, body: &[u8]) -> Result<AwsResponse, AwsError> {
        let input: DescribeSecretInput = input(body)?;
        let vault = lock(&self.vault);
        let (name, secret) = vault.find(&input.secret_id)?;
        let mut answer = secret.summary(name);
        insert(&mut answer, "VersionIdsToStages", Some(secret.labelled()));
        Ok(AwsResponse::ok(&answer))
    }

    fn update_secret_version_stage(&self, body: &[u8]) -> Result<AwsResponse, AwsError> {
        let input: UpdateSecretVersionStageInput = input(body)?;
        self.change(|vault| {
            let (name, secret) = vault.find_mut(&input.secret_id)?;
            for id in [&input.remove_from_version_id, &input.move_to_version_id]
                .into_iter()
                .flatten()
            {
                if secret.version(id).is_none() {
                    return Err(AwsError::new(
                        "ResourceNotFoundException",
                        format!("Secrets Manager can't find the specified secret version: {id}."),
                    ));
                }
            }
            let holder = secret.holder(&input.version_stage);
            if holder != input.remove_from_version_id && holder != input.move_to_version_id {
                return Err(AwsError::new(
                    "InvalidParameterException",
                    format!(
                        "The staging label {} is on another version; name that one in \
                         RemoveFromVersionId.",
                        input.version_stage
                    ),
                ));
            }
            match &input.move_to_version_id {
                Some(id) => secret.label(&input.version_stage, id),
                None if input.version_stage == CURRENT => {
                    return Err(AwsError::new(
                        "InvalidParameterException",
                        "You can only move staging label AWSCURRENT to a different secret version. \
                         It can't be completely removed.",
                    ));
                }
                None => secret.unlabel(&input.version_stage),
            }
            secret.changed_ms = now_ms();
            Ok(json!({ "ARN": secret.arn, "Name": name }))
        })
    }

    fn list_secrets(&self, body: &[u8]) -> Result<AwsResponse, AwsError> {
        let input: ListSecretsInput = input(body)?;
        if let Some(filter) = input.filters.iter().find(|filter| filter.key != "name") {
            return Err(AwsError::new(
                "InvalidParameterException",
                format!(
                    "secrets can be filtered by name only here, not by {}",
                    filter.key
                ),
            ));
        }
        let page = input.max_results.unwrap_or(PAGE).clamp(1, PAGE);
        let vault = lock(&self.vault);
        // The token is the name of the last secret of the page, so pages stay correct when secrets change.
        let after = input.next_token.unwrap_or_default();
        let mut matching = vault.secrets.iter().filter(|(name, _)| {
            **name > after
                && input.filters.iter().all(|filter| {
                    filter
                        .values
                        .iter()
                        .any(|prefix| name.starts_with(prefix.as_str()))
                })
        });
        let given: Vec<_> = matching.by_ref().take(page).collect();
        let mut answer = json!({
            "SecretList": given
                .iter()
                .map(|(name, secret)| {
                    let mut entry = secret.summary(name);
                    insert(&mut entry, "SecretVersionsToStages", Some(secret.labelled()));
                    entry
                })
                .collect::<Vec<_>>(),
        });
        let more = matching.next().is_some();
        let next = given.last().filter(|_| more).map(|(name, _)| json!(name));
        insert(&mut answer, "NextToken", next);
        Ok(AwsResponse::ok(&answer))
    }

    /// Changes a copy, writes it to the file, and only then replaces the secrets with it.
    fn change(
        &self,
        change: impl FnOnce(&mut Vault) -> Result<Value, AwsError>,
    ) -> Result<AwsResponse, AwsError> {
        let fail = |reason: String| AwsError::internal("InternalServiceError", reason);
        let mut vault = lock(&self.vault);
        let mut changed = vault.clone();
        let answer = change(&mut changed)?;
        let bytes = serde_json::to_vec(&changed).map_err(|error| fail(error.to_string()))?;
        self.file
            .replace(&bytes)
            .map_err(|error| fail(error.to_string()))?;
        *vault = changed;
        Ok(AwsResponse::ok(&answer))
    }
}

fn insert(object: &mut Value, name: &str, value: Option<Value>) {
    if let (Some(object), Some(value)) = (object.as_object_mut(), value) {
        object.insert(name.to_owned(), value);
    }
}

fn one_value(text: Option<String>, binary: Option<Blob>) -> Result<Option<SecretValue>, AwsError> {
    let value = match (text, binary) {
        (Some(_), Some(_)) => {
            return Err(AwsError::new(
                "InvalidParameterException",
                "You can't specify both a binary secret value and a string secret value in the \
                 same secret.",
            ));
        }
        (Some(text), None) => SecretValue::Text(text),
        (None, Some(bytes)) => SecretValue::Binary(bytes),
        (None, None) => return Ok(None),
    };
    let length = match &value {
        SecretValue::Text(text) => text.len(),
        SecretValue::Binary(bytes) => bytes.0.len(),
    };
    if length == 0 || length > VALUE_LIMIT {
        return Err(AwsError::new(
            "ValidationException",
            format!("A secret value has between 1 and {VALUE_LIMIT} bytes."),
        ));
    }
    Ok(Some(value))
}

/// The id of a new version: the caller's token (32 to 64 characters), or a random one.
fn token(given: Option<String>) -> Result<String, AwsError> {
    match given {
        Some(token) if (32..=64).contains(&token.len()) => Ok(token),
        Some(_) => Err(AwsError::new(
            "InvalidParameterException",
            "ClientRequestToken must have between 32 and 64 characters.",
        )),
        None => random_characters(32),
    }
}

/// The six characters at the end of a secret's ARN.
fn suffix() -> Result<String, AwsError> {
    random_characters(6)
}

fn random_characters(count: usize) -> Result<String, AwsError> {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnopqrstuvwxyz2345678";
    let mut bytes = vec![0; count];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| AwsError::internal("InternalServiceError", "no random bytes can be had"))?;
    // 256 is a multiple of 32, so all characters have the same probability.
    let pick = |byte: u8| {
        ALPHABET
            .get(usize::from(byte % 32))
            .copied()
            .map(char::from)
    };
    Ok(bytes.into_iter().filter_map(pick).collect())
}
