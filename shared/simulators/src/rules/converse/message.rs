//! The rules for one message and its blocks.

use std::collections::HashSet;

use super::shape::{Block, Document, Message, Reasoning, ResultBlock, Role, ToolResult, ToolUse};
use crate::rules::content::{RuleViolation, is_name};

pub(super) enum Attachment<'a> {
    Picture,
    Document(&'a Document),
}

impl Message {
    pub(super) fn check(&self, at: usize) -> Result<(), RuleViolation> {
        if !self
            .content
            .iter()
            .any(|block| !matches!(block, Block::CachePoint(_)))
        {
            return RuleViolation::by_service(format!(
                "The content field in the Message object at messages.{at} is empty. Add a \
                 ContentBlock object to the content field and try again."
            ));
        }
        for (number, block) in self.content.iter().enumerate() {
            let place = format!("messages.{at}.content.{number}");
            match block {
                Block::Text(text) if text.trim().is_empty() => {
                    return RuleViolation::by_service(format!(
                        "The text field in the ContentBlock object at {place} is blank. Add text to \
                         the text field, and try again."
                    ));
                }
                Block::ToolUse(call) => {
                    self.expect(Role::Assistant, "toolUse", &place)?;
                    call.check(&place)?;
                }
                Block::ToolResult(result) => {
                    self.expect(Role::User, "toolResult", &place)?;
                    result.check(&place)?;
                }
                Block::ReasoningContent(reasoning) => {
                    self.expect(Role::Assistant, "reasoningContent", &place)?;
                    reasoning.check(&place)?;
                }
                _ => {}
            }
        }
        self.check_end()
    }

    fn expect(&self, role: Role, block: &str, place: &str) -> Result<(), RuleViolation> {
        if self.role == role {
            return Ok(());
        }
        RuleViolation::by_service(format!(
            "{place}: {block} blocks are not allowed in this role's messages."
        ))
    }

    fn check_end(&self) -> Result<(), RuleViolation> {
        let mut ids = HashSet::new();
        if self
            .calls()
            .into_iter()
            .chain(self.results())
            .any(|id| !ids.insert(id))
        {
            return RuleViolation::by_model("messages: `tool_use` ids must be unique");
        }
        Ok(())
    }

    pub(super) fn calls(&self) -> Vec<&str> {
        self.content
            .iter()
            .filter_map(|block| match block {
                Block::ToolUse(call) => Some(call.tool_use_id.as_str()),
                _ => None,
            })
            .collect()
    }

    pub(super) fn results(&self) -> Vec<&str> {
        self.content
            .iter()
            .filter_map(|block| match block {
                Block::ToolResult(result) => Some(result.tool_use_id.as_str()),
                _ => None,
            })
            .collect()
    }

    pub(super) fn has_content_before_results(&self) -> bool {
        let mut content = self
            .content
            .iter()
            .filter(|block| !matches!(block, Block::CachePoint(_)));
        let is_result = |block: &&Block| matches!(block, Block::ToolResult(_));
        content
            .by_ref()
            .skip_while(is_result)
            .any(|block| is_result(&block))
    }

    pub(super) fn attachments(&self) -> Vec<Attachment<'_>> {
        let mut attachments = Vec::new();
        for block in &self.content {
            match block {
                Block::Image(_) | Block::Video(_) => attachments.push(Attachment::Picture),
                Block::Document(document) => attachments.push(Attachment::Document(document)),
                Block::ToolResult(result) => {
                    attachments.extend(result.content.iter().filter_map(|block| match block {
                        ResultBlock::Image(_) | ResultBlock::Video(_) => Some(Attachment::Picture),
                        ResultBlock::Document(document) => Some(Attachment::Document(document)),
                        ResultBlock::Text(_)
                        | ResultBlock::Json(_)
                        | ResultBlock::SearchResult(_) => None,
                    }));
                }
                _ => {}
            }
        }
        attachments
    }

    pub(super) fn has_document_alone(&self) -> bool {
        let document = self
            .content
            .iter()
            .any(|block| matches!(block, Block::Document(_)));
        document
            && !self
                .content
                .iter()
                .any(|block| matches!(block, Block::Text(_)))
    }
}

impl ToolUse {
    pub(super) fn check(&self, place: &str) -> Result<(), RuleViolation> {
        if !is_name(&self.name, "") || !is_name(&self.tool_use_id, ".:") {
            return RuleViolation::by_service(format!(
                "1 validation error detected: Value at '{place}.toolUse' failed to satisfy \
                 constraint: name and toolUseId must have at most 64 of the characters \
                 [a-zA-Z0-9_-]"
            ));
        }
        Ok(())
    }
}

impl ToolResult {
    pub(super) fn check(&self, place: &str) -> Result<(), RuleViolation> {
        if !is_name(&self.tool_use_id, ".:") {
            return RuleViolation::by_service(format!(
                "1 validation error detected: Value at '{place}.toolResult.toolUseId' failed to \
                 satisfy constraint: Member must satisfy regular expression pattern: \
                 [a-zA-Z0-9_.:-]+"
            ));
        }
        for (at, block) in self.content.iter().enumerate() {
            if matches!(block, ResultBlock::Text(text) if text.trim().is_empty()) {
                return RuleViolation::by_service(format!(
                    "The text field in the ToolResultContentBlock object at {place}.toolResult.\
                     content.{at} is blank. Add text to the text field, and try again."
                ));
            }
        }
        Ok(())
    }
}

impl Reasoning {
    pub(super) fn check(&self, place: &str) -> Result<(), RuleViolation> {
        match self {
            Self::ReasoningText(text) if text.signature.as_ref().is_none_or(String::is_empty) => {
                RuleViolation::by_model(format!("{place}.thinking.signature: Field required"))
            }
            Self::ReasoningText(_) | Self::RedactedContent(_) => Ok(()),
        }
    }
}

impl Document {
    pub(super) fn check_name(&self) -> Result<(), RuleViolation> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || " -()[]".contains(c);
        let good = (1..=200).contains(&self.name.len())
            && self.name.chars().all(allowed)
            && !self.name.contains("  ");
        if good {
            return Ok(());
        }
        RuleViolation::by_service(
            "The document file name can only contain alphanumeric characters, whitespace \
             characters, hyphens, parentheses, and square brackets. The name can't contain more \
             than one consecutive whitespace character.",
        )
    }
}
