//! Tool names and tool call ids in the form that Bedrock takes, and the way back.
//!
//! Both are `[a-zA-Z0-9_-]{1,64}` (Converse would take `.` and `:` in ids, `InvokeModel` would not).
//! Claude Code's MCP tools can have longer names; the same name must come out on every turn, or
//! the prompt cache is lost.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

const MAX_LENGTH: usize = 64;
/// What is left of the original in front of `_` and the digest.
const HEAD: usize = 43;
/// Ten bytes, so twenty digits, of SHA-256.
const DIGEST_BYTES: usize = 10;

/// Which tools go by another name at Bedrock.
#[derive(Debug, Default)]
pub(super) struct ToolNames {
    renamed: BTreeMap<String, String>,
}

impl ToolNames {
    /// The name of a tool at Bedrock.
    pub(super) fn tool<'r>(&mut self, name: &'r str) -> Cow<'r, str> {
        let name_at_bedrock = valid_name(name);
        if let Cow::Owned(short) = &name_at_bedrock {
            self.renamed.insert(short.clone(), name.to_owned());
        }
        name_at_bedrock
    }

    /// `(as sent to Bedrock, as the client knows it)`.
    pub(super) fn into_renamed(self) -> Vec<(String, String)> {
        self.renamed.into_iter().collect()
    }
}

/// The id of a tool call at Bedrock.
pub(super) fn call_id(id: &str) -> Cow<'_, str> {
    valid_name(id)
}

fn valid_name(name: &str) -> Cow<'_, str> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    if (1..=MAX_LENGTH).contains(&name.len()) && name.chars().all(allowed) {
        return Cow::Borrowed(name);
    }
    let mut name_at_bedrock: String = name
        .chars()
        .take(HEAD)
        .map(|c| if allowed(c) { c } else { '_' })
        .collect();
    name_at_bedrock.push('_');
    for byte in Sha256::digest(name.as_bytes()).iter().take(DIGEST_BYTES) {
        // Writing to a string cannot fail.
        let _ = write!(name_at_bedrock, "{byte:02x}");
    }
    Cow::Owned(name_at_bedrock)
}
