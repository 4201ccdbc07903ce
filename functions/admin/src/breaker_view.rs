//! A breaker as the admin API shows it.

use domain::breaker::{BreakerState, Circuit, CountedFailure};
use domain::id::{KeyId, RequestId};
use domain::policy::FallbackClass;
use serde::{Deserialize, Serialize};
use store::breakers::StoredBreaker;

use crate::api::Time;

/// A breaker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "BreakerJson", into = "BreakerJson")]
pub struct BreakerView {
    /// The access key it belongs to; `None` for the breaker of the deployment.
    pub key_id: Option<KeyId>,
    /// The circuit that it guards.
    pub circuit: Circuit,
    /// Its state.
    pub state: BreakerState,
}

impl From<&StoredBreaker> for BreakerView {
    fn from(breaker: &StoredBreaker) -> Self {
        Self {
            key_id: breaker.key.key_id().cloned(),
            circuit: breaker.key.circuit().clone(),
            state: breaker.state.clone(),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct BreakerJson {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_id: Option<KeyId>,
    circuit: Circuit,
    #[serde(flatten)]
    state: StateJson,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
enum StateJson {
    Closed {
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        failures: Vec<FailureJson>,
    },
    Open {
        because: FallbackClass,
        since: Time,
        until: Time,
        trips: u32,
        #[serde(default, skip_serializing_if = "is_default")]
        burst_trips: u32,
        #[serde(default, skip_serializing_if = "is_default")]
        end_is_known: bool,
    },
    HalfOpen {
        because: FallbackClass,
        since: Time,
        probe: RequestId,
        lease_until: Time,
        trips: u32,
        #[serde(default, skip_serializing_if = "is_default")]
        burst_trips: u32,
        #[serde(default, skip_serializing_if = "is_default")]
        end_is_known: bool,
    },
}

#[derive(Serialize, Deserialize)]
struct FailureJson {
    at: Time,
    request: RequestId,
    #[serde(default, skip_serializing_if = "is_default")]
    is_burst: bool,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl From<BreakerView> for BreakerJson {
    fn from(view: BreakerView) -> Self {
        Self {
            key_id: view.key_id,
            circuit: view.circuit,
            state: view.state.into(),
        }
    }
}

impl From<BreakerJson> for BreakerView {
    fn from(json: BreakerJson) -> Self {
        Self {
            key_id: json.key_id,
            circuit: json.circuit,
            state: json.state.into(),
        }
    }
}

impl From<BreakerState> for StateJson {
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
                since: since.into(),
                until: until.into(),
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
                since: since.into(),
                probe,
                lease_until: lease_until.into(),
                trips,
                burst_trips,
                end_is_known,
            },
        }
    }
}

impl From<StateJson> for BreakerState {
    fn from(json: StateJson) -> Self {
        match json {
            StateJson::Closed { failures } => Self::Closed {
                failures: failures.into_iter().map(Into::into).collect(),
            },
            StateJson::Open {
                because,
                since,
                until,
                trips,
                burst_trips,
                end_is_known,
            } => Self::Open {
                because,
                since: since.0,
                until: until.0,
                trips,
                burst_trips,
                end_is_known,
            },
            StateJson::HalfOpen {
                because,
                since,
                probe,
                lease_until,
                trips,
                burst_trips,
                end_is_known,
            } => Self::HalfOpen {
                because,
                since: since.0,
                probe,
                lease_until: lease_until.0,
                trips,
                burst_trips,
                end_is_known,
            },
        }
    }
}

impl From<CountedFailure> for FailureJson {
    fn from(failure: CountedFailure) -> Self {
        Self {
            at: failure.at.into(),
            request: failure.request,
            is_burst: failure.is_burst,
        }
    }
}

impl From<FailureJson> for CountedFailure {
    fn from(json: FailureJson) -> Self {
        Self {
            at: json.at.0,
            request: json.request,
            is_burst: json.is_burst,
        }
    }
}
