//! What the configuration file wants of the registry.

use super::stored::Stored;
use crate::config::DestinationConfig;
use laneway_domain::{Edit, Origin, Registered};

/// The settings that the registry keeps of a destination of the file. Its secrets stay in the processes that have the
/// file.
#[must_use]
pub fn settings_of_file(config: &DestinationConfig) -> Box<str> {
    Stored::of_file(config).text()
}

/// The change that makes the registry's record of a destination what the file says.
#[must_use]
pub fn put_of_file(config: &DestinationConfig, before: Option<&Registered>, adopt: bool) -> Edit {
    let target = |stored: &Stored| stored.settings.get("url").cloned();
    let now = Stored::of_file(config);
    let settings = now.text();
    // Of most, the settings are what they were; then they need not be read.
    let differing = before.filter(|record| record.settings != settings);
    let moved = differing.is_some_and(|record| Stored::of(record).map_or(true, |was| target(&was) != target(&now)));
    Edit::Put { origin: Origin::File, settings, filter: config.destination.filters.current.clone(), moved, adopt }
}
