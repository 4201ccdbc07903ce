//! From the errors of the SDK to [`BedrockFailure`].

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use dialect::error::{AnthropicError, AwsError, BedrockFailure};
use serde::Deserialize;

/// The failure of a call that got no response, or an error for a response.
pub(super) fn from_sdk_error<E: ProvideErrorMetadata>(
    error: &SdkError<E, HttpResponse>,
) -> BedrockFailure {
    match error {
        SdkError::TimeoutError(_) => BedrockFailure::TimedOut,
        SdkError::DispatchFailure(failure) if failure.is_timeout() => BedrockFailure::TimedOut,
        SdkError::DispatchFailure(_) => BedrockFailure::NoConnection,
        SdkError::ServiceError(context) => answered(context.raw(), Some(context.err())),
        SdkError::ResponseError(context) => answered::<E>(context.raw(), None),
        _ => BedrockFailure::Unreadable,
    }
}

fn answered<E: ProvideErrorMetadata>(raw: &HttpResponse, error: Option<&E>) -> BedrockFailure {
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
        return BedrockFailure::Unreadable;
    }
    BedrockFailure::ErrorResponse(AwsError {
        status: Some(status),
        code: code.map(str::to_owned),
        message: message
            .map(str::to_owned)
            .or(body.message)
            .or(body.capital_message)
            .or_else(envelope),
        retry_after_s: header("retry-after").and_then(|seconds| seconds.trim().parse().ok()),
        request_id: header("x-amzn-requestid").map(str::to_owned),
    })
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

/// The failure of an exception inside a stream. `text` is from a header of its frame, `payload` its JSON.
pub(super) fn from_exception(
    code: Option<&str>,
    text: Option<&str>,
    payload: &[u8],
) -> BedrockFailure {
    let body: ErrorBody = serde_json::from_slice(payload).unwrap_or_default();
    BedrockFailure::ErrorResponse(AwsError {
        status: None,
        code: code.map(str::to_owned),
        message: body
            .message
            .or(body.capital_message)
            .or_else(|| text.map(str::to_owned)),
        retry_after_s: None,
        request_id: None,
    })
}
