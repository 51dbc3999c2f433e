//! Everything that happened, in order: for the oracle, and for whoever reads a failure.

use super::happenings::{self, ABANDONED, DUPLICATE, LATE, REPLAYED, SEVERAL};
use crate::seeded::{self, Trace};
use laneway_domain::{DestinationName, LoggedEvent, Offset, Partition, ReplayOrder, Timestamp};
use laneway_memory::Disk;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// Who made an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct By {
    /// The process.
    pub process: usize,
    /// The epoch of the lease that the process had of the events' partition when the attempt began, or
    /// that had ended with a failover of which it had not heard; `None`: it had none.
    pub epoch: Option<u64>,
    /// Whether the process had decided on the attempt, then stood still, and began it only after.
    pub late: bool,
    /// If a replay with a selection delivers: its number.
    pub replay: Option<u64>,
}

/// Something that happened at a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// An attempt at these events started.
    Started(Vec<Arc<LoggedEvent>>),
    /// It ended, with these delivered.
    Ended(Vec<Arc<LoggedEvent>>, Vec<bool>),
    /// The process that made it died: nobody heard the answer.
    Abandoned(Vec<Arc<LoggedEvent>>),
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// For people.
    Text(Timestamp, String),
    /// For the oracle too.
    At(Timestamp, DestinationName, By, What),
    /// From here on the destination has to get everything from these offsets on again.
    Replay(Timestamp, DestinationName, BTreeMap<Partition, Offset>),
    /// All is settled, and from here on the destination has to get this once more, by a replay.
    Chosen(Timestamp, DestinationName, ReplayOrder),
}

/// Writes lines into the trace, with the disk's time. Clones write into the same one.
#[derive(Clone)]
pub(super) struct Recorder {
    trace: Trace<Line>,
    disk: Arc<Disk>,
}

impl Recorder {
    pub(super) fn new(disk: Arc<Disk>) -> Self {
        Self { trace: Trace::new(happenings::tally()), disk }
    }

    /// What was written so far.
    pub(super) const fn trace(&self) -> &Trace<Line> {
        &self.trace
    }

    /// What the processes share.
    pub(super) const fn disk(&self) -> &Arc<Disk> {
        &self.disk
    }

    pub(super) fn line(&self, text: String) {
        self.trace.push(Line::Text(self.disk.now(), text));
    }

    pub(super) fn replay(&self, destination: &DestinationName, from: BTreeMap<Partition, Offset>) {
        self.trace.push(Line::Replay(self.disk.now(), destination.clone(), from));
    }

    pub(super) fn chosen(&self, destination: &DestinationName, order: ReplayOrder) {
        self.trace.push(Line::Chosen(self.disk.now(), destination.clone(), order));
    }

    pub(super) fn at(&self, destination: &DestinationName, by: By, what: What) {
        let line = Line::At(self.disk.now(), destination.clone(), by, what);
        let mut lines = self.trace.lock();
        // What a process drops when it dies, it drops at once and in no order: here it has one, so that
        // the same seed gives the same trace.
        let place = |line: &Line| match line {
            Line::At(at, to, by, What::Abandoned(events)) => {
                let first = events.first().map(|event| (event.partition, event.offset));
                Some((*at, by.process, to.clone(), first))
            }
            _ => None,
        };
        let mut index = lines.len();
        if let Some(new) = place(&line) {
            let (at, process) = (new.0, new.1);
            while index > 0
                && let Some(other) = place(&lines[index - 1])
                && (other.0, other.1) == (at, process)
                && other > new
            {
                index -= 1;
            }
        }
        lines.insert(index, line);
    }

    /// Counts what has happened.
    pub(super) fn count(&self, what: &'static str) {
        self.trace.tally().count(what);
    }

    /// Counts, at the end, what its lines say of attempts.
    pub(super) fn count_attempts(&self) {
        let tally = self.trace.tally();
        let mut delivered = BTreeSet::new();
        for line in self.trace.lock().iter() {
            let Line::At(_, to, by, what) = line else { continue };
            match what {
                What::Started(events) => {
                    tally.add(LATE, u64::from(by.late));
                    tally.add(REPLAYED, u64::from(by.replay.is_some()));
                    tally.add(SEVERAL, u64::from(events.len() > 1));
                }
                What::Abandoned(_) => tally.count(ABANDONED),
                What::Ended(events, good) => {
                    for (event, _) in events.iter().zip(good).filter(|(_, good)| **good) {
                        let again = !delivered.insert((to.clone(), event.partition, event.offset));
                        tally.add(DUPLICATE, u64::from(again));
                    }
                }
            }
        }
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { process, epoch, late, replay } = self;
        write!(f, "process {process} ")?;
        match epoch {
            Some(epoch) => write!(f, "(epoch {epoch})")?,
            None => f.write_str("(without a lease)")?,
        }
        if let Some(number) = replay {
            write!(f, " replay {number}")?;
        }
        f.write_str(if *late { " late:" } else { ":" })
    }
}

impl seeded::Line for Line {
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |events: &[Arc<LoggedEvent>]| {
            let name = |event: &Arc<LoggedEvent>| {
                let key = event.event.key.as_ref().map_or("-", |key| key.as_str());
                let of = event.event.tenant.as_ref().map(|tenant| format!(" of {tenant}")).unwrap_or_default();
                format!("{}/{} {} ({key}{of})", event.partition, event.offset, event.event.id)
            };
            events.iter().map(name).collect::<Vec<_>>().join(", ")
        };
        match self {
            Self::Text(at, text) => write!(f, "{at} {text}"),
            Self::Replay(at, to, from) => write!(f, "{at} {to} has to get again what is from {from:?} on"),
            Self::Chosen(at, to, order) => write!(f, "{at} {to} has to get once more {order:?}"),
            Self::At(at, to, by, What::Started(events)) => write!(f, "{at} {to} <- {by} {}", names(events)),
            Self::At(at, to, by, What::Ended(events, delivered)) => {
                write!(f, "{at} {to} {by} ended {}: {delivered:?}", names(events))
            }
            Self::At(at, to, by, What::Abandoned(events)) => write!(f, "{at} {to} {by} abandoned {}", names(events)),
        }
    }
}
