//! What a simulator can be told to answer: in the process, over its control endpoint, or by a
//! marker in the prompt. Both simulators understand the same steps; each says a step in the words
//! of the service it pretends to be.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::lock::lock;

/// One answer, told in advance. As JSON it is an object whose `step` names the variant:
/// `{"step": "cut", "after": "first_delta"}`.
///
/// Steps that carry `content` say what the answer would have been; left out, it is what the
/// simulator would have answered by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Step {
    /// Answer as if nothing had been scripted.
    #[default]
    Normal,
    /// A good answer that calls tools.
    Tools {
        /// The calls, in order.
        calls: Vec<ToolCall>,
    },
    /// A good answer in full detail.
    Answer {
        /// Its blocks.
        content: Vec<Content>,
        /// The stop reason on the wire; fitting the content when left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stop_reason: Option<String>,
        /// The token counts; counted roughly when left out.
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
        /// When it begins anew, in seconds from now.
        #[serde(default = "half_an_hour")]
        reset_after_s: u64,
    },
    /// Plan: 429 of the requests-per-minute kind. Bedrock: `ThrottlingException`.
    RateLimit {
        /// `retry-after`, in seconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_s: Option<u64>,
    },
    /// Plan: 429 `enforced_spend_limit_reached`. Bedrock: `ServiceQuotaExceededException`.
    SpendLimit,
    /// Plan: 400 because the limit that the customer set for themselves is reached. Bedrock: as
    /// [`Step::SpendLimit`].
    SelfSetLimit,
    /// Plan: 400 because the prepaid credit is used up. Bedrock: `AccessDeniedException` for the
    /// payment.
    OutOfCredit,
    /// Plan: 429 that says the request's long context wants extra usage. Bedrock:
    /// `AccessDeniedException` for the model.
    Entitlement,
    /// 401 on Plan, 403 for the bearer token on Bedrock: the credential is refused.
    Unauthorized,
    /// 403: the credential is known and may not do this.
    Forbidden,
    /// 500.
    ServerError,
    /// 529 `overloaded_error` on Plan, 503 `ServiceUnavailableException` on Bedrock.
    Overloaded,
    /// Bedrock: 429 `ModelNotReadyException`. Plan: 503.
    NotReady,
    /// The prompt is too long, in each service's words (400).
    TooLong,
    /// What the service, or what stands before it, commonly says with this status, and no header
    /// about any limit.
    Status {
        /// An HTTP status of 400 and above.
        status: u16,
    },
    /// A good answer that takes its time.
    Slow {
        /// Before the status line, in milliseconds.
        #[serde(default)]
        headers_ms: u64,
        /// Between two events, in milliseconds.
        #[serde(default)]
        events_ms: u64,
    },
    /// A good answer that stops at a point and stays silent until the client goes.
    Hang {
        /// Where it stops.
        #[serde(default)]
        after: Point,
        /// The answer.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        content: Vec<Content>,
    },
    /// A good answer whose connection breaks at a point.
    Cut {
        /// Where it breaks.
        #[serde(default)]
        after: Point,
        /// The answer.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        content: Vec<Content>,
    },
    /// A good answer whose body ends in good order at a point that is too early.
    End {
        /// Where it ends.
        #[serde(default)]
        after: Point,
        /// The answer.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        content: Vec<Content>,
    },
    /// A good answer that turns into an error event (Plan) or an exception frame (Bedrock).
    /// Without streaming, and at [`Point::Connect`], it is an HTTP error.
    StreamError {
        /// Where it turns.
        #[serde(default)]
        after: Point,
        /// `error.type`, such as `overloaded_error`, or the exception's name, such as
        /// `throttlingException`; each service's commonest when left out.
        #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
        kind: Option<String>,
        /// The message.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        /// The answer.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        content: Vec<Content>,
    },
    /// Plan: pings between `message_start` and what comes next. They belong to
    /// [`Point::MessageStart`]: it is reached once the last one is out. Bedrock sends no pings, and
    /// an answer that is no stream has none: there this is the answer alone.
    Pings {
        /// The number of pings, at most 2^16.
        count: u32,
        /// What comes next. Of pings within pings, the outermost count.
        #[serde(default)]
        then: Box<Step>,
    },
    /// An answer with other headers.
    Headers {
        /// The headers: in place of those of the same name, or besides. Each character of a value
        /// up to `ÿ` is one byte (Latin-1); an empty value takes the header away.
        headers: BTreeMap<String, String>,
        /// The answer.
        #[serde(default)]
        then: Box<Step>,
    },
    /// Status 200 with a web page, as from a captive portal.
    Html,
    /// A stream that begins well and goes on with an event that is no JSON (Plan) or a frame
    /// whose checksum is wrong (Bedrock). Without streaming, JSON that ends in the middle.
    Garbage {
        /// Where it goes wrong.
        #[serde(default)]
        after: Point,
        /// The answer.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        content: Vec<Content>,
    },
    /// A stream of exactly these events, in order, at the simulator's pace, and then its end.
    /// RuleViolation without streaming.
    Frames {
        /// The events.
        events: Vec<Frame>,
    },
    /// Exactly this.
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

/// The scripted steps that no request has taken yet.
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

/// One event of a stream, as it goes over the wire.
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

/// One block of an answer. As JSON: `{"text": "…"}`, `{"cited": {"text": "…", "citations": […]}}`,
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
    /// Thinking that nobody may read: Claude's opaque data string.
    RedactedThinking(String),
    /// A tool call.
    Tool(ToolCall),
}

/// Text that is supported by citations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cited {
    /// The text.
    pub text: String,
    /// What it cites, in order.
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
    /// Where the passage stands.
    pub location: Location,
}

/// Where a cited passage stands. `start` is included, `end` is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Location {
    /// Characters of a plain text document, from 0.
    Char {
        /// The document's number among the documents of the request, from 0.
        document: usize,
        /// The first character.
        start: usize,
        /// The character after the last one.
        end: usize,
    },
    /// Pages of a PDF, from 1.
    Page {
        /// The document's number among the documents of the request, from 0.
        document: usize,
        /// The first page.
        start: usize,
        /// The page after the last one.
        end: usize,
    },
    /// Blocks of a document that is made of blocks, from 0.
    Chunk {
        /// The document's number among the documents of the request, from 0.
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

/// Token counts of an answer, cache reads and writes not included in `input`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Usage {
    /// Input tokens that no cache had.
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
    /// The week's share of the Opus models; every other model still goes.
    SevenDayOpus,
    /// What the week includes of models that are paid from overage; every other model still goes.
    SevenDayOverageIncluded,
}

/// A point in an answer.
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
