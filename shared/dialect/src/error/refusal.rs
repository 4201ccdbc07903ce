//! What a validation message says about the request: which part it names, and with which numbers.
//!
//! The texts come from Anthropic's validator (`thinking.display: Extra inputs are not permitted`),
//! from Bedrock's JSON schema check (`#: extraneous key [context_management] is not permitted`) and
//! from AWS' own validation (`Value 'system' at 'messages.2.member.role' failed to satisfy
//! constraint`). Field paths appear with indexes and, for tools, with the member `custom` in between.

use super::{BedrockFailure, Cause, cause, mentions};
use crate::Refused;

/// What a validation error says the target does not take, so that the one repair can leave out
/// exactly that. Empty when the message names nothing that can be left out.
///
/// Messages that Claude Code recovers from by itself (too long, images) are never repaired here.
pub fn refused(failure: &BedrockFailure<'_>) -> Vec<Refused> {
    let BedrockFailure::Answered {
        status,
        code,
        message: Some(message),
        ..
    } = *failure
    else {
        return Vec::new();
    };
    let text = message.to_ascii_lowercase();
    // The one refusal that AWS dresses as a missing right.
    if mentions(&text, &["did not allow prompt caching"]) {
        return vec![Refused::CachePoints];
    }
    if cause(status, code.unwrap_or_default(), message) != Cause::Refused {
        return Vec::new();
    }
    if let Some(refused) = whole_parts(&text) {
        return vec![refused];
    }
    if mentions(&text, &["beta"]) {
        return betas(message);
    }
    field(&text)
        .map(|name| Refused::Field(name.to_owned()))
        .into_iter()
        .collect()
}

/// Refusals that mean more than one field.
fn whole_parts(text: &str) -> Option<Refused> {
    let of_history = mentions(text, &["thinking", "reasoning"])
        && mentions(
            text,
            &[
                "signature",
                "cannot be modified",
                "bound to a different conversation",
            ],
        );
    let of_role = text.contains("role")
        && mentions(
            text,
            &[
                "input should be 'user' or 'assistant'",
                "unexpected role",
                "'system'",
            ],
        );
    let of_caching = mentions(
        text,
        &[
            "cache_control",
            "cachepoint",
            "cache point",
            "prompt caching",
        ],
    );
    if of_history {
        Some(Refused::ThinkingHistory)
    } else if of_role {
        Some(Refused::SystemRole)
    } else if of_caching {
        Some(if text.contains("ttl") {
            Refused::CacheTtl
        } else {
            Refused::CachePoints
        })
    } else {
        None
    }
}

/// The betas that a message names. Bedrock's short text (`invalid beta flag`) names none: then it
/// is the whole list, because any of them could be the one.
fn betas(message: &str) -> Vec<Refused> {
    let is_beta = |word: &&str| {
        word.len() <= 64
            && word.contains('-')
            && word.bytes().any(|byte| byte.is_ascii_digit())
            && word
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
    };
    let named: Vec<Refused> = message
        .split(|c: char| c.is_whitespace() || "`'\",;:()[]".contains(c))
        .map(|word| word.trim_end_matches('.'))
        .filter(is_beta)
        .map(|word| Refused::Beta(word.to_owned()))
        .collect();
    if named.is_empty() {
        vec![Refused::Field("anthropic_beta".to_owned())]
    } else {
        named
    }
}

/// What a message about a droppable field holds, and the field. Order matters: a message about
/// `temperature` may also say that thinking is on.
const FIELDS: &[(&[&str], &str)] = &[
    (&["thinking.type"], "thinking"),
    (&["temperature"], "temperature"),
    (&["top_p", "topp"], "top_p"),
    (&["top_k"], "top_k"),
    (&["tool_choice", "toolchoice"], "tool_choice"),
    (&["thinking.display"], "thinking.display"),
    (&["block_binding"], "thinking.block_binding"),
    (
        &["output_config.format", "textformat"],
        "output_config.format",
    ),
    (&["effort", "output_config"], "output_config.effort"),
    (&["context_management"], "context_management"),
    (&["defer_loading"], "tools.defer_loading"),
    (&["strict"], "tools.strict"),
    (&["stop_sequences", "stopsequences"], "stop_sequences"),
    (
        &["additionalmodelresponsefieldpaths"],
        "additionalModelResponseFieldPaths",
    ),
    (&["requestmetadata"], "metadata"),
    (&["thinking", "budget_tokens"], "thinking"),
];

/// The droppable field that a message is about.
fn field(text: &str) -> Option<&'static str> {
    if text.contains("temperature") && mentions(text, &["top_p", "topp"]) {
        // Only one of them may stand: the temperature stays.
        return Some("top_p");
    }
    FIELDS
        .iter()
        .find(|(words, _)| mentions(text, words))
        .map(|&(_, name)| name)
}

/// The exact wording of Anthropic's own API for a refusal that has numbers: Claude Code computes
/// with them. Only a text of exactly that form is taken, so that nothing else slips through.
pub(super) fn with_numbers(cause: Cause, message: &str) -> Option<String> {
    let message = message.to_ascii_lowercase();
    match cause {
        Cause::PromptTooLong => {
            let (_, rest) = message.split_once("prompt is too long: ")?;
            let (tokens, rest) = count(rest)?;
            let (maximum, rest) = count(rest.strip_prefix(" tokens > ")?)?;
            rest.strip_prefix(" maximum")?;
            Some(format!(
                "prompt is too long: {tokens} tokens > {maximum} maximum"
            ))
        }
        Cause::ContextOverflow => {
            let (_, rest) = message.split_once("exceed context limit: ")?;
            let (input, rest) = count(rest)?;
            let (output, rest) = count(rest.strip_prefix(" + ")?)?;
            let (limit, _) = count(rest.strip_prefix(" > ")?)?;
            Some(format!(
                "input length and `max_tokens` exceed context limit: {input} + {output} > {limit}, \
                 decrease input length or `max_tokens` and try again"
            ))
        }
        _ => None,
    }
}

/// The number that a text begins with, and what follows it. Token counts have less than ten digits.
fn count(text: &str) -> Option<(u32, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    Some((
        digits.parse().ok().filter(|count| *count < 1_000_000_000)?,
        rest,
    ))
}
