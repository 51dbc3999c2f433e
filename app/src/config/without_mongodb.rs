//! `mongodb:` destinations of a build that cannot have any: they are told what brings them.

use super::left_out;
use super::reader::Section;
use super::sink::{Common, Kind, SinkConfig};
use std::sync::Arc;

pub(super) const KIND: Kind =
    Kind { name: "mongodb:", schemes: &["mongodb", "mongodb+srv"], keys: &["mode", "timeout"], read };

fn read(section: &mut Section<'_, '_>, _: &Common<'_>) -> Option<Arc<dyn SinkConfig>> {
    KIND.keys.iter().for_each(|key| section.set_aside(key));
    section.problem("url", left_out("MongoDB", "mongodb"));
    None
}
