//! `InvokeModelWithResponseStream`: the changed members, and that all others are unchanged.

use dialect::error::{Cause, classify, repairs};
use dialect::stream::{InvokeTranslator, StreamEnd};
use dialect::{ReplyContext, UnsupportedFeature};
use domain::usage::TokenUsage;
use insta::assert_snapshot;

use crate::notation::context;

const START: &str = r#"{"type":"message_start","message":{"id":"msg_bdrk_1","type":"message","role":"assistant","model":"claude-sonnet-4-5-20250929","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":3,"cache_creation_input_tokens":5,"cache_read_input_tokens":7,"cache_creation":{"ephemeral_5m_input_tokens":1,"ephemeral_1h_input_tokens":4},"output_tokens":1}}}"#;
const TEXT: &str =
    r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#;
const HI: &str =
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}"#;
const STOP: &str = r#"{"type":"content_block_stop","index":0}"#;
const DELTA: &str = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":9}}"#;
const END: &str = r#"{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":3,"outputTokenCount":9,"invocationLatency":1,"firstByteLatency":1,"cacheReadInputTokenCount":7,"cacheWriteInputTokenCount":5}}"#;

fn run(chunks: &[&str], context: ReplyContext) -> (InvokeTranslator, String) {
    let mut translator = InvokeTranslator::new("req_test", context);
    let mut out = Vec::new();
    for chunk in chunks {
        translator.push(chunk.as_bytes(), &mut out);
    }
    (translator, String::from_utf8(out).unwrap())
}

fn frame(chunk: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(chunk).unwrap();
    format!(
        "event: {}\ndata: {chunk}\n\n",
        value["type"].as_str().unwrap()
    )
}

#[test]
fn invoke_stream_changes_only_model_counts_and_metrics() {
    let (translator, out) = run(&[START, TEXT, HI, STOP, DELTA, END], context());
    assert_snapshot!(out, @r#"
    event: message_start
    data: {"type":"message_start","message":{"id":"msg_bdrk_1","type":"message","role":"assistant","model":"claude-opus-5-5","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":3,"cache_creation_input_tokens":5,"cache_read_input_tokens":7,"cache_creation":{"ephemeral_5m_input_tokens":1,"ephemeral_1h_input_tokens":4},"output_tokens":1}}}

    event: content_block_start
    data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

    event: content_block_delta
    data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}

    event: content_block_stop
    data: {"type":"content_block_stop","index":0}

    event: message_delta
    data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":9,"input_tokens":3,"cache_creation_input_tokens":5,"cache_read_input_tokens":7}}

    event: message_stop
    data: {"type":"message_stop"}
    "#);
    let expected = TokenUsage {
        input: Some(3),
        output: Some(9),
        cache_read: Some(7),
        cache_write: Some(5),
        cache_write_5m: Some(1),
        cache_write_1h: Some(4),
    };
    assert_eq!(translator.usage(), expected);
    assert_eq!(translator.end(), Some(StreamEnd::Complete));
    assert_eq!(translator.stop_reason(), Some("end_turn"));
}

#[test]
fn counts_of_the_metrics_reach_the_client_and_the_ledger() {
    let bare = START.replace(
        r#""cache_creation_input_tokens":5,"cache_read_input_tokens":7,"#,
        "",
    );
    let (translator, out) = run(&[&bare, DELTA, END], context());
    assert!(out.contains(r#""cache_creation_input_tokens":5,"cache_read_input_tokens":7}}"#));
    assert_eq!(translator.usage().cache_read, Some(7));
    assert_eq!(translator.usage().cache_write, Some(5));
}

#[test]
fn counts_of_message_delta_are_not_changed() {
    let expected = DELTA.replace(
        r#""output_tokens":9"#,
        r#""output_tokens":9,"input_tokens":0,"cache_creation_input_tokens":0,"cache_read_input_tokens":0"#,
    );
    let (translator, out) = run(&[START, &expected, END], context());
    assert!(out.contains(&frame(&expected)));
    assert_eq!(
        translator.usage().cache_read,
        Some(0),
        "the last word counts"
    );
}

#[test]
fn unknown_events_are_copied_byte_for_byte() {
    let odd = r#"{"type":"content_block_delta","index":0,"delta":{"type":"new_delta","n":1.0e5,"a":{"z":1,"b":[ ]}},"x":null}"#;
    let new = r#"{ "type":"vendor.new_event" , "n":0.10 }"#;
    let (_, out) = run(&[START, TEXT, odd, new, STOP], context());
    assert!(out.contains(&frame(odd)));
    assert!(out.contains(&frame(new)));
}

#[test]
fn line_breaks_between_tokens_do_not_break_the_frame() {
    let (_, out) = run(&[START, "{\"type\":\r\n\"ping\"}"], context());
    assert!(out.ends_with("event: ping\ndata: {\"type\":  \"ping\"}\n\n"));
}

#[test]
fn changed_tool_name_is_restored_in_the_stream() {
    let mut context = context();
    context.renamed_tools = vec![("short".to_owned(), "a_long_name".to_owned())];
    let tool = r#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"toolu_1","name":"short","input":{}}}"#;
    let (_, out) = run(&[START, tool], context);
    assert!(out.ends_with(&frame(&tool.replace("short", "a_long_name"))));
}

#[test]
fn requested_safeguards_are_reported_as_unavailable() {
    let mut context = context();
    context.safeguards_requested = true;
    let (_, out) = run(&[START, DELTA, END], context);
    assert!(out.contains(r#""delta":{"stop_reason":"end_turn","stop_sequence":null,"safeguard_results":[{"type":"dangerous_tool_use","status":{"type":"unavailable","reason":"disabled"}}]}"#));
}

#[test]
fn events_out_of_order_end_the_stream_with_an_error() {
    let another = START.replace(r#""id":"msg_"#, r#""id":"msg_other_"#);
    assert_ne!(another, START);
    let inside = TEXT.replace(r#""index":0"#, r#""index":1"#);
    let other = HI.replace(r#""index":0"#, r#""index":1"#);
    let table: &[&[&str]] = &[
        &[TEXT],
        &[END],
        &[START, &another],
        &[START, TEXT, START],
        &[START, HI],
        &[START, TEXT, &inside],
        &[START, TEXT, &other],
        &[START, TEXT, STOP, STOP],
        &[START, TEXT, STOP, TEXT],
        &[START, TEXT, DELTA],
        &[START, END],
        &[START, DELTA, TEXT],
        &[START, "not JSON"],
        &[START, "{}"],
        &[
            START,
            r#"{"type":"error","error":{"type":"api_error","message":"arn:aws:x"}}"#,
        ],
    ];
    for chunks in table {
        let (translator, out) = run(chunks, context());
        assert_eq!(translator.end(), Some(StreamEnd::Failed), "{chunks:?}");
        let last = out.trim_end().rsplit("\n\n").next().unwrap();
        assert!(last.starts_with("event: error\n"), "{last}");
        assert!(
            last.contains("overloaded_error") && last.contains("req_test"),
            "{last}"
        );
        assert!(!last.contains("arn:"), "{last}");
    }
}

#[test]
fn message_start_sent_twice_is_written_once() {
    let (translator, out) = run(&[START, START, TEXT, HI, STOP, DELTA, END], context());
    assert_eq!(translator.end(), Some(StreamEnd::Complete));
    assert_eq!(out.matches("event: message_start").count(), 1);
}

#[test]
fn error_inside_a_stream_is_classified_by_type_and_message() {
    for (chunk, cause, error_type) in [
        (
            r#"{"type":"error","error":{"type":"rate_limit_error","message":"Rate limited","details":null},"request_id":"req_1"}"#,
            Cause::Throttled,
            "overloaded_error",
        ),
        (
            r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
            Cause::ServiceError,
            "overloaded_error",
        ),
        (
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 211055 tokens > 200000 maximum"}}"#,
            Cause::PromptTooLong,
            "invalid_request_error",
        ),
        ("not JSON", Cause::Unreadable, "overloaded_error"),
    ] {
        let (translator, out) = run(&[chunk], context());
        assert!(out.contains(error_type), "{out}");
        let failure = translator.failure().expect("it failed");
        assert_eq!(classify(&failure).cause, cause, "{chunk}");
    }
    let message = "messages.1.content.0: Invalid `signature` in `thinking` block";
    let chunk = format!(
        r#"{{"type":"error","error":{{"type":"invalid_request_error","message":"{message}"}}}}"#
    );
    let (translator, _) = run(&[&chunk], context());
    let repairs = repairs(&translator.failure().expect("it failed"), &[]);
    let parts: Vec<_> = repairs.iter().map(|repair| &repair.part).collect();
    assert_eq!(
        parts,
        [&UnsupportedFeature::ThinkingHistory],
        "it can be repaired"
    );
}

#[test]
fn end_without_message_stop_is_an_error_after_message_delta() {
    let (mut translator, mut out) = run(&[START, TEXT, HI, STOP, DELTA], context());
    let mut tail = Vec::new();
    translator.finish(&mut tail);
    out.push_str(&String::from_utf8(tail).unwrap());
    assert!(
        !out.contains("message_delta"),
        "the client would take it for the end"
    );
    assert!(out.contains("event: error\n"));
    assert_eq!(translator.end(), Some(StreamEnd::Failed));
    assert_eq!(translator.usage().output, Some(9));
}

#[test]
fn message_deltas_are_held_until_message_stop() {
    let (_, before) = run(&[START, DELTA, DELTA], context());
    assert!(!before.contains("message_delta"));
    let (_, after) = run(&[START, DELTA, DELTA, END], context());
    assert_eq!(after.matches("event: message_delta").count(), 2);
}

#[test]
fn keep_alive_before_message_start_is_a_comment() {
    let mut translator = InvokeTranslator::new("req_test", context());
    let mut out = Vec::new();
    translator.ping(&mut out);
    assert!(out.starts_with(b":"));
    out.clear();
    translator.push(START.as_bytes(), &mut out);
    out.clear();
    translator.ping(&mut out);
    assert_eq!(out, dialect::sse::PING);
    out.clear();
    translator.finish(&mut out);
    out.clear();
    translator.ping(&mut out);
    assert!(out.is_empty());
}
