//! Until when what is delivered of a partition may be sent.

use super::Clock;
use async_trait::async_trait;
use laneway_domain::Timestamp;
use laneway_ports::Leave;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::time::sleep_until;

/// The end of a lease, by this worker's own clock: it need not reach the store to know that it may not go on. All
/// attempts of the partition share it, and it moves on with each renewal.
#[derive(Debug)]
pub(super) struct LeaseEnd {
    /// In milliseconds since the Unix epoch.
    at: AtomicU64,
    clock: Clock,
}

impl LeaseEnd {
    pub(super) fn new(at: Timestamp, clock: Clock) -> Self {
        Self { at: AtomicU64::new(at.as_millis()), clock }
    }

    /// The lease was prolonged.
    pub(super) fn renewed(&self, until: Timestamp) {
        self.at.fetch_max(until.as_millis(), Ordering::Relaxed);
    }

    fn at(&self) -> Timestamp {
        Timestamp::from_millis(self.at.load(Ordering::Relaxed))
    }
}

#[async_trait]
impl Leave for LeaseEnd {
    fn holds(&self) -> bool {
        self.clock.now() < self.at()
    }

    async fn ended(&self) {
        // It may have been renewed meanwhile.
        while self.holds() {
            sleep_until(self.clock.instant(self.at())).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::time::Duration;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn a_lease_ends_when_its_time_is_over_and_later_if_it_is_renewed() {
        let clock = Clock::starting_at(Timestamp::from_millis(1_000));
        let lease = Arc::new(LeaseEnd::new(Timestamp::from_millis(4_000), clock));
        let begun = Instant::now();
        let ended = tokio::spawn({
            let lease = Arc::clone(&lease);
            async move {
                lease.ended().await;
                begun.elapsed()
            }
        });
        tokio::time::sleep(Duration::from_millis(2_999)).await;
        assert!(lease.holds());
        lease.renewed(Timestamp::from_millis(6_000));
        // One that was asked for earlier, and is heard of later.
        lease.renewed(Timestamp::from_millis(5_000));
        assert_eq!(ended.await.unwrap(), Duration::from_millis(5_000));
        assert!(!lease.holds());
        lease.ended().await;
        lease.renewed(Timestamp::from_millis(7_000));
        assert!(lease.holds(), "who could not reach the store for a while, and still has the lease, goes on");
    }
}
