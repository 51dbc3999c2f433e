//! Reads that nothing new waits for: replays that go through a log which may be long.

use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until, timeout};

/// How long a read is followed by a rest, in times of what it took: they read a quarter of the time. Without, one that went
/// through ten million records made the p99 of others six times as long.
const RESTS_PER_READ: u32 = 3;
/// A rest is no longer, however slow the store is.
const LONGEST_REST: Duration = Duration::from_millis(100);
/// A read keeps the others waiting no longer: one of a partition whose node is away must not hold up the rest.
const LONGEST_TURN: Duration = Duration::from_millis(500);

/// Lets one such read go at a time, and rests after each.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When the next one may begin.
    free_at: Mutex<Option<Instant>>,
}

impl Pace {
    /// Reads when it is its turn.
    pub(super) async fn read<T>(&self, reading: impl Future<Output = T>) -> T {
        let mut free_at = self.free_at.lock().await;
        if let Some(at) = *free_at {
            sleep_until(at).await;
        }
        let began = Instant::now();
        tokio::pin!(reading);
        let done = timeout(LONGEST_TURN, &mut reading).await;
        *free_at = Some(Instant::now() + (began.elapsed() * RESTS_PER_READ).min(LONGEST_REST));
        drop(free_at);
        match done {
            Ok(done) => done,
            Err(_) => reading.await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::join;
    use tokio::time::sleep;

    const READ: Duration = Duration::from_millis(10);

    #[tokio::test(start_paused = true)]
    async fn one_reads_at_a_time_and_a_quarter_of_it() {
        let (pace, began) = (Pace::default(), Instant::now());
        let read = || async {
            let begins = began.elapsed();
            sleep(READ).await;
            begins
        };
        let (first, second, third) = join!(pace.read(read()), pace.read(read()), pace.read(read()));
        assert_eq!([first, second, third], [Duration::ZERO, READ * 4, READ * 8]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_hangs_holds_the_others_up_for_its_turn_and_is_read_on() {
        let (pace, began) = (Pace::default(), Instant::now());
        let hangs = pace.read(async {
            sleep(LONGEST_TURN * 9).await;
            began.elapsed()
        });
        let (hung, next) = join!(hangs, pace.read(async { began.elapsed() }));
        assert_eq!((hung, next), (LONGEST_TURN * 9, LONGEST_TURN + LONGEST_REST));
    }
}
