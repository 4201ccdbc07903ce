//! Why the model stopped, from Converse's words into Anthropic's.

/// A Converse `stopReason`
/// (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>), read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopReason {
    /// Anthropic has a word for it.
    Known(&'static str),
    /// Newer than this code: told as the end of the turn.
    Unknown,
    /// What the model wrote is not usable; there is no honest stop reason for it.
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

    /// Anthropic's `stop_reason`. A turn that ended with a tool call is told as one, whatever
    /// Bedrock says: Claude Code would leave the call unanswered. `None`: malformed.
    pub(crate) fn anthropic(self, called_a_tool: bool) -> Option<&'static str> {
        match self {
            Self::Known("end_turn") | Self::Unknown if called_a_tool => Some("tool_use"),
            Self::Known(reason) => Some(reason),
            Self::Unknown => Some("end_turn"),
            Self::Malformed => None,
        }
    }
}
