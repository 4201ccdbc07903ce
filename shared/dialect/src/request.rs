//! A Messages request as a Bedrock request: read, fitted to the target, written.
//!
//! The target is seldom the model that was asked for, so that every field is brought down to what
//! the target takes, and whatever is left out is named in [`Losses`]. Only what would change the
//! meaning of the request is refused. The body that came is never changed, and equal
//! requests become equal bytes, so that Bedrock's prompt cache finds what it has seen before.

mod anthropic;
mod betas;
mod cache;
mod converse;
mod fit;
mod invoke;
mod json;
mod labels;
mod names;
mod options;
mod parts;
mod read;
mod server;
mod terms;
mod thinking;
mod tool_changes;
mod tools;
mod turns;

use domain::bedrock::Dialect;

pub use self::anthropic::MessagesRequest;
use self::json::Fault;
pub use self::labels::RequestLabels;
use self::names::Names;
use self::terms::{Purpose, Terms, Wire};
use crate::model::Target;
use crate::{Learned, Losses, ReplyContext};

/// Most bytes of a body that Bedrock takes (the user guide's 20 MB).
const MAX_BODY_BYTES: usize = 20_000_000;

/// An operation of Amazon Bedrock Runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `POST /model/{id}/converse`.
    Converse,
    /// `POST /model/{id}/converse-stream`.
    ConverseStream,
    /// `POST /model/{id}/invoke`.
    InvokeModel,
    /// `POST /model/{id}/invoke-with-response-stream`.
    InvokeModelWithResponseStream,
    /// `POST /model/{id}/count-tokens`.
    CountTokens,
}

/// A request for Bedrock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Translated {
    /// What to call.
    pub operation: Operation,
    /// What stands in the URL, before percent-encoding.
    pub model_id: String,
    /// The JSON body.
    pub body: Vec<u8>,
    /// What was left out or changed.
    pub losses: Losses,
    /// What the answer's translation needs to know.
    pub reply: ReplyContext,
}

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
    fn if_too_large(bytes: usize) -> Result<(), Self> {
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

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        let message = fault.to_string();
        if fault.is_unavailable() {
            Self::Unavailable { message }
        } else {
            Self::Invalid { message }
        }
    }
}

/// Translates a Messages request for its target.
///
/// [`Dialect::Auto`] is Converse, unless the request says something that only `InvokeModel` can
/// say: blocks of server tools in its history, citations, `tool_choice: none`, context edits, deferred
/// tools that a search has found.
/// `learned` is what the target refused before; it is left out from the start.
///
/// # Errors
///
/// [`Refusal`] when Bedrock cannot be asked this.
pub fn translate(
    request: &MessagesRequest<'_>,
    target: &Target,
    dialect: Dialect,
    learned: &Learned,
    labels: &RequestLabels,
) -> Result<Translated, Refusal> {
    refuse_partial_conversation(request)?;
    let terms = Terms::new(request, target, dialect, learned, Purpose::Answer);
    let operation = match (terms.wire, request.stream) {
        (Wire::Converse, false) => Operation::Converse,
        (Wire::Converse, true) => Operation::ConverseStream,
        (Wire::Invoke, false) => Operation::InvokeModel,
        (Wire::Invoke, true) => Operation::InvokeModelWithResponseStream,
    };
    write(request, &terms, operation, target.model_id.clone(), labels)
}

/// Translates a `count_tokens` request for its target.
///
/// # Errors
///
/// [`Refusal::NotSupported`] when Bedrock has no real count for this, because the model is one
/// that `CountTokens` does not know or there are no messages to count; [`Refusal`] as for
/// [`translate`].
pub fn count_tokens(
    request: &MessagesRequest<'_>,
    target: &Target,
    dialect: Dialect,
    learned: &Learned,
) -> Result<Translated, Refusal> {
    refuse_partial_conversation(request)?;
    let unsupported = |message: &str| Refusal::NotSupported {
        message: message.to_owned(),
    };
    // Inference profiles are refused; only the model behind them can count.
    let model_id = match &target.foundation_id {
        Some(id) if target.capabilities.count_tokens => id.clone(),
        _ => {
            return Err(unsupported(
                "Token counting is not available for this model on Bedrock",
            ));
        }
    };
    if request.messages.is_empty() {
        return Err(unsupported(
            "Token counting on Bedrock needs at least one message",
        ));
    }
    let terms = Terms::new(request, target, dialect, learned, Purpose::Count);
    write(
        request,
        &terms,
        Operation::CountTokens,
        model_id,
        &RequestLabels::default(),
    )
}

/// Without its history a request would be answered, and wrongly.
fn refuse_partial_conversation(request: &MessagesRequest<'_>) -> Result<(), Refusal> {
    if request.continues_thread {
        Err(Refusal::Thread)
    } else {
        Ok(())
    }
}

fn write(
    request: &MessagesRequest<'_>,
    terms: &Terms<'_>,
    operation: Operation,
    model_id: String,
    labels: &RequestLabels,
) -> Result<Translated, Refusal> {
    let mut names = Names::default();
    let mut losses = Losses::default();
    let content = fit::fit(request, terms, &mut names, &mut losses)?;
    let body = match terms.wire {
        Wire::Converse => {
            let refused = terms.learned.field("metadata");
            let labels = Some(labels).filter(|labels| !refused && !labels.is_empty());
            converse::write(&content, labels, terms, &mut losses)
        }
        Wire::Invoke => {
            let user_id = options::metadata(request, terms, &mut losses);
            invoke::write(&content, user_id, terms, &mut losses)
        }
    };
    let document_titles = turns::document_titles(&content.turns);
    // Writing strings and parsed JSON into memory has no way to fail; if it ever had, this says so.
    let body = body.map_err(|_| Fault::new("The request cannot be written as JSON"))?;
    Refusal::if_too_large(body.len())?;
    Ok(Translated {
        operation,
        model_id,
        body,
        losses,
        reply: ReplyContext {
            requested_model: request.model.to_string(),
            renamed_tools: names.into_renamed(),
            safeguards_requested: request.safeguards,
            document_titles,
        },
    })
}
