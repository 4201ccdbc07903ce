//! Bedrock's failures, told to Claude Code in the words it understands.
//!
//! [`classify`] reads one failure into one [`Cause`]; everything that the client and the log are told
//! follows from the cause, by the table of [`Cause`]. [`repairs`] reads which part of the request a
//! validation message refuses, for the one repair on the server.
//!
//! Nothing that AWS wrote passes through to the client: its messages hold ARNs and account ids. The few
//! wordings that Claude Code recovers from by itself are written here anew, with only the numbers taken
//! over. The log gets AWS's reason, masked: [`FailureDetail`].

mod cause;
mod detail;
mod envelope;
mod repair;

use crate::sse::error_body;
use repair::Place;

pub use cause::{Cause, Class, SetupStep};
pub use detail::FailureDetail;
pub use envelope::AnthropicError;
pub use repair::{Repair, Scope, repairs, sent_betas};

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

    /// The request is at fault, and the client can change it: shorten it, or leave a block out.
    pub fn is_about_the_request(&self) -> bool {
        self.cause.is_recoverable() || self.cause == Cause::BodyTooLarge
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
        error_body(self.error_type(), &self.message, request_id)
    }
}

impl From<Cause> for BedrockError {
    fn from(cause: Cause) -> Self {
        let retry_after_s = match cause {
            Cause::Throttled => Some(THROTTLE_WAIT_S),
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
        BedrockFailure::MalformedOutput => return Cause::MalformedOutput.into(),
    };
    let mut error = BedrockError::from(Reason::read(message).cause(status, code));
    if let Some(exact) = repair::with_numbers(error.cause, message) {
        error.message = exact;
    }
    error.retry_after_s = match error.should_retry() {
        None if !error.is_about_the_request() => retry_after_s.or(error.retry_after_s),
        _ => None,
    };
    error
}

/// The exception's name alone, of `com.amazonaws.bedrock#ThrottlingException:http://…` or less.
fn exception_name(code: &str) -> &str {
    let name = code.split_once(':').map_or(code, |(name, _)| name);
    name.rsplit_once('#').map_or(name, |(_, name)| name)
}

/// What an error's message says, without what AWS puts around it.
struct Reason {
    /// In lower case.
    text: String,
    /// Anthropic's error type, where the message is Anthropic's envelope.
    error_type: Option<String>,
}

impl Reason {
    /// Reads `TEXT`, `The model returned the following errors: TEXT`, or an envelope of Anthropic's in
    /// place of the text.
    fn read(message: &str) -> Self {
        let message = inner_message(message);
        let (text, error_type) = match AnthropicError::parse(message.as_bytes()) {
            Some(error) => (
                inner_message(&error.message).to_owned(),
                Some(error.error_type),
            ),
            None => (message.to_owned(), None),
        };
        Self {
            text: text.to_ascii_lowercase(),
            error_type,
        }
    }

    /// The cause: by the exception's name, else by the status. Where these say no more than that the
    /// request is at fault, Anthropic's type decides.
    fn cause(&self, status: Option<u16>, code: &str) -> Cause {
        let text = self.text.as_str();
        let of_aws = by_name(code, text).or_else(|| status.map(|status| by_status(status, text)));
        let of_anthropic = self
            .error_type
            .as_deref()
            .and_then(|error_type| by_name(error_type, text));
        match of_aws {
            Some(Cause::Refused) | None => of_anthropic.or(of_aws).unwrap_or(Cause::ServiceError),
            Some(cause) => cause,
        }
    }
}

/// A message without AWS's introduction to the model's own errors.
fn inner_message(message: &str) -> &str {
    const INTRODUCTION: &str = "The model returned the following errors:";
    let message = message.trim();
    match message.split_at_checked(INTRODUCTION.len()) {
        Some((head, rest)) if head.eq_ignore_ascii_case(INTRODUCTION) => rest.trim(),
        _ => message,
    }
}

/// The cause by the name of AWS's exception or Anthropic's error type, if it is a known one.
fn by_name(name: &str, text: &str) -> Option<Cause> {
    let name = exception_name(name).trim().to_ascii_lowercase();
    Some(match name.as_str() {
        "throttlingexception"
        | "toomanyrequestsexception"
        | "throttledexception"
        | "rate_limit_error" => throttle(text),
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
        | "authentication_error" => key_trouble(text),
        "accessdeniedexception" | "notauthorizedexception" | "permission_error" => {
            access_trouble(text)
        }
        "billing_error" => Cause::AccountSetup(SetupStep::Payment),
        "resourcenotfoundexception" | "not_found_error" => model_trouble(text),
        "request_too_large" => Cause::BodyTooLarge,
        "validationexception" | "invalid_request_error" => validation(text),
        _ => return None,
    })
}

fn by_status(status: u16, text: &str) -> Cause {
    match status {
        401 => key_trouble(text),
        403 => access_trouble(text),
        404 => model_trouble(text),
        408 => Cause::TimedOut,
        413 => Cause::BodyTooLarge,
        // 424 is a model's error passed on.
        424 => Cause::ServiceError,
        429 => throttle(text),
        400..=499 => validation(text),
        _ => Cause::ServiceError,
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

/// The step of the AWS account's set-up that a text says is missing. AWS gives these texts as 400, 403
/// or 404.
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
    // Such texts name no place in the request; one that does may quote it.
    if Place::of(text) != Place::Unnamed {
        return None;
    }
    let found = STEPS.iter().find(|(words, _)| mentions(text, words));
    found.map(|&(_, step)| step)
}

/// AWS says `AccessDeniedException` for a bad key, and for a good key without rights.
fn access_trouble(text: &str) -> Cause {
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
        key_trouble(text)
    } else {
        Cause::AccessDenied
    }
}

/// AWS says `ResourceNotFoundException` for a model that is not there, and for an account that may not
/// use it yet.
fn model_trouble(text: &str) -> Cause {
    missing_setup_step(text).map_or(Cause::ModelUnavailable, Cause::AccountSetup)
}

/// A model at the end of its life.
const RETIRED: &[&str] = &["end of its life", "marked by provider as legacy"];

fn validation(text: &str) -> Cause {
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
        Cause::Refused
    }
}
