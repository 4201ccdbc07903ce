//! When requests fall back to Bedrock, as data: defaults, what a deployment sets, and what a user or a
//! key has of its own.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::setting::{AsSettingValue, FieldOf, InvalidSetting, SettingValue, Values};

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

    /// The names of all of them.
    pub const NAMES: [&'static str; 5] = [
        Self::UsageLimit.as_str(),
        Self::RateLimited.as_str(),
        Self::Entitlement.as_str(),
        Self::Overloaded.as_str(),
        Self::Broken.as_str(),
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

impl BreakerScope {
    /// The name in settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Deployment => "deployment",
        }
    }
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

/// A setting of the policy: its one declaration. The environment, the command line, the table of settings
/// in the documentation, the range check and the stored form all read this.
#[derive(Clone, Copy, Debug)]
pub struct PolicySetting {
    /// The name, which is the field of [`PolicyChange`]: `breaker_open_s`. Times end in `_s`.
    pub name: &'static str,
    /// The environment variable that sets it for a deployment.
    pub variable: &'static str,
    /// The command-line option that sets it, without the two dashes.
    pub option: &'static str,
    /// The values that it takes.
    pub values: Values,
    /// A phrase that says what it is.
    pub meaning: &'static str,
    get: fn(&PolicyChange) -> Option<SettingValue>,
    set: fn(&mut PolicyChange, &SettingValue) -> bool,
    in_force: fn(&Policy) -> SettingValue,
}

impl PolicySetting {
    /// The setting of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        POLICY_SETTINGS.iter().find(|setting| setting.name == name)
    }

    /// The value in `change`; `None` when it does not change this setting.
    pub fn get(&self, change: &PolicyChange) -> Option<SettingValue> {
        (self.get)(change)
    }

    /// Writes a value into `change`. The range of a number is checked by [`PolicyChange::checked`].
    ///
    /// # Errors
    /// [`InvalidSetting`] when the value is of another form, or a word that the setting does not take.
    pub fn set(
        &self,
        change: &mut PolicyChange,
        value: SettingValue,
    ) -> Result<(), InvalidSetting> {
        let is_number = matches!(value, SettingValue::Number(_));
        if (is_number || self.values.contain(&value)) && (self.set)(change, &value) {
            return Ok(());
        }
        Err(InvalidSetting {
            name: self.name,
            values: self.values,
            given: value,
        })
    }

    /// The value in force under `policy`.
    pub fn in_force(&self, policy: &Policy) -> SettingValue {
        (self.in_force)(policy)
    }
}

/// Declares [`PolicyChange`], [`POLICY_SETTINGS`] and the merges from one row per setting:
/// `name: type => field of Policy, variable, option, values, meaning`.
macro_rules! policy_settings {
    ($($name:ident: $type:ty => $($field:ident).+, $variable:literal, $option:literal, $values:expr, $meaning:literal;)*) => {
        /// A policy as far as it differs from the one below it: the settings of a deployment, a user or a
        /// key. All times are whole seconds.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct PolicyChange {$(
            #[doc = concat!("Changes ", $meaning, ".")]
            pub $name: Option<$type>,
        )*}

        /// All settings of the policy, in the order in which they are shown.
        pub const POLICY_SETTINGS: &[PolicySetting] = &[$(PolicySetting {
            name: stringify!($name),
            variable: $variable,
            option: $option,
            values: $values,
            meaning: $meaning,
            get: |change| change.$name.as_ref().map(AsSettingValue::to_value),
            set: |change, value| {
                change.$name = AsSettingValue::from_value(value);
                change.$name.is_some()
            },
            in_force: |policy| FieldOf::<$type>::current(&policy.$($field).+).to_value(),
        },)*];

        impl Policy {
            /// This policy with the settings of `change` in place of its own.
            #[must_use]
            pub fn with(&self, change: &PolicyChange) -> Self {
                let mut policy = self.clone();
                policy.apply(change);
                policy
            }

            /// Replaces the settings that `change` has.
            pub fn apply(&mut self, change: &PolicyChange) {
                $(if let Some(value) = &change.$name {
                    self.$($field).+.assign(value);
                })*
            }
        }

        impl PolicyChange {
            /// This change, completed by the settings of `other` that it does not have.
            #[must_use]
            pub fn or(self, other: Self) -> Self {
                Self {$($name: self.$name.or(other.$name),)*}
            }
        }
    };
}

const HOUR_S: u32 = 60 * 60;
const DAY_S: u32 = 24 * HOUR_S;

policy_settings! {
    fallback_on: BTreeSet<FallbackClass> => fallback_on,
        "SPILLWAY_FALLBACK_ON", "fallback-on", Values::ListOf(&FallbackClass::NAMES),
        "the verdicts on Plan's response that send the request to Bedrock";
    breaker_failures: u32 => breaker.failures,
        "SPILLWAY_BREAKER_FAILURES", "breaker-failures", Values::count(1, 100),
        "number of counted failures in a row that open the breaker";
    breaker_window_s: u32 => breaker.window,
        "SPILLWAY_BREAKER_WINDOW_SECONDS", "breaker-window", Values::seconds(1, HOUR_S),
        "time within which these failures must occur";
    breaker_open_s: u32 => breaker.open_for,
        "SPILLWAY_BREAKER_OPEN_SECONDS", "breaker-open", Values::seconds(1, DAY_S),
        "time for which the breaker is open; a later `retry-after` prolongs it";
    breaker_max_open_s: u32 => breaker.max_open,
        "SPILLWAY_BREAKER_MAX_OPEN_SECONDS", "breaker-max-open", Values::seconds(1, 7 * DAY_S),
        "maximum time between two probes, whatever a setting or a response names";
    breaker_jitter_s: u32 => breaker.jitter,
        "SPILLWAY_BREAKER_JITTER_SECONDS", "breaker-jitter", Values::seconds(0, 600),
        "maximum random time that is added, so that the keys probe at different moments";
    breaker_lease_s: u32 => breaker.lease,
        "SPILLWAY_BREAKER_LEASE_SECONDS", "breaker-lease", Values::seconds(5, 15 * 60),
        "time that a probe has before another request may probe";
    breaker_scope: BreakerScope => breaker.scope,
        "SPILLWAY_BREAKER_SCOPE", "breaker-scope", Values::OneOf(&["key", "deployment"]),
        "where `overloaded` and `broken` count: in the breaker of the access key that met them, or in one for all keys";
    session_stickiness_s: u32 => session_stickiness,
        "SPILLWAY_SESSION_STICKINESS_SECONDS", "session-stickiness", Values::seconds(0, HOUR_S),
        "time for which a conversation stays on Bedrock after its last forced response there, for its prompt cache; 0: not at all";
}

impl PolicyChange {
    /// The change itself, when every number is in its range.
    ///
    /// # Errors
    /// [`InvalidSetting`] for the first value that its setting does not take.
    pub fn checked(self) -> Result<Self, InvalidSetting> {
        for (setting, given) in self.values() {
            if !setting.values.contain(&given) {
                return Err(InvalidSetting {
                    name: setting.name,
                    values: setting.values,
                    given,
                });
            }
        }
        Ok(self)
    }

    /// The settings that are changed, with their values.
    pub fn values(&self) -> impl Iterator<Item = (&'static PolicySetting, SettingValue)> {
        POLICY_SETTINGS
            .iter()
            .filter_map(|setting| Some((setting, setting.get(self)?)))
    }
}

impl AsSettingValue for BreakerScope {
    fn to_value(&self) -> SettingValue {
        SettingValue::Word(self.as_str().to_owned())
    }

    fn from_value(value: &SettingValue) -> Option<Self> {
        match value {
            SettingValue::Word(word) if word == Self::Key.as_str() => Some(Self::Key),
            SettingValue::Word(word) if word == Self::Deployment.as_str() => Some(Self::Deployment),
            _ => None,
        }
    }
}

impl AsSettingValue for BTreeSet<FallbackClass> {
    fn to_value(&self) -> SettingValue {
        SettingValue::Words(self.iter().map(ToString::to_string).collect())
    }

    fn from_value(value: &SettingValue) -> Option<Self> {
        match value {
            SettingValue::Words(words) => words.iter().map(|word| word.parse().ok()).collect(),
            SettingValue::Number(_) | SettingValue::Word(_) => None,
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
