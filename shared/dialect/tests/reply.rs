//! Whole responses of Converse and `InvokeModel` as Anthropic messages.

use dialect::ReplyContext;
use dialect::error::{Cause, classify};
use dialect::reply::{BrokenReply, Reply, converse_reply, invoke_reply};
use domain::usage::TokenUsage;
use insta::assert_snapshot;

fn context() -> ReplyContext {
    ReplyContext {
        requested_model: "claude-opus-5-5".to_owned(),
        document_titles: vec![Some("Client's title".to_owned()), None],
        ..ReplyContext::default()
    }
}

/// A Converse response with this content, stop reason and further members.
fn converse(content: &str, stop_reason: &str, rest: &str) -> Result<Reply, BrokenReply> {
    let body = format!(
        r#"{{"metrics":{{"latencyMs":9}},"output":{{"message":{{"content":[{content}],"role":"assistant"}}}},"stopReason":"{stop_reason}"{rest}}}"#
    );
    converse_reply(body.as_bytes(), "msg_test", &context())
}

/// The part of the message from `content` to `stop_reason`.
fn content(reply: &Reply) -> &str {
    let body = std::str::from_utf8(&reply.body).unwrap_or_default();
    let (_, content) = body.split_once(r#""content":"#).unwrap_or_default();
    content
        .split_once(r#","stop_sequence""#)
        .unwrap_or_default()
        .0
}

#[test]
fn converse_response_becomes_an_anthropic_message() {
    let reply = converse(
        r#"{"reasoningContent":{"reasoningText":{"signature":"c2ln","text":"Hm."}}},{"reasoningContent":{"redactedContent":"UVVKRA=="}},{"text":"Reading."},{"toolUse":{"input":{"path":"a","limit":1e2,"b":1.0},"name":"Read","toolUseId":"tooluse_1"}}"#,
        "tool_use",
        r#","usage":{"inputTokens":3,"outputTokens":2,"totalTokens":17,"cacheReadInputTokens":7,"cacheWriteInputTokens":5,"cacheDetails":[{"ttl":"1h","inputTokens":4},{"ttl":"5m","inputTokens":1}]}"#,
    )
    .unwrap();
    assert_snapshot!(String::from_utf8(reply.body).unwrap(), @r#"{"id":"msg_test","type":"message","role":"assistant","model":"claude-opus-5-5","content":[{"type":"thinking","thinking":"Hm.","signature":"c2ln"},{"type":"redacted_thinking","data":"QUJD"},{"type":"text","text":"Reading."},{"type":"tool_use","id":"tooluse_1","name":"Read","input":{"path":"a","limit":1e2,"b":1.0}}],"stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":3,"cache_creation_input_tokens":5,"cache_read_input_tokens":7,"cache_creation":{"ephemeral_5m_input_tokens":1,"ephemeral_1h_input_tokens":4},"output_tokens":2}}"#);
    let expected = TokenUsage {
        input: Some(3),
        output: Some(2),
        cache_read: Some(7),
        cache_write: Some(5),
        cache_write_5m: Some(1),
        cache_write_1h: Some(4),
    };
    assert_eq!(reply.usage, expected);
    assert_eq!(reply.stop_reason, "tool_use");
    assert!(reply.losses.is_empty());
}

#[test]
fn cache_writes_without_a_lifetime_are_five_minute_writes_for_clients() {
    let reply = converse(
        r#"{"text":"Hi"}"#,
        "end_turn",
        r#","usage":{"inputTokens":1,"outputTokens":1,"totalTokens":6,"cacheWriteInputTokens":4}"#,
    )
    .unwrap();
    let body = String::from_utf8(reply.body).unwrap();
    assert!(body.contains(
        r#""cache_creation":{"ephemeral_5m_input_tokens":4,"ephemeral_1h_input_tokens":0}"#
    ));
    assert_eq!(reply.usage.cache_write, Some(4));
    assert_eq!(
        (reply.usage.cache_write_5m, reply.usage.cache_read),
        (None, None)
    );
}

#[test]
fn each_kind_of_converse_content_becomes_its_block() {
    let table = [
        (r#"{"text":""},{"text":" \n"}"#, "[]"),
        (
            r#"{"text":"One."},{"text":" "},{"citationsContent":{"content":[{"text":"Two."}]}},{"text":"\n"},{"toolUse":{"toolUseId":"t","name":"A"}},{"text":"Three."}"#,
            r#"[{"type":"text","text":"One."},{"type":"text","text":" Two."},{"type":"tool_use","id":"t","name":"A","input":{}},{"type":"text","text":"Three."}]"#,
        ),
        (
            r#"{"toolUse":{"toolUseId":"t","name":"A","input":null}},{"toolUse":{"toolUseId":"u","name":"B"}},{"toolUse":{"toolUseId":"v","name":"C","input":"x"}}"#,
            r#"[{"type":"tool_use","id":"t","name":"A","input":{}},{"type":"tool_use","id":"u","name":"B","input":{}},{"type":"tool_use","id":"v","name":"C","input":{}}]"#,
        ),
        (
            r#"{"reasoningContent":{"reasoningText":{"text":"Hm."}}}"#,
            r#"[{"type":"thinking","thinking":"Hm.","signature":""}]"#,
        ),
        (
            r#"{"citationsContent":{"content":[{"text":"It "},{"text":"grew."}],"citations":[{"title":"document-1","sourceContent":[{"text":"grew"}],"location":{"documentChunk":{"documentIndex":0,"start":2,"end":3}}},{"title":"document-2","sourceContent":[{"text":"It"}],"location":{"documentPage":{"documentIndex":1,"start":2,"end":3}}}]}}"#,
            r#"[{"type":"text","text":"It grew.","citations":[{"type":"content_block_location","cited_text":"grew","document_index":0,"document_title":"Client's title","file_id":null,"start_block_index":2,"end_block_index":3},{"type":"page_location","cited_text":"It","document_index":1,"document_title":null,"file_id":null,"start_page_number":2,"end_page_number":3}]}]"#,
        ),
        (
            r#"{"citationsContent":{"content":[{"text":"Found."}],"citations":[{"title":"R","source":"S","sourceContent":[{"text":"x"}],"location":{"searchResultLocation":{"searchResultIndex":1,"start":2,"end":3}}}]}}"#,
            r#"[{"type":"text","text":"Found.","citations":[{"type":"search_result_location","cited_text":"x","search_result_index":1,"source":"S","title":"R","start_block_index":2,"end_block_index":3}]}]"#,
        ),
    ];
    for (bedrock, anthropic) in table {
        let reply = converse(bedrock, "max_tokens", "").unwrap();
        assert_eq!(
            content(&reply),
            format!(r#"{anthropic},"stop_reason":"max_tokens""#)
        );
    }
}

#[test]
fn tool_call_of_every_type_but_server_tool_use_is_a_client_call() {
    for r#type in ["", r#","type":"tool_use""#, r#","type":"something_newer""#] {
        let call =
            format!(r#"{{"toolUse":{{"toolUseId":"t1","name":"Bash","input":{{"a":1}}{type}}}}}"#);
        let reply = converse(&call, "tool_use", "").unwrap();
        let expected = r#"[{"type":"tool_use","id":"t1","name":"Bash","input":{"a":1}}],"stop_reason":"tool_use""#;
        assert_eq!(content(&reply), expected, "{call}");
        assert!(reply.losses.is_empty(), "{call}");
    }
}

#[test]
fn unsupported_content_is_left_out_and_recorded_as_a_loss() {
    let reply = converse(
        r#"{"image":{"format":"png","source":{"bytes":""}}},{"toolUse":{"toolUseId":"t","name":"A","input":{},"type":"server_tool_use"}},{"reasoningContent":{"redactedContent":"/w=="}},{"text":"Hi"}"#,
        "new_reason",
        "",
    )
    .unwrap();
    assert_eq!(
        content(&reply),
        r#"[{"type":"text","text":"Hi"}],"stop_reason":"end_turn""#
    );
    let losses: Vec<_> = reply.losses.iter().collect();
    let expected = [
        "reply:content_block",
        "reply:server_tool_use",
        "reply:redacted_thinking",
        "reply:stop_reason",
    ];
    assert_eq!(losses, expected);
}

#[test]
fn stop_sequence_is_read_from_both_paths() {
    for fields in [
        r#"{"stop_sequence":"END"}"#,
        r#"{"delta":{"stop_sequence":"END"}}"#,
    ] {
        let rest = format!(r#","additionalModelResponseFields":{fields}"#);
        let reply = converse(r#"{"text":"Hi"}"#, "stop_sequence", &rest).unwrap();
        let body = String::from_utf8(reply.body).unwrap();
        assert!(body.contains(r#""stop_reason":"stop_sequence","stop_sequence":"END""#));
    }
    for fields in ["null", "7", "[]", r#"{"stop_sequence":null}"#] {
        let rest = format!(r#","additionalModelResponseFields":{fields}"#);
        let reply = converse(r#"{"text":"Hi"}"#, "stop_sequence", &rest).unwrap();
        assert!(
            String::from_utf8(reply.body)
                .unwrap()
                .contains(r#""stop_sequence":null"#)
        );
    }
}

#[test]
fn body_without_a_message_is_a_broken_reply() {
    for body in [
        "",
        "{}",
        "<html>",
        r#"{"message":"arn:aws:x"}"#,
        r#"{"output":{},"stopReason":"x"}"#,
    ] {
        let reply = converse_reply(body.as_bytes(), "msg_test", &context());
        assert_eq!(reply, Err(BrokenReply::Unreadable), "{body}");
        assert_eq!(
            invoke_reply(body.as_bytes(), &context()),
            Err(BrokenReply::Unreadable),
            "{body}"
        );
    }
    for reason in ["malformed_model_output", "malformed_tool_use"] {
        assert_eq!(
            converse(r#"{"text":"x"}"#, reason, ""),
            Err(BrokenReply::Malformed)
        );
    }
}

#[test]
fn error_envelope_in_place_of_a_message_is_an_error() {
    let body = br#"{"type":"error","error":{"type":"rate_limit_error","message":"Rate limited"}}"#;
    let broken = invoke_reply(body, &context()).unwrap_err();
    assert_eq!(classify(&broken.as_failure()).cause, Cause::Throttled);
}

const INVOKED: &str = r#"{ "model":"claude-sonnet-4-5-20250929","id":"msg_bdrk_1","type":"message","role":"assistant","content":[{"type":"new_block","n":1.0},{"type":"tool_use","id":"toolu_1","name":"short","input":{"z":1e2, "a":[]}}],"stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":3,"cache_creation_input_tokens":5,"cache_read_input_tokens":7,"cache_creation":{"ephemeral_5m_input_tokens":1,"ephemeral_1h_input_tokens":4},"output_tokens":2,"new":1},"amazon-bedrock-invocationMetrics":{"inputTokenCount":3} }"#;

#[test]
fn invoke_response_changes_only_model_metrics_and_tool_names() {
    let mut context = context();
    context.renamed_tools = vec![("short".to_owned(), "a_long_name".to_owned())];
    let reply = invoke_reply(INVOKED.as_bytes(), &context).unwrap();
    assert_snapshot!(String::from_utf8(reply.body).unwrap(), @r#"{"model":"claude-opus-5-5","id":"msg_bdrk_1","type":"message","role":"assistant","content":[{"type":"new_block","n":1.0},{"type":"tool_use","id":"toolu_1","name":"a_long_name","input":{"z":1e2, "a":[]}}],"stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":3,"cache_creation_input_tokens":5,"cache_read_input_tokens":7,"cache_creation":{"ephemeral_5m_input_tokens":1,"ephemeral_1h_input_tokens":4},"output_tokens":2,"new":1}}"#);
    assert_eq!(reply.usage.cache_write_1h, Some(4));
    assert_eq!(reply.usage.output, Some(2));
    assert_eq!(reply.stop_reason, "tool_use");
}

#[test]
fn last_of_two_equal_members_is_replaced() {
    let body = r#"{"model":"a","model":"b","content":[],"stop_reason":"end_turn"}"#;
    let reply = invoke_reply(body.as_bytes(), &context()).unwrap();
    let message: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(message["model"], "claude-opus-5-5");
}

#[test]
fn requested_safeguards_are_reported_as_unavailable() {
    let mut context = context();
    context.safeguards_requested = true;
    let expected = r#""safeguard_results":[{"type":"dangerous_tool_use","status":{"type":"unavailable","reason":"disabled"}}]}"#;
    let invoked = invoke_reply(INVOKED.as_bytes(), &context).unwrap();
    assert!(String::from_utf8(invoked.body).unwrap().ends_with(expected));
    let body = br#"{"output":{"message":{"content":[]}},"stopReason":"end_turn"}"#;
    let conversed = converse_reply(body, "msg_test", &context).unwrap();
    assert!(
        String::from_utf8(conversed.body)
            .unwrap()
            .ends_with(expected)
    );
}
