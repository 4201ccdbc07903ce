//! The rules of a Messages API body, as Anthropic's API and `InvokeModel` check it
//! (<https://docs.claude.com/en/api/messages>). They are fewer than Converse's: they detect a history of one
//! service that the other would reject.

use serde_json::Value;

use super::content::{BILLING_HEADER, RuleViolation, is_name, without_result};
use super::model::{Capabilities, Parameters};
use crate::json::{at, elements, text};

/// The members of a Messages API body that `InvokeModel` accepts.
const INVOKE_FIELDS: [&str; 15] = [
    "anthropic_beta",
    "anthropic_version",
    "context_management",
    "max_tokens",
    "messages",
    "metadata",
    "output_config",
    "stop_sequences",
    "system",
    "temperature",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
    "top_p",
];

/// The betas that `InvokeModel` is known to reject.
const REFUSED_BETAS: [&str; 12] = [
    "afk-mode-2026-01-31",
    "code-execution-2025-05-22",
    "extended-cache-ttl-2025-04-11",
    "files-api-2025-04-14",
    "mid-conversation-tool-changes-2026-07-01",
    "oauth-2025-04-20",
    "per-turn-control-2026-07-01",
    "prompt-caching-2024-07-31",
    "prompt-caching-scope-2026-01-05",
    "redact-thinking-2026-02-12",
    "structured-outputs-2025-11-13",
    "structured-outputs-2025-12-15",
];

/// Checks a body for Anthropic's API.
pub(crate) fn check(body: &Value) -> Result<(), RuleViolation> {
    for required in ["model", "max_tokens", "messages"] {
        if body.get(required).is_none() {
            return RuleViolation::by_service(format!("{required}: Field required"));
        }
    }
    if at(body, "/max_tokens")
        .as_u64()
        .is_none_or(|tokens| tokens == 0)
    {
        return RuleViolation::by_service("max_tokens: Input should be greater than or equal to 1");
    }
    check_messages(body)
}

/// Checks a body for `InvokeModel`.
pub(crate) fn check_invoke(
    body: &Value,
    model: Option<&Capabilities>,
) -> Result<(), RuleViolation> {
    let Some(members) = body.as_object() else {
        return RuleViolation::by_service(
            "Malformed input request, please reformat your input and try again.",
        );
    };
    if let Some(unknown) = members
        .keys()
        .find(|name| !INVOKE_FIELDS.contains(&name.as_str()))
    {
        return RuleViolation::by_service(format!("{unknown}: Extra inputs are not permitted"));
    }
    if at(body, "/anthropic_version") != "bedrock-2023-05-31" {
        return RuleViolation::by_service(
            "Invalid API version: anthropic_version must be bedrock-2023-05-31",
        );
    }
    for required in ["max_tokens", "messages"] {
        if body.get(required).is_none() {
            return RuleViolation::by_service(format!("{required}: Field required"));
        }
    }
    let betas = elements(at(body, "/anthropic_beta"));
    if betas.iter().any(|beta| {
        beta.as_str()
            .is_none_or(|beta| REFUSED_BETAS.contains(&beta))
    }) {
        return RuleViolation::by_service("invalid beta flag");
    }
    let system = elements(at(body, "/system"))
        .iter()
        .filter_map(|block| text(block, "/text"));
    if system
        .chain(text(body, "/system"))
        .any(|text| text.starts_with(BILLING_HEADER))
    {
        return RuleViolation::by_service(format!(
            "{BILLING_HEADER} is a reserved keyword and may not be used in the system prompt."
        ));
    }
    let thinking = body.get("thinking");
    Parameters {
        max_tokens: at(body, "/max_tokens").as_u64(),
        thinking,
        effort: body.pointer("/output_config/effort"),
        temperature: at(body, "/temperature").as_f64(),
        top_p: at(body, "/top_p").as_f64(),
        top_k: body.get("top_k"),
        forced_tool: matches!(text(body, "/tool_choice/type"), Some("any" | "tool")),
        prefilled: elements(at(body, "/messages"))
            .last()
            .is_some_and(|message| at(message, "/role") == "assistant"),
        interleaved: betas
            .iter()
            .any(|beta| beta == "interleaved-thinking-2025-05-14"),
    }
    .check(model)?;
    if model.is_some_and(|model| !model.system_role) {
        let system = |message: &Value| at(message, "/role") == "system";
        if let Some(number) = elements(at(body, "/messages")).iter().position(system) {
            return RuleViolation::by_service(format!(
                "messages.{number}.role: Input should be 'user' or 'assistant'"
            ));
        }
    }
    check_messages(body)
}

fn check_messages(body: &Value) -> Result<(), RuleViolation> {
    let messages = elements(at(body, "/messages"));
    if messages
        .first()
        .is_none_or(|message| at(message, "/role") != "user")
    {
        return RuleViolation::by_service(if messages.is_empty() {
            "messages: at least one message is required"
        } else {
            "messages: first message must use the \"user\" role"
        });
    }
    let mut open: Vec<&str> = Vec::new();
    for (number, message) in messages.iter().enumerate() {
        let role = text(message, "/role").unwrap_or_default();
        if !["user", "assistant", "system"].contains(&role) {
            return RuleViolation::by_service(format!(
                "messages.{number}.role: Input should be 'user' or 'assistant'"
            ));
        }
        if text(message, "/content").is_some_and(|text| text.trim().is_empty()) {
            return RuleViolation::by_service(format!(
                "messages.{number}: text content blocks must contain non-whitespace text"
            ));
        }
        let blocks = elements(at(message, "/content"));
        for (place, block) in blocks.iter().enumerate() {
            check_block(
                block,
                role,
                &format!("messages.{number}.content.{place}"),
                &open,
            )?;
        }
        // A system message may come between a call and its results.
        if role == "system" {
            continue;
        }
        let answered: Vec<_> = ids(blocks, "tool_result", "tool_use_id");
        if let Some(missing) = without_result(&open, &answered) {
            return RuleViolation::by_service(format!(
                "messages.{number}: `tool_use` ids were found without `tool_result` blocks immediately \
                 after: {missing}. Each `tool_use` block must have a corresponding `tool_result` block in \
                 the next message."
            ));
        }
        open = ids(blocks, "tool_use", "id");
    }
    Ok(())
}

fn check_block(block: &Value, role: &str, place: &str, open: &[&str]) -> Result<(), RuleViolation> {
    match text(block, "/type") {
        Some("text") if text(block, "/text").is_none_or(|text| text.trim().is_empty()) => {
            RuleViolation::by_service(format!(
                "{place}: text content blocks must contain non-whitespace text"
            ))
        }
        Some("tool_use") => {
            if !text(block, "/id").is_some_and(|id| is_name(id, "")) {
                return RuleViolation::by_service(format!(
                    "{place}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'"
                ));
            }
            if !at(block, "/input").is_object() {
                return RuleViolation::by_service(format!(
                    "{place}.tool_use.input: Input should be a valid dictionary"
                ));
            }
            Ok(())
        }
        Some("tool_result") => {
            let id = text(block, "/tool_use_id").unwrap_or_default();
            if role == "user" && open.contains(&id) {
                return Ok(());
            }
            RuleViolation::by_service(format!(
                "{place}: unexpected `tool_use_id` found in `tool_result` blocks: {id}. Each \
                 `tool_result` block must have a corresponding `tool_use` block in the previous \
                 message."
            ))
        }
        Some("thinking") => {
            if text(block, "/signature").is_some_and(|signature| !signature.is_empty()) {
                return Ok(());
            }
            RuleViolation::by_service(format!("{place}.thinking.signature: Field required"))
        }
        Some(_) => Ok(()),
        None => RuleViolation::by_service(format!("{place}.type: Field required")),
    }
}

fn ids<'a>(blocks: &'a [Value], kind: &str, name: &str) -> Vec<&'a str> {
    let of_kind = blocks.iter().filter(|block| at(block, "/type") == kind);
    of_kind
        .filter_map(|block| block.get(name).and_then(Value::as_str))
        .collect()
}
