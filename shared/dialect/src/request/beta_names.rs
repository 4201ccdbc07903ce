//! Names of betas (the header `anthropic-beta`), and whether one may be sent.

use super::anthropic::MessagesRequest;
use crate::Learned;

pub(super) const INTERLEAVED: &str = "interleaved-thinking-2025-05-14";
pub(super) const CONTEXT_1M: &str = "context-1m-2025-08-07";
pub(super) const FINE_GRAINED: &str = "fine-grained-tool-streaming-2025-05-14";
pub(super) const EFFORT: &str = "effort-2025-11-24";
pub(super) const DISPLAY_UPDATES: &str = "thinking-display-updates-2026-08-18";
pub(super) const BLOCK_BINDING: &str = "thinking-binding-controls-2026-08-01";
pub(super) const CONTEXT_MANAGEMENT: &str = "context-management-2025-06-27";
pub(super) const TOOL_CHANGES: &str = "mid-conversation-tool-changes-2026-07-01";
pub(super) const COMPACT: &str = "compact-2026-01-12";
pub(super) const COMPUTER_USE_2025_01: &str = "computer-use-2025-01-24";
pub(super) const COMPUTER_USE_2025_11: &str = "computer-use-2025-11-24";

/// The beta that tool search needs at Bedrock, and what Anthropic's own API calls it.
pub(super) const TOOL_SEARCH: &str = "tool-search-tool-2025-10-19";
pub(super) const TOOL_SEARCH_ALIAS: &str = "advanced-tool-use-2025-11-20";

/// Whether the client asked for a beta that the target has not refused.
pub(super) fn may_go(name: &str, request: &MessagesRequest<'_>, learned: &Learned) -> bool {
    request.betas.iter().any(|beta| beta == name) && !learned.beta(name)
}
