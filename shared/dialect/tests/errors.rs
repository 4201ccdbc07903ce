//! Bedrock's failures and the errors for the client, row by row.

mod validation_error;

use dialect::error::{
    AnthropicError, BedrockError, BedrockFailure, Cause, Class, SetupStep, classify,
};
use dialect::reply::BrokenReply;
use insta::assert_snapshot;

use validation_error::validation_error;

fn answered<'a>(status: u16, code: &'a str, message: &'a str) -> BedrockFailure<'a> {
    let code = (!code.is_empty()).then_some(code);
    BedrockFailure::ErrorResponse {
        status: Some(status),
        code,
        message: Some(message),
        retry_after_s: None,
    }
}

fn row(error: &BedrockError) -> String {
    let retry = match error.should_retry() {
        Some(true) => "true",
        Some(false) => "false",
        None => "-",
    };
    let wait = error
        .retry_after_s
        .map_or("-".to_owned(), |seconds| seconds.to_string());
    let (class, cause) = (error.class().as_str(), error.cause.as_str());
    format!(
        "{class} {cause} | {} {} retry={retry} after={wait}\n",
        error.status(),
        error.error_type()
    )
}

/// Every cause, and every step of an account's set-up.
const CAUSES: [Cause; 26] = [
    Cause::KeyInvalid,
    Cause::KeyExpired,
    Cause::AccessDenied,
    Cause::AccountSetup(SetupStep::UseCaseForm),
    Cause::AccountSetup(SetupStep::DataRetention),
    Cause::AccountSetup(SetupStep::Marketplace),
    Cause::AccountSetup(SetupStep::Payment),
    Cause::AccountSetup(SetupStep::Verification),
    Cause::AccountSetup(SetupStep::ModelOffer),
    Cause::Throttled,
    Cause::DailyQuota,
    Cause::ServiceQuota,
    Cause::ModelNotReady,
    Cause::ServiceError,
    Cause::NoConnection,
    Cause::TimedOut,
    Cause::Cut,
    Cause::Unreadable,
    Cause::MalformedOutput,
    Cause::ModelUnavailable,
    Cause::PromptTooLong,
    Cause::ContextOverflow,
    Cause::Image,
    Cause::Document,
    Cause::BodyTooLarge,
    Cause::BadRequest,
];

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn every_answer_has_its_class_status_and_type() {
    let answers = [
        (
            403,
            "",
            "Authentication failed: Please make sure your API Key is valid.",
        ),
        (
            403,
            "AccessDeniedException",
            "Authentication failed: Please make sure your API Key is valid.",
        ),
        (
            403,
            "",
            "Invalid API Key format: Must start with pre-defined prefix",
        ),
        (401, "", ""),
        (
            403,
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
        ),
        (
            403,
            "ExpiredTokenException",
            "The security token included in the request is expired",
        ),
        (403, "", "Bearer Token has expired"),
        (
            403,
            "AccessDeniedException",
            "You don't have access to the model with the specified model ID.",
        ),
        (
            403,
            "AccessDeniedException",
            "User: arn:aws:iam::123456789012:user/BedrockAPIKey-x is not authorized to perform: bedrock:InvokeModel on resource: arn:aws:bedrock:*::foundation-model/x",
        ),
        (
            403,
            "AccessDeniedException",
            "Model access is denied due to IAM user or service role is not authorized to perform the required AWS Marketplace actions",
        ),
        (403, "", "<html><body>403 Forbidden</body></html>"),
        (
            429,
            "ThrottlingException",
            "Too many tokens, please wait before trying again.",
        ),
        (
            429,
            "ThrottlingException:http://internal.amazon.com/coral/",
            "Too many requests, please wait before trying again.",
        ),
        (
            429,
            "ThrottlingException",
            "Too many tokens per day, please wait before trying again.",
        ),
        (429, "", ""),
        (
            400,
            "ServiceQuotaExceededException",
            "You have exceeded your quota",
        ),
        (
            429,
            "ModelNotReadyException",
            "The model is not ready for inference.",
        ),
        (500, "InternalServerException", "x"),
        (503, "ServiceUnavailableException", "x"),
        (502, "", "<html>bad gateway</html>"),
        (408, "ModelTimeoutException", "x"),
        (424, "ModelErrorException", "x"),
        (404, "ResourceNotFoundException", "Model not found."),
        (
            400,
            "ValidationException",
            "The provided model identifier is invalid.",
        ),
        (
            400,
            "ValidationException",
            "Invocation of model ID anthropic.claude-opus-5 with on-demand throughput isn’t supported. Retry your request with the ID or ARN of an inference profile that contains this model.",
        ),
        (
            400,
            "ValidationException",
            "This model version has reached the end of its life.",
        ),
        (
            400,
            "ValidationException",
            "Input is too long for requested model.",
        ),
        (
            400,
            "com.amazonaws.bedrock#ValidationException",
            "The model returned the following errors: input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease input length or `max_tokens` and try again",
        ),
        (
            400,
            "ValidationException",
            "messages.3.content.1.image.source.base64: image exceeds 5 MB maximum: 6291456 bytes > 5242880 bytes",
        ),
        (
            400,
            "ValidationException",
            "The PDF specified was not valid.",
        ),
        (413, "", "Request Entity Too Large"),
        (
            400,
            "ValidationException",
            "context_management: Extra inputs are not permitted",
        ),
        (400, "", ""),
        (418, "", ""),
        (301, "", ""),
    ];
    let table: String = answers
        .iter()
        .map(|(status, code, message)| row(&classify(&answered(*status, code, message))))
        .collect();
    assert_snapshot!(table, @"
    bedrock_auth_error key_invalid | 400 policy_blocked retry=false after=-
    bedrock_auth_error key_invalid | 400 policy_blocked retry=false after=-
    bedrock_auth_error key_invalid | 400 policy_blocked retry=false after=-
    bedrock_auth_error key_invalid | 400 policy_blocked retry=false after=-
    bedrock_auth_error key_invalid | 400 policy_blocked retry=false after=-
    bedrock_auth_error key_expired | 400 policy_blocked retry=false after=-
    bedrock_auth_error key_expired | 400 policy_blocked retry=false after=-
    bedrock_auth_error access_denied | 400 policy_blocked retry=false after=-
    bedrock_auth_error access_denied | 400 policy_blocked retry=false after=-
    bedrock_auth_error account_setup | 400 policy_blocked retry=false after=-
    bedrock_auth_error access_denied | 400 policy_blocked retry=false after=-
    bedrock_quota_exceeded throttled | 429 rate_limit_error retry=- after=30
    bedrock_quota_exceeded throttled | 429 rate_limit_error retry=- after=30
    bedrock_quota_exceeded daily_quota | 400 policy_blocked retry=false after=-
    bedrock_quota_exceeded throttled | 429 rate_limit_error retry=- after=30
    bedrock_quota_exceeded service_quota | 400 policy_blocked retry=false after=-
    bedrock_unavailable model_not_ready | 503 api_error retry=- after=-
    bedrock_unavailable service_error | 503 api_error retry=- after=-
    bedrock_unavailable service_error | 503 api_error retry=- after=-
    bedrock_unavailable service_error | 503 api_error retry=- after=-
    bedrock_unavailable timed_out | 503 api_error retry=- after=-
    bedrock_unavailable service_error | 503 api_error retry=- after=-
    bedrock_rejected model_unavailable | 400 policy_blocked retry=false after=-
    bedrock_rejected model_unavailable | 400 policy_blocked retry=false after=-
    bedrock_rejected model_unavailable | 400 policy_blocked retry=false after=-
    bedrock_rejected model_unavailable | 400 policy_blocked retry=false after=-
    bedrock_rejected prompt_too_long | 400 invalid_request_error retry=- after=-
    bedrock_rejected context_overflow | 400 invalid_request_error retry=- after=-
    bedrock_rejected image | 400 invalid_request_error retry=- after=-
    bedrock_rejected document | 400 invalid_request_error retry=- after=-
    bedrock_rejected body_too_large | 413 request_too_large retry=false after=-
    bedrock_rejected refused | 400 policy_blocked retry=false after=-
    bedrock_rejected refused | 400 policy_blocked retry=false after=-
    bedrock_rejected refused | 400 policy_blocked retry=false after=-
    bedrock_unavailable service_error | 503 api_error retry=- after=-
    ");
}

#[test]
fn failed_transport_and_unreadable_response_are_bedrock_unavailable() {
    let failures = [
        classify(&BedrockFailure::NoConnection),
        classify(&BedrockFailure::TimedOut),
        classify(&BedrockFailure::Cut),
        classify(&BedrockFailure::Unreadable),
        classify(&BedrockFailure::MalformedOutput),
        classify(&BrokenReply::Unreadable.as_failure()),
        classify(&BrokenReply::Malformed.as_failure()),
    ];
    for error in failures {
        assert_eq!(error.class(), Class::Unavailable);
        assert_eq!((error.status(), error.error_type()), (503, "api_error"));
        assert_eq!(error.should_retry(), None, "it may work the next time");
    }
}

#[test]
fn exception_inside_a_stream_is_classified_by_its_name() {
    for (code, cause) in [
        ("throttlingException", Cause::Throttled),
        ("internalServerException", Cause::ServiceError),
        ("modelStreamErrorException", Cause::ServiceError),
        ("serviceUnavailableException", Cause::ServiceError),
        ("modelTimeoutException", Cause::TimedOut),
        ("validationException", Cause::BadRequest),
        ("somethingNew", Cause::ServiceError),
    ] {
        let failure = BedrockFailure::ErrorResponse {
            status: None,
            code: Some(code),
            message: None,
            retry_after_s: None,
        };
        let error = classify(&failure);
        assert_eq!(error.cause, cause, "{code}");
        assert_eq!(error.stream_error_type(), "overloaded_error", "{code}");
    }
}

#[test]
fn error_inside_a_200_is_classified_by_its_error_type() {
    for (error_type, message, cause) in [
        ("rate_limit_error", "Rate limited", Cause::Throttled),
        (
            "rate_limit_error",
            "Too many tokens per day",
            Cause::DailyQuota,
        ),
        ("overloaded_error", "Overloaded", Cause::ServiceError),
        ("api_error", "Internal server error", Cause::ServiceError),
        ("timeout_error", "Request timed out", Cause::TimedOut),
        ("authentication_error", "invalid", Cause::KeyInvalid),
        ("permission_error", "not allowed", Cause::AccessDenied),
        (
            "billing_error",
            "payment",
            Cause::AccountSetup(SetupStep::Payment),
        ),
        ("not_found_error", "model: x", Cause::ModelUnavailable),
        ("request_too_large", "too large", Cause::BodyTooLarge),
        (
            "invalid_request_error",
            "prompt is too long: 211055 tokens > 200000 maximum",
            Cause::PromptTooLong,
        ),
        (
            "invalid_request_error",
            "top_k: unexpected",
            Cause::BadRequest,
        ),
        ("something_new", "x", Cause::ServiceError),
        ("", "x", Cause::ServiceError),
    ] {
        let chunk = format!(
            r#"{{"type":"error","error":{{"type":"{error_type}","message":"{message}","details":null}},"request_id":"req_1"}}"#
        );
        let error = AnthropicError::parse(chunk.as_bytes()).unwrap();
        let classified = classify(&error.as_failure());
        assert_eq!(classified.cause, cause, "{chunk}");
        if cause == Cause::PromptTooLong {
            assert_eq!(classified.message, message);
        }
    }
}

#[test]
fn json_without_an_error_envelope_is_not_an_anthropic_error() {
    for json in [
        "",
        "null",
        "{}",
        r#"{"error":"text"}"#,
        r#"{"error":{}}"#,
        r#"{"type":"message_start","message":{}}"#,
    ] {
        assert_eq!(AnthropicError::parse(json.as_bytes()), None, "{json}");
    }
}

#[test]
fn only_errors_that_the_client_can_fix_are_about_the_request() {
    for cause in CAUSES {
        let error = BedrockError::from(cause);
        let expected = matches!(
            cause,
            Cause::PromptTooLong
                | Cause::ContextOverflow
                | Cause::Image
                | Cause::Document
                | Cause::BodyTooLarge
        );
        assert_eq!(error.is_about_the_request(), expected, "{cause:?}");
    }
}

/// Claude Code hides the message of a 529 and adds wrong advice to a 403 and to a final 5xx. After
/// a 400 of any other type it sends five more requests.
#[test]
fn final_failure_has_a_status_and_type_without_advice_of_claude_code() {
    for cause in CAUSES {
        let error = BedrockError::from(cause);
        let answer = (error.status(), error.error_type());
        if error.is_about_the_request() {
            assert!(matches!(error.status(), 400 | 413), "{cause:?}");
        } else if error.should_retry() == Some(false) {
            assert_eq!(answer, (400, "policy_blocked"), "{cause:?}");
            assert_eq!(error.retry_after_s, None, "{cause:?}");
        } else {
            assert!(
                [(429, "rate_limit_error"), (503, "api_error")].contains(&answer),
                "{cause:?}"
            );
        }
    }
}

#[test]
fn prompt_too_long_inside_a_stream_is_an_invalid_request_error() {
    let error = classify(&validation_error("Input is too long for requested model."));
    assert_eq!(error.stream_error_type(), "invalid_request_error");
}

#[test]
fn retry_after_of_bedrock_is_passed_on_when_waiting_helps() {
    let with_wait = |status, code| {
        let failure = BedrockFailure::ErrorResponse {
            status: Some(status),
            code: Some(code),
            message: None,
            retry_after_s: Some(7),
        };
        classify(&failure).retry_after_s
    };
    assert_eq!(with_wait(429, "ThrottlingException"), Some(7));
    assert_eq!(with_wait(503, "ServiceUnavailableException"), Some(7));
    assert_eq!(with_wait(403, "AccessDeniedException"), None);
    assert_eq!(with_wait(400, "ValidationException"), None);
}

#[test]
fn recoverable_errors_have_the_wordings_that_claude_code_matches() {
    let text = |message| classify(&validation_error(message)).message;
    for (bedrock, ours) in [
        (
            "Input is too long for requested model.",
            "prompt is too long: Input is too long for requested model.",
        ),
        (
            "The model returned the following errors: prompt is too long: 215000 tokens > 200000 maximum",
            "prompt is too long: 215000 tokens > 200000 maximum",
        ),
        (
            r#"The model returned the following errors: {"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 215000 tokens > 200000 maximum"}}"#,
            "prompt is too long: 215000 tokens > 200000 maximum",
        ),
        (
            "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease input length or `max_tokens` and try again",
            "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease input length or `max_tokens` and try again",
        ),
        (
            "Could not process image",
            "capability_rejected: image_block",
        ),
        (
            "messages.1.content.0.image: image dimensions exceed max allowed size for many-image requests: 2000 pixels",
            "capability_rejected: image_block",
        ),
        (
            "A maximum of 100 PDF pages may be provided.",
            "capability_rejected: document_block",
        ),
    ] {
        assert_eq!(text(bedrock), ours);
    }
}

#[test]
fn each_error_message_names_the_cause_and_who_can_fix_it() {
    // The others have the wordings from which Claude Code recovers.
    let sentences: Vec<String> = CAUSES
        .into_iter()
        .map(BedrockError::from)
        .filter(|error| error.status() != 400 || error.should_retry() == Some(false))
        .map(|error| error.message)
        .collect();
    assert_snapshot!(sentences.join("\n"), @"
    Amazon Bedrock did not accept your Bedrock API key: it is mistyped or deleted, or it was made in another AWS region than the one Spillway uses for you; give your Spillway administrator a current key and the region it was made in.
    Your Bedrock API key has expired (short-term keys live 12 hours at most); create a new one in the AWS console and give it to your Spillway administrator.
    Amazon Bedrock accepts your API key but does not allow it to use this model: your AWS administrator must allow bedrock:InvokeModel and bedrock:CallWithBearerToken for the key, and the account must have access to the model.
    Your AWS account has not submitted Anthropic's use case form for Amazon Bedrock; your AWS administrator must fill it out once in the Amazon Bedrock console, and it takes effect after about 15 minutes.
    The data retention mode of your AWS account does not permit this model on Amazon Bedrock; your AWS administrator must select a mode that the model requires, or your Spillway administrator can configure another model.
    Your AWS account has no AWS Marketplace subscription to this model; your AWS administrator must allow aws-marketplace:Subscribe and aws-marketplace:ViewSubscriptions, or call the model once with an identity that has them, and it takes effect after a few minutes.
    Your AWS account has no valid payment method for this model on Amazon Bedrock; your AWS administrator must add one in the AWS Billing console.
    AWS does not allow your AWS account to use Amazon Bedrock yet; your AWS administrator must have the account verified by AWS Support.
    AWS does not offer this model to your AWS account; your AWS administrator can ask AWS Sales for access, or your Spillway administrator can configure another model.
    Amazon Bedrock is throttling your AWS account (too many requests or tokens per minute); wait a little, or ask your AWS administrator for a higher quota.
    Your AWS account has used up its daily token quota for this model on Amazon Bedrock; wait until it is renewed, or ask your AWS administrator for a higher quota.
    A quota of your AWS account on Amazon Bedrock is used up; your AWS administrator can raise it under Service Quotas.
    Amazon Bedrock is still loading the model; try again in a moment.
    Amazon Bedrock failed to answer; this is usually temporary, try again in a moment.
    Spillway cannot reach Amazon Bedrock; if it lasts, your Spillway administrator should check the configured region and the network.
    Amazon Bedrock did not answer in time; this is usually temporary, try again in a moment.
    Amazon Bedrock's answer broke off before its end; this is usually temporary, try again in a moment.
    Amazon Bedrock's answer could not be understood; if it lasts, your Spillway administrator can look it up by the request id.
    The model on Amazon Bedrock produced output that could not be used; this is usually temporary, try again in a moment.
    The Bedrock model that Spillway is configured to use for this request is not available in your region or has been retired; your Spillway administrator can change the model map.
    The request is larger than Amazon Bedrock accepts (20 MB); remove large files or images from the conversation, or use /compact.
    Amazon Bedrock does not accept this request as Spillway translated it; your Spillway administrator can find the reason in the log by the request id.
    ");
}

#[test]
fn error_body_is_anthropics_error_envelope() {
    let body = BedrockError::from(Cause::ModelNotReady).body("req_1");
    assert_snapshot!(String::from_utf8(body).unwrap(), @r#"{"type":"error","error":{"type":"api_error","message":"Amazon Bedrock is still loading the model; try again in a moment."},"request_id":"req_1"}"#);
}
