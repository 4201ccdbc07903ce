//! The policy by which requests fall back to Bedrock: its settings, their defaults, and the changes that a
//! deployment, a user or a key makes.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::setting::{AsSettingValue, FieldOf, InvalidSetting, SettingValue, Values};

/// The class of a verdict, by which the policy decides whether the request falls back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FallbackClass {
    /// A usage limit of the plan, or of a model family within it, is reached.
    UsageLimit,
    /// Plan throttles requests.
    RateLimited,
    /// The plan does not include a feature of the request.
    Entitlement,
    /// Anthropic has no capacity.
    Overloaded,
    /// Anthropic failed or did not respond.
    Broken,
}

/// A word that is not a class of verdicts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is none of `usage_limit`, `rate_limited`, `entitlement`, `overloaded` and `broken`")]
pub struct UnknownClass(String);

impl FallbackClass {
    /// All classes.
    pub const ALL: [Self; 5] = [
        Self::UsageLimit,
        Self::RateLimited,
        Self::Entitlement,
        Self::Overloaded,
        Self::Broken,
    ];

    /// The names of all classes.
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
    /// The classes of verdicts that fall back to Bedrock. Default: all but [`FallbackClass::Broken`].
    pub fallback_on: BTreeSet<FallbackClass>,
    /// The settings of the breaker.
    pub breaker: BreakerPolicy,
    /// The time for which a conversation stays on Bedrock after its last forced response there, for its prompt
    /// cache. Default 0, which turns it off; at most 1 h.
    pub session_stickiness: Duration,
}

/// The settings of the breaker (requirement R2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// The number of counted failures in a row that open the breaker. Default 3; 1 to 100.
    pub failures: u32,
    /// The time within which these failures must occur. Default 60 s; 1 s to 1 h.
    pub window: Duration,
    /// The time for which the breaker is open when no response names a time. Default 30 min; 1 s to 24 h.
    pub open_for: Duration,
    /// The maximum time between two probes, whatever a response names. Default 1 h; 1 s to 7 days.
    pub max_open: Duration,
    /// The maximum random time that is added to the open time, so that the keys probe at different moments.
    /// Default 10 s; at most 10 min.
    pub jitter: Duration,
    /// The time that a probe has before another request may probe. Default 60 s; 5 s to 15 min. A probe
    /// that is not streamed has more time, see [`BreakerPolicy::with_lease_for`].
    pub lease: Duration,
    /// The breaker that counts failures of Anthropic's API. Default: the one of each key.
    pub scope: BreakerScope,
}

/// The breaker that counts failures of Anthropic's API: overload and broken responses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerScope {
    /// The breaker of the access key that received the failure.
    #[default]
    Key,
    /// One breaker for all keys of the deployment. Limits of a plan still count in the breaker of the key.
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
    /// The maximum of [`BreakerPolicy::lease`]. The reader of a stored lease applies this maximum, because the
    /// lease may have been taken under another policy.
    pub const LONGEST_LEASE: Duration = Duration::from_mins(15);

    /// This policy for a probe whose response may take up to `response_time`. A lease that ends before the
    /// response would leave the breaker open, because only the holder of the lease closes it.
    #[must_use]
    pub fn with_lease_for(self, response_time: Duration) -> Self {
        Self {
            lease: self.lease.max(response_time).min(Self::LONGEST_LEASE),
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
    /// The environment variable that sets the value for a deployment.
    pub variable: &'static str,
    /// The command-line option that sets the value, without the two dashes.
    pub option: &'static str,
    /// The values that the setting takes.
    pub values: Values,
    /// A phrase that explains the setting.
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

    /// The value in `change`; `None` if `change` does not have this setting.
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
        /// The settings that a deployment, a user or a key changes in the policy of the level below. All times
        /// are whole seconds.
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
    fn key_overrides_its_user_and_the_user_the_deployment() {
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
    fn lease_covers_the_response_up_to_the_longest_lease() {
        let lease = |response_s| {
            let policy = BreakerPolicy::default();
            let policy = policy.with_lease_for(Duration::from_secs(response_s));
            policy.lease.as_secs()
        };
        assert_eq!([0, 59, 600, 9999].map(lease), [60, 60, 600, 900]);
    }

    #[test]
    fn number_out_of_range_is_rejected_with_its_name_and_range() {
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
