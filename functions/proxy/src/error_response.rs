//! Error responses of Spillway's own, in Anthropic's envelope (requirement R1.12).

use bytes::Bytes;
use dialect::error::BedrockError;
use dialect::sse::error_body_with_code;
use domain::id::RequestId;
use domain::route::Upstream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::response::Parts;
use http::{HeaderName, HeaderValue, Response, StatusCode};

use crate::config::UnknownKey;
use crate::request_log::{Outcome, PANIC};
use crate::response::{
    ANTHROPIC_REQUEST_ID, ERROR, HeldResponse, SHOULD_RETRY, UPSTREAM, header_value,
};
use crate::response_body::BodySource;

/// The error type of a final error with status 400. Claude Code 2.1.329 shows its sentence as it is and
/// sends nothing again; a 400 of another type it sends five more times, each time with a feature less.
pub(crate) const FINAL_ERROR_TYPE: &str = "policy_blocked";

/// An error response of Spillway's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ErrorResponse {
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
    /// `x-should-retry`, where the response decides it.
    pub(crate) should_retry: Option<bool>,
    /// `retry-after`, in seconds.
    pub(crate) retry_after_s: Option<u32>,
    /// More headers; they win over its own.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

impl From<BedrockError> for ErrorResponse {
    fn from(error: BedrockError) -> Self {
        let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_GATEWAY);
        Self {
            should_retry: error.should_retry(),
            retry_after_s: error.retry_after_s,
            ..Self::new(
                status,
                error.error_type(),
                error.class().as_str(),
                error.message,
            )
        }
    }
}

impl ErrorResponse {
    /// An error which leaves the retry to the client.
    pub(crate) fn new(
        status: StatusCode,
        error_type: &'static str,
        class: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self {
            status,
            error_type,
            class,
            message: message.into(),
            error_code: None,
            should_retry: None,
            retry_after_s: None,
            headers: Vec::new(),
        }
    }

    /// An error which the client must not answer with a retry.
    pub(crate) fn final_error(
        status: StatusCode,
        error_type: &'static str,
        class: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self {
            should_retry: Some(false),
            ..Self::new(status, error_type, class, message)
        }
    }

    /// The error, about a request that `upstream` had a part in.
    pub(crate) fn about(mut self, upstream: Upstream) -> Self {
        let value = header_value(&upstream.to_string());
        self.headers.push((UPSTREAM, value));
        self
    }

    /// The one response to every key that is not served. It must not depend on the reason.
    pub(crate) fn unknown_key(setting: UnknownKey) -> Self {
        let error_type = match setting {
            UnknownKey::NotFound => "not_found_error",
            UnknownKey::Unauthorized => "authentication_error",
        };
        // At a 401 Claude Code shows "Please run /login" beside it.
        Self::final_error(
            setting.status(),
            error_type,
            "unknown_key",
            "This Spillway access key is not valid; logging in to Claude again does not help. Ask \
             whoever runs Spillway for your team for a new one, and set ANTHROPIC_BASE_URL to the \
             address that comes with it.",
        )
    }

    /// A message to a path that Spillway does not serve, such as one without an access key. At a 404
    /// Claude Code shows that the model does not exist, and drops the sentence.
    pub(crate) fn wrong_address() -> Self {
        Self::final_error(
            StatusCode::BAD_REQUEST,
            FINAL_ERROR_TYPE,
            "not_found",
            "Spillway does not serve this address. Set ANTHROPIC_BASE_URL to \
             https://HOST/ak/YOUR_ACCESS_KEY, with nothing after the access key.",
        )
    }

    pub(crate) fn not_found() -> Self {
        Self::final_error(
            StatusCode::NOT_FOUND,
            "not_found_error",
            "not_found",
            "There is nothing here. Spillway serves /ak/{access key}/v1/…",
        )
    }

    /// The body is larger than `limit_bytes`.
    pub(crate) fn too_large(limit_bytes: usize) -> Self {
        Self::final_error(
            StatusCode::PAYLOAD_TOO_LARGE,
            "request_too_large",
            "request_too_large",
            format!(
                "The request is larger than {} MB.",
                limit_bytes / (1024 * 1024)
            ),
        )
    }

    /// The client's body broke off.
    pub(crate) fn incomplete_request() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "invalid_request_error",
            "incomplete_request",
            "The request's body ended early.",
        )
    }

    /// The client's body stopped coming.
    pub(crate) fn slow_request() -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "timeout_error",
            "slow_request",
            "The request's body did not arrive in time.",
        )
    }

    /// The request cannot be read, or cannot be sent to Plan byte for byte.
    pub(crate) fn bad_request(message: &str) -> Self {
        Self::final_error(
            StatusCode::BAD_REQUEST,
            "invalid_request_error",
            "bad_request",
            message,
        )
    }

    /// Spillway cannot reach what it needs of AWS. A retry may help.
    pub(crate) fn spillway_unavailable() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "api_error",
            "spillway_unavailable",
            "Spillway cannot check access keys right now. If this lasts, tell whoever runs it for \
             your team.",
        )
    }

    /// A defect of Spillway's own. The text of the panic is for no one but the log.
    pub(crate) fn panicked() -> Self {
        Self::final_error(
            StatusCode::INTERNAL_SERVER_ERROR,
            "api_error",
            PANIC,
            "Spillway failed on this request. Tell whoever runs it for your team the request id.",
        )
    }

    /// The response, of which the client has received nothing.
    pub(crate) fn into_held(self, id: &RequestId) -> HeldResponse {
        let error_class = Some(self.class);
        let (head, bytes) = self.into_parts(id);
        HeldResponse {
            status: head.status,
            headers: head.headers,
            upstream: None,
            error_class,
            body: BodySource::Full {
                bytes,
                outcome: Outcome::Refused,
            },
        }
    }

    /// The head and the body of the response.
    pub(crate) fn into_parts(self, id: &RequestId) -> (Parts, Bytes) {
        let (mut head, ()) = Response::new(()).into_parts();
        head.status = self.status;
        let headers = &mut head.headers;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(ERROR, HeaderValue::from_static(self.class));
        headers.insert(ANTHROPIC_REQUEST_ID, header_value(id.as_str()));
        if let Some(should_retry) = self.should_retry {
            let value = if should_retry { "true" } else { "false" };
            headers.insert(SHOULD_RETRY, HeaderValue::from_static(value));
        }
        if let Some(seconds) = self.retry_after_s {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        for (name, value) in self.headers {
            headers.insert(name, value);
        }
        let body =
            error_body_with_code(self.error_type, &self.message, self.error_code, id.as_str());
        (head, body.into())
    }
}
