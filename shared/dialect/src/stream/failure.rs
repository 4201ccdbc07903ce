//! How a stream ends for the client, and the error event of one that failed.

use crate::error::{AnthropicError, BedrockError, BedrockFailure, classify};
use crate::sse::error_event;

/// How a stream ended for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    /// With `message_stop`.
    Complete,
    /// With `error`.
    Failed,
}

/// A fault that the translator itself found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum StreamFault {
    /// Bedrock's stream ended before its last event.
    Cut,
    /// An event is unreadable, or not allowed at this point.
    Unreadable,
    /// The model's output was malformed.
    MalformedOutput,
    /// The event is Anthropic's error envelope.
    Error(AnthropicError),
}

impl StreamFault {
    /// The error for the client.
    pub(super) fn error(&self) -> BedrockError {
        classify(&self.as_failure())
    }

    fn as_failure(&self) -> BedrockFailure<'_> {
        match self {
            Self::Cut => BedrockFailure::Cut,
            Self::Unreadable => BedrockFailure::Unreadable,
            Self::MalformedOutput => BedrockFailure::MalformedOutput,
            Self::Error(error) => error.as_failure(),
        }
    }
}

/// The writer of a stream's `error` event, with the fault that the translator itself found.
#[derive(Debug)]
pub(super) struct StreamErrorEvent {
    /// The request id in the error event.
    request_id: String,
    fault: Option<StreamFault>,
}

impl StreamErrorEvent {
    pub(super) fn new(request_id: impl Into<String>) -> Self {
        Self {
            request_id: request_id.into(),
            fault: None,
        }
    }

    /// Writes the `error` event of a failure.
    pub(super) fn write(&self, error: &BedrockError, out: &mut Vec<u8>) {
        let kind = error.stream_error_type();
        error_event(out, kind, &error.message, &self.request_id);
    }

    /// Stores the first fault.
    pub(super) fn keep(&mut self, fault: StreamFault) {
        self.fault.get_or_insert(fault);
    }

    /// The stored fault, as a failure.
    pub(super) fn failure(&self) -> Option<BedrockFailure<'_>> {
        self.fault.as_ref().map(StreamFault::as_failure)
    }
}
