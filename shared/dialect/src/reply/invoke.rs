//! The response of `InvokeModel`, which is an Anthropic message.

use serde_json::value::RawValue;

use super::message::{BrokenReply, Reply};
use super::raw_object::{RawObject, to_raw};
use super::safeguards::SAFEGUARDS_UNAVAILABLE;
use super::usage::InvokeUsage;
use crate::error::AnthropicError;
use crate::sse::write_json;
use crate::{Losses, ReplyContext};

/// The member that Bedrock adds to Anthropic's.
pub(crate) const INVOCATION_METRICS: &str = "amazon-bedrock-invocationMetrics";

/// Adapts the body of an `InvokeModel` response: the model's name and the tools' names of the
/// client, and `safeguard_results`. All other members are unchanged, including unknown ones, so the
/// translation has no losses.
///
/// # Errors
/// [`BrokenReply`] when the body is not an Anthropic message, or is Anthropic's error envelope.
pub fn invoke_reply(body: &[u8], context: &ReplyContext) -> Result<Reply, BrokenReply> {
    let text = std::str::from_utf8(body).map_err(|_| BrokenReply::Unreadable)?;
    let mut message = RawObject::parse(text).ok_or(BrokenReply::Unreadable)?;
    if message.read::<String>("type").as_deref() == Some("error") {
        let error = AnthropicError::parse(body).ok_or(BrokenReply::Unreadable)?;
        return Err(BrokenReply::Error(error));
    }
    let stop_reason: String = message.read("stop_reason").ok_or(BrokenReply::Unreadable)?;
    let blocks: Vec<&RawValue> = message
        .text("content")
        .and_then(|content| serde_json::from_str(content).ok())
        .ok_or(BrokenReply::Unreadable)?;

    let usage = message
        .read::<InvokeUsage>("usage")
        .unwrap_or_default()
        .tokens();
    let renamed = (!context.renamed_tools.is_empty()).then(|| {
        let blocks = blocks
            .iter()
            .map(|block| restore_tool_name(block.get(), context));
        to_raw(&blocks.collect::<Vec<_>>())
    });
    if let Some(blocks) = renamed {
        message.set("content", blocks);
    }
    message.set("model", to_raw(&context.requested_model));
    message.remove(INVOCATION_METRICS);
    if context.safeguards_requested {
        message.set("safeguard_results", to_raw(SAFEGUARDS_UNAVAILABLE));
    }

    let mut body = Vec::new();
    write_json(&mut body, &message);
    Ok(Reply {
        body,
        usage,
        stop_reason,
        losses: Losses::default(),
    })
}

/// The unchanged content block, with the client's name of a tool.
pub(crate) fn restore_tool_name<'a>(block: &'a str, context: &ReplyContext) -> RawObject<'a> {
    let mut object = RawObject::parse(block).unwrap_or_default();
    if object.read::<String>("type").as_deref() == Some("tool_use")
        && let Some(sent) = object.read::<String>("name")
    {
        object.set("name", to_raw(context.tool_name(&sent)));
    }
    object
}
