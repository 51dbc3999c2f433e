//! `mongodb:` destinations: the mode, and the time for an attempt.

use super::reader::Section;
use super::sink::{Common, Kind, SinkConfig, read_timeout};
use laneway_domain::DestinationName;
use laneway_mongodb::{DEFAULT_TIMEOUT, Mode, MongoConfig, MongoSink};
use laneway_ports::Sink;
use std::sync::Arc;

pub(super) const KIND: Kind =
    Kind { name: "mongodb:", schemes: &["mongodb", "mongodb+srv"], keys: &["mode", "timeout"], read };

const MODES: [(&str, Mode); 2] = [("insert", Mode::Insert), ("upsert", Mode::Upsert)];

fn read(section: &mut Section<'_, '_>, common: &Common<'_>) -> Option<Arc<dyn SinkConfig>> {
    let mode = section.choice("mode", Mode::Insert, &MODES);
    let timeout = read_timeout(section, DEFAULT_TIMEOUT);
    match MongoConfig::parse(common.url, mode, timeout, common.egress) {
        Ok(config) => {
            if let Some(why) = config.reads_this_machine().filter(|_| section.refuses_references()) {
                section.problem("url", format!("{why}: that is for the configuration file only"));
            }
            Some(Arc::new(config))
        }
        Err(what) => {
            section.problem("url", what.to_string());
            None
        }
    }
}

impl SinkConfig for MongoConfig {
    fn shown(&self) -> String {
        self.to_string()
    }

    fn build(&self, _: &DestinationName) -> Result<Arc<dyn Sink>, String> {
        Ok(Arc::new(MongoSink::new(self.clone()).map_err(|error| error.to_string())?))
    }
}
