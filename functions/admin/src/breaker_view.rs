//! A breaker as the admin API shows it.

use domain::breaker::{BreakerState, Circuit, CountedFailure, Trip};
use domain::id::{KeyId, RequestId};
use domain::policy::FallbackClass;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use store::breakers::StoredBreaker;

use crate::api::Time;

/// A breaker in the responses of the admin API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerView {
    /// The access key of the breaker; `None` for the breaker of the deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<KeyId>,
    /// The circuit that the breaker guards.
    pub circuit: Circuit,
    /// The state of the breaker.
    #[serde(flatten, with = "StateJson")]
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

/// A [`BreakerState`] as JSON, with times in RFC 3339 and the members in the order of the API.
#[derive(Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
enum StateJson {
    Closed {
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        failures: Vec<FailureJson>,
    },
    Open(TripJson<OpenJson>),
    HalfOpen(TripJson<ProbeJson>),
}

/// A [`Trip`] with the members `M` that one state alone has.
#[derive(Serialize, Deserialize)]
struct TripJson<M> {
    because: FallbackClass,
    since: Time,
    #[serde(flatten)]
    members: M,
    trips: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    burst_trips: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    end_is_known: bool,
}

#[derive(Serialize, Deserialize)]
struct OpenJson {
    until: Time,
}

#[derive(Serialize, Deserialize)]
struct ProbeJson {
    probe: RequestId,
    lease_until: Time,
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

impl<M> TripJson<M> {
    fn new(trip: &Trip, members: M) -> Self {
        Self {
            because: trip.class,
            since: Time(trip.since),
            members,
            trips: trip.count,
            burst_trips: trip.bursts,
            end_is_known: trip.end_is_known,
        }
    }

    fn trip(&self) -> Trip {
        Trip {
            class: self.because,
            since: self.since.0,
            count: self.trips,
            bursts: self.burst_trips,
            end_is_known: self.end_is_known,
        }
    }
}

impl From<&CountedFailure> for FailureJson {
    fn from(failure: &CountedFailure) -> Self {
        Self {
            at: Time(failure.at),
            request: failure.request.clone(),
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

impl StateJson {
    fn serialize<S: Serializer>(state: &BreakerState, serializer: S) -> Result<S::Ok, S::Error> {
        let json = match state {
            BreakerState::Closed { failures } => Self::Closed {
                failures: failures.iter().map(FailureJson::from).collect(),
            },
            BreakerState::Open { trip, until } => {
                let until = Time(*until);
                Self::Open(TripJson::new(trip, OpenJson { until }))
            }
            BreakerState::HalfOpen {
                trip,
                probe,
                lease_until,
            } => {
                let (probe, lease_until) = (probe.clone(), Time(*lease_until));
                Self::HalfOpen(TripJson::new(trip, ProbeJson { probe, lease_until }))
            }
        };
        Serialize::serialize(&json, serializer)
    }

    fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BreakerState, D::Error> {
        Ok(match <Self as Deserialize>::deserialize(deserializer)? {
            Self::Closed { failures } => BreakerState::Closed {
                failures: failures.into_iter().map(CountedFailure::from).collect(),
            },
            Self::Open(json) => BreakerState::Open {
                trip: json.trip(),
                until: json.members.until.0,
            },
            Self::HalfOpen(json) => BreakerState::HalfOpen {
                trip: json.trip(),
                probe: json.members.probe,
                lease_until: json.members.lease_until.0,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use domain::time::Timestamp;

    use super::*;

    #[test]
    fn breaker_view_keeps_its_json() {
        let at = Timestamp::from_millis(1_500);
        let failure = |is_burst| CountedFailure {
            at,
            request: "req_a".parse().unwrap(),
            is_burst,
        };
        let trip = |bursts, end_is_known| Trip {
            class: FallbackClass::UsageLimit,
            since: at,
            count: 2,
            bursts,
            end_is_known,
        };
        let half_open = |trip| BreakerState::HalfOpen {
            trip,
            probe: "req_a".parse().unwrap(),
            lease_until: at,
        };
        for (state, expected) in [
            (BreakerState::CLOSED, r#""closed""#),
            (
                BreakerState::Closed {
                    failures: vec![failure(false), failure(true)],
                },
                r#""closed","failures":[{"at":"TIME","request":"req_a"},{"at":"TIME","request":"req_a","is_burst":true}]"#,
            ),
            (
                BreakerState::Open {
                    trip: trip(7, true),
                    until: at,
                },
                r#""open","because":"usage_limit","since":"TIME","until":"TIME","trips":2,"burst_trips":7,"end_is_known":true"#,
            ),
            (
                half_open(trip(0, false)),
                r#""half_open","because":"usage_limit","since":"TIME","probe":"req_a","lease_until":"TIME","trips":2"#,
            ),
            (
                half_open(trip(3, true)),
                r#""half_open","because":"usage_limit","since":"TIME","probe":"req_a","lease_until":"TIME","trips":2,"burst_trips":3,"end_is_known":true"#,
            ),
        ] {
            let view = BreakerView {
                key_id: Some("key_1".parse().unwrap()),
                circuit: Circuit::Key,
                state,
            };
            let expected = format!(r#"{{"key_id":"key_1","circuit":"key","state":{expected}}}"#)
                .replace("TIME", "1970-01-01T00:00:01.5Z");
            assert_eq!(serde_json::to_string(&view).unwrap(), expected);
            let read: BreakerView = serde_json::from_str(&expected).unwrap();
            assert_eq!(read, view);
        }
    }
}
