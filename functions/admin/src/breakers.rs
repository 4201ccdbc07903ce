//! Breakers, shown and reset by an admin.

use domain::breaker::BreakerState;
use domain::id::KeyId;
use store::breakers::{BreakerKey, StoredBreaker};
use store::mutation::Written;

use crate::audit::audit_record;
use crate::breaker_view::BreakerView;
use crate::command::{BreakersOf, Outcome};
use crate::execute::{Admin, AdminError};
use crate::invocation::Invocation;

/// The attempts of a reset: an instance may write the breaker between the read and the write.
const TRIES: usize = 5;

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
        mut expected: StoredBreaker,
        invocation: &Invocation,
    ) -> Result<Option<BreakerView>, AdminError> {
        for _ in 0..TRIES {
            if expected.state == BreakerState::CLOSED {
                return Ok(None);
            }
            let before = BreakerView::from(&expected);
            let after = BreakerView {
                state: BreakerState::CLOSED,
                ..before.clone()
            };
            let states = (Some(&before), Some(&after));
            let audit = audit_record(invocation, "breaker.reset", target(&expected), states)?;
            let mutation = self.access.mutation().reset_breaker(&expected)?;
            match mutation.commit(&audit).await? {
                Written::Done => return Ok(Some(before)),
                Written::ConditionFailed => expected = self.access.breaker(&expected.key).await?,
            }
        }
        let key_id = expected.key.key_id();
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
