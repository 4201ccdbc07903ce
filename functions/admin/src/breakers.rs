//! Breakers, shown and reset by an admin.

use domain::breaker::BreakerState;
use domain::id::KeyId;
use store::breakers::{BreakerKey, StoredBreaker, Swap};
use store::mutation::Written;
use store::table::AccessTable;
use store::transition::{Transition, WriteBreaker, change_breaker};

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
        mut breaker: StoredBreaker,
        invocation: &Invocation,
    ) -> Result<Option<BreakerView>, AdminError> {
        let closed =
            |state: &BreakerState| (*state != BreakerState::CLOSED).then_some(BreakerState::CLOSED);
        let writer = AuditedReset {
            access: &self.access,
            invocation,
        };
        match change_breaker(&mut breaker, TRIES, closed, &writer).await? {
            Transition::Unneeded => Ok(None),
            Transition::Written { before } => Ok(Some(BreakerView {
                state: before,
                ..BreakerView::from(&breaker)
            })),
            Transition::LostRaces => {
                let key_id = breaker.key.key_id();
                let owner = key_id.map_or_else(|| "the deployment".to_owned(), ToString::to_string);
                Err(AdminError::BreakerBusy(owner))
            }
        }
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

/// Writes a reset in one transaction with its audit record.
struct AuditedReset<'a> {
    access: &'a AccessTable,
    invocation: &'a Invocation,
}

impl WriteBreaker for AuditedReset<'_> {
    type Error = AdminError;

    async fn write(&self, breaker: &StoredBreaker, next: BreakerState) -> Result<Swap, AdminError> {
        let written = breaker.with_next(next.clone());
        let states = (
            Some(&BreakerView::from(breaker)),
            Some(&BreakerView::from(&written)),
        );
        let audit = audit_record(self.invocation, "breaker.reset", target(breaker), states)?;
        let mutation = self.access.mutation().set_breaker(breaker, next)?;
        Ok(match mutation.commit(&audit).await? {
            Written::Done => Swap::Won(written),
            Written::ConditionFailed => Swap::Lost(self.access.breaker(&breaker.key).await?),
        })
    }
}

fn target(breaker: &StoredBreaker) -> String {
    let key_id = breaker.key.key_id();
    key_id.map_or_else(|| "deployment".to_owned(), ToString::to_string)
}
