//! `safeguard_results` for Bedrock, which has no safeguards for tool calls.

use serde::Serialize;

/// `safeguard_results` for an upstream without safeguards. Claude Code then asks the user before
/// each action; without the member, or with `unsupported`, it ends its auto mode with a full-screen
/// notice.
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
