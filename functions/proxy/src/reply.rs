//! Answers of Spillway's own, in Anthropic's shape (requirement R1.12).

use bytes::Bytes;
use dialect::error::BedrockError;
use dialect::sse::{error_body, error_body_with_code};
use domain::id::RequestId;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};

use crate::config::UnknownKey;
use crate::plan::{PlanFailure, UnsendableUrl};

/// A body. It fails only where a download breaks off ([`Truncated`]).
pub(crate) type Body = UnsyncBoxBody<Bytes, Truncated>;

/// A download broke off, and nothing in its format can say so. A server aborts the connection; the Lambda
/// runtime would write the error into the answer as text, so there it is an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer broke off upstream")]
pub(crate) struct Truncated;

/// On every answer: Spillway's id of the request.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-spillway-request-id");
/// On every answer of an upstream: which one, and why.
pub(crate) const UPSTREAM: HeaderName = HeaderName::from_static("x-spillway-upstream");
/// On errors of Spillway's own: the class, for people who look.
pub(crate) const ERROR: HeaderName = HeaderName::from_static("x-spillway-error");
/// Anthropic's name for the id of the answer.
pub(crate) const ANTHROPIC_REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
/// Whether the client's SDK may send the request again.
pub(crate) const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// The error type of a final refusal with status 400. Claude Code 2.1.329 shows its sentence as it is and
/// sends nothing again; a 400 of another type it sends five more times, each time with a feature less.
pub(crate) const FINAL_ERROR_TYPE: &str = "policy_blocked";

/// An error of Spillway's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The HTTP status.
    pub(crate) status: StatusCode,
    /// Anthropic's error type that belongs to the status.
    pub(crate) error_type: &'static str,
    /// The class, in `x-spillway-error` and in logs.
    pub(crate) class: &'static str,
    /// What the developer reads in Claude Code.
    pub(crate) message: String,
    /// Anthropic's `error.details.error_code`, where clients act on it.
    pub(crate) error_code: Option<&'static str>,
    /// `x-should-retry`, where the client must be told.
    pub(crate) should_retry: Option<bool>,
    /// `retry-after`, in seconds.
    pub(crate) retry_after_s: Option<u32>,
}

impl From<BedrockError> for Refusal {
    fn from(error: BedrockError) -> Self {
        Self {
            status: StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_GATEWAY),
            error_type: error.error_type(),
            class: error.class().as_str(),
            should_retry: error.should_retry(),
            retry_after_s: error.retry_after_s,
            message: error.message,
            error_code: None,
        }
    }
}

/// The body of an error of Plan's whose own body did not arrive. Its type follows from the status
/// (<https://platform.claude.com/docs/en/api/errors>).
pub(crate) fn incomplete_error(status: StatusCode, id: &RequestId) -> Bytes {
    let error_type = match status.as_u16() {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        529 => "overloaded_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    };
    let message = format!(
        "Anthropic answered with status {}, and the rest of its answer did not arrive.",
        status.as_u16()
    );
    error_body(error_type, &message, id.as_str()).into()
}

impl Refusal {
    /// The one answer to every key that is not served. It must not depend on why.
    pub(crate) fn unknown_key(setting: UnknownKey) -> Self {
        Self {
            status: setting.status(),
            error_type: match setting {
                UnknownKey::NotFound => "not_found_error",
                UnknownKey::Unauthorized => "authentication_error",
            },
            class: "unknown_key",
            // At a 401 Claude Code says "Please run /login" beside it.
            message: "This Spillway access key is not valid; logging in to Claude again does not \
                      help. Ask whoever runs Spillway for your team for a \
                      new one, and set ANTHROPIC_BASE_URL to the address that comes with it."
                .to_owned(),
            error_code: None,
            should_retry: Some(false),
            retry_after_s: None,
        }
    }

    /// A message to a path that Spillway does not serve, such as one without an access key. At a 404
    /// Claude Code says that the model does not exist, and drops the sentence.
    pub(crate) fn wrong_address() -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            error_type: FINAL_ERROR_TYPE,
            message: "Spillway does not serve this address. Set ANTHROPIC_BASE_URL to \
                      https://HOST/ak/YOUR_ACCESS_KEY, with nothing after the access key."
                .to_owned(),
            ..Self::not_found()
        }
    }

    pub(crate) fn not_found() -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            error_type: "not_found_error",
            class: "not_found",
            message: "There is nothing here. Spillway serves /ak/{access key}/v1/…".to_owned(),
            error_code: None,
            should_retry: Some(false),
            retry_after_s: None,
        }
    }

    pub(crate) fn too_large(limit_bytes: usize) -> Self {
        Self {
            status: StatusCode::PAYLOAD_TOO_LARGE,
            error_type: "request_too_large",
            class: "request_too_large",
            message: format!(
                "The request is larger than {} MB.",
                limit_bytes / (1024 * 1024)
            ),
            error_code: None,
            should_retry: Some(false),
            retry_after_s: None,
        }
    }

    /// The client's own body broke off.
    pub(crate) fn incomplete_request() -> Self {
        Self {
            class: "incomplete_request",
            should_retry: None,
            ..Self::bad_request("The request's body ended early.")
        }
    }

    /// The client's own body stopped coming.
    pub(crate) fn slow_request() -> Self {
        Self {
            status: StatusCode::REQUEST_TIMEOUT,
            error_type: "timeout_error",
            class: "slow_request",
            should_retry: None,
            ..Self::bad_request("The request's body did not arrive in time.")
        }
    }

    /// The request cannot be read, or cannot be sent to Plan byte for byte.
    pub(crate) fn bad_request(message: &str) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            error_type: "invalid_request_error",
            class: "bad_request",
            message: message.to_owned(),
            error_code: None,
            should_retry: Some(false),
            retry_after_s: None,
        }
    }

    /// Spillway cannot reach what it needs of AWS. A retry may help.
    pub(crate) fn out_of_order() -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            error_type: "api_error",
            class: "spillway_unavailable",
            message:
                "Spillway cannot check access keys right now. If this lasts, tell whoever runs \
                      it for your team."
                    .to_owned(),
            error_code: None,
            should_retry: None,
            retry_after_s: None,
        }
    }

    /// A defect of Spillway's own. What panicked is for the log, not for the client.
    pub(crate) fn panicked() -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            error_type: "api_error",
            class: crate::record::PANIC,
            message: "Spillway failed on this request. Tell whoever runs it for your team the \
                      request id."
                .to_owned(),
            error_code: None,
            should_retry: Some(false),
            retry_after_s: None,
        }
    }

    /// Plan gave no answer that could be passed on.
    fn plan_unreachable(status: StatusCode, error_type: &'static str, message: &str) -> Self {
        Self {
            status,
            error_type,
            class: "plan_unreachable",
            message: message.to_owned(),
            error_code: None,
            should_retry: None,
            retry_after_s: None,
        }
    }

    /// The error as a whole answer: its head and its body.
    pub(crate) fn into_parts(self, id: &RequestId) -> (http::response::Parts, Bytes) {
        let (mut parts, ()) = Response::new(()).into_parts();
        parts.status = self.status;
        let headers = &mut parts.headers;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(ERROR, HeaderValue::from_static(self.class));
        headers.insert(ANTHROPIC_REQUEST_ID, header(id.as_str()));
        if let Some(should_retry) = self.should_retry {
            let value = if should_retry { "true" } else { "false" };
            headers.insert(SHOULD_RETRY, HeaderValue::from_static(value));
        }
        if let Some(seconds) = self.retry_after_s {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        (
            parts,
            error_body_with_code(self.error_type, &self.message, self.error_code, id.as_str())
                .into(),
        )
    }
}

impl From<UnsendableUrl> for Refusal {
    fn from(url: UnsendableUrl) -> Self {
        match url {
            UnsendableUrl::TooLong => Self {
                status: StatusCode::URI_TOO_LONG,
                ..Self::bad_request("The request's URL is too long.")
            },
            UnsendableUrl::Changes => {
                Self::bad_request("The request's URL has a character that must be percent-encoded.")
            }
        }
    }
}

impl From<PlanFailure> for Refusal {
    fn from(failure: PlanFailure) -> Self {
        let (status, error_type, message) = match failure {
            PlanFailure::Connect => (
                StatusCode::BAD_GATEWAY,
                "api_error",
                "Spillway cannot reach Anthropic's API.",
            ),
            PlanFailure::Broken => (
                StatusCode::BAD_GATEWAY,
                "api_error",
                "The connection to Anthropic's API broke before its answer was complete.",
            ),
            PlanFailure::Redirect => (
                StatusCode::BAD_GATEWAY,
                "api_error",
                "Anthropic's API answered with a redirect, which is not followed.",
            ),
            PlanFailure::Timeout => (
                StatusCode::GATEWAY_TIMEOUT,
                "timeout_error",
                "Anthropic's API did not answer in time.",
            ),
        };
        Self::plan_unreachable(status, error_type, message)
    }
}

/// A body that is all there.
pub(crate) fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// A header value of Spillway's own making; what no header can carry is left out.
pub(crate) fn header(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("-"))
}
