//! Settings as data: the values that a setting takes, and how a text or a stored value becomes one.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The value of a setting, in the one form in which it is stored and sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SettingValue {
    /// A whole number.
    Number(u32),
    /// One of several words.
    Word(String),
    /// Some of several words.
    Words(Vec<String>),
}

impl fmt::Display for SettingValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(formatter, "{number}"),
            Self::Word(word) => formatter.write_str(word),
            Self::Words(words) => formatter.write_str(&words.join(",")),
        }
    }
}

/// The unit of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A count.
    Count,
    /// Seconds.
    Seconds,
}

/// The values that a setting takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// A whole number from `least` to `most`.
    Number {
        /// The smallest value.
        least: u32,
        /// The largest value.
        most: u32,
        /// The unit.
        unit: Unit,
    },
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// Any of these words, each at most once; none is allowed too.
    ListOf(&'static [&'static str]),
}

impl fmt::Display for Values {
    /// Completes the sentence "the setting must be …".
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number { least, most, .. } => {
                write!(formatter, "a whole number from {least} to {most}")
            }
            Self::OneOf(words) => formatter.write_str(&words.join(" or ")),
            Self::ListOf(words) => {
                write!(formatter, "a comma-separated list of {}", words.join(", "))
            }
        }
    }
}

impl Values {
    /// A number of this many seconds.
    pub const fn seconds(least: u32, most: u32) -> Self {
        Self::Number {
            least,
            most,
            unit: Unit::Seconds,
        }
    }

    /// A count.
    pub const fn count(least: u32, most: u32) -> Self {
        Self::Number {
            least,
            most,
            unit: Unit::Count,
        }
    }

    /// Reads a value as it is typed: a number, a word, or words with commas between them. `None` when
    /// the text has another form. The range of a number is checked by [`Values::contain`].
    pub fn parse(&self, text: &str) -> Option<SettingValue> {
        let value = match self {
            Self::Number { .. } => return text.trim().parse().ok().map(SettingValue::Number),
            Self::OneOf(_) => SettingValue::Word(text.trim().to_owned()),
            Self::ListOf(_) => {
                let words = text.split(',').map(|word| word.trim().to_owned());
                SettingValue::Words(words.collect())
            }
        };
        self.contain(&value).then_some(value)
    }

    /// Returns true when the setting takes this value.
    pub fn contain(&self, value: &SettingValue) -> bool {
        match (self, value) {
            (Self::Number { least, most, .. }, SettingValue::Number(number)) => {
                (least..=most).contains(&number)
            }
            (Self::OneOf(words), SettingValue::Word(word)) => words.contains(&word.as_str()),
            (Self::ListOf(words), SettingValue::Words(given)) => {
                given.iter().all(|word| words.contains(&word.as_str()))
            }
            _ => false,
        }
    }
}

/// A value that its setting does not take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} must be {values}, not {given}")]
pub struct InvalidSetting {
    /// The name of the setting.
    pub name: &'static str,
    /// The values that it takes.
    pub values: Values,
    /// The value that was given.
    pub given: SettingValue,
}

/// A type that a changed setting has.
pub(crate) trait AsSettingValue: Sized {
    fn to_value(&self) -> SettingValue;
    /// `None` when the value is of another form.
    fn from_value(value: &SettingValue) -> Option<Self>;
}

impl AsSettingValue for u32 {
    fn to_value(&self) -> SettingValue {
        SettingValue::Number(*self)
    }

    fn from_value(value: &SettingValue) -> Option<Self> {
        match value {
            SettingValue::Number(number) => Some(*number),
            SettingValue::Word(_) | SettingValue::Words(_) => None,
        }
    }
}

/// A field in force that a changed setting of type `V` replaces.
pub(crate) trait FieldOf<V> {
    fn assign(&mut self, value: &V);
    fn current(&self) -> V;
}

impl<V: Clone> FieldOf<V> for V {
    fn assign(&mut self, value: &V) {
        self.clone_from(value);
    }

    fn current(&self) -> V {
        self.clone()
    }
}

/// Times are set in whole seconds.
impl FieldOf<u32> for Duration {
    fn assign(&mut self, seconds: &u32) {
        *self = Self::from_secs((*seconds).into());
    }

    fn current(&self) -> u32 {
        u32::try_from(self.as_secs()).unwrap_or(u32::MAX)
    }
}
