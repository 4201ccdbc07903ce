//! Thinking and effort, in the kind that the target knows.
//!
//! Some models think by a budget, some by a level of effort, some always. What the client asked for
//! is said in the target's words; the numbers that stand for levels are ours.

use serde::Serialize;
use serde_json::value::RawValue;

use super::anthropic::{MessagesRequest, Role, ThinkingKind, requested_effort};
use super::beta_names;
use super::context::TranslationContext;
use super::turns::{self, Turn};
use crate::Losses;
use crate::model::{Effort, ThinkingKinds, ThinkingOff};

/// Least thinking budget that any model takes.
const MIN_BUDGET: u64 = 1_024;

/// `thinking` as the target takes it.
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

/// What becomes of earlier thinking that belongs to another conversation.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(super) enum BlockBinding<'r> {
    Requested(&'r RawValue),
    Default {
        prefix_mismatch_behavior: &'static str,
    },
}

/// What the target is told about thinking and effort.
pub(super) fn thinking_and_effort<'r>(
    request: &'r MessagesRequest<'_>,
    turns: &[Turn<'_>],
    max_tokens: u64,
    context: &TranslationContext<'_>,
    losses: &mut Losses,
) -> (Option<ThinkingField<'r>>, Option<Effort>) {
    let asked = read_effort(request, losses);
    let decision = decide_thinking(request, asked, turns, max_tokens, context, losses);
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

/// What is decided on thinking and effort, which can stand for each other.
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
    let Some(asked) = request.thinking.as_ref().map(|thinking| thinking.kind) else {
        return nothing;
    };
    if context.learned.field("thinking") {
        losses.add("thinking");
        return nothing;
    }
    if asked == ThinkingKind::Unknown {
        losses.add("thinking.type");
    }
    let capabilities = context.capabilities;
    match (capabilities.thinking, asked) {
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
            let kind = match capabilities.thinking_off {
                ThinkingOff::BetweenTools => Some(ThinkingMode::BetweenTools),
                ThinkingOff::Disabled => Some(ThinkingMode::Disabled),
                ThinkingOff::Omit | ThinkingOff::AlwaysOn => None,
            };
            let exact = matches!(
                (asked, kind),
                (ThinkingKind::Disabled, Some(ThinkingMode::Disabled))
                    | (ThinkingKind::BetweenTools, Some(ThinkingMode::BetweenTools))
            );
            if !exact {
                losses.add("thinking.type");
            }
            ThinkingDecision { kind, effort }
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
    let asked = request.thinking.as_ref();
    let adaptive_only = context.capabilities.thinking == ThinkingKinds::Adaptive;
    let thinks = kind.is_some_and(|kind| kind != ThinkingMode::Disabled);

    let display = asked
        .and_then(|thinking| thinking.display.as_deref())
        .filter(|display| {
            let known = match *display {
                "omitted" | "summarized" => true,
                "updates" => {
                    beta_names::may_go(beta_names::DISPLAY_UPDATES, request, context.learned)
                }
                _ => false,
            };
            let goes =
                known && adaptive_only && thinks && !context.learned.field("thinking.display");
            if !goes {
                losses.add("thinking.display");
            }
            goes
        });

    let binds = context.capabilities.binds_thinking
        && kind != Some(ThinkingMode::Disabled)
        && turns::holds_thinking(turns)
        && !context.learned.field("thinking")
        && !context.learned.field("thinking.block_binding")
        && !context.learned.beta(beta_names::BLOCK_BINDING);
    let requested_binding = asked.and_then(|thinking| thinking.block_binding);
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
    // `block_binding` needs the object around it; a model that binds thinks in any case.
    let kind = kind.or(block_binding.is_some().then_some(ThinkingMode::Adaptive))?;
    Some(ThinkingField {
        kind,
        display,
        block_binding,
    })
}

/// The level for the target: the highest of its own that is not above what was asked for, so that
/// nobody pays for more. Below all of them there is nothing to choose but the lowest.
fn effort(
    decision: &ThinkingDecision,
    context: &TranslationContext<'_>,
    losses: &mut Losses,
) -> Option<Effort> {
    let asked = decision.effort?;
    let refused = context.learned.field("output_config.effort")
        || context.learned.field("output_config")
        || (context.capabilities.betas.effort && context.learned.beta(beta_names::EFFORT));
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
        .map_or(asked, |limit| limit.min(asked));
    let level = levels
        .iter()
        .rfind(|level| **level <= highest)
        .or(levels.first())
        .copied();
    if level != Some(asked) {
        losses.add("output_config.effort");
    }
    level
}

/// The level behind a budget, for a model that knows no budgets.
fn effort_of_budget(budget: u64) -> Effort {
    match budget {
        24_576.. => Effort::Xhigh,
        8_192.. => Effort::High,
        4_096.. => Effort::Medium,
        _ => Effort::Low,
    }
}
