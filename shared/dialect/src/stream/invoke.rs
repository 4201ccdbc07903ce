//! `InvokeModelWithResponseStream` as Anthropic's stream: the events are copied with few changes.

use std::borrow::Cow;

use domain::usage::TokenUsage;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::failure::{StreamEnd, StreamErrorEvent, StreamFault};
use crate::error::{AnthropicError, BedrockError, BedrockFailure};
use crate::reply::{
    INVOCATION_METRICS, InvokeUsage, RawObject, SAFEGUARDS_UNAVAILABLE, restore_tool_name, to_raw,
};
use crate::sse::{PING, write_json, write_raw_event};
use crate::{Losses, ReplyContext};

/// Translates one `InvokeModelWithResponseStream` response, chunk by chunk. A chunk's bytes are one
/// event of Anthropic's stream as JSON.
///
/// ```text
///            message_start          message_stop
///  Waiting ────────────────► Writing ───────────► Complete
///     │                         │
///     │ end, failure            │ end, failure, an event out of order
///     └────────────────► Failed ◄┘
/// ```
///
/// | event | event for the client |
/// |---|---|
/// | `message_start` | with the requested model's name |
/// | `content_block_start` | unchanged, or with the client's name of the tool |
/// | `message_delta` | held until `message_stop`, which contains the missing counts |
/// | `message_stop` | without `amazon-bedrock-invocationMetrics` |
/// | `error` | an error by the classification of its type and message |
/// | repeated `message_start` of the same message | nothing |
/// | any other | unchanged, between `message_start` and the end |
///
/// An event that Anthropic's order does not allow (a delta without its block, a block inside a
/// block) ends the stream with an error after which clients resume, because they would stop reading
/// at such an event.
#[derive(Debug)]
pub struct InvokeTranslator {
    context: ReplyContext,
    errors: StreamErrorEvent,
    state: State,
    next_index: u64,
    /// The index of the block that is open.
    open: Option<u64>,
    /// `message_delta` events that wait for `message_stop`, because clients treat them as the end.
    held: Vec<Box<RawValue>>,
    /// The message's `id`.
    message_id: Option<String>,
    stop_reason: Option<String>,
    usage: TokenUsage,
    losses: Losses,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Writing,
    Complete,
    Failed,
}

/// The members of an event that decide its order.
#[derive(Deserialize)]
struct EventHead<'a> {
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    index: Option<u64>,
}

/// The member that Bedrock adds to `message_stop`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct InvocationMetrics {
    #[serde(rename = "inputTokenCount")]
    input: Option<u64>,
    #[serde(rename = "outputTokenCount")]
    output: Option<u64>,
    #[serde(rename = "cacheReadInputTokenCount")]
    cache_read: Option<u64>,
    #[serde(rename = "cacheWriteInputTokenCount")]
    cache_write: Option<u64>,
}

impl InvokeTranslator {
    /// A translator for one response. `request_id` is written to an error event.
    pub fn new(request_id: impl Into<String>, context: ReplyContext) -> Self {
        Self {
            context,
            errors: StreamErrorEvent::new(request_id),
            state: State::Waiting,
            next_index: 0,
            open: None,
            held: Vec::new(),
            message_id: None,
            stop_reason: None,
            usage: TokenUsage::default(),
            losses: Losses::default(),
        }
    }

    /// Translates the bytes of Bedrock's next chunk and appends the client's events.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        if self.end().is_some() {
            return;
        }
        let text = std::str::from_utf8(chunk).unwrap_or_default();
        let fault = match serde_json::from_str::<EventHead<'_>>(text) {
            Ok(head) if head.r#type == "error" => {
                AnthropicError::parse(chunk).map_or(StreamFault::Unreadable, StreamFault::Error)
            }
            Ok(head) if self.translate(&head, text, out).is_some() => return,
            Ok(_) | Err(_) => StreamFault::Unreadable,
        };
        self.end_with_fault(fault, out);
    }

    /// Appends a keep-alive, unless the stream has ended. Before `message_start` it is a comment,
    /// because `message_start` must be the first event.
    pub fn ping(&mut self, out: &mut Vec<u8>) {
        match self.state {
            State::Waiting => out.extend_from_slice(b": waiting\n\n"),
            State::Writing => out.extend_from_slice(PING),
            State::Complete | State::Failed => {}
        }
    }

    /// Ends the stream at the end of Bedrock's stream, which is a failure before `message_stop`.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.end_with_fault(StreamFault::Cut, out);
    }

    /// Ends the stream after an exception, a lost connection or a time-out.
    pub fn fail(&mut self, error: &BedrockError, out: &mut Vec<u8>) {
        if self.end().is_none() {
            self.errors.write(error, out);
            self.state = State::Failed;
        }
    }

    fn end_with_fault(&mut self, fault: StreamFault, out: &mut Vec<u8>) {
        self.fail(&fault.error(), out);
        if self.state == State::Failed {
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
            State::Waiting | State::Writing => None,
            State::Complete => Some(StreamEnd::Complete),
            State::Failed => Some(StreamEnd::Failed),
        }
    }

    /// Returns true when content, or the end of a message without content, has been written. Before
    /// that, the caller may discard the written bytes and return another response.
    pub fn has_content(&self) -> bool {
        self.next_index > 0 || self.state == State::Complete
    }

    /// The token counts, as far as Bedrock has sent them.
    pub fn usage(&self) -> TokenUsage {
        self.usage
    }

    /// Anthropic's `stop_reason`, once Bedrock has sent it.
    pub fn stop_reason(&self) -> Option<&str> {
        self.stop_reason.as_deref()
    }

    /// The parts of the response that were left out.
    pub fn losses(&self) -> &Losses {
        &self.losses
    }

    /// Returns `None` when the event does not have its form, or is not allowed at this point.
    fn translate(&mut self, head: &EventHead<'_>, text: &str, out: &mut Vec<u8>) -> Option<()> {
        match (self.state, head.r#type.as_ref()) {
            (State::Waiting, "message_start") => self.start_message(text, out)?,
            // Some gateways send it twice. A second message is an error.
            (State::Writing, "message_start") if self.is_same_message(text) => {}
            (State::Writing, "content_block_start") => self.start_block(head.index?, text, out)?,
            (State::Writing, "content_block_delta") => {
                self.open.filter(|open| Some(*open) == head.index)?;
                write_raw_event(out, "content_block_delta", text.as_bytes());
            }
            (State::Writing, "content_block_stop") => {
                self.open.take_if(|open| Some(*open) == head.index)?;
                write_raw_event(out, "content_block_stop", text.as_bytes());
            }
            (State::Writing, "message_delta") => self.hold_message_delta(text)?,
            (State::Writing, "message_stop") => self.stop(text, out)?,
            (
                _,
                "message_start"
                | "content_block_start"
                | "content_block_delta"
                | "content_block_stop"
                | "message_delta"
                | "message_stop",
            ) => return None,
            (State::Writing, name) if is_event_name(name) => {
                write_raw_event(out, name, text.as_bytes());
            }
            (State::Waiting, "ping") => {}
            _ => self.losses.add("reply:event"),
        }
        Some(())
    }

    fn start_message(&mut self, text: &str, out: &mut Vec<u8>) -> Option<()> {
        let mut event = RawObject::parse(text)?;
        let mut message = RawObject::parse(event.text("message")?)?;
        self.count(message.read("usage").unwrap_or_default());
        self.message_id = message.read("id");
        message.set("model", to_raw(&self.context.requested_model));
        let message = message.into_raw();
        event.set("message", message);
        write_object(out, "message_start", &event);
        self.state = State::Writing;
        Some(())
    }

    /// Returns true for a repeated `message_start` of the same message, before its content.
    fn is_same_message(&self, text: &str) -> bool {
        let id = RawObject::parse(text)
            .and_then(|event| RawObject::parse(event.text("message")?)?.read::<String>("id"));
        self.next_index == 0 && id.is_some() && id == self.message_id
    }

    fn start_block(&mut self, index: u64, text: &str, out: &mut Vec<u8>) -> Option<()> {
        if self.open.is_some() || !self.held.is_empty() || index != self.next_index {
            return None;
        }
        let mut event = RawObject::parse(text)?;
        if !self.context.renamed_tools.is_empty() {
            let block = restore_tool_name(event.text("content_block")?, &self.context);
            let block = block.into_raw();
            event.set("content_block", block);
        }
        write_object(out, "content_block_start", &event);
        self.open = Some(index);
        self.next_index = index.saturating_add(1);
        Some(())
    }

    fn hold_message_delta(&mut self, text: &str) -> Option<()> {
        if self.open.is_some() {
            return None;
        }
        let mut event = RawObject::parse(text)?;
        self.count(event.read("usage").unwrap_or_default());
        let mut delta = RawObject::parse(event.text("delta")?)?;
        self.stop_reason = delta.read("stop_reason").or(self.stop_reason.take());
        if self.context.safeguards_requested && !delta.has_value("safeguard_results") {
            delta.set("safeguard_results", to_raw(SAFEGUARDS_UNAVAILABLE));
            let delta = delta.into_raw();
            event.set("delta", delta);
        }
        self.held.push(event.into_raw());
        Some(())
    }

    fn stop(&mut self, text: &str, out: &mut Vec<u8>) -> Option<()> {
        let mut event = RawObject::parse(text)?;
        let metrics: InvocationMetrics = event.read(INVOCATION_METRICS).unwrap_or_default();
        self.usage.input = self.usage.input.or(metrics.input);
        self.usage.output = self.usage.output.or(metrics.output);
        self.usage.cache_read = self.usage.cache_read.or(metrics.cache_read);
        self.usage.cache_write = self.usage.cache_write.or(metrics.cache_write);

        // More than one is valid; the last one has the final counts.
        let (last, earlier) = self.held.split_last()?;
        let last = self.with_all_counts(last.get())?;
        for event in earlier {
            write_raw_event(out, "message_delta", event.get().as_bytes());
        }
        write_object(out, "message_delta", &last);
        event.remove(INVOCATION_METRICS);
        write_object(out, "message_stop", &event);
        self.state = State::Complete;
        Some(())
    }

    /// `message_delta` with the counts that it lacks and that other events contain.
    fn with_all_counts<'a>(&self, message_delta: &'a str) -> Option<RawObject<'a>> {
        let mut event = RawObject::parse(message_delta)?;
        let mut usage = event
            .text("usage")
            .and_then(RawObject::parse)
            .unwrap_or_default();
        for (name, count) in [
            ("input_tokens", self.usage.input),
            ("cache_creation_input_tokens", self.usage.cache_write),
            ("cache_read_input_tokens", self.usage.cache_read),
            ("output_tokens", self.usage.output),
        ] {
            if let Some(count) = count.filter(|_| !usage.has_value(name)) {
                usage.set(name, to_raw(&count));
            }
        }
        let usage = usage.into_raw();
        event.set("usage", usage);
        Some(event)
    }

    /// Adds the counts of an event. They are totals and replace earlier ones.
    fn count(&mut self, reported: InvokeUsage) {
        let TokenUsage {
            input,
            output,
            cache_read,
            cache_write,
            cache_write_5m,
            cache_write_1h,
        } = reported.tokens();
        self.usage = TokenUsage {
            input: input.or(self.usage.input),
            output: output.or(self.usage.output),
            cache_read: cache_read.or(self.usage.cache_read),
            cache_write: cache_write.or(self.usage.cache_write),
            cache_write_5m: cache_write_5m.or(self.usage.cache_write_5m),
            cache_write_1h: cache_write_1h.or(self.usage.cache_write_1h),
        };
    }
}

/// Returns true for a name that is valid in an `event:` line.
fn is_event_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

fn write_object(out: &mut Vec<u8>, name: &str, event: &RawObject<'_>) {
    let mut json = Vec::new();
    write_json(&mut json, event);
    write_raw_event(out, name, &json);
}
