//! Errors to script, with the texts that the service sent in 2025 and 2026.

use std::collections::BTreeMap;

use crate::script::Step;

/// An error that has been observed on Amazon Bedrock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordedError {
    /// The account has not submitted Anthropic's use case form.
    UseCaseForm,
    /// The account's data retention mode does not permit the model.
    DataRetention,
    /// The account has no AWS Marketplace subscription to the model.
    Marketplace,
    /// AWS has not verified the account.
    NotVerified,
    /// AWS does not offer the model to the account.
    NotOffered,
    /// `prompt is too long: N tokens > M maximum`, as Anthropic's envelope inside AWS's message.
    PromptTooLongInJson,
    /// The same envelope as the whole body, without an exception's name.
    PromptTooLongAsBody,
}

impl RecordedError {
    /// The step for a script.
    pub fn step(self) -> Step {
        const TOO_LONG: &str = concat!(
            r#"{"type":"error","error":{"type":"invalid_request_error","#,
            r#""message":"prompt is too long: 211055 tokens > 200000 maximum"}}"#
        );
        let (status, kind, message) = match self {
            Self::UseCaseForm => (
                404,
                "ResourceNotFoundException",
                "Model use case details have not been submitted for this account. Fill out the \
                 Anthropic use case details form before using the model. If you have already filled \
                 out the form, try again in 15 minutes."
                    .to_owned(),
            ),
            Self::DataRetention => (
                400,
                "ValidationException",
                "The model returned the following errors: data retention mode 'default' is not \
                 available for this model"
                    .to_owned(),
            ),
            Self::Marketplace => (
                403,
                "AccessDeniedException",
                "Model access is denied due to IAM user or service role is not authorized to perform \
                 the required AWS Marketplace actions (aws-marketplace:ViewSubscriptions, \
                 aws-marketplace:Subscribe) to enable access to this model. If you recently fixed \
                 this issue, try again after 2 minutes."
                    .to_owned(),
            ),
            Self::NotVerified => (
                400,
                "ValidationException",
                "Operation not allowed".to_owned(),
            ),
            Self::NotOffered => (
                400,
                "ValidationException",
                "anthropic.claude-opus-4-7 is not available for this account. You can explore other \
                 available models on Amazon Bedrock. For additional access options, contact AWS Sales."
                    .to_owned(),
            ),
            Self::PromptTooLongInJson => (
                400,
                "ValidationException",
                format!("The model returned the following errors: {TOO_LONG}"),
            ),
            Self::PromptTooLongAsBody => {
                let json = ("content-type".to_owned(), "application/json".to_owned());
                return Step::Raw {
                    status: 400,
                    headers: BTreeMap::from([json]),
                    body: TOO_LONG.to_owned(),
                };
            }
        };
        Step::Error {
            status,
            kind: kind.to_owned(),
            message,
            headers: BTreeMap::new(),
        }
    }
}
