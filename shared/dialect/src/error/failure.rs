//! The input of the classification: a failed Bedrock call.

/// A failed Bedrock call, as the transport or the translation of its response reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BedrockFailure {
    /// Bedrock returned an error, as an HTTP status or as an exception inside the stream.
    ErrorResponse(AwsError),
    /// No connection: refused, unreachable, DNS or TLS.
    NoConnection,
    /// No headers in time, or no event of the stream in time.
    TimedOut,
    /// The connection ended inside the response, or a stream ended without its last event.
    Cut,
    /// The response does not have the form of a Bedrock response.
    Unreadable,
    /// A whole response with the stop reason `malformed_model_output` or `malformed_tool_use`.
    MalformedOutput,
}

/// An error that Bedrock returned. Its texts hold ARNs and account ids: they are used for classification and
/// are not sent to a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AwsError {
    /// The HTTP status; `None` for an exception inside a stream.
    pub status: Option<u16>,
    /// The exception's name as AWS spells it: `ThrottlingException`, or `throttlingException` in a
    /// stream's `:exception-type`. A namespace or URL around it is ignored. Also Anthropic's error type of
    /// an [`AnthropicError`](super::AnthropicError), such as `rate_limit_error`.
    pub code: Option<String>,
    /// `message` or `Message` of the error's body.
    pub message: Option<String>,
    /// The `retry-after` header, in seconds.
    pub retry_after_s: Option<u32>,
    /// AWS's id of the request, for a support case.
    pub request_id: Option<String>,
}

impl BedrockFailure {
    /// The error that Bedrock returned, if it returned one.
    pub fn aws_error(&self) -> Option<&AwsError> {
        match self {
            Self::ErrorResponse(error) => Some(error),
            Self::NoConnection
            | Self::TimedOut
            | Self::Cut
            | Self::Unreadable
            | Self::MalformedOutput => None,
        }
    }
}
