//! The responses of Converse and ConverseStream, and the frames of both of Bedrock's streams
//! (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html>,
//! <https://smithy.io/2.0/aws/amazon-eventstream.html>).

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde_json::{Value, json};

use super::anthropic::{pieces, signature};
use super::delivery::Chunk;
use super::ids;
use super::json::extend;
use super::script::{Citation, Content, Frame, Point, Usage};

/// The characters of the padding in the member `p` of each event, which hides the length of its content.
const PADDING: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/// A response of a model.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Output {
    pub(super) content: Vec<Content>,
    pub(super) stop_reason: String,
    pub(super) usage: Usage,
    /// Whether the request has a cache point; only then the usage has cache counts.
    pub(super) caching: bool,
    /// The stop sequence that was met.
    pub(super) stop_sequence: Option<String>,
    /// The request's `additionalModelResponseFieldPaths`.
    pub(super) field_paths: Vec<String>,
    /// Whether reasoning begins with an empty text delta, as that of Haiku 4.5 does.
    pub(super) empty_reasoning_text: bool,
}

impl Output {
    /// The response as JSON.
    pub(super) fn full_body(&self) -> Value {
        let blocks: Vec<_> = self.content.iter().map(full_block).collect();
        let mut output = json!({
            "output": { "message": { "role": "assistant", "content": blocks } },
            "stopReason": self.stop_reason,
            "usage": self.usage(),
            "metrics": { "latencyMs": 17 },
        });
        self.add_fields(&mut output, &["/stop_sequence", "/delta/stop_sequence"]);
        output
    }

    /// The response as frames.
    pub(super) fn chunks(&self) -> Vec<Chunk> {
        let mut chunks = vec![chunk(
            Some(Point::MessageStart),
            "messageStart",
            json!({
                "role": "assistant",
            }),
        )];
        for (index, content) in self.content.iter().enumerate() {
            let (first, last) = (index == 0, index + 1 == self.content.len());
            // Only tool calls have a start event.
            if let Content::Tool(call) = content {
                chunks.push(chunk(
                    Some(Point::MessageStart),
                    "contentBlockStart",
                    json!({
                        "contentBlockIndex": index,
                        "start": { "toolUse": {
                            "toolUseId": ids::bedrock_tool_use(), "name": call.name,
                            "type": "tool_use",
                        }},
                    }),
                ));
            }
            let reached = if first {
                Point::FirstDelta
            } else {
                Point::FirstBlock
            };
            chunks.extend(self.deltas(content).into_iter().map(|delta| {
                let event = json!({ "contentBlockIndex": index, "delta": delta });
                chunk(Some(reached), "contentBlockDelta", event)
            }));
            let reached = if last {
                Point::Content
            } else {
                Point::FirstBlock
            };
            let stop = json!({ "contentBlockIndex": index });
            chunks.push(chunk(Some(reached), "contentBlockStop", stop));
        }
        let mut stop = json!({ "stopReason": self.stop_reason });
        self.add_fields(&mut stop, &["/delta/stop_sequence"]);
        chunks.push(chunk(None, "messageStop", stop));
        chunks.push(chunk(
            None,
            "metadata",
            json!({
                "usage": self.usage(), "metrics": { "latencyMs": 17 },
            }),
        ));
        chunks
    }

    /// Adds the requested additional fields that exist. Each path points into the model's own response; without
    /// any match the member is absent.
    fn add_fields(&self, output: &mut Value, present: &[&str]) {
        let requested = |path: &&str| self.field_paths.iter().any(|other| other == path);
        let mut fields = json!({});
        for path in present.iter().copied().filter(requested) {
            let field = json!({ "stop_sequence": self.stop_sequence });
            if path == "/stop_sequence" {
                extend(&mut fields, field);
            } else {
                extend(&mut fields, json!({ "delta": field }));
            }
        }
        if fields != json!({}) {
            extend(output, json!({ "additionalModelResponseFields": fields }));
        }
    }

    fn deltas(&self, content: &Content) -> Vec<Value> {
        match content {
            Content::Text(text) => text_deltas(text),
            Content::Cited(cited) => {
                let citations = cited.citations.iter();
                let mut deltas: Vec<_> = citations
                    .map(|citation| json!({ "citation": citation.converse() }))
                    .collect();
                deltas.extend(text_deltas(&cited.text));
                deltas
            }
            Content::Thinking(text) => {
                let empty = self.empty_reasoning_text.then_some("");
                let mut deltas: Vec<_> = empty
                    .into_iter()
                    .chain(pieces(text))
                    .map(|piece| json!({ "reasoningContent": { "text": piece } }))
                    .collect();
                deltas.push(json!({ "reasoningContent": { "signature": signature(text) } }));
                deltas
            }
            Content::RedactedThinking(data) => {
                vec![json!({ "reasoningContent": { "redactedContent": BASE64.encode(data) } })]
            }
            Content::Tool(call) => {
                let input = call.input.to_string();
                let empty = call
                    .input
                    .as_object()
                    .is_some_and(serde_json::Map::is_empty);
                let rest = if empty { Vec::new() } else { pieces(&input) };
                std::iter::once("")
                    .chain(rest)
                    .map(|piece| json!({ "toolUse": { "input": piece } }))
                    .collect()
            }
        }
    }

    fn usage(&self) -> Value {
        let Usage {
            input,
            output,
            cache_read,
            cache_write_5m,
            cache_write_1h,
        } = self.usage;
        let cache_write = cache_write_5m + cache_write_1h;
        if !self.caching && cache_read == 0 && cache_write == 0 {
            return json!({
                "inputTokens": input, "outputTokens": output, "totalTokens": input + output,
                "serverToolUsage": {},
            });
        }
        let mut usage = json!({
            "inputTokens": input,
            "outputTokens": output,
            "totalTokens": input + output + cache_read + cache_write,
            "cacheReadInputTokens": cache_read,
            "cacheReadInputTokenCount": cache_read,
            "cacheWriteInputTokens": cache_write,
            "cacheWriteInputTokenCount": cache_write,
            "serverToolUsage": {},
        });
        let details: Vec<_> = [("5m", cache_write_5m), ("1h", cache_write_1h)]
            .into_iter()
            .filter(|(_, tokens)| *tokens > 0)
            .map(|(ttl, tokens)| json!({ "ttl": ttl, "inputTokens": tokens }))
            .collect();
        if let (false, Some(usage)) = (details.is_empty(), usage.as_object_mut()) {
            usage.insert("cacheDetails".into(), details.into());
        }
        usage
    }
}

fn chunk(reaches: Option<Point>, kind: &str, event: Value) -> Chunk {
    Chunk {
        reaches,
        bytes: event_frame(kind, event),
    }
}

/// An event. The member `p` is padding.
pub(super) fn event_frame(kind: &str, mut event: Value) -> Bytes {
    let length = 2 + event.to_string().len() * 7 % (PADDING.len() - 2);
    if let Some(event) = event.as_object_mut() {
        event.insert("p".into(), PADDING.get(..length).unwrap_or_default().into());
    }
    frame("event", ":event-type", kind, event.to_string())
}

/// An exception frame, which ends a stream.
pub(super) fn exception_frame(kind: &str, message: &str) -> Bytes {
    frame(
        "exception",
        ":exception-type",
        kind,
        json!({ "message": message }).to_string(),
    )
}

/// Exactly this frame. A chunk of `InvokeModelWithResponseStream` carries the event in base64.
pub(super) fn scripted_frame(scripted: &Frame) -> Bytes {
    let kind = scripted.kind.as_str();
    let payload = match &scripted.payload {
        Value::String(text) => text.clone(),
        payload => payload.to_string(),
    };
    if kind.ends_with("Exception") {
        frame("exception", ":exception-type", kind, payload)
    } else if kind == "chunk" {
        let chunk = json!({ "bytes": BASE64.encode(payload) });
        frame("event", ":event-type", kind, chunk.to_string())
    } else {
        frame("event", ":event-type", kind, payload)
    }
}

/// A frame whose last checksum is wrong.
pub(super) fn corrupt_frame() -> Bytes {
    let frame = event_frame(
        "contentBlockDelta",
        json!({
            "contentBlockIndex": 0, "delta": { "text": "this never arrives" },
        }),
    );
    let mut bytes = frame.to_vec();
    if let Some(last) = bytes.last_mut() {
        *last = !*last;
    }
    bytes.into()
}

fn frame(message_type: &'static str, name: &'static str, kind: &str, payload: String) -> Bytes {
    let text = |text: &str| HeaderValue::String(text.to_owned().into());
    let message = Message::new(payload)
        .add_header(Header::new(name, text(kind)))
        .add_header(Header::new(":content-type", text("application/json")))
        .add_header(Header::new(":message-type", text(message_type)));
    let mut bytes = Vec::new();
    // Fails only for headers or payloads beyond the format's own limits; such a frame is left out.
    if write_message_to(&message, &mut bytes).is_err() {
        bytes.clear();
    }
    bytes.into()
}

fn full_block(content: &Content) -> Value {
    match content {
        Content::Text(text) => json!({ "text": text }),
        Content::Cited(cited) => json!({ "citationsContent": {
            "content": [{ "text": cited.text }],
            "citations": cited.citations.iter().map(Citation::converse).collect::<Vec<_>>(),
        }}),
        Content::Thinking(text) => json!({ "reasoningContent": { "reasoningText": {
            "text": text, "signature": signature(text),
        }}}),
        Content::RedactedThinking(data) => {
            json!({ "reasoningContent": { "redactedContent": BASE64.encode(data) } })
        }
        Content::Tool(call) => json!({ "toolUse": {
            "toolUseId": ids::bedrock_tool_use(), "name": call.name, "input": call.input,
            "type": "tool_use",
        }}),
    }
}

fn text_deltas(text: &str) -> Vec<Value> {
    pieces(text)
        .iter()
        .map(|piece| json!({ "text": piece }))
        .collect()
}
