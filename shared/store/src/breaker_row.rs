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
