//! Tool names and tool call ids in the form that Bedrock takes, and the way back.
//!
//! Converse: names `[a-zA-Z0-9_-]{1,64}`, ids `[a-zA-Z0-9_.:-]{1,64}`. Claude Code's MCP tools can
//! have longer names; the same name must come out on every turn, or the prompt cache is lost.

use std::borrow::Cow;
use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

const MAX_LENGTH: usize = 64;
/// What is left of the original in front of `_` and the digest.
const HEAD: usize = 43;
/// Ten bytes, so twenty digits, of SHA-256.
const DIGEST_BYTES: usize = 10;

/// Which tools go by another name at Bedrock.
#[derive(Debug, Default)]
pub(super) struct Names {
    renamed: Vec<(String, String)>,
}

impl Names {
    /// The name of a tool at Bedrock.
    pub(super) fn tool<'r>(&mut self, name: &'r str) -> Cow<'r, str> {
        let fitting = fit(name, |byte| {
            byte.is_ascii_alphanumeric() || b"_-".contains(&byte)
        });
        if let Cow::Owned(short) = &fitting
            && !self.renamed.iter().any(|(known, _)| known == short)
        {
            self.renamed.push((short.clone(), name.to_owned()));
        }
        fitting
    }

    /// `(as sent to Bedrock, as the client knows it)`.
    pub(super) fn into_renamed(self) -> Vec<(String, String)> {
        self.renamed
    }
}

/// The id of a tool call at Bedrock.
pub(super) fn call_id(id: &str) -> Cow<'_, str> {
    fit(id, |byte| {
        byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte)
    })
}

fn fit(name: &str, allowed: impl Fn(u8) -> bool) -> Cow<'_, str> {
    if (1..=MAX_LENGTH).contains(&name.len()) && name.bytes().all(&allowed) {
        return Cow::Borrowed(name);
    }
    let mut fitting: String = name
        .chars()
        .take(HEAD)
        .map(|c| match u8::try_from(c) {
            Ok(byte) if byte.is_ascii() && allowed(byte) => c,
            _ => '_',
        })
        .collect();
    fitting.push('_');
    for byte in Sha256::digest(name.as_bytes()).iter().take(DIGEST_BYTES) {
        // Writing to a string cannot fail.
        let _ = write!(fitting, "{byte:02x}");
    }
    Cow::Owned(fitting)
}
