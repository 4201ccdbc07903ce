//! The events of `ConverseStream` and the chunks of `InvokeModelWithResponseStream`, read from the
//! JSON payloads of their frames.
//!
//! Unknown members, union variants and enum values are accepted everywhere, because AWS adds them
//! without notice.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;

use crate::reply::{Citation, ConverseUsage, is_server_tool, stop_sequence};

/// One event of `ConverseStream`
/// (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStreamOutput.html>).
/// Exceptions are not events; they are arguments of the translator's `fail`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConverseEvent<'a> {
    /// `messageStart`.
    MessageStart,
    /// `contentBlockStart`. Bedrock sends none before text and thinking.
    BlockStart {
        /// `contentBlockIndex`. It may skip numbers.
        index: i64,
        /// The kind of the block.
        start: BlockStart<'a>,
    },
    /// `contentBlockDelta`.
    BlockDelta {
        /// `contentBlockIndex`.
        index: i64,
        /// The added piece.
        delta: BlockDelta<'a>,
    },
    /// `contentBlockStop`.
    BlockStop {
        /// `contentBlockIndex`.
        index: i64,
    },
    /// `messageStop`.
    MessageStop {
        /// `stopReason`.
        stop_reason: Cow<'a, str>,
        /// `stop_sequence` of `additionalModelResponseFields`, if it was requested: the member
        /// itself, or the one under `delta`.
        stop_sequence: Option<Cow<'a, str>>,
    },
    /// `metadata`. May come before `messageStop`.
    Metadata(ConverseUsage),
    /// An unknown event.
    Unknown,
}

/// The kind of a content block at its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlockStart<'a> {
    /// `toolUse` of one of the client's tools: without a `type`, or with any but `server_tool_use`.
    /// AWS has sent `tool_use` there since May 2026; its model of the API lists only the server's.
    ToolUse {
        /// `toolUseId`.
        id: Cow<'a, str>,
        /// `name`, as it was sent to Bedrock.
        name: Cow<'a, str>,
    },
    /// `toolUse` of the type `server_tool_use`: a tool that Bedrock runs.
    ServerToolUse,
    /// Another kind, or none; the deltas have the kind.
    Other,
}

/// The piece that a delta adds to its block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlockDelta<'a> {
    /// `text`.
    Text(Cow<'a, str>),
    /// `reasoningContent.text`.
    Reasoning(Cow<'a, str>),
    /// `reasoningContent.signature`, possibly in parts.
    Signature(Cow<'a, str>),
    /// `reasoningContent.redactedContent`, decoded from base64, possibly in parts.
    Redacted(Cow<'a, [u8]>),
    /// `toolUse.input`: a piece of JSON text.
    ToolInput(Cow<'a, str>),
    /// `citation`.
    Citation(Citation),
    /// A union without a member, which adds nothing.
    Empty,
    /// Another kind.
    Unknown,
}

fn owned(text: Cow<'_, str>) -> Cow<'static, str> {
    Cow::Owned(text.into_owned())
}

impl BlockStart<'_> {
    pub(super) fn into_owned(self) -> BlockStart<'static> {
        match self {
            Self::ToolUse { id, name } => BlockStart::ToolUse {
                id: owned(id),
                name: owned(name),
            },
            Self::ServerToolUse => BlockStart::ServerToolUse,
            Self::Other => BlockStart::Other,
        }
    }
}

impl BlockDelta<'_> {
    pub(super) fn into_owned(self) -> BlockDelta<'static> {
        match self {
            Self::Text(text) => BlockDelta::Text(owned(text)),
            Self::Reasoning(text) => BlockDelta::Reasoning(owned(text)),
            Self::Signature(part) => BlockDelta::Signature(owned(part)),
            Self::Redacted(part) => BlockDelta::Redacted(Cow::Owned(part.into_owned())),
            Self::ToolInput(part) => BlockDelta::ToolInput(owned(part)),
            Self::Citation(citation) => BlockDelta::Citation(citation),
            Self::Empty => BlockDelta::Empty,
            Self::Unknown => BlockDelta::Unknown,
        }
    }
}

/// The payload of an event is not JSON of the event's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a Converse stream event does not have its event's shape")]
pub struct UnreadableEvent;

impl<'a> ConverseEvent<'a> {
    /// Reads an event frame: the value of its `:event-type` header, and its JSON payload.
    ///
    /// # Errors
    /// [`UnreadableEvent`] when a known event does not have its shape.
    pub fn parse(event_type: &str, payload: &'a [u8]) -> Result<Self, UnreadableEvent> {
        fn read<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<T, UnreadableEvent> {
            serde_json::from_slice(payload).map_err(|_| UnreadableEvent)
        }
        Ok(match event_type {
            "messageStart" => Self::MessageStart,
            "contentBlockStart" => {
                let json: StartJson = read(payload)?;
                Self::BlockStart {
                    index: json.content_block_index,
                    start: json.start.into(),
                }
            }
            "contentBlockDelta" => {
                let json: DeltaJson = read(payload)?;
                let delta = match json.delta.unwrap_or_default().read()? {
                    BlockDelta::Unknown if has_no_delta(payload) => BlockDelta::Empty,
                    delta => delta,
                };
                Self::BlockDelta {
                    index: json.content_block_index,
                    delta,
                }
            }
            "contentBlockStop" => Self::BlockStop {
                index: read::<StopJson>(payload)?.content_block_index,
            },
            "messageStop" => {
                let json: MessageStopJson = read(payload)?;
                let fields = json.additional_model_response_fields.as_ref();
                Self::MessageStop {
                    stop_reason: Cow::Owned(json.stop_reason),
                    stop_sequence: stop_sequence(fields).map(Cow::Owned),
                }
            }
            "metadata" => Self::Metadata(read::<MetadataJson>(payload)?.usage.unwrap_or_default()),
            _ => Self::Unknown,
        })
    }
}

/// Returns true when the `delta` of a payload is absent, `null` or `{}`.
fn has_no_delta(payload: &[u8]) -> bool {
    let event: Value = serde_json::from_slice(payload).unwrap_or_default();
    let delta = event.get("delta").unwrap_or(&Value::Null);
    delta.is_null() || delta.as_object().is_some_and(serde_json::Map::is_empty)
}

/// The bytes of one `chunk` of `InvokeModelWithResponseStream`: an event of Anthropic's stream as
/// JSON. `None` for an event of another type
/// (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_PayloadPart.html>).
///
/// # Errors
/// [`UnreadableEvent`] when a chunk does not have its shape.
pub fn invoke_chunk(event_type: &str, payload: &[u8]) -> Result<Option<Vec<u8>>, UnreadableEvent> {
    #[derive(Deserialize)]
    struct ChunkJson {
        bytes: String,
    }
    if event_type != "chunk" {
        return Ok(None);
    }
    let chunk: ChunkJson = serde_json::from_slice(payload).map_err(|_| UnreadableEvent)?;
    let bytes = STANDARD.decode(chunk.bytes).map_err(|_| UnreadableEvent)?;
    Ok(Some(bytes))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StartJson {
    content_block_index: i64,
    start: Option<StartUnion>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StartUnion {
    tool_use: Option<ToolUseStart>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolUseStart {
    tool_use_id: String,
    name: String,
    r#type: Option<String>,
}

impl From<Option<StartUnion>> for BlockStart<'_> {
    fn from(start: Option<StartUnion>) -> Self {
        match start.and_then(|start| start.tool_use) {
            Some(tool) if is_server_tool(tool.r#type.as_deref()) => Self::ServerToolUse,
            Some(tool) => Self::ToolUse {
                id: Cow::Owned(tool.tool_use_id),
                name: Cow::Owned(tool.name),
            },
            None => Self::Other,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DeltaJson {
    content_block_index: i64,
    delta: Option<DeltaUnion>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DeltaUnion {
    text: Option<String>,
    tool_use: Option<ToolInputJson>,
    reasoning_content: Option<ReasoningJson>,
    citation: Option<Citation>,
}

#[derive(Deserialize)]
struct ToolInputJson {
    input: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReasoningJson {
    text: Option<String>,
    signature: Option<String>,
    redacted_content: Option<String>,
}

impl DeltaUnion {
    fn read<'a>(self) -> Result<BlockDelta<'a>, UnreadableEvent> {
        Ok(match self {
            Self {
                text: Some(text), ..
            } => BlockDelta::Text(text.into()),
            Self {
                tool_use: Some(tool),
                ..
            } => BlockDelta::ToolInput(tool.input.unwrap_or_default().into()),
            Self {
                reasoning_content: Some(reasoning),
                ..
            } => match reasoning {
                ReasoningJson {
                    text: Some(text), ..
                } => BlockDelta::Reasoning(text.into()),
                ReasoningJson {
                    signature: Some(part),
                    ..
                } => BlockDelta::Signature(part.into()),
                ReasoningJson {
                    redacted_content: Some(base64),
                    ..
                } => {
                    let bytes = STANDARD.decode(base64).map_err(|_| UnreadableEvent)?;
                    BlockDelta::Redacted(bytes.into())
                }
                _ => BlockDelta::Unknown,
            },
            Self {
                citation: Some(citation),
                ..
            } => BlockDelta::Citation(citation),
            _ => BlockDelta::Unknown,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StopJson {
    content_block_index: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MessageStopJson {
    stop_reason: String,
    additional_model_response_fields: Option<Value>,
}

#[derive(Deserialize)]
struct MetadataJson {
    usage: Option<ConverseUsage>,
}
