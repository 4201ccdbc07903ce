//! Conversations that are on Bedrock, for those who let them stay there for a while after Plan is back.

use domain::key::KeyHash;
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::access::AccessTable;
use crate::layout::{SK_SESSION, key_pk};
use crate::row::{Item, Row, read, write};
use crate::{StoreError, unavailable};

/// A conversation that Bedrock has answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BedrockSession {
    /// `x-claude-code-session-id`.
    pub session_id: String,
    /// Until then it may stay on Bedrock.
    pub until: Timestamp,
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(flatten)]
    session: &'a BedrockSession,
    expires_s: i64,
}

impl BedrockSession {
    pub(crate) fn read(item: Item) -> Result<Self, StoreError> {
        read("conversation", item)
    }
}

impl AccessTable {
    /// Notes that a conversation is on Bedrock, in place of what was noted of it before.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn note_session(
        &self,
        hash: &KeyHash,
        session: &BedrockSession,
    ) -> Result<(), StoreError> {
        let row = Row {
            pk: key_pk(hash),
            sk: format!("{SK_SESSION}#{}", session.session_id),
            listed_in: None,
            listed_as: None,
            body: Body {
                session,
                expires_s: session.until.as_millis() / 1000 + 1,
            },
        };
        self.client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(write(&row)?))
            .send()
            .await
            .map_err(|error| unavailable("PutItem", &error))?;
        Ok(())
    }
}
