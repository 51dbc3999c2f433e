//! The last hour of the numbers, in memory and bounded: for the small plots. Nothing here knows of pages.

use crate::snapshot::{Row, Snapshot};
use laneway_domain::{DestinationName, RECENTLY};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// How often the numbers are noted.
pub(crate) const EVERY: Duration = Duration::from_secs(30);
/// How many of them are kept: an hour.
pub(crate) const KEPT: usize = 120;
/// Of how many destinations they are kept, each in 2.4 KiB. Where there are more, those that need a person come first.
const MOST: usize = 2_000;

/// Some numbers at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Noted {
    /// Events that waited.
    pub(crate) pending: u32,
    /// Deliveries a second.
    pub(crate) rate: f32,
    /// Blocked keys.
    pub(crate) blocked: u32,
    /// Dead letters.
    pub(crate) dead: u32,
}

impl Noted {
    fn new(pending: u64, delivered_recently: u64, blocked: u64, dead: u64) -> Self {
        let narrow = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        #[allow(clippy::cast_precision_loss, reason = "it is drawn 50 pixels high")]
        let rate = delivered_recently as f32 / RECENTLY.as_secs_f32();
        Self { pending: narrow(pending), rate, blocked: narrow(blocked), dead: narrow(dead) }
    }

    fn of(row: &Row) -> Self {
        let status = &row.status;
        Self::new(status.pending, status.delivered_recently, status.blocked_keys, row.dead_letters)
    }
}

/// What was noted, the oldest first. `None`: nothing was.
pub(crate) type Series = Vec<Option<Noted>>;

/// The least that is drawn: 5 minutes. What is shorter would look like more than it is.
const LEAST: usize = 11;

/// The part of what was noted that there is anything of, and for how long that is.
pub(crate) fn known(series: &[Option<Noted>]) -> (&[Option<Noted>], Duration) {
    let first = series.iter().position(Option::is_some).unwrap_or(series.len());
    let known = &series[first.min(series.len().saturating_sub(LEAST))..];
    (known, EVERY * u32::try_from(known.len().saturating_sub(1)).unwrap_or(0))
}

/// A ring of [`KEPT`] places, which all destinations share the beginning of.
#[derive(Clone, Debug)]
struct Ring(Box<[Option<Noted>; KEPT]>);

impl Ring {
    fn new() -> Self {
        Self(Box::new([None; KEPT]))
    }

    /// From the place after `at`, all around.
    fn series(&self, at: usize) -> Series {
        (1..=KEPT).map(|after| self.0[(at + after) % KEPT]).collect()
    }
}

/// The last hour.
#[derive(Clone, Debug)]
pub(crate) struct Hour {
    /// The place that was written last.
    at: usize,
    totals: Ring,
    of: HashMap<DestinationName, Ring>,
}

impl Hour {
    pub(crate) fn new() -> Self {
        Self { at: 0, totals: Ring::new(), of: HashMap::new() }
    }

    /// Nothing could be found out this time.
    pub(crate) fn skip(&mut self) {
        self.at = (self.at + 1) % KEPT;
        self.totals.0[self.at] = None;
        for ring in self.of.values_mut() {
            ring.0[self.at] = None;
        }
    }

    /// Notes the numbers of now.
    pub(crate) fn note(&mut self, snapshot: &Arc<Snapshot>) {
        self.skip();
        let totals = &snapshot.totals;
        let all = Noted::new(totals.pending, totals.delivered_recently, totals.blocked_keys, totals.dead_letters);
        self.totals.0[self.at] = Some(all);
        let mut before = std::mem::take(&mut self.of);
        for row in snapshot.rows.iter().take(MOST) {
            let mut ring = before.remove(&row.status.name).unwrap_or_else(Ring::new);
            ring.0[self.at] = Some(Noted::of(row));
            self.of.insert(row.status.name.clone(), ring);
        }
    }

    /// Of all destinations together.
    pub(crate) fn totals(&self) -> Series {
        self.totals.series(self.at)
    }

    /// Of one, if it is one of those that are kept.
    pub(crate) fn of(&self, name: &DestinationName) -> Option<Series> {
        Some(self.of.get(name)?.series(self.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use laneway_domain::{DestinationStatus, StatusReport};
    use std::collections::BTreeMap;

    fn name(number: usize) -> DestinationName {
        DestinationName::new(&format!("d{number:05}")).unwrap()
    }

    fn snapshot(count: usize, pending: u64) -> Arc<Snapshot> {
        let of = |number| DestinationStatus {
            pending,
            delivered_recently: 5,
            ..DestinationStatus::idle(name(number), true)
        };
        let destinations = (0..count).map(of).collect();
        Arc::new(Snapshot::of(StatusReport { destinations, ..StatusReport::default() }, BTreeMap::new()))
    }

    fn pending(series: &Series) -> Vec<Option<u32>> {
        series.iter().map(|noted| noted.map(|noted| noted.pending)).collect()
    }

    #[test]
    fn an_hour_is_kept_and_what_is_older_is_forgotten() {
        let mut hour = Hour::new();
        assert_eq!(pending(&hour.totals()), [None; KEPT]);
        for number in 0..200 {
            hour.note(&snapshot(2, number));
        }
        let totals = pending(&hour.totals());
        assert_eq!((totals.len(), totals[0], totals[KEPT - 1]), (KEPT, Some(160), Some(398)));
        assert_eq!(pending(&hour.of(&name(1)).unwrap())[KEPT - 1], Some(199));
        assert_eq!(hour.totals()[KEPT - 1].unwrap().rate, 1.0);
        hour.skip();
        assert_eq!(pending(&hour.totals())[KEPT - 2..], [Some(398), None]);
    }

    #[test]
    fn who_comes_later_begins_with_nothing_and_who_goes_is_forgotten() {
        let mut hour = Hour::new();
        hour.note(&snapshot(1, 1));
        hour.note(&snapshot(2, 2));
        assert_eq!(pending(&hour.of(&name(0)).unwrap())[KEPT - 2..], [Some(1), Some(2)]);
        assert_eq!(pending(&hour.of(&name(1)).unwrap())[KEPT - 2..], [None, Some(2)]);
        hour.note(&snapshot(1, 3));
        assert!(hour.of(&name(1)).is_none());
    }

    #[test]
    fn what_there_is_nothing_of_is_not_drawn() {
        let mut hour = Hour::new();
        for _ in 0..3 {
            hour.note(&snapshot(1, 1));
        }
        let series = hour.totals();
        let (drawn, since) = known(&series);
        assert_eq!((drawn.len(), since, drawn.iter().flatten().count()), (LEAST, Duration::from_secs(300), 3));
        for _ in 0..57 {
            hour.note(&snapshot(1, 1));
        }
        assert_eq!(known(&hour.totals()).1, Duration::from_secs(59 * 30));
        assert_eq!(known(&[]).1, Duration::ZERO);
    }

    #[test]
    fn it_is_bounded_whatever_there_is() {
        let mut hour = Hour::new();
        hour.note(&snapshot(MOST + 500, 1));
        assert_eq!(hour.of.len(), MOST);
        assert!(hour.of(&name(MOST)).is_none());
        let bytes = size_of::<[Option<Noted>; KEPT]>();
        assert!(bytes <= 2_400, "{bytes}");
    }
}
