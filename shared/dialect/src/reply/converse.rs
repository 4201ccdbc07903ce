//! The response of Converse as an Anthropic message.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::citation::{Citation, WireCitation};
use super::message::{BrokenReply, Reply};
use super::raw_object::RawObject;
use super::safeguards::{SAFEGUARDS_UNAVAILABLE, SafeguardResult};
use super::stop_reason::StopReason;
use super::usage::{ConverseUsage, WireUsage};
use crate::sse::write_json;
use crate::{Losses, ReplyContext};

/// Translates the body of a Converse response.
///
/// `message_id` becomes the message's `id`, because Converse has none. Tool inputs keep the order of
/// their keys and the text of their numbers. A block of blank text becomes the beginning of the text
/// block after it, because Anthropic refuses blank text blocks when the client sends them back;
/// without such a block it is left out.
///
/// # Errors
/// [`BrokenReply`] when the body does not have the form of a response, or the model's output is
/// malformed.
pub fn converse_reply(
    body: &[u8],
    message_id: &str,
    context: &ReplyContext,
) -> Result<Reply, BrokenReply> {
    let response: ConverseResponse<'_> =
        serde_json::from_slice(body).map_err(|_| BrokenReply::Unreadable)?;
    let mut losses = Losses::default();

    let mut blocks = Vec::new();
    let mut blank = String::new();
    for block in &response.output.message.content {
        match block.translate(context, &mut losses) {
            Some(WireBlock::Text { text, citations }) if text.trim().is_empty() => {
                blank.push_str(&text);
                if !citations.is_empty() {
                    losses.add("reply:citation");
                }
            }
            Some(WireBlock::Text { text, citations }) => {
                let text = match std::mem::take(&mut blank) {
                    blank if blank.is_empty() => text,
                    blank => Cow::Owned(blank + &text),
                };
                blocks.push(WireBlock::Text { text, citations });
            }
            Some(block) => {
                blank.clear();
                blocks.push(block);
            }
            None => {}
        }
    }
    let called_a_tool = blocks
        .iter()
        .any(|block| matches!(block, WireBlock::ToolUse { .. }));

    let stop = StopReason::read(&response.stop_reason);
    if stop == StopReason::Unknown {
        losses.add("reply:stop_reason");
    }
    let stop_reason = stop
        .anthropic(called_a_tool)
        .ok_or(BrokenReply::Malformed)?;
    let stop_sequence = stop_sequence(response.additional_model_response_fields.as_ref());
    let usage = response.usage.unwrap_or_default().tokens();
    let message = WireMessage {
        id: message_id,
        r#type: "message",
        role: "assistant",
        model: &context.requested_model,
        content: blocks,
        stop_reason,
        stop_sequence: stop_sequence.filter(|_| stop_reason == "stop_sequence"),
        usage: WireUsage::in_message(&usage),
        safeguard_results: context
            .safeguards_requested
            .then_some(SAFEGUARDS_UNAVAILABLE),
    };
    let mut body = Vec::new();
    write_json(&mut body, &message);
    Ok(Reply {
        body,
        usage,
        stop_reason: stop_reason.to_owned(),
        losses,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConverseResponse<'a> {
    #[serde(borrow)]
    output: Output<'a>,
    stop_reason: String,
    usage: Option<ConverseUsage>,
    additional_model_response_fields: Option<Value>,
}

#[derive(Deserialize)]
struct Output<'a> {
    #[serde(borrow)]
    message: Message<'a>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    content: Vec<Block<'a>>,
}

/// A union: exactly one member is present, or none for a kind that an Anthropic message cannot
/// hold.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Block<'a> {
    text: Option<String>,
    #[serde(borrow)]
    tool_use: Option<ToolUse<'a>>,
    reasoning_content: Option<Reasoning>,
    citations_content: Option<CitationsContent>,
}

#[derive(Deserialize)]
struct ToolUse<'a> {
    #[serde(rename = "toolUseId")]
    id: String,
    name: String,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    r#type: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reasoning {
    reasoning_text: Option<ReasoningText>,
    redacted_content: Option<String>,
}

#[derive(Deserialize)]
struct ReasoningText {
    text: Option<String>,
    signature: Option<String>,
}

#[derive(Deserialize)]
struct CitationsContent {
    content: Option<Vec<Generated>>,
    citations: Option<Vec<Citation>>,
}

#[derive(Deserialize)]
struct Generated {
    text: Option<String>,
}

/// Returns true when the `type` of a `toolUse` is that of a tool that Bedrock runs. Every other
/// type, and an absent one, is a call of a client's tool: AWS sends `tool_use`, which its model of
/// the API does not list
/// (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolUseBlock.html>).
pub fn is_server_tool(r#type: Option<&str>) -> bool {
    r#type == Some("server_tool_use")
}

/// The stop sequence in `additionalModelResponseFields`: the member of the path `/stop_sequence`,
/// or the one under `delta`, as in the streams of some models.
pub(crate) fn stop_sequence(fields: Option<&Value>) -> Option<String> {
    let at = |path| fields?.pointer(path)?.as_str().map(str::to_owned);
    at("/stop_sequence").or_else(|| at("/delta/stop_sequence"))
}

#[derive(Serialize)]
struct WireMessage<'a> {
    id: &'a str,
    r#type: &'static str,
    role: &'static str,
    model: &'a str,
    content: Vec<WireBlock<'a>>,
    stop_reason: &'static str,
    stop_sequence: Option<String>,
    usage: WireUsage,
    #[serde(skip_serializing_if = "Option::is_none")]
    safeguard_results: Option<&'static [SafeguardResult]>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum WireBlock<'a> {
    Text {
        text: Cow<'a, str>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        citations: Vec<WireCitation<'a>>,
    },
    Thinking {
        thinking: &'a str,
        signature: &'a str,
    },
    RedactedThinking {
        data: String,
    },
    ToolUse {
        id: &'a str,
        name: &'a str,
        input: Cow<'a, RawValue>,
    },
}

impl Block<'_> {
    fn translate<'a>(
        &'a self,
        context: &'a ReplyContext,
        losses: &mut Losses,
    ) -> Option<WireBlock<'a>> {
        if let Some(text) = &self.text {
            return Some(WireBlock::Text {
                text: Cow::Borrowed(text),
                citations: Vec::new(),
            });
        }
        if let Some(tool) = &self.tool_use {
            if is_server_tool(tool.r#type.as_deref()) {
                losses.add("reply:server_tool_use");
                return None;
            }
            return Some(WireBlock::ToolUse {
                id: &tool.id,
                name: context.tool_name(&tool.name),
                input: tool
                    .input
                    .filter(|input| input.get().starts_with('{'))
                    .map_or_else(
                        || Cow::Owned(RawObject::default().into_raw()),
                        Cow::Borrowed,
                    ),
            });
        }
        if let Some(reasoning) = &self.reasoning_content {
            return reasoning.translate(losses);
        }
        if let Some(cited) = &self.citations_content {
            return Some(cited.translate(context, losses));
        }
        losses.add("reply:content_block");
        None
    }
}

impl Reasoning {
    fn translate(&self, losses: &mut Losses) -> Option<WireBlock<'_>> {
        if let Some(text) = &self.reasoning_text {
            return Some(WireBlock::Thinking {
                thinking: text.text.as_deref().unwrap_or_default(),
                signature: text.signature.as_deref().unwrap_or_default(),
            });
        }
        let redacted = self
            .redacted_content
            .as_deref()
            .and_then(|base64| STANDARD.decode(base64).ok());
        let data = redacted.and_then(|bytes| String::from_utf8(bytes).ok());
        if data.is_none() {
            losses.add("reply:redacted_thinking");
        }
        data.map(|data| WireBlock::RedactedThinking { data })
    }
}

impl CitationsContent {
    fn translate<'a>(&'a self, context: &'a ReplyContext, losses: &mut Losses) -> WireBlock<'a> {
        let parts = self.content.as_deref().unwrap_or_default();
        if parts.iter().any(|part| part.text.is_none()) {
            losses.add("reply:content_block");
        }
        let all = self.citations.as_deref().unwrap_or_default();
        let citations: Vec<_> = all
            .iter()
            .filter_map(|citation| citation.wire(context))
            .collect();
        if citations.len() < all.len() {
            losses.add("reply:citation");
        }
        WireBlock::Text {
            text: parts
                .iter()
                .filter_map(|part| part.text.as_deref())
                .collect(),
            citations,
        }
    }
}
