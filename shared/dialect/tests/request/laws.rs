//! Laws that hold for every request.

use dialect::UnsupportedFeatures;
use dialect::request::{MessagesRequest, RequestLabels, count_tokens, translate};
use domain::bedrock::Dialect;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::translation::{
    FABLE_5_1, OPUS_4_5, OPUS_4_6, OPUS_4_7, OPUS_5_5, SONNET_4_5, Translation, target,
};

const MODELS: &[&str] = &[
    SONNET_4_5, OPUS_4_5, OPUS_4_6, OPUS_4_7, OPUS_5_5, FABLE_5_1,
];

/// Any JSON, with some names of the API.
fn anything() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "role",
        "content",
        "type",
        "text",
        "user",
        "assistant",
        "system",
        "messages",
        "tool_use",
        "tool_result",
        "id",
        "name",
        "input",
        "source",
        "thinking",
        "cache_control",
        "",
        "😀",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word.clone().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((word.clone(), inner), 0..6).prop_map(|members| {
                Value::Object(
                    members
                        .into_iter()
                        .map(|(key, value)| (key.to_owned(), value))
                        .collect(),
                )
            }),
        ]
    })
}

fn text() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["hi", "", " \n", "tail \n", "\u{1c}", "ünï"]).prop_map(str::to_owned)
}

fn cache() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => Just(Value::Null),
        1 => Just(json!({"type": "ephemeral"})),
        1 => Just(json!({"type": "ephemeral", "ttl": "1h", "scope": "global"})),
    ]
}

fn id() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => (0..40_u8).prop_map(|nth| format!("toolu_{nth}")),
        1 => Just("not an id".to_owned()),
        1 => Just("x".repeat(99)),
    ]
}

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["Bash", "Read", "bad name"]).prop_map(str::to_owned)
}

fn media() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(
            json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}})
        ),
        text()
            .prop_map(|data| json!({"type": "document", "source": {"type": "text", "data": data}})),
        text().prop_map(
            |text| json!({"type": "document", "source": {"type": "content", "content": text}})
        ),
        Just(
            json!({"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "aGk="}})
        ),
        text().prop_map(
            |text| json!({"type": "search_result", "source": "s", "title": "t",
            "content": [{"type": "text", "text": text}]})
        ),
        name().prop_map(|name| json!({"type": "tool_reference", "tool_name": name})),
        text().prop_map(|text| json!({"type": "text", "text": text})),
    ]
}

fn user_block() -> impl Strategy<Value = Value> {
    let results = prop::collection::vec(media(), 0..3);
    let block = prop_oneof![
        3 => media(),
        1 => prop::collection::vec(system_block(), 0..3).prop_map(|content| {
            json!({"type": "mid_conv_system", "content": content})
        }),
        2 => (id(), results, prop::option::of(any::<bool>())).prop_map(|(id, content, is_error)| {
            json!({"type": "tool_result", "tool_use_id": id, "content": content, "is_error": is_error})
        }),
    ];
    marked(block)
}

fn assistant_block() -> impl Strategy<Value = Value> {
    let block = prop_oneof![
        3 => text().prop_map(|text| json!({"type": "text", "text": text})),
        3 => (id(), name()).prop_map(|(id, name)| json!({"type": "tool_use", "id": id, "name": name, "input": {"z": 1, "a": 2}})),
        1 => (text(), text()).prop_map(|(text, signature)| json!({"type": "thinking", "thinking": text, "signature": signature})),
        1 => text().prop_map(|data| json!({"type": "redacted_thinking", "data": data})),
        1 => Just(json!({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}})),
        1 => Just(json!({"type": "advisor_tool_result", "tool_use_id": "s", "content": {"type": "advisor_result", "text": "t"}})),
        1 => Just(json!({"type": "hologram"})),
    ];
    marked(block)
}

fn system_block() -> impl Strategy<Value = Value> {
    let change = |kind: &'static str| {
        name().prop_map(
            move |name| json!({"type": kind, "tool": {"type": "tool_reference", "name": name}}),
        )
    };
    let definition = name().prop_map(|name| {
        json!({"type": "tool_addition", "tool": {"type": "tool_definition", "definition":
            {"name": name, "input_schema": {"type": "object"}}}})
    });
    let block = prop_oneof![
        3 => text().prop_map(|text| json!({"type": "text", "text": text})),
        1 => change("tool_addition"),
        1 => change("tool_removal"),
        1 => definition,
    ];
    marked(block)
}

fn marked(block: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    (block, cache()).prop_map(|(mut block, cache)| {
        block["cache_control"] = cache;
        block
    })
}

fn message() -> impl Strategy<Value = Value> {
    let blocks = |block| prop::collection::vec(block, 0..5);
    prop_oneof![
        3 => blocks(user_block().boxed()).prop_map(|content| json!({"role": "user", "content": content})),
        3 => blocks(assistant_block().boxed()).prop_map(|content| json!({"role": "assistant", "content": content})),
        1 => blocks(system_block().boxed()).prop_map(|content| json!({"role": "system", "content": content})),
        1 => text().prop_map(|text| json!({"role": "system", "content": text, "output_config": {"effort": "max"}})),
        1 => text().prop_map(|text| json!({"role": "user", "content": text})),
    ]
}

fn conversation() -> impl Strategy<Value = Value> {
    let system = prop::collection::vec((text(), cache()), 0..4).prop_map(|texts| {
        let blocks = texts
            .into_iter()
            .map(|(text, cache)| json!({"type": "text", "text": text, "cache_control": cache}));
        Value::Array(blocks.collect())
    });
    let tools = prop::sample::subsequence(vec!["Bash", "Read", "Other"], 0..4).prop_map(|names| {
        let tools = names.into_iter().map(|name| {
            json!({"name": name, "input_schema": {"type": "object"}, "defer_loading": name == "Other",
                   "cache_control": {"type": "ephemeral"}})
        });
        Value::Array(tools.collect())
    });
    let thinking = prop::sample::select(vec![
        Value::Null,
        json!({"type": "adaptive", "display": "updates"}),
        json!({"type": "enabled", "budget_tokens": 5000}),
        json!({"type": "disabled"}),
    ]);
    let choice = prop::sample::select(vec![
        Value::Null,
        json!({"type": "any"}),
        json!({"type": "none"}),
        json!({"type": "tool", "name": "Bash", "disable_parallel_tool_use": true}),
    ]);
    let messages = prop::collection::vec(message(), 0..8);
    let start = any::<bool>();
    (messages, system, tools, thinking, choice, start).prop_map(|(mut messages, system, tools, thinking, choice, start)| {
        if start {
            messages.insert(0, json!({"role": "user", "content": "start"}));
        }
        messages.push(json!({"role": "user", "content": "end"}));
        json!({"model": "claude-opus-5-5", "max_tokens": 20000, "messages": messages, "system": system,
               "tools": tools, "thinking": thinking, "tool_choice": choice, "temperature": 0.5})
    })
}

fn dialect() -> impl Strategy<Value = Dialect> {
    prop::sample::select(vec![Dialect::Converse, Dialect::Invoke, Dialect::Auto])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        let _ = MessagesRequest::parse(&bytes, std::iter::empty());
    }

    #[test]
    fn arbitrary_json_does_not_panic(body in anything(), messages in anything(), dialect in dialect()) {
        let whole = Translation { dialect, ..Translation::default() };
        let _ = whole.translate_body(&body);
        let _ = whole.translate_body(&json!({"model": "m", "max_tokens": 10, "messages": messages, "tools": body}));
        let _ = whole.translate_body(&json!({"model": "m", "max_tokens": 10, "messages": [{"role": "user", "content": messages}],
                                  "system": body}));
    }

    #[test]
    fn translate_error_always_has_a_valid_status_and_type(body in anything()) {
        if let Err(refusal) = Translation::default().translate_body(&body) {
            prop_assert_eq!(refusal.status(), 400);
            prop_assert!(!refusal.to_string().is_empty());
        }
    }

    #[test]
    fn translated_turns_are_always_in_bedrocks_order(
        body in conversation(),
        model in prop::sample::select(MODELS),
    ) {
        // The only valid error: the generated conversation repeats an id of a tool call.
        let Ok(translated) = (Translation { model, ..Translation::default() }).translate_body(&body) else { return Ok(()) };
        obeys(&serde_json::from_slice(&translated.body).unwrap());
    }

    #[test]
    fn translation_is_deterministic(
        body in conversation(),
        dialect in dialect(),
        model in prop::sample::select(MODELS),
    ) {
        let translation = Translation { model, dialect, ..Translation::default() };
        prop_assert_eq!(translation.translate_body(&body), translation.translate_body(&body));
    }

    #[test]
    fn longer_conversation_starts_with_the_bytes_of_the_shorter_one(body in conversation()) {
        let mut longer = body.clone();
        longer["messages"].as_array_mut().unwrap().extend([
            json!({"role": "assistant", "content": "and on"}),
            json!({"role": "user", "content": "it goes"}),
        ]);
        // Cache points move with the conversation; the cached prefix stays.
        let sent = |body: &Value| Translation::default().translate_body(body).ok().map(|translated| {
            let text = String::from_utf8(translated.body).unwrap();
            let text = text.replace(r#","ttl":"1h""#, "").replace(r#",{"cachePoint":{"type":"default"}}"#, "");
            let end = text.find(r#","inferenceConfig""#).unwrap_or(text.len());
            text[..end].to_owned()
        });
        if let (Some(shorter), Some(longer)) = (sent(&body), sent(&longer)) {
            let turns = shorter.split(r#"],"system""#).next().unwrap().trim_end_matches(']');
            prop_assert!(longer.starts_with(turns), "{turns}\n{longer}");
        }
    }

    #[test]
    fn count_request_has_the_same_conversation_or_is_an_error(body in conversation()) {
        let text = body.to_string();
        let request = MessagesRequest::parse(text.as_bytes(), std::iter::empty()).unwrap();
        let (target, unsupported) = (target(SONNET_4_5), UnsupportedFeatures::default());
        let counted = count_tokens(&request, &target, Dialect::Converse, &unsupported);
        let requested = translate(&request, &target, Dialect::Converse, &unsupported, &RequestLabels::default());
        prop_assert_eq!(counted.is_ok(), requested.is_ok());
        if let (Ok(counted), Ok(requested)) = (counted, requested) {
            let counted: Value = serde_json::from_slice(&counted.body).unwrap();
            let requested: Value = serde_json::from_slice(&requested.body).unwrap();
            prop_assert_eq!(&counted["input"]["converse"]["messages"], &requested["messages"]);
        }
    }
}

/// The rules of Converse that its schema does not contain.
fn obeys(body: &Value) {
    let turns = body["messages"].as_array().unwrap();
    let mut points = body["system"].to_string().matches("cachePoint").count()
        + body["toolConfig"].to_string().matches("cachePoint").count();
    let mut open: Vec<String> = Vec::new();
    for (nth, turn) in turns.iter().enumerate() {
        let user = nth % 2 == 0;
        assert_eq!(
            turn["role"],
            if user { "user" } else { "assistant" },
            "{body}"
        );
        let blocks = turn["content"].as_array().unwrap();
        assert!(
            !blocks.is_empty() && blocks[0].get("cachePoint").is_none(),
            "{body}"
        );

        let mut results = Vec::new();
        let mut beyond_results = false;
        for pair in blocks.windows(2) {
            if pair[1].get("cachePoint").is_some() {
                points += 1;
                assert!(
                    pair[0].get("cachePoint").is_none()
                        && pair[0].get("reasoningContent").is_none()
                );
            }
        }
        for block in blocks {
            if let Some(text) = block["text"].as_str() {
                assert!(!text.trim().is_empty(), "{body}");
            }
            if let Some(result) = block.get("toolResult") {
                assert!(user && !beyond_results, "{body}");
                assert!(!result["content"].as_array().unwrap().is_empty());
                results.push(result["toolUseId"].as_str().unwrap().to_owned());
            } else if block.get("cachePoint").is_none() {
                beyond_results = true;
            }
        }
        results.sort();
        open.sort();
        assert_eq!(results, open, "{body}");
        open = blocks
            .iter()
            .filter_map(|block| block["toolUse"]["toolUseId"].as_str().map(str::to_owned))
            .collect();
        assert!(user || blocks.iter().all(|block| block.get("toolResult").is_none()));
    }
    assert!(open.is_empty() && points <= 4, "{body}");
    let used = body["messages"].to_string().contains("toolUse");
    assert!(!used || !body["toolConfig"]["tools"].as_array().unwrap().is_empty());
}
