//! What the SDK says of a failed call, in the dialect's words.

use aws_sdk_bedrockruntime::types::error::{ConverseStreamOutputError, ResponseStreamError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_smithy_types::event_stream::RawMessage;
use dialect::error::BedrockFailure;
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
            } => BedrockFailure::Answered {
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
    let body: ErrorBody = raw
        .body()
        .bytes()
        .and_then(|body| serde_json::from_slice(body).ok())
        .unwrap_or_default();
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
            .or(body.capital_message),
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

/// What an exception in a stream is called; the SDK gives its variant but no code.
pub(super) trait Exception: ProvideErrorMetadata {
    fn exception(&self) -> Option<&'static str>;
}

impl Exception for ConverseStreamOutputError {
    fn exception(&self) -> Option<&'static str> {
        match self {
            Self::InternalServerException(_) => Some("InternalServerException"),
            Self::ModelStreamErrorException(_) => Some("ModelStreamErrorException"),
            Self::ValidationException(_) => Some("ValidationException"),
            Self::ThrottlingException(_) => Some("ThrottlingException"),
            Self::ServiceUnavailableException(_) => Some("ServiceUnavailableException"),
            _ => None,
        }
    }
}

impl Exception for ResponseStreamError {
    fn exception(&self) -> Option<&'static str> {
        match self {
            Self::InternalServerException(_) => Some("InternalServerException"),
            Self::ModelStreamErrorException(_) => Some("ModelStreamErrorException"),
            Self::ModelTimeoutException(_) => Some("ModelTimeoutException"),
            Self::ValidationException(_) => Some("ValidationException"),
            Self::ThrottlingException(_) => Some("ThrottlingException"),
            Self::ServiceUnavailableException(_) => Some("ServiceUnavailableException"),
            _ => None,
        }
    }
}

/// A stream that broke: an exception in it, damaged frames, or a lost connection.
pub(super) fn of_stream<E: Exception>(error: &SdkError<E, RawMessage>) -> Failure {
    match error {
        SdkError::ServiceError(context) => {
            let raw = match context.raw() {
                RawMessage::Decoded(message) => {
                    let header = message
                        .headers()
                        .iter()
                        .find(|header| header.name().as_str() == ":exception-type");
                    header
                        .and_then(|header| header.value().as_string().ok())
                        .map(aws_smithy_types::str_bytes::StrBytes::as_str)
                }
                _ => None,
            };
            let code = context
                .err()
                .exception()
                .or_else(|| context.err().code())
                .or(raw);
            Failure::Answered {
                status: None,
                code: code.map(str::to_owned),
                message: context.err().message().map(str::to_owned),
                retry_after_s: None,
                aws_request_id: None,
            }
        }
        SdkError::ResponseError(_) => Failure::Unreadable,
        SdkError::TimeoutError(_) => Failure::TimedOut,
        _ => Failure::Cut,
    }
}
