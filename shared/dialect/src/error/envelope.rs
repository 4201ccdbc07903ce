//! Anthropic's error envelope in a Bedrock response: inside a response with status 200, or as the
//! message of an AWS error.

use serde::Deserialize;

use super::failure::{AwsError, BedrockFailure};

/// The error inside Anthropic's envelope, `{"type":"error","error":{"type":…,"message":…}}`
/// (<https://docs.anthropic.com/en/api/errors>).
///
/// `InvokeModelWithResponseStream` can send it as the first chunk of a response with status 200:
/// `{"type":"error","error":{"type":"rate_limit_error","message":"Rate limited","details":null},…}`
/// (anthropics/anthropic-sdk-python#1472). [`AnthropicError::to_failure`] makes it a failure for
/// [`classify`](super::classify) and [`repairs`](super::repairs):
///
/// ```
/// use dialect::error::{AnthropicError, Cause, classify};
///
/// let chunk = br#"{"type":"error","error":{"type":"rate_limit_error","message":"Rate limited"}}"#;
/// let error = AnthropicError::parse(chunk).ok_or("no error")?;
/// assert_eq!(classify(&error.to_failure()).cause, Cause::Throttled);
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnthropicError {
    /// `error.type`, such as `rate_limit_error`; empty when the envelope has none.
    pub error_type: String,
    /// `error.message`. It may quote the request: it is used for classification and is not sent to
    /// a client.
    pub message: String,
}

#[derive(Deserialize)]
struct Envelope {
    error: Detail,
}

#[derive(Deserialize)]
struct Detail {
    #[serde(default)]
    r#type: Option<String>,
    #[serde(default)]
    message: Option<String>,
}

impl AnthropicError {
    /// Reads an envelope: a chunk of a stream, or a whole body. `None` when it has no `error` object,
    /// or one that has neither a type nor a message.
    pub fn parse(json: &[u8]) -> Option<Self> {
        let Detail { r#type, message } = serde_json::from_slice::<Envelope>(json).ok()?.error;
        if r#type.is_none() && message.is_none() {
            return None;
        }
        Some(Self {
            error_type: r#type.unwrap_or_default(),
            message: message.unwrap_or_default(),
        })
    }

    /// The failure of a response with status 200 that contains this error. The error type takes the
    /// place of the exception's name.
    pub fn to_failure(&self) -> BedrockFailure {
        BedrockFailure::ErrorResponse(AwsError {
            code: Some(self.error_type.clone()),
            message: Some(self.message.clone()),
            ..AwsError::default()
        })
    }
}
