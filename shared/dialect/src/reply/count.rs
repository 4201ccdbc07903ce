//! The response of `CountTokens`.

use serde::Deserialize;

use super::message::BrokenReply;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Counted {
    input_tokens: u64,
}

/// The number of input tokens in the body of a `CountTokens` response
/// (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_CountTokens.html>).
///
/// # Errors
/// [`BrokenReply::Unreadable`] when the body has no such number.
pub fn counted_tokens(body: &[u8]) -> Result<u64, BrokenReply> {
    let counted: Counted = serde_json::from_slice(body).map_err(|_| BrokenReply::Unreadable)?;
    Ok(counted.input_tokens)
}
