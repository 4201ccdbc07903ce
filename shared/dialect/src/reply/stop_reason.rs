//! Stop reasons of Converse as stop reasons of Anthropic's API.

/// A Converse `stopReason`
/// (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopReason {
    /// Anthropic's stop reason.
    Known(&'static str),
    /// Unknown; it is translated to the end of the turn.
    Unknown,
    /// The model's output is unusable; Anthropic's API has no stop reason for it.
    Malformed,
}

impl StopReason {
    pub(crate) fn read(bedrock: &str) -> Self {
        Self::Known(match bedrock {
            "end_turn" => "end_turn",
            "tool_use" => "tool_use",
            "max_tokens" => "max_tokens",
            "stop_sequence" => "stop_sequence",
            "model_context_window_exceeded" => "model_context_window_exceeded",
            "content_filtered" | "guardrail_intervened" | "refusal" => "refusal",
            "malformed_model_output" | "malformed_tool_use" => return Self::Malformed,
            _ => return Self::Unknown,
        })
    }

    /// Anthropic's `stop_reason`; `None` for malformed output. A turn with a tool call gets
    /// `tool_use` instead of `end_turn`, because Claude Code would not run the tool otherwise.
    pub(crate) fn anthropic(self, called_a_tool: bool) -> Option<&'static str> {
        match self {
            Self::Known("end_turn") | Self::Unknown if called_a_tool => Some("tool_use"),
            Self::Known(reason) => Some(reason),
            Self::Unknown => Some("end_turn"),
            Self::Malformed => None,
        }
    }
}
