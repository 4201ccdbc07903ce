//! Error messages that Bedrock sent in 2025 and 2026, with the response to the client and the
//! fields of the log.

#![expect(
    clippy::panic,
    reason = "a test ends where its expectation does; clippy.toml exempts test functions only"
)]

mod validation_error;

use dialect::error::{BedrockError, BedrockFailure, Cause, FailureDetail, SetupStep, classify};

use validation_error::validation_error;

struct Row {
    status: Option<u16>,
    code: &'static str,
    message: &'static str,
    cause: Cause,
    /// Class, HTTP status.
    answer: (&'static str, u16),
    /// None: the message of the cause.
    sentence: Option<&'static str>,
}

const AUTH: (&str, u16) = ("bedrock_auth_error", 400);
const QUOTA: (&str, u16) = ("bedrock_quota_exceeded", 429);
/// A quota that waiting does not renew.
const USED_UP: (&str, u16) = ("bedrock_quota_exceeded", 400);
const REJECTED: (&str, u16) = ("bedrock_rejected", 400);
const RECOVERABLE: (&str, u16) = ("bedrock_rejected", 400);
const UNAVAILABLE: (&str, u16) = ("bedrock_unavailable", 503);

const fn row(
    status: u16,
    code: &'static str,
    message: &'static str,
    cause: Cause,
    answer: (&'static str, u16),
) -> Row {
    Row {
        status: if status == 0 { None } else { Some(status) },
        code,
        message,
        cause,
        answer,
        sentence: None,
    }
}

const fn setup(status: u16, code: &'static str, message: &'static str, step: SetupStep) -> Row {
    row(status, code, message, Cause::AccountSetup(step), AUTH)
}

const VALIDATION: &str = "ValidationException:http://internal.amazon.com/coral/com.amazon.bedrock/";
const NOT_FOUND: &str =
    "ResourceNotFoundException:http://internal.amazon.com/coral/com.amazon.bedrock/";
const ACCESS_DENIED: &str =
    "AccessDeniedException:http://internal.amazon.com/coral/com.amazon.bedrock/";
const THROTTLING: &str = "ThrottlingException:http://internal.amazon.com/coral/com.amazon.bedrock/";

/// Status 0: an exception or an envelope inside a stream.
const ROWS: &[Row] = &[
    // The key.
    row(
        403,
        "UnrecognizedClientException:http://internal.amazon.com/coral/com.amazon.coral.service/",
        "The security token included in the request is invalid.",
        Cause::KeyInvalid,
        AUTH,
    ),
    row(
        403,
        "ExpiredTokenException:http://internal.amazon.com/coral/com.amazon.coral.service/",
        "The security token included in the request is expired",
        Cause::KeyExpired,
        AUTH,
    ),
    row(
        403,
        "",
        "Authentication failed: Please make sure your API Key is valid.",
        Cause::KeyInvalid,
        AUTH,
    ),
    // Throttles and quotas.
    row(
        429,
        THROTTLING,
        "Too many tokens, please wait before trying again.",
        Cause::Throttled,
        QUOTA,
    ),
    row(
        429,
        THROTTLING,
        "Too many requests, please wait before trying again.",
        Cause::Throttled,
        QUOTA,
    ),
    row(
        429,
        THROTTLING,
        "Too many tokens per day, please wait before trying again.",
        Cause::DailyQuota,
        USED_UP,
    ),
    row(
        0,
        "rate_limit_error",
        "Rate limited",
        Cause::Throttled,
        QUOTA,
    ),
    // Exceptions inside a stream.
    row(
        0,
        "validationException",
        "The model returned the following errors: messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `text`",
        Cause::BadRequest,
        REJECTED,
    ),
    row(
        0,
        "internalServerException",
        "The system encountered an unexpected error during processing. Try your request again.",
        Cause::ServiceError,
        UNAVAILABLE,
    ),
    // Anthropic's envelope inside AWS's message, and in place of it.
    Row {
        sentence: Some("prompt is too long: 211055 tokens > 200000 maximum"),
        ..row(
            400,
            VALIDATION,
            r#"The model returned the following errors: {"type":"error","request_id":"req_1","error":{"type":"invalid_request_error","message":"prompt is too long: 211055 tokens > 200000 maximum"}}"#,
            Cause::PromptTooLong,
            RECOVERABLE,
        )
    },
    Row {
        sentence: Some("prompt is too long: 211055 tokens > 200000 maximum"),
        ..row(
            400,
            "",
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 211055 tokens > 200000 maximum"}}"#,
            Cause::PromptTooLong,
            RECOVERABLE,
        )
    },
    row(
        400,
        VALIDATION,
        r#"The model returned the following errors: {"type":"error","error":{"type":"rate_limit_error","message":"Rate limited"}}"#,
        Cause::Throttled,
        QUOTA,
    ),
    row(
        400,
        "",
        r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
        Cause::ServiceError,
        UNAVAILABLE,
    ),
    row(
        400,
        "",
        r#"{"type":"error","error":{"type":"timeout_error","message":"Timed out"}}"#,
        Cause::TimedOut,
        UNAVAILABLE,
    ),
    row(
        400,
        "",
        r#"{"type":"error","error":{"type":"not_found_error","message":"model: x"}}"#,
        Cause::ModelUnavailable,
        REJECTED,
    ),
    row(
        400,
        "",
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"invalid beta flag"}}"#,
        Cause::BadRequest,
        REJECTED,
    ),
    // The set-up of the AWS account.
    setup(
        400,
        VALIDATION,
        "anthropic.claude-opus-4-7 is not available for this account. You can explore other available models on Amazon Bedrock. For additional access options, contact AWS Sales.",
        SetupStep::ModelOffer,
    ),
    setup(
        403,
        ACCESS_DENIED,
        "anthropic.claude-opus-4-7 is not available for this account. You can explore other available models on Amazon Bedrock. For additional access options, contact AWS Sales.",
        SetupStep::ModelOffer,
    ),
    setup(
        403,
        "",
        r#"{"type":"error","error":{"type":"permission_error","message":"anthropic.claude-opus-4-7 is not available for this account."}}"#,
        SetupStep::ModelOffer,
    ),
    setup(
        400,
        "",
        r#"{"type":"error","error":{"type":"permission_error","message":"anthropic.claude-opus-4-7 is not available for this account."}}"#,
        SetupStep::ModelOffer,
    ),
    setup(
        400,
        VALIDATION,
        "The model returned the following errors: data retention mode 'default' is not available for this model",
        SetupStep::DataRetention,
    ),
    setup(
        404,
        NOT_FOUND,
        "Model use case details have not been submitted for this account. Fill out the Anthropic use case details form before using the model. If you have already filled out the form, try again in 15 minutes.",
        SetupStep::UseCaseForm,
    ),
    setup(
        400,
        VALIDATION,
        "You have not filled out the required use-case form for this model. Complete the form at https://us-east-1.console.aws.amazon.com/bedrock/",
        SetupStep::UseCaseForm,
    ),
    setup(
        403,
        ACCESS_DENIED,
        "Model access is denied due to IAM user or service role is not authorized to perform the required AWS Marketplace actions (aws-marketplace:ViewSubscriptions, aws-marketplace:Subscribe) to enable access to this model. Refer to the Amazon Bedrock documentation for further details. Your AWS Marketplace subscription for this model cannot be completed at this time. If you recently fixed this issue, try again after 2 minutes.",
        SetupStep::Marketplace,
    ),
    setup(
        403,
        ACCESS_DENIED,
        "Model access is denied due to INVALID_PAYMENT_INSTRUMENT:A valid payment instrument must be provided.",
        SetupStep::Payment,
    ),
    setup(
        400,
        VALIDATION,
        "Operation not allowed",
        SetupStep::Verification,
    ),
    // The model.
    row(
        400,
        VALIDATION,
        "The provided model identifier is invalid.",
        Cause::ModelUnavailable,
        REJECTED,
    ),
    row(
        404,
        NOT_FOUND,
        "Access denied. This Model is marked by provider as Legacy and you have not been actively using the model in the last 30 days. Please upgrade to an active model on Amazon Bedrock",
        Cause::ModelUnavailable,
        REJECTED,
    ),
    row(
        404,
        NOT_FOUND,
        "This model version has reached the end of its life. Please refer to the AWS documentation for more details.",
        Cause::ModelUnavailable,
        REJECTED,
    ),
    // The request. It is repaired once; this is the error if that does not help.
    row(
        400,
        VALIDATION,
        "The model returned the following errors: `temperature` is deprecated for this model.",
        Cause::BadRequest,
        REJECTED,
    ),
    row(
        400,
        VALIDATION,
        "\"thinking.type.enabled\" is not supported for this model. Use \"thinking.type.adaptive\" and \"output_config.effort\" to control thinking behavior.",
        Cause::BadRequest,
        REJECTED,
    ),
    row(
        400,
        VALIDATION,
        "This model does not support assistant message prefill. The conversation must end with a user message.",
        Cause::BadRequest,
        REJECTED,
    ),
    row(
        400,
        VALIDATION,
        "A maximum of 4 blocks with cache_control may be provided. Found 5",
        Cause::BadRequest,
        REJECTED,
    ),
    row(
        400,
        VALIDATION,
        "messages.0.content.0.cache_control.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block",
        Cause::BadRequest,
        REJECTED,
    ),
    row(
        400,
        VALIDATION,
        "messages.39.content.0: Invalid signature in thinking block",
        Cause::BadRequest,
        REJECTED,
    ),
    row(
        400,
        VALIDATION,
        "messages.1.content.0.thinking.signature: Field required",
        Cause::BadRequest,
        REJECTED,
    ),
    row(
        400,
        "",
        r#"{"message":"tool type 'web_search_20250305' is not supported for this model"}"#,
        Cause::BadRequest,
        REJECTED,
    ),
    row(
        400,
        VALIDATION,
        "tools.11.custom.defer_loading: Extra inputs are not permitted",
        Cause::BadRequest,
        REJECTED,
    ),
    row(
        400,
        VALIDATION,
        "invalid beta flag",
        Cause::BadRequest,
        REJECTED,
    ),
    row(
        400,
        VALIDATION,
        "Guardrail was enabled but input is in incorrect format.",
        Cause::BadRequest,
        REJECTED,
    ),
];

fn failure(row: &Row) -> BedrockFailure<'_> {
    BedrockFailure::ErrorResponse {
        status: row.status,
        code: Some(row.code).filter(|code| !code.is_empty()),
        message: Some(row.message),
        retry_after_s: None,
    }
}

#[test]
fn each_recorded_error_has_its_cause_class_status_and_sentence() {
    for row in ROWS {
        let error = classify(&failure(row));
        assert_eq!(error.cause, row.cause, "{}", row.message);
        assert_eq!(
            (error.class().as_str(), error.status()),
            row.answer,
            "{}",
            row.message
        );
        let sentence = match row.sentence {
            Some(sentence) => sentence.to_owned(),
            None => BedrockError::from(row.cause).message,
        };
        assert_eq!(error.message, sentence, "{}", row.message);
        let retry = match row.answer {
            AUTH | USED_UP | REJECTED if error.error_type() == "policy_blocked" => Some(false),
            RECOVERABLE | QUOTA | UNAVAILABLE => None,
            other => panic!("{other:?}: {}", row.message),
        };
        assert_eq!(error.should_retry(), retry, "{}", row.message);
    }
}

fn logged(message: &str) -> String {
    match FailureDetail::from_failure(&validation_error(message)).reason {
        Some(reason) => reason,
        None => panic!("no reason for {message}"),
    }
}

#[test]
fn failure_detail_has_the_reason_without_accounts_and_values() {
    for (message, reason) in [
        (
            "top_k: Extra inputs are not permitted",
            "top_k: Extra inputs are not permitted",
        ),
        (
            "The model returned the following errors: {\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"invalid beta flag\"}}",
            "invalid beta flag",
        ),
        (
            "User: arn:aws:iam::123456789012:user/BedrockAPIKey-x is not authorized to perform: bedrock:InvokeModel on resource: arn:aws:bedrock:*::foundation-model/x",
            "User: arn:… is not authorized to perform: bedrock:InvokeModel on resource: arn:…",
        ),
        (
            "account 123456789012 is not verified",
            "account … is not verified",
        ),
        (
            "Value 'tell me about 'Ada' and my password' at 'messages.1.member.content' failed to satisfy constraint",
            "Value '…' at 'messages.1.member.content' failed to satisfy constraint",
        ),
        (
            "Value 'system' at 'messages.2.member.role' failed to satisfy constraint",
            "Value 'system' at 'messages.2.member.role' failed to satisfy constraint",
        ),
        (
            "messages.0: Expected `thinking`, but found `tool_use`: it's wrong",
            "messages.0: Expected `thinking`, but found `tool_use`: it's wrong",
        ),
        (
            "messages.0.content: invalid value: string \"what is \"love\" to you\", expected a list",
            "messages.0.content: invalid value: string \"…\", expected a list",
        ),
        (
            "got {\"role\":\"user\",\"content\":\"secret\"} instead",
            "got {…} instead",
        ),
        ("not closed: 'a secret of mine", "not closed: '…'"),
        ("first line\na secret of mine", "first line"),
    ] {
        assert_eq!(logged(message), reason);
    }
    let long = logged(&"word ".repeat(1000));
    assert_eq!(long.chars().count(), 300);
    assert_eq!(logged(&"x".repeat(1000)), "…");
}

#[test]
fn failure_detail_has_status_and_name_of_the_exception() {
    let detail = FailureDetail::from_failure(&failure(&ROWS[0]));
    assert_eq!(detail.status, Some(403));
    assert_eq!(detail.code.as_deref(), Some("UnrecognizedClientException"));
    assert_eq!(
        FailureDetail::from_failure(&BedrockFailure::Cut),
        FailureDetail::default()
    );
}
