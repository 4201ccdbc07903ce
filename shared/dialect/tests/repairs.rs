//! The parts that a repair leaves out, and the requests to which a refusal applies.

mod validation_error;

use dialect::UnsupportedFeature;
use dialect::error::{AnthropicError, BedrockFailure, Repair, Scope, repairs, sent_betas};
use proptest::prelude::*;

use validation_error::validation_error;

/// The betas of the refused request.
const SENT: [&str; 2] = ["context-management-2025-06-27", "effort-2025-11-24"];

fn repairs_of(failure: &BedrockFailure<'_>) -> Vec<Repair> {
    repairs(failure, &SENT.map(str::to_owned))
}

fn of_message(message: &str) -> Vec<Repair> {
    repairs_of(&validation_error(message))
}

fn field(name: &str) -> Vec<UnsupportedFeature> {
    vec![UnsupportedFeature::Field(name.to_owned())]
}

fn beta(name: &str) -> UnsupportedFeature {
    UnsupportedFeature::Beta(name.to_owned())
}

#[track_caller]
fn assert_repairs(message: &str, scope: Scope, parts: &[UnsupportedFeature]) {
    let expected: Vec<Repair> = parts
        .iter()
        .map(|part| Repair {
            part: part.clone(),
            scope,
        })
        .collect();
    assert_eq!(of_message(message), expected, "{message}");
}

#[test]
fn refusal_of_a_capability_applies_to_the_model() {
    for (message, parts) in [
        (
            "context_management: Extra inputs are not permitted",
            field("context_management"),
        ),
        (
            "Malformed input request: #: extraneous key [context_management] is not permitted, please reformat your input and try again.",
            field("context_management"),
        ),
        (
            "Malformed input request: #: extraneous key [top_k] is not permitted, please reformat your input and try again.",
            field("top_k"),
        ),
        ("top_k: Extra inputs are not permitted", field("top_k")),
        (
            "`temperature` is deprecated for this model.",
            field("temperature"),
        ),
        ("`top_k` is not supported by this model.", field("top_k")),
        (
            "The model returned the following errors: output_config: Extra inputs are not permitted",
            field("output_config.effort"),
        ),
        (
            r#"The model returned the following errors: {"type":"error","request_id":"req_1","error":{"type":"invalid_request_error","message":"output_config.effort: Extra inputs are not permitted"}}"#,
            field("output_config.effort"),
        ),
        (
            "This model does not support the effort parameter.",
            field("output_config.effort"),
        ),
        (
            "output_config.format: Extra inputs are not permitted",
            field("output_config.format"),
        ),
        (
            "thinking.display: Extra inputs are not permitted",
            field("thinking.display"),
        ),
        (
            "tools.0.custom.strict: Extra inputs are not permitted",
            field("tools.strict"),
        ),
        (
            "tools.11.custom.defer_loading: Extra inputs are not permitted",
            field("tools.defer_loading"),
        ),
        (
            "additionalModelResponseFieldPaths is not supported for this model",
            field("additionalModelResponseFieldPaths"),
        ),
        (
            "system.0.cache_control.ttl: Extra inputs are not permitted",
            vec![UnsupportedFeature::CacheTtl],
        ),
    ] {
        assert_repairs(message, Scope::Model, &parts);
    }
}

#[test]
fn refusal_of_a_sent_beta_applies_to_the_account() {
    for (message, parts) in [
        ("invalid beta flag", vec![beta(SENT[0]), beta(SENT[1])]),
        (
            "The model returned the following errors: invalid beta flag",
            vec![beta(SENT[0]), beta(SENT[1])],
        ),
        (
            "Unexpected value(s) `context-management-2025-06-27`, `effort-2025-11-24` for the `anthropic-beta` header. Please consult our documentation.",
            vec![beta(SENT[0]), beta(SENT[1])],
        ),
        (
            "Unexpected value(s) `effort-2025-11-24`, `never-sent-2025-01-01` for the `anthropic-beta` header.",
            vec![beta(SENT[1])],
        ),
        (
            "anthropic_beta: Extra inputs are not permitted",
            vec![beta(SENT[0]), beta(SENT[1])],
        ),
        (
            "Unexpected value(s) `never-sent-2025-01-01` for the `anthropic-beta` header.",
            vec![],
        ),
    ] {
        assert_repairs(message, Scope::Account, &parts);
    }
}

#[test]
fn beta_refusal_applies_to_its_request_when_sent_betas_are_unknown() {
    let failure = validation_error("invalid beta flag");
    let all = Repair {
        part: UnsupportedFeature::Field("anthropic_beta".to_owned()),
        scope: Scope::Request,
    };
    assert_eq!(repairs(&failure, &[]), [all]);
}

#[test]
fn refusal_of_prompt_caching_applies_to_the_account() {
    let message = "You invoked an unsupported model or your request did not allow prompt caching. See the documentation for more information.";
    let failure = BedrockFailure::ErrorResponse {
        status: Some(403),
        code: Some("AccessDeniedException"),
        message: Some(message),
        retry_after_s: None,
    };
    let repair = Repair {
        part: UnsupportedFeature::CachePoints,
        scope: Scope::Account,
    };
    assert_eq!(repairs_of(&failure), [repair]);
}

#[test]
fn refusal_of_content_applies_to_its_request_only() {
    for (message, parts) in [
        // Fields that exclude each other, or invalid values.
        (
            "adaptive thinking is not supported on this model",
            field("thinking"),
        ),
        (
            "\"thinking.type.enabled\" is not supported for this model. Use \"thinking.type.adaptive\" and \"output_config.effort\" to control thinking behavior.",
            field("thinking"),
        ),
        (
            "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`.",
            field("thinking"),
        ),
        (
            "`max_tokens` must be greater than `thinking.budget_tokens`.",
            field("thinking"),
        ),
        (
            "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024",
            field("thinking"),
        ),
        (
            "Thinking may not be enabled when tool_choice forces tool use.",
            field("tool_choice"),
        ),
        (
            "`temperature` may only be set to 1 when thinking is enabled.",
            field("temperature"),
        ),
        (
            "`temperature` and `top_p` cannot both be specified for this model. Please use only one.",
            field("top_p"),
        ),
        (
            "`top_k` must be unset when thinking is enabled.",
            field("top_k"),
        ),
        (
            "This model does not support effort level 'xhigh'. Supported levels: high, low, max, medium.",
            field("output_config.effort"),
        ),
        (
            "output_config.format.schema: For 'object' type, 'additionalProperties' must be explicitly set to false",
            field("output_config.format"),
        ),
        (
            "1 validation error detected: Value '7' at 'inferenceConfig.temperature' failed to satisfy constraint: Member must have value less than or equal to 1",
            field("temperature"),
        ),
        // Blocks.
        (
            "messages.3.content.0: Invalid `signature` in `thinking` block",
            vec![UnsupportedFeature::ThinkingHistory],
        ),
        (
            "messages.39.content.0: Invalid signature in thinking block",
            vec![UnsupportedFeature::ThinkingHistory],
        ),
        (
            "messages.1.content.0.thinking.signature: Field required",
            vec![UnsupportedFeature::ThinkingHistory],
        ),
        (
            "messages.5.content.0: `thinking` or `redacted_thinking` blocks in the latest assistant message cannot be modified.",
            vec![UnsupportedFeature::ThinkingHistory],
        ),
        (
            "messages.5.content.0: The block is bound to a different conversation. Remove the block, or set thinking.block_binding.prefix_mismatch_behavior to \"drop_block\" with the beta thinking-binding-controls-2026-08-01",
            vec![UnsupportedFeature::ThinkingHistory],
        ),
        // The cache.
        (
            "messages.0.content.0.text.cache_control.ttl: Extra inputs are not permitted",
            vec![UnsupportedFeature::CacheTtl],
        ),
        (
            "messages.0.content.0.cache_control.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block",
            vec![UnsupportedFeature::CacheTtl],
        ),
        (
            "A maximum of 4 blocks with cache_control may be provided. Found 5.",
            vec![UnsupportedFeature::CachePoints],
        ),
        (
            "messages.4.content.1.cache_control: Extra inputs are not permitted",
            vec![UnsupportedFeature::CachePoints],
        ),
        // The system role.
        (
            "messages.1.role: Input should be 'user' or 'assistant'",
            vec![UnsupportedFeature::SystemRole],
        ),
        (
            "1 validation error detected: Value 'system' at 'messages.2.member.role' failed to satisfy constraint: Member must satisfy enum value set: [user, assistant]",
            vec![UnsupportedFeature::SystemRole],
        ),
    ] {
        assert_repairs(message, Scope::Request, &parts);
    }
}

#[test]
fn words_of_messages_and_tool_schemas_are_not_refused_fields() {
    for message in [
        "The format of the value at toolConfig.tools.0.toolSpec.inputSchema.json is invalid. The inputSchema is invalid: $.properties.temperature: null found, [object] is required",
        "tools.2.custom.input_schema.properties.strict: invalid",
        "tools.0.custom.input_schema: JSON schema is invalid",
        "tools.0.custom.input_schema.properties.cache_control.ttl: Extra inputs are not permitted",
        "messages.1.content.0: Input tag 'mcp_tool_use' found using 'type' does not match any of the expected tags: 'redacted_thinking', 'thinking', 'tool_use'",
        "1 validation error detected: Value 'my temperature and effort' at 'messages.1.member.content' failed to satisfy constraint: Member must not be null",
        "messages: at least one message is required",
        "tool type 'web_search_20250305' is not supported for this model",
        "This model does not support assistant message prefill. The conversation must end with a user message.",
        "Guardrail was enabled but input is in incorrect format.",
        "",
    ] {
        assert_eq!(of_message(message), [], "{message}");
    }
}

#[test]
fn error_inside_a_200_is_repaired() {
    let chunk = br#"{"type":"error","error":{"type":"invalid_request_error","message":"messages.1.content.0: Invalid `signature` in `thinking` block"}}"#;
    let error = AnthropicError::parse(chunk).unwrap();
    let repairs = repairs_of(&error.as_failure());
    assert_eq!(repairs[0].part, UnsupportedFeature::ThinkingHistory);
}

#[test]
fn recoverable_and_unfixable_errors_are_not_repaired() {
    let answered = |status, code, message| BedrockFailure::ErrorResponse {
        status: Some(status),
        code: Some(code),
        message: Some(message),
        retry_after_s: None,
    };
    for failure in [
        validation_error("prompt is too long: 215000 tokens > 200000 maximum"),
        validation_error("image exceeds 5 MB maximum; cache_control"),
        validation_error("data retention mode 'default' is not available for this model"),
        answered(429, "ThrottlingException", "temperature"),
        answered(403, "AccessDeniedException", "thinking"),
        answered(500, "InternalServerException", "thinking"),
        BedrockFailure::Cut,
    ] {
        assert_eq!(repairs_of(&failure), [], "{failure:?}");
    }
}

#[test]
fn sent_betas_are_read_from_converse_and_invoke_bodies() {
    for (body, expected) in [
        (
            r#"{"anthropic_beta":["a","b"],"messages":[]}"#,
            vec!["a", "b"],
        ),
        (
            r#"{"additionalModelRequestFields":{"anthropic_beta":["a"]},"messages":[]}"#,
            vec!["a"],
        ),
        (r#"{"messages":[{"anthropic_beta":["a"]}]}"#, vec![]),
        ("", vec![]),
    ] {
        assert_eq!(sent_betas(body.as_bytes()), expected, "{body}");
    }
}

/// The forms in which AWS and Anthropic quote a request.
const QUOTING: &[(&str, &str)] = &[
    (
        "1 validation error detected: Value '",
        "' at 'messages.1.member.content' failed to satisfy constraint: Member must not be null",
    ),
    (
        "messages.0.content.0.text: Input should be a valid string, got ",
        "",
    ),
    (
        "messages.0.content.0: Input tag '",
        "' found using 'type' does not match any of the expected tags: 'text', 'thinking'",
    ),
    (
        "tools.0.custom.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$': ",
        "",
    ),
    (
        "tools.0.custom.input_schema.properties.",
        ": Extra inputs are not permitted",
    ),
    (
        "tools.0.custom.input_schema.properties.",
        ".strict: Extra inputs are not permitted",
    ),
    ("tool type '", "' is not supported for this model"),
    (
        "stop_sequences: each stop sequence must contain non-whitespace: ",
        "",
    ),
    (
        "The inputSchema is invalid: $.properties.",
        ": null found, [object] is required",
    ),
    (
        "This model does not support effort level '",
        "'. Supported levels: high, low.",
    ),
    (
        "messages.3.content.0: Invalid `signature` in `thinking` block ",
        "",
    ),
    (
        "Expected `thinking` or `redacted_thinking`, but found `",
        "`",
    ),
];

/// Texts of a request, among them those that look like a refusal.
fn request_text() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "temperature",
        "top_k",
        "thinking",
        "strict",
        "cache_control",
        "ttl",
        "output_config.format",
        "context_management",
        "anthropic_beta",
        "invalid beta flag",
        "messages.0",
        "beta",
        "context-management-2025-06-27",
        "Extra inputs are not permitted",
        ": ",
        ".",
        "' at '",
        "`",
        "is not supported for this model",
        "#: extraneous key [top_k] is not permitted",
        "top_k: Extra inputs are not permitted",
        "did not allow prompt caching",
        "{",
        "}",
        "\"",
        "\n",
        "Unexpected value(s) `context-management-2025-06-27` for the `anthropic-beta` header",
        "The model returned the following errors: ",
    ]);
    let word = prop_oneof![words.prop_map(str::to_owned), "\\PC{0,12}"];
    prop::collection::vec(word, 0..6).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn refusal_that_quotes_the_request_applies_to_its_request_only(
        text in request_text(),
        (before, after) in prop::sample::select(QUOTING),
        introduced in any::<bool>(),
        enveloped in any::<bool>(),
    ) {
        let mut message = format!("{before}{text}{after}");
        if enveloped {
            let quoted = message.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            message = format!(
                r#"{{"type":"error","error":{{"type":"invalid_request_error","message":"{quoted}"}}}}"#
            );
        }
        if introduced {
            message = format!("The model returned the following errors: {message}");
        }
        for repair in of_message(&message) {
            prop_assert_eq!(repair.scope, Scope::Request, "{}", message);
        }
    }
}
