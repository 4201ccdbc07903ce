//! Throughput of both directions in bytes per second, and their allocations.
//!
//! `cargo bench -p dialect`. The numbers of responses count the bytes for the client, those of
//! requests the bytes of the client.

#![expect(clippy::expect_used, reason = "a benchmark measures valid input only")]

use dialect::reply::{ConverseUsage, converse_reply};
use dialect::request::{MessagesRequest, RequestLabels, translate};
use dialect::sse::SseReader;
use dialect::stream::{BlockDelta, BlockStart, ConverseEvent, InvokeTranslator, StreamTranslator};
use dialect::{ReplyContext, UnsupportedFeatures};
use divan::counter::BytesCount;
use divan::{AllocProfiler, Bencher, black_box};
use domain::bedrock::{BedrockSettings, Dialect};
use serde_json::{Value, json};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

fn context() -> ReplyContext {
    ReplyContext {
        requested_model: "claude-opus-5-5".to_owned(),
        ..ReplyContext::default()
    }
}

/// A long turn in Bedrock's pieces: thinking, text and a tool call in pieces of a few words.
fn converse_events() -> Vec<ConverseEvent<'static>> {
    const PIECE: &str = "a few words, \"quoted\", and\n";
    const PIECES: usize = 1000;
    let delta = |index, delta| ConverseEvent::BlockDelta { index, delta };
    let mut events = vec![ConverseEvent::MessageStart];
    events.extend((0..PIECES).map(|_| delta(0, BlockDelta::Reasoning(PIECE.into()))));
    events.push(delta(0, BlockDelta::Signature("c2lnbmF0dXJl".into())));
    events.push(ConverseEvent::BlockStop { index: 0 });
    events.extend((0..PIECES).map(|_| delta(1, BlockDelta::Text(PIECE.into()))));
    events.push(ConverseEvent::BlockStop { index: 1 });
    let start = BlockStart::ToolUse {
        id: "tooluse_1".into(),
        name: "Write".into(),
    };
    events.push(ConverseEvent::BlockStart { index: 2, start });
    events.extend((0..PIECES).map(|_| delta(2, BlockDelta::ToolInput(PIECE.into()))));
    events.push(ConverseEvent::BlockStop { index: 2 });
    events.push(ConverseEvent::MessageStop {
        stop_reason: "tool_use".into(),
        stop_sequence: None,
    });
    events.push(ConverseEvent::Metadata(ConverseUsage {
        input_tokens: Some(10),
        output_tokens: Some(20_000),
        ..ConverseUsage::default()
    }));
    events
}

fn translated(events: Vec<ConverseEvent<'_>>, out: &mut Vec<u8>) {
    let mut translator = StreamTranslator::new("msg_bench", "req_bench", context());
    for event in events {
        translator.push(event, out);
    }
    translator.finish(out);
}

/// The same turn as events for the client.
fn sse() -> Vec<u8> {
    let mut out = Vec::new();
    translated(converse_events(), &mut out);
    out
}

#[divan::bench]
fn converse_stream(bencher: Bencher<'_, '_>) {
    let events = converse_events();
    let size = sse().len();
    bencher
        .counter(BytesCount::new(size))
        .with_inputs(|| (events.clone(), Vec::with_capacity(size)))
        .bench_local_values(|(events, mut out)| {
            translated(events, &mut out);
            out
        });
}

#[divan::bench]
fn invoke_stream(bencher: Bencher<'_, '_>) {
    let sse = sse();
    let mut chunks: Vec<Vec<u8>> = Vec::new();
    SseReader::new(usize::MAX).push(&sse, |event| chunks.extend(event.data.map(<[u8]>::to_vec)));
    bencher
        .counter(BytesCount::new(sse.len()))
        .with_inputs(|| Vec::with_capacity(sse.len()))
        .bench_local_values(|mut out| {
            let mut translator = InvokeTranslator::new("req_bench", context());
            for chunk in &chunks {
                translator.push(chunk, &mut out);
            }
            translator.finish(&mut out);
            out
        });
}

/// The reader of a Plan stream, in pieces of the size of TLS records.
#[divan::bench]
fn sse_reader(bencher: Bencher<'_, '_>) {
    let sse = sse();
    bencher.counter(BytesCount::new(sse.len())).bench_local(|| {
        let mut reader = SseReader::new(256 * 1024);
        let mut events = 0;
        for piece in sse.chunks(16 * 1024) {
            reader.push(piece, |event| events += usize::from(!event.name.is_empty()));
        }
        black_box(events)
    });
}

#[divan::bench]
fn converse_reply_of_100_kb(bencher: Bencher<'_, '_>) {
    let input = json!({ "path": "src/main.rs", "content": "let x = \"1\";\n".repeat(4000) });
    let body = json!({
        "output": { "message": { "role": "assistant", "content": [
            { "reasoningContent": { "reasoningText": { "text": "Hm. ".repeat(10_000), "signature": "c2ln" } } },
            { "toolUse": { "toolUseId": "tooluse_1", "name": "Write", "input": input } },
        ] } },
        "stopReason": "tool_use",
        "usage": { "inputTokens": 10, "outputTokens": 20_000, "totalTokens": 20_010 },
    })
    .to_string();
    let context = context();
    bencher
        .counter(BytesCount::new(body.len()))
        .bench_local(|| converse_reply(black_box(body.as_bytes()), "msg_bench", &context));
}

/// A usual conversation: 20 tools, 60 turns with tool results.
fn request() -> Vec<u8> {
    conversation(60)
}

/// A conversation with 20 tools and so many turns of about 1.4 kB.
fn conversation(turns: usize) -> Vec<u8> {
    let tools: Vec<Value> = (0..20)
        .map(|number| {
            json!({
                "name": format!("tool_{number}"),
                "description": "What the tool does, at some length. ".repeat(20),
                "input_schema": {
                    "type": "object",
                    "properties": {
                        "path": { "type": "string", "description": "Where the file is." },
                        "limit": { "type": "integer", "exclusiveMinimum": 0 },
                    },
                    "required": ["path"],
                },
            })
        })
        .collect();
    let mut messages = vec![json!({ "role": "user", "content": "Find the bug." })];
    for turn in 0..turns {
        let id = format!("toolu_{turn}");
        messages.push(json!({ "role": "assistant", "content": [
            { "type": "thinking", "thinking": "I look at the next file. ".repeat(4), "signature": "c2ln" },
            { "type": "tool_use", "id": id, "name": "tool_1", "input": { "path": "src/a.rs", "limit": turn } },
        ] }));
        messages.push(json!({ "role": "user", "content": [
            { "type": "tool_result", "tool_use_id": id, "content": "let x = \"1\";\n".repeat(70) },
        ] }));
    }
    json!({
        "model": "claude-opus-5-5",
        "max_tokens": 32_000,
        "stream": true,
        "system": [{ "type": "text", "text": "You are an agent. ".repeat(500), "cache_control": { "type": "ephemeral" } }],
        "thinking": { "type": "adaptive" },
        "tools": tools,
        "messages": messages,
    })
    .to_string()
    .into_bytes()
}

#[divan::bench(args = [Dialect::Converse, Dialect::Invoke])]
fn request_of_100_kb(bencher: Bencher<'_, '_>, dialect: Dialect) {
    translation(bencher, &request(), dialect);
}

/// The cost per megabyte must not depend on how many there are.
#[divan::bench(args = [1, 5, 20], sample_count = 10, sample_size = 1)]
fn request_of_megabytes_to_converse(bencher: Bencher<'_, '_>, megabytes: usize) {
    translation(bencher, &large_request(megabytes), Dialect::Converse);
}

#[divan::bench(args = [1, 5, 20], sample_count = 10, sample_size = 1)]
fn request_of_megabytes_to_invoke(bencher: Bencher<'_, '_>, megabytes: usize) {
    translation(bencher, &large_request(megabytes), Dialect::Invoke);
}

/// A request slightly smaller than this: Bedrock accepts 20 MB, and the translation may be longer.
fn large_request(megabytes: usize) -> Vec<u8> {
    conversation(megabytes * 650)
}

fn translation(bencher: Bencher<'_, '_>, body: &[u8], dialect: Dialect) {
    let target = dialect::model::resolve("claude-opus-5-5", &BedrockSettings::default());
    bencher
        .counter(BytesCount::new(body.len()))
        .bench_local(|| {
            let request = MessagesRequest::parse(black_box(body), std::iter::empty())
                .expect("a valid request");
            translate(
                &request,
                &target,
                dialect,
                &UnsupportedFeatures::default(),
                &RequestLabels::default(),
            )
            .expect("translatable")
        });
}
