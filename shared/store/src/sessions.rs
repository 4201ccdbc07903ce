//! Conversations that are on Bedrock and, by the policy, stay there for a while after Plan is back.

use domain::key::KeyHash;
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::layout::{SK_SESSION, key_pk};
use crate::table::{AccessTable, Item, Row, read};
use crate::{StoreError, unavailable};

/// A conversation that Bedrock has served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BedrockSession {
    /// `x-claude-code-session-id`.
    pub session_id: String,
    /// The time until which it may stay on Bedrock.
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
    /// Writes that a conversation is on Bedrock, in place of any earlier row of it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn put_session(
        &self,
        hash: &KeyHash,
        session: &BedrockSession,
    ) -> Result<(), StoreError> {
        let body = Body {
            session,
            expires_s: session.until.as_millis() / 1000 + 1,
        };
        let sk = format!("{SK_SESSION}#{}", session.session_id);
        let row = Row::new(key_pk(hash), sk, body);
        self.client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(row.to_item()?))
            .send()
            .await
            .map_err(|error| unavailable("PutItem", &error))?;
        Ok(())
    }
}
