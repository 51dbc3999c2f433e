//! What all kinds of destinations have in common: a row of the table in `kinds`, and what becomes of it.

use super::reader::Section;
use laneway_domain::{Destination, DestinationName};
use laneway_egress::EgressPolicy;
use laneway_ports::Sink;
use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The longest time for one attempt. Attempts that hang longer are better tried again.
pub(super) const MAX_TIMEOUT: Duration = Duration::from_secs(3600);
/// The shortest.
const MIN_TIMEOUT: Duration = Duration::from_millis(10);

/// Where a destination sends to: checked settings, from which its sink can be made.
pub trait SinkConfig: Any + fmt::Debug + Send + Sync {
    /// Where it goes, for people: without what may be secret (user, path and query).
    fn shown(&self) -> String;

    /// Makes the sink. Connects to nothing yet.
    ///
    /// # Errors
    /// Says what keeps it from being made.
    fn build(&self, name: &DestinationName) -> Result<Arc<dyn Sink>, String>;
}

/// A kind of destination: all that the rest of Laneway knows of it.
pub(super) struct Kind {
    /// What a destination of this kind is called in messages.
    pub(super) name: &'static str,
    /// The schemes of its URLs, in lower case.
    pub(super) schemes: &'static [&'static str],
    /// Its settings, besides those that every destination has.
    pub(super) keys: &'static [&'static str],
    /// Reads these settings, each of them, whatever is wrong with the others, and notes what is wrong.
    pub(super) read: fn(&mut Section<'_, '_>, &Common<'_>) -> Option<Arc<dyn SinkConfig>>,
}

/// What a kind is given besides its own settings. There is no reader, and so no sink, without the policy
/// of the egress guard.
pub(super) struct Common<'c> {
    pub(super) url: &'c str,
    pub(super) egress: &'c EgressPolicy,
    pub(super) destination: &'c Destination,
}

/// Reads how long an attempt may take, of kinds that have a setting for it.
pub(super) fn read_timeout(section: &mut Section<'_, '_>, default: Duration) -> Duration {
    section.within("timeout", default, MIN_TIMEOUT..=MAX_TIMEOUT)
}
