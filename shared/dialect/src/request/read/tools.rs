//! The tools of a request, `tool_choice` and `cache_control`, from JSON.

use serde_json::value::RawValue;

use crate::request::anthropic::{CacheControl, Tool, ToolChoice, ToolChoiceKind, ToolKind, Ttl};
use crate::request::json::{self, FieldError, Object};

pub(super) fn cache_control(raw: &RawValue) -> Result<CacheControl, FieldError> {
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

pub(super) fn tool(raw: &RawValue) -> Result<Tool<'_>, FieldError> {
    let source = Object::read(raw)?;
    let version = source.text("type")?.filter(|kind| kind != "custom");
    let kind = match version {
        None => ToolKind::Custom {
            description: source.text("description")?,
            schema: source
                .with("input_schema", json::opaque_object)?
                .ok_or_else(|| FieldError::required("input_schema"))?,
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

pub(super) fn tool_choice(raw: &RawValue) -> Result<ToolChoice<'_>, FieldError> {
    let object = Object::read(raw)?;
    let kind = match object.required_text("type")?.as_ref() {
        "auto" => ToolChoiceKind::Auto,
        "any" => ToolChoiceKind::Any,
        "none" => ToolChoiceKind::None,
        "tool" => ToolChoiceKind::Tool(object.required_text("name")?),
        _ => {
            return Err(
                FieldError::new("Input should be 'auto', 'any', 'tool' or 'none'").within("type"),
            );
        }
    };
    let disable_parallel = object.flag("disable_parallel_tool_use")?.unwrap_or(false);
    Ok(ToolChoice {
        kind,
        disable_parallel,
    })
}
