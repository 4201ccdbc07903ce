//! The bodies with which Anthropic reports errors.

use http::StatusCode;
use serde_json::Value;

/// The maximum length of an error's body, in bytes. Anthropic's error bodies have some hundred.
const ERROR_BYTES: usize = 64 * 1024;

/// Anthropic's error envelope, in lower case.
#[derive(Debug, Default)]
pub(super) struct ErrorBody {
    kind: String,
    message: String,
    code: String,
    /// Whether the body is missing or incomplete.
    is_unread: bool,
}

pub(super) enum SuccessBody {
    Response,
    Error(ErrorBody),
    Unreadable,
}

impl ErrorBody {
    pub(super) fn read(body: &[u8]) -> Self {
        let value = body
            .get(..ERROR_BYTES.min(body.len()))
            .filter(|read| read.len() == body.len())
            .and_then(|body| serde_json::from_slice::<Value>(body).ok())
            .unwrap_or_default();
        Self::from_value(&value)
    }

    fn from_value(value: &Value) -> Self {
        let word = |pointer: &str| {
            let text = value.pointer(pointer).and_then(Value::as_str);
            text.unwrap_or_default().to_ascii_lowercase()
        };
        Self {
            kind: word("/error/type"),
            message: word("/error/message"),
            code: word("/error/details/error_code"),
            is_unread: false,
        }
    }

    pub(super) fn unread() -> Self {
        Self {
            is_unread: true,
            ..Self::default()
        }
    }

    /// Reads a body that broke off; it may still be the whole envelope.
    pub(super) fn read_part(body: &[u8]) -> Self {
        let error = Self::read(body);
        if error.kind.is_empty() {
            Self::unread()
        } else {
            error
        }
    }

    /// Reads the body of a 2xx. The web page of an intermediary and an empty body are unreadable.
    pub(super) fn in_success(body: &[u8]) -> SuccessBody {
        #[derive(serde::Deserialize)]
        struct Envelope {
            r#type: Option<Value>,
            error: Option<Value>,
        }
        // Other members of the object are skipped.
        match serde_json::from_slice::<Envelope>(body) {
            Err(_) => SuccessBody::Unreadable,
            Ok(envelope) if envelope.r#type == Some("error".into()) => {
                let value = serde_json::json!({ "error": envelope.error });
                SuccessBody::Error(Self::from_value(&value))
            }
            Ok(_) => SuccessBody::Response,
        }
    }

    /// The HTTP status of an error of this type outside a 200.
    pub(super) fn status(&self) -> StatusCode {
        match self.kind.as_str() {
            "invalid_request_error" => StatusCode::BAD_REQUEST,
            "authentication_error" => StatusCode::UNAUTHORIZED,
            "billing_error" => StatusCode::PAYMENT_REQUIRED,
            "permission_error" => StatusCode::FORBIDDEN,
            "not_found_error" => StatusCode::NOT_FOUND,
            "request_too_large" => StatusCode::PAYLOAD_TOO_LARGE,
            "rate_limit_error" => StatusCode::TOO_MANY_REQUESTS,
            "timeout_error" => StatusCode::GATEWAY_TIMEOUT,
            "overloaded_error" => StatusCode::from_u16(529).unwrap_or(StatusCode::BAD_GATEWAY),
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    pub(super) fn is_about_entitlement(&self) -> bool {
        self.code == "credits_required"
            || ["extra usage", "usage credits", "long context"]
                .iter()
                .any(|words| self.message.contains(words))
    }

    /// Whether the message of a 400 is "You're out of extra usage. …" or "Third-party apps now draw from your
    /// extra usage, …", or a similar one about usage credits.
    pub(super) fn is_out_of_extra_usage(&self) -> bool {
        self.kind == "invalid_request_error"
            && ["extra usage", "usage credits"]
                .iter()
                .any(|words| self.message.contains(words))
    }

    /// Whether the error of a 500 is an overload (anthropics/claude-code#8107).
    pub(super) fn is_overload(&self) -> bool {
        self.kind == "api_error" && self.message.starts_with("overloaded")
    }

    /// Whether the error is about the login. An error without its body counts as one, because a request with an
    /// invalid login must not be billed on Bedrock.
    pub(super) fn is_about_the_login(&self) -> bool {
        self.is_unread
            || matches!(
                self.kind.as_str(),
                "authentication_error" | "permission_error"
            )
    }

    pub(super) fn is_spend_limit(&self) -> bool {
        // The message names the limit of a cloud account.
        self.code.ends_with("spend_limit_reached") || self.message.contains("spend_limit_reached")
    }

    /// Whether the message is "You have reached your specified API usage limits" or "… workspace API usage
    /// limits".
    pub(super) fn is_self_set_limit(&self) -> bool {
        self.message.contains("you have reached your specified")
            && self.message.contains("api usage limits")
    }

    pub(super) fn is_out_of_credit(&self) -> bool {
        self.message.contains("credit balance is too low")
    }
}
