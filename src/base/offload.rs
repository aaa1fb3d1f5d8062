//! Work beside the workers: what would keep a worker from its other
//! connections is done by the threads of another runtime, and the worker
//! awaits the result.

use std::future::Future;
use std::panic;

use tokio::runtime::Handle;
use tokio::task::{AbortHandle, JoinHandle};

/// Where such work is done. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Offload(Handle);

/// Nobody waits any longer: the work ends where it stands, as it would if it
/// were awaited in place.
struct EndsWithItsWaiter(AbortHandle);

impl Drop for EndsWithItsWaiter {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Offload {
    pub const fn to(runtime: Handle) -> Self {
        Self(runtime)
    }

    /// Two changes of threads, some ten microseconds: not for what takes
    /// less. A panic of the work is one of whoever waits for it.
    pub async fn run<T, F>(&self, work: F) -> T
    where
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let task = self.0.spawn(work);
        let _ends = EndsWithItsWaiter(task.abort_handle());
        result(task).await
    }

    /// As [`Offload::run`], for what must come to its end even if nobody
    /// waits for it any longer. Begins with the first poll.
    pub async fn finish<T, F>(&self, work: F) -> T
    where
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        result(self.0.spawn(work)).await
    }
}

async fn result<T>(task: JoinHandle<T>) -> T {
    match task.await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => panic::resume_unwind(panic),
            // That runtime is gone, and with it the process.
            Err(_) => std::future::pending().await,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use futures_util::FutureExt;
    use tokio::runtime::{Builder, Runtime};
    use tokio::sync::Notify;

    use super::*;

    fn beside() -> (Runtime, Offload) {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("beside")
            .build()
            .unwrap();
        let offload = Offload::to(runtime.handle().clone());
        (runtime, offload)
    }

    fn here() -> Runtime {
        Builder::new_current_thread().enable_all().build().unwrap()
    }

    #[test]
    fn work_is_done_on_the_other_runtime() {
        let (_runtime, offload) = beside();
        let name = async { std::thread::current().name().map(str::to_owned) };
        let name = here().block_on(offload.run(name));
        assert_eq!(name.as_deref(), Some("beside"));
    }

    struct Ended(Arc<Notify>);

    impl Drop for Ended {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }

    #[test]
    fn work_comes_to_its_end_where_it_must() {
        let (_runtime, offload) = beside();
        here().block_on(async {
            let (go_on, ended) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
            let (goes_on, guard) = (go_on.clone(), ended.clone());
            let work = offload.finish(async move {
                goes_on.notified().await;
                guard.notify_one();
            });
            assert!(Box::pin(work).now_or_never().is_none());
            go_on.notify_one();
            tokio::time::timeout(Duration::from_secs(10), ended.notified())
                .await
                .expect("the work ended early");
        });
    }

    #[test]
    fn work_ends_when_nobody_waits_for_it() {
        let (_runtime, offload) = beside();
        here().block_on(async {
            let ended = Arc::new(Notify::new());
            let guard = Ended(ended.clone());
            let endless = offload.run(async move {
                let _guard = guard;
                std::future::pending::<()>().await;
            });
            assert!(Box::pin(endless).now_or_never().is_none());
            tokio::time::timeout(Duration::from_secs(10), ended.notified())
                .await
                .expect("the work goes on");
        });
    }

    #[test]
    fn a_panic_is_one_of_whoever_waits() {
        let (_runtime, offload) = beside();
        let waits = offload.run(async { panic!("of the work") });
        let caught: Result<(), _> = here().block_on(panic::AssertUnwindSafe(waits).catch_unwind());
        assert!(caught.is_err());
    }
}
