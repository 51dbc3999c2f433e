//! Operational events: what an operator wants to be told, as events in Laneway's own log.
//!
//! [`Operational`] hears what happens (notices, stored commits, changed destinations, a status now and then) and decides
//! what is told of it, and when. It is a machine without I/O like the dispatcher: after whatever it heard, what is due is
//! polled until there is none.
//!
//! - Nothing is told while no destination asks for it ([`crate::Filter::asks_for_operational`]).
//! - What is stored (a pause, a change of the registry, a dead letter) is told when it is stored, under an id that is
//!   made from it. So several workers that see it, and one that sees it again after a crash, tell the same event, and the
//!   log's memory of ids keeps one of them.
//! - Nothing is about the delivery of an operational event: a dead letter of one is not told, and of a destination that
//!   asks for such events no blocked key is, and nothing that has expired. Otherwise each would bring the next.
//! - What waits to be appended is bounded; what does not fit is dropped and counted.

mod blocked;
mod breakers;
mod changes;
mod expired;
mod letters;
mod losses;
mod pauses;
#[cfg(test)]
mod tests;
mod told;

pub use changes::ChangedDestination;
pub use told::{EventFacts, Facts, Lost, OperationalEvent};

use crate::destination::DestinationName;
use crate::event::{Event, EventId, EventType, OWN_SOURCE};
use crate::filter::Filter;
use crate::io::Notice;
use crate::partition::{Offset, Partition};
use crate::progress::{Commit, PartitionProgress, Quarantined};
use crate::status::StatusReport;
use crate::tenant::Tenant;
use crate::time::Timestamp;
use blocked::Blocked;
use breakers::Breakers;
use bytes::Bytes;
use changes::Changes;
use expired::Expired;
use letters::Letters;
use pauses::Pauses;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::time::Duration;

/// The most operational events that wait to be appended: more than a bad hour has, and some hundred bytes each.
pub const MAX_WAITING_OPERATIONAL: usize = 1000;
/// How long ago something may have become stored for it to be told by a worker that finds it in the store: a crash in
/// between is made up for, and nobody is told of what was known yesterday.
pub const TOLD_AGAIN_WITHIN: Duration = Duration::from_secs(3600);

/// When operational events are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperationalSettings {
    /// How long a breaker has to have been open before it is told.
    pub breaker_after: Duration,
    /// How long a key has to have been blocked before it is told.
    pub key_blocked_after: Duration,
}

impl Default for OperationalSettings {
    /// A minute for a breaker, since most outages are over by then; ten for a key, which fails alone.
    fn default() -> Self {
        Self { breaker_after: Duration::from_secs(60), key_blocked_after: Duration::from_secs(600) }
    }
}

/// Decides what is told. See the [module](self).
#[derive(Debug)]
pub struct Operational {
    /// The filters of the destinations that ask for operational events.
    asking: BTreeMap<DestinationName, Filter>,
    changes: Changes,
    pauses: Pauses,
    breakers: Breakers,
    letters: Letters,
    expired: Expired,
    blocked: Blocked,
    outbox: Outbox,
}

/// What is to be appended, in order.
#[derive(Debug)]
struct Outbox {
    /// Which worker tells it: what only this one knows has its name in the id.
    worker: Box<str>,
    /// Whether anybody asks for such events.
    is_asked_for: bool,
    waiting: VecDeque<OperationalEvent>,
    dropped: u64,
}

impl Outbox {
    fn push(&mut self, event: OperationalEvent) {
        if !self.is_asked_for {
            return;
        }
        if self.waiting.len() < MAX_WAITING_OPERATIONAL {
            self.waiting.push_back(event);
        } else {
            self.dropped += 1;
        }
    }
}

impl Operational {
    /// One that has heard of nothing yet, of the worker of that name.
    #[must_use]
    pub fn new(settings: OperationalSettings, worker: &str) -> Self {
        Self {
            asking: BTreeMap::new(),
            changes: Changes::default(),
            pauses: Pauses::default(),
            breakers: Breakers::new(settings.breaker_after),
            letters: Letters::default(),
            expired: Expired::default(),
            blocked: Blocked::new(settings.key_blocked_after),
            outbox: Outbox { worker: worker.into(), is_asked_for: false, waiting: VecDeque::new(), dropped: 0 },
        }
    }

    /// A destination is there with this filter, or is gone.
    pub fn destination(&mut self, name: &DestinationName, filter: Option<&Filter>) {
        match filter.filter(|filter| filter.asks_for_operational()) {
            Some(filter) => drop(self.asking.insert(name.clone(), filter.clone())),
            None => drop(self.asking.remove(name)),
        }
        self.outbox.is_asked_for = !self.asking.is_empty();
        if filter.is_none() {
            self.breakers.forget(name);
            self.letters.forget(name);
            self.expired.forget(name);
            self.pauses.forget(name);
        }
    }

    /// Whether any destination asks for any operational event.
    #[must_use]
    pub fn is_asked_for(&self) -> bool {
        !self.asking.is_empty()
    }

    /// The registry says this of a destination. To be told after [`Operational::destination`].
    pub fn changed(&mut self, change: &ChangedDestination, now: Timestamp) {
        self.changes.heard(change, now, &mut self.outbox);
    }

    /// The dispatcher has said something.
    pub fn notice(&mut self, notice: &Notice, now: Timestamp) {
        if !self.is_asked_for() {
            return;
        }
        match notice {
            Notice::BreakerOpened { destination, reason, .. } => self.breakers.opened(destination, reason, now),
            Notice::BreakerClosed { destination } => self.breakers.closed(destination, now, &mut self.outbox),
            Notice::GivenUp { partition, given_up, event, held: false } => {
                self.letters.given_up(*partition, given_up, event.as_deref());
            }
            _ => {}
        }
    }

    /// A partition was claimed: what its progress says may have been stored by a worker that did not get to tell it, and
    /// the store may have lost these of its events.
    pub fn claimed(
        &mut self,
        partition: Partition,
        progress: &PartitionProgress,
        losses: &[Range<Offset>],
        now: Timestamp,
    ) {
        self.letters.lost(partition);
        self.expired.claimed(partition, progress);
        losses::found(partition, progress, losses, now, &mut self.outbox);
        for (name, lane) in &progress.lanes {
            if let Some(pause) = &lane.paused {
                self.pauses.found(name, pause, now, &mut self.outbox);
            }
        }
    }

    /// The partition is not worked on any more.
    pub fn lost(&mut self, partition: Partition) {
        self.letters.lost(partition);
        self.expired.lost(partition);
    }

    /// A commit is stored.
    pub fn committed(&mut self, partition: Partition, commit: &Commit, now: Timestamp) {
        for (name, change) in &commit.lanes {
            match &change.paused {
                Some(Some(pause)) => {
                    // It says more than the breaker that led to it.
                    self.breakers.forget(name);
                    self.pauses.stored(name, pause, &mut self.outbox);
                }
                Some(None) => self.pauses.ended(name, now, &mut self.outbox),
                None => {}
            }
            if let Some(expiry) = &change.expiry {
                // It may be such events that it does not get.
                let is_told = !self.asking.contains_key(name);
                self.expired.stored((partition, name), expiry.expired, is_told, now, &mut self.outbox);
            }
        }
        if !self.is_asked_for() {
            return;
        }
        for given_up in &commit.dead_letters {
            let own = self.asking.contains_key(&given_up.destination);
            self.letters.stored(partition, given_up, own, now, &mut self.outbox);
        }
        for record in &commit.quarantined {
            self.outbox.push(told::unreadable(partition, record, now));
        }
    }

    /// What every destination is at, as it is asked for from time to time.
    pub fn status(&mut self, report: &StatusReport) {
        if self.is_asked_for() {
            let asking = &self.asking;
            self.breakers.look(report, &mut self.outbox);
            self.blocked.look(report, |name| asking.contains_key(name), &mut self.outbox);
        }
    }

    /// The next event to append, if there is one. What nobody wants is left out.
    pub fn poll(&mut self, now: Timestamp) -> Option<OperationalEvent> {
        self.breakers.due(now, &mut self.outbox);
        self.letters.due(now, &mut self.outbox);
        self.expired.due(now, &mut self.outbox);
        while let Some(event) = self.outbox.waiting.pop_front() {
            if self.is_wanted(&event) {
                return Some(event);
            }
        }
        None
    }

    /// When something is due, if nothing happens before.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Timestamp> {
        let windows = self.letters.next_wakeup().into_iter().chain(self.expired.next_wakeup());
        self.breakers.next_wakeup().into_iter().chain(windows).min()
    }

    /// How many events were dropped since this was asked last, because too many waited.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.outbox.dropped)
    }

    fn is_wanted(&self, event: &OperationalEvent) -> bool {
        let (Ok(id), Ok(event_type)) = (EventId::new(&event.id), EventType::new(event.event_type)) else {
            return false;
        };
        let (tenant, source) = (event.tenant(), Some(OWN_SOURCE.into()));
        let event = Event { tenant, source, ..Event::new(id, event_type, Bytes::new()) };
        self.asking.values().any(|filter| filter.wants(&event))
    }
}

impl OperationalEvent {
    fn about(event_type: &'static str, id: String, name: &DestinationName, at: Timestamp, text: String) -> Self {
        let facts = Facts { text, destination: Some(name.clone()), ..Facts::default() };
        Self { id, event_type, at, facts }
    }

    /// Whose event it is: that of the tenant whose destination it is about.
    #[must_use]
    pub fn tenant(&self) -> Option<Tenant> {
        self.facts.destination.as_ref().and_then(DestinationName::tenant)
    }
}
