//! The gateway's own labels on a request.

use serde::Serialize;

/// Longest value of a label.
const MAX_LENGTH: usize = 256;

/// What the gateway tells Bedrock about a request, for the log of model invocations: as
/// `requestMetadata` of Converse, or as the header `X-Amzn-Bedrock-Request-Metadata` of
/// `InvokeModel`. Nothing of the client's goes here: Claude Code's `metadata.user_id` is JSON, which
/// the pattern of these values refuses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RequestLabels {
    #[serde(rename = "spillway_user", skip_serializing_if = "String::is_empty")]
    user: String,
    #[serde(rename = "spillway_request", skip_serializing_if = "String::is_empty")]
    request: String,
}

impl RequestLabels {
    /// Labels with the user's id and the request's own. Characters that Bedrock refuses
    /// (everything but ASCII letters, digits, white space and `:_@$#=/+,-.`) become `_`, and what is
    /// longer than 256 characters is cut. An empty one is left out.
    pub fn new(user: &str, request: &str) -> Self {
        Self {
            user: label(user),
            request: label(request),
        }
    }

    /// Whether there is nothing to tell.
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
