//! Requests in the shapes of the real client, for targets of three generations.

use dialect::Learned;
use dialect::request::{MessagesRequest, Operation, RequestLabels, translate};
use domain::bedrock::Dialect;
use insta::assert_snapshot;
use serde_json::Value;

use crate::asking::{
    Ask, OPUS_4_6, OPUS_5_5, SONNET_4_5, keep_for_judges, losses, outline, read, target,
};

/// The Converse bodies of a fixture for the three targets, and what each lost.
fn bodies(fixture: &str) -> String {
    let fixture: Value = serde_json::from_str(fixture).expect("a fixture is JSON");
    let betas = fixture["anthropic_beta"].as_str().expect("betas");
    let mut told = Vec::new();
    for model in [SONNET_4_5, OPUS_4_6, OPUS_5_5] {
        let ask = Ask {
            model,
            betas,
            ..Ask::default()
        };
        let translated = ask
            .ask(&fixture["body"])
            .expect("the client's own requests go through");
        assert_eq!(translated.operation, Operation::ConverseStream);
        assert_eq!(translated.model_id, model);
        let (body, lost) = (outline(&read(&translated)), losses(&translated));
        told.push(format!("== {model}\n{body}\ndropped: {lost}"));
    }
    told.join("\n")
}

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("../fixtures/request/", $name, ".json"))
    };
}

#[test]
fn the_first_turn_of_a_session() {
    assert_snapshot!(bodies(fixture!("first_turn")), @r#"
    == global.anthropic.claude-sonnet-4-5-20250929-v1:0
    user: Context. | Do the thing | <system-reminder>⏎The state of the project.⏎</system-reminder> | POINT
    system: You are an agent. | POINT | The rules. | POINT
    inferenceConfig: {"maxTokens":64000}
    tools: Bash | ToolSearch
    additionalModelRequestFields: {"thinking":{"type":"enabled","budget_tokens":8192},"anthropic_beta":["interleaved-thinking-2025-05-14"]}
    additionalModelResponseFieldPaths: ["/stop_sequence","/delta/stop_sequence"]
    dropped: metadata.user_id tools.defer_loading system.billing_header messages.output_config messages.system max_tokens thinking.adaptive thinking.display context_management beta:claude-code-20250219 beta:context-management-2025-06-27 beta:per-turn-control-2026-07-01 beta:mid-conversation-tool-changes-2026-07-01 beta:thinking-token-count-2026-05-13 beta:advanced-tool-use-2025-11-20 beta:effort-2025-11-24 beta:thinking-display-updates-2026-08-18
    == us.anthropic.claude-opus-4-6-v1
    user: Context. | Do the thing | <system-reminder>⏎The state of the project.⏎</system-reminder> | POINT
    system: You are an agent. | POINT | The rules. | POINT
    inferenceConfig: {"maxTokens":128000}
    tools: Bash | ToolSearch
    additionalModelRequestFields: {"thinking":{"type":"adaptive"},"output_config":{"effort":"medium"},"anthropic_beta":["interleaved-thinking-2025-05-14"]}
    additionalModelResponseFieldPaths: ["/stop_sequence","/delta/stop_sequence"]
    dropped: metadata.user_id tools.defer_loading system.billing_header messages.output_config messages.system thinking.display context_management beta:claude-code-20250219 beta:context-management-2025-06-27 beta:per-turn-control-2026-07-01 beta:mid-conversation-tool-changes-2026-07-01 beta:thinking-token-count-2026-05-13 beta:advanced-tool-use-2025-11-20 beta:effort-2025-11-24 beta:thinking-display-updates-2026-08-18
    == global.anthropic.claude-opus-5-5
    user: Context. | Do the thing | <system-reminder>⏎The state of the project.⏎</system-reminder> | POINT
    system: You are an agent. | POINT | The rules. | POINT
    inferenceConfig: {"maxTokens":128000}
    tools: Bash | ToolSearch
    additionalModelRequestFields: {"thinking":{"type":"adaptive","display":"updates"},"output_config":{"effort":"medium"},"anthropic_beta":["thinking-display-updates-2026-08-18"]}
    additionalModelResponseFieldPaths: ["/stop_sequence","/delta/stop_sequence"]
    dropped: metadata.user_id tools.defer_loading system.billing_header messages.output_config messages.system context_management beta:claude-code-20250219 beta:interleaved-thinking-2025-05-14 beta:context-management-2025-06-27 beta:per-turn-control-2026-07-01 beta:mid-conversation-tool-changes-2026-07-01 beta:thinking-token-count-2026-05-13 beta:advanced-tool-use-2025-11-20 beta:effort-2025-11-24
    "#);
}

#[test]
fn a_tool_loop_with_thinking_and_parallel_results() {
    assert_snapshot!(bodies(fixture!("tool_loop")), @r#"
    == global.anthropic.claude-sonnet-4-5-20250929-v1:0
    user: Context. | Do the thing | <system-reminder>⏎The state of the project.⏎</system-reminder>
    assistant: reasoningContent {"reasoningText":{"text":"let me think","signature":"c2ln"}} | first | use toolu_1 Bash {"command":"ls","a":1}
    user: result toolu_1 "success" [note.txt]
    assistant: use toolu_2 Read {"file_path":"note.txt"} | use toolu_3 Bash {"command":"cat note.txt"}
    user: result toolu_3 "success" [42] | result toolu_2 [1	42⏎] | POINT
    system: You are an agent. | POINT | The rules. | POINT
    inferenceConfig: {"maxTokens":64000}
    tools: Bash | Read
    additionalModelRequestFields: {"thinking":{"type":"enabled","budget_tokens":8192},"anthropic_beta":["interleaved-thinking-2025-05-14"]}
    additionalModelResponseFieldPaths: ["/stop_sequence","/delta/stop_sequence"]
    dropped: metadata.user_id tools.defer_loading system.billing_header messages.output_config messages.system max_tokens thinking.adaptive thinking.display context_management beta:claude-code-20250219 beta:context-management-2025-06-27 beta:per-turn-control-2026-07-01 beta:mid-conversation-tool-changes-2026-07-01 beta:thinking-token-count-2026-05-13 beta:advanced-tool-use-2025-11-20 beta:effort-2025-11-24 beta:thinking-display-updates-2026-08-18
    == us.anthropic.claude-opus-4-6-v1
    user: Context. | Do the thing | <system-reminder>⏎The state of the project.⏎</system-reminder>
    assistant: reasoningContent {"reasoningText":{"text":"let me think","signature":"c2ln"}} | first | use toolu_1 Bash {"command":"ls","a":1}
    user: result toolu_1 "success" [note.txt]
    assistant: use toolu_2 Read {"file_path":"note.txt"} | use toolu_3 Bash {"command":"cat note.txt"}
    user: result toolu_3 "success" [42] | result toolu_2 [1	42⏎] | POINT
    system: You are an agent. | POINT | The rules. | POINT
    inferenceConfig: {"maxTokens":128000}
    tools: Bash | Read
    additionalModelRequestFields: {"thinking":{"type":"adaptive"},"output_config":{"effort":"medium"},"anthropic_beta":["interleaved-thinking-2025-05-14"]}
    additionalModelResponseFieldPaths: ["/stop_sequence","/delta/stop_sequence"]
    dropped: metadata.user_id tools.defer_loading system.billing_header messages.output_config messages.system thinking.display context_management beta:claude-code-20250219 beta:context-management-2025-06-27 beta:per-turn-control-2026-07-01 beta:mid-conversation-tool-changes-2026-07-01 beta:thinking-token-count-2026-05-13 beta:advanced-tool-use-2025-11-20 beta:effort-2025-11-24 beta:thinking-display-updates-2026-08-18
    == global.anthropic.claude-opus-5-5
    user: Context. | Do the thing | <system-reminder>⏎The state of the project.⏎</system-reminder>
    assistant: reasoningContent {"reasoningText":{"text":"let me think","signature":"c2ln"}} | first | use toolu_1 Bash {"command":"ls","a":1}
    user: result toolu_1 "success" [note.txt]
    assistant: use toolu_2 Read {"file_path":"note.txt"} | use toolu_3 Bash {"command":"cat note.txt"}
    user: result toolu_3 "success" [42] | result toolu_2 [1	42⏎] | POINT
    system: You are an agent. | POINT | The rules. | POINT
    inferenceConfig: {"maxTokens":128000}
    tools: Bash | Read
    additionalModelRequestFields: {"thinking":{"type":"adaptive","display":"updates","block_binding":{"prefix_mismatch_behavior":"drop_block"}},"output_config":{"effort":"medium"},"anthropic_beta":["thinking-display-updates-2026-08-18","thinking-binding-controls-2026-08-01"]}
    additionalModelResponseFieldPaths: ["/stop_sequence","/delta/stop_sequence"]
    dropped: metadata.user_id tools.defer_loading system.billing_header messages.output_config messages.system context_management beta:claude-code-20250219 beta:interleaved-thinking-2025-05-14 beta:context-management-2025-06-27 beta:per-turn-control-2026-07-01 beta:mid-conversation-tool-changes-2026-07-01 beta:thinking-token-count-2026-05-13 beta:advanced-tool-use-2025-11-20 beta:effort-2025-11-24
    "#);
}

#[test]
fn a_tool_that_was_searched_for() {
    assert_snapshot!(bodies(fixture!("tool_search")), @r#"
    == global.anthropic.claude-sonnet-4-5-20250929-v1:0
    user: Context. | Do the thing | <system-reminder>⏎The state of the project.⏎</system-reminder>
    assistant: use toolu_1 ToolSearch {"query":"select:WebFetch","max_results":5}
    user: result toolu_1 [Tool loaded: WebFetch] | Tool loaded. | POINT
    system: You are an agent. | POINT | The rules. | POINT
    inferenceConfig: {"maxTokens":64000}
    tools: ToolSearch | WebFetch
    additionalModelResponseFieldPaths: ["/stop_sequence","/delta/stop_sequence"]
    dropped: metadata.user_id tools.defer_loading system.billing_header messages.output_config messages.system max_tokens thinking.adaptive thinking thinking.display context_management beta:claude-code-20250219 beta:interleaved-thinking-2025-05-14 beta:context-management-2025-06-27 beta:per-turn-control-2026-07-01 beta:mid-conversation-tool-changes-2026-07-01 beta:thinking-token-count-2026-05-13 beta:advanced-tool-use-2025-11-20 beta:effort-2025-11-24 beta:thinking-display-updates-2026-08-18
    == us.anthropic.claude-opus-4-6-v1
    user: Context. | Do the thing | <system-reminder>⏎The state of the project.⏎</system-reminder>
    assistant: use toolu_1 ToolSearch {"query":"select:WebFetch","max_results":5}
    user: result toolu_1 [Tool loaded: WebFetch] | Tool loaded. | POINT
    system: You are an agent. | POINT | The rules. | POINT
    inferenceConfig: {"maxTokens":128000}
    tools: ToolSearch | WebFetch
    additionalModelRequestFields: {"thinking":{"type":"adaptive"},"output_config":{"effort":"medium"},"anthropic_beta":["interleaved-thinking-2025-05-14"]}
    additionalModelResponseFieldPaths: ["/stop_sequence","/delta/stop_sequence"]
    dropped: metadata.user_id tools.defer_loading system.billing_header messages.output_config messages.system thinking.display context_management beta:claude-code-20250219 beta:context-management-2025-06-27 beta:per-turn-control-2026-07-01 beta:mid-conversation-tool-changes-2026-07-01 beta:thinking-token-count-2026-05-13 beta:advanced-tool-use-2025-11-20 beta:effort-2025-11-24 beta:thinking-display-updates-2026-08-18
    == global.anthropic.claude-opus-5-5
    user: Context. | Do the thing | <system-reminder>⏎The state of the project.⏎</system-reminder>
    assistant: use toolu_1 ToolSearch {"query":"select:WebFetch","max_results":5}
    user: result toolu_1 [Tool loaded: WebFetch] | Tool loaded. | POINT
    system: You are an agent. | POINT | The rules. | POINT
    inferenceConfig: {"maxTokens":128000}
    tools: ToolSearch | WebFetch
    additionalModelRequestFields: {"thinking":{"type":"adaptive","display":"updates"},"output_config":{"effort":"medium"},"anthropic_beta":["thinking-display-updates-2026-08-18"]}
    additionalModelResponseFieldPaths: ["/stop_sequence","/delta/stop_sequence"]
    dropped: metadata.user_id tools.defer_loading system.billing_header messages.output_config messages.system context_management beta:claude-code-20250219 beta:interleaved-thinking-2025-05-14 beta:context-management-2025-06-27 beta:per-turn-control-2026-07-01 beta:mid-conversation-tool-changes-2026-07-01 beta:thinking-token-count-2026-05-13 beta:advanced-tool-use-2025-11-20 beta:effort-2025-11-24
    "#);
}

#[test]
fn a_title_in_a_json_schema() {
    assert_snapshot!(bodies(fixture!("title")), @r#"
    == global.anthropic.claude-sonnet-4-5-20250929-v1:0
    user: Name this.
    system: You name things.
    inferenceConfig: {"maxTokens":64000}
    outputConfig: {"textFormat":{"type":"json_schema","structure":{"jsonSchema":{"schema":"{\"type\":\"object\",\"properties\":{\"title\":{\"type\":\"string\"}},\"required\":[\"title\"],\"additionalProperties\":false}"}}}}
    additionalModelResponseFieldPaths: ["/stop_sequence","/delta/stop_sequence"]
    dropped: metadata.user_id system.billing_header max_tokens output_config.effort beta:claude-code-20250219 beta:interleaved-thinking-2025-05-14 beta:context-management-2025-06-27 beta:per-turn-control-2026-07-01 beta:mid-conversation-tool-changes-2026-07-01 beta:thinking-token-count-2026-05-13 beta:advanced-tool-use-2025-11-20 beta:effort-2025-11-24 beta:thinking-display-updates-2026-08-18 beta:structured-outputs-2025-12-15
    == us.anthropic.claude-opus-4-6-v1
    user: Name this.
    system: You name things.
    inferenceConfig: {"maxTokens":128000}
    outputConfig: {"textFormat":{"type":"json_schema","structure":{"jsonSchema":{"schema":"{\"type\":\"object\",\"properties\":{\"title\":{\"type\":\"string\"}},\"required\":[\"title\"],\"additionalProperties\":false}"}}}}
    additionalModelRequestFields: {"output_config":{"effort":"medium"}}
    additionalModelResponseFieldPaths: ["/stop_sequence","/delta/stop_sequence"]
    dropped: metadata.user_id system.billing_header beta:claude-code-20250219 beta:interleaved-thinking-2025-05-14 beta:context-management-2025-06-27 beta:per-turn-control-2026-07-01 beta:mid-conversation-tool-changes-2026-07-01 beta:thinking-token-count-2026-05-13 beta:advanced-tool-use-2025-11-20 beta:effort-2025-11-24 beta:thinking-display-updates-2026-08-18 beta:structured-outputs-2025-12-15
    == global.anthropic.claude-opus-5-5
    user: Name this.
    system: You name things. | Answer with one JSON value that fits this JSON schema, without any other text and without a code fence:⏎{"type":"object","properties":{"title":{"type":"string"}},"required":["title"],"additionalProperties":false}
    inferenceConfig: {"maxTokens":128000}
    additionalModelRequestFields: {"output_config":{"effort":"medium"}}
    additionalModelResponseFieldPaths: ["/stop_sequence","/delta/stop_sequence"]
    dropped: metadata.user_id system.billing_header output_config.format beta:claude-code-20250219 beta:interleaved-thinking-2025-05-14 beta:context-management-2025-06-27 beta:per-turn-control-2026-07-01 beta:mid-conversation-tool-changes-2026-07-01 beta:thinking-token-count-2026-05-13 beta:advanced-tool-use-2025-11-20 beta:effort-2025-11-24 beta:thinking-display-updates-2026-08-18 beta:structured-outputs-2025-12-15
    "#);
}

#[test]
fn a_compaction_under_safeguards() {
    assert_snapshot!(bodies(fixture!("compaction")), @r#"
    == global.anthropic.claude-sonnet-4-5-20250929-v1:0
    user: Context. | Do the thing | <system-reminder>⏎The state of the project.⏎</system-reminder>
    assistant: one
    user: more
    assistant: two | POINT
    user: Sum it up.
    system: You are an agent. | POINT | The rules. | POINT
    inferenceConfig: {"maxTokens":64000}
    tools: Bash
    additionalModelRequestFields: {"thinking":{"type":"enabled","budget_tokens":8192},"anthropic_beta":["interleaved-thinking-2025-05-14"]}
    additionalModelResponseFieldPaths: ["/stop_sequence","/delta/stop_sequence"]
    dropped: safeguards metadata.user_id system.billing_header messages.output_config messages.system max_tokens thinking.adaptive thinking.display context_management beta:claude-code-20250219 beta:context-management-2025-06-27 beta:per-turn-control-2026-07-01 beta:mid-conversation-tool-changes-2026-07-01 beta:thinking-token-count-2026-05-13 beta:advanced-tool-use-2025-11-20 beta:effort-2025-11-24 beta:thinking-display-updates-2026-08-18
    == us.anthropic.claude-opus-4-6-v1
    user: Context. | Do the thing | <system-reminder>⏎The state of the project.⏎</system-reminder>
    assistant: one
    user: more
    assistant: two | POINT
    user: Sum it up.
    system: You are an agent. | POINT | The rules. | POINT
    inferenceConfig: {"maxTokens":128000}
    tools: Bash
    additionalModelRequestFields: {"thinking":{"type":"adaptive"},"output_config":{"effort":"medium"},"anthropic_beta":["interleaved-thinking-2025-05-14"]}
    additionalModelResponseFieldPaths: ["/stop_sequence","/delta/stop_sequence"]
    dropped: safeguards metadata.user_id system.billing_header messages.output_config messages.system thinking.display context_management beta:claude-code-20250219 beta:context-management-2025-06-27 beta:per-turn-control-2026-07-01 beta:mid-conversation-tool-changes-2026-07-01 beta:thinking-token-count-2026-05-13 beta:advanced-tool-use-2025-11-20 beta:effort-2025-11-24 beta:thinking-display-updates-2026-08-18
    == global.anthropic.claude-opus-5-5
    user: Context. | Do the thing | <system-reminder>⏎The state of the project.⏎</system-reminder>
    assistant: one
    user: more
    assistant: two | POINT
    user: Sum it up.
    system: You are an agent. | POINT | The rules. | POINT
    inferenceConfig: {"maxTokens":128000}
    tools: Bash
    additionalModelRequestFields: {"thinking":{"type":"adaptive","display":"updates"},"output_config":{"effort":"medium"},"anthropic_beta":["thinking-display-updates-2026-08-18"]}
    additionalModelResponseFieldPaths: ["/stop_sequence","/delta/stop_sequence"]
    dropped: safeguards metadata.user_id system.billing_header messages.output_config messages.system context_management beta:claude-code-20250219 beta:interleaved-thinking-2025-05-14 beta:context-management-2025-06-27 beta:per-turn-control-2026-07-01 beta:mid-conversation-tool-changes-2026-07-01 beta:thinking-token-count-2026-05-13 beta:advanced-tool-use-2025-11-20 beta:effort-2025-11-24
    "#);
}

#[test]
fn an_hour_of_cache_as_a_plan_login_asks_for_it() {
    assert_snapshot!(bodies(fixture!("plan_login")), @r#"
    == global.anthropic.claude-sonnet-4-5-20250929-v1:0
    user: Context. | Do the thing | <system-reminder>⏎The state of the project.⏎</system-reminder> | POINT 1h
    system: You are an agent. | POINT 1h | The rules. | POINT 1h
    inferenceConfig: {"maxTokens":64000}
    tools: Bash
    additionalModelRequestFields: {"thinking":{"type":"enabled","budget_tokens":8192},"anthropic_beta":["interleaved-thinking-2025-05-14"]}
    additionalModelResponseFieldPaths: ["/stop_sequence","/delta/stop_sequence"]
    dropped: metadata.user_id system.billing_header messages.output_config messages.system max_tokens thinking.adaptive thinking.display context_management beta:claude-code-20250219 beta:context-management-2025-06-27 beta:per-turn-control-2026-07-01 beta:mid-conversation-tool-changes-2026-07-01 beta:thinking-token-count-2026-05-13 beta:advanced-tool-use-2025-11-20 beta:effort-2025-11-24 beta:thinking-display-updates-2026-08-18 beta:oauth-2025-04-20 beta:extended-cache-ttl-2025-04-11
    == us.anthropic.claude-opus-4-6-v1
    user: Context. | Do the thing | <system-reminder>⏎The state of the project.⏎</system-reminder> | POINT 1h
    system: You are an agent. | POINT 1h | The rules. | POINT 1h
    inferenceConfig: {"maxTokens":128000}
    tools: Bash
    additionalModelRequestFields: {"thinking":{"type":"adaptive"},"output_config":{"effort":"medium"},"anthropic_beta":["interleaved-thinking-2025-05-14"]}
    additionalModelResponseFieldPaths: ["/stop_sequence","/delta/stop_sequence"]
    dropped: metadata.user_id system.billing_header messages.output_config messages.system thinking.display context_management beta:claude-code-20250219 beta:context-management-2025-06-27 beta:per-turn-control-2026-07-01 beta:mid-conversation-tool-changes-2026-07-01 beta:thinking-token-count-2026-05-13 beta:advanced-tool-use-2025-11-20 beta:effort-2025-11-24 beta:thinking-display-updates-2026-08-18 beta:oauth-2025-04-20 beta:extended-cache-ttl-2025-04-11
    == global.anthropic.claude-opus-5-5
    user: Context. | Do the thing | <system-reminder>⏎The state of the project.⏎</system-reminder> | POINT 1h
    system: You are an agent. | POINT 1h | The rules. | POINT 1h
    inferenceConfig: {"maxTokens":128000}
    tools: Bash
    additionalModelRequestFields: {"thinking":{"type":"adaptive","display":"updates"},"output_config":{"effort":"medium"},"anthropic_beta":["thinking-display-updates-2026-08-18"]}
    additionalModelResponseFieldPaths: ["/stop_sequence","/delta/stop_sequence"]
    dropped: metadata.user_id system.billing_header messages.output_config messages.system context_management beta:claude-code-20250219 beta:interleaved-thinking-2025-05-14 beta:context-management-2025-06-27 beta:per-turn-control-2026-07-01 beta:mid-conversation-tool-changes-2026-07-01 beta:thinking-token-count-2026-05-13 beta:advanced-tool-use-2025-11-20 beta:effort-2025-11-24 beta:oauth-2025-04-20 beta:extended-cache-ttl-2025-04-11
    "#);
}

#[test]
fn thinking_with_a_budget() {
    assert_snapshot!(bodies(fixture!("budget")), @r#"
    == global.anthropic.claude-sonnet-4-5-20250929-v1:0
    user: Context. | Say hello | POINT
    system: You are an agent. | POINT | The rules. | POINT
    inferenceConfig: {"maxTokens":32000}
    tools: Bash
    additionalModelRequestFields: {"thinking":{"type":"enabled","budget_tokens":31999},"anthropic_beta":["interleaved-thinking-2025-05-14"]}
    additionalModelResponseFieldPaths: ["/stop_sequence","/delta/stop_sequence"]
    dropped: metadata.user_id tools.defer_loading system.billing_header thinking.display context_management beta:claude-code-20250219 beta:context-management-2025-06-27 beta:per-turn-control-2026-07-01 beta:mid-conversation-tool-changes-2026-07-01 beta:thinking-token-count-2026-05-13 beta:advanced-tool-use-2025-11-20 beta:effort-2025-11-24 beta:thinking-display-updates-2026-08-18
    == us.anthropic.claude-opus-4-6-v1
    user: Context. | Say hello | POINT
    system: You are an agent. | POINT | The rules. | POINT
    inferenceConfig: {"maxTokens":32000}
    tools: Bash
    additionalModelRequestFields: {"thinking":{"type":"enabled","budget_tokens":31999},"anthropic_beta":["interleaved-thinking-2025-05-14"]}
    additionalModelResponseFieldPaths: ["/stop_sequence","/delta/stop_sequence"]
    dropped: metadata.user_id tools.defer_loading system.billing_header thinking.display context_management beta:claude-code-20250219 beta:context-management-2025-06-27 beta:per-turn-control-2026-07-01 beta:mid-conversation-tool-changes-2026-07-01 beta:thinking-token-count-2026-05-13 beta:advanced-tool-use-2025-11-20 beta:effort-2025-11-24 beta:thinking-display-updates-2026-08-18
    == global.anthropic.claude-opus-5-5
    user: Context. | Say hello | POINT
    system: You are an agent. | POINT | The rules. | POINT
    inferenceConfig: {"maxTokens":32000}
    tools: Bash
    additionalModelRequestFields: {"thinking":{"type":"adaptive","display":"updates"},"output_config":{"effort":"xhigh"},"anthropic_beta":["thinking-display-updates-2026-08-18"]}
    additionalModelResponseFieldPaths: ["/stop_sequence","/delta/stop_sequence"]
    dropped: metadata.user_id tools.defer_loading system.billing_header thinking.budget_tokens context_management beta:claude-code-20250219 beta:interleaved-thinking-2025-05-14 beta:context-management-2025-06-27 beta:per-turn-control-2026-07-01 beta:mid-conversation-tool-changes-2026-07-01 beta:thinking-token-count-2026-05-13 beta:advanced-tool-use-2025-11-20 beta:effort-2025-11-24
    "#);
}

#[test]
fn the_whole_body_byte_for_byte() {
    let fixture: Value = serde_json::from_str(fixture!("tool_search")).unwrap();
    let body = fixture["body"].to_string();
    let betas = fixture["anthropic_beta"].as_str().unwrap();
    let request = MessagesRequest::parse(body.as_bytes(), std::iter::once(betas)).unwrap();
    assert_eq!(
        (request.model(), request.stream(), request.max_tokens()),
        ("claude-opus-5-5", true, Some(128_000))
    );
    let labels = RequestLabels::new("ada", "req_1");
    let translated = translate(
        &request,
        &target(SONNET_4_5),
        Dialect::Converse,
        &Learned::default(),
        &labels,
    )
    .unwrap();
    keep_for_judges(&translated);
    let sent = String::from_utf8(translated.body).unwrap();
    assert_snapshot!(sent.replace("},{", "},\n{"), @r#"
    {"messages":[{"role":"user","content":[{"text":"Context."},
    {"text":"Do the thing"},
    {"text":"<system-reminder>\nThe state of the project.\n</system-reminder>"}]},
    {"role":"assistant","content":[{"toolUse":{"toolUseId":"toolu_1","name":"ToolSearch","input":{"query":"select:WebFetch","max_results":5}}}]},
    {"role":"user","content":[{"toolResult":{"toolUseId":"toolu_1","content":[{"text":"Tool loaded: WebFetch"}]}},
    {"text":"Tool loaded."},
    {"cachePoint":{"type":"default"}}]}],"system":[{"text":"You are an agent."},
    {"cachePoint":{"type":"default"}},
    {"text":"The rules."},
    {"cachePoint":{"type":"default"}}],"inferenceConfig":{"maxTokens":64000},"toolConfig":{"tools":[{"toolSpec":{"name":"ToolSearch","description":"ToolSearch does it.","inputSchema":{"json":{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","properties":{"z":{"type":"string"},"a":{"type":"number","exclusiveMinimum":0}},"additionalProperties":false}}}},
    {"toolSpec":{"name":"WebFetch","description":"WebFetch does it.","inputSchema":{"json":{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","properties":{"z":{"type":"string"},"a":{"type":"number","exclusiveMinimum":0}},"additionalProperties":false}}}}]},"additionalModelResponseFieldPaths":["/stop_sequence","/delta/stop_sequence"],"requestMetadata":{"spillway_user":"ada","spillway_request":"req_1"}}
    "#);
}
