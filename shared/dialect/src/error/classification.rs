//! The cause of a failure, by the exception's name, the HTTP status and the wording.

use super::cause::{Cause, SetupStep};
use super::message::{ErrorLocation, ErrorText, exception_name, mentions};

/// The cause by the exception's name, else by the status. For a validation error, Anthropic's error
/// type in the message decides.
pub(super) fn cause(reason: &ErrorText, status: Option<u16>, code: &str) -> Cause {
    let text = reason.text.as_str();
    let of_aws =
        cause_by_name(code, text).or_else(|| status.map(|status| cause_by_status(status, text)));
    let of_anthropic = reason
        .error_type
        .as_deref()
        .and_then(|error_type| cause_by_name(error_type, text));
    match of_aws {
        Some(Cause::BadRequest) | None => of_anthropic.or(of_aws).unwrap_or(Cause::ServiceError),
        Some(cause) => cause,
    }
}

/// The cause by the name of AWS's exception or Anthropic's error type; None for an unknown name.
fn cause_by_name(name: &str, text: &str) -> Option<Cause> {
    let name = exception_name(name).trim().to_ascii_lowercase();
    Some(match name.as_str() {
        "throttlingexception"
        | "toomanyrequestsexception"
        | "throttledexception"
        | "rate_limit_error" => throttling_cause(text),
        "servicequotaexceededexception" | "limitexceededexception" => Cause::ServiceQuota,
        "modelnotreadyexception" => Cause::ModelNotReady,
        "serviceunavailableexception"
        | "internalserverexception"
        | "modelerrorexception"
        | "modelstreamerrorexception"
        | "api_error"
        | "overloaded_error" => Cause::ServiceError,
        "modeltimeoutexception" | "timeout_error" => Cause::TimedOut,
        "expiredtokenexception" => Cause::KeyExpired,
        "unrecognizedclientexception"
        | "invalidsignatureexception"
        | "incompletesignatureexception"
        | "missingauthenticationtokenexception"
        | "invalidclienttokenid"
        | "authentication_error" => key_cause(text),
        "accessdeniedexception" | "notauthorizedexception" | "permission_error" => {
            access_cause(text)
        }
        "billing_error" => Cause::AccountSetup(SetupStep::Payment),
        "resourcenotfoundexception" | "not_found_error" => model_cause(text),
        "request_too_large" => Cause::BodyTooLarge,
        "validationexception" | "invalid_request_error" => validation_cause(text),
        _ => return None,
    })
}

fn cause_by_status(status: u16, text: &str) -> Cause {
    match status {
        401 => key_cause(text),
        403 => access_cause(text),
        404 => model_cause(text),
        408 => Cause::TimedOut,
        413 => Cause::BodyTooLarge,
        // 424 is an error of the model.
        424 => Cause::ServiceError,
        429 => throttling_cause(text),
        400..=499 => validation_cause(text),
        _ => Cause::ServiceError,
    }
}

fn throttling_cause(text: &str) -> Cause {
    if mentions(text, &["per day", "daily"]) {
        Cause::DailyQuota
    } else {
        Cause::Throttled
    }
}

fn key_cause(text: &str) -> Cause {
    if mentions(text, &["expired"]) {
        Cause::KeyExpired
    } else {
        Cause::KeyInvalid
    }
}

/// The missing step of the AWS account's set-up in a message. AWS sends these messages with 400,
/// 403 or 404.
fn missing_setup_step(text: &str) -> Option<SetupStep> {
    const STEPS: &[(&[&str], SetupStep)] = &[
        (
            &[
                "use case details have not been submitted",
                "use-case form",
                "use case details form",
            ],
            SetupStep::UseCaseForm,
        ),
        (&["data retention mode"], SetupStep::DataRetention),
        (
            &["aws-marketplace:", "aws marketplace actions"],
            SetupStep::Marketplace,
        ),
        (&["invalid_payment_instrument"], SetupStep::Payment),
        (
            &["is not available for this account"],
            SetupStep::ModelOffer,
        ),
    ];
    if text.trim_end_matches('.') == "operation not allowed" {
        return Some(SetupStep::Verification);
    }
    // These messages contain no path of the request; a message with a path may quote the request.
    if ErrorLocation::from_text(text) != ErrorLocation::Unnamed {
        return None;
    }
    let found = STEPS.iter().find(|(words, _)| mentions(text, words));
    found.map(|&(_, step)| step)
}

/// The cause of an `AccessDeniedException`, which AWS sends for an invalid key and for a valid key
/// without permission.
fn access_cause(text: &str) -> Cause {
    const OF_THE_KEY: &[&str] = &[
        "authentication failed",
        "api key",
        "security token",
        "bearer token",
        "expired",
    ];
    const OF_ITS_RIGHTS: &[&str] = &["not authorized to perform", "access to the model"];
    if let Some(step) = missing_setup_step(text) {
        Cause::AccountSetup(step)
    } else if mentions(text, RETIRED) {
        Cause::ModelUnavailable
    } else if mentions(text, OF_THE_KEY) && !mentions(text, OF_ITS_RIGHTS) {
        key_cause(text)
    } else {
        Cause::AccessDenied
    }
}

/// The cause of a `ResourceNotFoundException`, which AWS sends for a missing model and for an
/// account without access to it.
fn model_cause(text: &str) -> Cause {
    missing_setup_step(text).map_or(Cause::ModelUnavailable, Cause::AccountSetup)
}

/// Wordings for a retired model.
const RETIRED: &[&str] = &["end of its life", "marked by provider as legacy"];

fn validation_cause(text: &str) -> Cause {
    const MODEL: &[&str] = &[
        "model identifier is invalid",
        "on-demand throughput isn",
        "model is not supported in this region",
        "access to this model has been",
    ];
    const TOO_LONG: &[&str] = &[
        "input is too long",
        "prompt is too long",
        "too many input tokens",
        "maximum context length",
    ];
    const IMAGE: &[&str] = &[
        "image exceeds",
        "image dimensions",
        "could not process image",
        "too many images",
        "image/",
        "image format",
        "image size",
    ];
    const DOCUMENT: &[&str] = &[
        "pdf",
        "document size",
        "too many documents",
        "document exceeds",
    ];
    if let Some(step) = missing_setup_step(text) {
        Cause::AccountSetup(step)
    } else if mentions(text, MODEL) || mentions(text, RETIRED) {
        Cause::ModelUnavailable
    } else if mentions(text, &["exceed context limit"]) {
        Cause::ContextOverflow
    } else if mentions(text, TOO_LONG) {
        Cause::PromptTooLong
    } else if mentions(text, IMAGE) {
        Cause::Image
    } else if mentions(text, DOCUMENT) {
        Cause::Document
    } else if mentions(
        text,
        &["request body is too large", "request entity too large"],
    ) {
        Cause::BodyTooLarge
    } else {
        Cause::BadRequest
    }
}

/// The wording of Anthropic's API for an error with token counts, which Claude Code uses for its
/// next request. Only a message of exactly this form is accepted, so that no other text of AWS
/// reaches the client.
pub(super) fn message_with_numbers(cause: Cause, message: &str) -> Option<String> {
    let message = message.to_ascii_lowercase();
    match cause {
        Cause::PromptTooLong => {
            let (_, rest) = message.split_once("prompt is too long: ")?;
            let (tokens, rest) = count(rest)?;
            let (maximum, rest) = count(rest.strip_prefix(" tokens > ")?)?;
            rest.strip_prefix(" maximum")?;
            Some(format!(
                "prompt is too long: {tokens} tokens > {maximum} maximum"
            ))
        }
        Cause::ContextOverflow => {
            let (_, rest) = message.split_once("exceed context limit: ")?;
            let (input, rest) = count(rest)?;
            let (output, rest) = count(rest.strip_prefix(" + ")?)?;
            let (limit, _) = count(rest.strip_prefix(" > ")?)?;
            Some(format!(
                "input length and `max_tokens` exceed context limit: {input} + {output} > {limit}, \
                 decrease input length or `max_tokens` and try again"
            ))
        }
        _ => None,
    }
}

/// The number at the start of a text, and the rest. Token counts have less than ten digits.
fn count(text: &str) -> Option<(u32, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    Some((
        digits.parse().ok().filter(|count| *count < 1_000_000_000)?,
        rest,
    ))
}
