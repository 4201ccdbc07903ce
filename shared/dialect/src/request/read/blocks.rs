//! Content blocks, from JSON.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::tools::{cache_control, tool};
use crate::request::anthropic::{
    Block, BlockKind, Document, DocumentSource, Image, SearchResult, ToolChange,
};
use crate::request::json::{self, FieldError, Object};

/// The nesting level of a block: in a message, in a tool result, in a document. Deeper nesting is
/// not read, which bounds the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Message,
    Result,
    Document,
}

/// Reads the content of a message or of `system`: a string, or a list of blocks.
pub(super) fn message_content(raw: &RawValue) -> Result<Vec<Block<'_>>, FieldError> {
    content(raw, Level::Message)
}

/// A string, or a list of blocks.
fn content(raw: &RawValue, level: Level) -> Result<Vec<Block<'_>>, FieldError> {
    if json::is_string(raw) {
        return Ok(vec![Block {
            kind: BlockKind::Text(json::text(raw)?),
            cache: None,
            citations: None,
            source: raw,
        }]);
    }
    json::list(raw, |raw| block(raw, level))
}

fn block(raw: &RawValue, level: Level) -> Result<Block<'_>, FieldError> {
    let source = Object::read(raw)?;
    let name = source.required_text("type")?;
    let kind = match name.as_ref() {
        "text" => BlockKind::Text(source.required_text("text")?),
        "image" => BlockKind::Image(image(&source)?),
        "document" if level < Level::Document => BlockKind::Document(Box::new(Document {
            source: document(&source)?,
            title: source.text("title")?,
            context: source.text("context")?,
            citations: citations(&source)?,
        })),
        "tool_use" => BlockKind::ToolUse {
            id: source.required_text("id")?,
            name: source.required_text("name")?,
            input: source.with("input", tool_input)?.flatten(),
            has_caller: source.get("caller").is_some(),
        },
        "tool_result" if level == Level::Message => BlockKind::ToolResult {
            id: source.required_text("tool_use_id")?,
            content: source
                .with("content", |raw| content(raw, Level::Result))?
                .unwrap_or_default(),
            is_error: source.flag("is_error")?,
        },
        "tool_reference" => BlockKind::ToolReference {
            name: source.required_text("tool_name")?,
        },
        "thinking" => BlockKind::Thinking {
            text: source.text("thinking")?.unwrap_or_default(),
            signature: source.text("signature")?,
        },
        "redacted_thinking" => BlockKind::RedactedThinking {
            data: source.text("data")?.unwrap_or_default(),
        },
        "search_result" => BlockKind::SearchResult(Box::new(SearchResult {
            source: source.required_text("source")?,
            title: source.required_text("title")?,
            texts: source.list("content", |raw| Object::read(raw)?.required_text("text"))?,
            citations: citations(&source)?,
        })),
        "tool_addition" if level < Level::Document => {
            BlockKind::ToolChange(tool_change(&source, true)?)
        }
        "tool_removal" if level < Level::Document => {
            BlockKind::ToolChange(tool_change(&source, false)?)
        }
        "mid_conv_system" if level == Level::Message => BlockKind::MidConversationSystem {
            content: source
                .with("content", |raw| content(raw, Level::Result))?
                .ok_or_else(|| FieldError::required("content"))?,
        },
        "server_tool_use" | "mcp_tool_use" | "mcp_tool_result" | "container_upload"
        | "compaction" => BlockKind::Server { name },
        other if other.ends_with("_tool_result") => BlockKind::Server { name },
        _ => BlockKind::Unknown { name },
    };
    Ok(Block {
        cache: source.with("cache_control", cache_control)?,
        citations: match kind {
            BlockKind::Text(_) => source.get("citations").filter(|list| list.get() != "[]"),
            _ => None,
        },
        kind,
        source: raw,
    })
}

fn tool_change<'a>(block: &Object<'a>, addition: bool) -> Result<ToolChange<'a>, FieldError> {
    let read = |raw: &'a RawValue| {
        let target = Object::read(raw)?;
        Ok(match target.required_text("type")?.as_ref() {
            "tool_reference" if addition => ToolChange::Add(target.required_text("name")?),
            "tool_reference" => ToolChange::Remove(target.required_text("name")?),
            "tool_definition" if addition => {
                let definition = target
                    .with("definition", tool)?
                    .ok_or_else(|| FieldError::required("definition"))?;
                ToolChange::Define(Box::new(definition))
            }
            _ => ToolChange::Unknown { addition },
        })
    };
    block
        .with("tool", read)?
        .ok_or_else(|| FieldError::required("tool"))
}

/// Reads an input; `""` is treated as absent, which means a call without arguments.
fn tool_input(raw: &RawValue) -> Result<Option<&RawValue>, FieldError> {
    if raw.get() == "\"\"" {
        Ok(None)
    } else {
        json::opaque_object(raw).map(Some)
    }
}

fn image<'a>(block: &Object<'a>) -> Result<Image<'a>, FieldError> {
    let read = |raw| {
        let source = Object::read(raw)?;
        if source.required_text("type")? != "base64" {
            return Ok(Image::NotInline);
        }
        let format = match source.required_text("media_type")?.as_ref() {
            "image/png" => "png",
            "image/jpeg" | "image/jpg" => "jpeg",
            "image/gif" => "gif",
            "image/webp" => "webp",
            _ => {
                return Err(FieldError::new(
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
        .ok_or_else(|| FieldError::required("source"))
}

fn document<'a>(block: &Object<'a>) -> Result<DocumentSource<'a>, FieldError> {
    let read = |raw| {
        let source = Object::read(raw)?;
        Ok(match source.required_text("type")?.as_ref() {
            "base64" => match source.required_text("media_type")?.as_ref() {
                "application/pdf" => DocumentSource::Pdf(base64(&source)?),
                _ => {
                    return Err(
                        FieldError::new("Input should be 'application/pdf'").within("media_type")
                    );
                }
            },
            "text" => DocumentSource::Text(source.required_text("data")?),
            "content" => DocumentSource::Blocks(
                source
                    .with("content", |raw| content(raw, Level::Document))?
                    .ok_or_else(|| FieldError::required("content"))?,
            ),
            _ => DocumentSource::NotInline,
        })
    };
    block
        .with("source", read)?
        .ok_or_else(|| FieldError::required("source"))
}

/// `data` as strict base64: Bedrock refuses data URLs, line breaks and missing padding.
fn base64<'a>(source: &Object<'a>) -> Result<Cow<'a, str>, FieldError> {
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
        Err(FieldError::new("invalid base64 data").within("data"))
    }
}

fn citations(block: &Object<'_>) -> Result<bool, FieldError> {
    let citations = block.object("citations")?.unwrap_or_default();
    let enabled = citations
        .flag("enabled")
        .map_err(|error| error.within("citations"))?;
    Ok(enabled.unwrap_or(false))
}
