//! A validation error of Bedrock, for tests of its wordings.

use dialect::error::BedrockFailure;

/// A 400 `ValidationException` with this message.
pub(crate) fn validation_error(message: &str) -> BedrockFailure<'_> {
    BedrockFailure::ErrorResponse {
        status: Some(400),
        code: Some("ValidationException"),
        message: Some(message),
        retry_after_s: None,
    }
}
