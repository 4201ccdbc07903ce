//! The state of a breaker, as it is stored.

use domain::breaker::{BreakerState, CountedFailure};
use domain::id::RequestId;
use domain::policy::FallbackClass;
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(crate) enum BreakerStateRow {
    Closed {
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        failures: Vec<FailureRow>,
    },
    Open {
        because: FallbackClass,
        since: Timestamp,
        until: Timestamp,
        trips: u32,
        #[serde(default, skip_serializing_if = "is_default")]
        burst_trips: u32,
        #[serde(default, skip_serializing_if = "is_default")]
        end_is_known: bool,
    },
    HalfOpen {
        because: FallbackClass,
        since: Timestamp,
        probe: RequestId,
        lease_until: Timestamp,
        trips: u32,
        #[serde(default, skip_serializing_if = "is_default")]
        burst_trips: u32,
        #[serde(default, skip_serializing_if = "is_default")]
        end_is_known: bool,
    },
}

#[derive(Serialize, Deserialize)]
pub(crate) struct FailureRow {
    at: Timestamp,
    request: RequestId,
    #[serde(default, skip_serializing_if = "is_default")]
    is_burst: bool,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl From<BreakerState> for BreakerStateRow {
    fn from(state: BreakerState) -> Self {
        match state {
            BreakerState::Closed { failures } => Self::Closed {
                failures: failures.into_iter().map(Into::into).collect(),
            },
            BreakerState::Open {
                because,
                since,
                until,
                trips,
                burst_trips,
                end_is_known,
            } => Self::Open {
                because,
                since,
                until,
                trips,
                burst_trips,
                end_is_known,
            },
            BreakerState::HalfOpen {
                because,
                since,
                probe,
                lease_until,
                trips,
                burst_trips,
                end_is_known,
            } => Self::HalfOpen {
                because,
                since,
                probe,
                lease_until,
                trips,
                burst_trips,
                end_is_known,
            },
        }
    }
}

impl From<BreakerStateRow> for BreakerState {
    fn from(row: BreakerStateRow) -> Self {
        match row {
            BreakerStateRow::Closed { failures } => Self::Closed {
                failures: failures.into_iter().map(Into::into).collect(),
            },
            BreakerStateRow::Open {
                because,
                since,
                until,
                trips,
                burst_trips,
                end_is_known,
            } => Self::Open {
                because,
                since,
                until,
                trips,
                burst_trips,
                end_is_known,
            },
            BreakerStateRow::HalfOpen {
                because,
                since,
                probe,
                lease_until,
                trips,
                burst_trips,
                end_is_known,
            } => Self::HalfOpen {
                because,
                since,
                probe,
                lease_until,
                trips,
                burst_trips,
                end_is_known,
            },
        }
    }
}

impl From<CountedFailure> for FailureRow {
    fn from(failure: CountedFailure) -> Self {
        Self {
            at: failure.at,
            request: failure.request,
            is_burst: failure.is_burst,
        }
    }
}

impl From<FailureRow> for CountedFailure {
    fn from(row: FailureRow) -> Self {
        Self {
            at: row.at,
            request: row.request,
            is_burst: row.is_burst,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(is_burst: bool) -> CountedFailure {
        CountedFailure {
            at: Timestamp::from_millis(1),
            request: "req_a".parse().unwrap(),
            is_burst,
        }
    }

    fn open(burst_trips: u32, end_is_known: bool) -> BreakerState {
        let at = Timestamp::from_millis(1);
        BreakerState::Open {
            because: FallbackClass::UsageLimit,
            since: at,
            until: at,
            trips: 2,
            burst_trips,
            end_is_known,
        }
    }

    fn half_open(burst_trips: u32, end_is_known: bool) -> BreakerState {
        let at = Timestamp::from_millis(1);
        BreakerState::HalfOpen {
            because: FallbackClass::UsageLimit,
            since: at,
            probe: "req_a".parse().unwrap(),
            lease_until: at,
            trips: 2,
            burst_trips,
            end_is_known,
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
                open(0, false),
                r#"{"state":"open","because":"usage_limit","since":1,"until":1,"trips":2}"#,
            ),
            (
                open(7, true),
                r#"{"state":"open","because":"usage_limit","since":1,"until":1,"trips":2,"burst_trips":7,"end_is_known":true}"#,
            ),
            (
                half_open(0, false),
                r#"{"state":"half_open","because":"usage_limit","since":1,"probe":"req_a","lease_until":1,"trips":2}"#,
            ),
            (
                half_open(3, true),
                r#"{"state":"half_open","because":"usage_limit","since":1,"probe":"req_a","lease_until":1,"trips":2,"burst_trips":3,"end_is_known":true}"#,
            ),
        ] {
            let row = BreakerStateRow::from(state.clone());
            assert_eq!(serde_json::to_string(&row).unwrap(), expected);
            let read: BreakerStateRow = serde_json::from_str(expected).unwrap();
            assert_eq!(BreakerState::from(read), state);
        }
    }
}
