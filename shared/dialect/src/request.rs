//! A Messages request as a Bedrock request: read, fitted to the target, written.
//!
//! The target is seldom the model that was asked for, so that every field is brought down to what
//! the target takes, and whatever is left out is named in [`Losses`]. Only what would change the
//! meaning of the request is refused. The body that came is never changed, and equal
//! requests become equal bytes, so that Bedrock's prompt cache finds what it has seen before.

mod adapt;
mod anthropic;
mod beta_names;
mod betas;
mod blocks;
mod cache;
mod context;
mod converse;
mod error;
mod invoke;
mod json;
mod labels;
mod names;
mod options;
mod parts;
mod read;
mod server;
mod thinking;
mod tool_history;
mod tools;
mod turns;

use domain::bedrock::Dialect;

pub use self::anthropic::MessagesRequest;
use self::context::{Api, Purpose, TranslationContext};
pub use self::error::Refusal;
use self::json::FieldError;
pub use self::labels::RequestLabels;
use self::names::ToolNames;
use crate::model::Target;
use crate::{Learned, Losses, ReplyContext};

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
    let context = TranslationContext::new(request, target, dialect, learned, Purpose::Answer);
    let operation = match (context.api, request.stream) {
        (Api::Converse, false) => Operation::Converse,
        (Api::Converse, true) => Operation::ConverseStream,
        (Api::Invoke, false) => Operation::InvokeModel,
        (Api::Invoke, true) => Operation::InvokeModelWithResponseStream,
    };
    write(
        request,
        &context,
        operation,
        target.model_id.clone(),
        labels,
    )
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
    let context = TranslationContext::new(request, target, dialect, learned, Purpose::Count);
    write(
        request,
        &context,
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
    context: &TranslationContext<'_>,
    operation: Operation,
    model_id: String,
    labels: &RequestLabels,
) -> Result<Translated, Refusal> {
    let mut names = ToolNames::default();
    let mut losses = Losses::default();
    let content = adapt::adapt(request, context, &mut names, &mut losses)?;
    let body = match context.api {
        Api::Converse => {
            let refused = context.learned.field("metadata");
            let labels = Some(labels).filter(|labels| !refused && !labels.is_empty());
            converse::write(&content, labels, context, &mut losses)
        }
        Api::Invoke => {
            let user_id = options::metadata(request, context, &mut losses);
            invoke::write(&content, user_id, context, &mut losses)
        }
    };
    let document_titles = turns::document_titles(&content.turns);
    // Writing strings and parsed JSON into memory has no way to fail; if it ever had, this says so.
    let body = body.map_err(|_| FieldError::new("The request cannot be written as JSON"))?;
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
