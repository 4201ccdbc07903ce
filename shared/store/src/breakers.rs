//! The states of breakers. Each transition is one conditional write, on the version from which the
//! transition was computed. A breaker's item is never removed, so its version only grows, and a late write
//! meets no version twice.

use std::collections::HashMap;
use std::sync::Arc;

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use domain::breaker::{BreakerState, Circuit, Guard};
use domain::id::KeyId;
use serde::{Deserialize, Serialize};

use crate::breaker_row::BreakerStateRow;
use crate::layout::{IN_BREAKERS, PK, PK_DEPLOYMENT, SK_BREAKER};
use crate::mutation::Mutation;
use crate::table::{AccessTable, Item, Page, PageCursor, Row, read_row};
use crate::{StoreError, unavailable};

/// Names a breaker: the item in which its state is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakerKey {
    partition: Arc<str>,
    key_id: Option<KeyId>,
    circuit: Circuit,
}

impl BreakerKey {
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

    /// The circuit that the breaker guards.
    pub fn circuit(&self) -> &Circuit {
        &self.circuit
    }

    /// The access key it belongs to; `None` for the breaker of the deployment.
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

/// The state of a breaker as it was read from or written to the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBreaker {
    /// The name of the breaker.
    pub key: BreakerKey,
    /// Counts the writes; 0 when it was never written.
    pub version: u64,
    /// The state.
    pub state: BreakerState,
}

impl Guard for StoredBreaker {
    fn state(&self) -> &BreakerState {
        &self.state
    }
}

/// The result of a transition's write. A lost race is a result, not an error.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Swap {
    /// It was written; this is the stored breaker now.
    Won(StoredBreaker),
    /// It was not written, because this was stored meanwhile.
    Lost(StoredBreaker),
}

#[derive(Serialize, Deserialize)]
struct Body {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_id: Option<KeyId>,
    circuit: Circuit,
    version: u64,
    #[serde(with = "BreakerStateRow")]
    breaker: BreakerState,
}

impl Body {
    fn row(breaker: &StoredBreaker) -> Row<Self> {
        let key = &breaker.key;
        let owner = key.key_id.as_ref().map_or("", KeyId::as_str);
        let listed_as = format!("{owner}#{}", key.circuit);
        let body = Self {
            key_id: key.key_id.clone(),
            circuit: key.circuit.clone(),
            version: breaker.version,
            breaker: breaker.state.clone(),
        };
        Row::new(key.partition.to_string(), key.sk(), body)
            .listed(IN_BREAKERS.to_owned(), listed_as)
    }
}

/// The condition that a breaker has not been written since it was read: the expression, the name in it,
/// and the value.
fn unchanged(
    expected: &StoredBreaker,
) -> (
    &'static str,
    &'static str,
    Option<HashMap<String, AttributeValue>>,
) {
    match expected.version {
        0 => ("attribute_not_exists(#name)", PK, None),
        version => {
            let version = AttributeValue::N(version.to_string());
            let values = HashMap::from([(":expected".to_owned(), version)]);
            ("#name = :expected", "version", Some(values))
        }
    }
}

impl Mutation<'_> {
    /// Writes the next state of a breaker. The condition is that it has not been written since it was read.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when the state cannot be written as an item.
    pub fn set_breaker(
        self,
        expected: &StoredBreaker,
        next: BreakerState,
    ) -> Result<Self, StoreError> {
        let row = Body::row(&expected.with_next(next));
        let (condition, name, values) = unchanged(expected);
        self.put(&row, |put| {
            put.condition_expression(condition)
                .expression_attribute_names("#name", name)
                .set_expression_attribute_values(values)
        })
    }
}

impl StoredBreaker {
    /// This breaker after a write of its next state.
    #[must_use]
    pub fn with_next(&self, next: BreakerState) -> Self {
        Self {
            key: self.key.clone(),
            version: self.version + 1,
            state: next,
        }
    }

    /// A breaker that was never written: closed.
    pub fn initial(key: BreakerKey) -> Self {
        Self {
            key,
            version: 0,
            state: BreakerState::CLOSED,
        }
    }

    pub(crate) fn read(item: Item) -> Result<Self, StoreError> {
        let row = read_row::<Body>("breaker", item)?;
        Ok(Self {
            key: BreakerKey {
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
    /// Writes `next` in place of `expected`, unless another write came between. A write that is sent again
    /// because its response was lost counts as won.
    ///
    /// # Errors
    /// [`StoreError`]; it is then open whether it was written.
    pub async fn swap_breaker(
        &self,
        expected: &StoredBreaker,
        next: BreakerState,
    ) -> Result<Swap, StoreError> {
        let written = expected.with_next(next);
        let row = Body::row(&written);
        let (condition, name, values) = unchanged(expected);
        let put = self
            .client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(row.to_item()?))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let put = put
            .condition_expression(condition)
            .expression_attribute_names("#name", name)
            .set_expression_attribute_values(values);
        let Err(error) = put.send().await else {
            return Ok(Swap::Won(written));
        };
        let current = match error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(failed)) => match &failed.item {
                Some(item) => StoredBreaker::read(item.clone())?,
                None => self.breaker(&expected.key).await?,
            },
            _ => return Err(unavailable("PutItem", &error)),
        };
        Ok(if current == written {
            Swap::Won(current)
        } else {
            Swap::Lost(current)
        })
    }

    /// The breaker of this name, by one consistent read.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn breaker(&self, key: &BreakerKey) -> Result<StoredBreaker, StoreError> {
        let body = self
            .item::<Body>("breaker", key.partition.to_string(), &key.sk())
            .await?;
        Ok(body.map_or_else(
            || StoredBreaker::initial(key.clone()),
            |body| StoredBreaker {
                key: key.clone(),
                version: body.version,
                state: body.breaker,
            },
        ))
    }

    /// One page of all breakers that have been written at least once, ordered by key. The index may lag
    /// some moments behind. `after` is the [`Page::next`] of the page before.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn breakers(&self, after: Option<&str>) -> Result<Page<StoredBreaker>, StoreError> {
        let at = match after {
            Some(listed_as) => self.key_listed_as(listed_as).await?.map(|key| PageCursor {
                sk: key.sk(),
                pk: key.partition.to_string(),
                listed_as,
            }),
            None => None,
        };
        self.listing(IN_BREAKERS.to_owned(), at, StoredBreaker::read)
            .await
    }

    async fn key_listed_as(&self, text: &str) -> Result<Option<BreakerKey>, StoreError> {
        let Some((owner, circuit)) = text.split_once('#') else {
            return Ok(None);
        };
        let (Ok(key_id), Ok(circuit)) = (owner.parse::<KeyId>(), circuit.parse()) else {
            return Ok(Some(BreakerKey::deployment()));
        };
        let pk = self.partition_of(&key_id).await?;
        Ok(pk.map(|pk| BreakerKey {
            partition: pk.into(),
            key_id: Some(key_id),
            circuit,
        }))
    }
}
