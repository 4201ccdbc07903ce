//! The request's settings, brought down to what the target model takes: thinking, effort,
//! sampling, output format and betas.

use serde::Serialize;
use serde_json::value::RawValue;

use super::anthropic::{
    MessagesRequest, Number, Role, ThinkingKind, effort_of_budget, requested_effort,
};
use super::json::Fault;
use super::terms::{TOOL_SEARCH_ALIAS, TOOL_SEARCH_BETA, Terms, Wire, invoke_edits};
use super::tools::Toolbox;
use super::turns::{self, Turn, is_blank};
use crate::Losses;
use crate::model::{Effort, ThinkingKinds, ThinkingOff};

/// Least thinking budget that any model takes.
const MIN_BUDGET: u64 = 1_024;
/// Bedrock takes no longer list.
const MAX_STOP_SEQUENCES: usize = 2_500;

const INTERLEAVED: &str = "interleaved-thinking-2025-05-14";
const CONTEXT_1M: &str = "context-1m-2025-08-07";
const FINE_GRAINED: &str = "fine-grained-tool-streaming-2025-05-14";
const EFFORT: &str = "effort-2025-11-24";
const DISPLAY_UPDATES: &str = "thinking-display-updates-2026-08-18";
const BLOCK_BINDING: &str = "thinking-binding-controls-2026-08-01";
const CONTEXT_MANAGEMENT: &str = "context-management-2025-06-27";
const COMPACT: &str = "compact-2026-01-12";

/// What goes beside the conversation and the tools.
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
    pub(super) context_edits: Vec<&'r RawValue>,
}

/// The schema that the answer must have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Format<'r> {
    pub(super) schema: &'r RawValue,
}

/// `thinking` as the target takes it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct ThinkingField<'r> {
    #[serde(flatten)]
    pub(super) kind: KindField,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) display: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) block_binding: Option<Binding<'r>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum KindField {
    Enabled { budget_tokens: u64 },
    Adaptive,
    BetweenTools,
    Disabled,
}

/// What becomes of earlier thinking that belongs to another conversation.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Binding<'r> {
    Asked(&'r RawValue),
    Ours {
        prefix_mismatch_behavior: &'static str,
    },
}

impl Options<'_> {
    /// Whether the model is asked to think.
    pub(super) fn thinks(&self) -> bool {
        self.thinking
            .as_ref()
            .is_some_and(|thinking| thinking.kind != KindField::Disabled)
    }
}

/// The settings of a request for an answer.
pub(super) fn options<'r>(
    request: &'r MessagesRequest<'_>,
    turns: &[Turn<'_>],
    terms: &Terms<'_>,
    losses: &mut Losses,
) -> Result<Options<'r>, Fault> {
    let asked = request
        .max_tokens
        .ok_or_else(|| Fault::required("max_tokens"))?;
    // Nothing fills only the cache at Bedrock: one token is the least there is.
    let max_tokens = asked.clamp(1, terms.capabilities.max_output);
    if max_tokens != asked {
        losses.add("max_tokens");
    }
    let wanted_effort = wanted_effort(request, losses);
    let plan = thinking_plan(request, wanted_effort, turns, max_tokens, terms, losses);
    let mut options = Options {
        max_tokens,
        thinking: thinking_field(request, plan.kind, turns, terms, losses),
        effort: effort(&plan, terms, losses),
        format: format(request, terms, losses)?,
        stop_sequences: stop_sequences(request, terms, losses),
        context_edits: context_edits(request, terms, losses),
        ..Options::default()
    };
    sampling(request, &mut options, terms, losses)?;
    Ok(options)
}

fn wanted_effort(request: &MessagesRequest<'_>, losses: &mut Losses) -> Option<Effort> {
    let name = requested_effort(request)?;
    let effort = Effort::read(name);
    if effort.is_none() {
        losses.add("output_config.effort");
    }
    effort
}

/// What is decided on thinking and effort, which can stand for each other.
struct ThinkingPlan {
    kind: Option<KindField>,
    effort: Option<Effort>,
}

fn thinking_plan(
    request: &MessagesRequest<'_>,
    effort: Option<Effort>,
    turns: &[Turn<'_>],
    max_tokens: u64,
    terms: &Terms<'_>,
    losses: &mut Losses,
) -> ThinkingPlan {
    let nothing = ThinkingPlan { kind: None, effort };
    let Some(asked) = request.thinking.as_ref().map(|thinking| thinking.kind) else {
        return nothing;
    };
    if terms.learned.field("thinking") {
        losses.add("thinking");
        return nothing;
    }
    if asked == ThinkingKind::Unknown {
        losses.add("thinking.type");
    }
    let capabilities = terms.capabilities;
    match (capabilities.thinking, asked) {
        (ThinkingKinds::Adaptive, ThinkingKind::Enabled { budget }) => {
            losses.add("thinking.budget_tokens");
            let effort = effort.or(Some(effort_of_budget(budget)));
            ThinkingPlan {
                kind: Some(KindField::Adaptive),
                effort,
            }
        }
        (
            ThinkingKinds::Adaptive | ThinkingKinds::Both,
            ThinkingKind::Adaptive | ThinkingKind::Unknown,
        ) => ThinkingPlan {
            kind: Some(KindField::Adaptive),
            effort,
        },
        (ThinkingKinds::Adaptive, ThinkingKind::Disabled | ThinkingKind::BetweenTools) => {
            let kind = match capabilities.thinking_off {
                ThinkingOff::BetweenTools => Some(KindField::BetweenTools),
                ThinkingOff::Disabled => Some(KindField::Disabled),
                ThinkingOff::Omit | ThinkingOff::AlwaysOn => None,
            };
            let exact = matches!(
                (asked, kind),
                (ThinkingKind::Disabled, Some(KindField::Disabled))
                    | (ThinkingKind::BetweenTools, Some(KindField::BetweenTools))
            );
            if !exact {
                losses.add("thinking.type");
            }
            ThinkingPlan { kind, effort }
        }
        (_, ThinkingKind::Disabled) => nothing,
        (ThinkingKinds::None, _)
        | (ThinkingKinds::Budget | ThinkingKinds::Both, ThinkingKind::BetweenTools) => {
            losses.add("thinking");
            nothing
        }
        (ThinkingKinds::Budget | ThinkingKinds::Both, ThinkingKind::Enabled { budget: asked }) => {
            let budget = asked.min(max_tokens.saturating_sub(1));
            if budget != asked {
                losses.add("thinking.budget_tokens");
            }
            ThinkingPlan {
                kind: budgeted(budget, turns, terms, losses),
                effort,
            }
        }
        (ThinkingKinds::Budget, ThinkingKind::Adaptive | ThinkingKind::Unknown) => {
            losses.add("thinking.adaptive");
            let budget = budget_of_effort(effort).min(max_tokens.saturating_sub(MIN_BUDGET));
            ThinkingPlan {
                kind: budgeted(budget, turns, terms, losses),
                effort: None,
            }
        }
    }
}

/// The budget that stands for a level on a model that has only budgets.
fn budget_of_effort(effort: Option<Effort>) -> u64 {
    match effort {
        Some(Effort::Low) => 4_096,
        Some(Effort::Medium) => 8_192,
        Some(Effort::High) | None => 16_384,
        Some(Effort::Xhigh) => 24_576,
        Some(Effort::Max) => 31_999,
    }
}

/// Thinking with a budget, where the model can begin it here.
fn budgeted(
    budget: u64,
    turns: &[Turn<'_>],
    terms: &Terms<'_>,
    losses: &mut Losses,
) -> Option<KindField> {
    let only_budgets = terms.capabilities.thinking == ThinkingKinds::Budget;
    let prefilled = turns
        .last()
        .is_some_and(|turn| turn.role == Role::Assistant);
    if budget < MIN_BUDGET
        || prefilled
        || (only_budgets && turns::loop_opens_without_thinking(turns))
    {
        losses.add("thinking");
        return None;
    }
    Some(KindField::Enabled {
        budget_tokens: budget,
    })
}

fn thinking_field<'r>(
    request: &'r MessagesRequest<'_>,
    kind: Option<KindField>,
    turns: &[Turn<'_>],
    terms: &Terms<'_>,
    losses: &mut Losses,
) -> Option<ThinkingField<'r>> {
    let asked = request.thinking.as_ref();
    let adaptive_only = terms.capabilities.thinking == ThinkingKinds::Adaptive;
    let thinks = kind.is_some_and(|kind| kind != KindField::Disabled);

    let display = asked
        .and_then(|thinking| thinking.display.as_deref())
        .filter(|display| {
            let known = match *display {
                "omitted" | "summarized" => true,
                "updates" => beta_goes(DISPLAY_UPDATES, request, terms),
                _ => false,
            };
            let goes = known && adaptive_only && thinks && !terms.learned.field("thinking.display");
            if !goes {
                losses.add("thinking.display");
            }
            goes
        });

    let binds = terms.capabilities.binds_thinking
        && kind != Some(KindField::Disabled)
        && turns::holds_thinking(turns)
        && !terms.learned.field("thinking")
        && !terms.learned.field("thinking.block_binding")
        && !terms.learned.beta(BLOCK_BINDING);
    let asked_binding = asked.and_then(|thinking| thinking.block_binding);
    let block_binding = match asked_binding {
        Some(binding) if binds => Some(Binding::Asked(binding)),
        None if binds => Some(Binding::Ours {
            prefix_mismatch_behavior: "drop_block",
        }),
        Some(_) => {
            losses.add("thinking.block_binding");
            None
        }
        None => None,
    };
    // Binding needs the object around it; a model that binds thinks in any case.
    let kind = kind.or(block_binding.is_some().then_some(KindField::Adaptive))?;
    Some(ThinkingField {
        kind,
        display,
        block_binding,
    })
}

/// The level for the target: the lowest of its own that is not below what was asked for, else its
/// highest.
fn effort(plan: &ThinkingPlan, terms: &Terms<'_>, losses: &mut Losses) -> Option<Effort> {
    let asked = plan.effort?;
    let refused = terms.learned.field("output_config.effort")
        || terms.learned.field("output_config")
        || (terms.capabilities.betas.effort && terms.learned.beta(EFFORT));
    let levels = if refused {
        &[]
    } else {
        terms.capabilities.efforts
    };
    let level = levels
        .iter()
        .find(|level| **level >= asked)
        .or(levels.last())
        .copied();
    if level != Some(asked) {
        losses.add("output_config.effort");
    }
    level
}

fn format<'r>(
    request: &'r MessagesRequest<'_>,
    terms: &Terms<'_>,
    losses: &mut Losses,
) -> Result<Option<Format<'r>>, Fault> {
    let Some(asked) = &request.format else {
        return Ok(None);
    };
    let at = |fault: Fault| fault.within("format").within("output_config");
    let schema = match asked.required_text("type").map_err(at)?.as_ref() {
        "json_schema" => asked
            .get("schema")
            .ok_or_else(|| at(Fault::required("schema")))?,
        _ => {
            losses.add("output_config.format");
            return Ok(None);
        }
    };
    let schema = super::json::opaque_object(schema).map_err(|fault| at(fault.within("schema")))?;
    let goes = terms.capabilities.structured_output
        && !terms.learned.field("output_config.format")
        && !terms.learned.field("output_config");
    if !goes {
        losses.add("output_config.format");
    }
    Ok(goes.then_some(Format { schema }))
}

fn stop_sequences<'r>(
    request: &'r MessagesRequest<'_>,
    terms: &Terms<'_>,
    losses: &mut Losses,
) -> Vec<&'r str> {
    let refused = terms.learned.field("stop_sequences");
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
    terms: &Terms<'_>,
    losses: &mut Losses,
) -> Result<(), Fault> {
    for (name, asked) in [
        ("temperature", request.temperature),
        ("top_p", request.top_p),
    ] {
        if asked.is_some_and(|number| !(0.0..=1.0).contains(&number.value)) {
            return Err(Fault::new("Input should be between 0 and 1").within(name));
        }
    }
    let thinks = options.thinks();
    let mut take = |name: &str, asked: Option<Number<'r>>, goes: bool| {
        let number = asked?;
        // With thinking only the model's own setting is taken: one.
        let kept = goes
            && terms.capabilities.sampling
            && (!thinks || (name != "top_k" && number.value >= 1.0))
            && !terms.learned.field(name);
        if !kept {
            losses.add(name);
        }
        kept.then_some(number.source)
    };
    options.temperature = take("temperature", request.temperature, true);
    // Claude 4.5 and later refuse the two together, and older ones advise against it.
    options.top_p = take("top_p", request.top_p, options.temperature.is_none());
    options.top_k = take("top_k", request.top_k, true);
    Ok(())
}

fn context_edits<'r>(
    request: &'r MessagesRequest<'_>,
    terms: &Terms<'_>,
    losses: &mut Losses,
) -> Vec<&'r RawValue> {
    let goes = |kind: &str| {
        terms.wire == Wire::Invoke
            && invoke_edits(kind)
            && !terms.learned.field("context_management")
            && !terms.learned.beta(CONTEXT_MANAGEMENT)
            && !(kind.starts_with("compact_") && terms.learned.beta(COMPACT))
    };
    let (kept, dropped): (Vec<_>, Vec<_>) = request
        .context_edits
        .iter()
        .partition(|edit| goes(&edit.kind));
    if !dropped.is_empty() {
        losses.add("context_management");
    }
    kept.into_iter().map(|edit| edit.source).collect()
}

fn beta_goes(name: &str, request: &MessagesRequest<'_>, terms: &Terms<'_>) -> bool {
    request.betas.iter().any(|beta| beta == name) && !terms.learned.beta(name)
}

/// The betas of the request that the target takes and this body needs, in the client's order,
/// then those that only we know it needs. One that is not known fails the whole request
/// ("invalid beta flag"), so nothing goes that is not named here.
///
/// Sources: `envoyproxy/ai-gateway` `internal/translator`, `BerriAI/litellm`
/// `anthropic_beta_headers_config.json`, `router-for-me/CLIProxyAPI#4750`.
pub(super) fn betas(
    request: &MessagesRequest<'_>,
    options: &Options<'_>,
    toolbox: &Toolbox<'_>,
    terms: &Terms<'_>,
    losses: &mut Losses,
) -> Vec<&'static str> {
    let of_model = terms.capabilities.betas;
    let has_tools = !toolbox.is_empty();
    let compacts = request.context_edits.iter().any(|edit| {
        edit.kind.starts_with("compact_")
            && options
                .context_edits
                .iter()
                .any(|kept| std::ptr::eq(*kept, edit.source))
    });
    let thinking = options.thinking.as_ref();
    let updates = thinking.is_some_and(|field| field.display == Some("updates"));
    let binds = thinking.is_some_and(|field| field.block_binding.is_some());
    let edits = !options.context_edits.is_empty();

    // (name, it may go, the body needs it even if the client did not ask)
    let known = [
        (
            INTERLEAVED,
            of_model.interleaved_thinking && options.thinks() && has_tools,
            false,
        ),
        (CONTEXT_1M, of_model.context_1m, terms.long_context),
        (
            FINE_GRAINED,
            of_model.fine_grained_tool_streaming && has_tools,
            false,
        ),
        (EFFORT, of_model.effort && options.effort.is_some(), true),
        (DISPLAY_UPDATES, updates, false),
        (BLOCK_BINDING, binds, true),
        (TOOL_SEARCH_BETA, terms.tool_search && has_tools, true),
        (
            CONTEXT_MANAGEMENT,
            edits || toolbox.betas.contains(&CONTEXT_MANAGEMENT),
            true,
        ),
        (COMPACT, compacts, true),
        (
            "computer-use-2025-01-24",
            toolbox.betas.contains(&"computer-use-2025-01-24"),
            true,
        ),
        (
            "computer-use-2025-11-24",
            toolbox.betas.contains(&"computer-use-2025-11-24"),
            true,
        ),
    ];
    let mut sent: Vec<&'static str> = Vec::new();
    for asked in &request.betas {
        let name = if asked == TOOL_SEARCH_ALIAS {
            TOOL_SEARCH_BETA
        } else {
            asked.as_ref()
        };
        match known
            .iter()
            .find(|(known, goes, _)| *known == name && *goes)
        {
            Some((known, _, _)) if !terms.learned.beta(known) => {
                if !sent.contains(known) {
                    sent.push(known);
                }
            }
            _ => losses.add(format!("beta:{}", super::token(asked))),
        }
    }
    for (name, goes, needed) in known {
        if goes && needed && !sent.contains(&name) && !terms.learned.beta(name) {
            sent.push(name);
        }
    }
    sent
}

/// Records the fields that have no place at Bedrock at all.
pub(super) fn record_ignored(
    request: &MessagesRequest<'_>,
    terms: &Terms<'_>,
    losses: &mut Losses,
) {
    /// A client's nonsense must not become an endless header.
    const MOST: usize = 24;
    for name in request.ignored.iter().take(MOST) {
        losses.add(super::token(name));
    }
    if request.safeguards {
        losses.add("safeguards");
    }
    if request.user_id.is_some() && terms.wire == Wire::Converse {
        losses.add("metadata.user_id");
    }
}

/// The user id as `InvokeModel` takes it.
pub(super) fn metadata<'r>(
    request: &'r MessagesRequest<'_>,
    terms: &Terms<'_>,
    losses: &mut Losses,
) -> Option<&'r RawValue> {
    let user_id = request.user_id?;
    if terms.learned.field("metadata") {
        losses.add("metadata.user_id");
        return None;
    }
    Some(user_id)
}
