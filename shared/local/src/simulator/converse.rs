//! The answers of Converse and ConverseStream, and the frames that both of Bedrock's streams are
//! made of (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html>,
//! <https://smithy.io/2.0/aws/amazon-eventstream.html>).

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde_json::{Value, json};

use super::anthropic::{pieces, signature};
use super::delivery::Beat;
use super::ids;
use super::script::{Content, Point, Usage};

/// The letters that the service pads its events with, in the member `p`, so that their lengths do
/// not tell what is said.
const PADDING: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/// An answer of a model.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Output {
    pub(super) content: Vec<Content>,
    pub(super) stop_reason: String,
    pub(super) usage: Usage,
    /// Whether the request cached anything: only then the usage says so.
    pub(super) caching: bool,
    /// Whether the request asked for `/stop_sequence` among the additional response fields.
    pub(super) additional_fields: bool,
}

impl Output {
    /// The answer in one piece.
    pub(super) fn whole(&self) -> Value {
        let blocks: Vec<_> = self.content.iter().map(whole_block).collect();
        let mut output = json!({
            "output": { "message": { "role": "assistant", "content": blocks } },
            "stopReason": self.stop_reason,
            "usage": self.usage(),
            "metrics": { "latencyMs": 17 },
        });
        self.add_fields(&mut output);
        output
    }

    /// The answer in frames.
    pub(super) fn beats(&self) -> Vec<Beat> {
        let mut beats = vec![beat(
            Some(Point::MessageStart),
            "messageStart",
            json!({
                "role": "assistant",
            }),
        )];
        for (index, content) in self.content.iter().enumerate() {
            let (first, last) = (index == 0, index + 1 == self.content.len());
            // Only tool calls are announced.
            if let Content::Tool(call) = content {
                beats.push(beat(
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
            beats.extend(deltas(content).into_iter().map(|delta| {
                let event = json!({ "contentBlockIndex": index, "delta": delta });
                beat(Some(reached), "contentBlockDelta", event)
            }));
            let reached = if last {
                Point::Content
            } else {
                Point::FirstBlock
            };
            let stop = json!({ "contentBlockIndex": index });
            beats.push(beat(Some(reached), "contentBlockStop", stop));
        }
        let mut stop = json!({ "stopReason": self.stop_reason });
        self.add_fields(&mut stop);
        beats.push(beat(Some(Point::StopReason), "messageStop", stop));
        beats.push(beat(
            None,
            "metadata",
            json!({
                "usage": self.usage(), "metrics": { "latencyMs": 17 },
            }),
        ));
        beats
    }

    fn add_fields(&self, output: &mut Value) {
        if self.additional_fields
            && let Some(output) = output.as_object_mut()
        {
            output.insert(
                "additionalModelResponseFields".into(),
                json!({ "stop_sequence": null }),
            );
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

fn beat(reaches: Option<Point>, kind: &str, event: Value) -> Beat {
    Beat {
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
    frame("event", ":event-type", kind, &event)
}

/// An exception: what a stream says instead of going on.
pub(super) fn exception_frame(kind: &str, message: &str) -> Bytes {
    frame(
        "exception",
        ":exception-type",
        kind,
        &json!({ "message": message }),
    )
}

/// A frame whose last checksum is wrong.
pub(super) fn broken_frame() -> Bytes {
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

fn frame(message_type: &'static str, name: &'static str, kind: &str, payload: &Value) -> Bytes {
    let text = |text: &str| HeaderValue::String(text.to_owned().into());
    let message = Message::new(payload.to_string())
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

fn whole_block(content: &Content) -> Value {
    match content {
        Content::Text(text) => json!({ "text": text }),
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

fn deltas(content: &Content) -> Vec<Value> {
    match content {
        Content::Text(text) => pieces(text)
            .iter()
            .map(|piece| json!({ "text": piece }))
            .collect(),
        Content::Thinking(text) => {
            let mut deltas: Vec<_> = pieces(text)
                .iter()
                .map(|piece| json!({ "reasoningContent": { "text": piece } }))
                .collect();
            // The service may cut a signature in two, and whoever reads it has to join it.
            let signature = signature(text);
            let (head, tail) = signature.split_at(signature.len() / 2);
            deltas.push(json!({ "reasoningContent": { "signature": head } }));
            deltas.push(json!({ "reasoningContent": { "signature": tail } }));
            deltas
        }
        Content::RedactedThinking(data) => {
            vec![json!({ "reasoningContent": { "redactedContent": BASE64.encode(data) } })]
        }
        Content::Tool(call) => {
            if call
                .input
                .as_object()
                .is_some_and(serde_json::Map::is_empty)
            {
                return Vec::new();
            }
            let input = call.input.to_string();
            pieces(&input)
                .iter()
                .map(|piece| json!({ "toolUse": { "input": piece } }))
                .collect()
        }
    }
}
