//! `ConverseStream` as Anthropic's stream: a state machine.

use std::borrow::Cow;

use domain::usage::TokenUsage;

use super::anthropic::{Block, Delta, Event, MessageEnd, MessageHead, NoInput};
use super::order::{BlockEvent, BlockOrder};
use super::{BlockDelta, BlockStart, ConverseEvent, Fault, StreamEnd};
use crate::error::{BedrockError, BedrockFailure, classify};
use crate::reply::{Citation, ConverseUsage, Stop, WireUsage};
use crate::{Losses, ReplyContext};

/// Translates one `ConverseStream` answer, event by event.
///
/// ```text
///            any event           messageStop
///  Waiting ────────────► Writing ───────────► Stopped
///     │                     │                    │ metadata (or had it before), end, failure
///     │ end, failure        │ end, failure       ▼
///     └────────────────► Failed              Complete
/// ```
///
/// | state \ input | content event | `messageStop` | `metadata` | end of stream | failure |
/// |---|---|---|---|---|---|
/// | `Waiting` | `message_start`, `ping`; then as `Writing` | same | same | same, `error`; `Failed` | same |
/// | `Writing` | see below | closes the block; `Stopped` | kept | `error`; `Failed` | `error`; `Failed` |
/// | `Stopped` | nothing | nothing | `message_delta`, `message_stop`; `Complete` | same, usage unknown | same, usage unknown |
/// | `Failed` | nothing | nothing | kept | nothing | nothing |
/// | `Complete` | nothing | nothing | nothing | nothing | nothing |
///
/// After `messageStop` the answer is whole, so a failure costs only the token counts. A malformed
/// stop reason is a failure.
///
/// Content: blocks are written one after the other (`BlockOrder`). Bedrock announces tools but neither
/// text nor thinking, so a delta of another kind than the open block's closes that one and opens its
/// own. Indexes are counted anew: 0, 1, 2, …. A piece of a tool's input without its call ends the stream
/// with an error, because what was written of that call would look whole.
///
/// A text block opens with its first visible character, because Anthropic refuses blank text blocks when
/// the client sends them back. Citations that come before it are written first, as Anthropic does. A block
/// of blank text becomes the beginning of the text block after it.
///
/// Signatures are gathered and written once at the block's end, because clients replace rather than
/// append; redacted thinking is gathered, because Anthropic writes it in one piece.
#[derive(Debug)]
pub struct StreamTranslator {
    message_id: String,
    request_id: String,
    context: ReplyContext,
    state: State,
    order: BlockOrder,
    open: Option<OpenBlock>,
    fault: Option<Fault>,
    /// Blank text whose block has ended: the beginning of the next text block.
    blank: String,
    /// How many blocks were begun on the wire; the open one is the last of them.
    blocks: u32,
    called_a_tool: bool,
    usage: Option<TokenUsage>,
    losses: Losses,
}

#[derive(Debug)]
enum State {
    Waiting,
    Writing,
    Stopped {
        stop_reason: &'static str,
        stop_sequence: Option<String>,
    },
    Complete {
        stop_reason: &'static str,
    },
    Failed,
}

#[derive(Debug)]
struct OpenBlock {
    bedrock_index: i64,
    content: Content,
}

/// What of the open block is written already, and what waits for its end.
#[derive(Debug)]
enum Content {
    /// Announced as something that no Anthropic message holds, or as nothing; nothing is written.
    Unknown,
    /// Only white space and citations so far; nothing is written.
    BlankText {
        text: String,
        citations: Vec<Citation>,
    },
    /// `content_block_start` is written.
    Text,
    /// `content_block_start` is written.
    Thinking { signature: String },
    /// Nothing is written.
    Redacted { data: Vec<u8> },
    /// `content_block_start` is written.
    Tool,
}

impl StreamTranslator {
    /// A translator for one answer.
    ///
    /// `message_id` becomes the message's `id` (`msg_…`), because Converse has none. `request_id`
    /// stands in an error event.
    pub fn new(
        message_id: impl Into<String>,
        request_id: impl Into<String>,
        context: ReplyContext,
    ) -> Self {
        Self {
            message_id: message_id.into(),
            request_id: request_id.into(),
            context,
            state: State::Waiting,
            order: BlockOrder::default(),
            open: None,
            fault: None,
            blank: String::new(),
            blocks: 0,
            called_a_tool: false,
            usage: None,
            losses: Losses::default(),
        }
    }

    /// Takes Bedrock's next event and appends what the client is told of it.
    pub fn push(&mut self, event: ConverseEvent<'_>, out: &mut Vec<u8>) {
        self.begin(out);
        match event {
            ConverseEvent::Metadata(usage) => match self.state {
                State::Complete { .. } => {}
                // A failed answer costs something all the same.
                State::Waiting | State::Writing | State::Failed => self.count(&usage),
                State::Stopped { .. } => {
                    self.count(&usage);
                    self.complete(out);
                }
            },
            _ if !matches!(self.state, State::Writing) => {}
            ConverseEvent::BlockStart { index, start } => {
                self.take(index, BlockEvent::Start(start), out);
            }
            ConverseEvent::BlockDelta { index, delta } => {
                self.take(index, BlockEvent::Delta(delta), out);
            }
            ConverseEvent::BlockStop { index } => self.take(index, BlockEvent::Stop, out),
            ConverseEvent::MessageStop {
                stop_reason,
                stop_sequence,
            } => {
                self.stop(&stop_reason, stop_sequence.map(Cow::into_owned), out);
            }
            ConverseEvent::MessageStart => {}
            ConverseEvent::Unknown => self.losses.add("reply:event"),
        }
    }

    /// Appends a keep-alive, unless the stream is over.
    pub fn ping(&mut self, out: &mut Vec<u8>) {
        // The first event brings one by itself.
        if !self.begin(out) && self.end().is_none() {
            out.extend_from_slice(crate::sse::PING);
        }
    }

    /// Takes the end of Bedrock's stream. Without `messageStop` before it, that is a failure.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.fail_with(Fault::Cut, out);
    }

    /// Takes an exception in the stream, a lost connection or a time-out.
    pub fn fail(&mut self, error: &BedrockError, out: &mut Vec<u8>) {
        self.begin(out);
        match self.state {
            State::Stopped { .. } => self.complete(out),
            State::Complete { .. } | State::Failed => {}
            State::Waiting | State::Writing => {
                let kind = error.stream_error_type();
                crate::sse::error_event(out, kind, &error.message, &self.request_id);
                self.state = State::Failed;
            }
        }
    }

    /// Ends the stream for a reason that the translation itself found.
    fn fail_with(&mut self, fault: Fault, out: &mut Vec<u8>) {
        self.fail(&classify(&fault.as_failure()), out);
        if self.end() == Some(StreamEnd::Failed) {
            self.fault.get_or_insert(fault);
        }
    }

    /// Why the stream failed, when neither an exception nor the connection did it.
    pub fn failure(&self) -> Option<BedrockFailure<'_>> {
        self.fault.as_ref().map(Fault::as_failure)
    }

    /// How the stream ended, once it has. Nothing is written afterwards.
    pub fn end(&self) -> Option<StreamEnd> {
        match self.state {
            State::Waiting | State::Writing | State::Stopped { .. } => None,
            State::Complete { .. } => Some(StreamEnd::Complete),
            State::Failed => Some(StreamEnd::Failed),
        }
    }

    /// Whether content, or the end of an answer without content, has been written. Before that,
    /// what was written may be thrown away and another answer given instead.
    pub fn has_content(&self) -> bool {
        self.blocks > 0 || matches!(self.state, State::Complete { .. })
    }

    /// The token counts, as far as they were told.
    pub fn usage(&self) -> TokenUsage {
        self.usage.unwrap_or_default()
    }

    /// Anthropic's `stop_reason`, once the message is complete.
    pub fn stop_reason(&self) -> Option<&str> {
        match self.state {
            State::Stopped { stop_reason, .. } | State::Complete { stop_reason } => {
                Some(stop_reason)
            }
            State::Waiting | State::Writing | State::Failed => None,
        }
    }

    /// Parts of the answer that an Anthropic message cannot hold.
    pub fn losses(&self) -> &Losses {
        &self.losses
    }

    /// Writes `message_start` if it has not been; true when it did.
    fn begin(&mut self, out: &mut Vec<u8>) -> bool {
        if !matches!(self.state, State::Waiting) {
            return false;
        }
        let message = MessageHead::new(&self.message_id, &self.context.requested_model);
        Event::MessageStart { message }.write(out);
        out.extend_from_slice(crate::sse::PING);
        self.state = State::Writing;
        true
    }

    fn count(&mut self, usage: &ConverseUsage) {
        self.usage.get_or_insert(usage.tokens());
    }

    /// Takes an event of a block, and writes what may be written now.
    fn take(&mut self, index: i64, event: BlockEvent<'_>, out: &mut Vec<u8>) {
        let mut order = std::mem::take(&mut self.order);
        order.take(index, event, |index, event| self.write(index, event, out));
        self.order = order;
    }

    fn write(&mut self, index: i64, event: BlockEvent<'_>, out: &mut Vec<u8>) {
        if !matches!(self.state, State::Writing) {
            return;
        }
        match event {
            BlockEvent::Start(start) => self.start_block(index, &start, out),
            BlockEvent::Delta(delta) => self.add(index, delta, out),
            // A late stop of a block that was closed already must not close its successor.
            BlockEvent::Stop if self.open_content(index).is_some() => self.close_block(out),
            BlockEvent::Stop => {}
        }
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

    fn add(&mut self, index: i64, delta: BlockDelta<'_>, out: &mut Vec<u8>) {
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
                    _ => self.fail_with(Fault::Unreadable, out),
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

    /// What is held of the block's text, and of the blank text before the block. Closes every other
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

    /// Ends the open block, if there is one, with what was gathered for it.
    fn close_block(&mut self, out: &mut Vec<u8>) {
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
                // Bedrock's bytes are the text of Anthropic's `data`.
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

    fn stop(&mut self, bedrock: &str, sequence: Option<String>, out: &mut Vec<u8>) {
        let stop = Stop::read(bedrock);
        if stop == Stop::Unknown {
            self.losses.add("reply:stop_reason");
        }
        if stop == Stop::Malformed {
            // The open block stays open: what was written of it is not to be used.
            self.fail_with(Fault::MalformedOutput, out);
            return;
        }
        let mut order = std::mem::take(&mut self.order);
        order.release_all(|index, event| self.write(index, event, out));
        // What was released may have ended the stream.
        let is_writing = matches!(self.state, State::Writing);
        let stop_reason = stop.anthropic(self.called_a_tool);
        let Some(stop_reason) = stop_reason.filter(|_| is_writing) else {
            return;
        };
        self.close_block(out);
        let stop_sequence = sequence.filter(|_| stop_reason == "stop_sequence");
        self.state = State::Stopped {
            stop_reason,
            stop_sequence,
        };
        if self.usage.is_some() {
            self.complete(out);
        }
    }

    /// Writes the end of the message: the stop reason, and every count, for `message_start` had
    /// none.
    fn complete(&mut self, out: &mut Vec<u8>) {
        let State::Stopped {
            stop_reason,
            stop_sequence,
        } = &self.state
        else {
            return;
        };
        let safeguards = self.context.safeguards_requested;
        let delta = MessageEnd::new(stop_reason, stop_sequence.as_deref(), safeguards);
        Event::MessageDelta {
            delta,
            usage: WireUsage::in_stream(&self.usage()),
        }
        .write(out);
        Event::MessageStop.write(out);
        self.state = State::Complete { stop_reason };
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
