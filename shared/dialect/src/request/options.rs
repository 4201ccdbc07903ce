//! The settings of a request, reduced to what the target accepts: sampling, output format, stop
//! sequences and context edits.

use serde_json::value::RawValue;

use super::anthropic::{ContextEdit, MessagesRequest, Number, is_blank};
use super::beta_names;
use super::context::{Api, TranslationContext, invoke_edits};
use super::json::{self, FieldError};
use super::thinking::{self, ThinkingField, ThinkingMode};
use super::turns::Turn;
use crate::Losses;
use crate::model::Effort;

/// Maximum number of stop sequences at Bedrock.
const MAX_STOP_SEQUENCES: usize = 2_500;

/// The settings of a request, apart from the conversation and the tools.
#[derive(Debug, Default)]
pub(super) struct Options<'r> {
    pub(super) max_tokens: u64,
    pub(super) temperature: Option<&'r RawValue>,
    pub(super) top_p: Option<&'r RawValue>,
    pub(super) top_k: Option<&'r RawValue>,
    pub(super) stop_sequences: Vec<&'r str>,
    pub(super) thinking: Option<ThinkingField<'r>>,
    pub(super) effort: Option<Effort>,
    pub(super) format: Option<Format<'r>>,
    /// An instruction in place of the format, for a target without formats.
    pub(super) format_instruction: Option<String>,
    pub(super) context_edits: Vec<&'r ContextEdit<'r>>,
}

/// The JSON schema of the response.
#[derive(Clone, Copy, Debug)]
pub(super) struct Format<'r> {
    pub(super) schema: &'r RawValue,
}

impl Options<'_> {
    /// Returns true when the request switches thinking on.
    pub(super) fn thinks(&self) -> bool {
        self.thinking
            .as_ref()
            .is_some_and(|thinking| thinking.kind != ThinkingMode::Disabled)
    }
}

/// The settings of a request for a message.
pub(super) fn options<'r>(
    request: &'r MessagesRequest<'_>,
    turns: &[Turn<'_>],
    context: &TranslationContext<'_>,
    losses: &mut Losses,
) -> Result<Options<'r>, FieldError> {
    let requested = request
        .max_tokens
        .ok_or_else(|| FieldError::required("max_tokens"))?;
    // Bedrock requires at least one token; a request that only fills the cache is not supported.
    let max_tokens = requested.clamp(1, context.capabilities.max_output);
    if max_tokens != requested {
        losses.add("max_tokens");
    }
    let (thinking, effort) =
        thinking::thinking_and_effort(request, turns, max_tokens, context, losses);
    let (format, format_instruction) = format(request, context, losses)?;
    let mut options = Options {
        max_tokens,
        thinking,
        effort,
        format,
        format_instruction,
        stop_sequences: stop_sequences(request, context, losses),
        context_edits: context_edits(request, context, losses),
        ..Options::default()
    };
    sampling(request, &mut options, context, losses)?;
    Ok(options)
}

/// The format where the target accepts it, else an instruction in its place. An instruction binds
/// the model less and is therefore a loss; AWS's samples for Claude Opus 5 recommend it. A forced
/// tool would bind the model more, but excludes thinking and other tools.
fn format<'r>(
    request: &'r MessagesRequest<'_>,
    context: &TranslationContext<'_>,
    losses: &mut Losses,
) -> Result<(Option<Format<'r>>, Option<String>), FieldError> {
    let Some(requested) = &request.format else {
        return Ok((None, None));
    };
    let at = |error: FieldError| error.within("format").within("output_config");
    if requested.required_text("type").map_err(at)? != "json_schema" {
        losses.add("output_config.format");
        return Ok((None, None));
    }
    let schema = requested
        .get("schema")
        .ok_or_else(|| at(FieldError::required("schema")))?;
    let schema = json::opaque_object(schema).map_err(|error| at(error.within("schema")))?;
    let is_sent = context.capabilities.structured_output
        && !context.unsupported.has_field("output_config.format")
        && !context.unsupported.has_field("output_config");
    if is_sent {
        return Ok((Some(Format { schema }), None));
    }
    losses.add("output_config.format");
    let instruction = format!(
        "Answer with one JSON value that fits this JSON schema, without any other text and without \
         a code fence:\n{schema}"
    );
    Ok((None, Some(instruction)))
}

fn stop_sequences<'r>(
    request: &'r MessagesRequest<'_>,
    context: &TranslationContext<'_>,
    losses: &mut Losses,
) -> Vec<&'r str> {
    let refused = context.unsupported.has_field("stop_sequences");
    let kept: Vec<_> = request
        .stop_sequences
        .iter()
        .map(AsRef::as_ref)
        .filter(|text| !refused && !is_blank(text))
        .take(MAX_STOP_SEQUENCES)
        .collect();
    if kept.len() != request.stop_sequences.len() {
        losses.add("stop_sequences");
    }
    kept
}

fn sampling<'r>(
    request: &'r MessagesRequest<'_>,
    options: &mut Options<'r>,
    context: &TranslationContext<'_>,
    losses: &mut Losses,
) -> Result<(), FieldError> {
    for (name, requested) in [
        ("temperature", request.temperature),
        ("top_p", request.top_p),
    ] {
        if requested.is_some_and(|number| !(0.0..=1.0).contains(&number.value)) {
            return Err(FieldError::new("Input should be between 0 and 1").within(name));
        }
    }
    let thinks = options.thinks();
    let mut take = |name: &str, requested: Option<Number<'r>>, is_sent: bool| {
        let number = requested?;
        // With thinking the model accepts only its default: one.
        let kept = is_sent
            && context.capabilities.sampling
            && (!thinks || (name != "top_k" && number.value >= 1.0))
            && !context.unsupported.has_field(name);
        if !kept {
            losses.add(name);
        }
        kept.then_some(number.source)
    };
    options.temperature = take("temperature", request.temperature, true);
    // Claude 4.5 and later refuse both together; Anthropic advises against it for older models.
    options.top_p = take("top_p", request.top_p, options.temperature.is_none());
    options.top_k = take("top_k", request.top_k, true);
    Ok(())
}

fn context_edits<'r>(
    request: &'r MessagesRequest<'_>,
    context: &TranslationContext<'_>,
    losses: &mut Losses,
) -> Vec<&'r ContextEdit<'r>> {
    let is_sent = |kind: &str| {
        context.api == Api::Invoke
            && invoke_edits(kind)
            && !context.unsupported.has_field("context_management")
            && !context.unsupported.has_beta(beta_names::CONTEXT_MANAGEMENT)
            && !(kind.starts_with("compact_") && context.unsupported.has_beta(beta_names::COMPACT))
    };
    let (kept, dropped): (Vec<_>, Vec<_>) = request
        .context_edits
        .iter()
        .partition(|edit| is_sent(&edit.kind));
    if !dropped.is_empty() {
        losses.add("context_management");
    }
    kept
}

/// Records the fields that Bedrock does not support.
pub(super) fn record_ignored(
    request: &MessagesRequest<'_>,
    context: &TranslationContext<'_>,
    losses: &mut Losses,
) {
    for name in &request.ignored {
        losses.add(name);
    }
    if request.safeguards {
        losses.add("safeguards");
    }
    if request.user_id.is_some() && context.api == Api::Converse {
        losses.add("metadata.user_id");
    }
}

/// `metadata.user_id`, which only `InvokeModel` supports.
pub(super) fn metadata<'r>(
    request: &'r MessagesRequest<'_>,
    context: &TranslationContext<'_>,
    losses: &mut Losses,
) -> Option<&'r RawValue> {
    let user_id = request.user_id?;
    if context.unsupported.has_field("metadata") {
        losses.add("metadata.user_id");
        return None;
    }
    Some(user_id)
}
