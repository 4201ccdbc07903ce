//! The error responses of the simulated service.

use serde_json::{Value, json};

use crate::delivery::Reply;
use crate::ids;
use crate::script::Step;

/// The error response of a step.
pub(super) fn from_step(step: Step) -> Reply {
    let step = match Reply::from_written_out(step, error_reply) {
        Ok(reply) => return reply,
        Err(step) => step,
    };
    match step {
        Step::UsageLimit { .. } => error_reply(
            429,
            "ThrottlingException",
            "Too many tokens per day, please wait before trying again.",
        ),
        Step::RateLimit { retry_after_s } => {
            let mut reply = error_reply(
                429,
                "ThrottlingException",
                "Too many requests, please wait before trying again.",
            );
            let retry_after = retry_after_s.map(|s| ("retry-after".to_owned(), s.to_string()));
            reply.headers.extend(retry_after);
            reply
        }
        Step::SpendLimit | Step::SelfSetLimit => error_reply(
            400,
            "ServiceQuotaExceededException",
            "Your request exceeds the service quota for your account.",
        ),
        Step::OutOfCredit => error_reply(
            403,
            "AccessDeniedException",
            "Model access is denied due to INVALID_PAYMENT_INSTRUMENT:A valid payment instrument \
             must be provided.",
        ),
        Step::Entitlement => error_reply(
            403,
            "AccessDeniedException",
            "You don't have access to the model with the specified model ID.",
        ),
        Step::Unauthorized => invalid_key_reply(),
        Step::Forbidden => error_reply(
            403,
            "AccessDeniedException",
            "User: arn:aws:iam::000000000000:user/BedrockAPIKey-demo is not authorized to perform: \
             bedrock:InvokeModelWithResponseStream on resource: arn:aws:bedrock:us-east-1::\
             foundation-model/anthropic.claude because no identity-based policy allows the action",
        ),
        Step::ServerError => error_reply(
            500,
            "InternalServerException",
            "The system encountered an unexpected error during processing. Try your request again.",
        ),
        Step::Overloaded => error_reply(
            503,
            "ServiceUnavailableException",
            "Bedrock is unable to process your request.",
        ),
        Step::NotReady => error_reply(
            429,
            "ModelNotReadyException",
            "The model is not ready for inference. Wait and try your request again.",
        ),
        Step::TooLong => validation_error("Input is too long for requested model."),
        Step::Status { status } => from_status(status),
        // The other steps are no errors; `response_plan` handles them.
        _ => error_reply(
            500,
            "InternalServerException",
            "the simulator has no such answer",
        ),
    }
}

/// The service's error response with a status
/// (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html#API_runtime_Converse_Errors>);
/// other statuses come from the gateway before it.
fn from_status(status: u16) -> Reply {
    match status {
        400 => validation_error("The provided request is not valid."),
        401 | 403 => from_step(Step::Forbidden),
        404 => error_reply(
            404,
            "ResourceNotFoundException",
            "Could not resolve the foundation model from the provided model identifier.",
        ),
        429 => from_step(Step::RateLimit {
            retry_after_s: None,
        }),
        500 => from_step(Step::ServerError),
        503 => from_step(Step::Overloaded),
        _ => untyped_error_reply(status, "The request could not be processed."),
    }
}

pub(super) fn service_headers() -> Vec<(String, String)> {
    vec![("x-amzn-requestid".into(), ids::uuid())]
}

pub(super) fn json_reply(status: u16, mut headers: Vec<(String, String)>, body: &Value) -> Reply {
    headers.push(("content-type".into(), "application/json".into()));
    Reply::full(status, headers, body.to_string())
}

pub(super) fn error_reply(status: u16, name: &str, message: &str) -> Reply {
    let mut headers = service_headers();
    // The gateway that checks credentials has its own namespace.
    let of = match name {
        "UnrecognizedClientException"
        | "ExpiredTokenException"
        | "InvalidSignatureException"
        | "MissingAuthenticationTokenException" => "com.amazon.coral.service",
        _ => "com.amazon.bedrock",
    };
    let kind = format!("{name}:http://internal.amazon.com/coral/{of}/");
    headers.push(("x-amzn-errortype".into(), kind));
    json_reply(status, headers, &json!({ "message": message }))
}

/// An error response of the gateway before the service: it has no exception's name, and the member `Message`.
pub(super) fn untyped_error_reply(status: u16, message: &str) -> Reply {
    json_reply(status, service_headers(), &json!({ "Message": message }))
}

/// The error response to an unknown key, and to a key of another region.
pub(super) fn invalid_key_reply() -> Reply {
    untyped_error_reply(
        403,
        "Authentication failed: Please make sure your API Key is valid.",
    )
}

pub(super) fn validation_error(message: &str) -> Reply {
    error_reply(400, "ValidationException", message)
}

pub(super) fn exception(kind: Option<String>, message: Option<String>) -> (String, String) {
    (
        kind.unwrap_or_else(|| "internalServerException".to_owned()),
        message.unwrap_or_else(|| {
            "The system encountered an unexpected error during processing. Try your request again."
                .to_owned()
        }),
    )
}

/// A stream's exception as an error response before the stream.
pub(super) fn stream_error_reply(kind: Option<String>, message: Option<String>) -> Reply {
    let (kind, message) = exception(kind, message);
    let status = match kind.as_str() {
        "throttlingException" => 429,
        "validationException" => 400,
        "modelStreamErrorException" => 424,
        "modelTimeoutException" => 408,
        "serviceUnavailableException" => 503,
        _ => 500,
    };
    let mut characters = kind.chars();
    let first = characters.next().map(|c| c.to_ascii_uppercase());
    let name: String = first.into_iter().chain(characters).collect();
    error_reply(status, &name, &message)
}
