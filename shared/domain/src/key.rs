//! The access key: the secret in the URL that identifies a user and their policy.
//!
//! ```text
//! ak_ ‖ base64url( 32 random bytes ‖ first 4 bytes of SHA-256("spillway access key" ‖ random) )
//! └3┘   └──────────────────────── 48 characters, no padding ────────────────────────────────┘
//! ```
//!
//! The checksum makes it possible to reject a typo or a cut-off key without a read of the table (requirement
//! R1.4). It proves nothing: only the table has the keys that exist. The table stores an HMAC-SHA-256 of
//! the key under a server secret, so a copy of the table is of no use for calling Spillway.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretBox, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// The prefix of every access key. It must never change: secret scanners, the offline check and the keys
/// already issued use it.
pub const ACCESS_KEY_PREFIX: &str = "ak_";

const RANDOM_BYTES: usize = 32;
const CHECKSUM_BYTES: usize = 4;
const ENCODED_CHARS: usize = (RANDOM_BYTES + CHECKSUM_BYTES) * 4 / 3;
const SHOWN_CHARS: usize = 8;

/// An access key in full. It cannot be printed, serialised, cloned or compared; its memory is
/// overwritten when it is dropped.
pub struct AccessKey(SecretString);

/// A text that is not an access key. The error contains no part of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed access key")]
pub struct MalformedKey;

impl AccessKey {
    /// Makes a key from fresh entropy, which the caller takes from the operating system.
    pub fn from_entropy(random: &[u8; RANDOM_BYTES]) -> Self {
        let mut bytes = [0; RANDOM_BYTES + CHECKSUM_BYTES];
        let (body, tail) = bytes.split_at_mut(RANDOM_BYTES);
        body.copy_from_slice(random);
        tail.copy_from_slice(&checksum(random));
        let text = format!("{ACCESS_KEY_PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
        Self(SecretString::from(text))
    }

    /// Reads a key as a client sent it. Checks prefix, length, alphabet and checksum, and needs
    /// no table for it.
    ///
    /// # Errors
    /// [`MalformedKey`] for anything that was never issued by [`AccessKey::from_entropy`].
    pub fn parse(text: &str) -> Result<Self, MalformedKey> {
        let encoded = text.strip_prefix(ACCESS_KEY_PREFIX).ok_or(MalformedKey)?;
        if encoded.len() != ENCODED_CHARS {
            return Err(MalformedKey);
        }
        let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| MalformedKey)?;
        let (random, tail) = bytes.split_at_checked(RANDOM_BYTES).ok_or(MalformedKey)?;
        if bool::from(checksum(random).ct_eq(tail)) {
            Ok(Self(SecretString::from(text)))
        } else {
            Err(MalformedKey)
        }
    }

    /// The key itself. Only for the one response that returns it to its owner.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// The part of the key that may be shown later: `ak_1a2B3c4D…` (requirement R4.6).
    pub fn masked(&self) -> MaskedKey {
        let shown = self
            .expose()
            .chars()
            .take(ACCESS_KEY_PREFIX.len() + SHOWN_CHARS)
            .collect();
        MaskedKey(shown)
    }
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("AccessKey(…)")
    }
}

fn checksum(random: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let digest = Sha256::new()
        .chain_update(b"spillway access key")
        .chain_update(random)
        .finalize();
    let mut checksum = [0; CHECKSUM_BYTES];
    for (byte, digested) in checksum.iter_mut().zip(digest) {
        *byte = digested;
    }
    checksum
}

/// The beginning of a key, by which people recognise it. Displays with a trailing `…`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MaskedKey(String);

impl fmt::Display for MaskedKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}…", self.0)
    }
}

/// The form in which a key is stored and looked up: HMAC-SHA-256 under one version of the server
/// secret. Being a keyed hash it may be compared and sorted like any value.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct KeyHash {
    version: u32,
    mac: [u8; 32],
}

impl fmt::Display for KeyHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut hexadecimal = [0; 64];
        for (digits, byte) in hexadecimal.chunks_exact_mut(2).zip(self.mac) {
            digits.copy_from_slice(&[hexadecimal_digit(byte >> 4), hexadecimal_digit(byte & 15)]);
        }
        write!(formatter, "v{}.", self.version)?;
        formatter.write_str(std::str::from_utf8(&hexadecimal).map_err(|_| fmt::Error)?)
    }
}

/// The digit of a number below 16. A hash is formatted for every read, and `{:02x}` is slow.
fn hexadecimal_digit(number: u8) -> u8 {
    match number {
        0..10 => b'0' + number,
        _ => b'a' + number - 10,
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "KeyHash(v{}.…)", self.version)
    }
}

/// The secret under which keys are hashed, in all versions that still have keys.
#[derive(Debug)]
pub struct ServerSecret {
    versions: Vec<SecretVersion>,
}

#[derive(Debug)]
struct SecretVersion {
    number: u32,
    bytes: SecretBox<[u8]>,
}

/// A server secret that must not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnusableSecret {
    /// The secret has no version.
    #[error("the server secret has no version")]
    Empty,
    /// A version has less than 32 bytes.
    #[error("version {0} of the server secret is shorter than 32 bytes")]
    TooShort(u32),
    /// A version number occurs twice.
    #[error("version {0} of the server secret occurs twice")]
    Repeated(u32),
}

impl ServerSecret {
    /// Takes all versions. The highest number is the current one: new keys are hashed under it.
    ///
    /// # Errors
    /// [`UnusableSecret`] when there is no version, or one is weak or occurs twice.
    pub fn new(versions: impl IntoIterator<Item = (u32, Vec<u8>)>) -> Result<Self, UnusableSecret> {
        let mut versions: Vec<_> = versions
            .into_iter()
            .map(|(number, bytes)| SecretVersion {
                number,
                bytes: SecretBox::from(bytes),
            })
            .collect();
        versions.sort_by_key(|version| std::cmp::Reverse(version.number));
        if versions.is_empty() {
            return Err(UnusableSecret::Empty);
        }
        let mut previous = None;
        for version in &versions {
            if version.bytes.expose_secret().len() < 32 {
                return Err(UnusableSecret::TooShort(version.number));
            }
            if previous.replace(version.number) == Some(version.number) {
                return Err(UnusableSecret::Repeated(version.number));
            }
        }
        Ok(Self { versions })
    }

    /// Every hash this key may be stored under, the current version's first.
    pub fn hashes(&self, key: &AccessKey) -> impl Iterator<Item = KeyHash> {
        self.versions.iter().map(move |version| KeyHash {
            version: version.number,
            mac: mac(
                version.bytes.expose_secret(),
                b"access key\0",
                key.expose().as_bytes(),
            ),
        })
    }

    /// A keyed fingerprint of another secret, under the current version: shows whether two
    /// secrets are equal without decrypting either (requirement R4.5). `purpose` keeps fingerprints
    /// of different kinds of secret apart.
    pub fn fingerprint(&self, purpose: &str, secret: &str) -> String {
        let current = self.versions.first();
        let hash = current.map(|version| version.fingerprint(purpose, secret));
        hash.map(|hash| hash.to_string()).unwrap_or_default()
    }

    /// Whether [`ServerSecret::fingerprint`] returned `fingerprint` for this secret, under any version.
    pub fn matches_fingerprint(&self, purpose: &str, secret: &str, fingerprint: &str) -> bool {
        self.versions
            .iter()
            .any(|version| version.fingerprint(purpose, secret).to_string() == fingerprint)
    }
}

impl SecretVersion {
    fn fingerprint(&self, purpose: &str, secret: &str) -> KeyHash {
        KeyHash {
            version: self.number,
            mac: mac(
                self.bytes.expose_secret(),
                format!("{purpose}\0").as_bytes(),
                secret.as_bytes(),
            ),
        }
    }
}

fn mac(secret: &[u8], domain: &[u8], message: &[u8]) -> [u8; 32] {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes a key of any length");
    mac.chain_update(domain)
        .chain_update(message)
        .finalize()
        .into_bytes()
        .into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(seed: u8) -> AccessKey {
        AccessKey::from_entropy(&[seed; 32])
    }

    #[test]
    fn issued_key_has_the_required_form_and_parses() {
        let key = key(7);
        let after_prefix = key.expose().strip_prefix("ak_").unwrap();
        assert!((43..=64).contains(&after_prefix.len()));
        assert!(
            after_prefix
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'),
            "{after_prefix}"
        );
        assert_eq!(
            AccessKey::parse(key.expose()).unwrap().expose(),
            key.expose()
        );
    }

    #[test]
    fn malformed_access_key_is_rejected() {
        let good = key(7).expose().to_owned();
        let cases = [
            ("empty", String::new()),
            ("prefix only", "ak_".to_owned()),
            ("another prefix", good.replacen("ak_", "sk_", 1)),
            ("cut off", good[..good.len() - 1].to_owned()),
            ("one too many", format!("{good}A")),
            ("padding", format!("{}=", &good[..good.len() - 1])),
            ("standard alphabet", format!("{}+", &good[..good.len() - 1])),
            ("percent sign", format!("{}%", &good[..good.len() - 1])),
            ("not ASCII", format!("{}é", &good[..good.len() - 2])),
        ];
        for (what, text) in cases {
            assert_eq!(AccessKey::parse(&text).err(), Some(MalformedKey), "{what}");
        }
    }

    #[test]
    fn access_key_is_not_printed() {
        let key = key(9);
        assert_eq!(format!("{key:?}"), "AccessKey(…)");
        let masked = key.masked().to_string();
        assert_eq!(masked, format!("{}…", &key.expose()[..11]));
        let secret = ServerSecret::new([(1, vec![1; 32])]).unwrap();
        assert!(!format!("{secret:?}").contains("[1"), "{secret:?}");
        assert_eq!(
            format!("{:?}", secret.hashes(&key).next().unwrap()),
            "KeyHash(v1.…)"
        );
    }

    #[test]
    fn key_hash_displays_its_secret_version_and_hexadecimal_digits() {
        let hash = KeyHash {
            version: 12,
            mac: std::array::from_fn(|at| u8::try_from(at * 8 + 7).unwrap()),
        };
        assert_eq!(
            hash.to_string(),
            "v12.070f171f272f373f474f575f676f777f878f979fa7afb7bfc7cfd7dfe7eff7ff"
        );
    }

    #[test]
    fn rotated_secret_returns_the_hash_of_the_older_version_too() {
        let old = ServerSecret::new([(1, vec![1; 32])]).unwrap();
        let both = ServerSecret::new([(1, vec![1; 32]), (2, vec![2; 32])]).unwrap();
        let stored = old.hashes(&key(3)).next().unwrap();
        let hashes: Vec<_> = both.hashes(&key(3)).collect();
        assert_eq!(hashes.len(), 2);
        assert!(hashes[0].to_string().starts_with("v2."));
        assert_eq!(hashes[1], stored);
    }

    #[test]
    fn weak_or_ambiguous_server_secret_is_rejected() {
        assert_eq!(ServerSecret::new([]).err(), Some(UnusableSecret::Empty));
        assert_eq!(
            ServerSecret::new([(4, vec![0; 31])]).err(),
            Some(UnusableSecret::TooShort(4))
        );
        assert_eq!(
            ServerSecret::new([(4, vec![0; 32]), (4, vec![1; 32])]).err(),
            Some(UnusableSecret::Repeated(4))
        );
    }

    #[test]
    fn fingerprint_depends_on_purpose_and_secret() {
        let secret = ServerSecret::new([(1, vec![1; 32])]).unwrap();
        let fingerprint = secret.fingerprint("bedrock key", "ABSKa");
        assert_eq!(fingerprint, secret.fingerprint("bedrock key", "ABSKa"));
        assert_ne!(fingerprint, secret.fingerprint("bedrock key", "ABSKb"));
        assert_ne!(fingerprint, secret.fingerprint("other", "ABSKa"));
        let rotated = ServerSecret::new([(1, vec![1; 32]), (2, vec![2; 32])]).unwrap();
        assert_ne!(fingerprint, rotated.fingerprint("bedrock key", "ABSKa"));
        assert!(rotated.matches_fingerprint("bedrock key", "ABSKa", &fingerprint));
        assert!(!rotated.matches_fingerprint("bedrock key", "ABSKb", &fingerprint));
    }

    proptest! {
        #[test]
        fn one_changed_character_never_parses(random: [u8; 32], at in 3usize..51, to in "[A-Za-z0-9_-]") {
            let key = AccessKey::from_entropy(&random);
            let mut text = key.expose().to_owned();
            prop_assume!(text[at..=at] != to);
            text.replace_range(at..=at, &to);
            prop_assert!(AccessKey::parse(&text).is_err());
        }

        #[test]
        fn parsing_any_text_never_panics(text in any::<String>()) {
            let _ = AccessKey::parse(&text);
        }
    }
}
