//! Scripted responses: set in the process, over the control endpoint, or by a marker in the prompt. Both
//! simulators have the same steps, each with the wording of its service.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::lock::lock;

/// One scripted response. As JSON it is an object whose `step` names the variant:
/// `{"step": "cut", "after": "first_delta"}`.
///
/// The `content` of a step is the content of the complete response; if absent, it is that of the simulated model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Step {
    /// The default response.
    #[default]
    Normal,
    /// A message that calls tools.
    Tools {
        /// The calls, in order.
        calls: Vec<ToolCall>,
    },
    /// A message in full detail.
    Answer {
        /// Its content blocks.
        content: Vec<Content>,
        /// The stop reason on the wire; if absent, the one that fits the content.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stop_reason: Option<String>,
        /// The token counts; approximate if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        usage: Option<Usage>,
    },
    /// An HTTP error in the error shape of the service.
    Error {
        /// The HTTP status.
        status: u16,
        /// `error.type` (Plan) or the exception's name (Bedrock).
        #[serde(rename = "type")]
        kind: String,
        /// The message.
        message: String,
        /// More headers.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        headers: BTreeMap<String, String>,
    },
    /// Plan: 429 because a usage window of the subscription is used up. Bedrock:
    /// `ThrottlingException` with the daily quota's text.
    UsageLimit {
        /// The window that is used up.
        window: Window,
        /// The time until its reset, in seconds.
        #[serde(default = "half_an_hour")]
        reset_after_s: u64,
    },
    /// Plan: 429 of the limit of requests per minute. Bedrock: `ThrottlingException`.
    RateLimit {
        /// `retry-after`, in seconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_s: Option<u64>,
    },
    /// Plan: 429 `enforced_spend_limit_reached`. Bedrock: `ServiceQuotaExceededException`.
    SpendLimit,
    /// Plan: 400 because a limit set by the customer is reached. Bedrock: as
    /// [`Step::SpendLimit`].
    SelfSetLimit,
    /// Plan: 400 because the prepaid credit is used up. Bedrock: `AccessDeniedException` for the
    /// payment.
    OutOfCredit,
    /// Plan: 429 because long context requires extra usage. Bedrock:
    /// `AccessDeniedException` for the model.
    Entitlement,
    /// 401 on Plan, 403 for the bearer token on Bedrock: the credential is rejected.
    Unauthorized,
    /// 403: the credential is valid and has no permission.
    Forbidden,
    /// 500.
    ServerError,
    /// 529 `overloaded_error` on Plan, 503 `ServiceUnavailableException` on Bedrock.
    Overloaded,
    /// Bedrock: 429 `ModelNotReadyException`. Plan: 503.
    NotReady,
    /// 400: the prompt is too long.
    TooLong,
    /// The common response of the service, or of the gateway before it, with this status and without headers
    /// about limits.
    Status {
        /// An HTTP status of 400 and above.
        status: u16,
    },
    /// A slow message.
    Slow {
        /// Before the status line, in milliseconds.
        #[serde(default)]
        headers_ms: u64,
        /// Between two events, in milliseconds.
        #[serde(default)]
        events_ms: u64,
    },
    /// A message whose status line waits for [`Simulator::release`](super::Simulator::release).
    Held {
        /// The content of the message.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        content: Vec<Content>,
    },
    /// A message that stops at a point, with silence until the client disconnects.
    Hang {
        /// Where it stops.
        #[serde(default)]
        after: Point,
        /// The content of the message.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        content: Vec<Content>,
    },
    /// A message whose connection breaks at a point.
    Cut {
        /// Where it breaks.
        #[serde(default)]
        after: Point,
        /// The content of the message.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        content: Vec<Content>,
    },
    /// A message whose body ends in an orderly way at a point that is too early.
    End {
        /// Where it ends.
        #[serde(default)]
        after: Point,
        /// The content of the message.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        content: Vec<Content>,
    },
    /// A message that ends in an error event (Plan) or an exception frame (Bedrock).
    /// Without streaming, and at [`Point::Connect`], it is an HTTP error.
    StreamError {
        /// Where the error comes.
        #[serde(default)]
        after: Point,
        /// `error.type`, such as `overloaded_error`, or the exception's name, such as
        /// `throttlingException`; if absent, the most common one of the service.
        #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
        kind: Option<String>,
        /// The message.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        /// The content of the message.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        content: Vec<Content>,
    },
    /// Plan: pings after `message_start`. [`Point::MessageStart`] is reached with the last ping. Bedrock's streams
    /// and JSON responses have no pings.
    Pings {
        /// The number of pings, at most 2^16.
        count: u32,
        /// The rest of the response. Of nested pings, the outermost apply.
        #[serde(default)]
        then: Box<Step>,
    },
    /// A response with other headers.
    Headers {
        /// The headers, which replace those of the same name. Values are Latin-1; an empty value removes the
        /// header.
        headers: BTreeMap<String, String>,
        /// The content of the message.
        #[serde(default)]
        then: Box<Step>,
    },
    /// Status 200 with a web page, as from a captive portal.
    Html,
    /// A stream that continues with an event of invalid JSON (Plan) or a frame with a wrong checksum (Bedrock).
    /// Without streaming, JSON that ends in the middle.
    Garbage {
        /// Where the invalid part comes.
        #[serde(default)]
        after: Point,
        /// The content of the message.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        content: Vec<Content>,
    },
    /// A stream of exactly these events, at the simulator's pace. An error without streaming.
    Frames {
        /// The events.
        events: Vec<Frame>,
    },
    /// Exactly this response.
    Raw {
        /// The HTTP status.
        status: u16,
        /// The headers, all of them.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        headers: BTreeMap<String, String>,
        /// The body.
        body: String,
    },
}

/// The scripted steps for the next requests.
#[derive(Debug, Default)]
pub(crate) struct StepQueue(Mutex<VecDeque<Step>>);

impl StepQueue {
    pub(crate) fn next(&self) -> Option<Step> {
        lock(&self.0).pop_front()
    }

    pub(crate) fn extend(&self, steps: impl IntoIterator<Item = Step>) {
        lock(&self.0).extend(steps);
    }

    pub(crate) fn clear(&self) {
        lock(&self.0).clear();
    }
}

fn half_an_hour() -> u64 {
    30 * 60
}

/// A tool call in an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolCall {
    /// The tool's name.
    pub name: String,
    /// Its arguments.
    pub input: Value,
}

/// One event of a stream, as on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Frame {
    /// Plan: the name after `event:`. Bedrock: `:event-type`, or `:exception-type` of what ends in
    /// `Exception`; `chunk` is the only event type of `InvokeModelWithResponseStream`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The data as JSON; a string is sent as it is, without quotation marks. In a `chunk` it is the
    /// event of the Messages API, which the simulator puts into base64.
    pub payload: Value,
}

/// One content block of a message. As JSON: `{"text": "…"}`, `{"cited": {"text": "…", "citations": […]}}`,
/// `{"thinking": "…"}`, `{"redacted_thinking": "…"}` or `{"tool": {"name": "…", "input": {…}}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// Text.
    Text(String),
    /// Text with citations.
    Cited(Cited),
    /// Thinking, signed by the simulator.
    Thinking(String),
    /// Redacted thinking: Claude's opaque data string.
    RedactedThinking(String),
    /// A tool call.
    Tool(ToolCall),
}

/// Text with citations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cited {
    /// The text.
    pub text: String,
    /// Its citations, in order.
    pub citations: Vec<Citation>,
}

/// A cited passage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Citation {
    /// The title of the document or of the search result, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The passage.
    pub cited_text: String,
    /// The location of the passage.
    pub location: Location,
}

/// The location of a cited passage. `start` is inclusive, `end` is exclusive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Location {
    /// Characters of a plain text document, from 0.
    Char {
        /// The index among the documents of the request.
        document: usize,
        /// The first character.
        start: usize,
        /// The character after the last one.
        end: usize,
    },
    /// Pages of a PDF, from 1.
    Page {
        /// The index among the documents of the request.
        document: usize,
        /// The first page.
        start: usize,
        /// The page after the last one.
        end: usize,
    },
    /// Blocks of a document that is made of blocks, from 0.
    Chunk {
        /// The index among the documents of the request.
        document: usize,
        /// The first block.
        start: usize,
        /// The block after the last one.
        end: usize,
    },
    /// Blocks of a search result, from 0.
    SearchResult {
        /// The number among the search results of the request, from 0.
        result: usize,
        /// `source` of the search result.
        source: String,
        /// The first block.
        start: usize,
        /// The block after the last one.
        end: usize,
    },
}

/// Token counts of a message, cache reads and writes not included in `input`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Usage {
    /// Input tokens that were not cached.
    pub input: u64,
    /// Output tokens.
    pub output: u64,
    /// Input tokens read from the prompt cache.
    pub cache_read: u64,
    /// Input tokens written to the prompt cache for five minutes.
    pub cache_write_5m: u64,
    /// Input tokens written to the prompt cache for an hour.
    pub cache_write_1h: u64,
}

/// A usage window of a Claude subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// The session window.
    FiveHour,
    /// The week.
    SevenDay,
    /// The week's share of the Opus models; other models are still allowed.
    SevenDayOpus,
    /// The week's included share of models that are paid from overage; other models are still allowed.
    SevenDayOverageIncluded,
}

/// A point in a response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Point {
    /// Before the status line.
    Connect,
    /// After the headers, before the first byte of the body.
    Headers,
    /// After `message_start` (Plan) or `messageStart` (Bedrock).
    MessageStart,
    /// In the first block, after its first delta.
    #[default]
    FirstDelta,
    /// After the first block is complete.
    FirstBlock,
    /// After every block, before the stop reason.
    Content,
}
