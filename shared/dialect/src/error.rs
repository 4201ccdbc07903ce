//! Bedrock's failures, told to Claude Code in the words it understands.
//!
//! [`classify`] reads one failure into one [`Cause`]; everything that the client and the log are told
//! follows from the cause, by the table of [`Cause`]. [`refused`] reads which part of the request a
//! validation message names, for the one repair on the server.
//!
//! Nothing that AWS wrote passes through: its messages hold ARNs and account ids. The few wordings
//! that Claude Code recovers from by itself are written here anew, with only the numbers taken over.

mod refusal;

use crate::sse::{ErrorEnvelope, write_json};

pub use refusal::refused;

/// A Bedrock call that did not bring an answer, as the transport tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BedrockFailure<'a> {
    /// Bedrock answered with an error, by HTTP status or by an exception inside the stream.
    Answered {
        /// The HTTP status; `None` for an exception inside a stream.
        status: Option<u16>,
        /// The exception's name as AWS spells it: `ThrottlingException`, or `throttlingException`
        /// in a stream's `:exception-type`. A namespace or URL around it does not matter.
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
}

impl<'a> BedrockFailure<'a> {
    /// An error answer of which only the message is at hand; for tests of wordings.
    pub fn validation(message: &'a str) -> Self {
        Self::Answered {
            status: Some(400),
            code: Some("ValidationException"),
            message: Some(message),
            retry_after_s: None,
        }
    }
}

/// The four classes that logs and metrics count (R1.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// The key, or what it may do.
    AuthError,
    /// A limit of the AWS account.
    QuotaExceeded,
    /// Bedrock, or the way to it, does not work at the moment.
    Unavailable,
    /// This request as it stands will never be served.
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

/// Why Bedrock gave no answer, as finely as its words allow.
///
/// | cause | class | HTTP status, error type | `x-should-retry` |
/// |---|---|---|---|
/// | key invalid, key expired, access denied | auth | 403 `permission_error` | false |
/// | throttled | quota | 429 `rate_limit_error` | |
/// | daily quota, service quota | quota | 429 `rate_limit_error` | false |
/// | model not ready, service error, no connection, timed out, cut, unreadable | unavailable | 529 `overloaded_error` | |
/// | model unavailable, refused | rejected | 529 `overloaded_error` | false |
/// | prompt too long, context overflow, image, document | rejected | 400 `invalid_request_error` | |
/// | body too large | rejected | 413 `request_too_large` | false |
///
/// A 401 would read as Claude Code's own login. A 400 that Claude Code cannot place costs five more
/// calls, each with a feature less, so 400 stands only where its wording makes it recover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// A wrong or deleted key, or one of another region: AWS has one text for both.
    KeyInvalid,
    /// A short-term key past its time.
    KeyExpired,
    /// The key is good, but its policy or the account's model access forbids the call.
    AccessDenied,
    /// Too many requests or tokens in a short time.
    Throttled,
    /// The day's tokens are used up.
    DailyQuota,
    /// Another quota of the account.
    ServiceQuota,
    /// The model is being loaded.
    ModelNotReady,
    /// 5xx, a model error, or an exception that says nothing better.
    ServiceError,
    /// See [`BedrockFailure::NoConnection`].
    NoConnection,
    /// See [`BedrockFailure::TimedOut`]; also Bedrock's own wait for the model.
    TimedOut,
    /// See [`BedrockFailure::Cut`].
    Cut,
    /// See [`BedrockFailure::Unreadable`].
    Unreadable,
    /// The configured model does not exist here, is retired, or needs an inference profile.
    ModelUnavailable,
    /// The conversation is longer than the model's context.
    PromptTooLong,
    /// Conversation and `max_tokens` together are longer than the model's context.
    ContextOverflow,
    /// An image is too big, too many, or unreadable.
    Image,
    /// A document is too big, too long, or unreadable.
    Document,
    /// The body is larger than Bedrock takes.
    BodyTooLarge,
    /// Any other validation error.
    Refused,
}

impl Cause {
    /// The name in logs and metrics, such as `key_invalid`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::KeyInvalid => "key_invalid",
            Self::KeyExpired => "key_expired",
            Self::AccessDenied => "access_denied",
            Self::Throttled => "throttled",
            Self::DailyQuota => "daily_quota",
            Self::ServiceQuota => "service_quota",
            Self::ModelNotReady => "model_not_ready",
            Self::ServiceError => "service_error",
            Self::NoConnection => "no_connection",
            Self::TimedOut => "timed_out",
            Self::Cut => "cut",
            Self::Unreadable => "unreadable",
            Self::ModelUnavailable => "model_unavailable",
            Self::PromptTooLong => "prompt_too_long",
            Self::ContextOverflow => "context_overflow",
            Self::Image => "image",
            Self::Document => "document",
            Self::BodyTooLarge => "body_too_large",
            Self::Refused => "refused",
        }
    }

    /// The class it counts in.
    pub fn class(self) -> Class {
        match self {
            Self::KeyInvalid | Self::KeyExpired | Self::AccessDenied => Class::AuthError,
            Self::Throttled | Self::DailyQuota | Self::ServiceQuota => Class::QuotaExceeded,
            Self::ModelNotReady
            | Self::ServiceError
            | Self::NoConnection
            | Self::TimedOut
            | Self::Cut
            | Self::Unreadable => Class::Unavailable,
            Self::ModelUnavailable
            | Self::PromptTooLong
            | Self::ContextOverflow
            | Self::Image
            | Self::Document
            | Self::BodyTooLarge
            | Self::Refused => Class::Rejected,
        }
    }

    /// Claude Code reads the message and repairs the conversation by itself.
    fn is_recoverable(self) -> bool {
        matches!(
            self,
            Self::PromptTooLong | Self::ContextOverflow | Self::Image | Self::Document
        )
    }

    fn status_and_type(self) -> (u16, &'static str) {
        match self.class() {
            Class::AuthError => (403, "permission_error"),
            Class::QuotaExceeded => (429, "rate_limit_error"),
            Class::Rejected if self.is_recoverable() => (400, "invalid_request_error"),
            Class::Rejected if self == Self::BodyTooLarge => (413, "request_too_large"),
            Class::Unavailable | Class::Rejected => (529, "overloaded_error"),
        }
    }

    fn should_retry(self) -> Option<bool> {
        match self {
            Self::DailyQuota | Self::ServiceQuota => Some(false),
            _ if self.is_recoverable() => None,
            _ => match self.class() {
                Class::AuthError | Class::Rejected => Some(false),
                Class::QuotaExceeded | Class::Unavailable => None,
            },
        }
    }

    /// One sentence for the developer in front of Claude Code: what it can be, who can fix it.
    fn message(self) -> &'static str {
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
                "Amazon Bedrock knows your API key but does not allow it to use this model: your \
                 AWS administrator must allow bedrock:InvokeModel and bedrock:CallWithBearerToken \
                 for the key, and the account must have access to the model."
            }
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
            Self::ModelUnavailable => {
                "The Bedrock model that Spillway is configured to use for this request is not \
                 available in your region or has been retired; your Spillway administrator can \
                 change the model map."
            }
            // The stable words of the gateway protocol that Claude Code serves at `/protocol`:
            // it removes the block in question and tells the user.
            Self::Image => "capability_rejected: image_block",
            Self::Document => "capability_rejected: document_block",
            // Both wordings: older versions of Claude Code know only the first.
            Self::PromptTooLong => "prompt is too long: Input is too long for requested model.",
            Self::ContextOverflow => {
                "prompt is too long: input length and `max_tokens` exceed context limit"
            }
            Self::BodyTooLarge => {
                "The request is larger than Amazon Bedrock accepts (20 MB); remove large files or \
                 images from the conversation, or use /compact."
            }
            Self::Refused => {
                "Amazon Bedrock does not accept this request as Spillway translated it; your \
                 Spillway administrator can find the reason in the log by the request id."
            }
        }
    }
}

/// A failure as the client is told it. All of it may be shown and logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BedrockError {
    /// Why; decides everything else but the two below.
    pub cause: Cause,
    /// The sentence for the user, free of anything that AWS wrote.
    pub message: String,
    /// Seconds for the `retry-after` header. Claude Code waits up to 60, and gives up at once on
    /// more.
    pub retry_after_s: Option<u32>,
}

/// What a throttled client waits when AWS names no time. Bedrock counts per minute, so half of one
/// lets the older half of the window pass.
const THROTTLE_WAIT_S: u32 = 30;

/// What a client waits when the day's quota is gone. Over 60, so that Claude Code says so at once.
const DAILY_QUOTA_WAIT_S: u32 = 3600;

impl BedrockError {
    /// The class it counts in (R1.10).
    pub fn class(&self) -> Class {
        self.cause.class()
    }

    /// The HTTP status to answer with.
    pub fn status(&self) -> u16 {
        self.cause.status_and_type().0
    }

    /// Anthropic's error type.
    pub fn error_type(&self) -> &'static str {
        self.cause.status_and_type().1
    }

    /// The `x-should-retry` header, where the client must be told.
    pub fn should_retry(&self) -> Option<bool> {
        self.cause.should_retry()
    }

    /// Anthropic's error type when the failure is told inside a stream. Claude Code resumes by
    /// itself from `overloaded_error`; any other type makes it ask again without streaming, which
    /// only helps where it then reads a message that it can act on.
    pub fn stream_error_type(&self) -> &'static str {
        if self.cause.is_recoverable() {
            "invalid_request_error"
        } else {
            "overloaded_error"
        }
    }

    /// The JSON body: Anthropic's error envelope.
    pub fn body(&self, request_id: &str) -> Vec<u8> {
        let mut body = Vec::new();
        let envelope = ErrorEnvelope::new(self.error_type(), &self.message, request_id);
        write_json(&mut body, &envelope);
        body
    }
}

impl From<Cause> for BedrockError {
    fn from(cause: Cause) -> Self {
        let retry_after_s = match cause {
            Cause::Throttled => Some(THROTTLE_WAIT_S),
            Cause::DailyQuota | Cause::ServiceQuota => Some(DAILY_QUOTA_WAIT_S),
            _ => None,
        };
        Self {
            cause,
            message: cause.message().to_owned(),
            retry_after_s,
        }
    }
}

/// Reads a failure into what the client is told.
pub fn classify(failure: &BedrockFailure<'_>) -> BedrockError {
    let (status, code, message, retry_after_s) = match *failure {
        BedrockFailure::Answered {
            status,
            code,
            message,
            retry_after_s,
        } => (
            status,
            code.unwrap_or_default(),
            message.unwrap_or_default(),
            retry_after_s,
        ),
        BedrockFailure::NoConnection => return Cause::NoConnection.into(),
        BedrockFailure::TimedOut => return Cause::TimedOut.into(),
        BedrockFailure::Cut => return Cause::Cut.into(),
        BedrockFailure::Unreadable => return Cause::Unreadable.into(),
    };
    let mut error = BedrockError::from(cause(status, code, message));
    if let Some(exact) = refusal::with_numbers(error.cause, message) {
        error.message = exact;
    }
    error.retry_after_s = match error.class() {
        Class::QuotaExceeded | Class::Unavailable => retry_after_s.or(error.retry_after_s),
        Class::AuthError | Class::Rejected => None,
    };
    error
}

/// The exception's name alone, of `com.amazonaws.bedrock#ThrottlingException:http://…` or less.
fn exception_name(code: &str) -> &str {
    let name = code.split_once(':').map_or(code, |(name, _)| name);
    name.rsplit_once('#').map_or(name, |(_, name)| name)
}

fn cause(status: Option<u16>, code: &str, message: &str) -> Cause {
    let name = exception_name(code).trim().to_ascii_lowercase();
    let text = message.to_ascii_lowercase();
    match name.as_str() {
        "throttlingexception" | "toomanyrequestsexception" | "throttledexception" => {
            throttle(&text)
        }
        "servicequotaexceededexception" | "limitexceededexception" => Cause::ServiceQuota,
        "modelnotreadyexception" => Cause::ModelNotReady,
        "serviceunavailableexception"
        | "internalserverexception"
        | "modelerrorexception"
        | "modelstreamerrorexception" => Cause::ServiceError,
        "modeltimeoutexception" => Cause::TimedOut,
        "expiredtokenexception" => Cause::KeyExpired,
        "unrecognizedclientexception"
        | "invalidsignatureexception"
        | "incompletesignatureexception"
        | "missingauthenticationtokenexception"
        | "invalidclienttokenid" => key_trouble(&text),
        "accessdeniedexception" | "notauthorizedexception" => access_trouble(&text),
        "resourcenotfoundexception" => Cause::ModelUnavailable,
        "validationexception" => validation(&text),
        _ => match status {
            Some(401) => key_trouble(&text),
            Some(403) => access_trouble(&text),
            Some(404) => Cause::ModelUnavailable,
            Some(408) => Cause::TimedOut,
            Some(413) => Cause::BodyTooLarge,
            // 424 is a model's error passed on.
            Some(424) => Cause::ServiceError,
            Some(429) => throttle(&text),
            Some(400..=499) => validation(&text),
            Some(_) | None => Cause::ServiceError,
        },
    }
}

fn mentions(text: &str, any_of: &[&str]) -> bool {
    any_of.iter().any(|words| text.contains(words))
}

fn throttle(text: &str) -> Cause {
    if mentions(text, &["per day", "daily"]) {
        Cause::DailyQuota
    } else {
        Cause::Throttled
    }
}

fn key_trouble(text: &str) -> Cause {
    if mentions(text, &["expired"]) {
        Cause::KeyExpired
    } else {
        Cause::KeyInvalid
    }
}

/// AWS says `AccessDeniedException` for a bad key and for a good key without rights.
fn access_trouble(text: &str) -> Cause {
    const OF_THE_KEY: &[&str] = &[
        "authentication failed",
        "api key",
        "security token",
        "bearer token",
        "expired",
    ];
    const OF_ITS_RIGHTS: &[&str] = &["not authorized to perform", "access to the model"];
    if mentions(text, OF_THE_KEY) && !mentions(text, OF_ITS_RIGHTS) {
        key_trouble(text)
    } else {
        Cause::AccessDenied
    }
}

fn validation(text: &str) -> Cause {
    const MODEL: &[&str] = &[
        "model identifier is invalid",
        "on-demand throughput isn",
        "end of its life",
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
    if mentions(text, MODEL) {
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
        Cause::Refused
    }
}
