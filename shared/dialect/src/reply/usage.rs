//! Token counts: Bedrock's three forms as the ledger's and as Anthropic's.
//!
//! A missing count is `None` in the ledger and 0 in Anthropic's form.

use domain::usage::TokenUsage;
use serde::{Deserialize, Serialize};

/// `TokenUsage` of the Converse API, in a reply or in a stream's `metadata`
/// (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_TokenUsage.html>).
/// `inputTokens` excludes tokens read from or written to the cache.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConverseUsage {
    /// `inputTokens`.
    pub input_tokens: Option<i64>,
    /// `outputTokens`.
    pub output_tokens: Option<i64>,
    /// `cacheReadInputTokens`.
    pub cache_read_input_tokens: Option<i64>,
    /// `cacheWriteInputTokens`.
    pub cache_write_input_tokens: Option<i64>,
    /// `cacheDetails`: tokens written to the cache, by lifetime.
    pub cache_details: Option<Vec<CacheDetail>>,
}

/// Tokens written to the cache with one lifetime.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CacheDetail {
    /// `5m` or `1h`.
    pub ttl: String,
    /// Tokens.
    pub input_tokens: i64,
}

impl ConverseUsage {
    /// The counts in the form of the ledger.
    pub fn tokens(&self) -> TokenUsage {
        let count = |tokens: Option<i64>| tokens.and_then(|tokens| u64::try_from(tokens).ok());
        let details = self.cache_details.as_deref().unwrap_or_default();
        let written_with = |ttl: &str| {
            let counts = details.iter().filter(|detail| detail.ttl == ttl);
            counts
                .filter_map(|detail| count(Some(detail.input_tokens)))
                .reduce(u64::saturating_add)
        };
        let (five_minutes, one_hour) = (written_with("5m"), written_with("1h"));
        let detailed = [five_minutes, one_hour]
            .into_iter()
            .flatten()
            .reduce(u64::saturating_add);
        TokenUsage {
            input: count(self.input_tokens),
            output: count(self.output_tokens),
            cache_read: count(self.cache_read_input_tokens),
            cache_write: count(self.cache_write_input_tokens).or(detailed),
            cache_write_5m: five_minutes,
            cache_write_1h: one_hour,
        }
    }
}

/// `usage` of an Anthropic message or event. `null` is treated as absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct InvokeUsage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_creation: Option<CacheCreation>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct CacheCreation {
    ephemeral_5m_input_tokens: u64,
    ephemeral_1h_input_tokens: u64,
}

impl InvokeUsage {
    pub(crate) fn tokens(self) -> TokenUsage {
        TokenUsage {
            input: self.input_tokens,
            output: self.output_tokens,
            cache_read: self.cache_read_input_tokens,
            cache_write: self.cache_creation_input_tokens,
            cache_write_5m: self
                .cache_creation
                .map(|written| written.ephemeral_5m_input_tokens),
            cache_write_1h: self
                .cache_creation
                .map(|written| written.ephemeral_1h_input_tokens),
        }
    }
}

/// `usage` for the client, with every count.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct WireUsage {
    input_tokens: u64,
    cache_creation_input_tokens: u64,
    cache_read_input_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_creation: Option<CacheCreation>,
    output_tokens: u64,
}

impl WireUsage {
    /// For `message_start` (all 0) and `message_delta`, whose types have no `cache_creation`.
    pub(crate) fn in_stream(tokens: &TokenUsage) -> Self {
        Self {
            input_tokens: tokens.input.unwrap_or(0),
            cache_creation_input_tokens: tokens.cache_write.unwrap_or(0),
            cache_read_input_tokens: tokens.cache_read.unwrap_or(0),
            cache_creation: None,
            output_tokens: tokens.output.unwrap_or(0),
        }
    }

    /// For a whole message. Writes without a lifetime are counted as 5-minute writes, the default
    /// lifetime.
    pub(crate) fn in_message(tokens: &TokenUsage) -> Self {
        let written = tokens.cache_write.unwrap_or(0);
        let one_hour = tokens.cache_write_1h.unwrap_or(0);
        let five_minutes = tokens
            .cache_write_5m
            .unwrap_or(written.saturating_sub(one_hour));
        Self {
            cache_creation: Some(CacheCreation {
                ephemeral_5m_input_tokens: five_minutes,
                ephemeral_1h_input_tokens: one_hour,
            }),
            ..Self::in_stream(tokens)
        }
    }
}
