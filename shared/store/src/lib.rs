//! What Spillway keeps: users, access keys and sealed Bedrock API keys in DynamoDB, and the secrets
//! that protect them.
//!
//! | room | what it does |
//! |---|---|
//! | [`layout`] | the tables, defined once for the template, local mode and tests |
//! | [`access`] | users, keys and bindings: the reads and the conditional writes |
//! | [`breaker`] | the breakers' states: conditional writes, one per transition |
//! | [`session`] | conversations that are on Bedrock |
//! | [`directory`] | access key → record and breakers, with the cache that bounds revocation |
//! | [`vault`] | Bedrock API keys sealed under KMS, and opened |
//! | [`secrets`] | what is read from Secrets Manager |
//! | [`aws`] | the AWS clients of a function |
//!
//! Attribute names exist in this crate only. It reads no environment and no clock: clients come
//! configured, time is an argument.

use aws_smithy_runtime_api::client::result::SdkError;

pub mod access;
pub mod aws;
pub mod breaker;
pub mod directory;
pub mod layout;
mod row;
pub mod secrets;
pub mod server_secret;
pub mod session;
pub mod transition;
pub mod vault;

/// DynamoDB did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It could not be reached, throttled, or answered with an error of its own. The same call may
    /// work later.
    #[error("DynamoDB {operation} failed ({code})")]
    Unavailable {
        /// The operation, such as `Query`.
        operation: &'static str,
        /// The error code, such as `ThrottlingException`, or the kind of transport failure.
        code: String,
    },
    /// An item does not have the form that this version of Spillway writes.
    #[error("a stored {item} could not be read: {reason}")]
    Damaged {
        /// What kind of item.
        item: &'static str,
        /// What is wrong with it; attribute names, never values of secrets.
        reason: String,
    },
}

/// The error code of a failed SDK call, or the kind of failure where no answer came. Nothing of the
/// request or of the answer's text.
pub(crate) fn code<E, R>(error: &SdkError<E, R>) -> String
where
    E: aws_smithy_types::error::metadata::ProvideErrorMetadata,
{
    match error {
        SdkError::ConstructionFailure(_) => "construction_failure".to_owned(),
        SdkError::TimeoutError(_) => "timeout".to_owned(),
        SdkError::DispatchFailure(_) => "dispatch_failure".to_owned(),
        SdkError::ResponseError(_) => "unreadable_response".to_owned(),
        SdkError::ServiceError(context) => context.err().code().unwrap_or("unknown").to_owned(),
        _ => "unknown".to_owned(),
    }
}

pub(crate) fn unavailable<E, R>(operation: &'static str, error: &SdkError<E, R>) -> StoreError
where
    E: aws_smithy_types::error::metadata::ProvideErrorMetadata,
{
    StoreError::Unavailable {
        operation,
        code: code(error),
    }
}
