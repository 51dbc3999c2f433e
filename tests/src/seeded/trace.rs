//! Everything that happened, in order: for the oracle, and for whoever reads a failure.

use super::Tally;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Something that happened, and when.
pub trait Line: Clone + PartialEq + fmt::Debug {
    /// Writes it for people.
    ///
    /// # Errors
    /// Those of `f`.
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

/// The lines so far, and how often each thing happened. Clones are the same trace.
#[derive(Debug)]
pub struct Trace<L> {
    lines: Arc<Mutex<Vec<L>>>,
    tally: Tally,
}

impl<L> Clone for Trace<L> {
    fn clone(&self) -> Self {
        Self { lines: self.lines.clone(), tally: self.tally.clone() }
    }
}

impl<L: Line> Trace<L> {
    pub(crate) fn new(tally: Tally) -> Self {
        Self { lines: Arc::default(), tally }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Vec<L>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, line: L) {
        self.lock().push(line);
    }

    /// What has happened so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.tally.clone()
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

    /// All lines.
    #[must_use]
    pub fn lines(&self) -> Vec<L> {
        self.lock().clone()
    }
}

impl<L: Line> fmt::Display for Trace<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.lock().iter() {
            line.show(f)?;
            writeln!(f)?;
        }
        Ok(())
    }
}

/// One line as text.
pub(super) struct Shown<'a, L>(pub(super) &'a L);

impl<L: Line> fmt::Display for Shown<'_, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.show(f)
    }
}
