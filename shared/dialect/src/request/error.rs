//! Why a request cannot be translated, and how the client is answered.

use super::json::FieldError;

/// Most bytes of a body that Bedrock takes (the user guide's 20 MB).
const MAX_BODY_BYTES: usize = 20_000_000;

/// Why a request cannot go to Bedrock, as the client is to be told. The messages carry paths and
/// names of fields, never content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not a valid request, or one that the model does not take: 400.
    #[error("{message}")]
    Invalid {
        /// What is wrong, and what to do.
        message: String,
    },
    /// A valid request whose answer would be wrong without what Bedrock lacks: 400 `policy_blocked`,
    /// which Claude Code 2.1.329 shows at once. A 400 of another type it sends five more times, each
    /// time with a feature less.
    #[error("{message}")]
    Unavailable {
        /// What Bedrock lacks, and what to do.
        message: String,
    },
    /// The request holds only the newest messages of a thread that Anthropic's servers keep (beta
    /// `message-threads-2026-08-12`): 400 with the error code from which clients send the whole
    /// conversation again.
    #[error(
        "thread: message threads are not available on Amazon Bedrock; \
         resend the full conversation without `thread`"
    )]
    Thread,
    /// The body is larger than Bedrock takes: 413.
    #[error("{message}")]
    TooLarge {
        /// The size that is allowed.
        message: String,
    },
    /// Bedrock cannot do this for this model: 501. Trying again does not help.
    #[error("{message}")]
    NotSupported {
        /// What is not possible.
        message: String,
    },
}

impl Refusal {
    /// A body of more bytes than Bedrock takes is refused.
    pub(super) fn if_too_large(bytes: usize) -> Result<(), Self> {
        if bytes <= MAX_BODY_BYTES {
            return Ok(());
        }
        Err(Self::TooLarge {
            message: format!(
                "Request too large: Amazon Bedrock takes at most {} MB",
                MAX_BODY_BYTES / 1_000_000
            ),
        })
    }

    /// The HTTP status of the answer.
    pub fn status(&self) -> u16 {
        match self {
            Self::Invalid { .. } | Self::Unavailable { .. } | Self::Thread => 400,
            Self::TooLarge { .. } => 413,
            Self::NotSupported { .. } => 501,
        }
    }

    /// Anthropic's `error.type` of the answer.
    pub fn error_type(&self) -> &'static str {
        match self {
            Self::Invalid { .. } | Self::Thread => "invalid_request_error",
            Self::Unavailable { .. } => "policy_blocked",
            Self::TooLarge { .. } => "request_too_large",
            Self::NotSupported { .. } => "not_supported",
        }
    }

    /// Anthropic's `error.details.error_code` of the answer, where clients act on it.
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

impl From<FieldError> for Refusal {
    fn from(error: FieldError) -> Self {
        let message = error.to_string();
        if error.is_unavailable() {
            Self::Unavailable { message }
        } else {
            Self::Invalid { message }
        }
    }
}
