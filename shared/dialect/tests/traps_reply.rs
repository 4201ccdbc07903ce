//! Mistakes of other gateways with Bedrock's responses, with a test against each and the report of
//! the mistake. Mistakes with requests are in `tests/request/traps.rs`.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test ends where its expectation does; clippy.toml exempts test functions only"
)]

#[path = "stream/notation.rs"]
mod notation;

mod validation_error;

use dialect::UnsupportedFeature;
use dialect::error::{BedrockFailure, Cause, classify, repairs};
use dialect::reply::{converse_reply, invoke_reply};
use dialect::stream::{ConverseEvent, InvokeTranslator, StreamEnd, StreamTranslator};
use notation::{context, render, run, translate};

use validation_error::validation_error;

/// The typed output of the SDK has tool inputs in hash maps (measured with aws-sdk-bedrockruntime
/// 1.153).
#[test]
fn tool_inputs_keep_the_order_of_their_keys() {
    let input = r#"{"z":1,"a":{"y":0.1,"b":[3,1,2]},"m":1e3,"k":0.10}"#;
    let body = format!(
        r#"{{"output":{{"message":{{"content":[{{"toolUse":{{"toolUseId":"t","name":"N","input":{input}}}}}]}}}},"stopReason":"tool_use"}}"#
    );
    for _ in 0..20 {
        let reply = converse_reply(body.as_bytes(), "msg_test", &context()).unwrap();
        assert!(String::from_utf8(reply.body).unwrap().contains(input));
    }
    let streamed =
        translate("start 0 tool t N; delta 0 input {\"z\":1e3,; delta 0 input \"a\":0.10}");
    assert!(streamed.contains(r#"{"z":1e3,"#) && streamed.contains(r#""a":0.10}"#));
}

/// maximhq/bifrost#3688.
#[test]
fn thinking_stays_before_its_tool_call() {
    let shown = translate(
        "delta 0 think Hm; delta 0 sig c2ln; stop 0; start 1 tool t1 A; stop 1;
         delta 2 think And; delta 2 sig c2ln; stop 2; start 3 tool t2 B; stop 3",
    );
    let kinds: Vec<&str> = shown
        .lines()
        .filter_map(|line| line.strip_prefix("content_block_start "))
        .map(|line| line.split(' ').nth(1).unwrap())
        .collect();
    assert_eq!(kinds, ["thinking", "tool_use", "thinking", "tool_use"]);
}

/// run-llama/llama_index#20851: a signature may come without thinking text.
#[test]
fn signature_without_thinking_text_is_kept() {
    let shown = translate("delta 0 sig c2ln; stop 0; start 1 tool t A; stop 1");
    assert!(shown.contains(
        "content_block_start 0 thinking\n\
         content_block_delta 0 signature_delta c2ln\n\
         content_block_stop 0\n"
    ));
}

/// Anthropic's SDKs replace the signature with each `signature_delta`.
#[test]
fn signature_in_pieces_is_written_once() {
    let shown = translate("delta 0 think Hm; delta 0 sig AB; delta 0 sig CD; stop 0");
    assert_eq!(shown.matches("signature_delta").count(), 1);
    assert!(shown.contains("signature_delta ABCD\n"));
}

/// Envoy AI Gateway starts thinking blocks without `signature`; the SDKs' types require it.
#[test]
fn thinking_block_starts_with_an_empty_signature() {
    let (_, out) = run("delta 0 think Hm", context());
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains(r#""content_block":{"type":"thinking","thinking":"","signature":""}"#));
}

/// agentgateway writes redacted thinking as the text `[REDACTED]`, Portkey encodes it twice.
#[test]
fn redacted_thinking_has_the_original_data() {
    let json =
        r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"redactedContent":"RXJVQg=="}}}"#;
    let mut translator = StreamTranslator::new("msg_test", "req_test", context());
    let mut out = Vec::new();
    translator.push(
        ConverseEvent::parse("contentBlockDelta", json.as_bytes()).unwrap(),
        &mut out,
    );
    translator.push(ConverseEvent::BlockStop { index: 0 }, &mut out);
    assert!(render(&out).contains("content_block_start 0 redacted_thinking ErUB\n"));
}

/// maximhq/bifrost#2765: Anthropic refuses blank text when the client sends it back.
#[test]
fn blank_text_blocks_are_not_written() {
    assert!(!translate("delta 0 text \\n\\n; stop 0; start 1 tool t A; stop 1").contains("text"));
}

/// BerriAI/litellm#32159.
#[test]
fn end_without_message_stop_is_an_error() {
    for steps in [
        "end",
        "messageStart; end",
        "delta 0 text Hi; stop 0; metadata in=1 out=1; end",
    ] {
        let (translator, out) = run(steps, context());
        assert_eq!(translator.end(), Some(StreamEnd::Failed), "{steps}");
        let shown = render(&out);
        assert!(
            shown.ends_with("error overloaded_error req_test\n"),
            "{steps}"
        );
        assert!(
            !shown.contains("message_delta") && !shown.contains("message_stop"),
            "{steps}"
        );
    }
}

/// Envoy AI Gateway writes `message_delta` before it has the counts.
#[test]
fn message_delta_waits_for_the_counts() {
    let before = translate("delta 0 text Hi; stop 0; messageStop end_turn");
    assert!(!before.contains("message_delta"));
    let after = translate("delta 0 text Hi; stop 0; messageStop end_turn; metadata in=3 out=7");
    assert!(after.contains("message_delta end_turn in=3 out=7"));
}

/// envoyproxy/ai-gateway PR 2239.
#[test]
fn repeated_counts_are_not_added() {
    let (translator, out) = run(
        "messageStart; metadata in=3 out=7; messageStop end_turn; metadata in=3 out=7",
        context(),
    );
    assert!(render(&out).contains("message_delta end_turn in=3 out=7"));
    assert_eq!(translator.usage().output, Some(7));
}

/// BerriAI/litellm#34373, #36878, #24850: with `InvokeModel` the cache counts may be in the metrics
/// only.
#[test]
fn cache_counts_of_the_invocation_metrics_are_kept() {
    let mut translator = InvokeTranslator::new("req_test", context());
    let mut out = Vec::new();
    for chunk in [
        r#"{"type":"message_start","message":{"id":"msg_bdrk_1","type":"message","role":"assistant","model":"m","content":[],"usage":{"input_tokens":1,"output_tokens":1}}}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":2}}"#,
        r#"{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":1,"outputTokenCount":2,"cacheReadInputTokenCount":30,"cacheWriteInputTokenCount":4}}"#,
    ] {
        translator.push(chunk.as_bytes(), &mut out);
    }
    let shown = render(&out);
    assert!(
        shown.contains("message_delta end_turn in=1 out=2 read=30 write=4\n"),
        "{shown}"
    );
    assert!(!String::from_utf8(out).unwrap().contains("amazon-bedrock"));
    assert_eq!(translator.usage().cache_read, Some(30));
    assert_eq!(translator.usage().cache_write, Some(4));
}

/// Error types that Anthropic does not have (`internal_server_error`, an empty one) reach clients
/// through Envoy AI Gateway and agentgateway.
#[test]
fn error_types_are_those_of_anthropic() {
    const ANTHROPICS: &[&str] = &[
        "invalid_request_error",
        "authentication_error",
        "billing_error",
        "permission_error",
        "not_found_error",
        "request_too_large",
        "rate_limit_error",
        "timeout_error",
        "api_error",
        "overloaded_error",
        // From the protocol between Claude Code and gateways: a final error.
        "policy_blocked",
    ];
    for status in 100..1000 {
        for code in ["", "InternalServerException", "SomethingNewException"] {
            let failure = BedrockFailure::ErrorResponse {
                status: Some(status),
                code: Some(code),
                message: None,
                retry_after_s: None,
            };
            let error = classify(&failure);
            assert!(ANTHROPICS.contains(&error.error_type()));
            assert!(ANTHROPICS.contains(&error.stream_error_type()));
        }
    }
}

/// vercel/ai PR 19318 shows a stringified object to the user.
#[test]
fn error_message_is_a_sentence() {
    let upstream =
        r#"The model returned the following errors: {"type":"error","error":{"message":"x"}}"#;
    let error = classify(&validation_error(upstream));
    assert!(!error.message.contains('{'));
    let body: serde_json::Value = serde_json::from_slice(&error.body("req_1")).unwrap();
    assert!(body["error"]["message"].is_string());
}

/// agentgateway's reasoning stream starts block 1 while block 0 is open.
#[test]
fn block_never_starts_inside_another() {
    let shown = translate("delta 0 think Hm; delta 1 text Hi; start 2 tool t A; delta 3 text So");
    let mut open = 0;
    for line in shown.lines() {
        open += i32::from(line.starts_with("content_block_start"));
        assert!(open <= 1, "{shown}");
        open -= i32::from(line.starts_with("content_block_stop"));
    }
}

/// Portkey computes a block's index from Bedrock's.
#[test]
fn block_indexes_have_no_gaps() {
    let shown = translate("delta 4 text A; stop 4; delta 9 text B; stop 9; delta 2 text C; stop 2");
    let starts: Vec<&str> = shown
        .lines()
        .filter(|line| line.starts_with("content_block_start"))
        .collect();
    assert_eq!(
        starts,
        [
            "content_block_start 0 text",
            "content_block_start 1 text",
            "content_block_start 2 text"
        ]
    );
}

/// agentgateway ends the stream at an unknown event or stop reason.
#[test]
fn unknown_events_do_not_end_the_stream() {
    let (translator, out) = run(
        "messageStart; unknown; delta 0 text Hi; delta 0 other; unknown; stop 0;
         messageStop brand_new_reason; unknown; metadata in=1 out=1",
        context(),
    );
    assert_eq!(translator.end(), Some(StreamEnd::Complete));
    assert!(render(&out).contains("message_delta end_turn"));
    let padded = br#"{"contentBlockIndex":0,"delta":{"text":"Hi","new":1},"p":"abcdef","also":{}}"#;
    assert!(ConverseEvent::parse("contentBlockDelta", padded).is_ok());
}

/// agentgateway's list of stop reasons lacks the malformed ones.
#[test]
fn malformed_output_is_a_failure_and_not_a_stop_reason() {
    let (translator, _) = run(
        "start 0 tool t A; messageStop malformed_tool_use",
        context(),
    );
    assert_eq!(translator.end(), Some(StreamEnd::Failed));
}

/// sst/opencode#47073: AWS has one message for an invalid key and for a key of another region.
#[test]
fn key_error_message_names_a_wrong_region_too() {
    let message = "Authentication failed: Please make sure your API Key is valid.";
    let failure = BedrockFailure::ErrorResponse {
        status: Some(403),
        code: None,
        message: Some(message),
        retry_after_s: None,
    };
    let text = classify(&failure).message;
    assert!(
        text.contains("mistyped or deleted") && text.contains("another AWS region"),
        "{text}"
    );
}

/// After an unknown 400 Claude Code sends five more requests, each with a feature less, unless the
/// type is `policy_blocked`. It treats a 401 or 403 as an error of its own login, and a 404 as a
/// wrong model.
#[test]
fn statuses_that_claude_code_misreads_are_not_returned() {
    for status in 400..500 {
        for message in [
            "",
            "x: Extra inputs are not permitted",
            "invalid beta flag",
            "model",
        ] {
            let failure = BedrockFailure::ErrorResponse {
                status: Some(status),
                code: None,
                message: Some(message),
                retry_after_s: None,
            };
            let error = classify(&failure);
            assert!(
                !matches!(error.status(), 401 | 403 | 404 | 529),
                "{status} {message}"
            );
            if error.status() == 400 {
                assert_eq!(error.error_type(), "policy_blocked", "{status} {message}");
                assert_eq!(error.should_retry(), Some(false), "{status} {message}");
            }
        }
    }
}

/// anthropics/claude-code#49370: Bedrock refuses the whole request for one unknown beta, without
/// its name.
#[test]
fn refusal_of_an_unnamed_beta_drops_all_sent_betas() {
    let failure = validation_error("invalid beta flag");
    let sent = [
        "context-1m-2025-08-07".to_owned(),
        "new-2026-01-01".to_owned(),
    ];
    let parts = repairs(&failure, &sent)
        .into_iter()
        .map(|repair| repair.part);
    assert!(parts.eq(sent.map(UnsupportedFeature::Beta)));
}

/// An ARN or an account id in a message would disclose data of the AWS account to developers.
#[test]
fn error_messages_contain_no_text_of_aws() {
    let secret = "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/abc";
    for code in [
        "AccessDeniedException",
        "ValidationException",
        "ThrottlingException",
        "Other",
    ] {
        for status in [None, Some(400), Some(403), Some(500)] {
            let message = format!("prompt is too long: {secret} image exceeds pdf");
            let failure = BedrockFailure::ErrorResponse {
                status,
                code: Some(code),
                message: Some(&message),
                retry_after_s: None,
            };
            let body = String::from_utf8(classify(&failure).body("req_1")).unwrap();
            assert!(
                !body.contains("arn:") && !body.contains("123456789012"),
                "{body}"
            );
        }
    }
}

/// Claude Code runs a tool whose call is closed, even if the stream breaks afterwards.
#[test]
fn incomplete_tool_call_stays_open_when_the_stream_breaks() {
    let (_, out) = run(
        "start 0 tool t Bash; delta 0 input {\"command\":\"rm -rf /tm; end",
        context(),
    );
    assert!(!render(&out).contains("content_block_stop"));
}

/// Claude Code takes prices and labels from the requested model.
#[test]
fn response_has_the_requested_model_name() {
    let (_, out) = run("messageStart", context());
    assert!(render(&out).starts_with("message_start msg_test claude-opus-5-5\n"));
    let body = br#"{"model":"claude-sonnet-4-5-20250929","content":[],"stop_reason":"end_turn"}"#;
    let reply = invoke_reply(body, &context()).unwrap();
    assert!(
        String::from_utf8(reply.body)
            .unwrap()
            .starts_with(r#"{"model":"claude-opus-5-5""#)
    );
}

/// After `end_turn` Claude Code does not run an open tool call.
#[test]
fn turn_with_a_tool_call_has_stop_reason_tool_use() {
    let shown = translate("start 0 tool t A; stop 0; messageStop end_turn; metadata in=1 out=1");
    assert!(shown.contains("message_delta tool_use"));
}

/// A response that contains only an error is not a message.
#[test]
fn response_200_without_a_message_is_bedrock_unavailable() {
    let broken = converse_reply(br#"{"Message":"x"}"#, "msg_test", &context()).unwrap_err();
    assert_eq!(classify(&broken.as_failure()).cause, Cause::Unreadable);
}
