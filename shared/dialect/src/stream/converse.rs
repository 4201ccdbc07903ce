//! `ConverseStream` as Anthropic's stream: a state machine.

use std::borrow::Cow;

use domain::usage::TokenUsage;

use super::anthropic::{Event, MessageEnd, MessageHead};
use super::content::ContentWriter;
use super::event::ConverseEvent;
use super::failure::{StreamEnd, StreamErrorEvent, StreamFault};
use super::order::{BlockEvent, BlockOrder};
use crate::error::{BedrockError, BedrockFailure};
use crate::reply::{ConverseUsage, StopReason, WireUsage};
use crate::{Losses, ReplyContext};

/// Translates one `ConverseStream` response, event by event.
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
/// After `messageStop` the response is complete, so a failure loses only the token counts. A
/// malformed stop reason is a failure.
///
/// Content: blocks are written one after the other (`BlockOrder`, `ContentWriter`).
#[derive(Debug)]
pub struct StreamTranslator {
    message_id: String,
    state: State,
    order: BlockOrder,
    content: ContentWriter,
    errors: StreamErrorEvent,
    usage: Option<TokenUsage>,
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

impl StreamTranslator {
    /// A translator for one response.
    ///
    /// `message_id` becomes the message's `id` (`msg_…`), because Converse has none. `request_id`
    /// is written to an error event.
    pub fn new(
        message_id: impl Into<String>,
        request_id: impl Into<String>,
        context: ReplyContext,
    ) -> Self {
        Self {
            message_id: message_id.into(),
            state: State::Waiting,
            order: BlockOrder::default(),
            content: ContentWriter::new(context),
            errors: StreamErrorEvent::new(request_id),
            usage: None,
        }
    }

    /// Translates Bedrock's next event and appends the client's events.
    pub fn push(&mut self, event: ConverseEvent<'_>, out: &mut Vec<u8>) {
        self.start_message(out);
        match event {
            ConverseEvent::Metadata(usage) => match self.state {
                State::Complete { .. } => {}
                // A failed response is billed as well.
                State::Waiting | State::Writing | State::Failed => self.count(&usage),
                State::Stopped { .. } => {
                    self.count(&usage);
                    self.complete(out);
                }
            },
            _ if !matches!(self.state, State::Writing) => {}
            ConverseEvent::BlockStart { index, start } => {
                self.write_in_order(index, BlockEvent::Start(start), out);
            }
            ConverseEvent::BlockDelta { index, delta } => {
                self.write_in_order(index, BlockEvent::Delta(delta), out);
            }
            ConverseEvent::BlockStop { index } => self.write_in_order(index, BlockEvent::Stop, out),
            ConverseEvent::MessageStop {
                stop_reason,
                stop_sequence,
            } => {
                self.stop(&stop_reason, stop_sequence.map(Cow::into_owned), out);
            }
            ConverseEvent::MessageStart => {}
            ConverseEvent::Unknown => self.content.add_loss("reply:event"),
        }
    }

    /// Appends a keep-alive, unless the stream has ended.
    pub fn ping(&mut self, out: &mut Vec<u8>) {
        // `message_start` is followed by a ping.
        if !self.start_message(out) && self.end().is_none() {
            out.extend_from_slice(crate::sse::PING);
        }
    }

    /// Ends the stream at the end of Bedrock's stream, which is a failure before `messageStop`.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.end_with_fault(StreamFault::Cut, out);
    }

    /// Ends the stream after an exception, a lost connection or a time-out.
    pub fn fail(&mut self, error: &BedrockError, out: &mut Vec<u8>) {
        self.start_message(out);
        match self.state {
            State::Stopped { .. } => self.complete(out),
            State::Complete { .. } | State::Failed => {}
            State::Waiting | State::Writing => {
                self.errors.write(error, out);
                self.state = State::Failed;
            }
        }
    }

    fn end_with_fault(&mut self, fault: StreamFault, out: &mut Vec<u8>) {
        self.fail(&fault.error(), out);
        if matches!(self.state, State::Failed) {
            self.errors.keep(fault);
        }
    }

    /// The failure that the translator itself found. None for an exception or a lost connection.
    pub fn failure(&self) -> Option<BedrockFailure<'_>> {
        self.errors.failure()
    }

    /// How the stream ended. None until it has; nothing is written afterwards.
    pub fn end(&self) -> Option<StreamEnd> {
        match self.state {
            State::Waiting | State::Writing | State::Stopped { .. } => None,
            State::Complete { .. } => Some(StreamEnd::Complete),
            State::Failed => Some(StreamEnd::Failed),
        }
    }

    /// Returns true when content, or the end of a message without content, has been written. Before
    /// that, the caller may discard the written bytes and return another response.
    pub fn has_content(&self) -> bool {
        self.content.has_blocks() || matches!(self.state, State::Complete { .. })
    }

    /// The token counts, as far as Bedrock has sent them.
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

    /// The parts of the response that an Anthropic message cannot hold.
    pub fn losses(&self) -> &Losses {
        self.content.losses()
    }

    /// Writes `message_start` before the first event. Returns true when it was written.
    fn start_message(&mut self, out: &mut Vec<u8>) -> bool {
        if !matches!(self.state, State::Waiting) {
            return false;
        }
        let message = MessageHead::new(&self.message_id, &self.content.context().requested_model);
        Event::MessageStart { message }.write(out);
        out.extend_from_slice(crate::sse::PING);
        self.state = State::Writing;
        true
    }

    fn count(&mut self, usage: &ConverseUsage) {
        self.usage.get_or_insert(usage.tokens());
    }

    /// Writes the events of blocks that may be written after this event.
    fn write_in_order(&mut self, index: i64, event: BlockEvent<'_>, out: &mut Vec<u8>) {
        let mut result = Ok(());
        let Self { order, content, .. } = self;
        order.take(index, event, |index, event| {
            if result.is_ok() {
                result = content.write(index, event, out);
            }
        });
        if let Err(fault) = result {
            self.end_with_fault(fault, out);
        }
    }

    /// Writes the events of blocks that still wait, at the end of the content.
    fn release_all(&mut self, out: &mut Vec<u8>) -> Result<(), StreamFault> {
        let mut result = Ok(());
        let Self { order, content, .. } = self;
        order.release_all(|index, event| {
            if result.is_ok() {
                result = content.write(index, event, out);
            }
        });
        result
    }

    fn stop(&mut self, bedrock: &str, sequence: Option<String>, out: &mut Vec<u8>) {
        let stop = StopReason::read(bedrock);
        if stop == StopReason::Unknown {
            self.content.add_loss("reply:stop_reason");
        }
        if stop == StopReason::Malformed {
            // The open block stays open, so that clients do not use it.
            self.end_with_fault(StreamFault::MalformedOutput, out);
            return;
        }
        if let Err(fault) = self.release_all(out) {
            self.end_with_fault(fault, out);
            return;
        }
        let Some(stop_reason) = stop.anthropic(self.content.called_a_tool()) else {
            return;
        };
        self.content.close_block(out);
        let stop_sequence = sequence.filter(|_| stop_reason == "stop_sequence");
        self.state = State::Stopped {
            stop_reason,
            stop_sequence,
        };
        if self.usage.is_some() {
            self.complete(out);
        }
    }

    /// Writes the end of the message: the stop reason, and all token counts, because
    /// `message_start` has none.
    fn complete(&mut self, out: &mut Vec<u8>) {
        let State::Stopped {
            stop_reason,
            stop_sequence,
        } = &self.state
        else {
            return;
        };
        let safeguards = self.content.context().safeguards_requested;
        let delta = MessageEnd::new(stop_reason, stop_sequence.as_deref(), safeguards);
        Event::MessageDelta {
            delta,
            usage: WireUsage::in_stream(&self.usage()),
        }
        .write(out);
        Event::MessageStop.write(out);
        self.state = State::Complete { stop_reason };
    }
}
