//! Bedrock's failures, told to Claude Code in the words it understands.
//!
//! [`classify`] reads one failure into one [`Cause`]; everything that the client and the log are told
//! follows from the cause, by the table of [`Cause`]. [`repairs`] reads which part of the request a
//! validation message refuses, for the one repair on the server.
//!
//! Nothing that AWS wrote passes through to the client: its messages hold ARNs and account ids. The few
//! wordings that Claude Code recovers from by itself are written here anew, with only the numbers taken
//! over. The log gets AWS's reason, masked: [`FailureDetail`].

mod cause;
mod classification;
mod detail;
mod envelope;
mod failure;
mod message;
mod repair;

use crate::sse::error_body;
use message::ErrorText;

pub use cause::{Cause, Class, SetupStep};
pub use detail::FailureDetail;
pub use envelope::AnthropicError;
pub use failure::BedrockFailure;
pub use repair::{Repair, Scope, repairs, sent_betas};

/// A failure as the client is told it. All of it may be shown and logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BedrockError {
    /// Why; decides everything else but the two below.
    pub cause: Cause,
    /// The sentence for the user, free of anything that AWS wrote.
    pub message: String,
    /// Seconds for the `retry-after` header. Claude Code waits up to 60, and gives up at once on
    /// more.
    pub retry_after_s: Option<u32>,
}

/// What a throttled client waits when AWS names no time. Bedrock counts per minute, so half of one
/// lets the older half of the window pass.
const THROTTLE_WAIT_S: u32 = 30;

impl BedrockError {
    /// The class it counts in (R1.10).
    pub fn class(&self) -> Class {
        self.cause.class()
    }

    /// The HTTP status to answer with.
    pub fn status(&self) -> u16 {
        self.cause.status_and_type().0
    }

    /// Anthropic's error type.
    pub fn error_type(&self) -> &'static str {
        self.cause.status_and_type().1
    }

    /// The `x-should-retry` header, where the client must be told.
    pub fn should_retry(&self) -> Option<bool> {
        self.cause.should_retry()
    }

    /// The request is at fault, and the client can change it: shorten it, or leave a block out.
    pub fn is_about_the_request(&self) -> bool {
        self.cause.is_recoverable() || self.cause == Cause::BodyTooLarge
    }

    /// Anthropic's error type when the failure is told inside a stream. Claude Code resumes by
    /// itself from `overloaded_error`; any other type makes it ask again without streaming, which
    /// only helps where it then reads a message that it can act on.
    pub fn stream_error_type(&self) -> &'static str {
        if self.cause.is_recoverable() {
            "invalid_request_error"
        } else {
            "overloaded_error"
        }
    }

    /// The JSON body: Anthropic's error envelope.
    pub fn body(&self, request_id: &str) -> Vec<u8> {
        error_body(self.error_type(), &self.message, request_id)
    }
}

impl From<Cause> for BedrockError {
    fn from(cause: Cause) -> Self {
        let retry_after_s = match cause {
            Cause::Throttled => Some(THROTTLE_WAIT_S),
            _ => None,
        };
        Self {
            cause,
            message: cause.message().to_owned(),
            retry_after_s,
        }
    }
}

/// Reads a failure into what the client is told.
pub fn classify(failure: &BedrockFailure<'_>) -> BedrockError {
    let (status, code, message, retry_after_s) = match *failure {
        BedrockFailure::Answered {
            status,
            code,
            message,
            retry_after_s,
        } => (
            status,
            code.unwrap_or_default(),
            message.unwrap_or_default(),
            retry_after_s,
        ),
        BedrockFailure::NoConnection => return Cause::NoConnection.into(),
        BedrockFailure::TimedOut => return Cause::TimedOut.into(),
        BedrockFailure::Cut => return Cause::Cut.into(),
        BedrockFailure::Unreadable => return Cause::Unreadable.into(),
        BedrockFailure::MalformedOutput => return Cause::MalformedOutput.into(),
    };
    let mut error = BedrockError::from(classification::cause(
        &ErrorText::read(message),
        status,
        code,
    ));
    if let Some(exact) = classification::message_with_numbers(error.cause, message) {
        error.message = exact;
    }
    error.retry_after_s = match error.should_retry() {
        None if !error.is_about_the_request() => retry_after_s.or(error.retry_after_s),
        _ => None,
    };
    error
}
