//! `[history]`: what attempts met, kept for people.

use super::StoreUrl;
use super::reader::Section;
use super::setting::Size;
use super::units::MAX_DURATION;
use std::time::Duration;

/// A week: who asks what became of an event mostly asks within days.
const MAX_AGE: Duration = Duration::from_secs(7 * 24 * 3600);
/// On a disk: some 15 million deliveries.
const MAX_BYTES: u64 = 1 << 30;
/// In Redis, which keeps all of it in memory: some 4 million deliveries.
const MAX_BYTES_IN_REDIS: u64 = 256 << 20;
/// Fewer would not hold what one commit may tell, in each of a few partitions.
const LEAST_BYTES: u64 = 1 << 20;

/// `[history]`: whether and how much is kept of what attempts met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    /// Whether commits tell what attempts met.
    pub enabled: bool,
    /// How long that is kept.
    pub max_age: Duration,
    /// How many bytes of it are kept, in all partitions together.
    pub max_bytes: u64,
}

impl History {
    pub(super) fn read(mut section: Section<'_, '_>, store: &StoreUrl) -> Self {
        let default = match store {
            StoreUrl::Sqlite(_) => MAX_BYTES,
            StoreUrl::Redis(_) => MAX_BYTES_IN_REDIS,
        };
        let sizes = Size(LEAST_BYTES)..=Size(1 << 40);
        let history = Self {
            enabled: section.or("enabled", true),
            max_age: section.within("max_age", MAX_AGE, Duration::from_secs(60)..=MAX_DURATION),
            max_bytes: section.within("max_bytes", Size(default), sizes).0,
        };
        section.finish();
        history
    }
}
