//! Calls of the stores, each as a future that ends with what it means for the worker.

use super::ages;
use super::pace::Pace;
use super::{ANNOUNCE_EVERY, Clock, LEASE, PRESENT_FOR, RENEW_EVERY};
use futures_util::future::{BoxFuture, join_all};
use laneway_domain::{
    Commit, DestinationName, Input, Lags, LoggedEvent, Offset, Partition, PartitionProgress, Quarantined, ReadId,
    Revision, Standing, StatusReport, Timestamp,
};
use laneway_ports::{CommitError, Lease, LogRecord, MAX_REGISTRY_PAGE, StoreError, Stores, TenureEnd, WorkerId};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, sleep_until, timeout};

/// How long after the log could not be watched it is tried again, and a renewal after it failed.
const AGAIN_AFTER: Duration = Duration::from_millis(250);

/// How long an answer of the register of workers is waited for. It must not hold anything up: nothing
/// that is safe to do depends on it.
pub(super) const REGISTER_WITHIN: Duration = Duration::from_secs(1);

/// How long a status waits for the logs' ends. A store that is away must not keep an operator from seeing
/// what the worker knows.
const ENDS_WITHIN: Duration = Duration::from_secs(1);

/// How long a claimed partition waits for the worker to hear of changes that the partition follows already. It is
/// told of them within a second; the lease is long enough for as much again.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(2);

/// The stores, with the time at which they are asked.
#[derive(Clone)]
pub(super) struct Calls {
    pub(super) stores: Stores,
    pub(super) clock: Clock,
    /// How what waits has changed lately.
    pub(super) lags: Arc<Mutex<Lags>>,
    /// Of all partitions together, when what nothing new waits for is read.
    pub(super) pace: Arc<Pace>,
}

/// A partition that was claimed.
pub(super) struct Claimed {
    pub(super) lease: Lease,
    pub(super) progress: PartitionProgress,
    pub(super) log: Range<Offset>,
    /// What the store has lost of it, ever.
    pub(super) losses: Vec<Range<Offset>>,
    pub(super) until: Timestamp,
    /// Destinations that have progress there and were deleted. `None` while that is not known.
    pub(super) gone: Option<BTreeSet<DestinationName>>,
    /// Whether it was waited for the changes that the partition follows already.
    pub(super) waited: bool,
}

/// What a call has come to.
pub(super) enum Done {
    /// Who is there, this worker among them.
    Announced(Result<Vec<WorkerId>, StoreError>),
    Left,
    Claimed(Box<Claimed>),
    /// Nobody's fault, or an error: it is tried again.
    NotClaimed(Partition, Option<StoreError>),
    Renewed(Lease, Timestamp),
    NotRenewed(Lease, StoreError),
    Fenced(Lease),
    Released(Lease),
    Grew(Lease, Offset),
    NotWatched(Lease, StoreError),
    /// Where the logs end, of those that could be asked in time; and who wants to know the status.
    Ends(Vec<(Lease, Offset)>, oneshot::Sender<StatusReport>),
    Read(Input),
    NotRead(ReadId, StoreError),
    Committed(Lease, Duration),
    NotCommitted(Lease, StoreError),
}

pub(super) type Call = BoxFuture<'static, Done>;

impl Calls {
    /// Says that this worker is there: at once, or when it is time again.
    pub(super) fn announce(&self, worker: WorkerId, first: bool) -> Call {
        let workers = self.stores.workers.clone();
        Box::pin(async move {
            if !first {
                sleep(ANNOUNCE_EVERY).await;
            }
            let answer = timeout(REGISTER_WITHIN, workers.announce(&worker, PRESENT_FOR)).await;
            Done::Announced(
                answer.unwrap_or_else(|_| Err(StoreError::unknown("the register of workers does not answer"))),
            )
        })
    }

    /// Says that this worker is gone. If that fails, the others notice it later.
    pub(super) fn leave(&self, worker: WorkerId) -> Call {
        let workers = self.stores.workers.clone();
        Box::pin(async move {
            if let Ok(Err(error)) = timeout(REGISTER_WITHIN, workers.leave(&worker)).await {
                tracing::warn!(%error, "the other workers could not be told that this one stops; they notice within {PRESENT_FOR:?}");
            }
            Done::Left
        })
    }

    /// Claims a partition.
    pub(super) fn claim(&self, partition: Partition, worker: WorkerId) -> Call {
        let calls = self.clone();
        Box::pin(async move {
            match calls.try_claim(partition, &worker).await {
                Ok(Some(done)) => done,
                Ok(None) => Done::NotClaimed(partition, None),
                Err(error) => Done::NotClaimed(partition, Some(error)),
            }
        })
    }

    /// Says who had a partition before, and why it is not theirs any more. Nothing depends on it, or waits for it.
    fn tell_claim(&self, partition: Partition, worker: &WorkerId) {
        // Who does not share a store takes over from nobody.
        if !self.stores.workers.is_shared() {
            return;
        }
        let (progress, worker) = (self.stores.progress.clone(), worker.clone());
        tokio::spawn(async move {
            let tenures = progress.tenures(partition).await.unwrap_or_default();
            let before = tenures.iter().find(|tenure| tenure.ended.is_some());
            // Nobody had it, as far as is known, or this worker itself.
            let Some(before) = before.filter(|before| before.worker != worker) else { return };
            let (partition, from) = (partition.0, &before.worker);
            if before.ended == Some(TenureEnd::RanOut) {
                tracing::warn!(
                    partition, %from,
                    "a partition was taken over from a worker whose lease had run out: it died, stood still, or could \
                     not reach the store"
                );
            } else {
                tracing::info!(partition, %from, "a partition was taken over from a worker that handed it over");
            }
        });
    }

    /// Says who has a partition that was lost.
    pub(super) fn tell_loss(&self, partition: Partition) {
        let progress = self.stores.progress.clone();
        tokio::spawn(async move {
            let tenures = progress.tenures(partition).await.unwrap_or_default();
            let by = tenures.first().map_or_else(|| "not known".to_owned(), |tenure| tenure.worker.to_string());
            tracing::warn!(
                partition = partition.0,
                by,
                "another worker has taken the partition over; this one stops working on it"
            );
        });
    }

    async fn try_claim(&self, partition: Partition, worker: &WorkerId) -> Result<Option<Done>, StoreError> {
        let until = self.usable_until();
        let Some(lease) = self.stores.progress.claim(partition, worker, LEASE).await? else { return Ok(None) };
        let Stores { progress, log, .. } = &self.stores;
        let loaded = async {
            let progress = progress.load(partition).await?;
            Ok((progress, tokio::try_join!(log.bounds(partition), log.losses(partition))?))
        };
        match loaded.await {
            Ok((progress, (bounds, losses))) => {
                self.tell_claim(partition, worker);
                let log = bounds.start..bounds.end;
                let claimed = Claimed { lease, progress, log, losses, until, gone: None, waited: false };
                Ok(Some(Done::Claimed(Box::new(claimed))))
            }
            Err(error) => {
                // Another worker may have better luck. If this fails too, the lease runs out by itself.
                drop(self.stores.progress.release(&lease).await);
                Err(error)
            }
        }
    }

    /// Waits until the worker knows of all changes that a partition follows already. Where the registry has lost
    /// some, nobody will ever tell of them; then the partition is worked on all the same.
    pub(super) fn catch_up(&self, claimed: Claimed, mut known: watch::Receiver<Revision>) -> Call {
        Box::pin(async move {
            let follows = claimed.progress.cuts.revision();
            if timeout(CAUGHT_UP_WITHIN, known.wait_for(|known| *known >= follows)).await.is_err() {
                tracing::warn!(
                    partition = claimed.lease.partition.0,
                    revision = follows.0,
                    "the partition follows a change of the destinations that the registry does not have; going on without it"
                );
            }
            Done::Claimed(Box::new(Claimed { waited: true, ..claimed }))
        })
    }

    /// Finds out which of these destinations, that have progress in a partition, were deleted.
    pub(super) fn look_up(&self, claimed: Claimed, unknown: Vec<DestinationName>) -> Call {
        let calls = self.clone();
        Box::pin(async move {
            let mut gone = BTreeSet::new();
            for names in unknown.chunks(MAX_REGISTRY_PAGE) {
                match calls.stores.registry.records(names).await {
                    Ok(records) => gone.extend(
                        records.into_iter().filter(|known| known.standing == Standing::Deleted).map(|known| known.name),
                    ),
                    Err(error) => {
                        let partition = claimed.lease.partition;
                        // Another worker may have better luck. If this fails too, the lease runs out by itself.
                        drop(calls.stores.progress.release(&claimed.lease).await);
                        return Done::NotClaimed(partition, Some(error));
                    }
                }
            }
            Done::Claimed(Box::new(Claimed { gone: Some(gone), ..claimed }))
        })
    }

    /// Until when attempts may start under a lease that is asked for now. Counted from before it is
    /// asked for, so that the store's clock can only be later.
    fn usable_until(&self) -> Timestamp {
        self.clock.now().after(LEASE.saturating_sub(RENEW_EVERY))
    }

    /// When a lease that may be used until then is to be renewed: [`RENEW_EVERY`] after it was asked for, however late
    /// the answer was. A store that stands still for seconds grants what is over by then, and the partition must not
    /// wait for more.
    pub(super) fn renewal_of(until: Timestamp) -> Timestamp {
        until.before(LEASE.saturating_sub(RENEW_EVERY * 2))
    }

    /// When a renewal that failed is tried again.
    pub(super) fn renewal_again(&self) -> Timestamp {
        self.clock.now().after(AGAIN_AFTER)
    }

    /// Renews a lease when it is time.
    pub(super) fn renew(&self, lease: Lease, at: Timestamp) -> Call {
        let calls = self.clone();
        Box::pin(async move {
            sleep_until(calls.clock.instant(at)).await;
            let until = calls.usable_until();
            match calls.stores.progress.renew(&lease, LEASE).await {
                Ok(()) => Done::Renewed(lease, until),
                Err(CommitError::Fenced { .. }) => Done::Fenced(lease),
                Err(CommitError::Store(error)) => Done::NotRenewed(lease, error),
            }
        })
    }

    /// Gives a lease up. If that fails it runs out by itself.
    pub(super) fn release(&self, lease: Lease) -> Call {
        let calls = self.clone();
        Box::pin(async move {
            if let Err(error) = calls.stores.progress.release(&lease).await {
                tracing::warn!(partition = lease.partition.0, %error, "a lease could not be released; it expires by itself");
            }
            Done::Released(lease)
        })
    }

    /// Waits for the log to grow beyond `seen`.
    pub(super) fn watch(&self, lease: Lease, seen: Offset, again: bool) -> Call {
        let calls = self.clone();
        Box::pin(async move {
            if again {
                sleep(AGAIN_AFTER).await;
            }
            match calls.stores.log.grown(lease.partition, seen).await {
                Ok(end) => Done::Grew(lease, end),
                Err(error) => Done::NotWatched(lease, error),
            }
        })
    }

    /// Asks where the logs end, for a status that counts all that was accepted before it was asked for.
    pub(super) fn ends(&self, leases: Vec<Lease>, answer: oneshot::Sender<StatusReport>) -> Call {
        let log = self.stores.log.clone();
        Box::pin(async move {
            let end = async |lease: Lease| {
                let bounds = timeout(ENDS_WITHIN, log.bounds(lease.partition)).await.ok()?.ok()?;
                Some((lease, bounds.end))
            };
            let ends = join_all(leases.into_iter().map(end)).await;
            Done::Ends(ends.into_iter().flatten().collect(), answer)
        })
    }

    /// Finds out how old what waits is, and answers with the report: in a task of its own, since a report of very many
    /// destinations takes a while.
    pub(super) fn answer(&self, mut report: StatusReport, answers: Vec<oneshot::Sender<StatusReport>>) {
        let (log, lags) = (self.stores.log.clone(), self.lags.clone());
        tokio::spawn(async move {
            lags.lock().unwrap_or_else(PoisonError::into_inner).tell(&mut report);
            let report = ages::looked_up(&*log, report).await;
            for answer in answers {
                // Whoever asked may have gone; then nobody misses the answer.
                let _ = answer.send(report.clone());
            }
        });
    }

    pub(super) fn read(&self, read: ReadId, partition: Partition, from: Offset, most: usize, bytes: usize) -> Call {
        let calls = self.clone();
        Box::pin(async move {
            match calls.stores.log.read(partition, from, most, bytes).await {
                Ok(chunk) => {
                    let (events, corrupt) = sort(chunk.records);
                    Done::Read(Input::Read { read, events, corrupt, next: chunk.next })
                }
                Err(error) => Done::NotRead(read, error),
            }
        })
    }

    /// The same of something that nothing new waits for.
    pub(super) fn read_unhurried(
        &self,
        read: ReadId,
        partition: Partition,
        from: Offset,
        most: usize,
        bytes: usize,
    ) -> Call {
        let (reading, pace) = (self.read(read, partition, from, most, bytes), self.pace.clone());
        Box::pin(async move { pace.read(reading).await })
    }

    /// Asks where a log ends.
    pub(super) fn read_end(&self, read: ReadId, partition: Partition) -> Call {
        let log = self.stores.log.clone();
        Box::pin(async move {
            match log.bounds(partition).await {
                Ok(bounds) => Done::Read(Input::EndRead { read, end: bounds.end }),
                Err(error) => Done::NotRead(read, error),
            }
        })
    }

    pub(super) fn read_dead_letter(
        &self,
        read: ReadId,
        partition: Partition,
        offset: Offset,
        destination: DestinationName,
    ) -> Call {
        let calls = self.clone();
        Box::pin(async move {
            match calls.stores.dead_letters.event(partition, offset, &destination).await {
                Ok(event) => Done::Read(Input::DeadLetterRead { read, event: event.map(Arc::new) }),
                Err(StoreError::Refused { what }) => Done::Read(Input::DeadLetterUnreadable { read, why: what.into() }),
                Err(error) => Done::NotRead(read, error),
            }
        })
    }

    pub(super) fn commit(&self, lease: Lease, commit: Arc<Commit>) -> Call {
        let calls = self.clone();
        Box::pin(async move {
            let started = tokio::time::Instant::now();
            match calls.stores.progress.commit(&lease, &commit).await {
                Ok(()) => Done::Committed(lease, started.elapsed()),
                Err(CommitError::Fenced { .. }) => Done::Fenced(lease),
                Err(CommitError::Store(error)) => Done::NotCommitted(lease, error),
            }
        })
    }
}

/// Events and what cannot be read as one.
fn sort(records: Vec<LogRecord>) -> (Vec<Arc<LoggedEvent>>, Vec<Quarantined>) {
    let (mut events, mut corrupt) = (Vec::with_capacity(records.len()), Vec::new());
    for record in records {
        match record {
            LogRecord::Event(event) => events.push(event),
            LogRecord::Corrupt { offset, reason } => corrupt.push(Quarantined { offset, reason: reason.into() }),
        }
    }
    (events, corrupt)
}

#[cfg(test)]
mod tests {
    use super::*;
    use laneway_memory::{Disk, Faults, MemoryStore, Settings};
    use laneway_ports::ProgressStore as _;
    use tokio::time::Instant;

    /// Longer than a lease may be used without being renewed.
    const STANDSTILL: Duration = Duration::from_millis(4200);

    struct StandsStill;

    impl Faults for StandsStill {
        fn sync_delay(&self) -> Duration {
            STANDSTILL
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_granted_too_late_is_asked_for_again_at_once() {
        let settings = Settings { faults: Some(Arc::new(StandsStill)), ..Settings::default() };
        let store = Arc::new(MemoryStore::open(Disk::new(1), settings));
        let clock = Clock::starting_at(Timestamp::from_millis(1_000_000));
        let calls = Calls { stores: Stores::of(store.clone()), clock, lags: Arc::default(), pace: Arc::default() };
        let lease = store.claim(Partition(0), &WorkerId("w".into()), LEASE).await.unwrap().unwrap();
        let (mut until, began) = (calls.usable_until(), Instant::now());
        for renewals in 1..=3 {
            let renewed = calls.renew(lease.clone(), Calls::renewal_of(until)).await;
            let Done::Renewed(_, usable) = renewed else { panic!("it is held") };
            until = usable;
            assert!(until < calls.clock.now(), "it comes too late");
            assert_eq!(began.elapsed(), RENEW_EVERY + STANDSTILL * renewals);
        }
    }
}
