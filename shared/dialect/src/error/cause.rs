//! The causes of Bedrock's failures, with error class, HTTP status, error type and message of each.

/// The four classes that logs and metrics count (R1.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// The Bedrock key or its permissions.
    AuthError,
    /// A limit of the AWS account.
    QuotaExceeded,
    /// Bedrock or the network does not work at the moment.
    Unavailable,
    /// Bedrock will not accept this request at any time.
    Rejected,
}

impl Class {
    /// The name in logs and metrics, such as `bedrock_auth_error`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AuthError => "bedrock_auth_error",
            Self::QuotaExceeded => "bedrock_quota_exceeded",
            Self::Unavailable => "bedrock_unavailable",
            Self::Rejected => "bedrock_rejected",
        }
    }
}

/// The cause of a failed Bedrock call.
///
/// | cause | class | HTTP status, error type | `x-should-retry` |
/// |---|---|---|---|
/// | key invalid, key expired, access denied, account set-up | auth | 400 `policy_blocked` | false |
/// | throttled | quota | 429 `rate_limit_error` | |
/// | daily quota, service quota | quota | 400 `policy_blocked` | false |
/// | model not ready, service error, no connection, timed out, cut, unreadable, malformed output | unavailable | 503 `api_error` | |
/// | model unavailable, refused | rejected | 400 `policy_blocked` | false |
/// | prompt too long, context overflow, image, document | rejected | 400 `invalid_request_error` | |
/// | body too large | rejected | 413 `request_too_large` | false |
///
/// These are the statuses to which Claude Code 2.1.329 adds no wrong advice. For a 401 or 403 it
/// shows "Please run /login", for a 404 a hint at the model, for a final 5xx that the failure is
/// temporary, and for a final 429 of a plan login that it is not the usage limit. For a 529 it
/// hides the sentence from a client with an API key. After a 400 it sends five more requests, each
/// with a feature less, unless the type is `policy_blocked` or Claude Code recovers from the
/// wording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The key is wrong, deleted, or of another region. AWS has one message for these.
    KeyInvalid,
    /// The short-term key has expired.
    KeyExpired,
    /// The key is valid, but its policy or the account's model access forbids the call.
    AccessDenied,
    /// A step of the AWS account's set-up for the model is missing.
    AccountSetup(SetupStep),
    /// Too many requests or tokens in a short time.
    Throttled,
    /// The daily token quota is used up.
    DailyQuota,
    /// Another quota of the account.
    ServiceQuota,
    /// The model is being loaded.
    ModelNotReady,
    /// A 5xx, a model error, or an unknown exception.
    ServiceError,
    /// See [`BedrockFailure::NoConnection`](super::BedrockFailure::NoConnection).
    NoConnection,
    /// See [`BedrockFailure::TimedOut`](super::BedrockFailure::TimedOut); also Bedrock's time-out
    /// for the model.
    TimedOut,
    /// See [`BedrockFailure::Cut`](super::BedrockFailure::Cut).
    Cut,
    /// See [`BedrockFailure::Unreadable`](super::BedrockFailure::Unreadable).
    Unreadable,
    /// See [`BedrockFailure::MalformedOutput`](super::BedrockFailure::MalformedOutput).
    MalformedOutput,
    /// The configured model does not exist in the region, is retired, or needs an inference
    /// profile.
    ModelUnavailable,
    /// The conversation is longer than the model's context.
    PromptTooLong,
    /// Conversation and `max_tokens` together are longer than the model's context.
    ContextOverflow,
    /// An image is too big, too many, or unreadable.
    Image,
    /// A document is too big, too long, or unreadable.
    Document,
    /// The body is larger than Bedrock accepts.
    BodyTooLarge,
    /// Any other validation error.
    BadRequest,
}

/// A step of the set-up of an AWS account for a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SetupStep {
    /// Anthropic's use case form, once for each account or organisation.
    UseCaseForm,
    /// The data retention mode that the model requires.
    DataRetention,
    /// The subscription in AWS Marketplace, which the first call makes.
    Marketplace,
    /// A valid payment method.
    Payment,
    /// AWS has not verified a new account.
    Verification,
    /// AWS does not offer the model to this account.
    ModelOffer,
}

impl SetupStep {
    /// The name in logs, such as `use_case_form`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UseCaseForm => "use_case_form",
            Self::DataRetention => "data_retention",
            Self::Marketplace => "marketplace",
            Self::Payment => "payment",
            Self::Verification => "verification",
            Self::ModelOffer => "model_offer",
        }
    }

    fn message(self) -> &'static str {
        match self {
            Self::UseCaseForm => {
                "Your AWS account has not submitted Anthropic's use case form for Amazon Bedrock; \
                 your AWS administrator must fill it out once in the Amazon Bedrock console, and it \
                 takes effect after about 15 minutes."
            }
            Self::DataRetention => {
                "The data retention mode of your AWS account does not permit this model on Amazon \
                 Bedrock; your AWS administrator must select a mode that the model requires, or your \
                 Spillway administrator can configure another model."
            }
            Self::Marketplace => {
                "Your AWS account has no AWS Marketplace subscription to this model; your AWS \
                 administrator must allow aws-marketplace:Subscribe and \
                 aws-marketplace:ViewSubscriptions, or call the model once with an identity that \
                 has them, and it takes effect after a few minutes."
            }
            Self::Payment => {
                "Your AWS account has no valid payment method for this model on Amazon Bedrock; \
                 your AWS administrator must add one in the AWS Billing console."
            }
            Self::Verification => {
                "AWS does not allow your AWS account to use Amazon Bedrock yet; your AWS \
                 administrator must have the account verified by AWS Support."
            }
            Self::ModelOffer => {
                "AWS does not offer this model to your AWS account; your AWS administrator can ask \
                 AWS Sales for access, or your Spillway administrator can configure another model."
            }
        }
    }
}

impl Cause {
    /// The name in logs and metrics, such as `key_invalid`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::KeyInvalid => "key_invalid",
            Self::KeyExpired => "key_expired",
            Self::AccessDenied => "access_denied",
            Self::AccountSetup(_) => "account_setup",
            Self::Throttled => "throttled",
            Self::DailyQuota => "daily_quota",
            Self::ServiceQuota => "service_quota",
            Self::ModelNotReady => "model_not_ready",
            Self::ServiceError => "service_error",
            Self::NoConnection => "no_connection",
            Self::TimedOut => "timed_out",
            Self::Cut => "cut",
            Self::Unreadable => "unreadable",
            Self::MalformedOutput => "malformed_output",
            Self::ModelUnavailable => "model_unavailable",
            Self::PromptTooLong => "prompt_too_long",
            Self::ContextOverflow => "context_overflow",
            Self::Image => "image",
            Self::Document => "document",
            Self::BodyTooLarge => "body_too_large",
            Self::BadRequest => "refused",
        }
    }

    /// The missing step of the AWS account's set-up, where that is the cause.
    pub fn setup_step(self) -> Option<SetupStep> {
        match self {
            Self::AccountSetup(step) => Some(step),
            _ => None,
        }
    }

    /// The error class in logs and metrics.
    pub fn class(self) -> Class {
        match self {
            Self::KeyInvalid | Self::KeyExpired | Self::AccessDenied | Self::AccountSetup(_) => {
                Class::AuthError
            }
            Self::Throttled | Self::DailyQuota | Self::ServiceQuota => Class::QuotaExceeded,
            Self::ModelNotReady
            | Self::ServiceError
            | Self::NoConnection
            | Self::TimedOut
            | Self::Cut
            | Self::Unreadable
            | Self::MalformedOutput => Class::Unavailable,
            Self::ModelUnavailable
            | Self::PromptTooLong
            | Self::ContextOverflow
            | Self::Image
            | Self::Document
            | Self::BodyTooLarge
            | Self::BadRequest => Class::Rejected,
        }
    }

    /// Returns true when Claude Code recovers from the message by changing the conversation.
    pub(super) fn is_recoverable(self) -> bool {
        matches!(
            self,
            Self::PromptTooLong | Self::ContextOverflow | Self::Image | Self::Document
        )
    }

    pub(super) fn status_and_type(self) -> (u16, &'static str) {
        match self {
            _ if self.is_recoverable() => (400, "invalid_request_error"),
            Self::BodyTooLarge => (413, "request_too_large"),
            _ if self.should_retry() == Some(false) => (400, "policy_blocked"),
            Self::Throttled => (429, "rate_limit_error"),
            _ => (503, "api_error"),
        }
    }

    pub(super) fn should_retry(self) -> Option<bool> {
        match self {
            Self::DailyQuota | Self::ServiceQuota => Some(false),
            _ if self.is_recoverable() => None,
            _ => match self.class() {
                Class::AuthError | Class::Rejected => Some(false),
                Class::QuotaExceeded | Class::Unavailable => None,
            },
        }
    }

    /// The message for the developer: the possible cause, and who can fix it.
    pub(super) fn message(self) -> &'static str {
        match self {
            Self::KeyInvalid => {
                "Amazon Bedrock did not accept your Bedrock API key: it is mistyped or deleted, or \
                 it was made in another AWS region than the one Spillway uses for you; give your \
                 Spillway administrator a current key and the region it was made in."
            }
            Self::KeyExpired => {
                "Your Bedrock API key has expired (short-term keys live 12 hours at most); create \
                 a new one in the AWS console and give it to your Spillway administrator."
            }
            Self::AccessDenied => {
                "Amazon Bedrock accepts your API key but does not allow it to use this model: your \
                 AWS administrator must allow bedrock:InvokeModel and bedrock:CallWithBearerToken \
                 for the key, and the account must have access to the model."
            }
            Self::AccountSetup(step) => step.message(),
            Self::Throttled => {
                "Amazon Bedrock is throttling your AWS account (too many requests or tokens per \
                 minute); wait a little, or ask your AWS administrator for a higher quota."
            }
            Self::DailyQuota => {
                "Your AWS account has used up its daily token quota for this model on Amazon \
                 Bedrock; wait until it is renewed, or ask your AWS administrator for a higher \
                 quota."
            }
            Self::ServiceQuota => {
                "A quota of your AWS account on Amazon Bedrock is used up; your AWS administrator \
                 can raise it under Service Quotas."
            }
            Self::ModelNotReady => {
                "Amazon Bedrock is still loading the model; try again in a moment."
            }
            Self::ServiceError => {
                "Amazon Bedrock failed to answer; this is usually temporary, try again in a moment."
            }
            Self::NoConnection => {
                "Spillway cannot reach Amazon Bedrock; if it lasts, your Spillway administrator \
                 should check the configured region and the network."
            }
            Self::TimedOut => {
                "Amazon Bedrock did not answer in time; this is usually temporary, try again in a \
                 moment."
            }
            Self::Cut => {
                "Amazon Bedrock's answer broke off before its end; this is usually temporary, try \
                 again in a moment."
            }
            Self::Unreadable => {
                "Amazon Bedrock's answer could not be understood; if it lasts, your Spillway \
                 administrator can look it up by the request id."
            }
            Self::MalformedOutput => {
                "The model on Amazon Bedrock produced output that could not be used; this is \
                 usually temporary, try again in a moment."
            }
            Self::ModelUnavailable => {
                "The Bedrock model that Spillway is configured to use for this request is not \
                 available in your region or has been retired; your Spillway administrator can \
                 change the model map."
            }
            // The wording of the gateway protocol that Claude Code documents at `/protocol`. Claude
            // Code removes the block and informs the user.
            Self::Image => "capability_rejected: image_block",
            Self::Document => "capability_rejected: document_block",
            // Both wordings, because older versions of Claude Code match only the first.
            Self::PromptTooLong => "prompt is too long: Input is too long for requested model.",
            Self::ContextOverflow => {
                "prompt is too long: input length and `max_tokens` exceed context limit"
            }
            Self::BodyTooLarge => {
                "The request is larger than Amazon Bedrock accepts (20 MB); remove large files or \
                 images from the conversation, or use /compact."
            }
            Self::BadRequest => {
                "Amazon Bedrock does not accept this request as Spillway translated it; your \
                 Spillway administrator can find the reason in the log by the request id."
            }
        }
    }
}
