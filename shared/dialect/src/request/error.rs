//! The error for a request that cannot be translated, and its HTTP response.

use super::json::FieldError;

/// Maximum size of a body at Bedrock, in bytes (20 MB in the user guide).
const MAX_BODY_BYTES: usize = 20_000_000;

/// The reason why a request cannot be sent to Bedrock, for the client. The messages contain paths
/// and names of fields, but no content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TranslateError {
    /// The request is invalid, or the model does not accept it: 400.
    #[error("{message}")]
    Invalid {
        /// What is wrong, and what to do.
        message: String,
    },
    /// The request needs a feature that Bedrock lacks: 400 `policy_blocked`, which Claude Code
    /// 2.1.329 shows at once. After a 400 of another type it sends five more requests, each with a
    /// feature less.
    #[error("{message}")]
    Unavailable {
        /// The missing feature, and what to do.
        message: String,
    },
    /// The request holds only the newest messages of a thread that Anthropic's servers keep (beta
    /// `message-threads-2026-08-12`): 400 with an error code, after which clients send the whole
    /// conversation again.
    #[error(
        "thread: message threads are not available on Amazon Bedrock; \
         resend the full conversation without `thread`"
    )]
    Thread,
    /// The body is larger than Bedrock accepts: 413.
    #[error("{message}")]
    TooLarge {
        /// The allowed size.
        message: String,
    },
    /// Bedrock does not support the operation for this model: 501. A retry does not help.
    #[error("{message}")]
    NotSupported {
        /// The unsupported operation.
        message: String,
    },
}

impl TranslateError {
    /// Refuses a body that is larger than Bedrock accepts.
    pub(super) fn if_too_large(bytes: usize) -> Result<(), Self> {
        if bytes <= MAX_BODY_BYTES {
            return Ok(());
        }
        Err(Self::TooLarge {
            message: format!(
                "Request too large: Amazon Bedrock accepts at most {} MB",
                MAX_BODY_BYTES / 1_000_000
            ),
        })
    }

    /// The HTTP status of the response.
    pub fn status(&self) -> u16 {
        match self {
            Self::Invalid { .. } | Self::Unavailable { .. } | Self::Thread => 400,
            Self::TooLarge { .. } => 413,
            Self::NotSupported { .. } => 501,
        }
    }

    /// Anthropic's `error.type` of the response.
    pub fn error_type(&self) -> &'static str {
        match self {
            Self::Invalid { .. } | Self::Thread => "invalid_request_error",
            Self::Unavailable { .. } => "policy_blocked",
            Self::TooLarge { .. } => "request_too_large",
            Self::NotSupported { .. } => "not_supported",
        }
    }

    /// Anthropic's `error.details.error_code` of the response, where clients act on it.
    ///
    /// Source: Claude Code 2.1.329 and 2.1.330 resend a refused thread turn at once, in full and
    /// without `thread`, when they read this code.
    pub fn error_code(&self) -> Option<&'static str> {
        match self {
            Self::Thread => Some("thread_unsupported_request"),
            Self::Invalid { .. }
            | Self::Unavailable { .. }
            | Self::TooLarge { .. }
            | Self::NotSupported { .. } => None,
        }
    }
}

impl From<FieldError> for TranslateError {
    fn from(error: FieldError) -> Self {
        let message = error.to_string();
        if error.is_unavailable() {
            Self::Unavailable { message }
        } else {
            Self::Invalid { message }
        }
    }
}
