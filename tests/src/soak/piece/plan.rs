//! What a piece is to be, and what came of it.

use crate::soak::day::Day;
use crate::soak::flat::Verdict;
use crate::soak::site::Store;
use crate::soak::state::Choice;
use crate::soak::trouble::Trouble;
use std::path::PathBuf;
use std::time::Duration;

/// How long a piece goes on.
#[derive(Clone, Debug)]
pub enum Until {
    /// For so long.
    Time(Duration),
    /// Until these troubles were had.
    Troubles(Vec<Trouble>),
}

/// What a piece is to be.
#[derive(Clone, Debug)]
pub struct Plan {
    /// On which store.
    pub store: Store,
    /// Where its state is.
    pub folder: PathBuf,
    /// How long it goes on.
    pub until: Until,
    /// How much traffic there is.
    pub day: Day,
    /// Decides what chance decides, if this is the first piece.
    pub seed: u64,
    /// What to do with the state of a piece that did not end as it should.
    pub choice: Choice,
}

/// What came of a piece.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What must not be, in words.
    pub findings: Vec<String>,
    /// Whether memory and disk are flat.
    pub verdict: Verdict,
    /// How often the ledger was balanced, over all pieces.
    pub balanced: u64,
    /// How many events had their 202, over all pieces.
    pub events: u64,
}

impl Outcome {
    /// Whether nothing was found that must not be.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.findings.is_empty() && !matches!(self.verdict, Verdict::Grown(_))
    }
}
