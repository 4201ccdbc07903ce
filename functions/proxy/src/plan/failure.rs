//! Why there is no response of Plan, or no whole one.

use http::StatusCode;

use crate::error_response::ErrorResponse;

/// Plan did not respond, or not to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PlanFailure {
    /// No connection: DNS, TCP or TLS.
    Connect,
    /// No response in time.
    Timeout,
    /// The connection broke.
    Broken,
    /// It responded with a redirect. A credential goes to the configured host only, and the client
    /// must not be sent elsewhere with one either.
    Redirect,
}

impl PlanFailure {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Broken => "broken",
            Self::Redirect => "redirect",
        }
    }
}

impl From<&reqwest::Error> for PlanFailure {
    fn from(error: &reqwest::Error) -> Self {
        // The error itself names the URL: it goes nowhere.
        if error.is_connect() {
            Self::Connect
        } else if error.is_timeout() {
            Self::Timeout
        } else {
            Self::Broken
        }
    }
}

impl From<PlanFailure> for ErrorResponse {
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
        Self::new(status, error_type, "plan_unreachable", message)
    }
}
