//! The sinks that the destinations ask for.

use crate::config::Config;
use laneway_domain::DestinationName;
use laneway_ports::Sink;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The sink of each destination.
pub(super) type Sinks = BTreeMap<DestinationName, Arc<dyn Sink>>;

/// One for each destination.
pub(super) fn all(config: &Config) -> Result<Sinks, String> {
    let one = |(name, sink): (&DestinationName, Result<Arc<dyn Sink>, String>)| match sink {
        Ok(sink) => Ok((name.clone(), sink)),
        Err(what) => Err(format!("destination {name}: {what}")),
    };
    let named = config.destinations.iter().map(|d| (&d.destination.name, d.sink.build(&d.destination.name)));
    named.map(one).collect()
}
