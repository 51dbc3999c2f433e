//! Everything that happened, in order: for the oracle, and for whoever reads a failure.

use super::happenings;
use crate::seeded::{Line, Trace};
use laneway_domain::Timestamp;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Partition and offset.
pub type Place = (u32, u64);

/// The simulation's time, for all hosts. Each has a runtime with a clock of its own, anew after each
/// crash; this one goes on.
#[derive(Clone, Default)]
pub(super) struct Time {
    /// When the current step began, in microseconds.
    step: Arc<AtomicU64>,
}

/// How much time a step takes. Smaller is dearer, and what comes to a host waits for the next step.
pub(super) const STEP: Duration = Duration::from_millis(5);

impl Time {
    pub(super) fn step_begins(&self, at: Duration) {
        self.step.store(u64::try_from(at.as_micros()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    pub(super) fn now(&self) -> Duration {
        let step = Duration::from_micros(self.step.load(Ordering::SeqCst));
        // Where no host runs (a crash drops its tasks) there is no time within the step, or a wrong one.
        turmoil::sim_elapsed().map_or(step, |now| now.clamp(step, step + STEP))
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// For people.
    Text(String),
    /// Something that must not be, as whoever met it saw at once.
    Broken(String),
    /// Laneway starts, for the how-manieth time (from 0).
    Started(usize),
    /// A producer heard that this event is in the log.
    Accepted {
        /// The event.
        id: String,
        /// Where it is.
        place: Place,
        /// Whether it was there already.
        duplicate: bool,
        /// How many times it was sent.
        tries: u32,
    },
    /// An operator asks for a replay.
    ReplayAsked {
        /// Of which receiver.
        to: usize,
        /// Of what was accepted since then; `None`: of everything.
        since: Option<Timestamp>,
    },
    /// The operator has an answer, or no longer waits for it.
    ReplayEnded {
        /// Of which receiver.
        to: usize,
        /// Whether Laneway goes back.
        taken: bool,
        /// For people.
        said: String,
    },
    /// Laneway's worker begins an attempt, at one event or a batch.
    Began {
        /// In which of its lives.
        life: usize,
        /// At which receiver.
        to: usize,
        /// The events, and which attempt it is of each.
        events: Vec<(Place, u32)>,
    },
    /// The worker hears what became of an attempt.
    Heard {
        /// In which of its lives.
        life: usize,
        /// From which receiver.
        to: usize,
        /// The events, and whether that settles each.
        events: Vec<(Place, bool)>,
        /// What it heard of the first of them.
        outcome: String,
    },
    /// A receiver has got a request.
    Arrived {
        /// Which receiver.
        to: usize,
        /// What the request says of its events.
        events: Vec<Got>,
        /// What is wrong with it, if anything.
        wrong: Option<String>,
    },
    /// A receiver answers, or means to: the answer may get lost.
    Answered {
        /// Which receiver.
        to: usize,
        /// The events, and whether each took effect with the answer.
        events: Vec<(Place, bool)>,
        /// With what.
        status: u16,
    },
}

/// What a receiver is told of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Got {
    /// Its place.
    pub place: Place,
    /// Its id.
    pub id: String,
    /// Its key.
    pub key: String,
    /// Which attempt it is.
    pub attempt: u32,
}

/// Writes lines into the trace, with the simulation's time. Clones write into the same one.
#[derive(Clone)]
pub(super) struct Story {
    trace: Trace<Moment>,
    time: Time,
}

/// When something happened, and what.
pub type Moment = (Duration, What);

impl Story {
    pub(super) fn new(time: Time) -> Self {
        Self { trace: Trace::new(happenings::tally()), time }
    }

    /// What was written so far.
    pub(super) const fn trace(&self) -> &Trace<Moment> {
        &self.trace
    }

    pub(super) fn happened(&self, what: What) {
        self.trace.push((self.time.now(), what));
    }

    pub(super) fn text(&self, text: impl Into<String>) {
        self.happened(What::Text(text.into()));
    }

    /// Counts what has happened.
    pub(super) fn count(&self, what: &'static str) {
        self.trace.tally().count(what);
    }
}

impl Line for Moment {
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at, what) = self;
        write!(f, "{:>9.3} {what}", at.as_secs_f64())
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Broken(text) => write!(f, "broken: {text}"),
            Self::Started(life) => write!(f, "laneway starts, life {life}"),
            Self::Accepted { id, place: (p, o), duplicate, tries } => {
                let again = if *duplicate { ", a duplicate" } else { "" };
                write!(f, "accepted {id} at {p}/{o} after {tries} tries{again}")
            }
            Self::ReplayAsked { to, since } => {
                let since = since.map_or_else(|| "the beginning".to_owned(), |since| since.to_string());
                write!(f, "r{to} is to get again what was accepted since {since}")
            }
            Self::ReplayEnded { to, said, .. } => write!(f, "the replay to r{to} is {said}"),
            Self::Began { life, to, events } => {
                let events = listed(events, |((p, o), attempt)| format!("{p}/{o} attempt {attempt}"));
                write!(f, "r{to} <- life {life}: {events}")
            }
            Self::Heard { life, to, events, outcome } => {
                let events = listed(events, |((p, o), _)| format!("{p}/{o}"));
                write!(f, "r{to} -> life {life}: {events} {outcome}")
            }
            Self::Arrived { to, events, wrong } => {
                let got = |got: &Got| {
                    let Got { place: (p, o), id, key, attempt } = got;
                    format!("{p}/{o} {id} ({key}) attempt {attempt}")
                };
                write!(f, "r{to} has got {}", listed(events, got))?;
                wrong.as_ref().map_or(Ok(()), |wrong| write!(f, ", wrong: {wrong}"))
            }
            Self::Answered { to, events, status } => {
                let new = |new: bool| if new { " (new)" } else { "" };
                let events = listed(events, |((p, o), effect)| format!("{p}/{o}{}", new(*effect)));
                write!(f, "r{to} answers {events} with {status}")
            }
        }
    }
}

fn listed<T>(all: &[T], show: impl Fn(&T) -> String) -> String {
    all.iter().map(show).collect::<Vec<_>>().join(", ")
}
