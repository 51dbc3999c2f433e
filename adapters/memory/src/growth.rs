//! Where a partition's log ends, or the registry of destinations, for whoever waits until it grows.
//!
//! Tokio's `watch` would do, but wakes its receivers in a random order, and a simulation's seed must
//! decide that too: a `Notify` wakes in the order of waiting.

use laneway_domain::Offset;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Notify;

/// One partition's end, or the registry's last revision.
#[derive(Default)]
pub(crate) struct Growth {
    end: AtomicU64,
    moved: Notify,
}

impl Growth {
    /// The log ends here now.
    pub(crate) fn announce(&self, end: Offset) {
        if self.end.swap(end.0, Ordering::SeqCst) != end.0 {
            self.moved.notify_waiters();
        }
    }

    /// Whoever waits shall look again whether it still may.
    pub(crate) fn interrupt(&self) {
        self.moved.notify_waiters();
    }

    /// Waits until the end is beyond `seen`. `look` comes before every look at the end; its error
    /// ends the wait.
    pub(crate) async fn beyond<E>(&self, seen: Offset, look: impl Fn() -> Result<(), E>) -> Result<Offset, E> {
        loop {
            // Made before the look: it hears of what moves after it.
            let moved = self.moved.notified();
            look()?;
            let end = Offset(self.end.load(Ordering::SeqCst));
            if end > seen {
                return Ok(end);
            }
            moved.await;
        }
    }
}
