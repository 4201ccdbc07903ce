use serde_json::{Value, json};

use super::super::model;
use super::check;

const SONNET_4_5: &str = "global.anthropic.claude-sonnet-4-5-20250929-v1:0";
const OPUS_5_5: &str = "us.anthropic.claude-opus-5-5";

fn refusal(model_id: &str, body: &Value) -> Option<String> {
    let capabilities = model::resolve(model_id).unwrap();
    check(body, capabilities.as_ref())
        .err()
        .map(|refused| refused.0)
}

/// A body that the service takes, with something of everything.
fn good() -> Value {
    json!({
        "messages": [
            { "role": "user", "content": [
                { "text": "look" },
                { "image": { "format": "png", "source": { "bytes": "aGk=" } } },
                { "document": { "name": "document-1", "format": "txt", "source": { "bytes": "aGk=" } } },
            ]},
            { "role": "assistant", "content": [
                { "reasoningContent": { "reasoningText": { "text": "", "signature": "c2ln" } } },
                { "text": "calling" },
                { "toolUse": { "toolUseId": "tooluse_1", "name": "Bash", "input": { "a": [1] } } },
                { "toolUse": { "toolUseId": "toolu_2", "name": "Bash", "input": {} } },
            ]},
            { "role": "user", "content": [
                { "toolResult": { "toolUseId": "toolu_2", "content": [{ "text": "b" }] } },
                { "toolResult": {
                    "toolUseId": "tooluse_1", "status": "error", "content": [{ "json": {} }],
                }},
                { "text": "go on" },
                { "cachePoint": { "type": "default" } },
            ]},
        ],
        "system": [{ "text": "rules" }, { "cachePoint": { "type": "default", "ttl": "1h" } }],
        "inferenceConfig": { "maxTokens": 4096, "stopSequences": ["END"] },
        "toolConfig": {
            "tools": [
                { "toolSpec": {
                    "name": "Bash",
                    "description": "runs",
                    "inputSchema": { "json": { "type": "object", "properties": {} } },
                }},
                { "cachePoint": { "type": "default", "ttl": "1h" } },
            ],
            "toolChoice": { "auto": {} },
        },
        "additionalModelRequestFields": {
            "thinking": { "type": "enabled", "budget_tokens": 2048 },
            "anthropic_beta": ["interleaved-thinking-2025-05-14"],
        },
        "additionalModelResponseFieldPaths": ["/stop_sequence"],
        "requestMetadata": { "gateway_user": "u-1" },
    })
}

/// Sets what stands at a JSON pointer; `null` takes it away.
fn with(mut body: Value, pointer: &str, value: Value) -> Value {
    let (parent, last) = pointer.rsplit_once('/').unwrap();
    let parent = body.pointer_mut(parent).unwrap();
    match (parent, value) {
        (Value::Object(members), Value::Null) => {
            members.remove(last);
        }
        (Value::Object(members), value) => {
            members.insert(last.to_owned(), value);
        }
        (Value::Array(items), value) if last == "-" => items.push(value),
        (Value::Array(items), Value::Null) => {
            items.remove(last.parse().unwrap());
        }
        (Value::Array(items), value) => items[last.parse::<usize>().unwrap()] = value,
        (other, _) => panic!("{pointer}: {other}"),
    }
    body
}

#[test]
fn valid_body_passes() {
    assert_eq!(refusal(SONNET_4_5, &good()), None);
    let unknown = "arn:aws:bedrock:us-east-1:000000000000:application-inference-profile/x";
    assert_eq!(refusal(unknown, &good()), None);
}

type Case = (&'static str, Value, &'static str);

/// Breaks the good body in one place at a time. An empty message stands for a body that passes.
fn refuses(cases: impl IntoIterator<Item = Case>) {
    for (pointer, value, expected) in cases {
        match refusal(SONNET_4_5, &with(good(), pointer, value.clone())) {
            None => assert_eq!(expected, "", "{pointer} = {value}"),
            Some(message) => {
                assert!(!expected.is_empty(), "{pointer} = {value}: {message}");
                assert!(message.contains(expected), "{pointer} = {value}: {message}");
            }
        }
    }
}

fn text(text: &str) -> Value {
    json!({ "text": text })
}

fn point() -> Value {
    json!({ "cachePoint": { "type": "default" } })
}

#[test]
fn undeclared_members_are_rejected() {
    refuses([
        ("/stream", json!(true), "unknown field `stream`"),
        ("/messages", Value::Null, "missing field `messages`"),
        (
            "/messages/0/content/0/cache_control",
            json!({}),
            "expected map with a single key",
        ),
        (
            "/messages/0/content/0",
            json!({ "thinking": {} }),
            "unknown variant `thinking`",
        ),
        (
            "/messages/1/content/2/toolUse/caller",
            json!({}),
            "unknown field `caller`",
        ),
        (
            "/messages/1/content/2/toolUse/input",
            json!("x"),
            "invalid type",
        ),
        (
            "/toolConfig/tools/0/toolSpec/defer_loading",
            json!(true),
            "unknown field",
        ),
        (
            "/messages/0/content/1/image/format",
            json!("bmp"),
            "unknown variant `bmp`",
        ),
        ("/inferenceConfig/topK", json!(4), "unknown field `topK`"),
        (
            "/system/1/cachePoint/ttl",
            json!("1d"),
            "unknown variant `1d`",
        ),
    ]);
}

#[test]
fn roles_must_alternate_and_begin_with_the_user() {
    refuses([
        ("/messages", json!([]), "must start with a user message"),
        (
            "/messages/0/role",
            json!("assistant"),
            "must start with a user message",
        ),
        ("/messages/1/role", json!("user"), "must alternate"),
        (
            "/messages/1/role",
            json!("system"),
            "Input should be 'user' or 'assistant'",
        ),
    ]);
}

#[test]
fn blank_and_reserved_texts_are_refused() {
    refuses([
        (
            "/messages/0/content/0",
            text(" \n"),
            "at messages.0.content.0 is blank",
        ),
        ("/messages/0/content", json!([]), "at messages.0 is empty"),
        (
            "/messages/0/content",
            json!([point()]),
            "at messages.0 is empty",
        ),
        ("/system/0", text(""), "system.0 is blank"),
        (
            "/system/0",
            text("x-anthropic-billing-header: a"),
            "reserved keyword",
        ),
        (
            "/messages/2/content/0/toolResult/content/0",
            text(""),
            "toolResult.content.0 is blank",
        ),
    ]);
}

#[test]
fn parameters_stay_in_their_ranges() {
    refuses([
        (
            "/inferenceConfig/maxTokens",
            json!(0),
            "inferenceConfig.maxTokens",
        ),
        (
            "/inferenceConfig/temperature",
            json!(1.5),
            "inferenceConfig.temperature",
        ),
        (
            "/inferenceConfig/stopSequences/0",
            json!(" "),
            "non-whitespace",
        ),
        (
            "/inferenceConfig/maxTokens",
            json!(64_001),
            "model limit of 64000",
        ),
        (
            "/requestMetadata/user",
            json!("{\"a\":1}"),
            "requestMetadata",
        ),
    ]);
}

#[test]
fn tools_and_their_results_belong_together() {
    let long_name = "n".repeat(65);
    refuses([
        (
            "/toolConfig",
            Value::Null,
            "toolConfig field must be defined",
        ),
        ("/toolConfig/tools", json!([]), "greater than or equal to 1"),
        (
            "/toolConfig/tools/0/toolSpec/name",
            json!(long_name),
            "toolSpec.name",
        ),
        (
            "/toolConfig/tools/0/toolSpec/name",
            json!("a.b"),
            "toolSpec.name",
        ),
        (
            "/toolConfig/tools/0/toolSpec/description",
            json!(""),
            "toolSpec.description",
        ),
        (
            "/toolConfig/tools/0/toolSpec/inputSchema/json",
            json!({}),
            "inputSchema.json.type",
        ),
        (
            "/toolConfig/toolChoice",
            json!({ "tool": { "name": "No" } }),
            "No in toolConfig.toolChoice",
        ),
        (
            "/toolConfig/toolChoice",
            json!({ "any": {} }),
            "forces tool use",
        ),
        (
            "/messages/1/content/2/toolUse/name",
            json!(long_name),
            "name and toolUseId",
        ),
        (
            "/messages/1/content/2/toolUse/toolUseId",
            json!("a b"),
            "name and toolUseId",
        ),
        (
            "/messages/1/content/3/toolUse/toolUseId",
            json!("tooluse_1"),
            "ids must be unique",
        ),
        (
            "/messages/2/content/0",
            text("no result"),
            "for the following Ids: toolu_2",
        ),
        (
            "/messages/2",
            json!({ "role": "user", "content": [text("none")] }),
            "Expected toolResult blocks at messages.2",
        ),
        (
            "/messages/1/content/3",
            text("not a call"),
            "exceeds the number of toolUse blocks",
        ),
        (
            "/messages/0/content/0",
            json!({ "toolUse": {
                "toolUseId": "t", "name": "Bash", "input": {},
            }}),
            "toolUse blocks are not allowed",
        ),
        (
            "/messages/2/content",
            json!([
                text("first"),
                { "toolResult": { "toolUseId": "toolu_2", "content": [] } },
                { "toolResult": { "toolUseId": "tooluse_1", "content": [] } },
            ]),
            "must come first",
        ),
    ]);
}

#[test]
fn attachments_belong_to_user_messages_and_have_names() {
    refuses([
        (
            "/messages/1/content/1",
            json!({ "image": {
                "format": "png", "source": { "bytes": "aGk=" },
            }}),
            "in user messages only",
        ),
        (
            "/messages/0/content/2/document/name",
            json!("a.txt"),
            "can only contain alphanumeric",
        ),
        (
            "/messages/0/content/2/document/name",
            json!("a  b"),
            "can only contain alphanumeric",
        ),
        (
            "/messages/0/content/2/document/format",
            Value::Null,
            "must name its format",
        ),
        ("/messages/0/content/0", Value::Null, "include a text block"),
        (
            "/messages/2/content/2",
            json!({ "document": {
                "name": "document-1", "format": "txt", "source": { "bytes": "aGk=" },
            }}),
            "must be unique",
        ),
    ]);
}

#[test]
fn cache_points_come_after_what_they_cache() {
    refuses([
        (
            "/messages/0/content/-",
            json!({ "cachePoint": { "type": "default", "ttl": "1h" } }),
            "",
        ),
        ("/messages/2/content/-", point(), "directly after a block"),
        ("/messages/1/content/1", point(), "directly after a block"),
        ("/system/0", point(), "directly after a block"),
        (
            "/toolConfig/tools/1/cachePoint/ttl",
            json!("5m"),
            "ttl='1h' cache_control block must not",
        ),
    ]);
}

#[test]
fn reasoning_belongs_to_assistant_messages_and_is_signed() {
    refuses([
        (
            "/messages/1/content/0/reasoningContent/reasoningText/signature",
            Value::Null,
            "thinking.signature: Field required",
        ),
        (
            "/messages/1/content/0",
            text("no thinking"),
            "Expected `thinking`",
        ),
        (
            "/messages/0/content/0",
            json!({ "reasoningContent": { "redactedContent": "" } }),
            "reasoningContent blocks are not allowed",
        ),
    ]);
}

#[test]
fn additional_model_fields_are_checked() {
    refuses([
        (
            "/additionalModelRequestFields/context_management",
            json!({}),
            "Extra inputs",
        ),
        (
            "/additionalModelRequestFields/anthropic_beta/-",
            json!("oauth-2025-04-20"),
            "beta flag",
        ),
        (
            "/additionalModelRequestFields/thinking/type",
            json!("adaptive"),
            "adaptive thinking",
        ),
        (
            "/additionalModelRequestFields/thinking/budget_tokens",
            json!(1023),
            "1024",
        ),
        (
            "/additionalModelRequestFields/thinking/budget_tokens",
            Value::Null,
            "Field required",
        ),
        ("/additionalModelRequestFields/top_k", json!(5), "top_k"),
        (
            "/additionalModelRequestFields/tool_choice",
            json!({ "type": "none" }),
            "tool_choice.type",
        ),
        (
            "/additionalModelRequestFields/output_config",
            json!({ "effort": "low" }),
            "effort parameter",
        ),
        (
            "/outputConfig",
            json!({ "textFormat": {
                "type": "json_schema", "structure": { "jsonSchema": { "schema": "not json" } },
            }}),
            "JSON schema as a string",
        ),
    ]);
}

#[test]
fn at_most_four_cache_points_are_accepted() {
    let point = json!({ "cachePoint": { "type": "default", "ttl": "1h" } });
    let body = with(good(), "/messages/0/content/-", point.clone());
    assert_eq!(refusal(SONNET_4_5, &body), None);
    let body = with(body, "/messages/1/content/-", point);
    assert!(refusal(SONNET_4_5, &body).unwrap().contains("Found 5"));
}

#[test]
fn thinking_budget_is_below_max_tokens_unless_interleaved() {
    let body = with(good(), "/inferenceConfig/maxTokens", json!(2048));
    assert_eq!(refusal(SONNET_4_5, &body), None);
    let body = with(
        body,
        "/additionalModelRequestFields/anthropic_beta",
        Value::Null,
    );
    assert!(
        refusal(SONNET_4_5, &body)
            .unwrap()
            .contains("must be greater than")
    );
}

#[test]
fn newer_models_take_other_parameters() {
    let plain = json!({ "messages": [{ "role": "user", "content": [{ "text": "x" }] }] });
    let fields = |fields: Value| with(plain.clone(), "/additionalModelRequestFields", fields);
    let prefilled = with(
        plain.clone(),
        "/messages/-",
        json!({
            "role": "assistant", "content": [{ "text": "so" }],
        }),
    );
    let warm = with(
        plain.clone(),
        "/inferenceConfig",
        json!({ "temperature": 0.5 }),
    );
    for (body, older, newer) in [
        (
            fields(json!({ "thinking": { "type": "adaptive" } })),
            Some("adaptive"),
            None,
        ),
        (
            fields(json!({ "thinking": { "type": "enabled", "budget_tokens": 2048 } })),
            None,
            Some("not supported"),
        ),
        (
            fields(json!({ "output_config": { "effort": "xhigh" } })),
            Some("effort"),
            None,
        ),
        (
            fields(json!({ "thinking": { "type": "disabled" } })),
            None,
            Some("not supported"),
        ),
        (prefilled, None, Some("prefill")),
        (warm, None, Some("not supported")),
    ] {
        for (model_id, expected) in [(SONNET_4_5, older), (OPUS_5_5, newer)] {
            let refused = refusal(model_id, &body);
            assert_eq!(
                refused.is_some(),
                expected.is_some(),
                "{model_id}: {body} {refused:?}"
            );
            assert!(refused.is_none_or(|message| message.contains(expected.unwrap())));
        }
    }
}
