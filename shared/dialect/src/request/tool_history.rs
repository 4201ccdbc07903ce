//! The tools that the conversation adds, removes, finds and calls.
//!
//! Converse has one list of tools for the whole request, to which every `tool_addition` and
//! `tool_removal` is applied. Shapes: Anthropic's page on mid-conversation system messages and tool
//! changes.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::anthropic::{Block, BlockKind, MessagesRequest, Tool, ToolChange, ToolChoiceKind};
use super::json::FieldError;
use super::server;

/// The last change of each tool in the conversation.
#[derive(Debug, Default)]
pub(super) struct ToolChanges<'r> {
    available: BTreeMap<&'r str, bool>,
    /// Definitions in the conversation, in the order of the first definition of each name.
    definitions: Vec<&'r Tool<'r>>,
    /// The index of each name in `definitions`.
    defined_at: BTreeMap<&'r str, usize>,
}

impl<'r> ToolChanges<'r> {
    /// Reads the changes of a conversation.
    ///
    /// # Errors
    /// [`FieldError`] when an added tool has no definition. Claude Code declares its tools in
    /// another way after a 400 whose message contains `tool_addition`.
    pub(super) fn from_request(request: &'r MessagesRequest<'_>) -> Result<Self, FieldError> {
        let mut changes = Self::default();
        for block in request.blocks() {
            let BlockKind::ToolChange(change) = &block.kind else {
                continue;
            };
            match change {
                ToolChange::Add(name) => {
                    changes.available.insert(name, true);
                }
                ToolChange::Remove(name) => {
                    changes.available.insert(name, false);
                }
                ToolChange::Define(tool) => {
                    changes.available.insert(&tool.name, true);
                    changes.define(tool);
                }
                ToolChange::Unknown { addition: true } => {
                    return Err(FieldError::new(
                        "tool_addition of this kind is not supported on this model \
                         on Amazon Bedrock",
                    ));
                }
                ToolChange::Unknown { addition: false } => {}
            }
        }
        let mut described = names(&request.tools);
        described.extend(changes.defined_at.keys());
        let mut added = changes.available.iter().filter(|(_, added)| **added);
        if added.any(|(name, _)| !described.contains(name)) {
            return Err(FieldError::new(
                "tool_addition of a tool that is not in `tools` is not supported on this model",
            ));
        }
        Ok(changes)
    }

    /// Stores a definition, in place of an older one of the same name.
    fn define(&mut self, tool: &'r Tool<'r>) {
        let end = self.definitions.len();
        let at = *self.defined_at.entry(&tool.name).or_insert(end);
        match self.definitions.get_mut(at) {
            Some(known) => *known = tool,
            None => self.definitions.push(tool),
        }
    }

    /// Returns true when the last change of this tool is a `tool_addition`.
    pub(super) fn added(&self, name: &str) -> bool {
        self.available.get(name) == Some(&true)
    }

    /// Returns true when the last change of this tool is a `tool_removal`.
    pub(super) fn removed(&self, name: &str) -> bool {
        self.available.get(name) == Some(&false)
    }

    /// The tools of the request and of the conversation: a new definition replaces the old one, and
    /// new tools are last.
    pub(super) fn tools(&self, request: &'r MessagesRequest<'_>) -> Vec<&'r Tool<'r>> {
        let redefined = |tool: &'r Tool<'_>| -> &'r Tool<'r> {
            let at = self.defined_at.get(tool.name.as_ref());
            let definition = at.and_then(|at| self.definitions.get(*at));
            definition.copied().unwrap_or(tool)
        };
        let mut tools: Vec<_> = request.tools.iter().map(redefined).collect();
        let listed = names(&request.tools);
        let definitions = self.definitions.iter().copied();
        tools.extend(definitions.filter(|new| !listed.contains(new.name.as_ref())));
        tools
    }
}

fn names<'r>(tools: &'r [Tool<'_>]) -> BTreeSet<&'r str> {
    tools.iter().map(|tool| tool.name.as_ref()).collect()
}

/// Returns true when the conversation changes tools, and refers to all of them by name.
pub(super) fn only_names_tools(request: &MessagesRequest<'_>) -> bool {
    let mut names = false;
    for block in request.blocks() {
        match &block.kind {
            BlockKind::ToolChange(ToolChange::Add(_) | ToolChange::Remove(_)) => names = true,
            BlockKind::ToolChange(_) => return false,
            _ => {}
        }
    }
    names
}

/// The names of the tools that the conversation calls.
pub(super) fn called_tools<'r>(request: &'r MessagesRequest<'_>) -> BTreeSet<&'r str> {
    let name = |block: &'r Block<'_>| match &block.kind {
        BlockKind::ToolUse { name, .. } => Some(name.as_ref()),
        _ => None,
    };
    request.blocks().filter_map(name).collect()
}

/// The names of the tools that the conversation has found or called, or that `tool_choice` names.
pub(super) fn needed_tools<'r>(request: &'r MessagesRequest<'_>) -> BTreeSet<Cow<'r, str>> {
    let mut wanted = BTreeSet::new();
    let mut see = |block: &'r Block<'_>| match &block.kind {
        BlockKind::ToolReference { name }
        | BlockKind::ToolUse { name, .. }
        | BlockKind::ToolChange(ToolChange::Add(name)) => {
            wanted.insert(Cow::Borrowed(name.as_ref()));
        }
        BlockKind::Server { .. } => {
            wanted.extend(
                server::found_tools(block.source)
                    .into_iter()
                    .map(Cow::Owned),
            );
        }
        _ => {}
    };
    for block in request.blocks() {
        see(block);
        if let BlockKind::ToolResult { content, .. } = &block.kind {
            content.iter().for_each(&mut see);
        }
    }
    if let Some(ToolChoiceKind::Tool(name)) =
        request.tool_choice.as_ref().map(|choice| &choice.kind)
    {
        wanted.insert(Cow::Borrowed(name.as_ref()));
    }
    wanted
}
