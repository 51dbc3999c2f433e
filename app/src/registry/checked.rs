//! Settings of the registry, from which a destination and its sink are read again.

use crate::config::{References, SinkConfig, read_settings};
use laneway_domain::{Destination, DestinationName};
use laneway_egress::EgressPolicy;
use serde_json::{Map, Value as Json};
use std::sync::Arc;

/// Reads settings that were checked before, which may be wrong here and now all the same.
pub(super) fn read_checked(
    name: &DestinationName,
    settings: Map<String, Json>,
    egress: &EgressPolicy,
) -> (Destination, Result<Arc<dyn SinkConfig>, String>) {
    let read = read_settings(name, settings, References::Literal, egress);
    let sink = match (read.sink, read.problems.as_slice()) {
        (Some(sink), []) => Ok(sink),
        (_, problems) => {
            let all: Vec<String> = problems.iter().map(|p| format!("{} {}", p.pointer(), p.what())).collect();
            Err(format!("its settings cannot be used here: {}", all.join("; ")))
        }
    };
    (read.destination, sink)
}
