//! What seeded simulations are made of: one seed decides everything, what happens goes into a trace, an oracle
//! judges the trace, and a tally says what the seeds have come through.

mod chance;
pub(crate) mod plan;
mod suite;
mod tally;
mod trace;
mod troubled_store;

pub(crate) use chance::Chance;
pub use suite::{Outcome, Suite, Violation};
pub use tally::{Tally, Totals};
pub use trace::{Line, Trace};
pub(crate) use troubled_store::{OF_STORES, TroubledStore};
