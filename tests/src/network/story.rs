//! Everything that happened, in order: for the oracle, and for whoever reads a failure.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
    /// Laneway's worker begins an attempt.
    Began {
        /// In which of its lives.
        life: usize,
        /// At which receiver.
        to: usize,
        /// The event.
        place: Place,
        /// Which attempt of its own counting.
        attempt: u32,
    },
    /// The worker hears what became of an attempt.
    Heard {
        /// In which of its lives.
        life: usize,
        /// From which receiver.
        to: usize,
        /// The event.
        place: Place,
        /// Whether that settles the event.
        settled: bool,
        /// What it heard.
        outcome: String,
    },
    /// A receiver has got a request.
    Arrived {
        /// Which receiver.
        to: usize,
        /// What the headers say of the event's place.
        place: Place,
        /// What they say of its id.
        id: String,
        /// What they say of its key.
        key: String,
        /// Which attempt they say it is.
        attempt: u32,
        /// What is wrong with the request, if anything.
        wrong: Option<String>,
    },
    /// A receiver answers, or means to: the answer may get lost.
    Answered {
        /// Which receiver.
        to: usize,
        /// The event.
        place: Place,
        /// With what.
        status: u16,
        /// Whether the event took effect with it.
        effect: bool,
    },
}

/// The lines so far. Clones are the same story.
#[derive(Clone, Default)]
pub struct Story {
    lines: Arc<Mutex<Vec<(Duration, What)>>>,
    time: Time,
}

impl Story {
    pub(super) fn new(time: Time) -> Self {
        Self { lines: Arc::default(), time }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Duration, What)>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn happened(&self, what: What) {
        let now = self.time.now();
        self.lock().push((now, what));
    }

    pub(super) fn text(&self, text: impl Into<String>) {
        self.happened(What::Text(text.into()));
    }

    /// All lines.
    #[must_use]
    pub fn lines(&self) -> Vec<(Duration, What)> {
        self.lock().clone()
    }

    /// How many lines.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether nothing happened.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, what) in self.lock().iter() {
            writeln!(f, "{:>9.3} {what}", at.as_secs_f64())?;
        }
        Ok(())
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
            Self::Began { life, to, place: (p, o), attempt } => {
                write!(f, "r{to} <- life {life}: {p}/{o} attempt {attempt}")
            }
            Self::Heard { life, to, place: (p, o), outcome, .. } => {
                write!(f, "r{to} -> life {life}: {p}/{o} {outcome}")
            }
            Self::Arrived { to, place: (p, o), id, key, attempt, wrong } => {
                write!(f, "r{to} has got {p}/{o} {id} ({key}) attempt {attempt}")?;
                wrong.as_ref().map_or(Ok(()), |wrong| write!(f, ", wrong: {wrong}"))
            }
            Self::Answered { to, place: (p, o), status, effect } => {
                let effect = if *effect { ", new" } else { "" };
                write!(f, "r{to} answers {p}/{o} with {status}{effect}")
            }
        }
    }
}
