//! The sinks that the destinations ask for.

use crate::config::{Config, SinkConfig};
use laneway_console::ConsoleSink;
use laneway_domain::DestinationName;
use laneway_mongodb::MongoSink;
use laneway_ports::Sink;
use laneway_webhook::WebhookSink;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The sink of each destination.
pub(super) type Sinks = BTreeMap<DestinationName, Arc<dyn Sink>>;

/// One for each destination.
pub(super) fn all(config: &Config) -> Result<Sinks, String> {
    let mut sinks = Sinks::new();
    for destination in &config.destinations {
        let name = destination.destination.name.clone();
        let sink = one(&name, &destination.sink).map_err(|what| format!("destination {name}: {what}"))?;
        sinks.insert(name, sink);
    }
    Ok(sinks)
}

fn one(name: &DestinationName, config: &SinkConfig) -> Result<Arc<dyn Sink>, String> {
    Ok(match config {
        SinkConfig::Console => Arc::new(ConsoleSink::new(name.clone())),
        SinkConfig::Webhook(webhook) => Arc::new(WebhookSink::new((**webhook).clone()).map_err(|e| e.to_string())?),
        SinkConfig::Mongo(mongo) => Arc::new(MongoSink::new((**mongo).clone()).map_err(|e| e.to_string())?),
    })
}
