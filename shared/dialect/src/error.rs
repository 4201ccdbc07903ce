//! Bedrock's failures as errors of Anthropic's API.
//!
//! [`classify`] finds the [`Cause`] of a failure, from which the table of [`Cause`] derives the
//! response to the client and the fields of the log. [`repairs`] returns the parts of the request
//! that a validation message refuses, for the one repaired call.
//!
//! No text of AWS reaches the client, because it can contain ARNs and account ids. The few wordings
//! from which Claude Code recovers are written here, with the numbers of the original. The log gets
//! AWS's message with masked values: [`FailureDetail`].

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

/// The error for the client. All fields may be shown and logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BedrockError {
    /// The cause, which decides class, status, error type and `x-should-retry`.
    pub cause: Cause,
    /// The sentence for the user, without text of AWS.
    pub message: String,
    /// Seconds for the `retry-after` header. Claude Code waits up to 60 seconds, and stops at once
    /// for a longer time.
    pub retry_after_s: Option<u32>,
}

/// `retry-after` of a throttled request when AWS sends none, in seconds. Bedrock counts per minute;
/// half a minute lets half of the window pass.
const THROTTLE_WAIT_S: u32 = 30;

impl BedrockError {
    /// The error class in logs and metrics (R1.10).
    pub fn class(&self) -> Class {
        self.cause.class()
    }

    /// The HTTP status of the response.
    pub fn status(&self) -> u16 {
        self.cause.status_and_type().0
    }

    /// Anthropic's error type.
    pub fn error_type(&self) -> &'static str {
        self.cause.status_and_type().1
    }

    /// The value of the header `x-should-retry`; None without the header.
    pub fn should_retry(&self) -> Option<bool> {
        self.cause.should_retry()
    }

    /// Returns true when the client can change the request: shorten it, or leave a block out.
    pub fn is_about_the_request(&self) -> bool {
        self.cause.is_recoverable() || self.cause == Cause::BodyTooLarge
    }

    /// Anthropic's error type in an `error` event of a stream. Claude Code resumes a stream after
    /// `overloaded_error`. After any other type it repeats the request without streaming, which
    /// helps only if the message of the response lets it recover.
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

/// Returns the error for the client.
pub fn classify(failure: &BedrockFailure<'_>) -> BedrockError {
    let (status, code, message, retry_after_s) = match *failure {
        BedrockFailure::ErrorResponse {
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
