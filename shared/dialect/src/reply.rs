//! A whole Bedrock answer as an Anthropic message, for requests without streaming.
//!
//! Both functions read raw bytes: the AWS SDK's typed answer keeps tool inputs in hash maps, which
//! loses the order of their keys. What they share with the stream translation (usage, stop reasons,
//! citations) is in the modules below. They know neither HTTP nor the AWS SDK.

mod citation;
mod converse;
mod count;
mod invoke;
mod raw_object;
mod stop_reason;
mod usage;

use domain::usage::TokenUsage;
use serde::Serialize;

use crate::Losses;
use crate::error::{AnthropicError, BedrockFailure};

pub use count::counted_tokens;

pub use citation::{Citation, CitationLocation, CitationUnit};
pub use converse::converse_reply;

pub use invoke::invoke_reply;
pub(crate) use invoke::{INVOCATION_METRICS, with_known_tool_name};
pub use usage::{CacheDetail, ConverseUsage};

pub(crate) use citation::WireCitation;
pub use converse::is_server_tool;
pub(crate) use converse::stop_sequence;
pub(crate) use raw_object::{RawObject, to_raw};
pub(crate) use stop_reason::Stop;
pub(crate) use usage::{InvokeUsage, WireUsage};

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

/// `safeguard_results` of a leg that cannot judge tool calls. Claude Code then asks the user before
/// each action; `unsupported`, or no word at all, would end its auto mode with a full-screen notice.
pub(crate) const SAFEGUARDS_UNAVAILABLE: &[SafeguardResult] = &[SafeguardResult {
    r#type: "dangerous_tool_use",
    status: SafeguardStatus {
        r#type: "unavailable",
        reason: "disabled",
    },
}];

#[derive(Debug, Serialize)]
pub(crate) struct SafeguardResult {
    r#type: &'static str,
    status: SafeguardStatus,
}

#[derive(Debug, Serialize)]
struct SafeguardStatus {
    r#type: &'static str,
    reason: &'static str,
}

impl crate::ReplyContext {
    /// The client's title of the document that was sent under this name. A name that is not one of
    /// Spillway's leaves the document's index.
    pub(crate) fn document_title(&self, name: Option<&str>, index: i64) -> Option<&str> {
        let number = name
            .and_then(|name| name.strip_prefix("document-")?.parse::<usize>().ok())
            .and_then(|number| number.checked_sub(1));
        let position = number.or_else(|| usize::try_from(index).ok())?;
        self.document_titles.get(position)?.as_deref()
    }

    /// A tool's name as the client knows it.
    pub(crate) fn tool_name<'a>(&'a self, sent: &'a str) -> &'a str {
        let renamed = self
            .renamed_tools
            .iter()
            .find(|(as_sent, _)| as_sent == sent);
        renamed.map_or(sent, |(_, original)| original)
    }
}
