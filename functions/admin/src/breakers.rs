//! Breakers, shown and reset by an admin.

use domain::breaker::{BreakerState, Circuit, CountedFailure};
use domain::id::{KeyId, RequestId};
use domain::policy::FallbackClass;
use serde::{Deserialize, Serialize};
use store::breakers::{BreakerKey, StoredBreaker};
use store::mutation::Written;

use crate::api::Time;
use crate::audit::{Change, Invocation, json};
use crate::{Admin, AdminError, BreakersOf, Outcome};

/// The attempts of a reset: an instance may write the breaker between the read and the write.
const TRIES: usize = 5;

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

impl Admin {
    pub(crate) async fn show_breakers(
        &self,
        key_id: Option<KeyId>,
        invocation: &Invocation,
    ) -> Result<Outcome, AdminError> {
        let breakers = match key_id {
            Some(id) => self.stored_key(&id).await?.breakers,
            None => self.all_breakers().await?,
        };
        Ok(Outcome::Breakers {
            breakers: breakers.iter().map(Into::into).collect(),
            as_of: invocation.now.into(),
        })
    }

    pub(crate) async fn reset_breakers(
        &self,
        of: BreakersOf,
        invocation: &Invocation,
    ) -> Result<Outcome, AdminError> {
        let breakers = match of {
            BreakersOf::Key(id) => self.stored_key(&id).await?.breakers,
            BreakersOf::Deployment => {
                vec![self.access.breaker(&BreakerKey::deployment()).await?]
            }
            BreakersOf::All => self.all_breakers().await?,
        };
        let mut reset = Vec::new();
        for breaker in breakers {
            reset.extend(self.reset(breaker, invocation).await?);
        }
        Ok(Outcome::BreakersReset {
            breakers: reset,
            as_of: invocation.now.into(),
        })
    }

    /// Closes a breaker; returns it as it was before, or `None` when it was closed.
    async fn reset(
        &self,
        mut seen: StoredBreaker,
        invocation: &Invocation,
    ) -> Result<Option<BreakerView>, AdminError> {
        for _ in 0..TRIES {
            if seen.state == BreakerState::CLOSED {
                return Ok(None);
            }
            let before = BreakerView::from(&seen);
            let after = BreakerView {
                state: BreakerState::CLOSED,
                ..before.clone()
            };
            let audit = invocation.audit(Change {
                action: "breaker.reset",
                target: target(&seen),
                before: Some(json(&before)?),
                after: Some(json(&after)?),
            });
            let mutation = self.access.mutation().reset_breaker(&seen)?;
            match mutation.commit(&audit).await? {
                Written::Done => return Ok(Some(before)),
                Written::ConditionFailed => seen = self.access.breaker(&seen.key).await?,
            }
        }
        let key_id = seen.key.key_id();
        let owner = key_id.map_or_else(|| "the deployment".to_owned(), ToString::to_string);
        Err(AdminError::BreakerBusy(owner))
    }

    async fn all_breakers(&self) -> Result<Vec<StoredBreaker>, AdminError> {
        let mut breakers = Vec::new();
        let mut after = None;
        loop {
            let page = self.access.breakers(after.as_deref()).await?;
            breakers.extend(page.items);
            after = page.next;
            if after.is_none() {
                return Ok(breakers);
            }
        }
    }
}

fn target(breaker: &StoredBreaker) -> String {
    let key_id = breaker.key.key_id();
    key_id.map_or_else(|| "deployment".to_owned(), ToString::to_string)
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
