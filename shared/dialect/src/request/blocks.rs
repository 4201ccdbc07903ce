//! Content blocks of a request, read into parts.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::anthropic::{
    Block, Document, Image, Kind, Message, Role, SearchResult, Source, ToolChange, is_blank,
};
use super::cache::{self, Marked};
use super::json::{Fault, Object};
use super::names::{self, Names};
use super::parts::{Paper, PaperContent, Part, ToolResult};
use super::server;
use super::terms::{Terms, Wire};
use crate::{Losses, Refused, token};

/// Where a block stands.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) role: Role,
    /// In the newest message of the user: what cannot be sent from there is an error, because the
    /// answer would be about something the model never saw. In older ones it is left out.
    pub(super) newest: bool,
}

/// Reads the blocks of one message into parts.
pub(super) struct Reader<'r, 'x> {
    /// The names of the request's tools.
    pub(super) listed: &'x BTreeSet<&'r str>,
    pub(super) terms: &'x Terms<'x>,
    pub(super) names: &'x mut Names,
    pub(super) losses: &'x mut Losses,
    pub(super) parts: Vec<Marked<Part<'r>>>,
}

impl<'r> Reader<'r, '_> {
    pub(super) fn message(
        &mut self,
        message: &'r Message<'_>,
        place: Place,
        native_system: bool,
    ) -> Result<(), Fault> {
        for (nth, block) in message.blocks.iter().enumerate() {
            if message.role == Role::System && !native_system {
                self.reminder(block);
            } else {
                self.block(block, place)
                    .map_err(|fault| fault.within(nth).within("content"))?;
            }
            cache::mark(&mut self.parts, block.cache, self.losses);
        }
        Ok(())
    }

    /// A system message inside the conversation, told by the user where it stands: hoisting it
    /// to the top would change the prefix of every later request.
    fn reminder(&mut self, block: &'r Block<'_>) {
        match &block.kind {
            Kind::Text(text) if is_blank(text) => {}
            Kind::Text(text) => self.push(Part::text(reminder_text(text))),
            Kind::ToolChange(change) => self.tool_change(change),
            other => self.losses.add(format!("block:{}", block_name(other))),
        }
    }

    /// A change of the tools: as it is where the target takes it, else in words, because the tools
    /// of the whole request are those of its end.
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
        if self.terms.tool_changes {
            self.push(Part::ToolChange { addition, name });
        } else if addition {
            self.losses.add("block:tool_addition");
            self.push(Part::text(reminder_text(&format!("Tool added: {name}"))));
        } else {
            self.losses.add("block:tool_removal");
            self.push(Part::text(reminder_text(&format!(
                "Tool removed: {name}. Do not call it any more."
            ))));
        }
    }

    fn push(&mut self, part: Part<'r>) {
        self.parts.push(part.into());
    }

    fn block(&mut self, block: &'r Block<'_>, place: Place) -> Result<(), Fault> {
        check_role(&block.kind, place.role)?;
        let assistant = place.role == Role::Assistant;
        match &block.kind {
            Kind::Text(text) => self.text(text, block),
            Kind::ToolUse {
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
            Kind::ToolResult {
                id,
                content,
                is_error,
            } => self.tool_result(id, content, *is_error, place)?,
            Kind::Thinking { text, signature } if assistant => {
                self.thinking(text, signature.as_deref());
            }
            Kind::RedactedThinking { data } if assistant => self.redacted(data),
            Kind::Thinking { .. } | Kind::RedactedThinking { .. } => {
                self.losses.add("block:thinking");
            }
            Kind::Image(_) | Kind::Document(_) | Kind::SearchResult(_) if assistant => {
                self.omitted(block_name(&block.kind));
            }
            Kind::Image(image) => self.image(image, place)?,
            Kind::Document(document) => self.document(document, place)?,
            Kind::SearchResult(result) => self.search_result(result),
            Kind::ToolReference { name } => self.reference(name, block)?,
            Kind::MidConversationSystem { content } => {
                self.losses.add("block:mid_conv_system");
                for block in content {
                    self.reminder(block);
                }
            }
            Kind::ToolChange(change) => self.tool_change(change),
            Kind::Server { name } => self.server(name, block)?,
            Kind::Unknown { name } if place.newest => {
                return Err(Fault::unavailable(format!(
                    "content blocks of type '{}' are not available on Amazon Bedrock",
                    token(name)
                ))
                .within("type"));
            }
            Kind::Unknown { name } => self.losses.add(format!("block:{name}")),
        }
        Ok(())
    }

    /// A block of a tool that Anthropic's servers ran: as it is where the target takes it, else as
    /// text.
    fn server(&mut self, name: &str, block: &'r Block<'_>) -> Result<(), Fault> {
        let source = Object::read(block.source)?;
        if self.terms.wire == Wire::Invoke && self.native(block) {
            self.push(Part::Native(source.without(&["cache_control"])));
            return Ok(());
        }
        self.losses.add(format!("block:{name}"));
        if let Some(summary) = server::summary(name, &source) {
            self.push(Part::text(summary));
        }
        Ok(())
    }

    /// Whether `InvokeModel` takes this server block: the beta that it needs must go along.
    fn native(&self, block: &Block<'_>) -> bool {
        match &block.kind {
            Kind::Server { name } if name == "compaction" => false,
            Kind::Server { name } if name == "tool_search_tool_result" => self.terms.tool_search,
            Kind::Server { name } if name == "server_tool_use" => {
                self.terms.tool_search || !server::is_tool_search(block.source)
            }
            _ => true,
        }
    }

    fn text(&mut self, text: &'r str, block: &'r Block<'_>) {
        if is_blank(text) {
            return;
        }
        let citations = block.citations;
        if citations.is_some() && self.terms.wire == Wire::Converse {
            self.losses.add("citations");
        }
        self.push(Part::Text {
            text: Cow::Borrowed(text),
            citations,
        });
    }

    fn thinking(&mut self, text: &'r str, signature: Option<&'r str>) {
        match signature {
            _ if self.terms.learned.contains(&Refused::ThinkingHistory) => {
                self.losses.add("block:thinking");
            }
            Some(signature) if !is_blank(signature) => {
                self.push(Part::Thinking { text, signature });
            }
            _ => self.losses.add("block:thinking.unsigned"),
        }
    }

    fn redacted(&mut self, data: &'r str) {
        let refused = self.terms.learned.contains(&Refused::ThinkingHistory);
        // What Claude encrypted is ASCII; anything else was never valid.
        if refused || is_blank(data) || !data.is_ascii() {
            self.losses.add("block:redacted_thinking");
        } else {
            self.push(Part::Redacted { data });
        }
    }

    fn image(&mut self, image: &'r Image<'_>, place: Place) -> Result<(), Fault> {
        match image {
            Image::Data { format, data } => self.push(Part::Image { format, data }),
            Image::Elsewhere if place.newest => {
                return Err(Fault::unavailable(
                    "image URLs and files are not available on Amazon Bedrock; \
                     send the image as base64 data",
                )
                .within("source"));
            }
            Image::Elsewhere => self.omitted("image"),
        }
        Ok(())
    }

    fn document(&mut self, document: &'r Document<'_>, place: Place) -> Result<(), Fault> {
        let content = match &document.source {
            Source::Pdf(data) => PaperContent::Pdf(data),
            Source::Text(text) if is_blank(text) => {
                self.losses.add("block:document");
                return Ok(());
            }
            Source::Text(text) => PaperContent::Text(text),
            Source::Blocks(blocks) => {
                let mut texts = Vec::new();
                for (nth, block) in blocks.iter().enumerate() {
                    match &block.kind {
                        Kind::Text(text) if is_blank(text) => {}
                        Kind::Text(text) => texts.push(text.as_ref()),
                        // A document of Bedrock's holds text only; the images stand beside it.
                        Kind::Image(image) => {
                            self.image(image, place)
                                .map_err(|fault| fault.within(nth))?;
                        }
                        other => self.losses.add(format!("block:{}", block_name(other))),
                    }
                }
                if texts.is_empty() {
                    return Ok(());
                }
                PaperContent::Texts(texts)
            }
            Source::Elsewhere if place.newest => {
                return Err(Fault::unavailable(
                    "document URLs and files are not available on Amazon Bedrock; \
                     send the document as base64 data or text",
                )
                .within("source"));
            }
            Source::Elsewhere => {
                self.omitted("document");
                return Ok(());
            }
        };
        self.push(Part::Document(Paper {
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

    fn reference(&mut self, name: &'r str, block: &'r Block<'_>) -> Result<(), Fault> {
        // A reference to a tool that is not in the request is refused, a sentence about it is not.
        if self.terms.tool_search && self.listed.contains(name) {
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
        place: Place,
    ) -> Result<(), Fault> {
        let mut inner = Reader {
            listed: self.listed,
            terms: self.terms,
            names: self.names,
            losses: self.losses,
            parts: Vec::new(),
        };
        let mut cache = None;
        for (nth, block) in content.iter().enumerate() {
            inner
                .block(block, place)
                .map_err(|fault| fault.within(nth).within("content"))?;
            // Bedrock has no cache point inside a result; the one place left is behind it.
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
        cache::mark(&mut self.parts, cache, self.losses);
        Ok(())
    }
}

/// Refuses a block of a tool in a message of another role than the one that Anthropic allows.
fn check_role(kind: &Kind<'_>, role: Role) -> Result<(), Fault> {
    let (allowed, name) = match kind {
        Kind::ToolUse { .. } => (Role::Assistant, "assistant"),
        Kind::ToolResult { .. } => (Role::User, "user"),
        Kind::ToolChange(_) => (Role::System, "system"),
        _ => return Ok(()),
    };
    if role == allowed {
        return Ok(());
    }
    Err(Fault::new(format!(
        "`{}` blocks can only be in `{name}` messages",
        block_name(kind)
    )))
}

fn reminder_text(text: &str) -> String {
    format!("<system-reminder>\n{text}\n</system-reminder>")
}

fn block_name<'r>(kind: &'r Kind<'_>) -> &'r str {
    match kind {
        Kind::Text(_) => "text",
        Kind::Image(_) => "image",
        Kind::Document(_) => "document",
        Kind::ToolUse { .. } => "tool_use",
        Kind::ToolResult { .. } => "tool_result",
        Kind::ToolReference { .. } => "tool_reference",
        Kind::Thinking { .. } => "thinking",
        Kind::RedactedThinking { .. } => "redacted_thinking",
        Kind::SearchResult(_) => "search_result",
        Kind::ToolChange(ToolChange::Remove(_) | ToolChange::Unknown { addition: false }) => {
            "tool_removal"
        }
        Kind::ToolChange(_) => "tool_addition",
        Kind::MidConversationSystem { .. } => "mid_conv_system",
        Kind::Server { name } | Kind::Unknown { name } => name,
    }
}
