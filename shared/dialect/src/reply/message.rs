//! A translated response, and the error for a response without a message.

use domain::usage::TokenUsage;

use crate::Losses;
use crate::error::{AnthropicError, BedrockFailure};

/// A translated response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The message as JSON.
    pub body: Vec<u8>,
    /// The token counts, for the ledger.
    pub usage: TokenUsage,
    /// Anthropic's `stop_reason`.
    pub stop_reason: String,
    /// The parts of the response that an Anthropic message cannot hold.
    pub losses: Losses,
}

/// A response with status 200 that contains no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokenReply {
    /// The body does not have the form of a response.
    #[error("Bedrock's response is not a message")]
    Unreadable,
    /// The stop reason is `malformed_model_output` or `malformed_tool_use`.
    #[error("the model's output is malformed")]
    Malformed,
    /// The body is Anthropic's error envelope.
    #[error("Bedrock's response is an error")]
    Error(AnthropicError),
}

impl BrokenReply {
    /// The failure, as the input of classification and repair.
    pub fn as_failure(&self) -> BedrockFailure<'_> {
        match self {
            Self::Unreadable => BedrockFailure::Unreadable,
            Self::Malformed => BedrockFailure::MalformedOutput,
            Self::Error(error) => error.as_failure(),
        }
    }
}
