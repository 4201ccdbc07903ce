//! The tools of a Converse body, their calls, and the results of these.

use std::collections::HashSet;

use serde_json::Value;

use super::shape::{Block, Body, NamedTool, Tool, ToolChoice, ToolSpec};
use crate::json::at;
use crate::rules::content::{RuleViolation, is_name, without_result};

impl Body {
    pub(super) fn check_tools(&self) -> Result<(), RuleViolation> {
        let mut blocks = self.messages.iter().flat_map(|message| &message.content);
        let used = blocks.any(|block| matches!(block, Block::ToolUse(_) | Block::ToolResult(_)));
        let Some(config) = &self.tool_config else {
            return if used {
                RuleViolation::by_service(
                    "The toolConfig field must be defined when using toolUse and toolResult content \
                     blocks.",
                )
            } else {
                Ok(())
            };
        };
        if self.specs().next().is_none() && !config.tools.iter().any(is_system_tool) {
            return RuleViolation::by_service(
                "1 validation error detected: Value at 'toolConfig.tools' failed to satisfy \
                 constraint: Member must have length greater than or equal to 1",
            );
        }
        let mut names = HashSet::new();
        for (at, spec) in self.specs().enumerate() {
            if !is_name(&spec.name, "") {
                return RuleViolation::by_service(format!(
                    "1 validation error detected: Value '{}' at 'toolConfig.tools.{at}.member.\
                     toolSpec.name' failed to satisfy constraint: Member must satisfy regular \
                     expression pattern: [a-zA-Z0-9_-]{{1,64}}",
                    spec.name
                ));
            }
            if !names.insert(spec.name.as_str()) {
                return RuleViolation::by_service(format!(
                    "The tool names must be unique. {} is used more than once.",
                    spec.name
                ));
            }
            if spec.description.as_ref().is_some_and(String::is_empty) {
                return RuleViolation::by_service(format!(
                    "1 validation error detected: Value at 'toolConfig.tools.{at}.member.toolSpec.\
                     description' failed to satisfy constraint: Member must have length greater \
                     than or equal to 1"
                ));
            }
            if spec.input_schema.json.get("type").and_then(Value::as_str) != Some("object") {
                return RuleViolation::by_service(format!(
                    "The value at toolConfig.tools.{at}.toolSpec.inputSchema.json.type must be one \
                     of the following: object."
                ));
            }
        }
        if let Some(ToolChoice::Tool(NamedTool { name })) = &config.tool_choice
            && !names.contains(name.as_str())
        {
            return RuleViolation::by_service(format!(
                "The tool {name} in toolConfig.toolChoice is not in toolConfig.tools."
            ));
        }
        Ok(())
    }

    fn specs(&self) -> impl Iterator<Item = &ToolSpec> {
        let tools = self.tool_config.iter().flat_map(|config| &config.tools);
        tools.filter_map(|tool| match tool {
            Tool::ToolSpec(spec) => Some(spec),
            Tool::SystemTool(_) | Tool::CachePoint(_) => None,
        })
    }

    /// Checks that every call has one result, in the next message and before its other content.
    pub(super) fn check_tool_results(&self) -> Result<(), RuleViolation> {
        let mut open: Vec<&str> = Vec::new();
        for (at, message) in self.messages.iter().enumerate() {
            let answered = message.results();
            for id in &answered {
                if !open.contains(id) {
                    return RuleViolation::by_service(format!(
                        "The number of toolResult blocks at messages.{at}.content exceeds the number \
                         of toolUse blocks of previous turn."
                    ));
                }
            }
            if let Some(missing) = without_result(&open, &answered) {
                return RuleViolation::by_service(format!(
                    "Expected toolResult blocks at messages.{at}.content for the following Ids: \
                     {missing}"
                ));
            }
            if !open.is_empty() && message.has_content_before_results() {
                return RuleViolation::by_model(format!(
                    "messages.{at}: `tool_result` blocks must come first in the message that answers \
                     `tool_use` blocks"
                ));
            }
            open = message.calls();
        }
        Ok(())
    }

    /// Checks that with a thinking budget, an assistant turn before tool results begins with thinking.
    pub(super) fn check_thinking_in_tool_loop(&self) -> Result<(), RuleViolation> {
        if self
            .thinking()
            .is_none_or(|thinking| at(thinking, "/type") != "enabled")
        {
            return Ok(());
        }
        let [.., turn, results] = self.messages.as_slice() else {
            return Ok(());
        };
        if results.results().is_empty()
            || matches!(turn.content.first(), Some(Block::ReasoningContent(_)))
        {
            return Ok(());
        }
        let at = self.messages.len() - 2;
        RuleViolation::by_model(format!(
            "messages.{at}.content.0.type: Expected `thinking` or `redacted_thinking`, but found \
             another block. When `thinking` is enabled, a final `assistant` message must start with \
             a thinking block (preceeding the lastmost set of `tool_use` and `tool_result` blocks)."
        ))
    }
}

fn is_system_tool(tool: &Tool) -> bool {
    matches!(tool, Tool::SystemTool(NamedTool { name }) if !name.is_empty())
}
