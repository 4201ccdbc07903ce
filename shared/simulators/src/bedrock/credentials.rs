//! The check of the bearer token: the service accepts Bedrock API keys only.

use std::collections::HashSet;

use http::header::AUTHORIZATION;

use super::errors::{error_reply, invalid_key_reply, untyped_error_reply};
use crate::delivery::Reply;
use crate::service::Request;

/// The accepted Bedrock API keys.
#[derive(Clone, Debug, Default)]
pub enum AcceptedKeys {
    /// Any key of a valid form: `ABSK` or `bedrock-api-key-` and base64.
    #[default]
    WellFormed,
    /// These keys only.
    Only(HashSet<String>),
}

pub(super) fn authenticate(request: &Request, accepted: &AcceptedKeys) -> Result<(), Reply> {
    let presented = request
        .headers
        .get(AUTHORIZATION)
        .map(|value| value.to_str());
    let token = match presented {
        None => {
            return Err(error_reply(
                403,
                "MissingAuthenticationTokenException",
                "Missing Authentication Token",
            ));
        }
        Some(Ok(value)) => match value.split_once(' ').unwrap_or((value, "")) {
            (scheme, token) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
            // Signatures and other schemes: this service has no IAM users.
            _ => {
                return Err(error_reply(
                    403,
                    "UnrecognizedClientException",
                    "The security token included in the request is invalid.",
                ));
            }
        },
        Some(Err(_)) => "",
    };
    if !is_well_formed(token) {
        return Err(untyped_error_reply(
            403,
            "Invalid API Key format: Must start with pre-defined prefix",
        ));
    }
    match accepted {
        AcceptedKeys::WellFormed => Ok(()),
        AcceptedKeys::Only(keys) if keys.contains(token) => Ok(()),
        AcceptedKeys::Only(_) => Err(invalid_key_reply()),
    }
}

/// The form of Bedrock API keys: a long-term one is `ABSK` and base64, a short-term one
/// `bedrock-api-key-` and base64
/// (<https://docs.aws.amazon.com/bedrock/latest/userguide/api-keys-how.html>).
fn is_well_formed(token: &str) -> bool {
    let encoded = token
        .strip_prefix("ABSK")
        .or_else(|| token.strip_prefix("bedrock-api-key-"));
    let allowed = |c: char| c.is_ascii_alphanumeric() || "+/=-_".contains(c);
    encoded.is_some_and(|encoded| encoded.len() >= 16 && encoded.chars().all(allowed))
}
