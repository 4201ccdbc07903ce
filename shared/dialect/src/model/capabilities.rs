//! The capabilities of a model: the columns of the capability table.

/// The forms of `thinking` that a model accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThinkingKinds {
    /// No form, or unknown: `thinking` is not sent.
    None,
    /// `enabled` with a token budget.
    Budget,
    /// `enabled` and `adaptive`.
    Both,
    /// `adaptive` only; the model refuses a budget.
    Adaptive,
}

/// The value of `thinking` for a request without thinking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThinkingOff {
    /// None: the model thinks on request only.
    Omit,
    /// `{"type":"disabled"}`: the model thinks by default.
    Disabled,
    /// `{"type":"between_tools"}`: the least thinking this model has.
    BetweenTools,
    /// None: the model always thinks and refuses `disabled`.
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
    /// Reads the level of `output_config.effort`.
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

    /// The value of `output_config.effort`.
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

/// When `tool_choice` may force a tool (`any` or `tool`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForcedTool {
    /// Always.
    Yes,
    /// In requests without thinking.
    WithoutThinking,
    /// Never: the model always thinks.
    No,
}

/// The capabilities of a model, on which the request translation depends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one independent column of the table"
)]
pub struct Capabilities {
    /// Maximum number of output tokens; also the limit of a thinking budget.
    pub max_output: u64,
    /// Context window in tokens, without betas.
    pub context: u64,
    /// Accepted forms of `thinking`.
    pub thinking: ThinkingKinds,
    /// The value of `thinking` that switches it off.
    pub thinking_off: ThinkingOff,
    /// Thinking blocks are bound to their conversation: the model refuses them after a changed
    /// prefix, unless the request drops them.
    pub binds_thinking: bool,
    /// Accepted levels of effort, ascending. Empty when the model refuses the field.
    pub efforts: &'static [Effort],
    /// Highest level of effort that the model accepts while thinking is off. None: every level.
    pub effort_without_thinking: Option<Effort>,
    /// `temperature`, `top_p` and `top_k` are accepted.
    pub sampling: bool,
    /// The conversation may end in an assistant message (prefill).
    pub prefill: bool,
    /// When a tool may be forced.
    pub forced_tool: ForcedTool,
    /// Cache points may have a `ttl`.
    pub cache_ttl: bool,
    /// An output format (JSON schema) and `strict` tools are accepted. Recorded refusals
    /// (`output_config.format: Extra inputs are not permitted`, 2026): Opus 4.7, 4.8 and 5 and
    /// Sonnet 5. For the 5.5 models and Fable no response of AWS is recorded; the model map of
    /// `BerriAI/litellm` has true for some of them. False is the careful value.
    pub structured_output: bool,
    /// `InvokeModel` accepts `role: system` messages inside the conversation.
    pub native_system_role: bool,
    /// `InvokeModel` accepts tool search (`defer_loading`, `tool_reference`).
    pub tool_search: bool,
    /// `InvokeModel` accepts `tool_addition` and `tool_removal`. Anthropic's pages name Bedrock for
    /// Opus 5; no response of `InvokeModel` is recorded, and a refusal is repaired. Converse
    /// accepts them for no model ("doesn't support the toolRemoval field", measured in 2026-09).
    pub tool_changes: bool,
    /// `CountTokens` supports the model.
    pub count_tokens: bool,
    /// Accepted betas, of those that differ between models.
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
