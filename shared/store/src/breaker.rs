//! The breakers' states. Each transition is one conditional write: it is made on the version that the
//! transition was worked out from, or not at all. A breaker's item is never removed, so that its version
//! only grows: a late write can meet no version a second time.

use std::sync::Arc;

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use domain::breaker::{BreakerState, Circuit, Guard};
use domain::id::KeyId;
use serde::{Deserialize, Serialize};

use crate::access::{AccessTable, Behind, Page};
use crate::layout::{IN_BREAKERS, PK, PK_DEPLOYMENT, SK_BREAKER};
use crate::row::{Item, Row, read_row, write};
use crate::{StoreError, unavailable};

/// Where a breaker's state is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakerPlace {
    partition: Arc<str>,
    key_id: Option<KeyId>,
    circuit: Circuit,
}

impl BreakerPlace {
    /// A breaker of an access key: [`Circuit::Key`] or [`Circuit::Family`], in the key's partition.
    pub(crate) fn of_key(partition: &Arc<str>, key_id: &KeyId, circuit: Circuit) -> Self {
        Self {
            partition: Arc::clone(partition),
            key_id: Some(key_id.clone()),
            circuit,
        }
    }

    /// The breaker of the deployment.
    pub fn deployment() -> Self {
        Self {
            partition: PK_DEPLOYMENT.into(),
            key_id: None,
            circuit: Circuit::Deployment,
        }
    }

    /// What the breaker guards.
    pub fn circuit(&self) -> &Circuit {
        &self.circuit
    }

    /// Whose it is; `None` for the deployment's.
    pub fn key_id(&self) -> Option<&KeyId> {
        self.key_id.as_ref()
    }

    fn sk(&self) -> String {
        match &self.circuit {
            Circuit::Key | Circuit::Deployment => SK_BREAKER.to_owned(),
            Circuit::Family(family) => format!("{SK_BREAKER}#{family}"),
        }
    }
}

/// A breaker's state as it is, or was, in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBreaker {
    /// Where.
    pub place: BreakerPlace,
    /// Counts the writes; 0 when nothing was ever written.
    pub version: u64,
    /// The state.
    pub state: BreakerState,
}

impl Guard for StoredBreaker {
    fn state(&self) -> &BreakerState {
        &self.state
    }
}

/// How a transition's write ended. That somebody else was faster is an answer, not an error.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Swap {
    /// It was written; this is what is there now.
    Won(StoredBreaker),
    /// It was not written, because this is what was there.
    Lost(StoredBreaker),
}

#[derive(Serialize, Deserialize)]
struct Body {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_id: Option<KeyId>,
    circuit: Circuit,
    version: u64,
    breaker: BreakerState,
}

impl StoredBreaker {
    /// A breaker of which nothing was ever written: closed.
    pub fn untouched(place: BreakerPlace) -> Self {
        Self {
            place,
            version: 0,
            state: BreakerState::CLOSED,
        }
    }

    pub(crate) fn read(item: Item) -> Result<Self, StoreError> {
        let row = read_row::<Body>("breaker", item)?;
        Ok(Self {
            place: BreakerPlace {
                partition: row.pk.into(),
                key_id: row.body.key_id,
                circuit: row.body.circuit,
            },
            version: row.body.version,
            state: row.body.breaker,
        })
    }
}

impl AccessTable {
    /// Writes `next` in the place of `seen`, unless another write came between. A write whose answer
    /// was lost, and which was therefore sent again, has been won.
    ///
    /// # Errors
    /// [`StoreError`]; it is not known then whether it was written.
    pub async fn swap_breaker(
        &self,
        seen: &StoredBreaker,
        next: BreakerState,
    ) -> Result<Swap, StoreError> {
        let place = &seen.place;
        let version = seen.version + 1;
        let owner = place.key_id.as_ref().map_or("", KeyId::as_str);
        let row = Row {
            pk: place.partition.to_string(),
            sk: place.sk(),
            listed_in: Some(IN_BREAKERS.to_owned()),
            listed_as: Some(format!("{owner}#{}", place.circuit)),
            body: Body {
                key_id: place.key_id.clone(),
                circuit: place.circuit.clone(),
                version,
                breaker: next.clone(),
            },
        };
        let put = self
            .client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(write(&row)?))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let put = if seen.version == 0 {
            put.condition_expression("attribute_not_exists(#pk)")
                .expression_attribute_names("#pk", PK)
        } else {
            let seen = AttributeValue::N(seen.version.to_string());
            put.condition_expression("#version = :seen")
                .expression_attribute_names("#version", "version")
                .expression_attribute_values(":seen", seen)
        };
        let Err(error) = put.send().await else {
            return Ok(Swap::Won(StoredBreaker {
                place: place.clone(),
                version,
                state: next,
            }));
        };
        let current = match error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(failed)) => match &failed.item {
                Some(item) => StoredBreaker::read(item.clone())?,
                None => self.breaker(place).await?,
            },
            _ => return Err(unavailable("PutItem", &error)),
        };
        Ok(if current.version == version && current.state == next {
            Swap::Won(current)
        } else {
            Swap::Lost(current)
        })
    }

    /// The breaker of one place, by one consistent read.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn breaker(&self, place: &BreakerPlace) -> Result<StoredBreaker, StoreError> {
        let body = self
            .item::<Body>("breaker", place.partition.to_string(), &place.sk())
            .await?;
        Ok(body.map_or_else(
            || StoredBreaker::untouched(place.clone()),
            |body| StoredBreaker {
                place: place.clone(),
                version: body.version,
                state: body.breaker,
            },
        ))
    }

    /// One page of all breakers that ever were anything but closed, ordered by key. They come from an
    /// index that is some moments late. `after` is the [`Page::next`] of the page before.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn breakers(&self, after: Option<&str>) -> Result<Page<StoredBreaker>, StoreError> {
        let at = match after {
            Some(listed_as) => self.place_listed_as(listed_as).await?.map(|place| Behind {
                sk: place.sk(),
                pk: place.partition.to_string(),
                name: listed_as,
            }),
            None => None,
        };
        self.listing(IN_BREAKERS.to_owned(), at, StoredBreaker::read)
            .await
    }

    async fn place_listed_as(&self, text: &str) -> Result<Option<BreakerPlace>, StoreError> {
        let Some((owner, circuit)) = text.split_once('#') else {
            return Ok(None);
        };
        let (Ok(key_id), Ok(circuit)) = (owner.parse::<KeyId>(), circuit.parse()) else {
            return Ok(Some(BreakerPlace::deployment()));
        };
        let pk = self.partition_of(&key_id).await?;
        Ok(pk.map(|pk| BreakerPlace {
            partition: pk.into(),
            key_id: Some(key_id),
            circuit,
        }))
    }
}
