//! The inputs of a translation other than the request itself.

use super::anthropic::{BlockKind, MessagesRequest, ToolChoiceKind};
use super::beta_names;
use super::tool_history::{needed_tools, only_names_tools};
use crate::model::{Capabilities, Target};
use crate::{UnsupportedFeature, UnsupportedFeatures};
use domain::bedrock::Dialect;

/// The Bedrock API to which the body is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Api {
    Converse,
    Invoke,
}

/// The purpose of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Message,
    Count,
}

/// The target, the API and the features that are sent unchanged.
#[derive(Clone, Copy, Debug)]
pub(super) struct TranslationContext<'t> {
    pub(super) api: Api,
    pub(super) purpose: Purpose,
    pub(super) capabilities: &'static Capabilities,
    pub(super) unsupported: &'t UnsupportedFeatures,
    pub(super) long_context: bool,
    /// Deferred tools and tool references are sent unchanged.
    pub(super) tool_search: bool,
    /// Additions and removals of tools are sent unchanged.
    pub(super) tool_changes: bool,
}

impl<'t> TranslationContext<'t> {
    pub(super) fn new(
        request: &MessagesRequest<'_>,
        target: &Target,
        dialect: Dialect,
        unsupported: &'t UnsupportedFeatures,
        purpose: Purpose,
    ) -> Self {
        let requested = |name: &str| request.betas.iter().any(|beta| beta == name);
        let capabilities = target.capabilities;
        let searches = capabilities.tool_search
            && (requested(beta_names::TOOL_SEARCH) || requested(beta_names::TOOL_SEARCH_ALIAS))
            && !unsupported.has_beta(beta_names::TOOL_SEARCH)
            && !unsupported.has_field("tools.defer_loading");
        let api = match dialect {
            Dialect::Invoke => Api::Invoke,
            Dialect::Auto if needs_invoke(request) => Api::Invoke,
            Dialect::Auto if searches && finds_deferred_tools(request) => Api::Invoke,
            Dialect::Converse | Dialect::Auto => Api::Converse,
        };
        let tool_search = api == Api::Invoke && searches;
        // Only Anthropic's API supports a definition inside the conversation, and a deferred tool
        // needs tool search.
        let tool_changes = api == Api::Invoke
            && capabilities.tool_changes
            && capabilities.native_system_role
            && !unsupported.contains(&UnsupportedFeature::SystemRole)
            && beta_names::is_allowed(beta_names::TOOL_CHANGES, request, unsupported)
            && only_names_tools(request)
            && (tool_search || request.tools.iter().all(|tool| !tool.deferred));
        Self {
            api,
            purpose,
            capabilities: target.capabilities,
            unsupported,
            long_context: target.long_context,
            tool_search,
            tool_changes,
        }
    }
}

/// Returns true when the request has a part that `InvokeModel` supports and Converse does not.
fn needs_invoke(request: &MessagesRequest<'_>) -> bool {
    let in_history = request
        .messages
        .iter()
        .flat_map(|message| &message.blocks)
        .any(|block| match &block.kind {
            BlockKind::Server { .. } => true,
            BlockKind::Document(document) => document.citations,
            BlockKind::SearchResult(result) => result.citations,
            _ => false,
        });
    let forbids_tools = request
        .tool_choice
        .as_ref()
        .is_some_and(|choice| choice.kind == ToolChoiceKind::None && !request.tools.is_empty());
    in_history
        || forbids_tools
        || request
            .context_edits
            .iter()
            .any(|edit| invoke_edits(&edit.kind))
}

/// Returns true when the conversation uses deferred tools. Converse needs the definition of each
/// found tool at the start of the prompt, which invalidates the prompt cache; `InvokeModel` does
/// not.
fn finds_deferred_tools(request: &MessagesRequest<'_>) -> bool {
    let wanted = needed_tools(request);
    let mut tools = request.tools.iter();
    tools.any(|tool| tool.deferred && wanted.contains(tool.name.as_ref()))
}

/// Returns true for a context edit that `InvokeModel` supports.
pub(super) fn invoke_edits(kind: &str) -> bool {
    matches!(kind, "clear_tool_uses_20250919" | "compact_20260112")
}
