//! Work beside the workers: what would keep a worker from its other
//! connections is done by the threads of another runtime, and the worker
//! awaits the result.

use std::future::Future;
use std::io;
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::{AbortHandle, JoinHandle};

/// Where such work is done. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Offload {
    runtime: Handle,
    unfinished: Arc<AtomicUsize>,
    /// Those that end with this value.
    _threads: Option<Arc<Threads>>,
}

#[derive(Debug)]
struct Threads(Option<Runtime>);

impl Drop for Threads {
    fn drop(&mut self) {
        // Dropped in place it would wait, which no worker may.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Nobody waits any longer: the work ends at its next await, as it would if
/// it were awaited in place.
struct EndsWithItsWaiter(AbortHandle);

impl Drop for EndsWithItsWaiter {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Counts work that must come to its end, until it has.
struct Unfinished(Arc<AtomicUsize>);

impl Unfinished {
    fn of(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Offload {
    pub fn to(runtime: Handle) -> Self {
        Self {
            runtime,
            unfinished: Arc::default(),
            _threads: None,
        }
    }

    /// To threads of its own, so that work which comes in floods stands
    /// before nobody else's. They end with the last clone.
    pub fn to_threads(name: &str, count: usize) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(count.max(1))
            .thread_name(name)
            .enable_all()
            .build()?;
        Ok(Self {
            runtime: runtime.handle().clone(),
            unfinished: Arc::default(),
            _threads: Some(Arc::new(Threads(Some(runtime)))),
        })
    }

    /// Two changes of threads, some ten microseconds: not for what takes
    /// less. A panic of the work is one of whoever waits for it.
    pub async fn run<T, F>(&self, work: F) -> T
    where
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let task = self.runtime.spawn(work);
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
        result(self.counted(work)).await
    }

    /// As [`Offload::finish`], with nobody who waits from the beginning.
    pub fn detach<F>(&self, work: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.counted(work);
    }

    fn counted<T, F>(&self, work: F) -> JoinHandle<T>
    where
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let unfinished = Unfinished::of(&self.unfinished);
        self.runtime.spawn(async move {
            let _unfinished = unfinished;
            work.await
        })
    }

    /// How much of [`Offload::finish`] and [`Offload::detach`] has not come
    /// to its end: of this value and its clones.
    pub fn unfinished(&self) -> usize {
        self.unfinished.load(Ordering::Relaxed)
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
    use tokio::sync::Notify;

    use super::*;

    fn beside() -> Offload {
        Offload::to_threads("beside", 1).unwrap()
    }

    fn here() -> Runtime {
        Builder::new_current_thread().enable_all().build().unwrap()
    }

    #[test]
    fn work_is_done_on_the_other_runtime() {
        let offload = beside();
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
        let offload = beside();
        here().block_on(async {
            let (go_on, ended) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
            let (goes_on, guard) = (go_on.clone(), ended.clone());
            let work = offload.finish(async move {
                goes_on.notified().await;
                guard.notify_one();
            });
            assert!(Box::pin(work).now_or_never().is_none());
            assert_eq!(offload.unfinished(), 1);
            go_on.notify_one();
            tokio::time::timeout(Duration::from_secs(10), ended.notified())
                .await
                .expect("the work ended early");
        });
    }

    #[test]
    fn work_ends_when_nobody_waits_for_it() {
        let offload = beside();
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

    #[tokio::test]
    async fn its_threads_may_end_in_a_task() {
        let offload = beside();
        drop(offload.clone());
        offload.run(async {}).await;
        drop(offload);
    }

    #[test]
    fn a_panic_is_one_of_whoever_waits() {
        let offload = beside();
        let waits = offload.run(async { panic!("of the work") });
        let caught: Result<(), _> = here().block_on(panic::AssertUnwindSafe(waits).catch_unwind());
        assert!(caught.is_err());
    }
}
