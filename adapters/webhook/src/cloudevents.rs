//! What CloudEvents 1.0 wants of a single event and of one in a batch.

use laneway_domain::Timestamp;

/// The version of CloudEvents that is spoken.
pub(crate) const SPEC_VERSION: &str = "1.0";

/// `moment` as RFC 3339 writes it; `None` beyond the year 9999.
pub(crate) fn rfc3339(moment: Timestamp) -> Option<String> {
    let millis = i64::try_from(moment.as_millis()).ok()?;
    jiff::Timestamp::from_millisecond(millis).ok().map(|time| time.to_string())
}
