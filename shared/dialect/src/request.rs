//! Translation of a Messages request to a Bedrock request: read, adapt to the target, write.
//!
//! The target is seldom the requested model. Every field is reduced to what the target accepts, and
//! every omission is an entry of [`Losses`]. A request whose response would be wrong without the
//! omitted part is an error. Equal requests become equal bytes, because Bedrock's prompt cache
//! compares them.

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
pub use self::error::TranslateError;
use self::json::FieldError;
pub use self::labels::RequestLabels;
use self::names::ToolNames;
use crate::model::Target;
use crate::{Losses, ReplyContext, UnsupportedFeatures};

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

/// A request to Bedrock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BedrockRequest {
    /// The operation to call.
    pub operation: Operation,
    /// The model id in the URL, before percent-encoding.
    pub model_id: String,
    /// The JSON body.
    pub body: Vec<u8>,
    /// The parts that were left out or changed.
    pub losses: Losses,
    /// The facts that the translation of the response needs.
    pub reply: ReplyContext,
}

/// Translates a Messages request for its target.
///
/// [`Dialect::Auto`] is Converse, unless the request has a part that only `InvokeModel` supports:
/// blocks of server tools in its history, citations, `tool_choice: none`, context edits, deferred
/// tools that a search has found. `unsupported` are the parts that the target refuses; they are left
/// out.
///
/// # Errors
///
/// [`TranslateError`] when the request cannot be sent to Bedrock.
pub fn translate(
    request: &MessagesRequest<'_>,
    target: &Target,
    dialect: Dialect,
    unsupported: &UnsupportedFeatures,
    labels: &RequestLabels,
) -> Result<BedrockRequest, TranslateError> {
    refuse_partial_conversation(request)?;
    let context = TranslationContext::new(request, target, dialect, unsupported, Purpose::Message);
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
/// [`TranslateError::NotSupported`] when `CountTokens` does not support the model or the request has no
/// messages; [`TranslateError`] as for [`translate`].
pub fn count_tokens(
    request: &MessagesRequest<'_>,
    target: &Target,
    dialect: Dialect,
    unsupported: &UnsupportedFeatures,
) -> Result<BedrockRequest, TranslateError> {
    refuse_partial_conversation(request)?;
    let not_supported = |message: &str| TranslateError::NotSupported {
        message: message.to_owned(),
    };
    // `CountTokens` refuses inference profiles and accepts foundation models.
    let model_id = match &target.foundation_id {
        Some(id) if target.capabilities.count_tokens => id.clone(),
        _ => {
            return Err(not_supported(
                "Token counting is not available for this model on Bedrock",
            ));
        }
    };
    if request.messages.is_empty() {
        return Err(not_supported(
            "Token counting on Bedrock needs at least one message",
        ));
    }
    let context = TranslationContext::new(request, target, dialect, unsupported, Purpose::Count);
    write(
        request,
        &context,
        Operation::CountTokens,
        model_id,
        &RequestLabels::default(),
    )
}

/// Refuses a request without its history, to which the response would be wrong.
fn refuse_partial_conversation(request: &MessagesRequest<'_>) -> Result<(), TranslateError> {
    if request.continues_thread {
        Err(TranslateError::Thread)
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
) -> Result<BedrockRequest, TranslateError> {
    let mut names = ToolNames::default();
    let mut losses = Losses::default();
    let adapted = adapt::adapt(request, context, &mut names, &mut losses)?;
    let body = match context.api {
        Api::Converse => {
            let refused = context.unsupported.has_field("metadata");
            let labels = Some(labels).filter(|labels| !refused && !labels.is_empty());
            converse::write(&adapted, labels, context, &mut losses)
        }
        Api::Invoke => {
            let user_id = options::metadata(request, context, &mut losses);
            invoke::write(&adapted, user_id, context, &mut losses)
        }
    };
    let document_titles = turns::document_titles(&adapted.turns);
    // Strings and parsed JSON always have a JSON form; the error is defensive.
    let body = body.map_err(|_| FieldError::new("The request cannot be written as JSON"))?;
    TranslateError::if_too_large(body.len())?;
    Ok(BedrockRequest {
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
