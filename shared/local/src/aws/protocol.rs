//! Responses of AWS's JSON protocols.
//!
//! DynamoDB uses `application/x-amz-json-1.0`; KMS and Secrets Manager use 1.1. All three name
//! the error in `__type` and in `x-amzn-errortype`
//! (<https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html>).

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A response of a service: a status and a JSON body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AwsResponse {
    pub(crate) status: u16,
    /// The error's name, on an error.
    pub(crate) error: Option<String>,
    pub(crate) body: String,
}

/// An error with the name the SDKs map to a typed error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AwsError {
    pub(crate) status: u16,
    pub(crate) name: &'static str,
    pub(crate) message: String,
}

impl AwsError {
    /// An error with status 400, the status of nearly all errors.
    pub(crate) fn new(name: &'static str, message: impl Into<String>) -> Self {
        Self {
            status: 400,
            name,
            message: message.into(),
        }
    }

    /// An error of the service, with status 500.
    pub(crate) fn internal(name: &'static str, message: impl Into<String>) -> Self {
        Self {
            status: 500,
            name,
            message: message.into(),
        }
    }
}

impl From<AwsError> for AwsResponse {
    fn from(error: AwsError) -> Self {
        let body = serde_json::json!({ "__type": error.name, "message": error.message });
        Self {
            status: error.status,
            error: Some(error.name.into()),
            body: body.to_string(),
        }
    }
}

impl AwsResponse {
    /// Status 200 with `body` as JSON.
    pub(crate) fn ok(body: &impl Serialize) -> Self {
        match serde_json::to_string(body) {
            Ok(body) => Self {
                status: 200,
                error: None,
                body,
            },
            Err(_) => AwsError::internal("InternalFailure", "the answer cannot be written").into(),
        }
    }

    /// An operation that the local service does not have.
    pub(crate) fn unknown_operation() -> Self {
        AwsError::new(
            "UnknownOperationException",
            "this operation is not available locally",
        )
        .into()
    }

    /// The response for the SDK's HTTP layer. `None` for an invalid HTTP status.
    pub(crate) fn into_http(self, content_type: &'static str) -> Option<HttpResponse> {
        let status = StatusCode::try_from(self.status).ok()?;
        let mut response = HttpResponse::new(status, SdkBody::from(self.body));
        response.headers_mut().insert("content-type", content_type);
        if let Some(error) = self.error {
            response.headers_mut().insert("x-amzn-errortype", error);
        }
        Some(response)
    }
}

/// Reads an operation's input.
pub(crate) fn input<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, AwsError> {
    serde_json::from_slice(body)
        .map_err(|error| AwsError::new("SerializationException", error.to_string()))
}

/// Bytes that are base64 on the wire.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Blob(pub(crate) Vec<u8>);

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        BASE64
            .decode(text)
            .map(Self)
            .map_err(|_| serde::de::Error::custom("not base64"))
    }
}
