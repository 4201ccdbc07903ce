//! Laws of responses, on generated input.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a law ends where it is broken; the bodies are shared with the fuzz targets"
)]

mod law;

use base64::Engine as _;
use dialect::reply::{ConverseUsage, converse_reply};
use dialect::stream::{BlockDelta, BlockStart, ConverseEvent, StreamEnd, StreamTranslator};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

proptest! {
    #[test]
    fn sse_reader_finds_the_same_events_for_every_split(data in stream_like()) {
        law::sse(&data);
    }

    #[test]
    fn any_sequence_of_converse_events_is_a_valid_anthropic_stream(
        data in vec(any::<u8>(), 0..300),
    ) {
        law::converse_stream(&data);
    }

    #[test]
    fn any_converse_stream_frames_are_events_or_errors(data in vec(any::<u8>(), 0..100)) {
        law::converse_frames(&data);
    }

    #[test]
    fn any_sequence_of_invoke_chunks_is_a_valid_anthropic_stream(
        data in vec(any::<u8>(), 0..200),
    ) {
        law::invoke_stream(&data);
    }

    #[test]
    fn any_response_body_is_a_message_or_an_error(data in vec(any::<u8>(), 0..200)) {
        law::reply(&data);
    }

    #[test]
    fn any_failure_has_an_error_message_without_text_of_aws(data in vec(any::<u8>(), 0..100)) {
        law::failure(&data);
    }

    #[test]
    fn any_request_has_one_translation_or_an_error(
        head in vec(any::<u8>(), 3),
        seed in prop::sample::select(SEEDS),
        edits in vec((any::<prop::sample::Index>(), edit()), 0..4),
    ) {
        law::request(&[head, edited(seed, &edits).into_bytes()].concat());
    }

    #[test]
    fn split_into_deltas_keeps_the_whole_message(
        blocks in vec(block(), 0..6),
        cuts in vec(1..9_usize, 1..20),
        stops in any::<bool>(),
    ) {
        let mut translator = StreamTranslator::new("msg_test", "req_test", law::context());
        let mut out = Vec::new();
        for event in as_stream(&blocks, &cuts, stops) {
            translator.push(event, &mut out);
        }
        let understood = law::understand(&out);
        prop_assert_eq!(understood.end, Some(StreamEnd::Complete));
        prop_assert_eq!(understood.blocks, expected(&blocks, AsText));
        let (_, usage) = understood.message_delta.unwrap();
        prop_assert_eq!(&usage["input_tokens"], 11);
        prop_assert_eq!(&usage["output_tokens"], 22);
    }

    #[test]
    fn stream_and_whole_response_become_the_same_message(blocks in vec(block(), 0..6)) {
        let reply = converse_reply(&as_reply(&blocks), "msg_test", &law::context()).unwrap();
        let message: Value = serde_json::from_slice(&reply.body).unwrap();
        prop_assert_eq!(&message["content"], &Value::from(expected(&blocks, Parsed)));
        prop_assert_eq!(reply.usage.output, Some(22));
    }
}

/// Requests with most fields of Claude Code. The fuzzer starts from them too.
const SEEDS: &[&str] = &[
    include_str!("../../../../fuzz/seeds/request/turn.json"),
    include_str!("../../../../fuzz/seeds/request/search.json"),
];

/// The replacements of a value of a request.
fn edit() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        Just(json!({})),
        Just(json!([])),
        Just(json!(-1)),
        Just(json!("")),
        Just(json!("assistant")),
        Just(json!("tool_use")),
        Just(json!([{ "type": "text", "text": " " }])),
        any::<bool>().prop_map(Value::from),
        ".{0,80}".prop_map(Value::from),
    ]
}

/// The request with some of its values replaced.
fn edited(seed: &str, edits: &[(prop::sample::Index, Value)]) -> String {
    fn count(value: &Value) -> usize {
        1 + match value {
            Value::Array(items) => items.iter().map(count).sum(),
            Value::Object(members) => members.values().map(count).sum::<usize>(),
            _ => 0,
        }
    }
    /// Replaces the value at this place in reading order.
    fn replace(value: &mut Value, place: &mut usize, by: &Value) {
        if *place == 0 {
            *value = by.clone();
        }
        *place = place.wrapping_sub(1);
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| replace(item, place, by)),
            Value::Object(members) => {
                members
                    .values_mut()
                    .for_each(|member| replace(member, place, by));
            }
            _ => {}
        }
    }
    let mut request: Value = serde_json::from_str(seed).unwrap();
    for (index, by) in edits {
        let mut place = index.index(count(&request));
        replace(&mut request, &mut place, by);
    }
    request.to_string()
}

/// Bytes with many characters of the grammar.
fn stream_like() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"data".to_vec()),
        Just(b"event".to_vec()),
        Just(b": ".to_vec()),
        Just(b":".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"\r".to_vec()),
        Just(b"\n\n".to_vec()),
        Just(b"\r\n\r\n".to_vec()),
        Just(b"\xEF\xBB\xBF".to_vec()),
        vec(any::<u8>(), 0..8),
    ];
    let head = vec(any::<u8>(), 2);
    (head, vec(piece, 0..60)).prop_map(|(head, pieces)| [head, pieces.concat()].concat())
}

#[derive(Clone, Debug)]
enum Block {
    Text(String),
    Thinking(String, String),
    Redacted(String),
    Tool(String, Value),
}

fn block() -> impl Strategy<Value = Block> {
    let text = prop_oneof![
        ".{0,40}",
        "[ \n]{0,3}",
        Just("\n\nHello \"\u{f6}\"".to_owned())
    ];
    let input = vec(("[a-z]{1,8}", ".{0,20}"), 0..4).prop_map(|members| {
        members
            .into_iter()
            .map(|(name, value)| (name, Value::from(value)))
            .collect()
    });
    prop_oneof![
        text.prop_map(Block::Text),
        (".{1,40}", "[A-Za-z0-9+/]{0,40}").prop_map(|(text, sig)| Block::Thinking(text, sig)),
        "[A-Za-z0-9+/]{1,40}".prop_map(Block::Redacted),
        ("[a-zA-Z0-9_-]{1,20}", input).prop_map(|(id, input)| Block::Tool(id, input)),
    ]
}

/// The events of the blocks, in pieces of the given lengths in characters.
fn as_stream(blocks: &[Block], cuts: &[usize], stops: bool) -> Vec<ConverseEvent<'static>> {
    let mut events = vec![ConverseEvent::MessageStart];
    let mut cuts = cuts.iter().cycle();
    let mut pieces = |text: &str| -> Vec<String> {
        let mut rest: Vec<char> = text.chars().collect();
        let mut pieces = Vec::new();
        while !rest.is_empty() {
            let at = (*cuts.next().unwrap()).min(rest.len());
            pieces.push(rest.drain(..at).collect());
        }
        pieces
    };
    // Bedrock may skip numbers.
    for (index, block) in (0..).step_by(2).zip(blocks) {
        let deltas: Vec<BlockDelta<'static>> = match block {
            Block::Text(text) => pieces(text)
                .into_iter()
                .map(|piece| BlockDelta::Text(piece.into()))
                .collect(),
            Block::Thinking(text, signature) => {
                let text = pieces(text)
                    .into_iter()
                    .map(|piece| BlockDelta::Reasoning(piece.into()));
                let signature = pieces(signature)
                    .into_iter()
                    .map(|piece| BlockDelta::Signature(piece.into()));
                text.chain(signature).collect()
            }
            Block::Redacted(data) => pieces(data)
                .into_iter()
                .map(|piece| BlockDelta::Redacted(piece.into_bytes().into()))
                .collect(),
            Block::Tool(id, input) => {
                events.push(ConverseEvent::BlockStart {
                    index,
                    start: BlockStart::ToolUse {
                        id: id.clone().into(),
                        name: "short".into(),
                    },
                });
                pieces(&input.to_string())
                    .into_iter()
                    .map(|piece| BlockDelta::ToolInput(piece.into()))
                    .collect()
            }
        };
        events.extend(
            deltas
                .into_iter()
                .map(|delta| ConverseEvent::BlockDelta { index, delta }),
        );
        if stops {
            events.push(ConverseEvent::BlockStop { index });
        }
    }
    events.push(ConverseEvent::MessageStop {
        stop_reason: "end_turn".into(),
        stop_sequence: None,
    });
    events.push(ConverseEvent::Metadata(ConverseUsage {
        input_tokens: Some(11),
        output_tokens: Some(22),
        ..ConverseUsage::default()
    }));
    events
}

/// The body of a Converse response with the same blocks.
fn as_reply(blocks: &[Block]) -> Vec<u8> {
    let blocks: Vec<Value> = blocks
        .iter()
        .map(|block| match block {
            Block::Text(text) => json!({ "text": text }),
            Block::Thinking(text, signature) => json!({
                "reasoningContent": { "reasoningText": { "text": text, "signature": signature } }
            }),
            Block::Redacted(data) => {
                let blob = base64::engine::general_purpose::STANDARD.encode(data);
                json!({ "reasoningContent": { "redactedContent": blob } })
            }
            Block::Tool(id, input) => {
                json!({ "toolUse": { "toolUseId": id, "name": "short", "input": input } })
            }
        })
        .collect();
    json!({
        "output": { "message": { "role": "assistant", "content": blocks } },
        "stopReason": "end_turn",
        "usage": { "inputTokens": 11, "outputTokens": 22, "totalTokens": 33 },
        "metrics": { "latencyMs": 1 },
    })
    .to_string()
    .into_bytes()
}

/// The compared form of a tool's input.
#[derive(Clone, Copy)]
enum InputForm {
    AsText,
    Parsed,
}
use InputForm::{AsText, Parsed};

fn expected(blocks: &[Block], inputs: InputForm) -> Vec<Value> {
    // Blank text is the start of the text block after it.
    let mut blank = String::new();
    let mut visible = Vec::new();
    for block in blocks {
        match block {
            Block::Text(text) if text.trim().is_empty() => blank.push_str(text),
            Block::Text(text) => visible.push(Block::Text(std::mem::take(&mut blank) + text)),
            other => {
                blank.clear();
                visible.push(other.clone());
            }
        }
    }
    visible
        .iter()
        .map(|block| match block {
            Block::Text(text) => json!({ "type": "text", "text": text }),
            Block::Thinking(text, signature) => {
                json!({ "type": "thinking", "thinking": text, "signature": signature })
            }
            Block::Redacted(data) => json!({ "type": "redacted_thinking", "data": data }),
            Block::Tool(id, input) => {
                let input = match inputs {
                    AsText => Value::from(input.to_string()),
                    Parsed => input.clone(),
                };
                json!({ "type": "tool_use", "id": id, "name": "a_longer_name", "input": input })
            }
        })
        .collect()
}
