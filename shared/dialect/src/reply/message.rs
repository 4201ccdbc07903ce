//! A translated reply, and a reply that holds no message.

use domain::usage::TokenUsage;

use crate::Losses;
use crate::error::{AnthropicError, BedrockFailure};

/// An answer in Anthropic's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The message as JSON.
    pub body: Vec<u8>,
    /// What it cost, for the ledger.
    pub usage: TokenUsage,
    /// Anthropic's `stop_reason`.
    pub stop_reason: String,
    /// Parts of the answer that an Anthropic message cannot hold.
    pub losses: Losses,
}

/// A response with status 200 that holds no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokenReply {
    /// Not JSON, or not the shape of an answer.
    #[error("Bedrock's answer is not readable as a message")]
    Unreadable,
    /// The model ended in `malformed_model_output` or `malformed_tool_use`.
    #[error("the model's output was malformed")]
    Malformed,
    /// Anthropic's error envelope in the place of a message.
    #[error("Bedrock's answer is an error")]
    Error(AnthropicError),
}

impl BrokenReply {
    /// The failure that this is for the classification and the repair.
    pub fn as_failure(&self) -> BedrockFailure<'_> {
        match self {
            Self::Unreadable => BedrockFailure::Unreadable,
            Self::Malformed => BedrockFailure::MalformedOutput,
            Self::Error(error) => error.as_failure(),
        }
    }
}
