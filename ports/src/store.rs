//! All that one store offers.

use crate::{DeadLetters, EventLog, ProgressStore};

/// One store behind all three of its ports: a commit copies events from its log into its dead
/// letters, and a trim looks at its progress, so that one thing must be all three.
pub trait Store: EventLog + ProgressStore + DeadLetters {}

impl<T: EventLog + ProgressStore + DeadLetters + ?Sized> Store for T {}
