//! Tasks that stay on their thread.

use std::future::Future;

/// Spawns what `hyper` needs on the thread of the worker.
#[derive(Clone, Copy, Debug)]
pub struct Local;

impl<F> hyper::rt::Executor<F> for Local
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}
