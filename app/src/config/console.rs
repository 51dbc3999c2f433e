//! `console:` destinations.

use super::reader::Section;
use super::sink::{Common, Kind, SinkConfig};
use laneway_console::ConsoleSink;
use laneway_domain::DestinationName;
use laneway_ports::Sink;
use std::sync::Arc;

pub(super) const KIND: Kind = Kind { name: "console:", schemes: &["console"], keys: &[], read };

/// A line a delivery on standard output. It connects to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Console;

fn read(section: &mut Section<'_, '_>, common: &Common<'_>) -> Option<Arc<dyn SinkConfig>> {
    if common.url.split_once(':').is_some_and(|(_, rest)| !rest.is_empty()) {
        section.problem("url", "\"console:\" is the whole URL; nothing may follow it");
        return None;
    }
    Some(Arc::new(Console))
}

impl SinkConfig for Console {
    fn shown(&self) -> String {
        "console".to_owned()
    }

    fn build(&self, name: &DestinationName) -> Result<Arc<dyn Sink>, String> {
        Ok(Arc::new(ConsoleSink::new(name.clone())))
    }
}
