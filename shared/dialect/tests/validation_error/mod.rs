//! A validation error of Bedrock, for tests of its wordings.

use dialect::error::{AwsError, BedrockFailure};

/// A 400 `ValidationException` with this message.
pub(crate) fn validation_error(message: &str) -> BedrockFailure {
    BedrockFailure::ErrorResponse(AwsError {
        status: Some(400),
        code: Some("ValidationException".into()),
        message: Some(message.into()),
        retry_after_s: None,
        request_id: None,
    })
}
