//! What runs beside the HTTP side and the worker. Each is watched: one that ended unheard would be missed days later,
//! when what it does was not done.

use futures_util::future::select_all;
use std::future::pending;
use tokio::task::JoinHandle;

/// Tasks that go on for as long as the process does.
#[derive(Default)]
pub(super) struct Tasks(Vec<Task>);

struct Task {
    handle: JoinHandle<()>,
    /// What is said when it has ended.
    gone: &'static str,
    /// Whether it may be through, and only a panic is worth saying.
    may_end: bool,
}

impl Tasks {
    /// One that never ends by itself; `gone` says what is so when it has.
    pub(super) fn watch(&mut self, gone: &'static str, handle: JoinHandle<()>) {
        self.0.push(Task { handle, gone, may_end: false });
    }

    /// One that ends by itself when it has nothing to do any more.
    pub(super) fn watch_for_panics(&mut self, gone: &'static str, handle: JoinHandle<()>) {
        self.0.push(Task { handle, gone, may_end: true });
    }

    /// Resolves when one has ended that should not have, with what to say of that. Nothing is lost when it is dropped.
    pub(super) async fn ended(&mut self) -> &'static str {
        while !self.0.is_empty() {
            let (result, nth, _) = select_all(self.0.iter_mut().map(|task| &mut task.handle)).await;
            let task = self.0.swap_remove(nth);
            if result.is_err() || !task.may_end {
                return task.gone;
            }
        }
        pending().await
    }

    /// Ends all of them.
    pub(super) fn abort(&self) {
        self.0.iter().for_each(|task| task.handle.abort());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[tokio::test]
    async fn one_that_ends_is_named_and_one_that_may_end_only_when_it_panics() {
        let mut tasks = Tasks::default();
        assert!(tasks.ended().now_or_never().is_none());
        tasks.watch("goes on", tokio::spawn(pending()));
        tasks.watch_for_panics("is through", tokio::spawn(async {}));
        tokio::task::yield_now().await;
        assert!(tasks.ended().now_or_never().is_none(), "the one that is left goes on");
        tasks.watch_for_panics("has panicked", tokio::spawn(async { panic!("as a defect does") }));
        assert_eq!(tasks.ended().await, "has panicked");
        tasks.watch("has panicked too", tokio::spawn(async { panic!("as a defect does") }));
        assert_eq!(tasks.ended().await, "has panicked too");
        tasks.watch("is gone", tokio::spawn(async {}));
        assert_eq!(tasks.ended().await, "is gone");
        tasks.abort();
        assert_eq!(tasks.ended().await, "goes on");
    }
}
