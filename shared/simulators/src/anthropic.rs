//! The responses of the Messages API: a message as JSON, its events, and its errors
//! (<https://docs.claude.com/en/api/messages-streaming>, <https://docs.claude.com/en/api/errors>).
//! `InvokeModel` on Bedrock has nearly the same messages and events: see
//! [`Platform`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::delivery::Chunk;
use super::ids;
use super::json::{extend, text};
use super::prompt_cache::output_tokens;
use super::script::{Citation, Content, Frame, Point, ToolCall, Usage};

/// The approximate size of a delta, in bytes.
const DELTA: usize = 14;

/// The service that sends a message. The content is the same; other members differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Platform {
    /// Anthropic: members of its newest features, pings, and thinking deltas with token estimates.
    Anthropic,
    /// `InvokeModel` on Bedrock: no pings, and only the output tokens in `message_delta`.
    Bedrock,
}

/// A message of the assistant.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Message {
    pub(super) platform: Platform,
    pub(super) id: String,
    /// As the request named it.
    pub(super) model: String,
    pub(super) content: Vec<Content>,
    pub(super) stop_reason: String,
    /// The stop sequence that was met.
    pub(super) stop_sequence: Option<String>,
    pub(super) usage: Usage,
}

/// An event and the point of the answer it reaches.
pub(super) type Event = (Option<Point>, Value);

impl Message {
    /// The message as JSON.
    pub(super) fn full_body(&self) -> Value {
        let blocks = self
            .content
            .iter()
            .map(|block| self.platform.full_block(block));
        let mut message = json!({
            "model": self.model,
            "id": self.id,
            "type": "message",
            "role": "assistant",
            "content": blocks.collect::<Vec<_>>(),
            "stop_reason": self.stop_reason,
            "stop_sequence": self.stop_sequence,
            "stop_details": null,
            "usage": self.usage(self.usage.output),
        });
        if self.platform == Platform::Anthropic {
            let newest = json!({
                "container": null,
                "context_management": { "applied_edits": [] },
            });
            extend(&mut message, newest);
        }
        message
    }

    /// The message as events.
    pub(super) fn events(&self) -> Vec<Event> {
        let mut events = vec![(
            Some(Point::MessageStart),
            json!({
                "type": "message_start",
                "message": {
                    "model": self.model,
                    "id": self.id,
                    "type": "message",
                    "role": "assistant",
                    "content": [],
                    "stop_reason": null,
                    "stop_sequence": null,
                    "stop_details": null,
                    "usage": self.usage(1),
                },
            }),
        )];
        for (index, content) in self.content.iter().enumerate() {
            let (first, last) = (index == 0, index + 1 == self.content.len());
            let (start, deltas) = self.platform.streamed_block(content);
            events.push((
                Some(Point::MessageStart),
                json!({
                    "type": "content_block_start", "index": index, "content_block": start,
                }),
            ));
            if first && self.platform == Platform::Anthropic {
                events.push((Some(Point::MessageStart), json!({ "type": "ping" })));
            }
            let reached = if first {
                Point::FirstDelta
            } else {
                Point::FirstBlock
            };
            events.extend(deltas.into_iter().map(|delta| {
                let event =
                    json!({ "type": "content_block_delta", "index": index, "delta": delta });
                (Some(reached), event)
            }));
            let reached = if last {
                Point::Content
            } else {
                Point::FirstBlock
            };
            let stop = json!({ "type": "content_block_stop", "index": index });
            events.push((Some(reached), stop));
        }
        events.push((None, self.message_delta()));
        events.push((None, json!({ "type": "message_stop" })));
        events
    }

    fn message_delta(&self) -> Value {
        let mut delta = json!({
            "stop_reason": self.stop_reason,
            "stop_sequence": self.stop_sequence,
            "stop_details": null,
        });
        match self.platform {
            Platform::Anthropic => {
                extend(&mut delta, json!({ "container": null }));
                json!({
                    "type": "message_delta",
                    "delta": delta,
                    "usage": self.usage(self.usage.output),
                    "context_management": { "applied_edits": [] },
                })
            }
            Platform::Bedrock => json!({
                "type": "message_delta",
                "delta": delta,
                "usage": { "output_tokens": self.usage.output },
            }),
        }
    }

    fn usage(&self, output: u64) -> Value {
        let Usage {
            input,
            cache_read,
            cache_write_5m,
            cache_write_1h,
            ..
        } = self.usage;
        let is_thinking = |block: &&Content| matches!(block, Content::Thinking(_));
        let thinking = self.content.iter().filter(is_thinking).map(output_tokens);
        let mut usage = json!({
            "input_tokens": input,
            "cache_creation_input_tokens": cache_write_5m + cache_write_1h,
            "cache_read_input_tokens": cache_read,
            "cache_creation": {
                "ephemeral_5m_input_tokens": cache_write_5m,
                "ephemeral_1h_input_tokens": cache_write_1h,
            },
            "output_tokens": output,
        });
        let mut iteration = json!({ "type": "message" });
        extend(&mut iteration, usage.clone());
        let further = json!({
            "service_tier": "standard",
            "output_tokens_details": { "thinking_tokens": thinking.sum::<u64>().min(output) },
        });
        extend(&mut usage, further);
        if self.platform == Platform::Anthropic {
            let newest = json!({
                "iterations": [iteration],
                "inference_geo": "global",
                "server_tool_use": { "web_search_requests": 0, "web_fetch_requests": 0 },
            });
            extend(&mut usage, newest);
        }
        usage
    }
}

impl Platform {
    fn full_block(self, content: &Content) -> Value {
        match content {
            Content::Text(text) => json!({ "type": "text", "text": text }),
            Content::Cited(cited) => json!({
                "type": "text",
                "text": cited.text,
                "citations": cited.citations.iter().map(Citation::messages).collect::<Vec<_>>(),
            }),
            Content::Thinking(text) => {
                json!({ "type": "thinking", "thinking": text, "signature": signature(text) })
            }
            Content::RedactedThinking(data) => {
                json!({ "type": "redacted_thinking", "data": data })
            }
            Content::Tool(call) => self.tool_use(call, &call.input),
        }
    }

    fn tool_use(self, call: &ToolCall, input: &Value) -> Value {
        let mut block = json!({
            "type": "tool_use", "id": ids::tool_use(), "name": call.name, "input": input,
        });
        if self == Self::Anthropic {
            extend(&mut block, json!({ "caller": { "type": "direct" } }));
        }
        block
    }

    /// The block as it starts, and its deltas.
    fn streamed_block(self, content: &Content) -> (Value, Vec<Value>) {
        let text_deltas = |text| {
            let deltas = pieces(text).into_iter();
            deltas.map(|piece| json!({ "type": "text_delta", "text": piece }))
        };
        match content {
            Content::Text(text) => (
                json!({ "type": "text", "text": "" }),
                text_deltas(text).collect(),
            ),
            Content::Cited(cited) => {
                let citations = cited.citations.iter().map(|citation| {
                    json!({ "type": "citations_delta", "citation": citation.messages() })
                });
                (
                    json!({ "type": "text", "text": "", "citations": [] }),
                    citations.chain(text_deltas(&cited.text)).collect(),
                )
            }
            Content::Thinking(text) => {
                let mut deltas = self.thinking_deltas(text);
                deltas.push(json!({ "type": "signature_delta", "signature": signature(text) }));
                (
                    json!({ "type": "thinking", "thinking": "", "signature": "" }),
                    deltas,
                )
            }
            Content::RedactedThinking(data) => (
                json!({ "type": "redacted_thinking", "data": data }),
                Vec::new(),
            ),
            Content::Tool(call) => {
                let delta = |piece| json!({ "type": "input_json_delta", "partial_json": piece });
                let input = call.input.to_string();
                let mut deltas = vec![delta("")];
                if call.input.as_object().is_none_or(|input| !input.is_empty()) {
                    deltas.extend(pieces(&input).into_iter().map(delta));
                }
                (self.tool_use(call, &json!({})), deltas)
            }
        }
    }

    /// The deltas of thinking. Without its text, Anthropic's service sends only an estimate of its length.
    fn thinking_deltas(self, text: &str) -> Vec<Value> {
        let delta = |piece, tokens: Option<u64>| {
            let mut delta = json!({ "type": "thinking_delta", "thinking": piece });
            if self == Self::Anthropic {
                extend(&mut delta, json!({ "estimated_tokens": tokens }));
            }
            delta
        };
        if text.is_empty() && self == Self::Anthropic {
            return vec![delta("", Some(50))];
        }
        let pieces = pieces(text).into_iter();
        pieces.map(|piece| delta(piece, None)).collect()
    }
}

/// Server-sent events, padded with blanks so that their lengths do not reveal the content. Pings are not
/// padded.
pub(super) fn sse(events: Vec<Event>) -> Vec<Chunk> {
    let chunk = |(reaches, event): Event| Chunk {
        reaches,
        bytes: if text(&event, "/type") == Some("ping") {
            sse_event(&event)
        } else {
            padded_sse_event(&event)
        },
    };
    events.into_iter().map(chunk).collect()
}

/// Adds pings after the first event. The point that the first event reaches is reached with the last
/// ping.
pub(super) fn add_pings(chunks: &mut Vec<Chunk>, count: usize) {
    let Some(start) = chunks.first_mut().filter(|_| count > 0) else {
        return;
    };
    let reached = start.reaches.replace(Point::Headers);
    let ping = Chunk {
        reaches: Some(Point::Headers),
        bytes: sse_event(&json!({ "type": "ping" })),
    };
    let mut pings = vec![ping; count];
    if let Some(last) = pings.last_mut() {
        last.reaches = reached;
    }
    chunks.splice(1..1, pings);
}

/// One server-sent event. Claude Code and the SDKs read its `event:` line.
pub(super) fn sse_event(event: &Value) -> Bytes {
    let kind = text(event, "/type").unwrap_or_default();
    format!("event: {kind}\ndata: {event}\n\n").into()
}

/// One server-sent event, padded with blanks before its last brace.
fn padded_sse_event(event: &Value) -> Bytes {
    let kind = text(event, "/type").unwrap_or_default();
    let mut data = event.to_string();
    let blanks = 1 + data.len() * 7 % 15;
    data.insert_str(data.len().saturating_sub(1), &" ".repeat(blanks));
    format!("event: {kind}\ndata: {data}\n\n").into()
}

/// Exactly this event.
pub(super) fn scripted_sse_event(scripted: &Frame) -> Bytes {
    let data = match &scripted.payload {
        Value::String(text) => text.clone(),
        payload => payload.to_string(),
    };
    format!("event: {}\ndata: {data}\n\n", scripted.kind).into()
}

/// An error in the envelope of the API.
pub(super) fn error(kind: &str, message: &str, request_id: &str) -> Value {
    json!({
        "type": "error",
        "error": { "type": kind, "message": message },
        "request_id": request_id,
    })
}

/// A signature of thinking: opaque and never verified.
pub(super) fn signature(thinking: &str) -> String {
    let digest = Sha256::digest(thinking);
    BASE64.encode([b"simulated signature ".as_slice(), digest.as_slice()].concat())
}

/// Splits a text into small pieces at character boundaries.
pub(super) fn pieces(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest
            .char_indices()
            .map(|(at, c)| at + c.len_utf8())
            .find(|end| *end >= DELTA);
        let (piece, after) = rest.split_at(end.unwrap_or(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces
}
