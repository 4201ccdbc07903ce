//! A Bedrock call without an answer, as the transport reports it.

/// A Bedrock call that did not bring an answer, as the transport tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BedrockFailure<'a> {
    /// Bedrock answered with an error, by HTTP status or by an exception inside the stream.
    Answered {
        /// The HTTP status; `None` for an exception inside a stream.
        status: Option<u16>,
        /// The exception's name as AWS spells it: `ThrottlingException`, or `throttlingException`
        /// in a stream's `:exception-type`. A namespace or URL around it does not matter. Also an
        /// error type of Anthropic's, such as `rate_limit_error`, where an [`AnthropicError`] came.
        code: Option<&'a str>,
        /// The `message` or `Message` of the error's body. Read, never shown.
        message: Option<&'a str>,
        /// The `retry-after` header, in seconds.
        retry_after_s: Option<u32>,
    },
    /// No connection: refused, unreachable, DNS or TLS.
    NoConnection,
    /// Nothing came in the time allowed: no headers, or silence inside the stream.
    TimedOut,
    /// The connection ended inside the answer, or a stream ended without its last event.
    Cut,
    /// Something came that is not a Bedrock answer, or that its own rules forbid.
    Unreadable,
    /// A whole answer with the stop reason `malformed_model_output` or `malformed_tool_use`.
    MalformedOutput,
}
