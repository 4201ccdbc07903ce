//! One record per request: everything known of it, gathered on the way and written once, as one wide
//! log event. No key, credential, prompt or completion ever gets in here.

use domain::grant::{Denial, KeyRecord};
use domain::id::RequestId;
use domain::policy::FallbackReason;
use domain::time::Timestamp;
use domain::usage::TokenUsage;
use domain::verdict::Verdict;

use crate::clock::Clock;

/// How the request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The whole answer left.
    Complete,
    /// Spillway answered with an error of its own.
    Refused,
    /// The upstream's stream broke; the client got an `error` event.
    UpstreamFailed,
    /// The client went away before the end.
    ClientGone,
    /// A defect of Spillway's.
    Panicked,
}

/// The class of a defect of Spillway's that ended a request.
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

/// The record while the request goes on. Dropping it unwritten means that the client went away: it
/// is written then, with what was seen so far.
#[derive(Debug)]
pub(crate) struct Record {
    facts: Facts,
    clock: Clock,
    is_written: bool,
}

/// What is known so far.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) request_id: RequestId,
    pub(crate) started: Timestamp,
    pub(crate) endpoint: &'static str,
    pub(crate) key: Option<KeyRecord>,
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

impl Record {
    pub(crate) fn begin(clock: Clock, request_id: RequestId, endpoint: &'static str) -> Self {
        let facts = Facts {
            request_id,
            started: clock.now(),
            endpoint,
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
            facts,
            clock,
            is_written: false,
        }
    }

    /// The facts, to add to.
    pub(crate) fn note(&mut self) -> &mut Facts {
        &mut self.facts
    }

    pub(crate) fn request_id(&self) -> &RequestId {
        &self.facts.request_id
    }

    /// Notes the moment of the first byte, once.
    pub(crate) fn first_byte(&mut self) {
        if self.facts.first_byte.is_none() {
            self.facts.first_byte = Some(self.clock.now());
        }
    }

    /// Writes the record. The answer's last byte has left, its end has not: after the end the
    /// sandbox may be frozen.
    pub(crate) fn write(mut self, outcome: Outcome) {
        self.write_once(outcome);
    }

    fn write_once(&mut self, outcome: Outcome) {
        self.is_written = true;
        let facts = &self.facts;
        let milliseconds = |moment: Timestamp| {
            u64::try_from(moment.since(facts.started).as_millis()).unwrap_or(u64::MAX)
        };
        let key = facts.key.as_ref();
        tracing::info!(
            request.id = %facts.request_id,
            endpoint = facts.endpoint,
            user.id = key.map(|key| key.user.id.as_str()),
            user.name = key.map(|key| key.user.name.as_str()),
            key.id = key.map(|key| key.key_id.as_str()),
            team = key.and_then(|key| key.user.team.as_deref()),
            key.denial = facts.denial.map(Denial::as_str),
            session.id = facts.session_id,
            model = facts.model,
            stream = facts.is_stream,
            request.bytes = facts.request_bytes,
            breaker.asked = facts.breaker,
            breaker.after = facts.breaker_after,
            plan.status = facts.plan_status,
            plan.verdict = facts.plan_verdict.as_ref().map(Verdict::as_str),
            plan.failure = facts.plan_failure,
            fallback.reason = facts.fallback.map(FallbackReason::as_str),
            upstream = facts.upstream,
            bedrock.model = facts.bedrock_model,
            bedrock.request_id = facts.bedrock_request_id,
            losses = facts.losses,
            error.class = facts.error_class,
            status = facts.status,
            stop_reason = facts.stop_reason,
            usage.input = facts.usage.input,
            usage.output = facts.usage.output,
            usage.cache_read = facts.usage.cache_read,
            usage.cache_write = facts.usage.cache_write,
            ttfb_ms = facts.first_byte.map(milliseconds),
            duration_ms = milliseconds(self.clock.now()),
            outcome = outcome.as_str(),
            "request"
        );
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if !self.is_written {
            let panicked = std::thread::panicking();
            if panicked {
                self.facts.error_class = Some(PANIC);
                // An answer that has begun keeps its status.
                self.facts.status.get_or_insert(500);
            }
            self.write_once(if panicked {
                Outcome::Panicked
            } else {
                Outcome::ClientGone
            });
        }
    }
}
