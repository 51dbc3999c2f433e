//! Operational events on their way into the log. What is told, and when, is [`Operational`]'s decision; here it hears what
//! happens, and what it tells is appended, beside everything else: nothing waits for it.

mod fronts;
#[cfg(test)]
mod tests;

use super::Clock;
use super::handle::Change;
use crate::telemetry::metrics as names;
use bytes::Bytes;
use fronts::Fronts;
use laneway_domain::{
    Commit, Event, EventId, EventType, InvalidEvent, Key, NewEvent, Notice, OWN_SOURCE, Offset, Operational,
    OperationalEvent, Partition, PartitionProgress, StatusReport, Timestamp,
};
use laneway_ports::{EventLog, LogRecord, StoreError};
use metrics::{Counter, counter};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

/// How long an event's id is looked for in the log. Without it the rest is told.
const LOOK_WITHIN: Duration = Duration::from_secs(1);
/// How long what is still to be told at a shutdown may take.
const FINISH_WITHIN: Duration = Duration::from_secs(2);

/// What a worker tells to be told on.
#[derive(Clone)]
pub(super) struct Teller {
    shared: Arc<Shared>,
    clock: Clock,
}

struct Shared {
    machine: Mutex<Operational>,
    heard: Notify,
}

impl Teller {
    pub(super) fn new(machine: Operational, clock: Clock) -> Self {
        Self { shared: Arc::new(Shared { machine: Mutex::new(machine), heard: Notify::new() }), clock }
    }

    fn machine(&self) -> MutexGuard<'_, Operational> {
        self.shared.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, what: impl FnOnce(&mut Operational, Timestamp)) {
        what(&mut self.machine(), self.clock.now());
        self.shared.heard.notify_one();
    }

    /// Destinations have come, changed or gone.
    pub(super) fn changed(&self, change: &Change) {
        self.hear(|machine, now| {
            for present in &change.destinations.present {
                machine.destination(&present.name, Some(&present.filters.current));
            }
            for gone in change.destinations.left.iter().chain(&change.destinations.deleted) {
                machine.destination(gone, None);
            }
            for changed in &change.told {
                machine.changed(changed, now);
            }
        });
    }

    pub(super) fn notice(&self, notice: &Notice) {
        let tells = matches!(
            notice,
            Notice::BreakerOpened { .. } | Notice::BreakerClosed { .. } | Notice::GivenUp { held: false, .. }
        );
        if tells {
            self.hear(|machine, now| machine.notice(notice, now));
        }
    }

    pub(super) fn claimed(&self, partition: Partition, progress: &PartitionProgress, losses: &[Range<Offset>]) {
        self.hear(|machine, now| machine.claimed(partition, progress, losses, now));
    }

    pub(super) fn lost(&self, partition: Partition) {
        self.hear(|machine, _| machine.lost(partition));
    }

    pub(super) fn committed(&self, partition: Partition, commit: &Commit) {
        self.hear(|machine, now| machine.committed(partition, commit, now));
    }

    /// Whether it looks for blocked keys in a status.
    pub(super) fn wants_keys(&self) -> bool {
        self.machine().is_asked_for()
    }

    pub(super) fn status(&self, report: &StatusReport) {
        self.hear(|machine, _| machine.status(report));
    }
}

/// Whether a commit has something that may be told.
fn may_be_told(commit: &Commit) -> bool {
    let in_lanes = commit.lanes.values().any(|change| change.paused.is_some() || change.expiry.is_some());
    in_lanes || !commit.dead_letters.is_empty() || !commit.quarantined.is_empty()
}

/// Appends what is told.
pub(super) struct Appender {
    teller: Teller,
    log: Arc<dyn EventLog>,
    fronts: Fronts,
    appended: Counter,
    dropped: Counter,
}

impl Appender {
    pub(super) fn new(teller: Teller, log: Arc<dyn EventLog>) -> Self {
        let (appended, dropped) = (counter!(names::OPERATIONAL_EVENTS), counter!(names::OPERATIONAL_DROPPED));
        Self { teller, log, fronts: Fronts::default(), appended, dropped }
    }

    /// Appends until `worker` has ended, and then what is still to be told, within a short time.
    pub(super) async fn beside(mut self, worker: impl Future<Output = ()>) {
        tokio::pin!(worker);
        tokio::select! {
            biased;
            () = &mut worker => {}
            () = self.run(false) => {}
        }
        if timeout(FINISH_WITHIN, self.run(true)).await.is_err() {
            tracing::warn!("operational events that were to be told at the end could not be appended, and are lost");
        }
    }

    /// Appends what there is, and what comes, or until nothing is left. Nothing is lost when it is dropped.
    async fn run(&mut self, to_the_end: bool) {
        let shared = self.teller.shared.clone();
        loop {
            let heard = shared.heard.notified();
            let (next, wakeup) = {
                let mut machine = self.teller.machine();
                self.dropped.increment(machine.take_dropped());
                (machine.poll(self.teller.clock.now()), machine.next_wakeup())
            };
            if let Some(event) = next {
                self.take(event);
            } else if let Some((partition, event)) = self.fronts.due(Instant::now()) {
                self.append(partition, event).await;
            } else if to_the_end && self.fronts.is_empty() {
                return;
            } else {
                let at = self.teller.clock.instant(wakeup.unwrap_or(Timestamp::MAX));
                let at = self.fronts.next().map_or(at, |again| again.min(at));
                tokio::select! {
                    () = heard => {}
                    () = sleep_until(at) => {}
                }
            }
        }
    }

    /// Puts an event behind the others of its partition.
    fn take(&mut self, told: OperationalEvent) {
        let taken = match event_of(&told) {
            Ok(event) => {
                let partition = Partition::of(event.event.ordered_by(), self.log.partitions());
                self.fronts.push(partition, told, Instant::now())
            }
            Err(why) => {
                tracing::error!(id = told.id, %why, "an operational event cannot be written; please report this");
                false
            }
        };
        self.dropped.increment(u64::from(!taken));
    }

    /// Appends the first event of a partition, if that takes it now. The same id again changes nothing.
    async fn append(&mut self, partition: Partition, mut told: OperationalEvent) {
        if !self.name_event(&mut told).await {
            return self.fronts.done(partition, Instant::now());
        }
        let answer = match event_of(&told) {
            Ok(event) => self.log.append(vec![event]).await.pop(),
            Err(why) => Some(Err(StoreError::refused(why))),
        };
        match answer.unwrap_or_else(|| Err(StoreError::unknown("the store gave no answer"))) {
            Ok(_) => {
                self.appended.increment(1);
                self.fronts.done(partition, Instant::now());
            }
            Err(error @ StoreError::Refused { .. }) => {
                tracing::warn!(id = told.id, %error, "an operational event was refused by the store, and is lost");
                self.dropped.increment(1);
                self.fronts.done(partition, Instant::now());
            }
            Err(error) => {
                tracing::debug!(id = told.id, %error, "an operational event could not be appended; trying again");
                self.fronts.failed(partition, Instant::now());
            }
        }
    }

    /// Finds out which event it is about, where only its place is known. `false`: that is an operational event, about
    /// whose delivery nothing is told.
    async fn name_event(&self, told: &mut OperationalEvent) -> bool {
        let Some(about) = told.facts.event.as_mut().filter(|about| about.id.is_none()) else { return true };
        let read = timeout(LOOK_WITHIN, self.log.read(about.partition, about.offset, 1, 1)).await;
        let Ok(Ok(chunk)) = read else { return true };
        if let Some(LogRecord::Event(logged)) = chunk.records.first()
            && logged.offset == about.offset
        {
            about.id = Some(logged.event.id.as_str().into());
            about.event_type = Some(logged.event.event_type.as_str().into());
            return !logged.event.is_operational();
        }
        true
    }
}

fn event_of(told: &OperationalEvent) -> Result<NewEvent, String> {
    let wrong = |error: InvalidEvent| error.to_string();
    let data = serde_json::to_vec(&told.facts).map_err(|error| error.to_string())?;
    let (id, event_type) = (EventId::new(&told.id).map_err(wrong)?, EventType::new(told.event_type).map_err(wrong)?);
    let key = told.facts.destination.as_ref().map(|name| Key::new(name.as_str())).transpose().map_err(wrong)?;
    let millis = i64::try_from(told.at.as_millis()).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_millisecond(millis).ok().map(|time| time.to_string().into());
    let (tenant, source) = (told.tenant(), Some(OWN_SOURCE.into()));
    let event = Event { tenant, key, source, time, ..Event::new(id, event_type, Bytes::from(data)) };
    Ok(NewEvent { event: event.check().map_err(wrong)?, id_given: true })
}

/// The commits that are being stored, as far as something may be told of them.
#[derive(Default)]
pub(super) struct Committing(BTreeMap<Partition, Arc<Commit>>);

impl Committing {
    pub(super) fn begin(&mut self, partition: Partition, commit: &Arc<Commit>) {
        if may_be_told(commit) {
            self.0.insert(partition, commit.clone());
        }
    }

    /// It is stored.
    pub(super) fn stored(&mut self, partition: Partition) -> Option<Arc<Commit>> {
        self.0.remove(&partition)
    }
}
