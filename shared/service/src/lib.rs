//! The process of a function: what all functions need from it and may not import from each other.
//!
//! | module | contents |
//! |---|---|
//! | [`environment`] | the environment variables, their parsers and errors |
//! | [`aws`] | the AWS clients |
//! | [`clock`] | the wall clock |
//! | [`id`] | new random identifiers |
//! | [`log`] | the set-up of the log |
//! | [`metrics`] | the metrics of Spillway |
//! | [`lock`] | the locking of a mutex after a panic |

use std::sync::{Mutex, MutexGuard, PoisonError};

pub mod aws;
pub mod clock;
pub mod environment;
pub mod id;
pub mod log;
pub mod metrics;

/// Locks a mutex, also after a panic of another holder. The protected value must be consistent at every point
/// where a holder can panic.
pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mutex_is_locked_after_a_panic_of_its_holder() {
        let mutex = Mutex::new(1);
        let panicked = std::thread::scope(|scope| {
            let holder = scope.spawn(|| {
                let _held = lock(&mutex);
                panic!("a panic of the holder");
            });
            holder.join().is_err()
        });
        assert!(panicked && mutex.is_poisoned());
        assert_eq!(*lock(&mutex), 1);
    }
}
