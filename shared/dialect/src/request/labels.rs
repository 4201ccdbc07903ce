//! Labels that Spillway adds to a request.

use serde::Serialize;

/// Maximum length of a label's value, in characters.
const MAX_LENGTH: usize = 256;

/// Labels of a request in Bedrock's log of model invocations: `requestMetadata` of Converse, or the
/// header `X-Amzn-Bedrock-Request-Metadata` of `InvokeModel`. They contain no data of the client:
/// Claude Code's `metadata.user_id` is JSON, which the pattern of the values does not allow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RequestLabels {
    #[serde(rename = "spillway_user", skip_serializing_if = "String::is_empty")]
    user: String,
    #[serde(rename = "spillway_request", skip_serializing_if = "String::is_empty")]
    request: String,
}

impl RequestLabels {
    /// Labels with the user's id and the request's id. Characters that Bedrock refuses (all but
    /// ASCII letters, digits, white space and `:_@$#=/+,-.`) become `_`, and a value is cut to 256
    /// characters. An empty value is left out.
    pub fn new(user: &str, request: &str) -> Self {
        Self {
            user: label(user),
            request: label(request),
        }
    }

    /// Returns true when both labels are empty.
    pub fn is_empty(&self) -> bool {
        self.user.is_empty() && self.request.is_empty()
    }
}

fn label(value: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || " :_@$#=/+,-.".contains(c);
    value
        .chars()
        .take(MAX_LENGTH)
        .map(|c| if allowed(c) { c } else { '_' })
        .collect()
}
