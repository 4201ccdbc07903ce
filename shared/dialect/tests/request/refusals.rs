//! Requests that cannot be sent to Bedrock, and their errors.

use dialect::UnsupportedFeatures;
use dialect::model::Target;
use dialect::request::{MessagesRequest, Operation, TranslateError, count_tokens};
use domain::bedrock::Dialect;
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::translation::{
    OPUS_5_5, SONNET_4_5, Translation, messages, read, request, target, write_for_validators,
};

#[test]
fn invalid_request_is_an_error_with_path_and_reason() {
    let mut table = Vec::new();
    for body in [
        "",
        "nonsense",
        "[]",
        "\"text\"",
        "{}",
        r#"{"messages":[]}"#,
        r#"{"model":"m","messages":{}}"#,
        r#"{"model":5,"messages":[]}"#,
        r#"{"model":"m","messages":[]}"#,
        r#"{"model":"m","max_tokens":1,"messages":[]}"#,
        r#"{"model":"m","max_tokens":-1,"messages":[]}"#,
        r#"{"model":"m","max_tokens":1.5,"messages":[]}"#,
        r#"{"model":"m","max_tokens":1,"messages":[5]}"#,
        r#"{"model":"m","max_tokens":1,"messages":[{"role":"user"}]}"#,
        r#"{"model":"m","max_tokens":1,"messages":[{"role":"king","content":"x"}]}"#,
        r#"{"model":"m","max_tokens":1,"messages":[{"role":"system","content":" "}]}"#,
        r#"{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"text":"x"}]}]}"#,
        r#"{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"text"}]}]}"#,
        r#"{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"tool_use","id":"a","name":"b","input":{}}]}]}"#,
        r#"{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"b","input":[]}]}]}"#,
        r#"{"model":"m","max_tokens":1,"tools":[{"name":"a"}],"messages":[]}"#,
        r#"{"model":"m","max_tokens":1,"tool_choice":{"type":"some"},"messages":[]}"#,
        r#"{"model":"m","max_tokens":1,"thinking":{"type":"enabled"},"messages":[]}"#,
        r#"{"model":"m","max_tokens":1,"temperature":"hot","messages":[]}"#,
        r#"{"model":"m","max_tokens":1,"temperature":2,"messages":[{"role":"user","content":"x"}]}"#,
        r#"{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"\ud800"}]}"#,
    ] {
        let refusal = Translation::default().text(body).unwrap_err();
        assert_eq!(
            (refusal.status(), refusal.error_type()),
            (400, "invalid_request_error"),
            "{body}"
        );
        table.push(format!("{refusal}"));
    }
    assert_snapshot!(table.join("\n"), @r#"
    The request body is not valid JSON (line 1, column 0)
    The request body is not valid JSON (line 1, column 2)
    The request body must be an object
    The request body must be an object
    messages: Field required
    model: Field required
    messages: Input should be a valid list
    model: Input should be a valid string
    messages: at least one message is required
    messages: at least one message is required
    max_tokens: Input should be a valid integer
    max_tokens: Input should be a valid integer
    messages.0: Input should be a valid object
    messages.0.content: Field required
    messages.0.role: Input should be 'user' or 'assistant'
    messages: at least one message is required
    messages.0.content.0.type: Field required
    messages.0.content.0.text: Field required
    messages.0.content.0: `tool_use` blocks can only be in `assistant` messages
    messages.1.content.0.input: Input should be a valid object
    tools.0.input_schema: Field required
    tool_choice.type: Input should be 'auto', 'any', 'tool' or 'none'
    thinking.budget_tokens: Field required
    temperature: Input should be a valid number
    temperature: Input should be between 0 and 1
    messages.0.content: Input should be a valid string
    "#);
}

/// After an unknown 400 `invalid_request_error` Claude Code sends five more requests.
#[test]
fn missing_feature_is_an_error_of_a_type_without_retries() {
    let user = |content: serde_json::Value| json!([{"role": "user", "content": content}]);
    let hello = user(json!("hello"));
    let elsewhere = |kind: &str| json!([{"type": kind, "source": {"type": "url", "url": "https://example.com/x"}}]);
    for (body, sentence) in [
        (
            json!({"messages": hello, "mcp_servers": [{"url": "x"}]}),
            "mcp_servers: MCP servers are not available on Amazon Bedrock; connect them in the \
             client instead",
        ),
        (
            json!({"messages": user(elsewhere("image"))}),
            "messages.0.content.0.source: image URLs and files are not available on Amazon \
             Bedrock; send the image as base64 data",
        ),
        (
            json!({"messages": user(elsewhere("document"))}),
            "messages.0.content.0.source: document URLs and files are not available on Amazon \
             Bedrock; send the document as base64 data or text",
        ),
        (
            json!({"messages": user(json!([{"type": "hologram"}]))}),
            "messages.0.content.0.type: content blocks of type 'hologram' are not available on \
             Amazon Bedrock",
        ),
        (
            json!({
                "messages": hello,
                "tools": [{"type": "web_search_20250305", "name": "web_search"}],
            }),
            "web_search is not available on Amazon Bedrock",
        ),
    ] {
        let mut body = body;
        body["model"] = json!("m");
        body["max_tokens"] = json!(1);
        let refusal = Translation::default().text(&body.to_string()).unwrap_err();
        assert_eq!(refusal.to_string(), sentence);
        let answer = (refusal.status(), refusal.error_type());
        assert_eq!(answer, (400, "policy_blocked"), "{sentence}");
    }
}

#[test]
fn invalid_base64_is_an_error() {
    for data in [
        "",
        "===",
        "data:image/png;base64,aGk=",
        "aGk",
        "aGk=\n",
        "aG!=",
        "a===",
    ] {
        let body = messages(json!([{"role": "user", "content": [
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}},
        ]}]));
        let refusal = Translation::default().translate_body(&body).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "messages.0.content.0.source.data: invalid base64 data",
            "{data}"
        );
    }
}

#[test]
fn unsupported_media_types_are_errors() {
    for (kind, media_type) in [
        ("image", "image/svg+xml"),
        ("document", "application/msword"),
    ] {
        let body = messages(json!([{"role": "user", "content": [
            {"type": kind, "source": {"type": "base64", "media_type": media_type, "data": "aGk="}},
        ]}]));
        let refusal = Translation::default()
            .translate_body(&body)
            .unwrap_err()
            .to_string();
        assert!(refusal.starts_with("messages.0.content.0.source.media_type: Input should be"));
    }
}

#[test]
fn excessive_nesting_is_an_error_in_every_field() {
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let input = format!(
        r#"{{"model":"m","max_tokens":1,"messages":[{{"role":"user","content":"a"}},{{"role":"assistant","content":[
            {{"type":"tool_use","id":"a","name":"b","input":{{"a":{}}}}}]}}]}}"#,
        deep(100_000)
    );
    assert_snapshot!(Translation::default().text(&input).unwrap_err(), @"messages.1.content.0.input: Input is nested too deeply");

    let block = r#"{"type":"tool_result","tool_use_id":"a","content":["#;
    let results = format!(
        r#"{{"model":"m","max_tokens":1,"messages":[{{"role":"user","content":[{}{}]}}]}}"#,
        block.repeat(10_000),
        "]}".repeat(10_000)
    );
    assert_snapshot!(Translation::default().text(&results).unwrap_err(), @"messages.0.content.0.content.0.type: content blocks of type 'tool_result' are not available on Amazon Bedrock");

    let ignored = format!(
        r#"{{"model":"m","max_tokens":1,"x":{},"messages":[{{"role":"user","content":"a"}}]}}"#,
        deep(100_000)
    );
    assert!(Translation::default().text(&ignored).is_ok());
}

#[test]
fn repeated_tool_call_id_is_an_error() {
    let call = json!({"type": "tool_use", "id": "a", "name": "b", "input": {}});
    let body = messages(json!([
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": [call]},
        {"role": "assistant", "content": [call]},
    ]));
    assert_snapshot!(Translation::default().translate_body(&body).unwrap_err(), @"messages: `tool_use` ids must be unique");
}

#[test]
fn repeated_tool_name_is_an_error() {
    let tool = json!({"name": "a", "input_schema": {"type": "object"}});
    let body = request(json!({"tools": [tool, tool]}));
    assert_snapshot!(Translation::default().translate_body(&body).unwrap_err(), @"tools: Tool names must be unique.");
}

#[test]
fn translated_body_larger_than_the_limit_is_an_error() {
    let text = "x".repeat(20_000_000);
    let refusal = Translation::default()
        .translate_body(&messages(json!([{"role": "user", "content": text}])))
        .unwrap_err();
    assert_eq!(
        (refusal.status(), refusal.error_type()),
        (413, "request_too_large")
    );
    assert_snapshot!(refusal, @"Request too large: Amazon Bedrock accepts at most 20 MB");
}

#[test]
fn request_larger_than_the_limit_is_an_error_before_parsing() {
    let no_json = "[1,".repeat(7_000_000);
    let refusal = Translation::default().text(&no_json).unwrap_err();
    assert_snapshot!(refusal, @"Request too large: Amazon Bedrock accepts at most 20 MB");
}

#[test]
fn translate_error_contains_no_content() {
    let secret = "s3cret";
    for body in [
        json!({"model": "m", "messages": [{"role": secret, "content": ""}]}),
        json!({"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": [secret]}]}]}),
        json!({"model": "m", "temperature": secret, "messages": []}),
        json!({"model": "m", "tools": [{"name": "a", "input_schema": secret}], "messages": []}),
        json!({"model": "m", "tool_choice": {"type": secret}, "messages": []}),
    ] {
        let refusal = Translation::default()
            .translate_body(&body)
            .unwrap_err()
            .to_string();
        assert!(!refusal.contains(secret), "{refusal}");
    }
}

fn count(body: &Value, target: &Target, dialect: Dialect) -> Result<Value, TranslateError> {
    let body = body.to_string();
    let request = MessagesRequest::parse(body.as_bytes(), std::iter::empty())?;
    let translated = count_tokens(&request, target, dialect, &UnsupportedFeatures::default())?;
    write_for_validators(&translated);
    assert_eq!(translated.operation, Operation::CountTokens);
    assert_eq!(
        translated.model_id,
        "anthropic.claude-sonnet-4-5-20250929-v1:0"
    );
    Ok(read(&translated))
}

fn countable() -> Value {
    json!({
        "model": "claude-opus-5-5",
        "system": "s",
        "tools": [{"name": "T", "input_schema": {"type": "object"}}],
        "messages": [{"role": "user", "content": "foo"}, {"role": "assistant", "content": "bar "}],
    })
}

#[test]
fn tokens_are_counted_with_the_foundation_model() {
    let body = count(&countable(), &target(SONNET_4_5), Dialect::Converse).unwrap();
    assert_snapshot!(body, @r#"{"input":{"converse":{"messages":[{"role":"user","content":[{"text":"foo"}]},{"role":"assistant","content":[{"text":"bar"}]}],"system":[{"text":"s"}],"toolConfig":{"tools":[{"toolSpec":{"name":"T","inputSchema":{"json":{"type":"object"}}}}]}}}}"#);
}

#[test]
fn tokens_are_counted_for_an_invoke_body() {
    use base64::Engine as _;
    let body = count(&countable(), &target(SONNET_4_5), Dialect::Invoke).unwrap();
    let inner = body["input"]["invokeModel"]["body"].as_str().unwrap();
    let inner = base64::engine::general_purpose::STANDARD
        .decode(inner)
        .unwrap();
    assert_snapshot!(String::from_utf8(inner).unwrap(), @r#"{"anthropic_version":"bedrock-2023-05-31","max_tokens":1,"tools":[{"name":"T","input_schema":{"type":"object"}}],"system":[{"type":"text","text":"s"}],"messages":[{"role":"user","content":[{"type":"text","text":"foo"}]},{"role":"assistant","content":[{"type":"text","text":"bar"}]}]}"#);
}

#[test]
fn count_without_bedrock_support_is_an_error() {
    let empty = json!({"model": "m", "messages": []});
    for (body, model) in [(&countable(), OPUS_5_5), (&empty, SONNET_4_5)] {
        let refusal = count(body, &target(model), Dialect::Converse).unwrap_err();
        assert_eq!(
            (refusal.status(), refusal.error_type()),
            (501, "not_supported")
        );
    }
    let opaque = target("arn:aws:bedrock:us-east-1:1:application-inference-profile/x");
    assert_eq!(
        count(&countable(), &opaque, Dialect::Converse)
            .unwrap_err()
            .status(),
        501
    );
}

#[test]
fn thread_continuation_is_an_error_with_its_error_code() {
    let thread = |thread: &Value| request(json!({"thread": thread}));
    for kind in [
        json!({"type": "continue", "previous_message_id": "msg_1"}),
        json!({"type": "fork", "previous_message_id": "msg_1"}),
    ] {
        let body = thread(&kind).to_string();
        let requested = Translation::default().text(&body).unwrap_err();
        let parsed = MessagesRequest::parse(body.as_bytes(), std::iter::empty()).unwrap();
        let counted = count_tokens(
            &parsed,
            &target(SONNET_4_5),
            Dialect::Converse,
            &UnsupportedFeatures::default(),
        )
        .unwrap_err();
        for refusal in [requested, counted] {
            assert_eq!(
                (refusal.status(), refusal.error_type(), refusal.error_code(),),
                (
                    400,
                    "invalid_request_error",
                    Some("thread_unsupported_request")
                ),
                "{kind}"
            );
        }
    }
    let created = thread(&json!({"type": "create"}));
    assert_eq!(Translation::default().losses(&created), "thread");
    assert_eq!(
        Translation::default().text("{}").unwrap_err().error_code(),
        None
    );
}
