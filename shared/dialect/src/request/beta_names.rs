//! Names of betas (the header `anthropic-beta`).

use super::anthropic::MessagesRequest;
use crate::UnsupportedFeatures;

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

/// The beta of tool search at Bedrock, and its name at Anthropic's API.
pub(super) const TOOL_SEARCH: &str = "tool-search-tool-2025-10-19";
pub(super) const TOOL_SEARCH_ALIAS: &str = "advanced-tool-use-2025-11-20";

/// Returns true when the client requested the beta and the target does not refuse it.
pub(super) fn is_allowed(
    name: &str,
    request: &MessagesRequest<'_>,
    unsupported: &UnsupportedFeatures,
) -> bool {
    request.betas.iter().any(|beta| beta == name) && !unsupported.has_beta(name)
}
