//! When requests fall back, as it can be typed: for the deployment, a user or a key.

use clap::{Parser, ValueEnum};
use domain::policy::{BreakerScope, FallbackClass, PolicyChange};

/// When requests fall back to Bedrock.
#[derive(Clone, Debug, Default, Parser)]
#[command(next_help_heading = "When to spill")]
pub struct Policy {
    /// Which answers of Plan's send the request to Bedrock: a list of `usage_limit`, `rate_limited`,
    /// `entitlement`, `overloaded` and `broken`. Default: all but `broken`.
    #[arg(long, value_name = "CLASSES", value_delimiter = ',')]
    pub fallback_on: Option<Vec<FallbackClass>>,
    /// So many failures in a row open the breaker. Default: 3.
    #[arg(long, value_name = "N")]
    pub breaker_failures: Option<u32>,
    /// Within so many seconds. Default: 60.
    #[arg(long, value_name = "SECONDS")]
    pub breaker_window: Option<u32>,
    /// How long the breaker is open when Plan named no time. Default: 1800.
    #[arg(long, value_name = "SECONDS")]
    pub breaker_open: Option<u32>,
    /// The longest time between two probes, whatever Plan named. Default: 3600.
    #[arg(long, value_name = "SECONDS")]
    pub breaker_max_open: Option<u32>,
    /// Up to so much is added, so that not all keys probe at once. Default: 10.
    #[arg(long, value_name = "SECONDS")]
    pub breaker_jitter: Option<u32>,
    /// How long a probe may take before another request may probe. Default: 60.
    #[arg(long, value_name = "SECONDS")]
    pub breaker_lease: Option<u32>,
    /// Where overload and failures of Anthropic's own count. Default: with each key.
    #[arg(long, value_enum)]
    pub breaker_scope: Option<Scope>,
    /// How long a conversation stays on Bedrock after Plan is back, for its prompt cache. Default: 0.
    #[arg(long, value_name = "SECONDS")]
    pub session_stickiness: Option<u32>,
}

/// Where overload and failures of Anthropic's own count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scope {
    /// With the access key that met them.
    Key,
    /// Once for the whole deployment.
    Deployment,
}

impl From<Policy> for PolicyChange {
    fn from(policy: Policy) -> Self {
        Self {
            fallback_on: policy
                .fallback_on
                .map(|classes| classes.into_iter().collect()),
            breaker_failures: policy.breaker_failures,
            breaker_window_s: policy.breaker_window,
            breaker_open_s: policy.breaker_open,
            breaker_max_open_s: policy.breaker_max_open,
            breaker_jitter_s: policy.breaker_jitter,
            breaker_lease_s: policy.breaker_lease,
            breaker_scope: policy.breaker_scope.map(|scope| match scope {
                Scope::Key => BreakerScope::Key,
                Scope::Deployment => BreakerScope::Deployment,
            }),
            session_stickiness_s: policy.session_stickiness,
        }
    }
}
