//! Whether the sinks that the file's destinations ask for can be made.

use crate::config::Config;
use laneway_domain::DestinationName;
use laneway_ports::Sink;
use std::sync::Arc;

/// Makes each once: a start that would fail leaves nothing behind.
pub(super) fn check(config: &Config) -> Result<(), String> {
    let one = |(name, sink): (&DestinationName, Result<Arc<dyn Sink>, String>)| match sink {
        Ok(_) => Ok(()),
        Err(what) => Err(format!("destination {name}: {what}")),
    };
    let mut named = config.destinations.iter().map(|d| (&d.destination.name, d.sink.build(&d.destination.name)));
    named.try_for_each(one)
}
