//! Token counts as Anthropic and Bedrock report them.

use serde::{Deserialize, Serialize};

/// The token counts of one response. A count that the upstream did not report is `None`, never 0
/// (requirement R3.4). `input` excludes tokens that were read from or written to the prompt cache: both
/// Anthropic and Bedrock count that way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenUsage {
    /// Input tokens that were neither read from nor written to the cache.
    pub input: Option<u64>,
    /// Output tokens, thinking included.
    pub output: Option<u64>,
    /// Input tokens read from the prompt cache.
    pub cache_read: Option<u64>,
    /// Input tokens written to the prompt cache, all lifetimes together.
    pub cache_write: Option<u64>,
    /// The part of `cache_write` with a lifetime of 5 minutes, where it is reported.
    pub cache_write_5m: Option<u64>,
    /// The part of `cache_write` with a lifetime of 1 hour, where it is reported.
    pub cache_write_1h: Option<u64>,
}
