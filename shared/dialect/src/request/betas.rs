//! Betas: which of them go to Bedrock.

use super::anthropic::MessagesRequest;
use super::options::Options;
use super::terms::{TOOL_SEARCH_ALIAS, TOOL_SEARCH_BETA, Terms};
use super::tools::Toolbox;
use crate::{Learned, Losses};

pub(super) const INTERLEAVED: &str = "interleaved-thinking-2025-05-14";
pub(super) const CONTEXT_1M: &str = "context-1m-2025-08-07";
pub(super) const FINE_GRAINED: &str = "fine-grained-tool-streaming-2025-05-14";
pub(super) const EFFORT: &str = "effort-2025-11-24";
pub(super) const DISPLAY_UPDATES: &str = "thinking-display-updates-2026-08-18";
pub(super) const BLOCK_BINDING: &str = "thinking-binding-controls-2026-08-01";
pub(super) const CONTEXT_MANAGEMENT: &str = "context-management-2025-06-27";
pub(super) const TOOL_CHANGES: &str = "mid-conversation-tool-changes-2026-07-01";
pub(super) const COMPACT: &str = "compact-2026-01-12";

/// Whether the client asked for a beta that the target has not refused.
pub(super) fn may_go(name: &str, request: &MessagesRequest<'_>, learned: &Learned) -> bool {
    request.betas.iter().any(|beta| beta == name) && !learned.beta(name)
}

/// The betas of the request that the target takes and this body needs, in the client's order,
/// then those that only we know it needs. One that is not known fails the whole request
/// ("invalid beta flag"), so nothing goes that is not named here.
///
/// Sources: `envoyproxy/ai-gateway` `internal/translator`, `BerriAI/litellm`
/// `anthropic_beta_headers_config.json`, `router-for-me/CLIProxyAPI#4750`.
pub(super) fn betas(
    request: &MessagesRequest<'_>,
    options: &Options<'_>,
    toolbox: &Toolbox<'_>,
    terms: &Terms<'_>,
    losses: &mut Losses,
) -> Vec<&'static str> {
    let of_model = terms.capabilities.betas;
    let has_tools = !toolbox.is_empty();
    let mut kept = options.context_edits.iter();
    let compacts = kept.any(|edit| edit.kind.starts_with("compact_"));
    let thinking = options.thinking.as_ref();
    let updates = thinking.is_some_and(|field| field.display == Some("updates"));
    let binds = thinking.is_some_and(|field| field.block_binding.is_some());
    let edits = !options.context_edits.is_empty();

    // (name, it may go, the body needs it even if the client did not ask)
    let known = [
        (
            INTERLEAVED,
            of_model.interleaved_thinking && options.thinks() && has_tools,
            false,
        ),
        (CONTEXT_1M, of_model.context_1m, terms.long_context),
        (
            FINE_GRAINED,
            of_model.fine_grained_tool_streaming && has_tools,
            false,
        ),
        (EFFORT, of_model.effort && options.effort.is_some(), true),
        (DISPLAY_UPDATES, updates, false),
        (BLOCK_BINDING, binds, true),
        (TOOL_SEARCH_BETA, terms.tool_search && has_tools, true),
        (TOOL_CHANGES, terms.tool_changes, false),
        (
            CONTEXT_MANAGEMENT,
            edits || toolbox.betas.contains(&CONTEXT_MANAGEMENT),
            true,
        ),
        (COMPACT, compacts, true),
        (
            "computer-use-2025-01-24",
            toolbox.betas.contains(&"computer-use-2025-01-24"),
            true,
        ),
        (
            "computer-use-2025-11-24",
            toolbox.betas.contains(&"computer-use-2025-11-24"),
            true,
        ),
    ];
    let mut sent: Vec<&'static str> = Vec::new();
    for asked in &request.betas {
        let name = if asked == TOOL_SEARCH_ALIAS {
            TOOL_SEARCH_BETA
        } else {
            asked.as_ref()
        };
        match known
            .iter()
            .find(|(known, goes, _)| *known == name && *goes)
        {
            Some((known, _, _)) if !terms.learned.beta(known) => {
                if !sent.contains(known) {
                    sent.push(known);
                }
            }
            _ => losses.add(format!("beta:{asked}")),
        }
    }
    for (name, goes, needed) in known {
        if goes && needed && !sent.contains(&name) && !terms.learned.beta(name) {
            sent.push(name);
        }
    }
    sent
}
