//! The state of a breaker, as it is stored.

use domain::breaker::{BreakerState, CountedFailure, Trip};
use domain::id::RequestId;
use domain::policy::FallbackClass;
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The attributes of a [`BreakerState`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "BreakerState", tag = "state", rename_all = "snake_case")]
pub(crate) enum BreakerStateRow {
    Closed {
        #[serde(default, skip_serializing_if = "Vec::is_empty", with = "failures")]
        failures: Vec<CountedFailure>,
    },
    Open {
        #[serde(flatten, with = "TripRow")]
        trip: Trip,
        until: Timestamp,
    },
    HalfOpen {
        #[serde(flatten, with = "TripRow")]
        trip: Trip,
        probe: RequestId,
        lease_until: Timestamp,
    },
}

/// The attributes of a [`Trip`]. A default value is not stored.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Trip")]
struct TripRow {
    #[serde(rename = "because")]
    class: FallbackClass,
    since: Timestamp,
    #[serde(rename = "trips")]
    count: u32,
    #[serde(rename = "burst_trips", default, skip_serializing_if = "is_default")]
    bursts: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    end_is_known: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "CountedFailure")]
struct FailureRow {
    at: Timestamp,
    request: RequestId,
    #[serde(default, skip_serializing_if = "is_default")]
    is_burst: bool,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A list of counted failures.
mod failures {
    use domain::breaker::CountedFailure;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::FailureRow;

    #[derive(Serialize)]
    struct Written<'a>(#[serde(with = "FailureRow")] &'a CountedFailure);

    #[derive(Deserialize)]
    struct Read(#[serde(with = "FailureRow")] CountedFailure);

    pub(super) fn serialize<S: Serializer>(
        failures: &[CountedFailure],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(failures.iter().map(Written))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<CountedFailure>, D::Error> {
        let read = Vec::<Read>::deserialize(deserializer)?;
        Ok(read.into_iter().map(|Read(failure)| failure).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Row(#[serde(with = "BreakerStateRow")] BreakerState);

    fn failure(is_burst: bool) -> CountedFailure {
        CountedFailure {
            at: AT,
            request: "req_a".parse().unwrap(),
            is_burst,
        }
    }

    const AT: Timestamp = Timestamp::from_millis(1);

    fn trip(bursts: u32, end_is_known: bool) -> Trip {
        Trip {
            class: FallbackClass::UsageLimit,
            since: AT,
            count: 2,
            bursts,
            end_is_known,
        }
    }

    fn open(trip: Trip) -> BreakerState {
        BreakerState::Open { trip, until: AT }
    }

    fn half_open(trip: Trip) -> BreakerState {
        BreakerState::HalfOpen {
            trip,
            probe: "req_a".parse().unwrap(),
            lease_until: AT,
        }
    }

    #[test]
    fn breaker_state_keeps_its_stored_attributes() {
        let closed = |failures| BreakerState::Closed { failures };
        for (state, expected) in [
            (BreakerState::CLOSED, r#"{"state":"closed"}"#),
            (
                closed(vec![failure(false)]),
                r#"{"state":"closed","failures":[{"at":1,"request":"req_a"}]}"#,
            ),
            (
                closed(vec![failure(true)]),
                r#"{"state":"closed","failures":[{"at":1,"request":"req_a","is_burst":true}]}"#,
            ),
            (
                closed(vec![failure(false), failure(true)]),
                r#"{"state":"closed","failures":[{"at":1,"request":"req_a"},{"at":1,"request":"req_a","is_burst":true}]}"#,
            ),
            (
                open(trip(0, false)),
                r#"{"state":"open","because":"usage_limit","since":1,"until":1,"trips":2}"#,
            ),
            (
                open(trip(7, true)),
                r#"{"state":"open","because":"usage_limit","since":1,"until":1,"trips":2,"burst_trips":7,"end_is_known":true}"#,
            ),
            (
                open(trip(3, false)),
                r#"{"state":"open","because":"usage_limit","since":1,"until":1,"trips":2,"burst_trips":3}"#,
            ),
            (
                open(trip(0, true)),
                r#"{"state":"open","because":"usage_limit","since":1,"until":1,"trips":2,"end_is_known":true}"#,
            ),
            (
                BreakerState::Open {
                    trip: trip(u32::MAX, false),
                    until: Timestamp::from_millis(i64::MIN),
                },
                r#"{"state":"open","because":"usage_limit","since":1,"until":-9223372036854775808,"trips":2,"burst_trips":4294967295}"#,
            ),
            (
                half_open(trip(0, false)),
                r#"{"state":"half_open","because":"usage_limit","since":1,"probe":"req_a","lease_until":1,"trips":2}"#,
            ),
            (
                half_open(trip(3, false)),
                r#"{"state":"half_open","because":"usage_limit","since":1,"probe":"req_a","lease_until":1,"trips":2,"burst_trips":3}"#,
            ),
            (
                half_open(trip(3, true)),
                r#"{"state":"half_open","because":"usage_limit","since":1,"probe":"req_a","lease_until":1,"trips":2,"burst_trips":3,"end_is_known":true}"#,
            ),
        ] {
            let row = Row(state);
            let attributes: serde_json::Value = serde_json::from_str(expected).unwrap();
            assert_eq!(serde_json::to_value(&row).unwrap(), attributes);
            let read: Row = serde_json::from_str(expected).unwrap();
            assert_eq!(read, row);
        }
    }
}
