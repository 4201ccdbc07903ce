//! Blocks of tools that Anthropic's servers ran, as text.
//!
//! Bedrock has no such tools. The text contains what the model can still use, such as the query and
//! the pages that were found. Encrypted parts are left out.

use std::borrow::Cow;

use serde_json::Value;
use serde_json::value::RawValue;

use super::anthropic::is_blank;
use super::json::Object;

/// Returns true for a `server_tool_use` of tool search.
pub(super) fn is_tool_search(block: &RawValue) -> bool {
    Object::read(block)
        .and_then(|block| block.text("name"))
        .is_ok_and(|name| name.is_some_and(|name| name.starts_with("tool_search")))
}

/// Names of the tools that a `tool_search_tool_result` found.
pub(super) fn found_tools(block: &RawValue) -> Vec<String> {
    match Object::read(block) {
        Ok(block) => found_tool_names(&block),
        Err(_) => Vec::new(),
    }
}

fn found_tool_names(block: &Object<'_>) -> Vec<String> {
    let name = |raw| {
        let reference = Object::read(raw).ok();
        Ok(reference.and_then(|reference| reference.text("tool_name").ok().flatten()))
    };
    let Ok(Some(content)) = block.object("content") else {
        return Vec::new();
    };
    let names = content.list("tool_references", name).unwrap_or_default();
    names.into_iter().flatten().map(Cow::into_owned).collect()
}

/// The text in place of a server block. None for a block without readable content.
pub(super) fn summary(kind: &str, block: &Object<'_>) -> Option<String> {
    let text = match kind {
        "server_tool_use" | "mcp_tool_use" => {
            let name = block.text("name").ok().flatten().unwrap_or_default();
            let input = parse_member(block, "input").unwrap_or_default();
            let name = name.replace('_', " ");
            let subject = ["query", "url", "pattern"]
                .iter()
                .find_map(|key| input.get(key)?.as_str());
            match subject {
                Some(subject) => format!("[{name}: {subject}]"),
                None => format!("[{name}]\n{}", members(&input)),
            }
        }
        // Reads one page at a time, because all parsed pages need many times the memory of the
        // request.
        "web_search_tool_result" => match block.list("content", |raw| Ok(read_page(raw))) {
            Ok(pages) if block.get("content").is_some() => {
                let lines: Vec<_> = pages.into_iter().flatten().collect();
                format!("[web search results]\n{}", lines.join("\n"))
            }
            _ => "[web search failed]".to_owned(),
        },
        "web_fetch_tool_result" => {
            let content = parse_member(block, "content");
            let content = content.as_ref();
            let page = content.and_then(page).unwrap_or_default();
            let text = content.map(result_text).unwrap_or_default();
            format!("[web page fetched]\n{page}\n{text}")
        }
        "tool_search_tool_result" => {
            let lines: Vec<_> = found_tool_names(block)
                .iter()
                .map(|name| format!("Tool loaded: {name}"))
                .collect();
            lines.join("\n")
        }
        // The summary that replaces everything before it.
        "compaction" | "mcp_tool_result" => texts(&parse_member(block, "content")?),
        "container_upload" => "[file omitted]".to_owned(),
        _ => {
            let content = parse_member(block, "content");
            let result_text = content.as_ref().map(result_text).unwrap_or_default();
            format!("[{}]\n{result_text}", kind.replace('_', " "))
        }
    };
    let text = text.trim_end();
    (!is_blank(text)).then(|| text.to_owned())
}

fn parse_member(block: &Object<'_>, key: &str) -> Option<Value> {
    serde_json::from_str(block.get(key)?.get()).ok()
}

fn read_page(raw: &RawValue) -> Option<String> {
    page(&serde_json::from_str(raw.get()).ok()?)
}

fn page(result: &Value) -> Option<String> {
    let url = result.get("url")?.as_str()?;
    let title = result
        .get("title")
        .and_then(Value::as_str)
        .unwrap_or_default();
    Some(format!("{title} {url}").trim_start().to_owned())
}

/// The members of an input, one a line, in the order of the source.
fn members(input: &Value) -> String {
    let members = input.as_object().into_iter().flatten();
    let lines: Vec<_> = members
        .map(|(key, value)| match value.as_str() {
            Some(text) => format!("{key}: {text}"),
            None => format!("{key}: {value}"),
        })
        .collect();
    lines.join("\n")
}

/// The readable content of a result: its text, the output and exit code of a command, the text of a
/// fetched document, the code of an error. Wire shapes: Anthropic's pages on the server tools.
fn result_text(content: &Value) -> String {
    let text = |pointer: &str| content.pointer(pointer).and_then(Value::as_str);
    let mut parts: Vec<String> = ["/text", "/stdout", "/content", "/content/source/data"]
        .iter()
        .filter_map(|pointer| text(pointer))
        .filter(|found| !is_blank(found))
        .map(str::to_owned)
        .collect();
    // The base64 of a PDF is not text.
    if text("/content/source/type") == Some("base64") {
        parts.clear();
    }
    if parts.is_empty() {
        parts.push(texts(content));
    }
    if let Some(lines) = content.get("lines").and_then(Value::as_array) {
        parts.extend(lines.iter().filter_map(Value::as_str).map(str::to_owned));
    }
    for (name, label) in [("stderr", "stderr"), ("error_code", "error")] {
        let text = content.get(name).and_then(Value::as_str);
        parts.extend(
            text.filter(|text| !is_blank(text))
                .map(|text| format!("{label}: {text}")),
        );
    }
    if let Some(code) = content.get("return_code").and_then(Value::as_i64) {
        parts.push(format!("return code: {code}"));
    }
    parts.retain(|part| !is_blank(part));
    parts.join("\n")
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
