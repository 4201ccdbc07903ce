//! Blocks of tools that Anthropic's servers ran, told in words.
//!
//! Bedrock has no such tools, so a conversation that used them keeps what the model can still use: what
//! was asked, and which pages came back. Encrypted parts are of no use to anyone else.

use serde_json::Value;

use super::json::Object;
use super::parts::is_blank;

/// Whether a `server_tool_use` is a search for tools.
pub(super) fn is_tool_search(block: &Object<'_>) -> bool {
    block
        .text("name")
        .is_ok_and(|name| name.is_some_and(|name| name.starts_with("tool_search")))
}

/// Names of the tools that a `tool_search_tool_result` found.
pub(super) fn found_tools(block: &Object<'_>) -> Vec<String> {
    let Some(content) = parsed(block, "content") else {
        return Vec::new();
    };
    let references = content.get("tool_references").and_then(Value::as_array);
    references
        .into_iter()
        .flatten()
        .filter_map(|reference| reference.get("tool_name")?.as_str())
        .map(str::to_owned)
        .collect()
}

/// What a server block says to the model; None when there is nothing to say.
pub(super) fn summary(kind: &str, block: &Object<'_>) -> Option<String> {
    let content = parsed(block, "content");
    let said = match kind {
        "server_tool_use" | "mcp_tool_use" => {
            let name = block.text("name").ok().flatten().unwrap_or_default();
            let input = parsed(block, "input").unwrap_or_default();
            let subject = ["query", "url", "pattern"]
                .iter()
                .find_map(|key| input.get(key)?.as_str())
                .unwrap_or_default();
            let separator = if subject.is_empty() { "" } else { ": " };
            format!("[{}{separator}{subject}]", name.replace('_', " "))
        }
        "web_search_tool_result" => match content.as_ref().and_then(Value::as_array) {
            Some(pages) => {
                let lines: Vec<_> = pages.iter().filter_map(page).collect();
                format!("[web search results]\n{}", lines.join("\n"))
            }
            None => "[web search failed]".to_owned(),
        },
        "web_fetch_tool_result" => {
            let page = content.as_ref().and_then(page).unwrap_or_default();
            format!("[web page fetched]\n{page}")
        }
        "tool_search_tool_result" => {
            let lines: Vec<_> = found_tools(block)
                .iter()
                .map(|name| format!("Tool loaded: {name}"))
                .collect();
            lines.join("\n")
        }
        // The summary that stands for everything before it.
        "compaction" | "mcp_tool_result" => texts(content.as_ref()?),
        "container_upload" => "[file omitted]".to_owned(),
        _ => {
            let output = content
                .as_ref()
                .and_then(|content| content.get("stdout")?.as_str());
            format!(
                "[{}]\n{}",
                kind.replace('_', " "),
                output.unwrap_or_default()
            )
        }
    };
    let said = said.trim_end();
    (!is_blank(said)).then(|| said.to_owned())
}

fn parsed(block: &Object<'_>, key: &str) -> Option<Value> {
    serde_json::from_str(block.get(key)?.get()).ok()
}

fn page(result: &Value) -> Option<String> {
    let url = result.get("url")?.as_str()?;
    let title = result
        .get("title")
        .and_then(Value::as_str)
        .unwrap_or_default();
    Some(format!("{title} {url}").trim_start().to_owned())
}

/// A string, or the texts of a list of blocks.
fn texts(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => {
            let texts: Vec<_> = blocks
                .iter()
                .filter_map(|block| block.get("text")?.as_str())
                .collect();
            texts.join("\n")
        }
        _ => String::new(),
    }
}
