//! The events of Anthropic's stream that this crate writes
//! (<https://platform.claude.com/docs/en/build-with-claude/streaming>).

use serde::Serialize;

use crate::reply::{SAFEGUARDS_UNAVAILABLE, SafeguardResult, WireCitation, WireUsage};
use crate::sse::write_event;

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Event<'a> {
    MessageStart {
        message: MessageHead<'a>,
    },
    ContentBlockStart {
        index: u32,
        content_block: Block<'a>,
    },
    ContentBlockDelta {
        index: u32,
        delta: Delta<'a>,
    },
    ContentBlockStop {
        index: u32,
    },
    MessageDelta {
        delta: MessageEnd<'a>,
        usage: WireUsage,
    },
    MessageStop,
}

#[derive(Serialize)]
pub(super) struct MessageHead<'a> {
    id: &'a str,
    r#type: &'static str,
    role: &'static str,
    model: &'a str,
    content: [(); 0],
    stop_reason: Option<()>,
    stop_sequence: Option<()>,
    usage: WireUsage,
}

impl<'a> MessageHead<'a> {
    /// A message head with zeros for usage: clients keep a count of the start when the count of the
    /// end is 0.
    pub(super) fn new(id: &'a str, model: &'a str) -> Self {
        Self {
            id,
            r#type: "message",
            role: "assistant",
            model,
            content: [],
            stop_reason: None,
            stop_sequence: None,
            usage: WireUsage::default(),
        }
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Block<'a> {
    Text {
        text: &'a str,
        /// An empty list where citations follow in deltas.
        #[serde(skip_serializing_if = "Option::is_none")]
        citations: Option<[(); 0]>,
    },
    Thinking {
        thinking: &'a str,
        signature: &'a str,
    },
    RedactedThinking {
        data: &'a str,
    },
    ToolUse {
        id: &'a str,
        name: &'a str,
        input: NoInput,
    },
}

/// `{}`: a tool's input comes in deltas.
#[derive(Serialize)]
pub(super) struct NoInput {}

#[derive(Serialize)]
#[serde(tag = "type")]
pub(super) enum Delta<'a> {
    #[serde(rename = "text_delta")]
    Text { text: &'a str },
    #[serde(rename = "thinking_delta")]
    Thinking { thinking: &'a str },
    #[serde(rename = "signature_delta")]
    Signature { signature: &'a str },
    #[serde(rename = "input_json_delta")]
    InputJson { partial_json: &'a str },
    #[serde(rename = "citations_delta")]
    Citations { citation: WireCitation<'a> },
}

#[derive(Serialize)]
pub(super) struct MessageEnd<'a> {
    stop_reason: &'a str,
    stop_sequence: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    safeguard_results: Option<&'static [SafeguardResult]>,
}

impl<'a> MessageEnd<'a> {
    pub(super) fn new(
        stop_reason: &'a str,
        stop_sequence: Option<&'a str>,
        safeguards_requested: bool,
    ) -> Self {
        Self {
            stop_reason,
            stop_sequence,
            safeguard_results: safeguards_requested.then_some(SAFEGUARDS_UNAVAILABLE),
        }
    }
}

impl Event<'_> {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let name = match self {
            Self::MessageStart { .. } => "message_start",
            Self::ContentBlockStart { .. } => "content_block_start",
            Self::ContentBlockDelta { .. } => "content_block_delta",
            Self::ContentBlockStop { .. } => "content_block_stop",
            Self::MessageDelta { .. } => "message_delta",
            Self::MessageStop => "message_stop",
        };
        write_event(out, name, self);
    }
}
