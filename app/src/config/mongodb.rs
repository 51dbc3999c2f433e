//! What only MongoDB destinations have: the mode.

use super::destination::Kind;
use super::reader::Section;
use super::webhook::refuse;
use laneway_egress::EgressPolicy;
use laneway_mongodb::{Mode, MongoConfig};
use std::time::Duration;

const MODES: [(&str, Mode); 2] = [("insert", Mode::Insert), ("upsert", Mode::Upsert)];

/// Reads the settings of a MongoDB destination; `None` if it is none, or with mistakes.
pub(super) fn read(
    section: &mut Section<'_, '_>,
    kind: Option<Kind>,
    url: &str,
    timeout: Duration,
    egress: &EgressPolicy,
) -> Option<MongoConfig> {
    let mode = section.choice("mode", Mode::Insert, &MODES);
    match kind? {
        Kind::Mongo => {
            MongoConfig::parse(url, mode, timeout, egress).map_err(|what| section.problem("url", what.to_string())).ok()
        }
        Kind::Webhook => {
            refuse(section, &["mode"], "webhook");
            None
        }
        Kind::Console => {
            refuse(section, &["mode"], "console:");
            None
        }
    }
}
