//! `safeguard_results`, where Bedrock cannot judge tool calls.

use serde::Serialize;

/// `safeguard_results` of a leg that cannot judge tool calls. Claude Code then asks the user before
/// each action; `unsupported`, or no word at all, would end its auto mode with a full-screen notice.
pub(crate) const SAFEGUARDS_UNAVAILABLE: &[SafeguardResult] = &[SafeguardResult {
    r#type: "dangerous_tool_use",
    status: SafeguardStatus {
        r#type: "unavailable",
        reason: "disabled",
    },
}];

#[derive(Debug, Serialize)]
pub(crate) struct SafeguardResult {
    r#type: &'static str,
    status: SafeguardStatus,
}

#[derive(Debug, Serialize)]
struct SafeguardStatus {
    r#type: &'static str,
    reason: &'static str,
}
