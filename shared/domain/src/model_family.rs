//! Model families, each of which may have a usage limit of its own.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The family of a Claude model: `opus`, `sonnet`, `haiku`, or a later one. 1 to 20 lower-case
/// letters; not `key` and not `deployment`, which name other circuits of the breaker.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelFamily(String);

/// A text that is not a model family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a model family is 1 to 20 lower-case letters, such as `opus`")]
pub struct MalformedFamily;

impl ModelFamily {
    /// The family in a model's name: the first word after `claude-` that has letters only.
    /// `claude-opus-5-5` and `claude-3-opus-20240229` are both `opus`. `None` for names that are not
    /// Anthropic's.
    pub fn from_model(model: &str) -> Option<Self> {
        let (_, rest) = model.split_once("claude-")?;
        rest.split(['-', '.', '[', '@', ':'])
            .find_map(|word| Self::try_from(word.to_owned()).ok())
    }

    /// The family's name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ModelFamily {
    type Error = MalformedFamily;

    fn try_from(text: String) -> Result<Self, MalformedFamily> {
        let is_word =
            (1..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase());
        if is_word && !["key", "deployment"].contains(&text.as_str()) {
            Ok(Self(text))
        } else {
            Err(MalformedFamily)
        }
    }
}

impl From<ModelFamily> for String {
    fn from(family: ModelFamily) -> Self {
        family.0
    }
}

impl fmt::Display for ModelFamily {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_name_contains_its_family() {
        for (model, family) in [
            ("claude-opus-5-5", Some("opus")),
            ("claude-3-5-sonnet-20241022", Some("sonnet")),
            ("claude-haiku-4-5[1m]", Some("haiku")),
            ("claude-fable-5-2", Some("fable")),
            ("us.anthropic.claude-opus-4-6-v1", Some("opus")),
            ("claude-opus@20250805", Some("opus")),
            ("claude-", None),
            ("claude-5", None),
            ("gpt-5", None),
            ("", None),
            ("claude-OPUS", None),
            ("claude-key-5", None),
            ("claude-deployment", None),
        ] {
            let read = ModelFamily::from_model(model);
            assert_eq!(read.as_ref().map(ModelFamily::as_str), family, "{model}");
        }
    }
}
