//! Rules of the translation of tools.

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::translation::{
    OPUS_4_7, OPUS_5_5, SONNET_4_5, Translation, converse, losses, outline, read, request,
};

fn tool(name: &str) -> Value {
    json!({"name": name, "input_schema": {"type": "object"}})
}

/// `toolConfig.toolChoice` and the model's own `tool_choice`.
fn choice(model: &str, requested: &Value, thinking: &Value) -> String {
    let translation = Translation {
        model,
        ..Translation::default()
    };
    let translated = translation
        .translate_body(&request(
            json!({"tools": [tool("Bash")], "tool_choice": requested, "thinking": thinking}),
        ))
        .unwrap();
    let body = read(&translated);
    let lost = losses(&translated);
    let lost = if lost.contains("tool_choice") {
        " (changed)"
    } else {
        ""
    };
    format!(
        "{} {}{lost}",
        body["toolConfig"]["toolChoice"], body["additionalModelRequestFields"]["tool_choice"]
    )
}

#[test]
fn tool_spec_has_name_description_and_schema_only() {
    let body = converse(&request(json!({"tools": [
        {"type": "custom", "name": "A", "description": "does a", "eager_input_streaming": true,
         "input_schema": {"$schema": "s", "type": "object", "properties": {"z": {}, "a": {}}},
         "input_examples": [{}], "cache_control": {"type": "ephemeral", "scope": "global"}},
        {"name": "B", "description": " ", "strict": true, "input_schema": {"properties": {}}},
        {"name": "C", "input_schema": {"additionalProperties": false, "type": "custom"}},
    ]})));
    let tools = body["toolConfig"].to_string().replace("},{", "},\n{");
    assert_snapshot!(tools, @r#"
    {"tools":[{"toolSpec":{"name":"A","description":"does a","inputSchema":{"json":{"$schema":"s","type":"object","properties":{"z":{},"a":{}}}}}},
    {"cachePoint":{"type":"default"}},
    {"toolSpec":{"name":"B","inputSchema":{"json":{"type":"object","properties":{}}},"strict":true}},
    {"toolSpec":{"name":"C","inputSchema":{"json":{"type":"object","additionalProperties":false}}}}]}
    "#);
}

#[test]
fn tool_choice_is_sent_in_one_field() {
    let auto = json!({"type": "auto"});
    let alone = json!({"type": "auto", "disable_parallel_tool_use": true});
    let any_alone = json!({"type": "any", "disable_parallel_tool_use": true});
    let one = json!({"type": "tool", "name": "Bash"});
    let none = json!({"type": "none"});
    let gone = json!({"type": "tool", "name": "Nope"});
    let mut table = Vec::new();
    for (name, requested) in [
        ("auto", &auto),
        ("auto alone", &alone),
        ("any alone", &any_alone),
        ("tool", &one),
        ("none", &none),
        ("gone", &gone),
    ] {
        table.push(format!(
            "{name:10} {}",
            choice(SONNET_4_5, requested, &Value::Null)
        ));
    }
    assert_snapshot!(table.join("\n"), @r#"
    auto       {"auto":{}} null
    auto alone null {"type":"auto","disable_parallel_tool_use":true}
    any alone  {"any":{}} {"disable_parallel_tool_use":true}
    tool       {"tool":{"name":"Bash"}} null
    none       null {"type":"none"}
    gone       {"auto":{}} null (changed)
    "#);
}

#[test]
fn tool_is_not_forced_on_a_thinking_model() {
    let requested = json!({"type": "tool", "name": "Bash"});
    let adaptive = json!({"type": "adaptive"});
    let off = json!({"type": "disabled"});
    for (model, thinking, forced) in [
        (SONNET_4_5, &Value::Null, true),
        (SONNET_4_5, &adaptive, false),
        (OPUS_4_7, &off, true),
        (OPUS_4_7, &adaptive, false),
        (OPUS_5_5, &off, false),
        (OPUS_5_5, &Value::Null, false),
    ] {
        let text = choice(model, &requested, thinking);
        assert_eq!(
            !text.contains("changed"),
            forced,
            "{model} {thinking}: {text}"
        );
    }
}

#[test]
fn called_tools_are_described_when_the_request_has_no_tools() {
    let body = json!({"messages": [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": [
            {"type": "tool_use", "id": "a", "name": "Bash", "input": {}},
            {"type": "tool_use", "id": "b", "name": "Read", "input": {}},
            {"type": "tool_use", "id": "c", "name": "Bash", "input": {}},
        ]},
        {"role": "user", "content": "stop"},
    ]});
    let body = converse(&request(body));
    assert_eq!(body["toolConfig"]["tools"].as_array().unwrap().len(), 2);
    assert_eq!(
        body["toolConfig"]["tools"][0]["toolSpec"]["description"],
        "Not available in this turn."
    );
}

#[test]
fn client_tools_of_anthropic_are_sent_as_model_fields() {
    let body = request(json!({
        "tools": [
            {"type": "bash_20250124", "name": "bash", "cache_control": {"type": "ephemeral"}},
            {"type": "computer_20251124", "name": "computer", "display_width_px": 1280,
             "display_height_px": 800},
        ],
        "messages": [
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "bash", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "ok"}]},
        ],
    }));
    assert_snapshot!(outline(&converse(&body)), @r#"
    user: go
    assistant: use a bash {}
    user: result a [ok]
    inferenceConfig: {"maxTokens":32000}
    tools: unavailable
    additionalModelRequestFields: {"tools":[{"type":"bash_20250124","name":"bash"},{"type":"computer_20251124","name":"computer","display_width_px":1280,"display_height_px":800}],"anthropic_beta":["computer-use-2025-01-24","computer-use-2025-11-24"]}
    additionalModelResponseFieldPaths: ["/stop_sequence","/delta/stop_sequence"]
    "#);
}

#[test]
fn server_tools_are_dropped_beside_others_and_an_error_alone() {
    let search = json!({"type": "web_search_20250305", "name": "web_search", "max_uses": 8});
    let mixed = request(json!({"tools": [search, tool("Bash")]}));
    let translated = Translation::default().translate_body(&mixed).unwrap();
    assert_eq!(
        read(&translated)["toolConfig"]["tools"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(losses(&translated), "tool:web_search");

    let alone = request(json!({"tools": [search], "tool_choice": {"type": "auto"}}));
    let refusal = Translation::default().translate_body(&alone).unwrap_err();
    assert_eq!(refusal.status(), 400);
    assert_snapshot!(refusal, @"web_search is not available on Amazon Bedrock");
}

#[test]
fn deferred_tools_are_sent_when_found_called_or_chosen() {
    let deferred = |name: &str| json!({"name": name, "input_schema": {"type": "object"}, "defer_loading": true});
    let body = request(json!({
        "tools": [tool("ToolSearch"), deferred("Found"), deferred("Called"), deferred("Demanded"), deferred("Hidden")],
        "tool_choice": {"type": "tool", "name": "Demanded"},
        "messages": [
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": "a", "name": "ToolSearch", "input": {}},
                {"type": "tool_use", "id": "b", "name": "Called", "input": {}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "tool_reference", "tool_name": "Found"}]},
                {"type": "tool_result", "tool_use_id": "b", "content": "ok"},
            ]},
        ],
    }));
    assert_snapshot!(outline(&converse(&body)), @r#"
    user: go
    assistant: use a ToolSearch {} | use b Called {}
    user: result a [Tool loaded: Found] | result b [ok]
    inferenceConfig: {"maxTokens":32000}
    tools: ToolSearch | Found | Called | Demanded choice {"tool":{"name":"Demanded"}}
    additionalModelResponseFieldPaths: ["/stop_sequence","/delta/stop_sequence"]
    "#);
}

#[test]
fn deferred_tools_are_all_sent_with_server_tool_search() {
    let body = request(json!({"tools": [
        {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"},
        {"name": "A", "input_schema": {"type": "object"}, "defer_loading": true},
    ]}));
    let translated = Translation::default().translate_body(&body).unwrap();
    assert_eq!(
        read(&translated)["toolConfig"]["tools"][0]["toolSpec"]["name"],
        "A"
    );
    assert_eq!(
        losses(&translated),
        "tool:tool_search_tool_regex tools.defer_loading"
    );
}
