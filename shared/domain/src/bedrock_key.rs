//! The Bedrock API key: the bearer token a developer generated in Amazon Bedrock.
//!
//! Long-term keys begin with `ABSK`, short-term ones with `bedrock-api-key-`. A short-term key is
//! the base64 of a presigned URL, so it contains its region and end (AWS,
//! `aws/aws-bedrock-token-generator-python`, `aws_bedrock_token_generator/token_generator.py`).

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::time::Timestamp;

const LONG_TERM_PREFIX: &str = "ABSK";
const SHORT_TERM_PREFIX: &str = "bedrock-api-key-";
/// The number of characters of a long-term key's end that are shown.
const SHOWN_CHARS: usize = 4;
/// The number of bytes of a short-term key's SHA-256 that are shown.
const SHOWN_BYTES: usize = 3;

/// A Bedrock API key in full. It cannot be printed, serialised or compared; its memory is
/// overwritten when it is dropped.
#[derive(Clone)]
pub struct BedrockKey(SecretString);

/// The kind of a Bedrock API key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BedrockKeyKind {
    /// A key of an IAM user, valid until it is deleted or expires.
    LongTerm,
    /// A key of a session, valid for at most 12 hours and in one region.
    ShortTerm,
}

/// A text that cannot be a Bedrock API key. The error contains no part of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedBedrockKey {
    /// The text is empty.
    #[error("the Bedrock API key is empty")]
    Empty,
    /// The text begins with neither prefix.
    #[error(
        "this is not a Bedrock API key: long-term keys begin with `ABSK`, short-term keys with \
         `bedrock-api-key-`; IAM access keys and session tokens do not work here"
    )]
    Prefix,
    /// The text is too short or too long, or has characters that are invalid in a header.
    #[error(
        "the Bedrock API key is damaged: it must be 20 to 8192 visible ASCII characters in one line"
    )]
    Damaged,
}

impl BedrockKey {
    /// Reads a key as a person pastes it; surrounding white space is ignored.
    ///
    /// # Errors
    /// [`MalformedBedrockKey`], with advice and no part of the text.
    pub fn parse(text: &str) -> Result<Self, MalformedBedrockKey> {
        let text = text.trim();
        if text.is_empty() {
            return Err(MalformedBedrockKey::Empty);
        }
        if !text.starts_with(LONG_TERM_PREFIX) && !text.starts_with(SHORT_TERM_PREFIX) {
            return Err(MalformedBedrockKey::Prefix);
        }
        if !(20..=8192).contains(&text.len()) || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(MalformedBedrockKey::Damaged);
        }
        Ok(Self(SecretString::from(text)))
    }

    /// The key itself: for sealing it and for the `authorization` header to Bedrock.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// The kind of the key, from its prefix.
    pub fn kind(&self) -> BedrockKeyKind {
        if self.expose().starts_with(SHORT_TERM_PREFIX) {
            BedrockKeyKind::ShortTerm
        } else {
            BedrockKeyKind::LongTerm
        }
    }

    /// The part of the key that may be shown (requirement R4.6) and in which two keys differ: the prefix of the
    /// kind, and the last four characters of a long-term key or the first six digits of a short-term key's
    /// SHA-256. All long-term keys of an account have the same beginning, and all short-term keys the same end.
    pub fn masked(&self) -> String {
        match self.kind() {
            BedrockKeyKind::LongTerm => {
                let key = self.expose();
                let end = key.get(key.len().saturating_sub(SHOWN_CHARS)..);
                format!("{LONG_TERM_PREFIX}…{}", end.unwrap_or_default())
            }
            BedrockKeyKind::ShortTerm => {
                let digest = Sha256::digest(self.expose());
                let shown = digest.iter().take(SHOWN_BYTES);
                shown.fold(format!("{SHORT_TERM_PREFIX}…"), |mask, byte| {
                    format!("{mask}{byte:02x}")
                })
            }
        }
    }

    /// The region and end that a short-term key contains. `None` for long-term keys, and for a token of
    /// another form, which may still work.
    pub fn presigned(&self) -> Option<Presigned> {
        let encoded = self.expose().strip_prefix(SHORT_TERM_PREFIX)?;
        let url = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
        let query = url.split_once('?')?.1;
        let parameter = |name: &str| {
            query
                .split('&')
                .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
        };
        let credential = parameter("X-Amz-Credential")?.replace("%2F", "/");
        let region = credential
            .split('/')
            .nth(2)
            .filter(|region| !region.is_empty())?
            .to_owned();
        let signed_at = jiff::fmt::strtime::parse("%Y%m%dT%H%M%SZ", parameter("X-Amz-Date")?)
            .ok()?
            .to_datetime()
            .ok()?
            .to_zoned(jiff::tz::TimeZone::UTC)
            .ok()?
            .timestamp();
        let lifetime = parameter("X-Amz-Expires")?.parse().ok()?;
        let expires_at =
            Timestamp::from_millis(signed_at.as_millisecond()).plus(Duration::from_secs(lifetime));
        Some(Presigned { region, expires_at })
    }
}

impl fmt::Debug for BedrockKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("BedrockKey(…)")
    }
}

/// The region and end that a short-term key contains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presigned {
    /// The only region in which the key is valid.
    pub region: String,
    /// The latest time at which the key ends. The session behind it may end earlier.
    pub expires_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_bedrock_key_parse() {
        let long = BedrockKey::parse("  ABSKQmVkcm9ja0FQSUtleS1hYmNkLWF0LTEyMzQ6eA==\n").unwrap();
        assert_eq!(long.kind(), BedrockKeyKind::LongTerm);
        assert_eq!(long.masked(), "ABSK…eA==");
        assert_eq!(long.presigned(), None);
        let short = BedrockKey::parse("bedrock-api-key-bm90IGEgdXJs").unwrap();
        assert_eq!(short.kind(), BedrockKeyKind::ShortTerm);
        assert_eq!(short.masked(), "bedrock-api-key-…d540f8");
        assert_eq!(short.presigned(), None);
        assert_eq!(format!("{long:?} {short:?}"), "BedrockKey(…) BedrockKey(…)");
    }

    #[test]
    fn masks_of_two_keys_of_one_account_differ() {
        let begin = "ABSKQmVkcm9ja0FQSUtleS1hYmNkLWF0LTEyMzQ1Njc4OTAxMjpz";
        let masks: Vec<_> = [
            format!("{begin}ZWNyZXQtb25l"),
            format!("{begin}ZWNyZXQtdHdv"),
            "bedrock-api-key-YmVkcm9jay5vbmUmVmVyc2lvbj0x".to_owned(),
            "bedrock-api-key-YmVkcm9jay50d28mVmVyc2lvbj0x".to_owned(),
        ]
        .iter()
        .map(|key| BedrockKey::parse(key).unwrap().masked())
        .collect();
        for (at, mask) in masks.iter().enumerate() {
            assert!(!masks[at + 1..].contains(mask), "{masks:?}");
        }
    }

    #[test]
    fn short_term_key_contains_its_region_and_end() {
        let url = "bedrock.amazonaws.com/?Action=CallWithBearerToken\
                   &X-Amz-Algorithm=AWS4-HMAC-SHA256\
                   &X-Amz-Credential=AKIDEXAMPLE%2F20261121%2Feu-central-1%2Fbedrock%2Faws4_request\
                   &X-Amz-Date=20261121T030000Z&X-Amz-Expires=43200&X-Amz-Signature=00&Version=1";
        let key = BedrockKey::parse(&format!("bedrock-api-key-{}", STANDARD.encode(url))).unwrap();
        let presigned = key.presigned().unwrap();
        assert_eq!(presigned.region, "eu-central-1");
        assert_eq!(presigned.expires_at.to_string(), "2026-11-21T15:00:00Z");
    }

    #[test]
    fn malformed_bedrock_key_is_rejected_with_advice() {
        let cases = [
            ("", MalformedBedrockKey::Empty),
            ("AKIAIOSFODNN7EXAMPLE", MalformedBedrockKey::Prefix),
            ("sk-ant-oat01-aaaaaaaaaaaaaaaa", MalformedBedrockKey::Prefix),
            ("ABSKshort", MalformedBedrockKey::Damaged),
            (
                "ABSKaaaaaaaaaaaaaaaaaaaaaaaa bbbb",
                MalformedBedrockKey::Damaged,
            ),
            (
                "ABSKaaaaaaaaaaaaaaaaaaaaaaaa\nbbbb",
                MalformedBedrockKey::Damaged,
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(BedrockKey::parse(text).err(), Some(expected), "{text:?}");
        }
    }
}
