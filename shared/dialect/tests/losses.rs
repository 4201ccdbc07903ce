//! The losses of responses: the same type and the same names for whole responses and streams.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends where its expectation does; clippy.toml exempts test functions only"
)]

use dialect::reply::{converse_reply, invoke_reply};
use dialect::stream::{ConverseEvent, InvokeTranslator, StreamTranslator};
use dialect::{Losses, ReplyContext};
use serde_json::{Value, json};

/// The losses of a whole Converse response with this content.
fn losses_of_response(content: &Value, stop_reason: &str) -> Losses {
    let body = json!({
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": stop_reason,
    });
    let body = body.to_string();
    let reply = converse_reply(body.as_bytes(), "msg_1", &ReplyContext::default());
    reply.unwrap().losses
}

/// The losses of a Converse stream with these events of its content.
fn losses_of_stream(events: &[(&str, Value)], stop_reason: &str) -> Losses {
    let mut translator = StreamTranslator::new("msg_1", "req_1", ReplyContext::default());
    let mut out = Vec::new();
    let stop = ("messageStop", json!({"stopReason": stop_reason}));
    for (name, payload) in events.iter().chain([&stop]) {
        let payload = payload.to_string();
        let event = ConverseEvent::parse(name, payload.as_bytes()).unwrap();
        translator.push(event, &mut out);
    }
    translator.finish(&mut out);
    translator.losses().clone()
}

fn start(start: &Value) -> (&'static str, Value) {
    let payload = json!({"contentBlockIndex": 0, "start": start});
    ("contentBlockStart", payload)
}

fn delta(delta: &Value) -> (&'static str, Value) {
    let payload = json!({"contentBlockIndex": 0, "delta": delta});
    ("contentBlockDelta", payload)
}

#[test]
fn stream_and_whole_response_have_the_same_losses() {
    let server_tool =
        json!({"toolUseId": "t1", "name": "search", "type": "server_tool_use", "input": {}});
    let web_citation = json!({"location": {"web": {"url": "https://example.com"}}});
    let cited = json!({"content": [{"text": "Hi"}], "citations": [web_citation]});
    // [255], which is not UTF-8.
    let redacted = json!({"redactedContent": "/w=="});
    let cases = [
        (
            "reply:server_tool_use",
            json!([{"toolUse": server_tool}]),
            vec![start(&json!({"toolUse": server_tool}))],
        ),
        (
            "reply:content_block",
            json!([{"video": {}}]),
            vec![delta(&json!({"video": {}}))],
        ),
        (
            "reply:redacted_thinking",
            json!([{"reasoningContent": redacted}]),
            vec![delta(&json!({"reasoningContent": redacted}))],
        ),
        (
            "reply:citation",
            json!([{"citationsContent": cited}]),
            vec![
                delta(&json!({"text": "Hi"})),
                delta(&json!({"citation": web_citation})),
            ],
        ),
    ];
    for (loss, content, events) in cases {
        let (whole, stream) = (
            losses_of_response(&content, "end_turn"),
            losses_of_stream(&events, "end_turn"),
        );
        assert_eq!(whole.iter().collect::<Vec<_>>(), [loss]);
        assert_eq!(whole, stream, "{loss}");
    }
    let content = json!([{"text": "Hi"}]);
    let whole = losses_of_response(&content, "something_new");
    let stream = losses_of_stream(&[delta(&json!({"text": "Hi"}))], "something_new");
    assert_eq!(whole.to_string(), "reply:stop_reason");
    assert_eq!(whole, stream);
}

#[test]
fn invoke_responses_have_no_losses_except_unknown_events() {
    let message = json!({
        "type": "message", "content": [{"type": "new_block"}], "stop_reason": "new_reason", "usage": {},
    });
    let context = ReplyContext::default();
    let reply = invoke_reply(message.to_string().as_bytes(), &context).unwrap();
    assert!(reply.losses.is_empty());

    let mut translator = InvokeTranslator::new("req_1", context);
    let mut out = Vec::new();
    translator.push(br#"{"type":"new_event"}"#, &mut out);
    assert_eq!(translator.losses().to_string(), "reply:event");
}

#[test]
fn losses_of_a_response_are_added_to_those_of_its_request_once() {
    let mut losses = Losses::default();
    losses.add("top_k");
    losses.add("safeguards");
    let mut of_response = Losses::default();
    of_response.add("reply:citation");
    of_response.add("top_k");
    losses.extend(&of_response);
    assert_eq!(losses.to_string(), "top_k,safeguards,reply:citation");
    for number in 0..100 {
        of_response.add(format!("beta:{number}"));
    }
    losses.extend(&of_response);
    assert_eq!(losses.iter().count(), 65);
    assert_eq!(losses.iter().last(), Some("more"));
}
