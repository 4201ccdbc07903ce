//! One log event per request: its fields are gathered on the way, and it is written once. No key,
//! credential, prompt or completion ever gets into it.

use std::sync::Arc;

use domain::grant::{Denial, KeyRecord};
use domain::id::RequestId;
use domain::route::FallbackReason;
use domain::time::Timestamp;
use domain::usage::TokenUsage;
use domain::verdict::Verdict;
use service::clock::Clock;

use crate::request_kind::RequestKind;
use crate::tasks::Tasks;

/// How the request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The whole response left.
    Complete,
    /// Spillway responded with an error of its own.
    Refused,
    /// The upstream's response broke off; the client received an `error` event or a broken body.
    UpstreamFailed,
    /// The client left before the end.
    ClientGone,
    /// A defect of Spillway ended it.
    Panicked,
}

/// The error class of a request that a defect of Spillway ended.
pub(crate) const PANIC: &str = "panic";

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Refused => "refused",
            Self::UpstreamFailed => "upstream_failed",
            Self::ClientGone => "client_gone",
            Self::Panicked => "panicked",
        }
    }
}

/// The log event of one request. [`RequestLog::finish`] writes it. One that is dropped before is written by a
/// task of the proxy, with what is known by then: the body that owned it was dropped by the client.
#[derive(Debug)]
pub(crate) struct RequestLog {
    event: LogEvent,
    tasks: Arc<Tasks>,
    outcome_if_dropped: Outcome,
    is_written: bool,
}

/// The fields of the event, and the clock that times them.
#[derive(Clone, Debug)]
struct LogEvent {
    fields: LogFields,
    clock: Clock,
}

/// What is known of a request so far.
#[derive(Clone, Debug)]
pub(crate) struct LogFields {
    pub(crate) request_id: RequestId,
    pub(crate) started: Timestamp,
    pub(crate) kind: RequestKind,
    pub(crate) key: Option<Arc<KeyRecord>>,
    pub(crate) denial: Option<Denial>,
    pub(crate) model: Option<String>,
    pub(crate) is_stream: bool,
    pub(crate) session_id: Option<String>,
    pub(crate) request_bytes: usize,
    pub(crate) breaker: Option<&'static str>,
    pub(crate) breaker_after: Option<&'static str>,
    pub(crate) plan_status: Option<u16>,
    pub(crate) plan_verdict: Option<Verdict>,
    pub(crate) plan_failure: Option<&'static str>,
    pub(crate) fallback: Option<FallbackReason>,
    pub(crate) upstream: Option<&'static str>,
    pub(crate) bedrock_model: Option<String>,
    pub(crate) bedrock_request_id: Option<String>,
    pub(crate) losses: Option<String>,
    pub(crate) error_class: Option<&'static str>,
    pub(crate) status: Option<u16>,
    pub(crate) first_byte: Option<Timestamp>,
    pub(crate) usage: TokenUsage,
    pub(crate) stop_reason: Option<String>,
}

impl RequestLog {
    /// The log of a request that begins now.
    pub(crate) fn begin(
        clock: Clock,
        tasks: Arc<Tasks>,
        request_id: RequestId,
        kind: RequestKind,
    ) -> Self {
        let fields = LogFields {
            request_id,
            started: clock.now(),
            kind,
            key: None,
            denial: None,
            model: None,
            is_stream: false,
            session_id: None,
            request_bytes: 0,
            breaker: None,
            breaker_after: None,
            plan_status: None,
            plan_verdict: None,
            plan_failure: None,
            fallback: None,
            upstream: None,
            bedrock_model: None,
            bedrock_request_id: None,
            losses: None,
            error_class: None,
            status: None,
            first_byte: None,
            usage: TokenUsage::default(),
            stop_reason: None,
        };
        Self {
            event: LogEvent { fields, clock },
            tasks,
            outcome_if_dropped: Outcome::ClientGone,
            is_written: false,
        }
    }

    /// The fields, to be filled.
    pub(crate) fn fields_mut(&mut self) -> &mut LogFields {
        &mut self.event.fields
    }

    pub(crate) fn request_id(&self) -> &RequestId {
        &self.event.fields.request_id
    }

    /// The present moment of the log's clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.event.clock.now()
    }

    /// Records the moment of the first byte, once.
    pub(crate) fn record_first_byte(&mut self) {
        let LogEvent { fields, clock } = &mut self.event;
        fields.first_byte.get_or_insert_with(|| clock.now());
    }

    /// Sets the outcome for a body that is dropped before its end.
    pub(crate) fn set_outcome_if_dropped(&mut self, outcome: Outcome) {
        self.outcome_if_dropped = outcome;
    }

    /// Writes the event. The last byte of the response has left and its end has not: after the end, Lambda may
    /// freeze the process.
    pub(crate) fn finish(mut self, outcome: Outcome) {
        self.is_written = true;
        self.event.write(outcome);
    }
}

impl Drop for RequestLog {
    fn drop(&mut self) {
        if self.is_written {
            return;
        }
        if std::thread::panicking() {
            self.event.write(Outcome::Panicked);
            return;
        }
        let abandoned = AbandonedLog {
            event: self.event.clone(),
            outcome: self.outcome_if_dropped,
        };
        self.tasks.spawn(move || drop(abandoned));
    }
}

/// The event of a body that was dropped before its end. It is written when this is dropped: by its task, or with
/// its task when the runtime ends first.
struct AbandonedLog {
    event: LogEvent,
    outcome: Outcome,
}

impl Drop for AbandonedLog {
    fn drop(&mut self) {
        self.event.write(self.outcome);
    }
}

impl LogEvent {
    fn write(&mut self, outcome: Outcome) {
        let fields = &mut self.fields;
        if outcome == Outcome::Panicked {
            fields.error_class = Some(PANIC);
            // A response that has begun keeps its status.
            fields.status.get_or_insert(500);
        }
        let fields = &*fields;
        let milliseconds = |moment: Timestamp| {
            u64::try_from(moment.since(fields.started).as_millis()).unwrap_or(u64::MAX)
        };
        let key = fields.key.as_ref();
        tracing::info!(
            request.id = %fields.request_id,
            endpoint = fields.kind.as_str(),
            user.id = key.map(|key| key.user.id.as_str()),
            user.name = key.map(|key| key.user.name.as_str()),
            key.id = key.map(|key| key.key_id.as_str()),
            team = key.and_then(|key| key.user.team.as_deref()),
            key.denial = fields.denial.map(Denial::as_str),
            session.id = fields.session_id,
            model = fields.model,
            stream = fields.is_stream,
            request.bytes = fields.request_bytes,
            breaker.asked = fields.breaker,
            breaker.after = fields.breaker_after,
            plan.status = fields.plan_status,
            plan.verdict = fields.plan_verdict.as_ref().map(Verdict::as_str),
            plan.failure = fields.plan_failure,
            fallback.reason = fields.fallback.map(FallbackReason::as_str),
            upstream = fields.upstream,
            bedrock.model = fields.bedrock_model,
            bedrock.request_id = fields.bedrock_request_id,
            losses = fields.losses,
            error.class = fields.error_class,
            status = fields.status,
            stop_reason = fields.stop_reason,
            usage.input = fields.usage.input,
            usage.output = fields.usage.output,
            usage.cache_read = fields.usage.cache_read,
            usage.cache_write = fields.usage.cache_write,
            ttfb_ms = fields.first_byte.map(milliseconds),
            duration_ms = milliseconds(self.clock.now()),
            outcome = outcome.as_str(),
            "request"
        );
    }
}
