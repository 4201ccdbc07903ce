//! The message of an error, without the wording that AWS adds, and the part of the request that it
//! names.

use super::envelope::AnthropicError;

/// The exception's name in `com.amazonaws.bedrock#ThrottlingException:http://…`.
pub(super) fn exception_name(code: &str) -> &str {
    let name = code.split_once(':').map_or(code, |(name, _)| name);
    name.rsplit_once('#').map_or(name, |(_, name)| name)
}

/// The message of an error, without the wording that AWS adds.
pub(super) struct ErrorText {
    /// The message, in lower case.
    pub(super) text: String,
    /// Anthropic's error type, where the message is Anthropic's envelope.
    pub(super) error_type: Option<String>,
}

impl ErrorText {
    /// Reads `TEXT`, `The model returned the following errors: TEXT`, or an envelope of Anthropic's in
    /// place of the text.
    pub(super) fn read(message: &str) -> Self {
        let message = inner_message(message);
        let (text, error_type) = match AnthropicError::parse(message.as_bytes()) {
            Some(error) => (
                inner_message(&error.message).to_owned(),
                Some(error.error_type),
            ),
            None => (message.to_owned(), None),
        };
        Self {
            text: text.to_ascii_lowercase(),
            error_type,
        }
    }
}

/// The message without AWS's introduction to errors of the model.
pub(super) fn inner_message(message: &str) -> &str {
    const INTRODUCTION: &str = "The model returned the following errors:";
    let message = message.trim();
    match message.split_at_checked(INTRODUCTION.len()) {
        Some((head, rest)) if head.eq_ignore_ascii_case(INTRODUCTION) => rest.trim(),
        _ => message,
    }
}

/// Returns true when the text contains one of these wordings.
pub(super) fn mentions(text: &str, any_of: &[&str]) -> bool {
    any_of.iter().any(|words| text.contains(words))
}

/// The part of the request that a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErrorLocation<'t> {
    /// The conversation.
    Messages,
    /// The input schema of a tool: a name in the message may be the client's.
    Schema,
    /// The field at this path.
    Path(&'t str),
    /// The message does not start with a path.
    Unnamed,
}

impl<'t> ErrorLocation<'t> {
    /// Reads a text in lower case.
    pub(super) fn from_text(text: &'t str) -> Self {
        const OF_A_SCHEMA: &[&str] = &["input_schema", "inputschema", "json schema"];
        // AWS quotes the value first: `Value 'VALUE' at 'PATH' failed to satisfy constraint`.
        let quoted = text
            .rsplit_once("' at '")
            .and_then(|(_, rest)| rest.split_once("' failed to satisfy"))
            .map(|(path, _)| path);
        let path = quoted.or_else(|| {
            let (path, _) = text.split_once(": ")?;
            let is_path = !path.is_empty() && path.chars().all(is_path_character);
            is_path.then_some(path)
        });
        match path {
            Some(path) if path == "messages" || path.starts_with("messages.") => Self::Messages,
            Some(path) if mentions(path, OF_A_SCHEMA) => Self::Schema,
            Some(path) => Self::Path(path),
            None if mentions(text, OF_A_SCHEMA) => Self::Schema,
            None => Self::Unnamed,
        }
    }
}

pub(super) fn is_path_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || "._".contains(c)
}

/// The words of a message that can be names: `thinking.type.enabled`, `top_k`, `anthropic-beta`.
pub(super) fn tokens(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(is_path_character(c) || "$-".contains(c)))
        .map(|token| token.trim_end_matches('.'))
        .filter(|token| !token.is_empty())
}
