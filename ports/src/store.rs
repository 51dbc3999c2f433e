//! All that one store offers.

use crate::{DeadLetters, EventLog, HistoryStore, ProgressStore};

/// One store behind all four of its ports: a commit copies events from its log into its dead
/// letters, it tells the history, and a trim looks at its progress, so that one thing must be all four.
pub trait Store: EventLog + ProgressStore + DeadLetters + HistoryStore {}

impl<T: EventLog + ProgressStore + DeadLetters + HistoryStore + ?Sized> Store for T {}
