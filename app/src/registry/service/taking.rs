//! Waiting until a change is in force everywhere.

use super::Destinations;
use crate::worker::REPORT_EVERY;
use laneway_domain::{Cuts, DestinationName, Offset, Partition, Revision, StatusReport};
use laneway_ports::{StoreError, TakenOver, WorkerId};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often the partitions are asked whether they have taken a change over.
const ASK_EVERY: Duration = Duration::from_millis(25);
/// How often the workers are asked what is in flight, at first; each time it doubles, up to [`ASK_WORKERS_AT_MOST`].
/// Their whole status is more than a number.
const ASK_WORKERS: Duration = Duration::from_millis(50);
const ASK_WORKERS_AT_MOST: Duration = Duration::from_millis(500);
/// What another process says of itself may be as old as this: only then is it after the change.
const REPORTS_ARE_NEW_AFTER: Duration = REPORT_EVERY.saturating_add(Duration::from_millis(500));

/// A partition's cuts, and where its log began when they were read.
pub(super) struct KnownCuts {
    cuts: Cuts,
    start: Offset,
}

impl KnownCuts {
    /// From where on the partition judges by `revision`, if that is known.
    pub(super) fn of(&self, revision: Revision) -> Option<Offset> {
        self.cuts.cut_of(revision, self.start)
    }
}

/// Whether a report tells all that is in flight after a change, if it is made so long after it.
fn is_known(report: &StatusReport, own: Option<&WorkerId>, after: Duration) -> bool {
    // The worker of this process answers for now; the others for when they last reported.
    let of_now = own.is_some_and(|own| report.workers.iter().all(|status| status.worker == own.0));
    (of_now || after >= REPORTS_ARE_NEW_AFTER) && !report.lacks_numbers
}

impl Destinations {
    /// Waits until every partition follows `revision`, and until nothing is in flight at `settling`; not beyond `until`.
    pub(super) async fn await_taken(
        &self,
        revision: Revision,
        settling: BTreeSet<DestinationName>,
        until: Instant,
    ) -> TakenOver {
        let mut taken = TakenOver { in_flight: Some(0), pending: self.partitions(), ..TakenOver::default() };
        loop {
            if let Err(error) = self.look(revision, &mut taken).await {
                tracing::warn!(%error, "whether a change of the destinations is in force cannot be read");
            }
            if taken.pending.is_empty() || Instant::now() >= until {
                break;
            }
            sleep(ASK_EVERY).await;
        }
        if !settling.is_empty() {
            taken.in_flight = self.settled(&settling, until).await;
        }
        taken
    }

    async fn look(&self, revision: Revision, taken: &mut TakenOver) -> Result<(), StoreError> {
        let pending = std::mem::take(&mut taken.pending);
        let cuts = match self.stores.progress.taken(&pending).await {
            Ok(cuts) => cuts,
            Err(error) => {
                taken.pending = pending;
                return Err(error);
            }
        };
        for (partition, last) in pending.into_iter().zip(cuts) {
            let at = match last.filter(|last| last.revision >= revision) {
                None => {
                    taken.pending.push(partition);
                    continue;
                }
                Some(last) if last.revision == revision => Some(last.at),
                // Later changes were taken over too. It follows, wherever that began.
                Some(_) => match self.cuts(partition).await {
                    Ok(known) => known.of(revision),
                    Err(error) => {
                        tracing::warn!(%error, "the cuts of a partition cannot be read; trying again");
                        taken.pending.push(partition);
                        continue;
                    }
                },
            };
            taken.cuts.extend(at.map(|at| (partition, at)));
        }
        Ok(())
    }

    /// What is known of the partition's cuts.
    pub(super) async fn cuts(&self, partition: Partition) -> Result<KnownCuts, StoreError> {
        let cuts = self.stores.progress.cuts(partition).await?;
        let start = self.stores.log.bounds(partition).await?.start;
        Ok(KnownCuts { cuts, start })
    }

    /// How many attempts are in flight at these destinations: asked until there is none, or until then.
    async fn settled(&self, names: &BTreeSet<DestinationName>, until: Instant) -> Option<u64> {
        let (begun, mut pause) = (Instant::now(), ASK_WORKERS);
        loop {
            let report = self.workers.status().await;
            let in_flight = report.as_ref().map(|report| {
                let these = report.destinations.iter().filter(|status| names.contains(&status.name));
                these.map(|status| status.in_flight).sum::<u64>()
            });
            let known = report.is_some_and(|report| is_known(&report, self.workers.own_worker(), begun.elapsed()));
            if (in_flight == Some(0) && known) || Instant::now() >= until {
                return in_flight.filter(|count| *count > 0 || known);
            }
            sleep(pause.min(until.saturating_duration_since(Instant::now()))).await;
            pause = (pause * 2).min(ASK_WORKERS_AT_MOST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use laneway_domain::WorkerStatus;

    fn of(workers: &[&str], lacks_numbers: bool) -> StatusReport {
        let status = |worker: &&str| WorkerStatus { worker: (*worker).to_owned(), partitions: Vec::new() };
        StatusReport { workers: workers.iter().map(status).collect(), lacks_numbers, ..StatusReport::default() }
    }

    #[test]
    fn only_the_worker_of_this_process_answers_for_now() {
        let own = WorkerId("own".to_owned());
        let (soon, late) = (Duration::from_millis(50), REPORTS_ARE_NEW_AFTER);
        // What a worker says of itself names no workers.
        for workers in [&["own"][..], &[]] {
            assert!(is_known(&of(workers, false), Some(&own), soon), "{workers:?}");
        }
        for (workers, own) in [
            // An ingest, whose only worker is elsewhere, or has not reported yet.
            (&["other"][..], None),
            (&[], None),
            (&["other"], Some(&own)),
            (&["other", "own"], Some(&own)),
        ] {
            let report = of(workers, false);
            assert_eq!([soon, late].map(|after| is_known(&report, own, after)), [false, true], "{workers:?}");
        }
    }

    #[test]
    fn a_report_that_lacks_numbers_tells_nothing_for_certain() {
        let own = WorkerId("own".to_owned());
        for own in [Some(&own), None] {
            assert!(!is_known(&of(&["own"], true), own, REPORTS_ARE_NEW_AFTER));
        }
    }
}
