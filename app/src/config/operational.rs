//! `[operational_events]`: when an operator is told what.

use super::reader::Section;
use laneway_domain::OperationalSettings;
use std::time::Duration;

/// A day: who wants to be told later does not want to be told.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Reads it.
pub(super) fn read(mut section: Section<'_, '_>) -> OperationalSettings {
    let d = OperationalSettings::default();
    let settings = OperationalSettings {
        breaker_after: section.within("breaker_after", d.breaker_after, Duration::ZERO..=DAY),
        key_blocked_after: section.within("key_blocked_after", d.key_blocked_after, Duration::ZERO..=DAY),
    };
    section.finish();
    settings
}
