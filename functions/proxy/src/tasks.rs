//! Work that outlives the request that began it.

use std::sync::Mutex;

use service::lock;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

/// Tasks that the proxy owns. They end before [`Tasks::drain`] returns.
#[derive(Debug, Default)]
pub(crate) struct Tasks(Mutex<JoinSet<()>>);

impl Tasks {
    /// Runs `work` apart from the caller; at once where there is no runtime.
    pub(crate) fn spawn(&self, work: impl FnOnce() + Send + 'static) {
        let Ok(runtime) = Handle::try_current() else {
            work();
            return;
        };
        let mut tasks = lock(&self.0);
        while tasks.try_join_next().is_some() {}
        tasks.spawn_on(async move { work() }, &runtime);
    }

    /// Waits for every task that was spawned before the call.
    pub(crate) async fn drain(&self) {
        let tasks = {
            let mut tasks = lock(&self.0);
            std::mem::take(&mut *tasks)
        };
        tasks.join_all().await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn drain_waits_for_every_task() {
        let (tasks, done) = (Tasks::default(), Arc::new(AtomicUsize::new(0)));
        for _ in 0..10 {
            let done = Arc::clone(&done);
            tasks.spawn(move || {
                done.fetch_add(1, Ordering::SeqCst);
            });
        }
        tasks.drain().await;
        assert_eq!(done.load(Ordering::SeqCst), 10);
    }

    #[test]
    fn task_runs_at_once_without_a_runtime() {
        let (tasks, done) = (Tasks::default(), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&done);
        tasks.spawn(move || {
            counted.fetch_add(1, Ordering::SeqCst);
        });
        assert_eq!(done.load(Ordering::SeqCst), 1);
    }
}
