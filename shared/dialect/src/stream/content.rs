//! The content blocks of a `ConverseStream` response, as events of Anthropic's stream.

use super::anthropic::{Block, Delta, Event, NoInput};
use super::event::{BlockDelta, BlockStart};
use super::failure::StreamFault;
use super::order::BlockEvent;
use crate::reply::Citation;
use crate::{Losses, ReplyContext};

/// Writes the content blocks of one message one after the other.
///
/// Bedrock announces tools but neither text nor thinking, so a delta of another kind than that of
/// the open block closes the block and opens a new one. Indexes are renumbered: 0, 1, 2, …. A piece
/// of a tool's input without its call is a fault, because the incomplete call would look complete.
///
/// A text block opens with its first visible character, because Anthropic refuses blank text blocks
/// when the client sends them back. Earlier citations of the block are written first, as Anthropic
/// does. A block of blank text becomes the start of the text block after it.
///
/// A signature is written in one piece at the end of the block, because clients replace an earlier
/// one; redacted thinking is written in one piece, as Anthropic does.
#[derive(Debug)]
pub(super) struct ContentWriter {
    context: ReplyContext,
    losses: Losses,
    open: Option<OpenBlock>,
    /// Blank text of ended blocks: the start of the next text block.
    blank: String,
    /// The number of blocks that have been started; the open one is the last.
    blocks: u32,
    called_a_tool: bool,
}

#[derive(Debug)]
struct OpenBlock {
    bedrock_index: i64,
    content: Content,
}

/// The kind of the open block, with the content that is written at its end.
#[derive(Debug)]
enum Content {
    /// A block without a kind, or of a kind that an Anthropic message cannot hold; nothing is
    /// written.
    Unknown,
    /// Only white space and citations so far; nothing is written yet.
    BlankText {
        text: String,
        citations: Vec<Citation>,
    },
    /// `content_block_start` is written.
    Text,
    /// `content_block_start` is written.
    Thinking { signature: String },
    /// Nothing is written yet.
    Redacted { data: Vec<u8> },
    /// `content_block_start` is written.
    Tool,
}

impl ContentWriter {
    pub(super) fn new(context: ReplyContext) -> Self {
        Self {
            context,
            losses: Losses::default(),
            open: None,
            blank: String::new(),
            blocks: 0,
            called_a_tool: false,
        }
    }

    pub(super) fn context(&self) -> &ReplyContext {
        &self.context
    }

    /// Records a part of the response that an Anthropic message cannot hold.
    pub(super) fn add_loss(&mut self, name: &str) {
        self.losses.add(name);
    }

    pub(super) fn losses(&self) -> &Losses {
        &self.losses
    }

    /// Returns true when a block has been started.
    pub(super) fn has_blocks(&self) -> bool {
        self.blocks > 0
    }

    /// Returns true when the message calls a tool of the client.
    pub(super) fn called_a_tool(&self) -> bool {
        self.called_a_tool
    }

    /// Writes one event of the block with Bedrock's number `index`.
    ///
    /// # Errors
    /// [`StreamFault`] when the event is not allowed at this point. Nothing may be written
    /// afterwards.
    pub(super) fn write(
        &mut self,
        index: i64,
        event: BlockEvent<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), StreamFault> {
        match event {
            BlockEvent::Start(start) => self.start_block(index, &start, out),
            BlockEvent::Delta(delta) => return self.add(index, delta, out),
            // A late stop of a closed block must not close the next block.
            BlockEvent::Stop if self.open_content(index).is_some() => self.close_block(out),
            BlockEvent::Stop => {}
        }
        Ok(())
    }

    fn start_block(&mut self, index: i64, start: &BlockStart<'_>, out: &mut Vec<u8>) {
        self.close_block(out);
        match start {
            BlockStart::ToolUse { id, name } => {
                let name = self.context.tool_name(name).to_owned();
                self.start(
                    Block::ToolUse {
                        id,
                        name: &name,
                        input: NoInput {},
                    },
                    out,
                );
                self.called_a_tool = true;
                self.opened(index, Content::Tool);
            }
            BlockStart::ServerToolUse => {
                self.losses.add("reply:server_tool_use");
                self.opened(index, Content::Unknown);
            }
            BlockStart::Other => self.opened(index, Content::Unknown),
        }
    }

    fn add(
        &mut self,
        index: i64,
        delta: BlockDelta<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), StreamFault> {
        match delta {
            BlockDelta::Text(text) if !text.is_empty() => self.add_text(index, &text, out),
            BlockDelta::Reasoning(thinking) if !thinking.is_empty() => {
                self.open_thinking(index, out);
                self.delta(
                    Delta::Thinking {
                        thinking: &thinking,
                    },
                    out,
                );
            }
            BlockDelta::Signature(part) if !part.is_empty() => {
                self.open_thinking(index, out);
                if let Some(Content::Thinking { signature }) = self.open_content(index) {
                    signature.push_str(&part);
                }
            }
            BlockDelta::Redacted(part) if !part.is_empty() => {
                if let Some(Content::Redacted { data }) = self.open_content(index) {
                    data.extend_from_slice(&part);
                } else {
                    self.close_block(out);
                    self.opened(
                        index,
                        Content::Redacted {
                            data: part.into_owned(),
                        },
                    );
                }
            }
            BlockDelta::ToolInput(partial_json) if !partial_json.is_empty() => {
                match self.open_content(index) {
                    Some(Content::Tool) => self.delta(
                        Delta::InputJson {
                            partial_json: &partial_json,
                        },
                        out,
                    ),
                    Some(Content::Unknown) => self.losses.add("reply:content_block"),
                    _ => return Err(StreamFault::Unreadable),
                }
            }
            BlockDelta::Citation(citation) => self.add_citation(index, citation, out),
            BlockDelta::Unknown => self.losses.add("reply:content_block"),
            // Empty pieces add nothing.
            BlockDelta::Text(_)
            | BlockDelta::Reasoning(_)
            | BlockDelta::Signature(_)
            | BlockDelta::Redacted(_)
            | BlockDelta::ToolInput(_)
            | BlockDelta::Empty => {}
        }
        Ok(())
    }

    fn add_text(&mut self, index: i64, text: &str, out: &mut Vec<u8>) {
        if let Some(Content::Text) = self.open_content(index) {
            self.delta(Delta::Text { text }, out);
            return;
        }
        let (mut held, citations) = self.take_blank_text(index, out);
        held.push_str(text);
        if held.trim().is_empty() {
            let text = held;
            self.opened(index, Content::BlankText { text, citations });
            return;
        }
        let is_cited = !citations.is_empty();
        self.start(
            Block::Text {
                text: "",
                citations: is_cited.then_some([]),
            },
            out,
        );
        self.opened(index, Content::Text);
        for citation in &citations {
            self.cite(citation, out);
        }
        self.delta(Delta::Text { text: &held }, out);
    }

    fn add_citation(&mut self, index: i64, citation: Citation, out: &mut Vec<u8>) {
        if let Some(Content::Text) = self.open_content(index) {
            self.cite(&citation, out);
            return;
        }
        let (text, mut citations) = self.take_blank_text(index, out);
        citations.push(citation);
        self.opened(index, Content::BlankText { text, citations });
    }

    fn cite(&mut self, citation: &Citation, out: &mut Vec<u8>) {
        match citation.wire(&self.context) {
            Some(citation) => self.delta(Delta::Citations { citation }, out),
            None => self.losses.add("reply:citation"),
        }
    }

    /// Takes the blank text before and in the block, and the block's citations. Closes every other
    /// block.
    fn take_blank_text(&mut self, index: i64, out: &mut Vec<u8>) -> (String, Vec<Citation>) {
        if let Some(Content::BlankText { text, citations }) = self.open_content(index) {
            return (std::mem::take(text), std::mem::take(citations));
        }
        self.close_block(out);
        (std::mem::take(&mut self.blank), Vec::new())
    }

    fn open_thinking(&mut self, index: i64, out: &mut Vec<u8>) {
        if !matches!(self.open_content(index), Some(Content::Thinking { .. })) {
            self.close_block(out);
            self.start(
                Block::Thinking {
                    thinking: "",
                    signature: "",
                },
                out,
            );
            self.opened(
                index,
                Content::Thinking {
                    signature: String::new(),
                },
            );
        }
    }

    /// Writes the end of the open block, if there is one.
    pub(super) fn close_block(&mut self, out: &mut Vec<u8>) {
        let Some(OpenBlock { content, .. }) = self.open.take() else {
            return;
        };
        match content {
            Content::Unknown => return,
            Content::BlankText { text, citations } => {
                if !citations.is_empty() {
                    self.losses.add("reply:citation");
                }
                self.blank = text;
                return;
            }
            Content::Text | Content::Tool => {}
            Content::Thinking { signature } => {
                if !signature.is_empty() {
                    self.delta(
                        Delta::Signature {
                            signature: &signature,
                        },
                        out,
                    );
                }
            }
            Content::Redacted { data } => {
                // Bedrock's bytes are Anthropic's `data`.
                let Ok(data) = String::from_utf8(data) else {
                    self.losses.add("reply:redacted_thinking");
                    return;
                };
                self.start(Block::RedactedThinking { data: &data }, out);
            }
        }
        Event::ContentBlockStop {
            index: self.last_index(),
        }
        .write(out);
    }

    fn open_content(&mut self, index: i64) -> Option<&mut Content> {
        let open = self
            .open
            .as_mut()
            .filter(|open| open.bedrock_index == index);
        open.map(|open| &mut open.content)
    }

    fn opened(&mut self, bedrock_index: i64, content: Content) {
        self.open = Some(OpenBlock {
            bedrock_index,
            content,
        });
    }

    fn start(&mut self, content_block: Block<'_>, out: &mut Vec<u8>) {
        self.blank.clear();
        Event::ContentBlockStart {
            index: self.blocks,
            content_block,
        }
        .write(out);
        self.blocks = self.blocks.saturating_add(1);
    }

    fn delta(&self, delta: Delta<'_>, out: &mut Vec<u8>) {
        Event::ContentBlockDelta {
            index: self.last_index(),
            delta,
        }
        .write(out);
    }

    fn last_index(&self) -> u32 {
        self.blocks.saturating_sub(1)
    }
}
