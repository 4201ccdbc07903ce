//! A breaker as the admin API shows it.

use domain::breaker::{BreakerState, Circuit, CountedFailure};
use domain::id::{KeyId, RequestId};
use domain::policy::FallbackClass;
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use store::breakers::StoredBreaker;

/// A breaker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerView {
    /// The access key it belongs to; `None` for the breaker of the deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<KeyId>,
    /// The circuit that it guards.
    pub circuit: Circuit,
    /// Its state.
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

/// A [`BreakerState`] with its times in RFC 3339.
#[derive(Serialize, Deserialize)]
#[serde(remote = "BreakerState", tag = "state", rename_all = "snake_case")]
enum StateJson {
    Closed {
        #[serde(default, skip_serializing_if = "Vec::is_empty", with = "failures")]
        failures: Vec<CountedFailure>,
    },
    Open {
        because: FallbackClass,
        #[serde(with = "time")]
        since: Timestamp,
        #[serde(with = "time")]
        until: Timestamp,
        trips: u32,
        #[serde(default, skip_serializing_if = "is_default")]
        burst_trips: u32,
        #[serde(default, skip_serializing_if = "is_default")]
        end_is_known: bool,
    },
    HalfOpen {
        because: FallbackClass,
        #[serde(with = "time")]
        since: Timestamp,
        probe: RequestId,
        #[serde(with = "time")]
        lease_until: Timestamp,
        trips: u32,
        #[serde(default, skip_serializing_if = "is_default")]
        burst_trips: u32,
        #[serde(default, skip_serializing_if = "is_default")]
        end_is_known: bool,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "CountedFailure")]
struct FailureJson {
    #[serde(with = "time")]
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

    use super::FailureJson;

    #[derive(Serialize)]
    struct Written<'a>(#[serde(with = "FailureJson")] &'a CountedFailure);

    #[derive(Deserialize)]
    struct Read(#[serde(with = "FailureJson")] CountedFailure);

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

/// A time in RFC 3339.
mod time {
    use domain::time::Timestamp;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use crate::api::Time;

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde calls it with a reference"
    )]
    pub(super) fn serialize<S: Serializer>(
        time: &Timestamp,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        Time(*time).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Timestamp, D::Error> {
        Time::deserialize(deserializer).map(|Time(time)| time)
    }
}
