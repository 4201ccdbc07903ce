//! What a model can take: the columns of the capability table.

/// How a model takes `thinking`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThinkingKinds {
    /// It does not think, or it is not known whether it does: nothing is sent.
    None,
    /// `enabled` with a token budget.
    Budget,
    /// `enabled` and `adaptive`.
    Both,
    /// `adaptive` only; a budget is refused.
    Adaptive,
}

/// What to send when the client asks for no thinking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThinkingOff {
    /// Nothing: the model only thinks when it is asked to.
    Omit,
    /// `{"type":"disabled"}`: without it the model thinks by itself.
    Disabled,
    /// `{"type":"between_tools"}`: the least thinking this model has.
    BetweenTools,
    /// Nothing: the model always thinks, and refuses to be told otherwise.
    AlwaysOn,
}

/// A level of `output_config.effort`, in ascending order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effort {
    /// `low`.
    Low,
    /// `medium`.
    Medium,
    /// `high`.
    High,
    /// `xhigh`.
    Xhigh,
    /// `max`.
    Max,
}

impl Effort {
    /// The level of that name on the wire.
    pub fn read(name: &str) -> Option<Self> {
        Some(match name {
            "low" => Self::Low,
            "medium" => Self::Medium,
            "high" => Self::High,
            "xhigh" => Self::Xhigh,
            "max" => Self::Max,
            _ => return None,
        })
    }

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Xhigh => "xhigh",
            Self::Max => "max",
        }
    }
}

/// Whether `tool_choice` may force a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForcedTool {
    /// Always.
    Yes,
    /// Only while the request asks for no thinking.
    WithoutThinking,
    /// Never: the model always thinks.
    No,
}

/// What a model can take. All that the request translation knows of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one independent column of the table"
)]
pub struct Capabilities {
    /// Most output tokens; also the limit of a thinking budget.
    pub max_output: u64,
    /// Context window in tokens, without betas.
    pub context: u64,
    /// Kinds of `thinking`.
    pub thinking: ThinkingKinds,
    /// How thinking is switched off.
    pub thinking_off: ThinkingOff,
    /// Whether earlier thinking is bound to the conversation it was made in, so that a changed
    /// prefix is refused unless the request asks for the block to be dropped.
    pub binds_thinking: bool,
    /// Levels of effort, ascending; empty when the model refuses the field.
    pub efforts: &'static [Effort],
    /// The highest level that goes along with thinking switched off, where that is not the highest
    /// of all: the model refuses the pair.
    pub effort_without_thinking: Option<Effort>,
    /// Whether `temperature`, `top_p` and `top_k` are taken.
    pub sampling: bool,
    /// Whether the conversation may end in an assistant message.
    pub prefill: bool,
    /// Whether a tool may be forced.
    pub forced_tool: ForcedTool,
    /// Whether cache points may carry `ttl`.
    pub cache_ttl: bool,
    /// Whether an output format (JSON schema) and `strict` tools are taken. Recorded refusals
    /// (`output_config.format: Extra inputs are not permitted`, 2026): Opus 4.7, 4.8 and 5 and
    /// Sonnet 5. For the 5.5 models and Fable no answer of AWS is recorded; the model map of
    /// `BerriAI/litellm` says yes for some, so that false is the careful reading.
    pub structured_output: bool,
    /// Whether `role: system` messages inside the conversation are taken by `InvokeModel`.
    pub native_system_role: bool,
    /// Whether tool search (`defer_loading`, `tool_reference`) is taken by `InvokeModel`.
    pub tool_search: bool,
    /// Whether `tool_addition` and `tool_removal` are taken by `InvokeModel`. Anthropic's pages name
    /// Bedrock for Opus 5; no answer of `InvokeModel` is recorded, and a refusal is repaired. No
    /// model takes them by Converse ("doesn't support the toolRemoval field", measured in 2026-09).
    pub tool_changes: bool,
    /// Whether `CountTokens` works for it.
    pub count_tokens: bool,
    /// Betas that only some models take.
    pub betas: Betas,
}

/// The betas whose acceptance differs between models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one independent column of the table"
)]
pub struct Betas {
    /// `interleaved-thinking-2025-05-14`.
    pub interleaved_thinking: bool,
    /// `context-1m-2025-08-07`.
    pub context_1m: bool,
    /// `fine-grained-tool-streaming-2025-05-14`.
    pub fine_grained_tool_streaming: bool,
    /// `effort-2025-11-24`, which the effort field needs on this model.
    pub effort: bool,
}
