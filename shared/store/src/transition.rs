//! The one loop that changes a stored breaker: work out the next state, write it on the condition that nothing has
//! changed meanwhile, and start again from the current state when something has.

use domain::breaker::BreakerState;

use crate::breakers::{StoredBreaker, Swap};

/// How a change of a breaker ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Transition {
    /// The state needs no change.
    Unneeded,
    /// The next state is written.
    Written {
        /// The state before it.
        before: BreakerState,
    },
    /// Other writers were faster each time. They recorded an equal or newer state.
    LostRaces,
}

/// Writes one transition of a breaker, on the condition that the stored state is still the one it starts from.
pub trait WriteBreaker {
    /// The error of a write that fails. A lost race is none.
    type Error;

    /// Writes `next` in the place of `breaker`.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn write(
        &self,
        breaker: &StoredBreaker,
        next: BreakerState,
    ) -> impl Future<Output = Result<Swap, Self::Error>> + Send;
}

/// Changes `breaker` to what `next` makes of its state, with at most `tries` writes. Afterwards `breaker` is as it was stored last.
///
/// # Errors
/// The error of the first write that fails.
pub async fn change_breaker<W: WriteBreaker>(
    breaker: &mut StoredBreaker,
    tries: usize,
    next: impl Fn(&BreakerState) -> Option<BreakerState>,
    writer: &W,
) -> Result<Transition, W::Error> {
    for _ in 0..tries {
        let Some(next) = next(&breaker.state) else {
            return Ok(Transition::Unneeded);
        };
        match writer.write(breaker, next).await? {
            Swap::Won(written) => {
                let before = std::mem::replace(breaker, written).state;
                return Ok(Transition::Written { before });
            }
            Swap::Lost(current) => *breaker = current,
        }
    }
    Ok(Transition::LostRaces)
}
