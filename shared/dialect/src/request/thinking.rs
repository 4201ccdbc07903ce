//! Thinking and effort, in the form that the target accepts.
//!
//! Some models have a thinking budget, some levels of effort, and some always think. The requested
//! form is converted to that of the target. The budgets of the levels are Spillway's choice.

use serde::Serialize;
use serde_json::value::RawValue;

use super::anthropic::{MessagesRequest, Role, ThinkingKind, requested_effort};
use super::beta_names;
use super::context::TranslationContext;
use super::turns::{self, Turn};
use crate::Losses;
use crate::model::{Effort, ThinkingKinds, ThinkingOff};

/// Minimum thinking budget of all models, in tokens.
const MIN_BUDGET: u64 = 1_024;

/// `thinking` in the form of the target.
#[derive(Clone, Debug, Serialize)]
pub(super) struct ThinkingField<'r> {
    #[serde(flatten)]
    pub(super) kind: ThinkingMode,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) display: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) block_binding: Option<BlockBinding<'r>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ThinkingMode {
    Enabled { budget_tokens: u64 },
    Adaptive,
    BetweenTools,
    Disabled,
}

/// `block_binding`: what the model does with thinking blocks of another conversation.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(super) enum BlockBinding<'r> {
    Requested(&'r RawValue),
    Default {
        prefix_mismatch_behavior: &'static str,
    },
}

/// Decides `thinking` and `output_config.effort` for the target.
pub(super) fn thinking_and_effort<'r>(
    request: &'r MessagesRequest<'_>,
    turns: &[Turn<'_>],
    max_tokens: u64,
    context: &TranslationContext<'_>,
    losses: &mut Losses,
) -> (Option<ThinkingField<'r>>, Option<Effort>) {
    let requested = read_effort(request, losses);
    let decision = decide_thinking(request, requested, turns, max_tokens, context, losses);
    let field = field(request, decision.kind, turns, context, losses);
    (field, effort(&decision, context, losses))
}

fn read_effort(request: &MessagesRequest<'_>, losses: &mut Losses) -> Option<Effort> {
    let name = requested_effort(request)?;
    let effort = Effort::read(name);
    if effort.is_none() {
        losses.add("output_config.effort");
    }
    effort
}

/// The decision on thinking and effort, of which one can replace the other.
struct ThinkingDecision {
    kind: Option<ThinkingMode>,
    effort: Option<Effort>,
}

fn decide_thinking(
    request: &MessagesRequest<'_>,
    effort: Option<Effort>,
    turns: &[Turn<'_>],
    max_tokens: u64,
    context: &TranslationContext<'_>,
    losses: &mut Losses,
) -> ThinkingDecision {
    let nothing = ThinkingDecision { kind: None, effort };
    let Some(requested) = request.thinking.as_ref().map(|thinking| thinking.kind) else {
        return nothing;
    };
    if context.unsupported.has_field("thinking") {
        losses.add("thinking");
        return nothing;
    }
    if requested == ThinkingKind::Unknown {
        losses.add("thinking.type");
    }
    let capabilities = context.capabilities;
    match (capabilities.thinking, requested) {
        (ThinkingKinds::Adaptive, ThinkingKind::Enabled { budget }) => {
            losses.add("thinking.budget_tokens");
            let effort = effort.or(Some(effort_of_budget(budget)));
            ThinkingDecision {
                kind: Some(ThinkingMode::Adaptive),
                effort,
            }
        }
        (
            ThinkingKinds::Adaptive | ThinkingKinds::Both,
            ThinkingKind::Adaptive | ThinkingKind::Unknown,
        ) => ThinkingDecision {
            kind: Some(ThinkingMode::Adaptive),
            effort,
        },
        (ThinkingKinds::Adaptive, ThinkingKind::Disabled | ThinkingKind::BetweenTools) => {
            let kind = switched_off(capabilities.thinking_off, requested, losses);
            ThinkingDecision { kind, effort }
        }
        (_, ThinkingKind::Disabled) => nothing,
        (ThinkingKinds::None, _)
        | (ThinkingKinds::Budget | ThinkingKinds::Both, ThinkingKind::BetweenTools) => {
            losses.add("thinking");
            nothing
        }
        (
            ThinkingKinds::Budget | ThinkingKinds::Both,
            ThinkingKind::Enabled { budget: requested },
        ) => {
            let budget = requested.min(max_tokens.saturating_sub(1));
            if budget != requested {
                losses.add("thinking.budget_tokens");
            }
            ThinkingDecision {
                kind: budgeted(budget, turns, context, losses),
                effort,
            }
        }
        (ThinkingKinds::Budget, ThinkingKind::Adaptive | ThinkingKind::Unknown) => {
            losses.add("thinking.adaptive");
            let budget = budget_of_effort(effort).min(max_tokens.saturating_sub(MIN_BUDGET));
            ThinkingDecision {
                kind: budgeted(budget, turns, context, losses),
                effort: None,
            }
        }
    }
}

/// The value of `thinking` that switches it off on an adaptive model, as far as the model has one.
fn switched_off(
    off: ThinkingOff,
    requested: ThinkingKind,
    losses: &mut Losses,
) -> Option<ThinkingMode> {
    let kind = match off {
        ThinkingOff::BetweenTools => Some(ThinkingMode::BetweenTools),
        ThinkingOff::Disabled => Some(ThinkingMode::Disabled),
        ThinkingOff::Omit | ThinkingOff::AlwaysOn => None,
    };
    let exact = matches!(
        (requested, kind),
        (ThinkingKind::Disabled, Some(ThinkingMode::Disabled))
            | (ThinkingKind::BetweenTools, Some(ThinkingMode::BetweenTools))
    );
    if !exact {
        losses.add("thinking.type");
    }
    kind
}

/// The budget in place of a level of effort, for a model with budgets only.
fn budget_of_effort(effort: Option<Effort>) -> u64 {
    match effort {
        Some(Effort::Low) => 4_096,
        Some(Effort::Medium) => 8_192,
        Some(Effort::High) | None => 16_384,
        Some(Effort::Xhigh) => 24_576,
        Some(Effort::Max) => 31_999,
    }
}

/// Thinking with a budget, where the model can start to think at this point.
fn budgeted(
    budget: u64,
    turns: &[Turn<'_>],
    context: &TranslationContext<'_>,
    losses: &mut Losses,
) -> Option<ThinkingMode> {
    let only_budgets = context.capabilities.thinking == ThinkingKinds::Budget;
    let prefilled = turns
        .last()
        .is_some_and(|turn| turn.role == Role::Assistant);
    if budget < MIN_BUDGET
        || prefilled
        || (only_budgets && turns::tool_loop_starts_without_thinking(turns))
    {
        losses.add("thinking");
        return None;
    }
    Some(ThinkingMode::Enabled {
        budget_tokens: budget,
    })
}

fn field<'r>(
    request: &'r MessagesRequest<'_>,
    kind: Option<ThinkingMode>,
    turns: &[Turn<'_>],
    context: &TranslationContext<'_>,
    losses: &mut Losses,
) -> Option<ThinkingField<'r>> {
    let requested = request.thinking.as_ref();
    let adaptive_only = context.capabilities.thinking == ThinkingKinds::Adaptive;
    let thinks = kind.is_some_and(|kind| kind != ThinkingMode::Disabled);

    let display = requested
        .and_then(|thinking| thinking.display.as_deref())
        .filter(|display| {
            let known = match *display {
                "omitted" | "summarized" => true,
                "updates" => beta_names::is_allowed(
                    beta_names::DISPLAY_UPDATES,
                    request,
                    context.unsupported,
                ),
                _ => false,
            };
            let is_sent = known
                && adaptive_only
                && thinks
                && !context.unsupported.has_field("thinking.display");
            if !is_sent {
                losses.add("thinking.display");
            }
            is_sent
        });

    let binds = context.capabilities.binds_thinking
        && kind != Some(ThinkingMode::Disabled)
        && turns::holds_thinking(turns)
        && !context.unsupported.has_field("thinking")
        && !context.unsupported.has_field("thinking.block_binding")
        && !context.unsupported.has_beta(beta_names::BLOCK_BINDING);
    let requested_binding = requested.and_then(|thinking| thinking.block_binding);
    let block_binding = match requested_binding {
        Some(binding) if binds => Some(BlockBinding::Requested(binding)),
        None if binds => Some(BlockBinding::Default {
            prefix_mismatch_behavior: "drop_block",
        }),
        Some(_) => {
            losses.add("thinking.block_binding");
            None
        }
        None => None,
    };
    // `block_binding` needs a `thinking` object; a model that binds thinking always thinks.
    let kind = kind.or(block_binding.is_some().then_some(ThinkingMode::Adaptive))?;
    Some(ThinkingField {
        kind,
        display,
        block_binding,
    })
}

/// The level for the target: its highest level that is not above the requested level, because a
/// higher level costs more. If the requested level is below all of them, the lowest.
fn effort(
    decision: &ThinkingDecision,
    context: &TranslationContext<'_>,
    losses: &mut Losses,
) -> Option<Effort> {
    let requested = decision.effort?;
    let refused = context.unsupported.has_field("output_config.effort")
        || context.unsupported.has_field("output_config")
        || (context.capabilities.betas.effort && context.unsupported.has_beta(beta_names::EFFORT));
    let levels = if refused {
        &[]
    } else {
        context.capabilities.efforts
    };
    let thinking_off = matches!(
        decision.kind,
        Some(ThinkingMode::Disabled | ThinkingMode::BetweenTools)
    );
    let highest = context
        .capabilities
        .effort_without_thinking
        .filter(|_| thinking_off)
        .map_or(requested, |limit| limit.min(requested));
    let level = levels
        .iter()
        .rfind(|level| **level <= highest)
        .or(levels.first())
        .copied();
    if level != Some(requested) {
        losses.add("output_config.effort");
    }
    level
}

/// The level of effort in place of a budget, for a model without budgets.
fn effort_of_budget(budget: u64) -> Effort {
    match budget {
        24_576.. => Effort::Xhigh,
        8_192.. => Effort::High,
        4_096.. => Effort::Medium,
        _ => Effort::Low,
    }
}
