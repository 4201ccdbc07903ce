//! The answers of the Messages API: a message in one piece, its events, and its errors
//! (<https://docs.claude.com/en/api/messages-streaming>, <https://docs.claude.com/en/api/errors>).
//! `InvokeModel` on Bedrock answers with the same message and the same events.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::delivery::Beat;
use super::ids;
use super::json::text;
use super::script::{Content, Point, Usage};

/// About how many bytes of text or JSON go into one delta.
const DELTA: usize = 14;

/// A message that is answered.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Message {
    pub(super) id: String,
    /// As the request named it.
    pub(super) model: String,
    pub(super) content: Vec<Content>,
    pub(super) stop_reason: String,
    pub(super) usage: Usage,
}

/// An event and the point of the answer it reaches.
pub(super) type Event = (Option<Point>, Value);

impl Message {
    /// The message in one piece.
    pub(super) fn whole(&self) -> Value {
        let blocks: Vec<_> = self.content.iter().map(whole_block).collect();
        json!({
            "id": self.id,
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": blocks,
            "stop_reason": self.stop_reason,
            "stop_sequence": null,
            "usage": usage(&self.usage, self.usage.output),
        })
    }

    /// The message in events.
    pub(super) fn events(&self) -> Vec<Event> {
        let mut events = vec![(
            Some(Point::MessageStart),
            json!({
                "type": "message_start",
                "message": {
                    "id": self.id,
                    "type": "message",
                    "role": "assistant",
                    "model": self.model,
                    "content": [],
                    "stop_reason": null,
                    "stop_sequence": null,
                    "usage": usage(&self.usage, 1),
                },
            }),
        )];
        for (index, content) in self.content.iter().enumerate() {
            let (first, last) = (index == 0, index + 1 == self.content.len());
            let (start, deltas) = streamed_block(content);
            events.push((
                Some(Point::MessageStart),
                json!({
                    "type": "content_block_start", "index": index, "content_block": start,
                }),
            ));
            if first {
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
        events.push((
            Some(Point::StopReason),
            json!({
                "type": "message_delta",
                "delta": { "stop_reason": self.stop_reason, "stop_sequence": null },
                "usage": usage(&self.usage, self.usage.output),
            }),
        ));
        events.push((None, json!({ "type": "message_stop" })));
        events
    }
}

/// Events as server-sent events.
pub(super) fn sse(events: Vec<Event>) -> Vec<Beat> {
    let beat = |(reaches, event): Event| Beat {
        reaches,
        bytes: sse_event(&event),
    };
    events.into_iter().map(beat).collect()
}

/// Adds pings after the first event: so many, and so many bytes of filling in each. The point that
/// the first event reaches is reached with the last of them.
pub(super) fn add_pings(beats: &mut Vec<Beat>, (count, filling): (usize, usize)) {
    let Some(start) = beats.first_mut().filter(|_| count > 0) else {
        return;
    };
    let reached = start.reaches.replace(Point::Headers);
    let event = if filling == 0 {
        json!({ "type": "ping" })
    } else {
        json!({ "type": "ping", "filling": "x".repeat(filling) })
    };
    let ping = Beat {
        reaches: Some(Point::Headers),
        bytes: sse_event(&event),
    };
    let mut pings = vec![ping; count];
    if let Some(last) = pings.last_mut() {
        last.reaches = reached;
    }
    beats.splice(1..1, pings);
}

/// One server-sent event. Claude Code and the SDKs go by its `event:` line.
pub(super) fn sse_event(event: &Value) -> Bytes {
    let kind = text(event, "/type").unwrap_or_default();
    format!("event: {kind}\ndata: {event}\n\n").into()
}

/// An error in the envelope of the API.
pub(super) fn error(kind: &str, message: &str, request_id: &str) -> Value {
    json!({
        "type": "error",
        "error": { "type": kind, "message": message },
        "request_id": request_id,
    })
}

/// A signature of thinking: opaque, and nobody checks it.
pub(super) fn signature(thinking: &str) -> String {
    let digest = Sha256::digest(thinking);
    BASE64.encode([b"simulated signature ".as_slice(), digest.as_slice()].concat())
}

/// Cuts a text in small pieces, never inside a character.
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

fn whole_block(content: &Content) -> Value {
    match content {
        Content::Text(text) => json!({ "type": "text", "text": text }),
        Content::Thinking(text) => {
            json!({ "type": "thinking", "thinking": text, "signature": signature(text) })
        }
        Content::RedactedThinking(data) => json!({ "type": "redacted_thinking", "data": data }),
        Content::Tool(call) => json!({
            "type": "tool_use", "id": ids::tool_use(), "name": call.name, "input": call.input,
        }),
    }
}

fn streamed_block(content: &Content) -> (Value, Vec<Value>) {
    match content {
        Content::Text(text) => (
            json!({ "type": "text", "text": "" }),
            pieces(text)
                .iter()
                .map(|p| json!({ "type": "text_delta", "text": p }))
                .collect(),
        ),
        Content::Thinking(text) => {
            let mut deltas: Vec<_> = pieces(text)
                .iter()
                .map(|piece| json!({ "type": "thinking_delta", "thinking": piece }))
                .collect();
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
            let start = json!({
                "type": "tool_use", "id": ids::tool_use(), "name": call.name, "input": {},
            });
            (start, deltas)
        }
    }
}

fn usage(usage: &Usage, output: u64) -> Value {
    json!({
        "input_tokens": usage.input,
        "cache_creation_input_tokens": usage.cache_write_5m + usage.cache_write_1h,
        "cache_read_input_tokens": usage.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write_5m,
            "ephemeral_1h_input_tokens": usage.cache_write_1h,
        },
        "output_tokens": output,
        "service_tier": "standard",
    })
}
