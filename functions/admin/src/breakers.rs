//! Breakers, seen and reset by an admin.

use domain::breaker::BreakerState;
use domain::id::KeyId;
use domain::time::Timestamp;
use store::breaker::{BreakerPlace, StoredBreaker, Swap};

use crate::command::BreakerView;
use crate::{Admin, AdminError, BreakersOf, Outcome};

/// Instances write a breaker when Plan's answers come, so that a reset may lose against one.
const TRIES: usize = 5;

impl Admin {
    pub(crate) async fn show_breakers(
        &self,
        key_id: Option<KeyId>,
        now: Timestamp,
    ) -> Result<Outcome, AdminError> {
        let breakers = match key_id {
            Some(id) => self.breakers_of(&id).await?,
            None => self.all_breakers().await?,
        };
        Ok(Outcome::Breakers {
            breakers: breakers.iter().map(view).collect(),
            as_of: now,
        })
    }

    pub(crate) async fn reset_breakers(
        &self,
        of: BreakersOf,
        now: Timestamp,
    ) -> Result<Outcome, AdminError> {
        let breakers = match of {
            BreakersOf::Key(id) => self.breakers_of(&id).await?,
            BreakersOf::Deployment => {
                vec![self.access.breaker(&BreakerPlace::deployment()).await?]
            }
            BreakersOf::All => self.all_breakers().await?,
        };
        let mut reset = Vec::new();
        for breaker in breakers {
            reset.extend(self.reset(breaker).await?.as_ref().map(view));
        }
        Ok(Outcome::BreakersReset {
            breakers: reset,
            as_of: now,
        })
    }

    /// Closes a breaker; gives it as it was, unless it was closed already.
    async fn reset(&self, mut seen: StoredBreaker) -> Result<Option<StoredBreaker>, AdminError> {
        for _ in 0..TRIES {
            if seen.state == BreakerState::CLOSED {
                return Ok(None);
            }
            match self
                .access
                .swap_breaker(&seen, BreakerState::CLOSED)
                .await?
            {
                Swap::Won(_) => return Ok(Some(seen)),
                Swap::Lost(current) => seen = current,
            }
        }
        let whose = seen.place.key_id().map_or("the deployment", KeyId::as_str);
        Err(AdminError::BreakerBusy(whose.to_owned()))
    }

    async fn breakers_of(&self, id: &KeyId) -> Result<Vec<StoredBreaker>, AdminError> {
        let resolved = self.access.key(id).await?;
        let resolved = resolved.ok_or_else(|| AdminError::NoSuchKey(id.clone()))?;
        Ok(resolved.breakers)
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

fn view(breaker: &StoredBreaker) -> BreakerView {
    BreakerView {
        key_id: breaker.place.key_id().cloned(),
        circuit: breaker.place.circuit().clone(),
        state: breaker.state.clone(),
    }
}
