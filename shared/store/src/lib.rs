//! The storage of Spillway: users, access keys and sealed Bedrock API keys in DynamoDB, and the secrets that
//! protect them.
//!
//! | module | contents |
//! |---|---|
//! | [`layout`] | the tables, defined once for the template, local mode and tests |
//! | [`table`] | the access table: items, pages, and the schema version of a row |
//! | [`mutation`] | the writes of an admin: one transaction with its audit record |
//! | [`audit`] | audit records |
//! | [`users`] | users |
//! | [`keys`] | access keys and their Bedrock keys, as rows |
//! | [`propagation`] | the copy of a user in each of the user's keys, rewritten after a change |
//! | [`breakers`] | the states of breakers: one conditional write per transition |
//! | [`sessions`] | conversations that are on Bedrock |
//! | [`partition`] | all that one Query returns for an access key, and the changes to it |
//! | [`cache`] | all cached state: keys, their breakers, and the breaker of the deployment |
//! | [`vault`] | encryption and decryption of Bedrock API keys under KMS |
//! | [`secrets`] | the secrets in Secrets Manager |
//!
//! Rows and attribute names exist in this crate only. It reads no environment and no clock: clients are
//! passed in configured, and time is an argument.

use aws_smithy_runtime_api::client::result::SdkError;

pub mod audit;
mod breaker_row;
pub mod breakers;
pub mod cache;
pub mod keys;
pub mod layout;
pub mod mutation;
mod overrides;
pub mod partition;
pub mod propagation;
pub mod secrets;
pub mod sessions;
pub mod table;
pub mod transition;
pub mod users;
pub mod vault;

/// A DynamoDB operation failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It could not be reached, throttled, or returned an error. The same call may work later.
    #[error("DynamoDB {operation} failed ({code})")]
    Unavailable {
        /// The operation, such as `Query`.
        operation: &'static str,
        /// The error code, such as `ThrottlingException`, or the kind of transport failure.
        code: String,
    },
    /// An item does not have the form that this version of Spillway writes; or it has another schema version.
    #[error("a stored {item} cannot be read: {reason}")]
    Damaged {
        /// The kind of item.
        item: &'static str,
        /// What is wrong with it, with attribute names and without values of secrets.
        reason: String,
    },
}

/// The error code of a failed SDK call, or the kind of failure where no response came. It has no part of the
/// request or of the response's text.
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
