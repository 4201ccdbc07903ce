//! Features that a target does not support are left out.

use dialect::{UnsupportedFeature, UnsupportedFeatures};
use domain::bedrock::Dialect;
use serde_json::{Value, json};

use crate::translation::{OPUS_4_5, OPUS_5_5, SONNET_4_5, Translation, request, turns};

fn after(
    refused: UnsupportedFeature,
    model: &str,
    dialect: Dialect,
    body: &Value,
) -> (Value, String) {
    let mut unsupported = UnsupportedFeatures::default();
    unsupported.insert(refused);
    let betas = "thinking-display-updates-2026-08-18,interleaved-thinking-2025-05-14,advanced-tool-use-2025-11-20";
    let translation = Translation {
        model,
        dialect,
        betas,
        unsupported,
        ..Translation::default()
    };
    (translation.body(body), translation.losses(body))
}

/// A request with every feature that can be refused.
fn everything() -> Value {
    request(json!({
        "thinking": {"type": "adaptive", "display": "updates"},
        "output_config": {"effort": "high", "format": {"type": "json_schema", "schema": {"type": "object"}}},
        "stop_sequences": ["END"],
        "tools": [{"name": "T", "strict": true, "input_schema": {"type": "object"},
                   "cache_control": {"type": "ephemeral", "ttl": "1h"}},
                  {"name": "D", "input_schema": {"type": "object"}, "defer_loading": true}],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": true},
        "context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]},
        "metadata": {"user_id": "u"},
        "messages": [
            {"role": "user", "content": "a"},
            {"role": "system", "content": "s"},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm", "signature": "sig"},
                {"type": "text", "text": "b"},
            ]},
            {"role": "user", "content": [{"type": "text", "text": "c", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]},
        ],
    }))
}

#[test]
fn refused_field_is_left_out_of_converse_and_recorded() {
    for (field, model, word, loss) in [
        ("thinking", OPUS_5_5, "adaptive", "thinking"),
        ("thinking.display", OPUS_5_5, "updates", "thinking.display"),
        (
            "output_config.effort",
            OPUS_5_5,
            "effort",
            "output_config.effort",
        ),
        (
            "output_config.format",
            SONNET_4_5,
            "textFormat",
            "output_config.format",
        ),
        ("tool_choice", SONNET_4_5, "disable_parallel", "tool_choice"),
        ("tools.strict", SONNET_4_5, "strict", "tools.strict"),
        (
            "stop_sequences",
            SONNET_4_5,
            "stopSequences",
            "stop_sequences",
        ),
        (
            "anthropic_beta",
            OPUS_5_5,
            "anthropic_beta",
            "thinking.display",
        ),
    ] {
        let before = Translation {
            model,
            betas: "thinking-display-updates-2026-08-18",
            ..Translation::default()
        };
        assert!(
            before.body(&everything()).to_string().contains(word),
            "{field}"
        );
        let refused = UnsupportedFeature::Field(field.to_owned());
        let (body, losses) = after(refused, model, Dialect::Converse, &everything());
        assert!(!body.to_string().contains(word), "{field}: {body}");
        assert!(
            losses.split(' ').any(|known| known == loss),
            "{field}: {losses}"
        );
    }
}

#[test]
fn refused_field_is_left_out_of_invoke_and_recorded() {
    for (field, word) in [
        ("context_management", "clear_tool_uses"),
        ("metadata", "user_id"),
        ("tools.defer_loading", "defer_loading"),
        ("tool_choice", "tool_choice"),
        ("anthropic_beta", "anthropic_beta"),
    ] {
        let before = Translation {
            dialect: Dialect::Invoke,
            betas: "advanced-tool-use-2025-11-20",
            ..Translation::default()
        };
        assert!(
            before.body(&everything()).to_string().contains(word),
            "{field}"
        );
        let refused = UnsupportedFeature::Field(field.to_owned());
        let (body, _) = after(refused, SONNET_4_5, Dialect::Invoke, &everything());
        assert!(!body.to_string().contains(word), "{field}: {body}");
    }
}

#[test]
fn refused_sampling_fields_are_left_out() {
    let body = request(json!({"temperature": 0.5, "top_k": 3}));
    for (field, word) in [("temperature", "temperature"), ("top_k", "top_k")] {
        let refused = UnsupportedFeature::Field(field.to_owned());
        let (body, losses) = after(refused, SONNET_4_5, Dialect::Converse, &body);
        assert!(!body.to_string().contains(word));
        assert!(losses.contains(field));
    }
}

#[test]
fn refused_beta_removes_its_field() {
    let display = UnsupportedFeature::Beta("thinking-display-updates-2026-08-18".to_owned());
    let (body, losses) = after(display, OPUS_5_5, Dialect::Converse, &everything());
    assert_eq!(
        body["additionalModelRequestFields"]["thinking"],
        json!({
            "type": "adaptive",
            "block_binding": {"prefix_mismatch_behavior": "drop_block"},
        })
    );
    assert!(
        losses.contains("thinking.display") && losses.contains("beta:thinking-display-updates")
    );

    let effort = UnsupportedFeature::Beta("effort-2025-11-24".to_owned());
    let (body, losses) = after(
        effort,
        OPUS_4_5,
        Dialect::Converse,
        &request(json!({"output_config": {"effort": "low"}})),
    );
    assert_eq!(body.get("additionalModelRequestFields"), None);
    assert!(losses.contains("output_config.effort"));
}

#[test]
fn refused_cache_points_and_ttl_are_left_out() {
    let (body, losses) = after(
        UnsupportedFeature::CacheTtl,
        SONNET_4_5,
        Dialect::Converse,
        &everything(),
    );
    assert!(turns(&body).ends_with("c | POINT"), "{}", turns(&body));
    assert!(losses.contains("cache_control.ttl"));
    let (body, losses) = after(
        UnsupportedFeature::CachePoints,
        SONNET_4_5,
        Dialect::Converse,
        &everything(),
    );
    assert!(!body.to_string().contains("cachePoint"));
    assert!(losses.contains("cache_control"));
}

#[test]
fn refused_thinking_history_is_left_out() {
    let (body, losses) = after(
        UnsupportedFeature::ThinkingHistory,
        OPUS_5_5,
        Dialect::Converse,
        &everything(),
    );
    assert!(!body["messages"].to_string().contains("reasoningContent"));
    assert!(losses.contains("block:thinking"));
}

#[test]
fn refused_system_role_becomes_user_text() {
    let roles = |body: &Value| body["messages"][1]["role"].clone();
    let native = Translation {
        model: OPUS_5_5,
        dialect: Dialect::Invoke,
        ..Translation::default()
    };
    assert_eq!(roles(&native.body(&everything())), "system");
    let (body, _) = after(
        UnsupportedFeature::SystemRole,
        OPUS_5_5,
        Dialect::Invoke,
        &everything(),
    );
    assert_eq!(roles(&body), "assistant");
}

#[test]
fn refused_tool_choice_none_becomes_an_instruction() {
    let body = request(json!({
        "system": "s",
        "tools": [{"name": "T", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "none"},
    }));
    let (body, _) = after(
        UnsupportedFeature::Field("tool_choice".to_owned()),
        SONNET_4_5,
        Dialect::Converse,
        &body,
    );
    assert_eq!(
        body["system"],
        json!([{"text": "s"}, {"text": "Answer without using any tool."}])
    );
    assert_eq!(body.get("additionalModelRequestFields"), None);
}
