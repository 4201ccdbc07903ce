//! One symmetric KMS key, kept in a private file.
//!
//! A ciphertext is `header ‖ nonce ‖ AES-256-GCM(plaintext)`, where the header names its layout, the
//! key and the key's version. The authenticated data is the header and the sorted encryption context,
//! each part with its length, so that different contexts have different bytes. Errors are those of KMS
//! (<https://docs.aws.amazon.com/kms/latest/APIReference/API_Decrypt.html>).

use std::collections::BTreeMap;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::files::PrivateFile;
use super::protocol::{AwsError, AwsResponse, Blob, input};
use super::{KEY_ALIAS, LocalError, arn, epoch_seconds, now_ms};

/// The layout of a ciphertext; its first byte.
const LAYOUT: u8 = 1;

/// The maximum plaintext of `Encrypt`, in bytes.
const PLAINTEXT_LIMIT: usize = 4096;

const CANNOT_DRAW: &str = "no random bytes can be had";

/// The contents of `kms.json`.
#[derive(Serialize, Deserialize)]
struct KeyFile {
    key_id: String,
    created_ms: u64,
    /// Every version that may have encrypted something. The last one encrypts.
    versions: Vec<KeyVersion>,
}

#[derive(Serialize, Deserialize)]
struct KeyVersion {
    version: u32,
    material: Blob,
}

pub(super) struct Kms {
    key_id: String,
    created_ms: u64,
    versions: BTreeMap<u32, LessSafeKey>,
    random: SystemRandom,
}

impl std::fmt::Debug for Kms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kms")
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

type EncryptionContext = BTreeMap<String, String>;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EncryptInput {
    key_id: String,
    plaintext: Blob,
    #[serde(default)]
    encryption_context: EncryptionContext,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DecryptInput {
    key_id: Option<String>,
    ciphertext_blob: Blob,
    #[serde(default)]
    encryption_context: EncryptionContext,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GenerateDataKeyInput {
    key_id: String,
    key_spec: Option<String>,
    number_of_bytes: Option<usize>,
    #[serde(default)]
    encryption_context: EncryptionContext,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DescribeKeyInput {
    key_id: String,
}

impl Kms {
    /// Reads the key, or creates one and writes it before its first use.
    pub(super) fn open(file: &PrivateFile) -> Result<Self, LocalError> {
        let random = SystemRandom::new();
        let stored: KeyFile = if let Some(bytes) = file.read()? {
            serde_json::from_slice(&bytes)
                .map_err(|_| file.damaged("it is not the JSON of a KMS key"))?
        } else {
            let stored = KeyFile {
                key_id: new_key_id(&random).ok_or_else(|| file.damaged(CANNOT_DRAW))?,
                created_ms: now_ms(),
                versions: vec![KeyVersion {
                    version: 1,
                    material: Blob(draw(&random, 32).ok_or_else(|| file.damaged(CANNOT_DRAW))?),
                }],
            };
            let bytes = serde_json::to_vec(&stored)
                .map_err(|_| file.damaged("the new key cannot be written as JSON"))?;
            file.replace(&bytes)?;
            stored
        };
        let mut versions = BTreeMap::new();
        for KeyVersion { version, material } in &stored.versions {
            let key = UnboundKey::new(&AES_256_GCM, &material.0)
                .map_err(|_| file.damaged("a key version is not 32 bytes long"))?;
            versions.insert(*version, LessSafeKey::new(key));
        }
        if versions.is_empty() {
            return Err(file.damaged("it has no key version"));
        }
        Ok(Self {
            key_id: stored.key_id,
            created_ms: stored.created_ms,
            versions,
            random,
        })
    }

    pub(super) fn key_id(&self) -> &str {
        &self.key_id
    }

    pub(super) fn call(&self, operation: &str, body: &[u8]) -> AwsResponse {
        let answer = match operation {
            "Encrypt" => self.encrypt(body),
            "Decrypt" => self.decrypt(body),
            "GenerateDataKey" => self.generate_data_key(body),
            "DescribeKey" => self.describe_key(body),
            _ => return AwsResponse::unknown_operation(),
        };
        answer.unwrap_or_else(AwsResponse::from)
    }

    fn encrypt(&self, body: &[u8]) -> Result<AwsResponse, AwsError> {
        let input: EncryptInput = input(body)?;
        self.expect_key(&input.key_id)?;
        let length = input.plaintext.0.len();
        if length == 0 || length > PLAINTEXT_LIMIT {
            return Err(AwsError::new(
                "ValidationException",
                format!(
                    "1 validation error detected: Value at 'plaintext' failed to satisfy \
                         constraint: Member must have length between 1 and {PLAINTEXT_LIMIT}"
                ),
            ));
        }
        Ok(AwsResponse::ok(&json!({
            "CiphertextBlob": self.seal(&input.plaintext.0, &input.encryption_context)?,
            "EncryptionAlgorithm": "SYMMETRIC_DEFAULT",
            "KeyId": self.key_arn(),
        })))
    }

    fn decrypt(&self, body: &[u8]) -> Result<AwsResponse, AwsError> {
        let input: DecryptInput = input(body)?;
        if let Some(key_id) = &input.key_id {
            self.expect_key(key_id)?;
        }
        Ok(AwsResponse::ok(&json!({
            "EncryptionAlgorithm": "SYMMETRIC_DEFAULT",
            "KeyId": self.key_arn(),
            "Plaintext": self.unseal(&input.ciphertext_blob.0, &input.encryption_context)?,
        })))
    }

    fn generate_data_key(&self, body: &[u8]) -> Result<AwsResponse, AwsError> {
        let input: GenerateDataKeyInput = input(body)?;
        self.expect_key(&input.key_id)?;
        let length = match (input.key_spec.as_deref(), input.number_of_bytes) {
            (Some("AES_256"), None) => 32,
            (Some("AES_128"), None) => 16,
            (None, Some(length @ 1..=1024)) => length,
            _ => {
                return Err(AwsError::new(
                    "ValidationException",
                    "Please specify either number of bytes or key spec.",
                ));
            }
        };
        let plaintext = draw(&self.random, length)
            .ok_or_else(|| AwsError::internal("KMSInternalException", CANNOT_DRAW))?;
        Ok(AwsResponse::ok(&json!({
            "CiphertextBlob": self.seal(&plaintext, &input.encryption_context)?,
            "KeyId": self.key_arn(),
            "Plaintext": Blob(plaintext),
        })))
    }

    fn describe_key(&self, body: &[u8]) -> Result<AwsResponse, AwsError> {
        let input: DescribeKeyInput = input(body)?;
        self.expect_key(&input.key_id)?;
        Ok(AwsResponse::ok(&json!({ "KeyMetadata": {
            "AWSAccountId": super::ACCOUNT,
            "Arn": self.key_arn(),
            "CreationDate": epoch_seconds(self.created_ms),
            "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT",
            "Description": "Spillway on one machine",
            "Enabled": true,
            "EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"],
            "KeyId": self.key_id,
            "KeyManager": "CUSTOMER",
            "KeySpec": "SYMMETRIC_DEFAULT",
            "KeyState": "Enabled",
            "KeyUsage": "ENCRYPT_DECRYPT",
            "MultiRegion": false,
            "Origin": "AWS_KMS",
        }})))
    }

    fn key_arn(&self) -> String {
        arn("kms", &format!("key/{}", self.key_id))
    }

    /// A key may be named by its id, its alias, or the ARN of either.
    fn expect_key(&self, named: &str) -> Result<(), AwsError> {
        let known = named == self.key_id
            || named == KEY_ALIAS
            || named == self.key_arn()
            || named == arn("kms", KEY_ALIAS);
        if known {
            Ok(())
        } else {
            Err(AwsError::new(
                "NotFoundException",
                format!("Key '{named}' does not exist"),
            ))
        }
    }

    fn seal(&self, plaintext: &[u8], context: &EncryptionContext) -> Result<Blob, AwsError> {
        let fail = || AwsError::internal("KMSInternalException", "the key could not be used");
        let (version, key) = self.versions.last_key_value().ok_or_else(fail)?;
        let nonce: [u8; NONCE_LEN] = ring::rand::generate(&self.random)
            .map_err(|_| fail())?
            .expose();
        let mut blob = self.header(*version);
        let aad = Aad::from(authenticated(&blob, context));
        let mut sealed = plaintext.to_vec();
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut sealed)
            .map_err(|_| fail())?;
        blob.extend_from_slice(&nonce);
        blob.extend_from_slice(&sealed);
        Ok(Blob(blob))
    }

    /// KMS has one error for a wrong ciphertext and a wrong context.
    fn unseal(&self, blob: &[u8], context: &EncryptionContext) -> Result<Blob, AwsError> {
        let invalid = || AwsError::new("InvalidCiphertextException", "");
        let (version, key, rest) = self
            .versions
            .iter()
            .find_map(|(version, key)| {
                let rest = blob.strip_prefix(self.header(*version).as_slice())?;
                Some((*version, key, rest))
            })
            .ok_or_else(invalid)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>().ok_or_else(invalid)?;
        let aad = Aad::from(authenticated(&self.header(version), context));
        let mut opened = sealed.to_vec();
        let plaintext = key
            .open_in_place(Nonce::assume_unique_for_key(*nonce), aad, &mut opened)
            .map_err(|_| invalid())?
            .len();
        opened.truncate(plaintext);
        Ok(Blob(opened))
    }

    fn header(&self, version: u32) -> Vec<u8> {
        let mut header = vec![LAYOUT];
        append_with_length(&mut header, self.key_id.as_bytes());
        header.extend_from_slice(&version.to_be_bytes());
        header
    }
}

fn authenticated(header: &[u8], context: &EncryptionContext) -> Vec<u8> {
    let mut bytes = header.to_vec();
    for (name, value) in context {
        append_with_length(&mut bytes, name.as_bytes());
        append_with_length(&mut bytes, value.as_bytes());
    }
    bytes
}

fn append_with_length(bytes: &mut Vec<u8>, part: &[u8]) {
    let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(part);
}

fn draw(random: &SystemRandom, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    random.fill(&mut bytes).ok()?;
    Some(bytes)
}

/// A key id as KMS makes them: a random (version 4) UUID.
fn new_key_id(random: &SystemRandom) -> Option<String> {
    let bytes: [u8; 16] = ring::rand::generate(random).ok()?.expose();
    let number = u128::from_be_bytes(bytes);
    let number = number & !(0xf << 76) | (0x4 << 76);
    let number = number & !(0x3 << 62) | (0x2 << 62);
    let hex = format!("{number:032x}");
    let part = |range: std::ops::Range<usize>| hex.get(range);
    Some(
        [
            part(0..8)?,
            part(8..12)?,
            part(12..16)?,
            part(16..20)?,
            part(20..32)?,
        ]
        .join("-"),
    )
}
