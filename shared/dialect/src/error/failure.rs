//! The input of the classification: a failed Bedrock call.

/// A failed Bedrock call, as the transport reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BedrockFailure<'a> {
    /// Bedrock returned an error, as an HTTP status or as an exception inside the stream.
    ErrorResponse {
        /// The HTTP status; `None` for an exception inside a stream.
        status: Option<u16>,
        /// The exception's name as AWS spells it: `ThrottlingException`, or `throttlingException`
        /// in a stream's `:exception-type`. A namespace or URL around it is ignored. Also
        /// Anthropic's error type of an [`AnthropicError`](super::AnthropicError), such as
        /// `rate_limit_error`.
        code: Option<&'a str>,
        /// `message` or `Message` of the error's body. It is used for classification and is not
        /// sent to a client.
        message: Option<&'a str>,
        /// The `retry-after` header, in seconds.
        retry_after_s: Option<u32>,
    },
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
