//! A Messages request, from JSON.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::anthropic::{
    Block, CacheControl, Choice, ContextEdit, Document, Image, Kind, Message, MessagesRequest,
    Number, Role, SearchResult, Source, Thinking, ThinkingKind, Tool, ToolChange, ToolChoice,
    ToolKind, Ttl,
};
use super::json::{self, Fault, Object};

const KNOWN_FIELDS: &[&str] = &[
    "model",
    "max_tokens",
    "stream",
    "system",
    "messages",
    "tools",
    "tool_choice",
    "thinking",
    "output_config",
    "output_format",
    "temperature",
    "top_p",
    "top_k",
    "stop_sequences",
    "cache_control",
    "metadata",
    "context_management",
    "safeguards",
    "mcp_servers",
    "anthropic_beta",
    "anthropic_version",
];

/// Reads the outermost object of a request.
pub(super) fn request<'a>(object: &Object<'a>) -> Result<MessagesRequest<'a>, Fault> {
    let mut ignored = unknown_fields(object, KNOWN_FIELDS, "");
    let output = object.object("output_config")?.unwrap_or_default();
    ignored.extend(unknown_fields(
        &output,
        &["effort", "format"],
        "output_config.",
    ));
    let metadata = object.object("metadata")?.unwrap_or_default();
    ignored.extend(unknown_fields(&metadata, &["user_id"], "metadata."));
    let context = object.object("context_management")?.unwrap_or_default();

    let messages = object
        .get("messages")
        .ok_or_else(|| Fault::required("messages"))?;
    let messages = json::list(messages, |raw| message(raw, &mut ignored))
        .map_err(|fault| fault.within("messages"))?;
    let legacy_format = object.object("output_format")?;
    let thread = object
        .object("thread")?
        .map(|thread| thread.required_text("type"));
    let thread = thread.transpose().map_err(|fault| fault.within("thread"))?;
    Ok(MessagesRequest {
        model: object.required_text("model")?,
        max_tokens: object.whole_number("max_tokens")?,
        stream: object.flag("stream")?.unwrap_or(false),
        system: object
            .with("system", |raw| content(raw, Level::Message))?
            .unwrap_or_default(),
        messages,
        tools: object.list("tools", tool)?,
        tool_choice: object.with("tool_choice", tool_choice)?,
        thinking: object.with("thinking", thinking)?,
        effort: output
            .text("effort")
            .map_err(|fault| fault.within("output_config"))?,
        format: output
            .object("format")
            .map_err(|fault| fault.within("output_config"))?
            .or(legacy_format),
        temperature: number(object, "temperature")?,
        top_p: number(object, "top_p")?,
        top_k: number(object, "top_k")?,
        stop_sequences: object.list("stop_sequences", json::text)?,
        cache: object.with("cache_control", cache_control)?,
        user_id: metadata.get("user_id"),
        context_edits: context
            .list("edits", context_edit)
            .map_err(|fault| fault.within("context_management"))?,
        safeguards: object.get("safeguards").is_some(),
        mcp_servers: object
            .get("mcp_servers")
            .is_some_and(|servers| servers.get() != "[]"),
        // `create` carries the whole conversation. What else there may be is taken to leave some of
        // it on Anthropic's servers, as `continue` does.
        continues_thread: thread.is_some_and(|kind| kind != "create"),
        betas: object.list("anthropic_beta", json::text)?,
        ignored,
    })
}

fn unknown_fields(object: &Object<'_>, known: &[&str], prefix: &str) -> Vec<String> {
    object
        .keys()
        .filter(|key| !known.contains(key))
        .map(|key| format!("{prefix}{key}"))
        .collect()
}

fn number<'a>(object: &Object<'a>, key: &str) -> Result<Option<Number<'a>>, Fault> {
    object.with(key, |source| match source.get().parse() {
        Ok(value) if f64::is_finite(value) => Ok(Number { value, source }),
        _ => Err(Fault::new("Input should be a valid number")),
    })
}

fn message<'a>(raw: &'a RawValue, ignored: &mut Vec<String>) -> Result<Message<'a>, Fault> {
    let object = Object::read(raw)?;
    let role = match object.required_text("role")?.as_ref() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        _ => {
            return Err(Fault::new("Input should be 'user' or 'assistant'").within("role"));
        }
    };
    ignored.extend(unknown_fields(
        &object,
        &["role", "content", "output_config"],
        "messages.",
    ));
    let output = object.object("output_config")?.unwrap_or_default();
    ignored.extend(unknown_fields(
        &output,
        &["effort"],
        "messages.output_config.",
    ));
    Ok(Message {
        role,
        blocks: object
            .with("content", |raw| content(raw, Level::Message))?
            .ok_or_else(|| Fault::required("content"))?,
        effort: output
            .text("effort")
            .map_err(|fault| fault.within("output_config"))?,
    })
}

/// How deep blocks lie in blocks: a message's own, those of a tool result, those of a document in
/// it. Nothing may lie deeper, so that reading needs no more stack than that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Message,
    Result,
    Document,
}

/// A string, or a list of blocks.
fn content(raw: &RawValue, level: Level) -> Result<Vec<Block<'_>>, Fault> {
    if json::is_string(raw) {
        return Ok(vec![Block {
            kind: Kind::Text(json::text(raw)?),
            cache: None,
            citations: None,
            source: raw,
        }]);
    }
    json::list(raw, |raw| block(raw, level))
}

fn block(raw: &RawValue, level: Level) -> Result<Block<'_>, Fault> {
    let source = Object::read(raw)?;
    let name = source.required_text("type")?;
    let kind = match name.as_ref() {
        "text" => Kind::Text(source.required_text("text")?),
        "image" => Kind::Image(image(&source)?),
        "document" if level < Level::Document => Kind::Document(Box::new(Document {
            source: document(&source)?,
            title: source.text("title")?,
            context: source.text("context")?,
            citations: citations(&source)?,
        })),
        "tool_use" => Kind::ToolUse {
            id: source.required_text("id")?,
            name: source.required_text("name")?,
            input: source.with("input", tool_input)?.flatten(),
            has_caller: source.get("caller").is_some(),
        },
        "tool_result" if level == Level::Message => Kind::ToolResult {
            id: source.required_text("tool_use_id")?,
            content: source
                .with("content", |raw| content(raw, Level::Result))?
                .unwrap_or_default(),
            is_error: source.flag("is_error")?,
        },
        "tool_reference" => Kind::ToolReference {
            name: source.required_text("tool_name")?,
        },
        "thinking" => Kind::Thinking {
            text: source.text("thinking")?.unwrap_or_default(),
            signature: source.text("signature")?,
        },
        "redacted_thinking" => Kind::RedactedThinking {
            data: source.text("data")?.unwrap_or_default(),
        },
        "search_result" => Kind::SearchResult(Box::new(SearchResult {
            source: source.required_text("source")?,
            title: source.required_text("title")?,
            texts: source.list("content", |raw| Object::read(raw)?.required_text("text"))?,
            citations: citations(&source)?,
        })),
        "tool_addition" if level < Level::Document => Kind::ToolChange(tool_change(&source, true)?),
        "tool_removal" if level < Level::Document => Kind::ToolChange(tool_change(&source, false)?),
        "mid_conv_system" if level == Level::Message => Kind::MidConversationSystem {
            content: source
                .with("content", |raw| content(raw, Level::Result))?
                .ok_or_else(|| Fault::required("content"))?,
        },
        "server_tool_use" | "mcp_tool_use" | "mcp_tool_result" | "container_upload"
        | "compaction" => Kind::Server { name },
        other if other.ends_with("_tool_result") => Kind::Server { name },
        _ => Kind::Unknown { name },
    };
    Ok(Block {
        cache: source.with("cache_control", cache_control)?,
        citations: match kind {
            Kind::Text(_) => source.get("citations").filter(|list| list.get() != "[]"),
            _ => None,
        },
        kind,
        source: raw,
    })
}

fn tool_change<'a>(block: &Object<'a>, addition: bool) -> Result<ToolChange<'a>, Fault> {
    let read = |raw: &'a RawValue| {
        let target = Object::read(raw)?;
        Ok(match target.required_text("type")?.as_ref() {
            "tool_reference" if addition => ToolChange::Add(target.required_text("name")?),
            "tool_reference" => ToolChange::Remove(target.required_text("name")?),
            "tool_definition" if addition => {
                let definition = target
                    .with("definition", tool)?
                    .ok_or_else(|| Fault::required("definition"))?;
                ToolChange::Define(Box::new(definition))
            }
            _ => ToolChange::Unknown { addition },
        })
    };
    block
        .with("tool", read)?
        .ok_or_else(|| Fault::required("tool"))
}

/// Absent and empty inputs are read as `{}`, which is what a call without arguments means.
fn tool_input(raw: &RawValue) -> Result<Option<&RawValue>, Fault> {
    if raw.get() == "\"\"" {
        Ok(None)
    } else {
        json::opaque_object(raw).map(Some)
    }
}

fn image<'a>(block: &Object<'a>) -> Result<Image<'a>, Fault> {
    let read = |raw| {
        let source = Object::read(raw)?;
        if source.required_text("type")? != "base64" {
            return Ok(Image::Elsewhere);
        }
        let format = match source.required_text("media_type")?.as_ref() {
            "image/png" => "png",
            "image/jpeg" | "image/jpg" => "jpeg",
            "image/gif" => "gif",
            "image/webp" => "webp",
            _ => {
                return Err(Fault::new(
                    "Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'",
                )
                .within("media_type"));
            }
        };
        Ok(Image::Data {
            format,
            data: base64(&source)?,
        })
    };
    block
        .with("source", read)?
        .ok_or_else(|| Fault::required("source"))
}

fn document<'a>(block: &Object<'a>) -> Result<Source<'a>, Fault> {
    let read = |raw| {
        let source = Object::read(raw)?;
        Ok(match source.required_text("type")?.as_ref() {
            "base64" => match source.required_text("media_type")?.as_ref() {
                "application/pdf" => Source::Pdf(base64(&source)?),
                _ => {
                    return Err(
                        Fault::new("Input should be 'application/pdf'").within("media_type")
                    );
                }
            },
            "text" => Source::Text(source.required_text("data")?),
            "content" => Source::Blocks(
                source
                    .with("content", |raw| content(raw, Level::Document))?
                    .ok_or_else(|| Fault::required("content"))?,
            ),
            _ => Source::Elsewhere,
        })
    };
    block
        .with("source", read)?
        .ok_or_else(|| Fault::required("source"))
}

/// `data` as strict base64: Bedrock refuses data URLs, line breaks and missing padding.
fn base64<'a>(source: &Object<'a>) -> Result<Cow<'a, str>, Fault> {
    let data = source.required_text("data")?;
    let digits = data.trim_end_matches('=');
    let valid = !digits.is_empty()
        && data.len() - digits.len() <= 2
        && data.len().is_multiple_of(4)
        && digits
            .bytes()
            .all(|byte| matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/'));
    if valid {
        Ok(data)
    } else {
        Err(Fault::new("invalid base64 data").within("data"))
    }
}

fn citations(block: &Object<'_>) -> Result<bool, Fault> {
    let citations = block.object("citations")?.unwrap_or_default();
    let enabled = citations
        .flag("enabled")
        .map_err(|fault| fault.within("citations"))?;
    Ok(enabled.unwrap_or(false))
}

fn cache_control(raw: &RawValue) -> Result<CacheControl, Fault> {
    let object = Object::read(raw)?;
    let ttl = match object.text("ttl")?.as_deref() {
        Some("1h") => Ttl::OneHour,
        _ => Ttl::FiveMinutes,
    };
    Ok(CacheControl {
        ttl,
        scoped: object.keys().any(|key| key != "type" && key != "ttl"),
    })
}

fn tool(raw: &RawValue) -> Result<Tool<'_>, Fault> {
    let source = Object::read(raw)?;
    let version = source.text("type")?.filter(|kind| kind != "custom");
    let kind = match version {
        None => ToolKind::Custom {
            description: source.text("description")?,
            schema: source
                .with("input_schema", json::opaque_object)?
                .ok_or_else(|| Fault::required("input_schema"))?,
            strict: source.flag("strict")?,
        },
        Some(version)
            if ["bash_", "text_editor_", "computer_", "memory_"]
                .iter()
                .any(|prefix| version.starts_with(prefix)) =>
        {
            ToolKind::Client { version }
        }
        Some(version) => ToolKind::Server { version },
    };
    let name = match &kind {
        ToolKind::Custom { .. } => source.required_text("name")?,
        ToolKind::Client { version } | ToolKind::Server { version } => {
            source.text("name")?.unwrap_or_else(|| version.clone())
        }
    };
    Ok(Tool {
        kind,
        name,
        cache: source.with("cache_control", cache_control)?,
        deferred: source.flag("defer_loading")?.unwrap_or(false),
        source,
    })
}

fn tool_choice(raw: &RawValue) -> Result<ToolChoice<'_>, Fault> {
    let object = Object::read(raw)?;
    let kind = match object.required_text("type")?.as_ref() {
        "auto" => Choice::Auto,
        "any" => Choice::Any,
        "none" => Choice::None,
        "tool" => Choice::Tool(object.required_text("name")?),
        _ => {
            return Err(
                Fault::new("Input should be 'auto', 'any', 'tool' or 'none'").within("type"),
            );
        }
    };
    let disable_parallel = object.flag("disable_parallel_tool_use")?.unwrap_or(false);
    Ok(ToolChoice {
        kind,
        disable_parallel,
    })
}

fn thinking(raw: &RawValue) -> Result<Thinking<'_>, Fault> {
    let object = Object::read(raw)?;
    let kind = match object.required_text("type")?.as_ref() {
        "enabled" => ThinkingKind::Enabled {
            budget: object
                .whole_number("budget_tokens")?
                .ok_or_else(|| Fault::required("budget_tokens"))?,
        },
        "adaptive" => ThinkingKind::Adaptive,
        "between_tools" => ThinkingKind::BetweenTools,
        "disabled" => ThinkingKind::Disabled,
        _ => ThinkingKind::Unknown,
    };
    Ok(Thinking {
        kind,
        display: object.text("display")?,
        block_binding: object.with("block_binding", json::opaque_object)?,
    })
}

fn context_edit(source: &RawValue) -> Result<ContextEdit<'_>, Fault> {
    let object = Object::read(source)?;
    Ok(ContextEdit {
        kind: object.required_text("type")?,
        source: json::opaque_object(source)?,
    })
}
