//! The betas that are sent to Bedrock.

use super::anthropic::MessagesRequest;
use super::beta_names::{
    BLOCK_BINDING, COMPACT, COMPUTER_USE_2025_01, COMPUTER_USE_2025_11, CONTEXT_1M,
    CONTEXT_MANAGEMENT, DISPLAY_UPDATES, EFFORT, FINE_GRAINED, INTERLEAVED, TOOL_CHANGES,
    TOOL_SEARCH, TOOL_SEARCH_ALIAS,
};
use super::context::TranslationContext;
use super::options::Options;
use super::tools::ToolSet;
use crate::Losses;

/// The betas of the request that the target accepts and this body needs, in the client's order,
/// followed by the betas that the body needs and the client did not request. Bedrock refuses a
/// request with an unknown beta ("invalid beta flag"), so only the betas of this list are sent.
///
/// Sources: `envoyproxy/ai-gateway` `internal/translator`, `BerriAI/litellm`
/// `anthropic_beta_headers_config.json`, `router-for-me/CLIProxyAPI#4750`.
pub(super) fn betas(
    request: &MessagesRequest<'_>,
    options: &Options<'_>,
    tool_set: &ToolSet<'_>,
    context: &TranslationContext<'_>,
    losses: &mut Losses,
) -> Vec<&'static str> {
    let of_model = context.capabilities.betas;
    let has_tools = !tool_set.is_empty();
    let mut kept = options.context_edits.iter();
    let compacts = kept.any(|edit| edit.kind.starts_with("compact_"));
    let thinking = options.thinking.as_ref();
    let updates = thinking.is_some_and(|field| field.display == Some("updates"));
    let binds = thinking.is_some_and(|field| field.block_binding.is_some());
    let edits = !options.context_edits.is_empty();

    // (name, it may be sent, it is sent even when the client did not request it)
    let known = [
        (
            INTERLEAVED,
            of_model.interleaved_thinking && options.thinks() && has_tools,
            false,
        ),
        (CONTEXT_1M, of_model.context_1m, context.long_context),
        (
            FINE_GRAINED,
            of_model.fine_grained_tool_streaming && has_tools,
            false,
        ),
        (EFFORT, of_model.effort && options.effort.is_some(), true),
        (DISPLAY_UPDATES, updates, false),
        (BLOCK_BINDING, binds, true),
        (TOOL_SEARCH, context.tool_search && has_tools, true),
        (TOOL_CHANGES, context.tool_changes, false),
        (
            CONTEXT_MANAGEMENT,
            edits || tool_set.betas.contains(&CONTEXT_MANAGEMENT),
            true,
        ),
        (COMPACT, compacts, true),
        (
            COMPUTER_USE_2025_01,
            tool_set.betas.contains(&COMPUTER_USE_2025_01),
            true,
        ),
        (
            COMPUTER_USE_2025_11,
            tool_set.betas.contains(&COMPUTER_USE_2025_11),
            true,
        ),
    ];
    let mut sent: Vec<&'static str> = Vec::new();
    for requested in &request.betas {
        let name = if requested == TOOL_SEARCH_ALIAS {
            TOOL_SEARCH
        } else {
            requested.as_ref()
        };
        match known
            .iter()
            .find(|(known, is_sent, _)| *known == name && *is_sent)
        {
            Some((known, _, _)) if !context.unsupported.has_beta(known) => {
                if !sent.contains(known) {
                    sent.push(known);
                }
            }
            _ => losses.add(format!("beta:{requested}")),
        }
    }
    for (name, is_sent, needed) in known {
        if is_sent && needed && !sent.contains(&name) && !context.unsupported.has_beta(name) {
            sent.push(name);
        }
    }
    sent
}
