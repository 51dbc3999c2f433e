//! What is done from time to time: trimming the log, looking for dead letters to retry, warning of
//! destinations that hold the log, setting the gauges, telling other processes of this worker, and doing
//! what they tell it.

use super::deleted;
use super::handle::Listing;
use super::inbox::serve_inbox;
use super::operational::Teller;
use super::roster::{LastReport, REPORT_EVERY};
use super::{Clock, Handle};
use crate::telemetry::destinations::DestinationMetrics;
use laneway_domain::{DestinationName, DestinationStatus, Lags, Offset, Partition, StatusReport, Timestamp};
use laneway_ports::{HistoryBounds, KeptHistory, Stores};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// How often the log is trimmed and retries are looked for.
const EVERY: Duration = Duration::from_secs(1);
/// The worker is told where the logs begin every so many of these: what it can let go of then is a few bytes a change.
const STARTS_EVERY: u32 = 60;
/// Deleted destinations are let go of every so many of these, an hour: a few small reads of the store.
const DELETED_EVERY: u32 = 3600;
/// Gauges are set every so many of these: with very many destinations a status of all of them takes milliseconds.
const GAUGES_EVERY: u32 = 5;
/// By how many milliseconds the system's clock must have been set to be worth a word: ages that people choose are hours.
const CLOCK_IS_OFF: u64 = 60_000;
/// Events trimmed at a time: a short turn for the store between the writes of others.
const TRIM_CHUNK: usize = 2000;
/// Chunks per partition and turn: 50,000 events a second, more than a single store accepts.
const TRIM_CHUNKS: usize = 25;
/// Records of the history that are trimmed at a time: with [`TRIM_CHUNKS`] a partition can let go of 2,500 a second,
/// and makes some 40.
const HISTORY_CHUNK: usize = 100;
/// Dead letters to be retried that are looked up at a time, per partition.
const RETRIES: usize = 256;
/// How often that is done in a round, as long as there are more. Those of a destination that takes none now (it is
/// paused, down, or has left the configuration) stay where they are, and others' stand behind them: they are all passed
/// by.
const RETRY_PAGES: usize = 8;

/// Where a dead letter is among those of its partition.
type LetterPlace = (Offset, DestinationName);

/// The upkeep of a worker process.
pub(super) struct Upkeep {
    pub(super) stores: Stores,
    pub(super) worker: Handle,
    pub(super) clock: Clock,
    /// How long settled events are kept.
    pub(super) retain: Duration,
    pub(super) history: KeptHistory,
    pub(super) metrics: DestinationMetrics,
    pub(super) teller: Teller,
    pub(super) lags: Arc<Mutex<Lags>>,
}

impl Upkeep {
    /// Does its rounds until it is dropped.
    pub(super) async fn run(self) {
        // A long trim is no reason to be silent, or deaf.
        tokio::join!(self.rounds(), self.reports(), serve_inbox(self.stores.workers.as_ref(), &self.worker));
    }

    async fn reports(&self) {
        if !self.stores.workers.is_shared() {
            return; // Nobody could read them.
        }
        let mut rounds = interval(REPORT_EVERY);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = LastReport::default();
        loop {
            rounds.tick().await;
            if let Some(status) = self.worker.report(Listing::Keys).await {
                last.update(self.stores.workers.as_ref(), self.worker.id(), status).await;
            }
        }
    }

    async fn rounds(&self) {
        let mut rounds = interval(EVERY);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut left = Left::default();
        let mut looked_up = BTreeMap::new();
        let mut was_set = 0;
        for round in 0_u32.. {
            rounds.tick().await;
            let partitions = self.worker.partitions().await.unwrap_or_default();
            looked_up.retain(|partition, _| partitions.contains(partition));
            for partition in partitions {
                self.trim(partition).await;
                self.trim_history(partition).await;
                let from = looked_up.remove(&partition);
                looked_up.extend(self.look_for_retries(partition, from).await.map(|upto| (partition, upto)));
                if round % STARTS_EVERY == 0 {
                    self.tell_start(partition).await;
                }
            }
            if round % STARTS_EVERY == 0 {
                self.tell_clock(&mut was_set);
            }
            if round % DELETED_EVERY == 0
                && let Err(error) = deleted::forget(&self.stores).await
            {
                tracing::warn!(%error, "deleted destinations could not be let go of; trying again in an hour");
            }
            if round % GAUGES_EVERY == 0 {
                self.look_at_status(&mut left).await;
            }
        }
    }

    /// Says that the system's clock was set while this process runs, which does not follow it.
    fn tell_clock(&self, told: &mut i64) {
        let ahead = self.clock.system_is_ahead();
        if ahead.abs_diff(*told) < CLOCK_IS_OFF {
            return; // As it was when it was told of last.
        }
        *told = ahead;
        tracing::warn!(
            seconds = ahead / 1000,
            "the system's clock has been set while this process runs: it is ahead of the time that the process goes by \
             (behind it, if the number is negative). Ages, `retain`, `max_age` and the times that are told go by the \
             clock as it stood at the start: to follow it, restart the process"
        );
    }

    /// Sets the gauges, and warns of what waits for destinations that left the configuration.
    async fn look_at_status(&self, left: &mut Left) {
        let as_of = self.metrics.as_of();
        // A worker that does not answer is stopping, or in trouble that it tells of itself.
        let listing = if self.teller.wants_keys() { Listing::Keys } else { Listing::NoKeys };
        let Some(status) = self.worker.report(listing).await else { return };
        self.teller.status(&status);
        self.lags.lock().unwrap_or_else(PoisonError::into_inner).note(&status);
        for gone in left.not_told(&status) {
            tracing::warn!(
                destination = %gone.name, waiting = gone.pending,
                "not in the configuration, but events wait for it and are kept; to drop them, run: \
                 laneway destinations forget {}",
                gone.name
            );
        }
        // They are of all partitions, so that one worker tells of them: whoever has the first one. Without them the
        // other gauges are set all the same; the next look sets these.
        let tells = status.partitions.contains(&Partition(0));
        let dead_letters = if tells { self.stores.dead_letters.counts().await } else { Ok(Vec::new()) };
        let dead_letters = dead_letters.unwrap_or_default();
        self.metrics.set(as_of, &status, &dead_letters);
    }

    async fn trim(&self, partition: Partition) {
        let retain = u64::try_from(self.retain.as_millis()).unwrap_or(u64::MAX);
        let before = Timestamp::from_millis(self.clock.now().as_millis().saturating_sub(retain));
        for _ in 0..TRIM_CHUNKS {
            match self.stores.log.trim(partition, before, TRIM_CHUNK).await {
                Ok(trimmed) if trimmed >= TRIM_CHUNK => {}
                Ok(_) => return,
                Err(error) => return tracing::warn!(partition = partition.0, %error, "the log could not be trimmed"),
            }
        }
    }

    /// Keeps the history of attempts within its bounds. Each partition has an equal share of the bytes: what it has
    /// not used, none of the others may, so that no worker needs to know what others keep.
    async fn trim_history(&self, partition: Partition) {
        let max_bytes = self.history.max_bytes / u64::from(self.stores.log.partitions());
        let bounds = HistoryBounds { since: self.clock.now().before(self.history.max_age), max_bytes };
        for _ in 0..TRIM_CHUNKS {
            match self.stores.history.trim_history(partition, bounds, HISTORY_CHUNK).await {
                Ok(trimmed) if trimmed >= HISTORY_CHUNK => {}
                Ok(_) => return,
                Err(error) => {
                    return tracing::warn!(partition = partition.0, %error, "the history could not be trimmed");
                }
            }
        }
    }

    /// Whatever the worker remembers of what is trimmed it can let go of. If this fails, the next will do.
    async fn tell_start(&self, partition: Partition) {
        if let Ok(bounds) = self.stores.log.bounds(partition).await {
            self.worker.trimmed(partition, bounds.start).await;
        }
    }

    /// Tells the worker of dead letters to be retried, from behind `from` on. Returns from where the next round goes
    /// on: `None`, from the first one.
    async fn look_for_retries(&self, partition: Partition, mut from: Option<LetterPlace>) -> Option<LetterPlace> {
        for _ in 0..RETRY_PAGES {
            match self.stores.dead_letters.retry_requested(partition, from.as_ref(), RETRIES).await {
                Ok(requests) => {
                    let last = requests.last().filter(|_| requests.len() >= RETRIES);
                    from = last.map(|last| (last.offset, last.destination.clone()));
                    if !requests.is_empty() {
                        self.worker.redrive(partition, requests).await;
                    }
                }
                Err(error) => {
                    tracing::warn!(partition = partition.0, %error, "dead letters to retry could not be read");
                    return from;
                }
            }
            if from.is_none() {
                break; // That were all.
            }
        }
        from
    }
}

/// Destinations that left the configuration, as far as a warning told of them.
#[derive(Default)]
struct Left {
    told: BTreeSet<DestinationName>,
    /// The partitions of the status before.
    partitions: Vec<Partition>,
}

impl Left {
    /// Those that something waits for and nobody was told of. At a start partitions come one after
    /// the other: while they do, nothing is said, so that what is said has all that waits.
    fn not_told<'s>(&mut self, status: &'s StatusReport) -> Vec<&'s DestinationStatus> {
        if self.partitions != status.partitions {
            self.partitions.clone_from(&status.partitions);
            return Vec::new();
        }
        let waited_for = status.destinations.iter().filter(|known| !known.configured && known.pending > 0);
        waited_for.filter(|gone| self.told.insert(gone.name.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(partitions: u32, destinations: &[(&str, bool, u64)]) -> StatusReport {
        let status = |&(name, configured, pending): &(&str, bool, u64)| DestinationStatus {
            pending,
            pending_exact: false,
            ..DestinationStatus::idle(DestinationName::new(name).unwrap(), configured)
        };
        StatusReport {
            at: Timestamp::ZERO,
            partitions: (0..partitions).map(Partition).collect(),
            destinations: destinations.iter().map(status).collect(),
            ..StatusReport::default()
        }
    }

    fn told(left: &mut Left, status: &StatusReport) -> Vec<(String, u64)> {
        left.not_told(status).iter().map(|gone| (gone.name.to_string(), gone.pending)).collect()
    }

    #[test]
    fn a_destination_that_left_is_told_of_once_with_all_that_waits() {
        let mut left = Left::default();
        assert_eq!(told(&mut left, &report(3, &[("gone", false, 2)])), []);
        assert_eq!(told(&mut left, &report(8, &[("gone", false, 5)])), []);
        let all = report(8, &[("billing", true, 9), ("gone", false, 5), ("idle", false, 0)]);
        assert_eq!(told(&mut left, &all), [("gone".into(), 5)]);
        assert_eq!(told(&mut left, &all), []);
        assert_eq!(told(&mut left, &report(8, &[("gone", false, 6), ("idle", false, 1)])), [("idle".into(), 1)]);
    }
}
