//! Waiting until a change is in force everywhere.

use super::Destinations;
use crate::worker::REPORT_EVERY;
use laneway_domain::{Cut, DestinationName, Offset, Partition, Revision};
use laneway_ports::{StoreError, TakenOver};
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
            match self.cut_in(partition, revision, last).await {
                Ok(Some(at)) => drop(taken.cuts.insert(partition, at)),
                // It follows, and where from is not to be found out any more: everything from its oldest event on.
                Ok(None) if last.is_some_and(|last| last.revision >= revision) => {}
                _ => taken.pending.push(partition),
            }
        }
        Ok(())
    }

    /// From where on a partition judges by `revision`, whose last cut is `last`. `None` if it does not yet, or if
    /// nothing is left in its log that was judged before.
    pub(super) async fn cut_in(
        &self,
        partition: Partition,
        revision: Revision,
        last: Option<Cut>,
    ) -> Result<Option<Offset>, StoreError> {
        match last {
            Some(last) if last.revision == revision => Ok(Some(last.at)),
            Some(last) if last.revision > revision => {
                // Later changes were taken over too. The first cut that is not below is this change's.
                let cuts = self.stores.progress.load(partition).await?.cuts;
                let earliest = cuts.iter().next().map(|cut| cut.revision);
                let cut = cuts.iter().find(|cut| cut.revision >= revision);
                // The cuts of events that were trimmed are gone, and the first that is left stands for all of them.
                let known = earliest.is_some_and(|earliest| earliest <= revision);
                Ok(cut.filter(|_| known || cuts.iter().count() == 1).map(|cut| cut.at))
            }
            _ => Ok(None),
        }
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
            // The worker of this process answers for now; the others for when they last reported.
            let alone = report.is_some_and(|report| report.workers.len() <= 1);
            let known = alone || begun.elapsed() >= REPORTS_ARE_NEW_AFTER;
            if (in_flight == Some(0) && known) || Instant::now() >= until {
                return in_flight.filter(|count| *count > 0 || known);
            }
            sleep(pause.min(until.saturating_duration_since(Instant::now()))).await;
            pause = (pause * 2).min(ASK_WORKERS_AT_MOST);
        }
    }
}
