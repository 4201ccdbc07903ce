//! The tools at the end of a conversation in which tools came and went.
//!
//! Converse has one list of tools for the whole request, so that every `tool_addition` and
//! `tool_removal` is carried out on that list. Shapes: Anthropic's page on mid-conversation system
//! messages and tool changes.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::anthropic::{Kind, MessagesRequest, Tool, ToolChange};
use super::json::Fault;

/// What the conversation says of each tool that it names, the last word counting.
#[derive(Debug, Default)]
pub(super) struct ToolChanges<'r> {
    available: BTreeMap<&'r str, bool>,
    /// In the order in which the names were first defined.
    definitions: Vec<&'r Tool<'r>>,
}

impl<'r> ToolChanges<'r> {
    /// Reads the changes of a conversation.
    ///
    /// # Errors
    /// [`Fault`] when tools come that cannot be found or described. Claude Code announces its tools
    /// in another way once it reads `tool_addition` in a 400.
    pub(super) fn of(request: &'r MessagesRequest<'_>) -> Result<Self, Fault> {
        let mut changes = Self::default();
        for block in request.blocks() {
            let Kind::ToolChange(change) = &block.kind else {
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
                    let known = changes.definitions.iter_mut();
                    match known.into_iter().find(|known| known.name == tool.name) {
                        Some(known) => *known = tool,
                        None => changes.definitions.push(tool),
                    }
                }
                ToolChange::Unknown { addition: true } => {
                    return Err(Fault::new(
                        "tool_addition of this kind is not supported on this model \
                         on Amazon Bedrock",
                    ));
                }
                ToolChange::Unknown { addition: false } => {}
            }
        }
        let described = |name: &str| {
            let mut tools = request
                .tools
                .iter()
                .chain(changes.definitions.iter().copied());
            tools.any(|tool| tool.name == name)
        };
        let mut added = changes.available.iter().filter(|(_, added)| **added);
        if added.any(|(name, _)| !described(name)) {
            return Err(Fault::new(
                "tool_addition of a tool that is not in `tools` is not supported on this model",
            ));
        }
        Ok(changes)
    }

    /// Whether a `tool_addition` is the last word on this tool.
    pub(super) fn added(&self, name: &str) -> bool {
        self.available.get(name) == Some(&true)
    }

    /// Whether a `tool_removal` is the last word on this tool.
    pub(super) fn removed(&self, name: &str) -> bool {
        self.available.get(name) == Some(&false)
    }

    /// The tools of the request with what the conversation defined: a new definition in the place
    /// of the old one, new tools at the end.
    pub(super) fn tools(&self, request: &'r MessagesRequest<'_>) -> Vec<&'r Tool<'r>> {
        let redefined = |tool: &'r Tool<'_>| -> &'r Tool<'r> {
            let mut definitions = self.definitions.iter().copied();
            definitions
                .find(|new| new.name == tool.name)
                .unwrap_or(tool)
        };
        let mut tools: Vec<_> = request.tools.iter().map(redefined).collect();
        let is_new = |new: &&'r Tool<'r>| !request.tools.iter().any(|tool| tool.name == new.name);
        tools.extend(self.definitions.iter().copied().filter(is_new));
        tools
    }
}

/// Whether the conversation changes the tools, and only by their names.
pub(super) fn only_names_tools(request: &MessagesRequest<'_>) -> bool {
    let mut names = false;
    for block in request.blocks() {
        match &block.kind {
            Kind::ToolChange(ToolChange::Add(_) | ToolChange::Remove(_)) => names = true,
            Kind::ToolChange(_) => return false,
            _ => {}
        }
    }
    names
}

/// Whether the conversation called a tool of this name.
pub(super) fn called(request: &MessagesRequest<'_>, name: &str) -> bool {
    request.blocks().any(
        |block| matches!(&block.kind, Kind::ToolUse { name: called, .. } if Cow::as_ref(called) == name),
    )
}
