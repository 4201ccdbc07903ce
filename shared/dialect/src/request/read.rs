//! A Messages request, from JSON.

mod blocks;
mod tools;

use std::borrow::Cow;

use serde_json::value::RawValue;

use self::blocks::message_content;
use self::tools::{cache_control, tool, tool_choice};
use super::anthropic::{
    ContextEdit, Message, MessagesRequest, Number, Role, Thinking, ThinkingKind,
};
use super::error::TranslateError;
use super::json::{self, FieldError, Object};

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

impl<'a> MessagesRequest<'a> {
    /// Reads a request body and the values of its `anthropic-beta` headers (each may be a
    /// comma-separated list).
    ///
    /// # Errors
    ///
    /// [`TranslateError`] with status 413, and nothing read, when the body is larger than Bedrock takes;
    /// with status 400 when it is not a Messages request; the message has the wording and the path
    /// of Anthropic's API.
    pub fn parse<'b>(
        body: &'a [u8],
        anthropic_beta: impl Iterator<Item = &'b str>,
    ) -> Result<Self, TranslateError> {
        TranslateError::if_too_large(body.len())?;
        let object = Object::from_body(body).map_err(TranslateError::from)?;
        let mut request = self::request(&object).map_err(TranslateError::from)?;
        for name in anthropic_beta
            .flat_map(|value| value.split(','))
            .map(str::trim)
        {
            if !name.is_empty() {
                request.betas.push(Cow::Owned(name.to_owned()));
            }
        }
        Ok(request)
    }
}

/// Reads the outermost object of a request.
fn request<'a>(object: &Object<'a>) -> Result<MessagesRequest<'a>, FieldError> {
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
        .ok_or_else(|| FieldError::required("messages"))?;
    let messages = json::list(messages, |raw| message(raw, &mut ignored))
        .map_err(|error| error.within("messages"))?;
    let legacy_format = object.object("output_format")?;
    let thread = object
        .object("thread")?
        .map(|thread| thread.required_text("type"));
    let thread = thread.transpose().map_err(|error| error.within("thread"))?;
    Ok(MessagesRequest {
        model: object.required_text("model")?,
        max_tokens: object.whole_number("max_tokens")?,
        stream: object.flag("stream")?.unwrap_or(false),
        system: object.with("system", message_content)?.unwrap_or_default(),
        messages,
        tools: object.list("tools", tool)?,
        tool_choice: object.with("tool_choice", tool_choice)?,
        thinking: object.with("thinking", thinking)?,
        effort: output
            .text("effort")
            .map_err(|error| error.within("output_config"))?,
        format: output
            .object("format")
            .map_err(|error| error.within("output_config"))?
            .or(legacy_format),
        temperature: number(object, "temperature")?,
        top_p: number(object, "top_p")?,
        top_k: number(object, "top_k")?,
        stop_sequences: object.list("stop_sequences", json::text)?,
        cache: object.with("cache_control", cache_control)?,
        user_id: metadata.get("user_id"),
        context_edits: context
            .list("edits", context_edit)
            .map_err(|error| error.within("context_management"))?,
        safeguards: object.get("safeguards").is_some(),
        mcp_servers: object
            .get("mcp_servers")
            .is_some_and(|servers| servers.get() != "[]"),
        // `create` contains the whole conversation. Every other type is treated as `continue`,
        // which leaves a part of it on Anthropic's servers.
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

fn number<'a>(object: &Object<'a>, key: &str) -> Result<Option<Number<'a>>, FieldError> {
    object.with(key, |source| match source.get().parse() {
        Ok(value) if f64::is_finite(value) => Ok(Number { value, source }),
        _ => Err(FieldError::new("Input should be a valid number")),
    })
}

fn message<'a>(raw: &'a RawValue, ignored: &mut Vec<String>) -> Result<Message<'a>, FieldError> {
    let object = Object::read(raw)?;
    let role = match object.required_text("role")?.as_ref() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        _ => {
            return Err(FieldError::new("Input should be 'user' or 'assistant'").within("role"));
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
            .with("content", message_content)?
            .ok_or_else(|| FieldError::required("content"))?,
        effort: output
            .text("effort")
            .map_err(|error| error.within("output_config"))?,
    })
}

fn thinking(raw: &RawValue) -> Result<Thinking<'_>, FieldError> {
    let object = Object::read(raw)?;
    let kind = match object.required_text("type")?.as_ref() {
        "enabled" => ThinkingKind::Enabled {
            budget: object
                .whole_number("budget_tokens")?
                .ok_or_else(|| FieldError::required("budget_tokens"))?,
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

fn context_edit(source: &RawValue) -> Result<ContextEdit<'_>, FieldError> {
    let object = Object::read(source)?;
    Ok(ContextEdit {
        kind: object.required_text("type")?,
        source: json::opaque_object(source)?,
    })
}
