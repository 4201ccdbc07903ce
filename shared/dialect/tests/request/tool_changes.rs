//! Tools that are added and removed inside the conversation, and system messages as blocks.

use domain::bedrock::Dialect;
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::translation::{
    SONNET_4_5, Translation, converse, losses, outline, read, request, turns,
};

const OPUS_5: &str = "us.anthropic.claude-opus-5";

fn tool(name: &str) -> Value {
    json!({"name": name, "description": name, "input_schema": {"type": "object"}})
}

fn deferred(name: &str) -> Value {
    let mut tool = tool(name);
    tool["defer_loading"] = json!(true);
    tool
}

fn change(kind: &str, name: &str) -> Value {
    json!({"type": kind, "tool": {"type": "tool_reference", "name": name}})
}

/// A conversation with these blocks in a system message after the first user turn.
fn conversation(tools: &[Value], blocks: &[Value]) -> Value {
    request(json!({
        "tools": tools,
        "messages": [
            {"role": "user", "content": "a"},
            {"role": "system", "content": blocks},
            {"role": "assistant", "content": "b"},
            {"role": "user", "content": "c"},
        ],
    }))
}

/// The names of the tools in the Converse request.
fn sent(body: &Value) -> Vec<String> {
    let sent = converse(body);
    let tools = sent["toolConfig"]["tools"].as_array();
    let names = tools
        .into_iter()
        .flatten()
        .filter_map(|tool| tool["toolSpec"]["name"].as_str());
    names.map(str::to_owned).collect()
}

#[test]
fn added_tools_are_sent_and_removed_tools_are_left_out() {
    let definition = |name: &str, description: &str| {
        json!({"type": "tool_addition", "tool": {"type": "tool_definition", "definition":
            {"name": name, "description": description, "input_schema": {"type": "object"}}}})
    };
    let tools = [tool("Bash"), deferred("gh_issue"), deferred("hidden")];
    for (blocks, names) in [
        (vec![], vec!["Bash"]),
        (
            vec![change("tool_addition", "gh_issue")],
            vec!["Bash", "gh_issue"],
        ),
        (vec![definition("New", "n")], vec!["Bash", "New"]),
        (vec![definition("hidden", "seen")], vec!["Bash", "hidden"]),
        (vec![change("tool_removal", "Bash")], vec![]),
        (
            vec![
                change("tool_addition", "gh_issue"),
                change("tool_removal", "gh_issue"),
            ],
            vec!["Bash"],
        ),
        (
            vec![
                definition("New", "n"),
                change("tool_removal", "New"),
                change("tool_addition", "New"),
            ],
            vec!["Bash", "New"],
        ),
    ] {
        assert_eq!(sent(&conversation(&tools, &blocks)), names, "{blocks:?}");
    }
    // The newest definition is used, at the place of the first.
    let redefined = conversation(
        &tools,
        &[definition("Bash", "first"), definition("Bash", "second")],
    );
    let body = converse(&redefined);
    assert_eq!(
        body["toolConfig"]["tools"][0]["toolSpec"]["description"],
        "second"
    );
}

#[test]
fn removed_tool_keeps_a_description_while_the_history_calls_it() {
    let body = request(json!({
        "tools": [tool("Bash"), tool("Gone")],
        "messages": [
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "Gone", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "r"}]},
            {"role": "system", "content": [change("tool_removal", "Gone")]},
        ],
    }));
    let translated = Translation::default().translate_body(&body).unwrap();
    assert_snapshot!(outline(&read(&translated)), @r#"
    user: a
    assistant: use t Gone {}
    user: result t [r] | <system-reminder>⏎Tool removed: Gone. Do not call it any more.⏎</system-reminder>
    inferenceConfig: {"maxTokens":32000}
    tools: Bash | Gone
    additionalModelResponseFieldPaths: ["/stop_sequence","/delta/stop_sequence"]
    "#);
    assert_snapshot!(losses(&translated), @"block:tool_removal messages.system");
    let specs = &read(&translated)["toolConfig"]["tools"];
    assert_snapshot!(specs[1], @r#"{"toolSpec":{"name":"Gone","description":"Not available in this turn.","inputSchema":{"json":{"type":"object"}}}}"#);
}

#[test]
fn unknown_tool_addition_is_an_error_that_claude_code_matches() {
    for (block, fault) in [
        (
            change("tool_addition", "unknown"),
            "tool_addition of a tool that is not in `tools` is not supported on this model",
        ),
        (
            json!({"type": "tool_addition", "tool": {"type": "mcp_toolset_reference", "server_name": "s"}}),
            "tool_addition of this kind is not supported on this model on Amazon Bedrock",
        ),
    ] {
        let body = conversation(&[tool("Bash")], &[block]);
        let refusal = Translation::default().translate_body(&body).unwrap_err();
        assert_eq!(
            (refusal.status(), refusal.to_string().as_str()),
            (400, fault)
        );
    }
    // In a user turn they do not change the tools.
    let body = request(json!({"tools": [tool("Bash")], "messages": [
        {"role": "user", "content": [change("tool_removal", "Bash")]},
    ]}));
    let refusal = Translation::default()
        .translate_body(&body)
        .unwrap_err()
        .to_string();
    assert!(refusal.ends_with("`tool_removal` blocks can only be in `system` messages"));
}

#[test]
fn tool_changes_are_sent_to_models_that_accept_them() {
    const BETA: &str = "mid-conversation-tool-changes-2026-07-01";
    let body = conversation(
        &[tool("Bash"), tool("Other")],
        &[
            change("tool_removal", "Other"),
            change("tool_addition", "Other"),
        ],
    );
    let native = |model: &str, betas: &str| {
        let translation = Translation {
            model,
            betas,
            dialect: Dialect::Invoke,
            ..Translation::default()
        };
        let sent = translation.body(&body);
        sent.to_string().contains("tool_removal").then_some(sent)
    };
    let sent = native(OPUS_5, BETA).unwrap();
    assert_snapshot!(sent["messages"][1], @r#"{"role":"system","content":[{"type":"tool_removal","tool":{"type":"tool_reference","name":"Other"}},{"type":"tool_addition","tool":{"type":"tool_reference","name":"Other"}}]}"#);
    assert_eq!(sent["anthropic_beta"], json!([BETA]));
    assert_eq!(sent["tools"].as_array().unwrap().len(), 2);
    assert_eq!(
        native(OPUS_5, ""),
        None,
        "the client did not translation for the beta"
    );
    assert_eq!(native(SONNET_4_5, BETA), None, "the model does not take it");
}

#[test]
fn mid_conversation_system_block_becomes_a_system_reminder() {
    let block = |text: &str| {
        json!({"type": "mid_conv_system", "content": [
            {"type": "text", "text": text}, change("tool_addition", "late"),
        ]})
    };
    let body = request(json!({
        "tools": [tool("Bash"), deferred("late")],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "a"}, block("be brief")]},
            {"role": "assistant", "content": "b"},
            {"role": "user", "content": [{"type": "text", "text": "c"}, block("be kind")]},
        ],
    }));
    assert_snapshot!(turns(&converse(&body)), @r#"
    user: a | <system-reminder>⏎be brief⏎</system-reminder> | <system-reminder>⏎Tool added: late⏎</system-reminder>
    assistant: b
    user: c | <system-reminder>⏎be kind⏎</system-reminder> | <system-reminder>⏎Tool added: late⏎</system-reminder>
    "#);
    assert_eq!(sent(&body), ["Bash", "late"]);
}
