//! Tests of the AWS of one machine through the AWS SDK's own clients.

mod dynamodb;
mod faults;
mod folder;
mod kms;
mod secrets_manager;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::LocalAws;

fn memory() -> LocalAws {
    LocalAws::memory().unwrap()
}

/// The name of the error, as the SDK reads it from the response.
fn code<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> &str {
    error.code().unwrap_or("no code")
}
