//! Tool names and tool call ids in the form that Bedrock accepts, and the way back.
//!
//! Both are `[a-zA-Z0-9_-]{1,64}` (Converse also accepts `.` and `:` in ids, `InvokeModel` does
//! not). Claude Code's MCP tools can have longer names. A name is changed in the same way on every
//! turn, because the prompt cache depends on it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

const MAX_LENGTH: usize = 64;
/// Length of the original's start before `_` and the digest.
const HEAD: usize = 43;
/// Number of bytes of the SHA-256 digest: ten, written as twenty digits.
const DIGEST_BYTES: usize = 10;

/// The tools that have another name at Bedrock.
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

    /// The changed names: `(name at Bedrock, name at the client)`.
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
