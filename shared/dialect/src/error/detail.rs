//! The details of a failure for the log: AWS's message without account ids and text of the request.

use super::envelope::AnthropicError;
use super::failure::BedrockFailure;
use super::message::{exception_name, inner_message};
use crate::token;

/// Maximum length of the reason, in characters.
const REASON_CHARACTERS: usize = 300;

/// Maximum length of a quoted value in the reason, in characters.
const VALUE_CHARACTERS: usize = 40;

/// Maximum length of a word in the reason, in bytes.
const WORD_BYTES: usize = 80;

/// The details of a failure for the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FailureDetail {
    /// The HTTP status. None for an exception inside a stream.
    pub status: Option<u16>,
    /// The exception's name or Anthropic's error type.
    pub code: Option<String>,
    /// AWS's message: ARNs, account ids and quoted values that can be text of the request are
    /// replaced by `…`, and it has at most 300 characters.
    pub reason: Option<String>,
}

impl FailureDetail {
    /// The details of a failure. Empty for a failure of the transport.
    pub fn from_failure(failure: &BedrockFailure<'_>) -> Self {
        let BedrockFailure::ErrorResponse {
            status,
            code,
            message,
            ..
        } = *failure
        else {
            return Self::default();
        };
        Self {
            status,
            code: code.map(|code| token(exception_name(code))),
            reason: message.map(reason),
        }
    }
}

fn reason(message: &str) -> String {
    let message = inner_message(message);
    let error = AnthropicError::parse(message.as_bytes());
    let message = error
        .as_ref()
        .map_or(message, |error| inner_message(&error.message));
    // A validation message has one line; further lines are a quoted prompt.
    let message = message.lines().next().unwrap_or_default();
    let message = without_objects(&without_values(message));
    let words: Vec<String> = message.split_whitespace().map(masked_word).collect();
    words.join(" ").chars().take(REASON_CHARACTERS).collect()
}

/// Replaces each quoted value that does not look like a name. A quoted value can contain quotation
/// marks, so a value that is not a name ends at the last mark of its kind.
fn without_values(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['\'', '"', '`']) {
        let (before, quoted) = rest.split_at(at);
        out.push_str(before);
        let mut characters = quoted.chars();
        let mark = characters.next().unwrap_or('\'');
        let inner = characters.as_str();
        let is_apostrophe = mark == '\''
            && before.ends_with(char::is_alphanumeric)
            && inner.starts_with(char::is_alphanumeric);
        if is_apostrophe {
            out.push(mark);
            rest = inner;
            continue;
        }
        // `Value 'VALUE' at 'PATH'`: the path stays.
        let of_aws = before.ends_with("Value ").then(|| inner.rfind("' at '"));
        let end = match (of_aws.flatten(), inner.find(mark)) {
            (Some(end), _) => Some(end),
            (None, Some(end)) if inner.get(..end).is_some_and(is_name) => Some(end),
            (None, _) => inner.rfind(mark),
        };
        let (value, after) = inner.split_at(end.unwrap_or(inner.len()));
        out.push(mark);
        out.push_str(if is_name(value) { value } else { "…" });
        out.push(mark);
        rest = after.strip_prefix(mark).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

fn is_name(value: &str) -> bool {
    value.len() <= VALUE_CHARACTERS
        && value
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._:/-[]$#".contains(&byte))
}

/// Replaces what can be JSON of the request.
fn without_objects(text: &str) -> String {
    match (text.find('{'), text.rfind('}')) {
        (Some(start), Some(end)) if start < end => {
            let (before, rest) = text.split_at(start);
            let after = rest.get(end - start + 1..).unwrap_or_default();
            format!("{before}{{…}}{after}")
        }
        (Some(start), _) => format!("{}{{…", text.get(..start).unwrap_or_default()),
        (None, _) => text.to_owned(),
    }
}

fn masked_word(word: &str) -> String {
    let account_id = |digits: &str| digits.len() >= 12;
    if let Some(at) = word.find("arn:") {
        return format!("{}arn:…", word.get(..at).unwrap_or_default());
    }
    let has_account = word.split(|c: char| !c.is_ascii_digit()).any(account_id);
    if has_account || word.len() > WORD_BYTES {
        return "…".to_owned();
    }
    word.chars().filter(|c| !c.is_control()).collect()
}
