//! When requests fall back to Bedrock, as data: defaults, what a deployment sets, and what a user or a
//! key has of its own.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a verdict is counted as when it is decided whether the request falls back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FallbackClass {
    /// The plan, or a part of it, is used up.
    UsageLimit,
    /// Plan throttles.
    RateLimited,
    /// The plan does not include what this request wants.
    Entitlement,
    /// Anthropic has no capacity.
    Overloaded,
    /// Anthropic failed or did not answer.
    Broken,
}

/// A word was not a class of verdicts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is none of `usage_limit`, `rate_limited`, `entitlement`, `overloaded` and `broken`")]
pub struct UnknownClass(String);

impl FallbackClass {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::UsageLimit,
        Self::RateLimited,
        Self::Entitlement,
        Self::Overloaded,
        Self::Broken,
    ];

    /// The name in settings, headers and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UsageLimit => "usage_limit",
            Self::RateLimited => "rate_limited",
            Self::Entitlement => "entitlement",
            Self::Overloaded => "overloaded",
            Self::Broken => "broken",
        }
    }
}

impl FromStr for FallbackClass {
    type Err = UnknownClass;

    fn from_str(text: &str) -> Result<Self, UnknownClass> {
        Self::ALL
            .into_iter()
            .find(|class| class.as_str() == text)
            .ok_or_else(|| UnknownClass(text.chars().take(40).collect()))
    }
}

impl fmt::Display for FallbackClass {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The policy in force for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Which verdicts fall back to Bedrock. Default: all but [`FallbackClass::Broken`].
    pub fallback_on: BTreeSet<FallbackClass>,
    /// The breaker.
    pub breaker: BreakerPolicy,
    /// How long after its last forced answer from Bedrock a conversation stays there although Plan is
    /// back, for the sake of its prompt cache. Zero, the default: not at all. At most an hour.
    pub session_stickiness: Duration,
}

/// When the breaker opens, and for how long (requirement R2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// So many counted failures in a row open it. Default 3; 1 to 100.
    pub failures: u32,
    /// They count within this time. Default 60 s; 1 s to 1 h.
    pub window: Duration,
    /// How long it is open when no answer named a time. Default 30 min; 1 s to 24 h.
    pub open_for: Duration,
    /// The longest time between two probes, whatever an answer named. Default 1 h; 1 s to 7 days.
    pub max_open: Duration,
    /// Up to this much is added to the open time, so that not all keys probe at once. Default 10 s; at
    /// most 10 min.
    pub jitter: Duration,
    /// How long a probe may take before another request may probe. Default 60 s; 5 s to 15 min. A probe
    /// that is not streamed has more, see [`BreakerPolicy::with_lease_for`].
    pub lease: Duration,
    /// Where trouble of Anthropic's own counts. Default: with each key.
    pub scope: BreakerScope,
}

/// Where the trouble counts that is not a developer's but Anthropic's: overload and failures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerScope {
    /// In the breaker of the access key that met it.
    #[default]
    Key,
    /// In one breaker for the whole deployment, so that all keys learn of it from one. Limits of a
    /// plan still count with its key.
    Deployment,
}

impl BreakerPolicy {
    /// The most that [`BreakerPolicy::lease`] may be. Whoever sees a lease goes by this, because it may
    /// have been taken under another policy.
    pub const LONGEST_LEASE: Duration = Duration::from_mins(15);

    /// This policy for a probe whose answer may take up to `answer`. A lease that is over before the
    /// answer would leave the breaker open, because only the holder of the lease closes it.
    #[must_use]
    pub fn with_lease_for(self, answer: Duration) -> Self {
        Self {
            lease: self.lease.max(answer).min(Self::LONGEST_LEASE),
            ..self
        }
    }
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self {
            failures: 3,
            window: Duration::from_mins(1),
            open_for: Duration::from_mins(30),
            max_open: Duration::from_hours(1),
            jitter: Duration::from_secs(10),
            lease: Duration::from_mins(1),
            scope: BreakerScope::Key,
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        let mut fallback_on = BTreeSet::from(FallbackClass::ALL);
        fallback_on.remove(&FallbackClass::Broken);
        Self {
            fallback_on,
            breaker: BreakerPolicy::default(),
            session_stickiness: Duration::ZERO,
        }
    }
}

impl Policy {
    /// This policy with what `change` says otherwise.
    #[must_use]
    pub fn with(&self, change: &PolicyChange) -> Self {
        let seconds = |changed: Option<u32>, unchanged: Duration| {
            changed.map_or(unchanged, |seconds| Duration::from_secs(seconds.into()))
        };
        let breaker = &self.breaker;
        Self {
            fallback_on: change
                .fallback_on
                .clone()
                .unwrap_or_else(|| self.fallback_on.clone()),
            breaker: BreakerPolicy {
                failures: change.breaker_failures.unwrap_or(breaker.failures),
                window: seconds(change.breaker_window_s, breaker.window),
                open_for: seconds(change.breaker_open_s, breaker.open_for),
                max_open: seconds(change.breaker_max_open_s, breaker.max_open),
                jitter: seconds(change.breaker_jitter_s, breaker.jitter),
                lease: seconds(change.breaker_lease_s, breaker.lease),
                scope: change.breaker_scope.unwrap_or(breaker.scope),
            },
            session_stickiness: seconds(change.session_stickiness_s, self.session_stickiness),
        }
    }
}

/// A policy as far as it differs from the one that holds otherwise: what a deployment, a user or a key
/// has of its own. All times are whole seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyChange {
    /// See [`Policy::fallback_on`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback_on: Option<BTreeSet<FallbackClass>>,
    /// See [`BreakerPolicy::failures`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker_failures: Option<u32>,
    /// See [`BreakerPolicy::window`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker_window_s: Option<u32>,
    /// See [`BreakerPolicy::open_for`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker_open_s: Option<u32>,
    /// See [`BreakerPolicy::max_open`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker_max_open_s: Option<u32>,
    /// See [`BreakerPolicy::jitter`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker_jitter_s: Option<u32>,
    /// See [`BreakerPolicy::lease`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker_lease_s: Option<u32>,
    /// See [`BreakerPolicy::scope`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker_scope: Option<BreakerScope>,
    /// See [`Policy::session_stickiness`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_stickiness_s: Option<u32>,
}

/// A number of a policy is out of its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} must be a whole number from {least} to {most}, not {given}")]
pub struct OutOfRange {
    /// The field of [`PolicyChange`].
    pub name: &'static str,
    /// The least that is allowed.
    pub least: u32,
    /// The most that is allowed.
    pub most: u32,
    /// What was given.
    pub given: u32,
}

const HOUR_S: u32 = 60 * 60;
const DAY_S: u32 = 24 * HOUR_S;
const LONGEST_LEASE_S: u32 = 15 * 60;

impl PolicyChange {
    /// The change itself, when every number is in its range.
    ///
    /// # Errors
    /// [`OutOfRange`] for the first that is not.
    pub fn checked(self) -> Result<Self, OutOfRange> {
        let ranges = [
            ("breaker_failures", self.breaker_failures, 1, 100),
            ("breaker_window_s", self.breaker_window_s, 1, HOUR_S),
            ("breaker_open_s", self.breaker_open_s, 1, DAY_S),
            ("breaker_max_open_s", self.breaker_max_open_s, 1, 7 * DAY_S),
            ("breaker_jitter_s", self.breaker_jitter_s, 0, 600),
            ("breaker_lease_s", self.breaker_lease_s, 5, LONGEST_LEASE_S),
            ("session_stickiness_s", self.session_stickiness_s, 0, HOUR_S),
        ];
        for (name, given, least, most) in ranges {
            if let Some(given) = given
                && !(least..=most).contains(&given)
            {
                return Err(OutOfRange {
                    name,
                    least,
                    most,
                    given,
                });
            }
        }
        Ok(self)
    }

    /// This change, and where it says nothing, `other`.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            fallback_on: self.fallback_on.or(other.fallback_on),
            breaker_failures: self.breaker_failures.or(other.breaker_failures),
            breaker_window_s: self.breaker_window_s.or(other.breaker_window_s),
            breaker_open_s: self.breaker_open_s.or(other.breaker_open_s),
            breaker_max_open_s: self.breaker_max_open_s.or(other.breaker_max_open_s),
            breaker_jitter_s: self.breaker_jitter_s.or(other.breaker_jitter_s),
            breaker_lease_s: self.breaker_lease_s.or(other.breaker_lease_s),
            breaker_scope: self.breaker_scope.or(other.breaker_scope),
            session_stickiness_s: self.session_stickiness_s.or(other.session_stickiness_s),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_overrides_its_user_and_the_user_the_deployment() {
        let change = |failures, open| PolicyChange {
            breaker_failures: failures,
            breaker_open_s: open,
            ..PolicyChange::default()
        };
        let both = change(Some(5), None).or(change(Some(4), Some(20)));
        let policy = Policy::default().with(&both);
        assert_eq!(policy.breaker.failures, 5);
        assert_eq!(policy.breaker.open_for, Duration::from_secs(20));
        assert_eq!(policy.breaker.window, Duration::from_mins(1));
    }

    #[test]
    fn lease_covers_the_answer_up_to_the_longest_lease() {
        let lease = |answer_s| {
            let policy = BreakerPolicy::default();
            let policy = policy.with_lease_for(Duration::from_secs(answer_s));
            policy.lease.as_secs()
        };
        assert_eq!([0, 59, 600, 9999].map(lease), [60, 60, 600, 900]);
    }

    #[test]
    fn a_number_out_of_range_is_named_with_its_range() {
        let change = PolicyChange {
            breaker_lease_s: Some(4),
            ..PolicyChange::default()
        };
        assert_eq!(
            change.checked().unwrap_err().to_string(),
            "breaker_lease_s must be a whole number from 5 to 900, not 4"
        );
    }
}
