//! The body of `InvokeModel`: the features that Converse lacks, and those that both lack.

use dialect::request::Operation;
use domain::bedrock::Dialect;
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::translation::{
    OPUS_4_6, OPUS_4_7, OPUS_5_5, SONNET_4_5, Translation, losses, messages, request,
};

fn invoke(model: &str, betas: &str, body: &Value) -> Value {
    Translation {
        model,
        betas,
        dialect: Dialect::Invoke,
        ..Translation::default()
    }
    .body(body)
}

#[test]
fn invoke_body_has_only_fields_that_bedrock_supports() {
    let body = request(json!({
        "stream": true,
        "system": [
            {"type": "text", "text": "x-anthropic-billing-header: cc_version=1;"},
            {"type": "text", "text": "s", "cache_control": {"type": "ephemeral", "ttl": "1h", "scope": "global"}},
        ],
        "tools": [{"name": "T", "input_schema": {"type": "object"}, "eager_input_streaming": true, "custom": {}}],
        "metadata": {"user_id": "{\"device_id\":\"d\"}"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "service_tier": "auto",
        "temperature": 0,
    }));
    let translation = Translation {
        dialect: Dialect::Invoke,
        ..Translation::default()
    };
    let translated = translation.translate_body(&body).unwrap();
    assert_eq!(
        translated.operation,
        Operation::InvokeModelWithResponseStream
    );
    assert_snapshot!(std::str::from_utf8(&translated.body).unwrap(), @r#"{"anthropic_version":"bedrock-2023-05-31","max_tokens":32000,"tools":[{"name":"T","input_schema":{"type":"object"}}],"system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral","ttl":"1h"}}],"messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}],"temperature":0,"metadata":{"user_id":"{\"device_id\":\"d\"}"}}"#);
    assert_snapshot!(losses(&translated), @"service_tier tools.eager_input_streaming tools.custom system.billing_header cache_control.scope context_management");
}

#[test]
fn invoke_body_keeps_system_messages_when_the_model_accepts_them() {
    let body = messages(json!([
        {"role": "user", "content": "a"},
        {"role": "system", "content": "s", "output_config": {"effort": "low"}},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "T", "input": {}}]},
        {"role": "system", "content": "r"},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "ok"}]},
    ]));
    let roles = |model: &str| {
        let body = invoke(model, "", &body);
        let roles = body["messages"].as_array().unwrap().iter();
        roles
            .map(|turn| turn["role"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(roles(OPUS_5_5), "user system assistant system user");
    assert_eq!(roles(OPUS_4_7), "user assistant user");
    assert!(
        !invoke(OPUS_5_5, "", &body)["messages"]
            .to_string()
            .contains("output_config")
    );
}

#[test]
fn tool_search_is_native_with_its_beta_and_text_without_it() {
    let body = request(json!({
        "tools": [
            {"name": "ToolSearch", "input_schema": {"type": "object"}},
            {"name": "Found", "input_schema": {"type": "object"}, "defer_loading": true},
            {"name": "Hidden", "input_schema": {"type": "object"}, "defer_loading": true},
        ],
        "messages": [
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "ToolSearch", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": [
                {"type": "tool_reference", "tool_name": "Found"},
                {"type": "tool_reference", "tool_name": "Gone"},
            ]}]},
        ],
    }));
    let seen = |betas: &str| {
        let body = invoke(SONNET_4_5, betas, &body);
        format!(
            "{}\n{}\n{}",
            body["anthropic_beta"], body["tools"], body["messages"][2]["content"]
        )
    };
    assert_snapshot!(seen("advanced-tool-use-2025-11-20"), @r#"
    ["tool-search-tool-2025-10-19"]
    [{"name":"ToolSearch","input_schema":{"type":"object"}},{"name":"Found","input_schema":{"type":"object"},"defer_loading":true},{"name":"Hidden","input_schema":{"type":"object"},"defer_loading":true}]
    [{"type":"tool_result","tool_use_id":"a","content":[{"type":"tool_reference","tool_name":"Found"},{"type":"text","text":"Tool loaded: Gone"}]}]
    "#);
    assert_snapshot!(seen(""), @r#"
    null
    [{"name":"ToolSearch","input_schema":{"type":"object"}},{"name":"Found","input_schema":{"type":"object"}}]
    [{"type":"tool_result","tool_use_id":"a","content":[{"type":"text","text":"Tool loaded: Found"},{"type":"text","text":"Tool loaded: Gone"}]}]
    "#);
}

#[test]
fn invoke_body_keeps_blocks_of_server_tools() {
    let blocks = json!([
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}},
        {"type": "web_search_tool_result", "tool_use_id": "s", "content": [],
         "cache_control": {"type": "ephemeral", "scope": "global"}},
        {"type": "text", "text": "a", "citations": [{"type": "web_search_result_location", "url": "https://example.com", "title": "t", "encrypted_index": "e", "cited_text": "c"}]},
    ]);
    let body = messages(json!([
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": blocks},
        {"role": "user", "content": "thanks"},
    ]));
    assert_snapshot!(invoke(OPUS_4_6, "", &body)["messages"][1]["content"], @r#"[{"type":"server_tool_use","id":"s","name":"web_search","input":{"query":"q"}},{"type":"web_search_tool_result","tool_use_id":"s","content":[],"cache_control":{"type":"ephemeral"}},{"type":"text","text":"a","citations":[{"type":"web_search_result_location","url":"https://example.com","title":"t","encrypted_index":"e","cited_text":"c"}]}]"#);
}

#[test]
fn invoke_body_keeps_documents_and_images() {
    let body = messages(json!([{"role": "user", "content": [
        {"type": "document", "title": "T", "context": "C", "citations": {"enabled": true},
         "source": {"type": "text", "media_type": "text/plain", "data": "d"}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "aGk="}},
        {"type": "document", "source": {"type": "content", "content": "c"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/jpg", "data": "aGk="}},
        {"type": "search_result", "source": "s", "title": "t", "content": [{"type": "text", "text": "x"}]},
    ]}]));
    let content = invoke(OPUS_4_6, "", &body)["messages"][0]["content"].to_string();
    assert_snapshot!(content.replace("},{", "},\n{"), @r#"
    [{"type":"document","source":{"type":"text","media_type":"text/plain","data":"d"},"title":"T","context":"C","citations":{"enabled":true}},
    {"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"aGk="}},
    {"type":"document","source":{"type":"content","content":[{"type":"text","text":"c"}]}},
    {"type":"image","source":{"type":"base64","media_type":"image/jpeg","data":"aGk="}},
    {"type":"search_result","source":"s","title":"t","content":[{"type":"text","text":"x"}]}]
    "#);
}

#[test]
fn supported_context_edits_are_sent_with_their_betas() {
    let body = request(json!({"context_management": {"edits": [
        {"type": "clear_tool_uses_20250919", "trigger": {"type": "tool_uses", "value": 30}},
        {"type": "clear_thinking_20251015", "keep": "all"},
        {"type": "compact_20260112"},
    ]}}));
    let sent = invoke(OPUS_4_6, "context-management-2025-06-27", &body);
    assert_snapshot!(sent["context_management"], @r#"{"edits":[{"type":"clear_tool_uses_20250919","trigger":{"type":"tool_uses","value":30}},{"type":"compact_20260112"}]}"#);
    assert_snapshot!(sent["anthropic_beta"], @r#"["context-management-2025-06-27","compact-2026-01-12"]"#);
}

#[test]
fn auto_dialect_is_invoke_when_converse_lacks_a_feature() {
    let tool = json!([{"name": "T", "input_schema": {"type": "object"}}]);
    let history = |block: Value| {
        json!({"messages": [
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": [block]},
            {"role": "user", "content": "b"},
        ]})
    };
    let deferred = json!([
        {"name": "T", "input_schema": {"type": "object"}},
        {"name": "D", "input_schema": {"type": "object"}, "defer_loading": true},
    ]);
    let found = json!([
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "T", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [
            {"type": "tool_reference", "tool_name": "D"},
        ]}]},
    ]);
    for (name, parts, native) in [
        ("plain", json!({}), false),
        ("tools", json!({"tools": tool}), false),
        (
            "no tool allowed",
            json!({"tools": tool, "tool_choice": {"type": "none"}}),
            true,
        ),
        (
            "no tools to allow",
            json!({"tool_choice": {"type": "none"}}),
            false,
        ),
        (
            "an edit without effect",
            json!({"context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}}),
            false,
        ),
        (
            "an edit",
            json!({"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}}),
            true,
        ),
        (
            "server history",
            history(
                json!({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}),
            ),
            true,
        ),
        (
            "a deferred tool in use",
            json!({
                "anthropic_beta": ["advanced-tool-use-2025-11-20"],
                "tools": deferred,
                "messages": found,
            }),
            true,
        ),
        (
            "a deferred tool that nobody uses",
            json!({"anthropic_beta": ["advanced-tool-use-2025-11-20"], "tools": deferred}),
            false,
        ),
        (
            "a deferred tool in use without the beta",
            json!({"tools": deferred, "messages": found}),
            false,
        ),
        (
            "thinking",
            history(json!({"type": "thinking", "thinking": "t", "signature": "s"})),
            false,
        ),
        (
            "citations",
            json!({"messages": [{"role": "user", "content": [{"type": "document",
            "citations": {"enabled": true}, "source": {"type": "text", "data": "d"}}]}]}),
            true,
        ),
    ] {
        let translation = Translation {
            dialect: Dialect::Auto,
            ..Translation::default()
        };
        let operation = translation
            .translate_body(&request(parts))
            .unwrap()
            .operation;
        let wanted = if native {
            Operation::InvokeModel
        } else {
            Operation::Converse
        };
        assert_eq!(operation, wanted, "{name}");
    }
}

#[test]
fn invoke_body_has_anthropics_tool_choice() {
    let tools = json!([{"name": "T", "input_schema": {"type": "object"}}]);
    for (requested, expected) in [
        (json!({"type": "none"}), json!({"type": "none"})),
        (
            json!({"type": "auto", "disable_parallel_tool_use": true}),
            json!({"type": "auto", "disable_parallel_tool_use": true}),
        ),
        (
            json!({"type": "tool", "name": "T"}),
            json!({"type": "tool", "name": "T"}),
        ),
    ] {
        let body = request(json!({"tools": tools, "tool_choice": requested}));
        assert_eq!(invoke(SONNET_4_5, "", &body)["tool_choice"], expected);
    }
}
