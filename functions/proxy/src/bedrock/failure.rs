//! What the SDK says of a failed call, in the dialect's words.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use dialect::error::{AnthropicError, BedrockFailure};
use serde::Deserialize;

/// [`BedrockFailure`] that owns its texts.
#[derive(Debug)]
pub(super) enum Failure {
    Answered {
        status: Option<u16>,
        code: Option<String>,
        message: Option<String>,
        retry_after_s: Option<u32>,
        aws_request_id: Option<String>,
    },
    NoConnection,
    TimedOut,
    Cut,
    Unreadable,
    MalformedOutput,
}

impl Failure {
    pub(super) fn as_failure(&self) -> BedrockFailure<'_> {
        match self {
            Self::Answered {
                status,
                code,
                message,
                retry_after_s,
                ..
            } => BedrockFailure::ErrorResponse {
                status: *status,
                code: code.as_deref(),
                message: message.as_deref(),
                retry_after_s: *retry_after_s,
            },
            Self::NoConnection => BedrockFailure::NoConnection,
            Self::TimedOut => BedrockFailure::TimedOut,
            Self::Cut => BedrockFailure::Cut,
            Self::Unreadable => BedrockFailure::Unreadable,
            Self::MalformedOutput => BedrockFailure::MalformedOutput,
        }
    }

    /// AWS's id of the request, for a support case.
    pub(super) fn aws_request_id(&self) -> Option<&str> {
        match self {
            Self::Answered { aws_request_id, .. } => aws_request_id.as_deref(),
            Self::NoConnection
            | Self::TimedOut
            | Self::Cut
            | Self::Unreadable
            | Self::MalformedOutput => None,
        }
    }
}

impl From<BedrockFailure<'_>> for Failure {
    fn from(failure: BedrockFailure<'_>) -> Self {
        match failure {
            BedrockFailure::ErrorResponse {
                status,
                code,
                message,
                retry_after_s,
            } => Self::Answered {
                status,
                code: code.map(str::to_owned),
                message: message.map(str::to_owned),
                retry_after_s,
                aws_request_id: None,
            },
            BedrockFailure::NoConnection => Self::NoConnection,
            BedrockFailure::TimedOut => Self::TimedOut,
            BedrockFailure::Cut => Self::Cut,
            BedrockFailure::Unreadable => Self::Unreadable,
            BedrockFailure::MalformedOutput => Self::MalformedOutput,
        }
    }
}

/// A call that got no answer, or an error for an answer.
pub(super) fn of<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Failure {
    match error {
        SdkError::TimeoutError(_) => Failure::TimedOut,
        SdkError::DispatchFailure(failure) if failure.is_timeout() => Failure::TimedOut,
        SdkError::DispatchFailure(_) => Failure::NoConnection,
        SdkError::ServiceError(context) => answered(context.raw(), Some(context.err())),
        SdkError::ResponseError(context) => answered::<E>(context.raw(), None),
        _ => Failure::Unreadable,
    }
}

fn answered<E: ProvideErrorMetadata>(raw: &HttpResponse, error: Option<&E>) -> Failure {
    let header = |name| raw.headers().get(name);
    let bytes = raw.body().bytes().unwrap_or_default();
    let body: ErrorBody = serde_json::from_slice(bytes).unwrap_or_default();
    // Anthropic's own envelope in place of AWS's: the dialect reads its type and its message.
    let envelope = || {
        AnthropicError::parse(bytes)?;
        std::str::from_utf8(bytes).ok().map(str::to_owned)
    };
    // `UnrecognizedClientException:http://…` and `com.amazon#UnrecognizedClientException` are one.
    let typed = header("x-amzn-errortype").or(body.r#type.as_deref());
    let typed = typed.map(|name| {
        let name = name.split(':').next().unwrap_or_default();
        name.rsplit('#').next().unwrap_or_default()
    });
    let code = error.and_then(ProvideErrorMetadata::code).or(typed);
    let message = error.and_then(ProvideErrorMetadata::message);
    let status = raw.status().as_u16();
    if status < 300 {
        return Failure::Unreadable;
    }
    Failure::Answered {
        status: Some(status),
        code: code.map(str::to_owned),
        message: message
            .map(str::to_owned)
            .or(body.message)
            .or(body.capital_message)
            .or_else(envelope),
        retry_after_s: header("retry-after").and_then(|seconds| seconds.trim().parse().ok()),
        aws_request_id: header("x-amzn-requestid").map(str::to_owned),
    }
}

/// The body of an error that the SDK's model does not know.
#[derive(Debug, Default, Deserialize)]
struct ErrorBody {
    message: Option<String>,
    #[serde(rename = "Message")]
    capital_message: Option<String>,
    #[serde(rename = "__type")]
    r#type: Option<String>,
}

/// An exception inside a stream. `text` is what a header says of it, `payload` the JSON of its frame.
pub(super) fn of_exception(code: Option<&str>, text: Option<&str>, payload: &[u8]) -> Failure {
    let body: ErrorBody = serde_json::from_slice(payload).unwrap_or_default();
    Failure::Answered {
        status: None,
        code: code.map(str::to_owned),
        message: body
            .message
            .or(body.capital_message)
            .or_else(|| text.map(str::to_owned)),
        retry_after_s: None,
        aws_request_id: None,
    }
}
