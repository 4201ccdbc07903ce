//! The parts of a request that a validation message refuses, and the requests to which the refusal
//! applies.
//!
//! The messages come from Anthropic's validator (`thinking.display: Extra inputs are not
//! permitted`), from Bedrock's JSON schema check (`#: extraneous key [context_management] is not
//! permitted`) and from AWS' own validation (`Value 'system' at 'messages.2.member.role' failed to
//! satisfy constraint`). Field paths appear with indexes and, for tools, with the member `custom`
//! in between.
//!
//! A message can quote the request. A part is left out of other requests too only if the **whole**
//! message has one of a few forms, in which every name is in a closed list.

use serde::Deserialize;

use super::cause::Cause;
use super::classification::cause;
use super::failure::BedrockFailure;
use super::message::{ErrorLocation, ErrorText, is_path_character, mentions, tokens};
use crate::UnsupportedFeature;

/// A part that the repaired request leaves out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// The part.
    pub part: UnsupportedFeature,
    /// The requests to which the refusal applies.
    pub scope: Scope,
}

/// The requests to which a refusal applies, if Bedrock accepts the repaired request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// This request only: its content or its combination of fields is refused.
    Request,
    /// Requests of the same AWS account to the same model.
    Account,
    /// All requests to the same model.
    Model,
}

/// The parts of the request that a failure refuses, for the one repaired call. Empty when the
/// message names no part that can be left out.
///
/// `sent_betas` are the betas of the refused request, see [`sent_betas`]. Errors from which Claude
/// Code recovers (too long, images) are not repaired here.
pub fn repairs(failure: &BedrockFailure<'_>, sent_betas: &[String]) -> Vec<Repair> {
    let BedrockFailure::ErrorResponse {
        status,
        code,
        message: Some(message),
        ..
    } = *failure
    else {
        return Vec::new();
    };
    let reason = ErrorText::read(message);
    let text = reason.text.as_str();
    // AWS sends this refusal as a missing permission.
    if mentions(text, &["did not allow prompt caching"]) {
        let scope = if text.starts_with(NO_PROMPT_CACHING) {
            Scope::Account
        } else {
            Scope::Request
        };
        return single_repair(UnsupportedFeature::CachePoints, scope);
    }
    if cause(&reason, status, code.unwrap_or_default()) != Cause::BadRequest {
        return Vec::new();
    }
    let location = ErrorLocation::from_text(text);
    if let ErrorLocation::Path(path) = location
        && has_member(path, "anthropic_beta")
    {
        return betas(text, sent_betas);
    }
    if let Some(part) = feature_unsupported_by_model(text) {
        return single_repair(part, Scope::Model);
    }
    if location == ErrorLocation::Schema {
        return Vec::new();
    }
    if let Some(part) = feature_in_text(text) {
        return single_repair(part, Scope::Request);
    }
    let field = match location {
        ErrorLocation::Messages | ErrorLocation::Schema => None,
        ErrorLocation::Path(path) => field_at(path),
        ErrorLocation::Unnamed if tokens(text).any(is_beta_word) => return betas(text, sent_betas),
        ErrorLocation::Unnamed => field_in_prose(text),
    };
    let part = field.map(|name| UnsupportedFeature::Field(name.to_owned()));
    part.map_or_else(Vec::new, |part| single_repair(part, Scope::Request))
}

fn single_repair(part: UnsupportedFeature, scope: Scope) -> Vec<Repair> {
    vec![Repair { part, scope }]
}

/// The betas that a translated request sends, from its body.
pub fn sent_betas(body: &[u8]) -> Vec<String> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Fields {
        anthropic_beta: Vec<String>,
    }
    /// `InvokeModel` has the list at the root, Converse among the additional fields.
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Body {
        anthropic_beta: Vec<String>,
        #[serde(rename = "additionalModelRequestFields")]
        additional: Fields,
    }
    let body: Body = serde_json::from_slice(body).unwrap_or_default();
    [body.anthropic_beta, body.additional.anthropic_beta].concat()
}

const NO_PROMPT_CACHING: &str =
    "you invoked an unsupported model or your request did not allow prompt caching";

/// The part that the model does not support in any request, by the message. `None` unless the whole
/// message has one of these forms, with a name in `FIELDS`:
///
/// - `NAME: Extra inputs are not permitted`
/// - `#: extraneous key [NAME] is not permitted`
/// - `NAME is not supported for this model` (`deprecated`; `by`, `on`)
/// - `This model does not support the NAME parameter`
fn feature_unsupported_by_model(text: &str) -> Option<UnsupportedFeature> {
    let text = text.trim_end_matches('.');
    let path = if let Some(path) = text.strip_suffix(": extra inputs are not permitted") {
        if let Some(location) = path.strip_suffix(".cache_control.ttl") {
            let is_ours = ["system.", "tools."]
                .iter()
                .any(|of| location.starts_with(of))
                && ErrorLocation::from_text(text) != ErrorLocation::Schema
                && location.chars().all(is_path_character);
            return is_ours.then_some(UnsupportedFeature::CacheTtl);
        }
        path
    } else if let Some(rest) = text
        .strip_prefix("malformed input request: ")
        .unwrap_or(text)
        .strip_prefix("#: extraneous key [")
    {
        rest.trim_end_matches(", please reformat your input and try again")
            .strip_suffix("] is not permitted")?
    } else if let Some(rest) = text.strip_prefix("this model does not support the ") {
        rest.strip_suffix(" parameter")?
    } else {
        let name = [" is not supported ", " is deprecated "]
            .iter()
            .find_map(|is| text.split_once(is))
            .filter(|(_, of)| {
                matches!(*of, "for this model" | "by this model" | "on this model")
            })?;
        name.0.trim_matches(['`', '"', '\''])
    };
    let path = tool_member(path).unwrap_or(path);
    let (_, name) = FIELDS.iter().find(|(spelling, _)| *spelling == path)?;
    Some(UnsupportedFeature::Field((*name).to_owned()))
}

fn is_beta_word(token: &str) -> bool {
    matches!(
        token,
        "beta" | "betas" | "anthropic-beta" | "anthropic_beta"
    )
}

/// Returns true when the path has a member of this name.
fn has_member(token: &str, name: &str) -> bool {
    token.split('.').any(|member| member == name)
}

/// The refused part, where it is more than one field.
fn feature_in_text(text: &str) -> Option<UnsupportedFeature> {
    let of_history = mentions(text, &["thinking", "reasoning"])
        && mentions(
            text,
            &[
                "signature",
                "cannot be modified",
                "bound to a different conversation",
            ],
        );
    let has = |name| tokens(text).any(|token| has_member(token, name));
    let of_role = has("role")
        && mentions(
            text,
            &[
                "input should be 'user' or 'assistant'",
                "unexpected role",
                "'system'",
            ],
        );
    let of_caching = has("cache_control")
        || has("cachepoint")
        || mentions(text, &["cache point", "prompt caching"]);
    let of_thinking = mentions(text, &["expected `thinking` or `redacted_thinking`"]);
    if of_history {
        Some(UnsupportedFeature::ThinkingHistory)
    } else if of_role {
        Some(UnsupportedFeature::SystemRole)
    } else if of_caching && has("ttl") {
        Some(UnsupportedFeature::CacheTtl)
    } else if of_caching {
        Some(UnsupportedFeature::CachePoints)
    } else if of_thinking {
        Some(UnsupportedFeature::Field("thinking".to_owned()))
    } else {
        None
    }
}

/// The refused betas: those of the sent betas that the message names. Bedrock's short message
/// (`invalid beta flag`) names none; then all sent betas, because each can be the refused one.
fn betas(text: &str, sent: &[String]) -> Vec<Repair> {
    let named: Vec<&str> = tokens(text).filter(|token| is_beta_name(token)).collect();
    let is_capability = matches!(
        text.trim_end_matches('.'),
        "invalid beta flag" | "anthropic_beta: extra inputs are not permitted"
    ) || (text.starts_with("unexpected value(s) `")
        && text.contains("` for the `anthropic-beta` header"));
    let scope = if is_capability {
        Scope::Account
    } else {
        Scope::Request
    };
    let beta = |name: &str| UnsupportedFeature::Beta(name.to_owned());
    if sent.is_empty() {
        // The sent betas are unknown: this request only.
        let all = UnsupportedFeature::Field("anthropic_beta".to_owned());
        return match named.as_slice() {
            [] => single_repair(all, Scope::Request),
            named => named
                .iter()
                .flat_map(|name| single_repair(beta(name), Scope::Request))
                .collect(),
        };
    }
    sent.iter()
        .filter(|name| named.is_empty() || named.contains(&name.as_str()))
        .flat_map(|name| single_repair(beta(name), scope))
        .collect()
}

fn is_beta_name(word: &str) -> bool {
    word.len() <= 64
        && word.contains('-')
        && word.bytes().any(|byte| byte.is_ascii_digit())
        && word
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
}

/// The fields that can be left out: each spelling, in lower case, and the name in [`UnsupportedFeature`]. Of
/// several names in a message the first of this list is the refused one: a message about
/// `temperature` may also mention thinking.
const FIELDS: &[(&str, &str)] = &[
    ("thinking.type", "thinking"),
    ("temperature", "temperature"),
    ("top_p", "top_p"),
    ("topp", "top_p"),
    ("top_k", "top_k"),
    ("topk", "top_k"),
    ("tool_choice", "tool_choice"),
    ("toolchoice", "tool_choice"),
    ("thinking.display", "thinking.display"),
    ("thinking.block_binding", "thinking.block_binding"),
    ("block_binding", "thinking.block_binding"),
    ("output_config.format", "output_config.format"),
    ("outputconfig.textformat", "output_config.format"),
    ("textformat", "output_config.format"),
    ("output_config.effort", "output_config.effort"),
    ("output_config", "output_config.effort"),
    ("effort", "output_config.effort"),
    ("context_management", "context_management"),
    ("tools.defer_loading", "tools.defer_loading"),
    ("defer_loading", "tools.defer_loading"),
    ("tools.strict", "tools.strict"),
    ("stop_sequences", "stop_sequences"),
    ("stopsequences", "stop_sequences"),
    (
        "additionalmodelresponsefieldpaths",
        "additionalModelResponseFieldPaths",
    ),
    ("requestmetadata", "metadata"),
    ("metadata", "metadata"),
    ("thinking", "thinking"),
    ("budget_tokens", "thinking"),
];

/// `tools.strict` for `tools.3.custom.strict`: a member of a tool.
fn tool_member(path: &str) -> Option<&'static str> {
    let rest = path.strip_prefix("toolconfig.").unwrap_or(path);
    let (index, rest) = rest.strip_prefix("tools.")?.split_once('.')?;
    let rest = rest.strip_prefix("member.").unwrap_or(rest);
    let name = ["custom.", "toolspec."]
        .iter()
        .find_map(|of| rest.strip_prefix(of))
        .unwrap_or(rest);
    let is_index = index.bytes().all(|byte| byte.is_ascii_digit());
    match name {
        "strict" if is_index => Some("tools.strict"),
        "defer_loading" if is_index => Some("tools.defer_loading"),
        _ => None,
    }
}

/// The field at a path, or the field that contains it.
fn field_at(path: &str) -> Option<&'static str> {
    const AROUND: &[&str] = &[
        "inferenceconfig.",
        "additionalmodelrequestfields.",
        "toolconfig.",
    ];
    if let Some(name) = tool_member(path) {
        return Some(name);
    }
    if path.starts_with("tools.") || path.starts_with("toolconfig.tools.") {
        return None;
    }
    let inner = AROUND.iter().find_map(|around| path.strip_prefix(around));
    let mut path = inner.unwrap_or(path).to_owned();
    // The validator adds the type of thinking to the path.
    for kind in ["enabled", "adaptive", "disabled", "between_tools"] {
        path = path.replace(&format!("thinking.{kind}."), "thinking.");
    }
    let mut at = path.as_str();
    loop {
        if let Some((_, name)) = FIELDS.iter().find(|(spelling, _)| *spelling == at) {
            return Some(name);
        }
        at = at.rsplit_once('.')?.0;
    }
}

/// The refused field of a message without a path.
fn field_in_prose(text: &str) -> Option<&'static str> {
    let is_named = |spelling: &str| {
        let mut tokens = tokens(text);
        tokens.any(|token| {
            let rest = token.strip_prefix(spelling);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    };
    if is_named("temperature") && (is_named("top_p") || is_named("topp")) {
        // The model accepts one of them: the temperature stays.
        return Some("top_p");
    }
    let named = FIELDS.iter().find(|(spelling, _)| is_named(spelling));
    named.map(|&(_, name)| name)
}
