//! The one place that chooses how a task of a worker starts.

use std::future::Future;

use tokio::task::AbortHandle;

use crate::config::checked::Runtime;

/// Futures of the request path are `Send`, so that both kinds of runtime run
/// the same code.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spawner {
    runtime: Runtime,
}

impl Spawner {
    pub(super) const fn new(runtime: Runtime) -> Self {
        Self { runtime }
    }

    pub(super) fn spawn<F>(self, future: F) -> AbortHandle
    where
        F: Future<Output = ()> + Send + 'static,
    {
        match self.runtime {
            Runtime::PerCore => tokio::task::spawn_local(future).abort_handle(),
            Runtime::Shared => tokio::spawn(future).abort_handle(),
        }
    }
}
