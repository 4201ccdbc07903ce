//! Rules of the translation to Converse, each with a minimal request.

use domain::bedrock::Dialect;
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::translation::{
    FABLE_5_1, OPUS_4_5, OPUS_4_6, OPUS_4_7, OPUS_5_5, SONNET_4_5, Translation, converse,
    converse_for, messages, outline, read, request, turns,
};

const DOT: &str = "iVBORw0KGgo=";

#[test]
fn minimal_request_becomes_a_minimal_body() {
    let translated = Translation::default()
        .translate_body(&request(json!({})))
        .unwrap();
    let body = std::str::from_utf8(&translated.body).unwrap();
    assert_snapshot!(body, @r#"{"messages":[{"role":"user","content":[{"text":"hi"}]}],"inferenceConfig":{"maxTokens":32000},"additionalModelResponseFieldPaths":["/stop_sequence","/delta/stop_sequence"]}"#);
    assert_snapshot!(translated.losses.iter().count(), @"0");
    assert_eq!(translated.reply.requested_model, "claude-opus-5-5");
}

#[test]
fn max_tokens_is_always_sent_and_within_the_targets_limit() {
    for (requested, model, expected) in [
        (128_000, SONNET_4_5, 64_000),
        (128_000, OPUS_4_6, 128_000),
        (5, SONNET_4_5, 5),
        (0, OPUS_5_5, 1),
    ] {
        let body = converse_for(model, &request(json!({ "max_tokens": requested })));
        assert_eq!(body["inferenceConfig"]["maxTokens"], expected);
    }
}

#[test]
fn system_keeps_its_blocks_without_blank_ones() {
    let body = converse(&request(json!({"system": [
        {"type": "text", "text": "one"},
        {"type": "text", "text": " \n"},
        {"type": "text", "text": "two", "cache_control": {"type": "ephemeral"}},
    ]})));
    assert_snapshot!(outline(&body), @r#"
    user: hi
    system: one | two | POINT
    inferenceConfig: {"maxTokens":32000}
    additionalModelResponseFieldPaths: ["/stop_sequence","/delta/stop_sequence"]
    "#);
    assert_eq!(
        converse(&request(json!({"system": "  "}))).get("system"),
        None
    );
}

#[test]
fn consecutive_messages_of_one_role_become_one_turn() {
    let body = converse(&messages(json!([
        {"role": "user", "content": "a"},
        {"role": "user", "content": [{"type": "text", "text": "b"}]},
        {"role": "assistant", "content": "c"},
        {"role": "assistant", "content": [{"type": "text", "text": ""}]},
        {"role": "assistant", "content": "d"},
        {"role": "user", "content": "e"},
    ])));
    assert_snapshot!(turns(&body), @"
    user: a | b
    assistant: c | d
    user: e
    ");
}

#[test]
fn empty_turn_stays_only_between_turns_of_the_same_role() {
    let body = converse(&messages(json!([
        {"role": "user", "content": " "},
        {"role": "assistant", "content": "a"},
        {"role": "user", "content": [{"type": "text", "text": "\u{1c}"}]},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "x", "signature": ""}]},
        {"role": "user", "content": "d"},
    ])));
    assert_snapshot!(turns(&body), @"
    user: (empty)
    assistant: a
    user: (empty)
    assistant: b
    user: c | d
    ");
}

#[test]
fn prefill_is_sent_to_models_that_accept_it() {
    let body = messages(json!([
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "The answer is \n"},
    ]));
    assert_snapshot!(turns(&converse_for(OPUS_4_5, &body)), @"
    user: a
    assistant: The answer is
    ");
    let refusal = Translation {
        model: OPUS_4_6,
        ..Translation::default()
    }
    .translate_body(&body)
    .unwrap_err();
    assert_snapshot!(refusal, @"This model does not support assistant message prefill. The conversation must end with a user message.");
}

#[test]
fn tool_results_come_first_with_one_for_each_call() {
    let body = converse(&messages(json!([
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": [
            {"type": "tool_use", "id": "a", "name": "Bash", "input": {}},
            {"type": "tool_use", "id": "b", "name": "Read", "input": {"z": 1, "a": 2}},
            {"type": "tool_use", "id": "c", "name": "Bash", "input": null},
        ]},
        {"role": "user", "content": [
            {"type": "text", "text": "first"},
            {"type": "tool_result", "tool_use_id": "b", "content": "B", "is_error": false},
            {"type": "tool_result", "tool_use_id": "x", "content": "X"},
            {"type": "tool_result", "tool_use_id": "a", "is_error": true,
             "content": [{"type": "text", "text": "A"}], "cache_control": {"type": "ephemeral"}},
            {"type": "tool_result", "tool_use_id": "b", "content": "again"},
        ]},
    ])));
    assert_snapshot!(turns(&body), @r#"
    user: go
    assistant: use a Bash {} | use b Read {"z":1,"a":2} | use c Bash {}
    user: result b "success" [B] | result a "error" [A] | POINT | result c "error" [Tool result missing.] | first | [result of an earlier tool call] | X | [result of an earlier tool call] | again
    "#);
}

#[test]
fn tool_calls_without_a_result_get_an_error_result() {
    let translation = Translation::default();
    let body = messages(json!([
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "Bash", "input": {}}]},
    ]));
    assert_snapshot!(turns(&translation.body(&body)), @r#"
    user: go
    assistant: use a Bash {}
    user: result a "error" [Tool result missing.]
    "#);
    assert_eq!(translation.losses(&body), "tool_result:missing");
}

#[test]
fn invalid_ids_and_names_are_replaced_equally_on_every_turn() {
    let long = format!("mcp__{}", "x".repeat(100));
    let body = request(json!({
        "tools": [{"name": long, "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "tool", "name": long},
        "messages": [
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": "call #1", "name": long, "input": {}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "call #1", "content": "ok"},
            ]},
        ],
    }));
    let translated = Translation::default().translate_body(&body).unwrap();
    assert_snapshot!(outline(&crate::translation::read(&translated)), @r#"
    user: go
    assistant: use call__1_fecfd6781cb3323370a8 mcp__xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx_66d9c770f666e456c8ac {}
    user: result call__1_fecfd6781cb3323370a8 [ok]
    inferenceConfig: {"maxTokens":32000}
    tools: mcp__xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx_66d9c770f666e456c8ac choice {"tool":{"name":"mcp__xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx_66d9c770f666e456c8ac"}}
    additionalModelResponseFieldPaths: ["/stop_sequence","/delta/stop_sequence"]
    "#);
    let [(sent, known)] = translated.reply.renamed_tools.as_slice() else {
        panic!("one name")
    };
    assert_eq!((sent.len(), known), (64, &long));
}

#[test]
fn images_and_documents_are_sent_as_bytes() {
    let body = converse(&messages(json!([{"role": "user", "content": [
        {"type": "image", "source": {"type": "base64", "media_type": "image/jpg", "data": DOT}},
        {"type": "document", "title": "Plan.pdf", "context": "secret",
         "source": {"type": "base64", "media_type": "application/pdf", "data": DOT},
         "citations": {"enabled": true}},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "é"}},
        {"type": "document", "title": "Parts", "source": {"type": "content", "content": [
            {"type": "text", "text": "p"},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": DOT}},
        ]}},
    ]}])));
    assert_snapshot!(turns(&body), @r#"user: image {"format":"jpeg","source":{"bytes":"iVBORw0KGgo="}} | document {"format":"pdf","name":"document-1","source":{"bytes":"iVBORw0KGgo="},"context":"Plan.pdf\nsecret","citations":{"enabled":true}} | document {"format":"txt","name":"document-2","source":{"bytes":"w6k="}} | image {"format":"png","source":{"bytes":"iVBORw0KGgo="}} | document {"name":"document-3","source":{"content":[{"text":"p"}]},"context":"Parts"} | ."#);
}

#[test]
fn urls_and_files_are_errors_when_newest_and_dropped_in_history() {
    let sources = [
        json!({"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}),
        json!({"type": "document", "source": {"type": "file", "file_id": "file_1"}}),
    ];
    for block in sources {
        let now = messages(json!([{"role": "user", "content": [block]}]));
        let refusal = Translation::default().translate_body(&now).unwrap_err();
        assert_eq!(refusal.status(), 400);
        assert!(
            refusal
                .to_string()
                .contains("not available on Amazon Bedrock"),
            "{refusal}"
        );

        let past = messages(json!([
            {"role": "user", "content": [block]},
            {"role": "assistant", "content": "ok"},
            {"role": "user", "content": "and?"},
        ]));
        let kind = block["type"].as_str().unwrap();
        assert!(turns(&converse(&past)).starts_with(&format!("user: [{kind} omitted]")));
        assert_eq!(
            Translation::default().losses(&past),
            format!("block:{kind}")
        );
    }
}

#[test]
fn search_results_are_sent_as_search_results() {
    let result = json!({"type": "search_result", "source": "s", "title": "t",
        "content": [{"type": "text", "text": "found"}], "citations": {"enabled": true}});
    let body = converse(&messages(json!([
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "Find", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": [result]}]},
    ])));
    assert_snapshot!(turns(&body), @r#"
    user: go
    assistant: use a Find {}
    user: result a [searchResult {"source":"s","title":"t","content":[{"text":"found"}],"citations":{"enabled":true}}]
    "#);
}

#[test]
fn readable_parts_of_server_tool_results_are_kept() {
    let result =
        |kind: &str, content: Value| json!({"type": kind, "tool_use_id": "s", "content": content});
    let call = |name: &str, input: Value| json!({"type": "server_tool_use", "id": "s", "name": name, "input": input});
    let fetched = |source: Value| {
        json!({"type": "web_fetch_result", "url": "https://a.example",
            "content": {"type": "document", "source": source, "title": "A"}})
    };
    let body = converse(&messages(json!([
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": [
            call("advisor", json!({})),
            result("advisor_tool_result", json!({"type": "advisor_result", "text": "Use a queue, not a lock."})),
            result("web_fetch_tool_result", fetched(json!({"type": "text", "media_type": "text/plain", "data": "The page."}))),
            result("web_fetch_tool_result", fetched(json!({"type": "base64", "media_type": "application/pdf", "data": "aGk="}))),
            result("web_fetch_tool_result", json!({"type": "web_fetch_tool_result_error", "error_code": "url_not_accessible"})),
            call("bash_code_execution", json!({"command": "ls -l"})),
            result("bash_code_execution_tool_result", json!({"type": "bash_code_execution_result",
                "stdout": "a.txt\n", "stderr": "warning", "return_code": 1, "content": []})),
            call("text_editor_code_execution", json!({"command": "view", "path": "a.txt"})),
            result("text_editor_code_execution_tool_result", json!({"type": "text_editor_code_execution_view_result",
                "file_type": "text", "content": "line one", "num_lines": 1})),
            result("text_editor_code_execution_tool_result", json!({"type": "text_editor_code_execution_str_replace_result",
                "lines": ["-old", "+new"]})),
            call("code_execution", json!({"code": "print(1)"})),
        ]},
        {"role": "user", "content": "thanks"},
    ])));
    assert_snapshot!(turns(&body).replace(" | ", "\n| "), @r#"
    user: go
    assistant: [advisor]
    | [advisor tool result]⏎Use a queue, not a lock.
    | [web page fetched]⏎https://a.example⏎The page.
    | [web page fetched]⏎https://a.example
    | [web page fetched]⏎⏎error: url_not_accessible
    | [bash code execution]⏎command: ls -l
    | [bash code execution tool result]⏎a.txt⏎⏎stderr: warning⏎return code: 1
    | [text editor code execution]⏎command: view⏎path: a.txt
    | [text editor code execution tool result]⏎line one
    | [text editor code execution tool result]⏎-old⏎+new
    | [code execution]⏎code: print(1)
    user: thanks
    "#);
}

#[test]
fn conversation_that_starts_with_the_assistant_gets_a_user_turn() {
    let body = messages(json!([
        {"role": "assistant", "content": "summary so far"},
        {"role": "user", "content": "go on"},
    ]));
    assert_snapshot!(turns(&converse(&body)), @r#"
    user: (empty)
    assistant: summary so far
    user: go on
    "#);
    assert_eq!(Translation::default().losses(&body), "messages.first_user");
    let native = Translation {
        dialect: Dialect::Invoke,
        ..Translation::default()
    };
    assert_snapshot!(native.body(&body)["messages"], @r#"[{"role":"user","content":[{"type":"text","text":"(empty)"}]},{"role":"assistant","content":[{"type":"text","text":"summary so far"}]},{"role":"user","content":[{"type":"text","text":"go on"}]}]"#);
    let system_first = messages(json!([
        {"role": "system", "content": "s"},
        {"role": "assistant", "content": "a"},
        {"role": "user", "content": "u"},
    ]));
    let native = Translation {
        model: OPUS_5_5,
        ..native
    };
    let roles = native.body(&system_first)["messages"].clone();
    let roles: Vec<_> = roles
        .as_array()
        .unwrap()
        .iter()
        .map(|turn| turn["role"].clone())
        .collect();
    assert_eq!(roles, ["user", "system", "assistant", "user"]);
}

#[test]
fn server_tool_blocks_become_text_for_converse() {
    let body = converse(&messages(json!([
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": [
            {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "rust"}},
            {"type": "web_search_tool_result", "tool_use_id": "s", "content": [
                {"type": "web_search_result", "url": "https://a.example", "title": "A", "encrypted_content": "zzz"},
            ]},
            {"type": "web_search_tool_result", "tool_use_id": "s", "content": {"error_code": "unavailable"}},
            {"type": "web_fetch_tool_result", "tool_use_id": "s", "content": {"url": "https://b.example"}},
            {"type": "code_execution_tool_result", "tool_use_id": "s", "content": {"stdout": "42\n"}},
            {"type": "mcp_tool_use", "id": "m", "name": "read_page", "input": {}},
            {"type": "mcp_tool_result", "tool_use_id": "m", "content": [{"type": "text", "text": "page"}]},
            {"type": "container_upload", "file_id": "f"},
            {"type": "compaction", "content": "What came before."},
            {"type": "text", "text": "done"},
        ]},
        {"role": "user", "content": "thanks"},
    ])));
    assert_snapshot!(turns(&body), @"
    user: go
    assistant: [web search: rust] | [web search results]⏎A https://a.example | [web search failed] | [web page fetched]⏎https://b.example | [code execution tool result]⏎42 | [read page] | page | [file omitted] | What came before. | done
    user: thanks
    ");
    assert!(!body.to_string().contains("zzz"));
}

#[test]
fn unknown_blocks_are_errors_when_newest_and_dropped_in_history() {
    let block = json!({"type": "hologram", "data": 1});
    let now = messages(json!([{"role": "user", "content": [block]}]));
    assert_snapshot!(Translation::default().translate_body(&now).unwrap_err(), @"messages.0.content.0.type: content blocks of type 'hologram' are not available on Amazon Bedrock");
    let past = messages(json!([
        {"role": "user", "content": [{"type": "text", "text": "a"}, block]},
        {"role": "assistant", "content": [block]},
        {"role": "user", "content": "b"},
    ]));
    assert_snapshot!(turns(&converse(&past)), @"user: a | b");
    assert_eq!(Translation::default().losses(&past), "block:hologram");
}

fn thinking(requested: &Value, effort: Option<&str>, model: &str) -> String {
    let mut parts = json!({ "thinking": requested });
    if let Some(effort) = effort {
        parts["output_config"] = json!({ "effort": effort });
    }
    converse_for(model, &request(parts))["additionalModelRequestFields"].to_string()
}

#[test]
fn thinking_is_sent_in_the_form_of_the_target() {
    let budget = json!({"type": "enabled", "budget_tokens": 10_000, "display": "summarized"});
    let adaptive = json!({"type": "adaptive", "display": "summarized"});
    let off = json!({"type": "disabled"});
    let mut table = Vec::new();
    for (name, requested) in [("budget", &budget), ("adaptive", &adaptive), ("off", &off)] {
        for model in [
            SONNET_4_5,
            OPUS_4_5,
            OPUS_4_6,
            OPUS_4_7,
            OPUS_5_5,
            "us.anthropic.claude-sonnet-5-5",
        ] {
            let family = model.split("claude-").nth(1).unwrap();
            table.push(format!(
                "{name:8} high {family:22} {}",
                thinking(requested, Some("high"), model)
            ));
        }
    }
    assert_snapshot!(table.join("\n"), @r#"
    budget   high sonnet-4-5-20250929-v1:0 {"thinking":{"type":"enabled","budget_tokens":10000}}
    budget   high opus-4-5-20251101-v1:0 {"thinking":{"type":"enabled","budget_tokens":10000},"output_config":{"effort":"high"},"anthropic_beta":["effort-2025-11-24"]}
    budget   high opus-4-6-v1            {"thinking":{"type":"enabled","budget_tokens":10000},"output_config":{"effort":"high"}}
    budget   high opus-4-7               {"thinking":{"type":"adaptive","display":"summarized"},"output_config":{"effort":"high"}}
    budget   high opus-5-5               {"thinking":{"type":"adaptive","display":"summarized"},"output_config":{"effort":"high"}}
    budget   high sonnet-5-5             {"thinking":{"type":"adaptive","display":"summarized"},"output_config":{"effort":"high"}}
    adaptive high sonnet-4-5-20250929-v1:0 {"thinking":{"type":"enabled","budget_tokens":16384}}
    adaptive high opus-4-5-20251101-v1:0 {"thinking":{"type":"enabled","budget_tokens":16384}}
    adaptive high opus-4-6-v1            {"thinking":{"type":"adaptive"},"output_config":{"effort":"high"}}
    adaptive high opus-4-7               {"thinking":{"type":"adaptive","display":"summarized"},"output_config":{"effort":"high"}}
    adaptive high opus-5-5               {"thinking":{"type":"adaptive","display":"summarized"},"output_config":{"effort":"high"}}
    adaptive high sonnet-5-5             {"thinking":{"type":"adaptive","display":"summarized"},"output_config":{"effort":"high"}}
    off      high sonnet-4-5-20250929-v1:0 null
    off      high opus-4-5-20251101-v1:0 {"output_config":{"effort":"high"},"anthropic_beta":["effort-2025-11-24"]}
    off      high opus-4-6-v1            {"output_config":{"effort":"high"}}
    off      high opus-4-7               {"thinking":{"type":"disabled"},"output_config":{"effort":"high"}}
    off      high opus-5-5               {"output_config":{"effort":"high"}}
    off      high sonnet-5-5             {"thinking":{"type":"between_tools"},"output_config":{"effort":"high"}}
    "#);
}

#[test]
fn effort_becomes_a_budget_for_models_with_budgets_only() {
    for (effort, max_tokens, budget) in [
        (Some("low"), 32_000, Some(4_096)),
        (Some("medium"), 32_000, Some(8_192)),
        (None, 32_000, Some(16_384)),
        (Some("high"), 32_000, Some(16_384)),
        (Some("xhigh"), 64_000, Some(24_576)),
        (Some("max"), 64_000, Some(31_999)),
        (Some("max"), 10_000, Some(8_976)),
        (Some("max"), 2_048, Some(1_024)),
        (Some("max"), 2_047, None),
    ] {
        let mut parts = json!({"thinking": {"type": "adaptive"}, "max_tokens": max_tokens});
        if let Some(effort) = effort {
            parts["output_config"] = json!({ "effort": effort });
        }
        let body = converse(&request(parts));
        let thinking = &body["additionalModelRequestFields"]["thinking"];
        assert_eq!(
            thinking["budget_tokens"].as_u64(),
            budget,
            "{effort:?} of {max_tokens}"
        );
    }
}

#[test]
fn budget_becomes_effort_for_models_without_budgets() {
    for (budget, effort) in [
        (1_024, "low"),
        (4_096, "medium"),
        (8_192, "high"),
        (31_999, "xhigh"),
    ] {
        let requested = json!({"type": "enabled", "budget_tokens": budget});
        let fields = thinking(&requested, None, OPUS_4_7);
        assert!(
            fields.contains(&format!(r#""effort":"{effort}""#)),
            "{budget}: {fields}"
        );
    }
}

#[test]
fn budget_stays_between_the_minimum_and_max_tokens() {
    for (budget, max_tokens, expected) in [
        (31_999, 32_000, Some(31_999)),
        (31_999, 16_000, Some(15_999)),
        (500, 32_000, None),
        (2_000, 1_000, None),
    ] {
        let body = converse(&request(json!({
            "thinking": {"type": "enabled", "budget_tokens": budget},
            "max_tokens": max_tokens,
        })));
        let thinking = &body["additionalModelRequestFields"]["thinking"];
        assert_eq!(
            thinking["budget_tokens"].as_u64(),
            expected,
            "{budget} of {max_tokens}"
        );
    }
}

#[test]
fn effort_is_never_above_the_requested_level() {
    let expected = |requested: &str, model: &str| {
        let body = converse_for(
            model,
            &request(json!({"output_config": {"effort": requested}})),
        );
        body["additionalModelRequestFields"]["output_config"]["effort"]
            .as_str()
            .map(str::to_owned)
    };
    for (requested, on_4_5, on_opus_4_5, on_4_6, on_4_7, on_5_5) in [
        (
            "low",
            None,
            Some("low"),
            Some("low"),
            Some("low"),
            Some("low"),
        ),
        (
            "xhigh",
            None,
            Some("high"),
            Some("high"),
            Some("xhigh"),
            Some("xhigh"),
        ),
        (
            "max",
            None,
            Some("high"),
            Some("max"),
            Some("max"),
            Some("max"),
        ),
        ("ludicrous", None, None, None, None, None),
    ] {
        for (model, wanted) in [
            (SONNET_4_5, on_4_5),
            (OPUS_4_5, on_opus_4_5),
            (OPUS_4_6, on_4_6),
            (OPUS_4_7, on_4_7),
            (OPUS_5_5, on_5_5),
        ] {
            assert_eq!(
                expected(requested, model).as_deref(),
                wanted,
                "{requested} on {model}"
            );
        }
    }
}

#[test]
fn last_effort_of_the_conversation_is_used() {
    let body = request(json!({
        "output_config": {"effort": "low"},
        "messages": [
            {"role": "user", "content": "a"},
            {"role": "system", "content": "be quick", "output_config": {"effort": "medium"}},
            {"role": "assistant", "content": "b"},
            {"role": "user", "content": "c"},
            {"role": "system", "content": "think", "output_config": {"effort": "high"}},
        ],
    }));
    let sent = converse_for(OPUS_5_5, &body);
    assert_eq!(
        sent["additionalModelRequestFields"]["output_config"],
        json!({"effort": "high"})
    );
    assert!(!turns(&sent).contains("output_config"));
}

#[test]
fn sampling_is_sent_to_models_that_accept_it_one_at_a_time() {
    let requested = json!({"temperature": 0.2, "top_p": 0.9, "top_k": 5});
    let mut table = Vec::new();
    for (name, model, extra) in [
        ("4.5", SONNET_4_5, json!({})),
        (
            "4.5 thinking",
            SONNET_4_5,
            json!({"thinking": {"type": "enabled", "budget_tokens": 2000}}),
        ),
        ("4.5 top_p", SONNET_4_5, json!({"temperature": null})),
        ("4.7", OPUS_4_7, json!({})),
    ] {
        let mut parts = requested.clone();
        parts
            .as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        let translation = Translation {
            model,
            ..Translation::default()
        };
        let body = translation.body(&request(parts.clone()));
        let losses = translation.losses(&request(parts));
        let fields = body
            .get("additionalModelRequestFields")
            .map(Value::to_string);
        table.push(format!(
            "{name:12} {} {} dropped: {losses}",
            body["inferenceConfig"],
            fields.unwrap_or_default()
        ));
    }
    assert_snapshot!(table.join("\n"), @r#"
    4.5          {"maxTokens":32000,"temperature":0.2} {"top_k":5} dropped: top_p
    4.5 thinking {"maxTokens":32000} {"thinking":{"type":"enabled","budget_tokens":2000}} dropped: temperature top_p top_k
    4.5 top_p    {"maxTokens":32000,"topP":0.9} {"top_k":5} dropped: 
    4.7          {"maxTokens":32000}  dropped: temperature top_p top_k
    "#);
}

#[test]
fn numbers_are_sent_with_their_source_text() {
    let body = r#"{"model":"m","max_tokens":10,"temperature":0.10,"top_k":40,
        "tools":[{"name":"T","input_schema":{"type":"object","z":1.0,"a":1e3,"n":12345678901234567890123}}],
        "messages":[{"role":"user","content":"hi"},{"role":"assistant","content":[
            {"type":"tool_use","id":"t","name":"T","input":{"z":1.50,"a":[1E2, -0]}}]}]}"#;
    let sent = String::from_utf8(Translation::default().text(body).unwrap().body).unwrap();
    for kept in [
        r#""temperature":0.10"#,
        r#"{"type":"object","z":1.0,"a":1e3,"n":12345678901234567890123}"#,
        r#"{"z":1.50,"a":[1E2, -0]}"#,
    ] {
        assert!(sent.contains(kept), "{kept} in {sent}");
    }
}

#[test]
fn blank_stop_sequences_are_dropped() {
    let body = converse(&request(json!({"stop_sequences": ["END", " ", "", "\n"]})));
    assert_eq!(body["inferenceConfig"]["stopSequences"], json!(["END"]));
    assert_eq!(
        body["additionalModelResponseFieldPaths"],
        json!(["/stop_sequence", "/delta/stop_sequence"])
    );
}

#[test]
fn json_schema_is_sent_as_a_string_to_models_that_accept_it() {
    let requested = request(json!({"output_config": {"format":
        {"type": "json_schema", "schema": {"type": "object", "required": ["b", "a"]}}}}));
    assert_eq!(
        converse(&requested)["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"],
        r#"{"type":"object","required":["b","a"]}"#
    );
    let translation = Translation {
        model: OPUS_5_5,
        ..Translation::default()
    };
    assert_eq!(translation.body(&requested).get("outputConfig"), None);
    assert_eq!(translation.losses(&requested), "output_config.format");
}

#[test]
fn json_schema_becomes_an_instruction_for_models_without_formats() {
    let requested = request(json!({
        "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
        "output_config": {"format": {"type": "json_schema", "schema": {"type": "object", "required": ["b", "a"]}}},
    }));
    let native = Translation {
        model: OPUS_4_7,
        dialect: Dialect::Invoke,
        ..Translation::default()
    };
    let native = native.body(&requested);
    assert_snapshot!(converse_for(OPUS_4_7, &requested)["system"], @r#"[{"text":"s"},{"cachePoint":{"type":"default"}},{"text":"Answer with one JSON value that fits this JSON schema, without any other text and without a code fence:\n{\"type\":\"object\",\"required\":[\"b\",\"a\"]}"}]"#);
    assert_snapshot!(native["system"], @r#"[{"type":"text","text":"s","cache_control":{"type":"ephemeral"}},{"type":"text","text":"Answer with one JSON value that fits this JSON schema, without any other text and without a code fence:\n{\"type\":\"object\",\"required\":[\"b\",\"a\"]}"}]"#);
    assert_eq!(native.get("output_config"), None);
}

#[test]
fn automatic_caching_adds_a_point_at_the_end_of_the_conversation() {
    let body = request(json!({
        "cache_control": {"type": "ephemeral", "ttl": "1h"},
        "messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}],
    }));
    assert_eq!(turns(&converse(&body)), "user: a | b | POINT 1h");
}

#[test]
fn foreign_bound_thinking_is_dropped_by_block_binding() {
    let body = request(json!({
        "thinking": {"type": "adaptive", "display": "omitted"},
        "messages": [
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "", "signature": "c2ln"},
                {"type": "text", "text": "b"},
            ]},
            {"role": "user", "content": "c"},
        ],
    }));
    assert_snapshot!(converse_for(FABLE_5_1, &body)["additionalModelRequestFields"], @r#"{"thinking":{"type":"adaptive","display":"omitted","block_binding":{"prefix_mismatch_behavior":"drop_block"}},"anthropic_beta":["thinking-binding-controls-2026-08-01"]}"#);
    assert_snapshot!(converse_for("us.anthropic.claude-haiku-5-5", &body)["additionalModelRequestFields"], @r#"{"thinking":{"type":"adaptive","display":"omitted","block_binding":{"prefix_mismatch_behavior":"drop_block"}},"anthropic_beta":["thinking-binding-controls-2026-08-01"]}"#);
    assert_snapshot!(converse_for("us.anthropic.claude-opus-5", &body)["additionalModelRequestFields"], @r#"{"thinking":{"type":"adaptive","display":"omitted"}}"#);
}

#[test]
fn unsupported_fields_are_losses_and_not_sent() {
    let translation = Translation {
        betas: "oauth-2025-04-20, made-up-1 ,,claude-code-20250219",
        ..Translation::default()
    };
    let body = request(json!({
        "service_tier": "auto",
        "container": {"id": "c"},
        "metadata": {"user_id": "u", "more": 1},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "safeguards": [{"type": "dangerous_tool_use"}],
        "mcp_servers": [],
        "inference_geo": null,
        "weird \"key\"\n": 1,
    }));
    assert_snapshot!(translation.losses(&body), @"service_tier container weird__key__ metadata.more safeguards metadata.user_id context_management beta:oauth-2025-04-20 beta:made-up-1 beta:claude-code-20250219");
    assert_snapshot!(outline(&translation.body(&body)), @r#"
    user: hi
    inferenceConfig: {"maxTokens":32000}
    additionalModelResponseFieldPaths: ["/stop_sequence","/delta/stop_sequence"]
    "#);
    assert!(
        translation
            .translate_body(&body)
            .unwrap()
            .reply
            .safeguards_requested
    );
}

#[test]
fn betas_are_sent_only_with_the_fields_that_need_them() {
    let tools = json!([{"name": "T", "input_schema": {"type": "object"}}]);
    let thinking = json!({"type": "adaptive", "display": "updates"});
    let all = "interleaved-thinking-2025-05-14,context-1m-2025-08-07,\
        fine-grained-tool-streaming-2025-05-14,effort-2025-11-24,\
        thinking-display-updates-2026-08-18,context-management-2025-06-27,\
        advanced-tool-use-2025-11-20,structured-outputs-2025-12-15,extended-cache-ttl-2025-04-11";
    let mut table = Vec::new();
    for model in [SONNET_4_5, OPUS_4_5, OPUS_4_6, OPUS_5_5] {
        for (name, parts) in [
            ("bare", json!({})),
            (
                "full",
                json!({"tools": tools, "thinking": thinking, "output_config": {"effort": "high"}}),
            ),
        ] {
            let body = Translation {
                model,
                betas: all,
                ..Translation::default()
            }
            .body(&request(parts));
            let betas = &body["additionalModelRequestFields"]["anthropic_beta"];
            let family = model.split("claude-").nth(1).unwrap();
            table.push(format!("{name} {family:22} {betas}"));
        }
    }
    assert_snapshot!(table.join("\n"), @r#"
    bare sonnet-4-5-20250929-v1:0 ["context-1m-2025-08-07"]
    full sonnet-4-5-20250929-v1:0 ["interleaved-thinking-2025-05-14","context-1m-2025-08-07","fine-grained-tool-streaming-2025-05-14"]
    bare opus-4-5-20251101-v1:0 null
    full opus-4-5-20251101-v1:0 ["interleaved-thinking-2025-05-14","fine-grained-tool-streaming-2025-05-14"]
    bare opus-4-6-v1            null
    full opus-4-6-v1            ["interleaved-thinking-2025-05-14","fine-grained-tool-streaming-2025-05-14"]
    bare opus-5-5               null
    full opus-5-5               ["thinking-display-updates-2026-08-18"]
    "#);
}

#[test]
fn losses_are_always_valid_in_a_header() {
    let betas: Vec<_> = (0..200)
        .map(|nth| format!("beta\r\n-{nth}-{}", "x".repeat(99)))
        .collect();
    let betas = betas.join(",");
    let translation = Translation {
        betas: &betas,
        ..Translation::default()
    };
    let lost = translation.losses(&messages(json!([
        {"role": "user", "content": [{"type": "odd\r\nblock"}]},
        {"role": "assistant", "content": "a"},
        {"role": "user", "content": "b"},
    ])));
    let plain = |c: char| c.is_ascii_alphanumeric() || "._:- ".contains(c);
    assert!(lost.len() < 5_000 && lost.chars().all(plain), "{lost}");
    assert!(lost.starts_with("block:odd__block ") && lost.ends_with(" more"));
}

#[test]
fn blank_system_message_leaves_no_turn() {
    let body = converse_for(
        OPUS_4_5,
        &messages(json!([
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "b"},
            {"role": "system", "content": []},
        ])),
    );
    assert_eq!(turns(&body), "user: a\nassistant: b");
}

#[test]
fn document_titles_are_in_the_order_of_the_document_names() {
    let text = |data: &str, title: Option<&str>| {
        json!({
            "type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": data},
            "title": title,
        })
    };
    let result = json!([
        text("in a result", Some("Report (draft)")),
        text(" ", Some("blank"))
    ]);
    let conversation = messages(json!([
        {"role": "user", "content": [text("a", Some("facts.txt")), text("b", None)]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "Read", "input": {}}]},
        {"role": "user", "content": [
            text("after", Some("facts.txt")),
            {"type": "tool_result", "tool_use_id": "t", "content": result},
        ]},
    ]));
    let requested = Translation::default()
        .translate_body(&conversation)
        .unwrap();
    let titles: Vec<_> = requested
        .reply
        .document_titles
        .iter()
        .map(Option::as_deref)
        .collect();
    let sent = read(&requested);
    let mut named = Vec::new();
    for message in sent["messages"].as_array().unwrap() {
        for block in message["content"].as_array().unwrap() {
            let inner = block["toolResult"]["content"].as_array();
            for block in inner.into_iter().flatten().chain([block]) {
                if let Some(document) = block.get("document") {
                    let context = document["context"].as_str();
                    named.push((document["name"].as_str().unwrap(), context));
                }
            }
        }
    }
    let expected = ["document-1", "document-2", "document-3", "document-4"];
    assert_eq!(
        named,
        expected.into_iter().zip(titles.clone()).collect::<Vec<_>>()
    );
    assert_eq!(
        titles,
        [
            Some("facts.txt"),
            None,
            Some("Report (draft)"),
            Some("facts.txt")
        ]
    );
}

#[test]
fn effort_is_lowered_to_high_while_thinking_is_off() {
    let body = |effort: &str| {
        request(json!({
            "thinking": {"type": "disabled"},
            "output_config": {"effort": effort},
        }))
    };
    for (model, effort, sent) in [
        ("opus-5", "max", "high"),
        ("opus-5", "xhigh", "high"),
        ("opus-5", "medium", "medium"),
        ("haiku-5-5", "max", "high"),
        ("sonnet-5-5", "xhigh", "high"),
        // These models accept the pair, or do not switch thinking off.
        ("opus-4-8", "max", "max"),
        ("opus-5-5", "max", "max"),
    ] {
        let translation = Translation {
            model: &format!("us.anthropic.claude-{model}"),
            ..Translation::default()
        };
        let fields = translation.body(&body(effort))["additionalModelRequestFields"].clone();
        assert_eq!(fields["output_config"]["effort"], sent, "{model} {effort}");
        let lost = translation
            .losses(&body(effort))
            .contains("output_config.effort");
        assert_eq!(lost, sent != effort, "{model} {effort}");
    }
}
