//! Content blocks of a request, read into parts.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::anthropic::{
    Block, BlockKind, Document, DocumentSource, Image, Message, Role, SearchResult, ToolChange,
    is_blank,
};
use super::cache::{self, WithCachePoint};
use super::context::{Api, TranslationContext};
use super::json::{FieldError, Object};
use super::names::{self, ToolNames};
use super::parts::{DocumentContent, DocumentPart, Part, ToolResult};
use super::server;
use crate::{Losses, UnsupportedFeature, token};

/// The position of a block in the conversation.
#[derive(Clone, Copy)]
pub(super) struct BlockPosition {
    pub(super) role: Role,
    /// The block is in the newest user message. There, a block that cannot be sent is an error,
    /// because the response would depend on it; in older messages it is left out.
    pub(super) newest: bool,
}

/// Reads the blocks of one message into parts.
pub(super) struct BlockReader<'r, 'x> {
    /// The names of the request's tools.
    pub(super) tool_names: &'x BTreeSet<&'r str>,
    pub(super) context: &'x TranslationContext<'x>,
    pub(super) names: &'x mut ToolNames,
    pub(super) losses: &'x mut Losses,
    pub(super) parts: Vec<WithCachePoint<Part<'r>>>,
}

impl<'r> BlockReader<'r, '_> {
    pub(super) fn message(
        &mut self,
        message: &'r Message<'_>,
        position: BlockPosition,
        native_system: bool,
    ) -> Result<(), FieldError> {
        for (nth, block) in message.blocks.iter().enumerate() {
            if message.role == Role::System && !native_system {
                self.system_block(block);
            } else {
                self.block(block, position)
                    .map_err(|error| error.within(nth).within("content"))?;
            }
            cache::add_cache_point(&mut self.parts, block.cache, self.losses);
        }
        Ok(())
    }

    /// Writes a block of a system message inside the conversation as text of the user at the same
    /// place. Moving it to `system` would change the prefix of every later request.
    fn system_block(&mut self, block: &'r Block<'_>) {
        match &block.kind {
            BlockKind::Text(text) if is_blank(text) => {}
            BlockKind::Text(text) => self.push(Part::text(system_reminder(text))),
            BlockKind::ToolChange(change) => self.tool_change(change),
            other => self.losses.add(format!("block:{}", block_name(other))),
        }
    }

    /// Writes a change of the tools unchanged where the target accepts it, else as text: Converse
    /// has one list of tools for the whole request.
    fn tool_change(&mut self, change: &'r ToolChange<'_>) {
        let (addition, name) = match change {
            ToolChange::Add(name) => (true, name),
            ToolChange::Define(tool) => (true, &tool.name),
            ToolChange::Remove(name) => (false, name),
            ToolChange::Unknown { addition } => {
                let name = if *addition {
                    "tool_addition"
                } else {
                    "tool_removal"
                };
                self.losses.add(format!("block:{name}"));
                return;
            }
        };
        let name = self.names.tool(name);
        if self.context.tool_changes {
            self.push(Part::ToolChange { addition, name });
        } else if addition {
            self.losses.add("block:tool_addition");
            self.push(Part::text(system_reminder(&format!("Tool added: {name}"))));
        } else {
            self.losses.add("block:tool_removal");
            self.push(Part::text(system_reminder(&format!(
                "Tool removed: {name}. Do not call it any more."
            ))));
        }
    }

    fn push(&mut self, part: Part<'r>) {
        self.parts.push(part.into());
    }

    fn block(&mut self, block: &'r Block<'_>, position: BlockPosition) -> Result<(), FieldError> {
        check_role(&block.kind, position.role)?;
        let assistant = position.role == Role::Assistant;
        match &block.kind {
            BlockKind::Text(text) => self.text(text, block),
            BlockKind::ToolUse {
                id,
                name,
                input,
                has_caller,
            } => {
                if *has_caller {
                    self.losses.add("tool_use.caller");
                }
                let name = self.names.tool(name);
                self.push(Part::ToolUse {
                    id: names::call_id(id),
                    name,
                    input: (*input).into(),
                });
            }
            BlockKind::ToolResult {
                id,
                content,
                is_error,
            } => self.tool_result(id, content, *is_error, position)?,
            BlockKind::Thinking { text, signature } if assistant => {
                self.thinking(text, signature.as_deref());
            }
            BlockKind::RedactedThinking { data } if assistant => self.redacted(data),
            BlockKind::Thinking { .. } | BlockKind::RedactedThinking { .. } => {
                self.losses.add("block:thinking");
            }
            BlockKind::Image(_) | BlockKind::Document(_) | BlockKind::SearchResult(_)
                if assistant =>
            {
                self.omitted(block_name(&block.kind));
            }
            BlockKind::Image(image) => self.image(image, position)?,
            BlockKind::Document(document) => self.document(document, position)?,
            BlockKind::SearchResult(result) => self.search_result(result),
            BlockKind::ToolReference { name } => self.reference(name, block)?,
            BlockKind::MidConversationSystem { content } => {
                self.losses.add("block:mid_conv_system");
                for block in content {
                    self.system_block(block);
                }
            }
            BlockKind::ToolChange(change) => self.tool_change(change),
            BlockKind::Server { name } => self.server(name, block)?,
            BlockKind::Unknown { name } if position.newest => {
                return Err(FieldError::unavailable(format!(
                    "content blocks of type '{}' are not available on Amazon Bedrock",
                    token(name)
                ))
                .within("type"));
            }
            BlockKind::Unknown { name } => self.losses.add(format!("block:{name}")),
        }
        Ok(())
    }

    /// Writes a block of a tool that Anthropic's servers ran: unchanged where the target accepts
    /// it, else as text.
    fn server(&mut self, name: &str, block: &'r Block<'_>) -> Result<(), FieldError> {
        let source = Object::read(block.source)?;
        if self.context.api == Api::Invoke && self.native(block) {
            self.push(Part::Native(source.without(&["cache_control"])));
            return Ok(());
        }
        self.losses.add(format!("block:{name}"));
        if let Some(summary) = server::summary(name, &source) {
            self.push(Part::text(summary));
        }
        Ok(())
    }

    /// Returns true when `InvokeModel` accepts this server block with the betas that are sent.
    fn native(&self, block: &Block<'_>) -> bool {
        match &block.kind {
            BlockKind::Server { name } if name == "compaction" => false,
            BlockKind::Server { name } if name == "tool_search_tool_result" => {
                self.context.tool_search
            }
            BlockKind::Server { name } if name == "server_tool_use" => {
                self.context.tool_search || !server::is_tool_search(block.source)
            }
            _ => true,
        }
    }

    fn text(&mut self, text: &'r str, block: &'r Block<'_>) {
        if is_blank(text) {
            return;
        }
        let citations = block.citations;
        if citations.is_some() && self.context.api == Api::Converse {
            self.losses.add("citations");
        }
        self.push(Part::Text {
            text: Cow::Borrowed(text),
            citations,
        });
    }

    fn thinking(&mut self, text: &'r str, signature: Option<&'r str>) {
        match signature {
            _ if self
                .context
                .unsupported
                .contains(&UnsupportedFeature::ThinkingHistory) =>
            {
                self.losses.add("block:thinking");
            }
            Some(signature) if !is_blank(signature) => {
                self.push(Part::Thinking { text, signature });
            }
            _ => self.losses.add("block:thinking.unsigned"),
        }
    }

    fn redacted(&mut self, data: &'r str) {
        let refused = self
            .context
            .unsupported
            .contains(&UnsupportedFeature::ThinkingHistory);
        // Valid data of Claude is ASCII.
        if refused || is_blank(data) || !data.is_ascii() {
            self.losses.add("block:redacted_thinking");
        } else {
            self.push(Part::Redacted { data });
        }
    }

    fn image(&mut self, image: &'r Image<'_>, position: BlockPosition) -> Result<(), FieldError> {
        match image {
            Image::Data { format, data } => self.push(Part::Image { format, data }),
            Image::NotInline if position.newest => {
                return Err(FieldError::unavailable(
                    "image URLs and files are not available on Amazon Bedrock; \
                     send the image as base64 data",
                )
                .within("source"));
            }
            Image::NotInline => self.omitted("image"),
        }
        Ok(())
    }

    fn document(
        &mut self,
        document: &'r Document<'_>,
        position: BlockPosition,
    ) -> Result<(), FieldError> {
        let content = match &document.source {
            DocumentSource::Pdf(data) => DocumentContent::Pdf(data),
            DocumentSource::Text(text) if is_blank(text) => {
                self.losses.add("block:document");
                return Ok(());
            }
            DocumentSource::Text(text) => DocumentContent::Text(text),
            DocumentSource::Blocks(blocks) => {
                let mut texts = Vec::new();
                for (nth, block) in blocks.iter().enumerate() {
                    match &block.kind {
                        BlockKind::Text(text) if is_blank(text) => {}
                        BlockKind::Text(text) => texts.push(text.as_ref()),
                        // A document at Bedrock contains text only; its images are written before
                        // it.
                        BlockKind::Image(image) => {
                            self.image(image, position)
                                .map_err(|error| error.within(nth))?;
                        }
                        other => self.losses.add(format!("block:{}", block_name(other))),
                    }
                }
                if texts.is_empty() {
                    return Ok(());
                }
                DocumentContent::Texts(texts)
            }
            DocumentSource::NotInline if position.newest => {
                return Err(FieldError::unavailable(
                    "document URLs and files are not available on Amazon Bedrock; \
                     send the document as base64 data or text",
                )
                .within("source"));
            }
            DocumentSource::NotInline => {
                self.omitted("document");
                return Ok(());
            }
        };
        self.push(Part::Document(DocumentPart {
            name: String::new(),
            content,
            document,
        }));
        Ok(())
    }

    fn omitted(&mut self, name: &str) {
        self.losses.add(format!("block:{name}"));
        self.push(Part::text(format!("[{name} omitted]")));
    }

    fn search_result(&mut self, result: &'r SearchResult<'_>) {
        if result.texts.iter().all(|text| is_blank(text)) {
            self.losses.add("block:search_result");
        } else {
            self.push(Part::SearchResult(result));
        }
    }

    fn reference(&mut self, name: &'r str, block: &'r Block<'_>) -> Result<(), FieldError> {
        // Bedrock refuses a reference to a tool that is not in the request, but accepts text about
        // it.
        if self.context.tool_search && self.tool_names.contains(name) {
            let source = Object::read(block.source)?;
            self.push(Part::Native(source.without(&["cache_control"])));
        } else {
            let name = self.names.tool(name);
            self.push(Part::text(format!("Tool loaded: {name}")));
        }
        Ok(())
    }

    fn tool_result(
        &mut self,
        id: &'r str,
        content: &'r [Block<'_>],
        is_error: Option<bool>,
        position: BlockPosition,
    ) -> Result<(), FieldError> {
        let mut inner = BlockReader {
            tool_names: self.tool_names,
            context: self.context,
            names: self.names,
            losses: self.losses,
            parts: Vec::new(),
        };
        let mut cache = None;
        for (nth, block) in content.iter().enumerate() {
            inner
                .block(block, position)
                .map_err(|error| error.within(nth).within("content"))?;
            // Bedrock allows no cache point inside a result, only after it.
            cache = block.cache.or(cache);
        }
        let mut parts: Vec<_> = inner.parts.into_iter().map(|part| part.item).collect();
        if parts.is_empty() {
            parts.push(Part::text("(empty)"));
        }
        self.push(Part::ToolResult(ToolResult {
            id: names::call_id(id),
            parts,
            is_error,
        }));
        cache::add_cache_point(&mut self.parts, cache, self.losses);
        Ok(())
    }
}

/// Refuses a tool block in a message whose role does not allow it.
fn check_role(kind: &BlockKind<'_>, role: Role) -> Result<(), FieldError> {
    let (allowed, name) = match kind {
        BlockKind::ToolUse { .. } => (Role::Assistant, "assistant"),
        BlockKind::ToolResult { .. } => (Role::User, "user"),
        BlockKind::ToolChange(_) => (Role::System, "system"),
        _ => return Ok(()),
    };
    if role == allowed {
        return Ok(());
    }
    Err(FieldError::new(format!(
        "`{}` blocks can only be in `{name}` messages",
        block_name(kind)
    )))
}

fn system_reminder(text: &str) -> String {
    format!("<system-reminder>\n{text}\n</system-reminder>")
}

fn block_name<'r>(kind: &'r BlockKind<'_>) -> &'r str {
    match kind {
        BlockKind::Text(_) => "text",
        BlockKind::Image(_) => "image",
        BlockKind::Document(_) => "document",
        BlockKind::ToolUse { .. } => "tool_use",
        BlockKind::ToolResult { .. } => "tool_result",
        BlockKind::ToolReference { .. } => "tool_reference",
        BlockKind::Thinking { .. } => "thinking",
        BlockKind::RedactedThinking { .. } => "redacted_thinking",
        BlockKind::SearchResult(_) => "search_result",
        BlockKind::ToolChange(ToolChange::Remove(_) | ToolChange::Unknown { addition: false }) => {
            "tool_removal"
        }
        BlockKind::ToolChange(_) => "tool_addition",
        BlockKind::MidConversationSystem { .. } => "mid_conv_system",
        BlockKind::Server { name } | BlockKind::Unknown { name } => name,
    }
}
