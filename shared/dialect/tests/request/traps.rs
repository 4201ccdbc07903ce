//! Mistakes of other gateways between Anthropic and Bedrock, with a test against each.

use dialect::request::{MessagesRequest, RequestLabels, translate};
use dialect::{UnsupportedFeature, UnsupportedFeatures};
use domain::bedrock::Dialect;
use serde_json::{Value, json};

use crate::translation::{
    OPUS_4_5, OPUS_5_5, SONNET_4_5, Translation, converse, converse_for, messages, request, target,
    turns, write_for_validators,
};

fn ephemeral() -> Value {
    json!({"type": "ephemeral"})
}

fn hour() -> Value {
    json!({"type": "ephemeral", "ttl": "1h"})
}

#[test]
fn schemas_inputs_and_tools_keep_their_order() {
    let body = r#"{"model":"m","max_tokens":10,
        "tools":[{"name":"Z","input_schema":{"type":"object","properties":{"z":{},"y":{},"a":{}}}},
                 {"name":"A","input_schema":{"type":"object"}}],
        "messages":[{"role":"user","content":"hi"},{"role":"assistant","content":[
            {"type":"tool_use","id":"t","name":"Z","input":{"z":1,"y":2,"a":3}}]}]}"#;
    let sent = String::from_utf8(Translation::default().text(body).unwrap().body).unwrap();
    assert!(sent.contains(r#""properties":{"z":{},"y":{},"a":{}}"#));
    assert!(sent.contains(r#""input":{"z":1,"y":2,"a":3}"#));
    assert!(sent.find(r#""name":"Z""#) < sent.find(r#""name":"A""#));
}

#[test]
fn equal_requests_become_equal_bytes() {
    let body = request(json!({
        "tools": [{"name": "T", "input_schema": {"type": "object"}}],
        "thinking": {"type": "adaptive"},
    }));
    let first = Translation::default().translate_body(&body).unwrap();
    assert!((0..20).all(|_| Translation::default().translate_body(&body).unwrap() == first));
}

#[test]
fn ttl_of_a_cache_point_is_kept() {
    let body = request(json!({
        "system": [{"type": "text", "text": "s", "cache_control": hour()}],
        "tools": [{"name": "T", "input_schema": {"type": "object"}, "cache_control": hour()}],
    }));
    let sent = converse(&body);
    assert_eq!(
        sent["system"][1],
        json!({"cachePoint": {"type": "default", "ttl": "1h"}})
    );
    assert_eq!(
        sent["toolConfig"]["tools"][1],
        json!({"cachePoint": {"type": "default", "ttl": "1h"}})
    );
}

#[test]
fn ttl_is_not_sent_to_models_without_it() {
    let body = request(json!({"system": [{"type": "text", "text": "s", "cache_control": hour()}]}));
    let sent = converse_for("us.anthropic.claude-3-7-sonnet-20250219-v1:0", &body);
    assert_eq!(
        sent["system"][1],
        json!({"cachePoint": {"type": "default"}})
    );
}

#[test]
fn one_hour_cache_point_never_follows_a_five_minute_one() {
    let body = request(json!({
        "system": [{"type": "text", "text": "s", "cache_control": ephemeral()}],
        "tools": [{"name": "T", "input_schema": {"type": "object"}, "cache_control": hour()}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "a", "cache_control": hour()}]}],
    }));
    let sent = converse(&body).to_string();
    assert_eq!(sent.matches(r#""ttl":"1h""#).count(), 1);
    assert!(
        Translation::default()
            .losses(&body)
            .contains("cache_control.ttl")
    );
}

#[test]
fn cache_point_is_never_inside_a_tool_result() {
    let body = messages(json!([
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "T", "input": {}}]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "a", "content": [
                {"type": "text", "text": "x", "cache_control": ephemeral()},
                {"type": "text", "text": "y", "cache_control": ephemeral()},
            ]},
            {"type": "text", "text": "next"},
        ]},
    ]));
    assert!(turns(&converse(&body)).ends_with("user: result a [x | y] | POINT | next"));
}

#[test]
fn at_most_four_cache_points_are_sent_and_the_newest_stay() {
    let marked = |text: &str| json!({"type": "text", "text": text, "cache_control": ephemeral()});
    let body = request(json!({
        "system": [marked("s"), marked("t")],
        "messages": [{"role": "user", "content": [marked("a"), marked("b"), marked("c")]}],
    }));
    let sent = converse(&body);
    assert_eq!(turns(&sent), "user: a | b | POINT | c | POINT");
    assert_eq!(sent["system"].to_string().matches("cachePoint").count(), 2);
    assert!(
        Translation::default()
            .losses(&body)
            .contains("cache_control")
    );

    let many: Vec<_> = (0..6).map(|nth| marked(&nth.to_string())).collect();
    let sent = converse(&request(
        json!({"system": many, "messages": [{"role": "user", "content": [marked("a")]}]}),
    ));
    assert_eq!(sent.to_string().matches("cachePoint").count(), 4);
    assert_eq!(turns(&sent), "user: a");
}

#[test]
fn cache_point_is_never_first_after_thinking_or_doubled() {
    let body = messages(json!([
        {"role": "user", "content": [
            {"type": "text", "text": " ", "cache_control": ephemeral()},
            {"type": "text", "text": "a", "cache_control": ephemeral()},
            {"type": "text", "text": "", "cache_control": hour()},
        ]},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "t", "signature": "s", "cache_control": ephemeral()},
            {"type": "text", "text": "b"},
        ]},
        {"role": "user", "content": "c"},
    ]));
    let sent = turns(&converse(&body));
    assert!(
        sent.starts_with("user: a | POINT 1h\nassistant: reasoningContent"),
        "{sent}"
    );
    assert_eq!(sent.matches("POINT").count(), 1);
}

#[test]
fn system_messages_inside_the_conversation_stay_in_place() {
    let first = json!([
        {"role": "user", "content": "a"},
        {"role": "system", "content": [{"type": "text", "text": "be kind", "cache_control": ephemeral()}],
         "output_config": {"effort": "medium"}},
    ]);
    let sent = converse(&request(json!({"system": "top", "messages": first})));
    assert_eq!(sent["system"], json!([{"text": "top"}]));
    assert_eq!(
        turns(&sent),
        "user: a | <system-reminder>⏎be kind⏎</system-reminder> | POINT"
    );

    let later = json!([
        {"role": "user", "content": "a"},
        {"role": "system", "content": "be kind", "output_config": {"effort": "medium"}},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "T", "input": {}}]},
        {"role": "system", "content": "be quick"},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "ok"}]},
    ]);
    let sent = turns(&converse(&messages(later)));
    assert!(
        sent.starts_with("user: a | <system-reminder>⏎be kind⏎</system-reminder>\n"),
        "{sent}"
    );
    assert!(sent.ends_with("user: result t [ok] | <system-reminder>⏎be quick⏎</system-reminder>"));
}

#[test]
fn thinking_block_keeps_place_text_and_signature() {
    let body = messages(json!([
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": " one \n", "signature": "c2ln"},
            {"type": "tool_use", "id": "t", "name": "T", "input": {}},
            {"type": "thinking", "thinking": "", "signature": "c2ln"},
            {"type": "text", "text": "b"},
        ]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "ok"}]},
    ]));
    let content = converse(&body)["messages"][1]["content"].clone();
    let reasoning = |text: &str| json!({"reasoningContent": {"reasoningText": {"text": text, "signature": "c2ln"}}});
    assert_eq!(content[0], reasoning(" one \n"));
    assert!(content[1].get("toolUse").is_some());
    assert_eq!(content[2], reasoning(""));
    assert_eq!(content[3], json!({"text": "b"}));
}

#[test]
fn thinking_without_a_signature_is_left_out() {
    for signature in [Value::Null, json!(""), json!(" ")] {
        let body = messages(json!([
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "x", "signature": signature},
                {"type": "text", "text": "b"},
            ]},
            {"role": "user", "content": "c"},
        ]));
        assert_eq!(turns(&converse(&body)), "user: a\nassistant: b\nuser: c");
    }
}

#[test]
fn tool_loop_without_thinking_continues_without_it_on_budget_models() {
    let conversation = |opening: Value| {
        request(json!({
            "thinking": {"type": "enabled", "budget_tokens": 2000},
            "messages": [
                {"role": "user", "content": "a"},
                {"role": "assistant", "content": [opening, {"type": "tool_use", "id": "t", "name": "T", "input": {}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "ok"}]},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "u", "name": "T", "input": {}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "u", "content": "ok"}]},
            ],
        }))
    };
    let thinks = |model: &str, opening: Value| {
        let sent = converse_for(model, &conversation(opening));
        sent["additionalModelRequestFields"]["thinking"]["type"] == "enabled"
    };
    let spoken = json!({"type": "text", "text": "let me see"});
    let thought = json!({"type": "thinking", "thinking": "hm", "signature": "s"});
    assert!(!thinks(SONNET_4_5, spoken.clone()));
    assert!(thinks(SONNET_4_5, thought));
    assert!(thinks("us.anthropic.claude-opus-4-6-v1", spoken));
}

#[test]
fn redacted_thinking_is_sent_as_the_bytes_of_its_text() {
    let body = messages(json!([
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": [
            {"type": "redacted_thinking", "data": "QUJD"},
            {"type": "redacted_thinking", "data": ""},
            {"type": "text", "text": "b"},
        ]},
        {"role": "user", "content": "c"},
    ]));
    let content = &converse(&body)["messages"][1]["content"];
    assert_eq!(
        content[0],
        json!({"reasoningContent": {"redactedContent": "UVVKRA=="}})
    );
    assert_eq!(content.as_array().unwrap().len(), 2);
}

#[test]
fn effort_and_adaptive_thinking_follow_the_model_version() {
    let body =
        request(json!({"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}));
    let fields = |model: &str| converse_for(model, &body)["additionalModelRequestFields"].clone();
    for new in [
        "us.anthropic.claude-opus-9",
        "us.anthropic.claude-sonnet-7-1",
        "us.anthropic.claude-haiku-8",
    ] {
        assert_eq!(
            fields(new),
            json!({"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}})
        );
    }
    assert_eq!(
        fields(SONNET_4_5),
        json!({"thinking": {"type": "enabled", "budget_tokens": 16_384}})
    );
}

#[test]
fn tool_choice_has_its_type_once() {
    for kind in ["auto", "any"] {
        let sent = converse(&request(json!({
            "tools": [{"name": "T", "input_schema": {"type": "object"}}],
            "tool_choice": {"type": kind, "disable_parallel_tool_use": true},
        })));
        let of_converse = sent["toolConfig"].get("toolChoice").is_some();
        let of_model = sent["additionalModelRequestFields"]["tool_choice"]
            .get("type")
            .is_some();
        assert!(of_converse != of_model, "{sent}");
    }
}

#[test]
fn thinking_does_not_change_tool_choice_auto() {
    let sent = converse(&request(json!({
        "tools": [{"name": "T", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "auto"},
        "thinking": {"type": "adaptive"},
    })));
    assert_eq!(sent["toolConfig"]["toolChoice"], json!({"auto": {}}));
}

#[test]
fn converse_body_has_no_deferred_tools_or_references() {
    let sent = converse(&request(json!({
        "tools": [
            {"name": "ToolSearch", "input_schema": {"type": "object"}},
            {"name": "WebFetch", "input_schema": {"type": "object"}, "defer_loading": true},
            {"name": "DeferredToolPlaceholder", "input_schema": {"type": "object"}, "defer_loading": true},
        ],
        "messages": [
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "ToolSearch", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a",
                "content": [{"type": "tool_reference", "tool_name": "WebFetch"}]}]},
        ],
    })));
    let text = sent.to_string();
    assert!(
        !text.contains("defer")
            && !text.contains("tool_reference")
            && !text.contains("Placeholder")
    );
    assert!(turns(&sent).ends_with("result a [Tool loaded: WebFetch]"));
    assert_eq!(
        sent["toolConfig"]["tools"][1]["toolSpec"]["name"],
        "WebFetch"
    );
}

#[test]
fn blank_text_and_empty_results_are_never_sent() {
    let sent = converse(&messages(json!([
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "\n\t"}]},
        {"role": "assistant", "content": [
            {"type": "text", "text": ""},
            {"type": "tool_use", "id": "a", "name": "T", "input": ""},
            {"type": "tool_use", "id": "b", "name": "T", "input": {}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "a"},
            {"type": "tool_result", "tool_use_id": "b", "content": [{"type": "text", "text": " "}]},
        ]},
    ])));
    assert_eq!(
        turns(&sent),
        "user: a\nassistant: use a T {} | use b T {}\nuser: result a [(empty)] | result b [(empty)]"
    );
}

#[test]
fn document_names_are_valid_unique_and_stable() {
    let document = |title: &str| json!({"type": "document", "title": title, "source": {"type": "text", "media_type": "text/plain", "data": "d"}});
    let history = json!([
        {"role": "user", "content": [document("a.b/c"), document("a.b/c"), {"type": "text", "text": "read"}]},
    ]);
    let mut longer = history.clone();
    longer.as_array_mut().unwrap().extend([
        json!({"role": "assistant", "content": "ok"}),
        json!({"role": "user", "content": [document("new")]}),
    ]);
    let names = |sent: &Value| {
        let blocks = sent["messages"].as_array().unwrap().iter();
        let blocks = blocks.flat_map(|turn| turn["content"].as_array().unwrap());
        blocks
            .filter_map(|block| block["document"]["name"].as_str().map(str::to_owned))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names(&converse(&messages(history.clone()))),
        ["document-1", "document-2"]
    );
    let sent = converse(&messages(longer));
    assert_eq!(names(&sent), ["document-1", "document-2", "document-3"]);
    assert_eq!(
        sent["messages"][0],
        converse(&messages(history))["messages"][0]
    );
    assert_eq!(sent["messages"][2]["content"][1], json!({"text": "."}));
}

#[test]
fn unknown_betas_are_never_sent() {
    let known = "claude-code-20250219,oauth-2025-04-20,extended-cache-ttl-2025-04-11,\
        prompt-caching-scope-2026-01-05,thinking-token-count-2026-05-13,per-turn-control-2026-07-01,\
        mid-conversation-tool-changes-2026-07-01,dangerous-tool-use-2026-09-03,afk-mode-2026-01-31,\
        fast-mode-2026-02-01,redact-thinking-2026-02-12,advisor-tool-2026-03-01,files-api-2025-04-14";
    for dialect in [Dialect::Converse, Dialect::Invoke] {
        for model in [SONNET_4_5, OPUS_4_5, OPUS_5_5] {
            let translation = Translation {
                model,
                dialect,
                betas: known,
                ..Translation::default()
            };
            let body = request(json!({
                "thinking": {"type": "adaptive"},
                "tools": [{"name": "T", "input_schema": {"type": "object"}}],
            }));
            assert!(
                !translation
                    .body(&body)
                    .to_string()
                    .contains("anthropic_beta")
            );
            assert_eq!(translation.losses(&body).matches("beta:").count(), 13);
        }
    }
}

#[test]
fn user_id_of_the_client_never_becomes_request_metadata() {
    let user_id = r#"{"device_id":"d","session_id":"s"}"#;
    let translation = Translation {
        labels: RequestLabels::new("ada {lovelace}", &"r".repeat(300)),
        ..Translation::default()
    };
    let sent = translation.body(&request(json!({"metadata": {"user_id": user_id}})));
    assert!(!sent.to_string().contains("device_id"));
    assert_eq!(sent["requestMetadata"]["spillway_user"], "ada _lovelace_");
    assert_eq!(
        sent["requestMetadata"]["spillway_request"]
            .as_str()
            .unwrap()
            .len(),
        256
    );
}

#[test]
fn zero_temperature_is_sent() {
    let sent = converse(&request(json!({"temperature": 0, "top_k": 0})));
    assert_eq!(sent["inferenceConfig"]["temperature"], 0);
    assert_eq!(sent["additionalModelRequestFields"]["top_k"], 0);
}

#[test]
fn image_url_is_neither_fetched_nor_sent() {
    let image = json!({"type": "image", "source": {"type": "url", "url": "s3://bucket/key"}});
    assert!(
        Translation::default()
            .translate_body(&messages(json!([{"role": "user", "content": [image]}])))
            .is_err()
    );
    let sent = converse(&messages(json!([
        {"role": "user", "content": [image]},
        {"role": "assistant", "content": "a"},
        {"role": "user", "content": "b"},
    ])));
    assert!(!sent.to_string().contains("s3"));
}

#[test]
fn count_of_an_invoke_body_has_the_bedrock_version() {
    let translation = Translation {
        dialect: Dialect::Invoke,
        ..Translation::default()
    };
    assert_eq!(
        translation.body(&request(json!({})))["anthropic_version"],
        "bedrock-2023-05-31"
    );
}

#[test]
fn translation_does_not_change_the_request() {
    let body = request(json!({
        "metadata": {"user_id": "u"},
        "thinking": {"type": "adaptive"},
        "system": [{"type": "text", "text": "x-anthropic-billing-header: v"}],
    }))
    .to_string();
    let request = MessagesRequest::parse(body.as_bytes(), std::iter::once("a-1")).unwrap();
    let mut unsupported = UnsupportedFeatures::default();
    let send = |model: &str, unsupported: &UnsupportedFeatures| {
        translate(
            &request,
            &target(model),
            Dialect::Converse,
            unsupported,
            &RequestLabels::default(),
        )
        .unwrap()
    };
    let first = send(OPUS_5_5, &unsupported);
    write_for_validators(&first);
    unsupported.insert(UnsupportedFeature::Field("thinking".to_owned()));
    assert_ne!(send(SONNET_4_5, &unsupported), first);
    assert_ne!(send(OPUS_5_5, &unsupported), first);
    assert_eq!(send(OPUS_5_5, &UnsupportedFeatures::default()), first);
}

#[test]
fn billing_block_of_claude_code_is_never_sent() {
    for dialect in [Dialect::Converse, Dialect::Invoke] {
        let translation = Translation {
            dialect,
            ..Translation::default()
        };
        let sent = translation.body(&request(json!({"system": [
            {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1; cc_entrypoint=cli;"},
            {"type": "text", "text": "You are Claude Code."},
        ]})));
        assert_eq!(sent["system"].as_array().unwrap().len(), 1);
        assert!(!sent.to_string().contains("billing"));
    }
}

#[test]
fn images_in_tool_results_are_sent() {
    let sent = converse(&messages(json!([
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "Read", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": [
            {"type": "image", "source": {"type": "base64", "media_type": "image/webp", "data": "aGk="}},
        ]}]},
    ])));
    let content = &sent["messages"][2]["content"][0]["toolResult"]["content"];
    assert_eq!(content[0]["image"]["format"], "webp");
}
