//! Times as values. No function of this module reads a clock.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A time, in milliseconds since 1970-01-01T00:00:00Z. Displays as RFC 3339 in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The time this many milliseconds after 1970-01-01T00:00:00Z.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// The time this many seconds after 1970-01-01T00:00:00Z.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// The milliseconds since 1970-01-01T00:00:00Z.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// The time this much later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(millis))
    }

    /// The time in UTC to the second, rounded up, for people: `2026-11-18 11:06:40 UTC`.
    pub fn in_utc(self) -> String {
        let seconds = self.0.div_euclid(1000) + i64::from(self.0.rem_euclid(1000) > 0);
        match jiff::Timestamp::from_second(seconds) {
            Ok(time) => time.strftime("%F %T UTC").to_string(),
            Err(_) => format!("{} ms", self.0),
        }
    }

    /// Whether `now` is less than `lifetime` after this moment. False for a moment after `now`: a clock that
    /// was set back must not make a cached value live longer.
    pub fn is_fresh(self, now: Self, lifetime: Duration) -> bool {
        self <= now && now.since(self) < lifetime
    }

    /// The duration from `earlier` to this time; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// A text that is not a time in RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a time in RFC 3339, such as 2026-11-18T11:06:40Z")]
pub struct MalformedTime;

impl std::str::FromStr for Timestamp {
    type Err = MalformedTime;

    /// Reads RFC 3339; parts of a millisecond are cut off.
    fn from_str(text: &str) -> Result<Self, MalformedTime> {
        let time: jiff::Timestamp = text.parse().map_err(|_| MalformedTime)?;
        Ok(Self(time.as_millisecond()))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(time) => write!(formatter, "{time}"),
            Err(_) => write!(formatter, "{} ms", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamp_displays_as_rfc_3339_in_utc() {
        assert_eq!(
            Timestamp::from_seconds(1_795_000_000).to_string(),
            "2026-11-18T11:06:40Z"
        );
        assert_eq!(
            Timestamp::from_millis(1_500).to_string(),
            "1970-01-01T00:00:01.5Z"
        );
    }

    #[test]
    fn timestamp_parses_from_rfc_3339() {
        let time = Timestamp::from_millis(1_795_000_000_123);
        assert_eq!(time.to_string().parse(), Ok(time));
        assert_eq!("yesterday".parse::<Timestamp>(), Err(MalformedTime));
    }

    #[test]
    fn time_for_people_is_rounded_up_to_the_second() {
        for (millis, expected) in [
            (1_795_000_000_000, "2026-11-18 11:06:40 UTC"),
            (1_794_999_999_001, "2026-11-18 11:06:40 UTC"),
            (-1, "1970-01-01 00:00:00 UTC"),
            (i64::MAX, "9223372036854775807 ms"),
            (i64::MIN, "-9223372036854775808 ms"),
        ] {
            assert_eq!(Timestamp::from_millis(millis).in_utc(), expected);
        }
    }

    #[test]
    fn duration_since_a_later_time_is_zero() {
        let (early, late) = (Timestamp::from_millis(1), Timestamp::from_millis(5));
        assert_eq!(late.since(early), Duration::from_millis(4));
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(early.plus(Duration::from_millis(4)), late);
    }

    #[test]
    fn moment_is_fresh_until_its_lifetime_ends_and_never_before_it_comes() {
        let at = Timestamp::from_millis(1000);
        let lifetime = Duration::from_millis(10);
        for (now, expected) in [(999, false), (1000, true), (1009, true), (1010, false)] {
            let now = Timestamp::from_millis(now);
            assert_eq!(at.is_fresh(now, lifetime), expected, "{now}");
        }
    }
}
