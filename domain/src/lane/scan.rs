//! The catch-up scan: finds the waiting events of keys behind again, when there were more than is
//! remembered or when the process was restarted. One scan serves all keys that need it.

use super::Lane;
use super::context::Context;
use super::queues::{KeyQueue, Known};
use crate::event::LoggedEvent;
use crate::lane_key::LaneKey;
use crate::partition::Offset;
use std::collections::BTreeSet;

/// A scan from the lowest offset at which the memory of a key that needs it ends, up to where the lane has
/// looked.
#[derive(Debug)]
pub(super) struct Scan {
    at: Offset,
    reading: bool,
    /// The keys it collects for: nothing of theirs between where their memory ended and `at` is
    /// unknown.
    members: BTreeSet<LaneKey>,
}

impl Lane {
    fn known_below(&self, key: &LaneKey) -> Option<Offset> {
        self.queues.get(key).and_then(KeyQueue::known_below)
    }

    /// Where the scan reads next, if one is needed and none is reading.
    pub(crate) fn next_scan(&mut self) -> Option<Offset> {
        if self.behind.scan.is_none() {
            let start = self.behind.to_scan().filter_map(|key| self.known_below(key)).min()?;
            let joins = |key: &&LaneKey| self.known_below(key).is_some_and(|offset| offset >= start);
            let members = self.behind.iter().filter(joins).cloned().collect();
            self.behind.scan = Some(Scan { at: start, reading: false, members });
        }
        let scan = self.behind.scan.as_mut().filter(|scan| !scan.reading)?;
        scan.reading = true;
        Some(scan.at)
    }

    /// From where on the scan waits for what is read, if one does.
    pub(crate) fn scans_from(&self) -> Option<Offset> {
        self.behind.scan.as_ref().filter(|scan| scan.reading).map(|scan| scan.at)
    }

    /// The scan has read these wanted events, and everything below `next`.
    pub(crate) fn scanned<'e>(
        &mut self,
        wanted: impl Iterator<Item = &'e LoggedEvent>,
        next: Offset,
        head: Offset,
        cx: &mut Context<'_>,
    ) {
        let limit = self.looked_up_to(head);
        let scan = self.behind.scan.take();
        let mut scan = scan.unwrap_or_else(|| panic!("a scan has read, and none was begun"));
        scan.reading = false;
        for event in wanted.take_while(|event| event.offset < limit) {
            self.found(event, &mut scan, cx);
        }
        scan.at = next.min(limit).max(scan.at);
        if scan.at >= limit {
            for key in std::mem::take(&mut scan.members) {
                self.all_known(&key, cx);
            }
        }
        if !scan.members.is_empty() {
            self.behind.scan = Some(scan);
        }
    }

    fn found(&mut self, event: &LoggedEvent, scan: &mut Scan, cx: &mut Context<'_>) {
        if cx.deleted_tenants.had(&event.event) {
            return; // Nobody gets it.
        }
        let key = self.ordering.key_of(event);
        if !scan.members.contains(&key) || self.known_below(&key).is_none_or(|known| event.offset < known) {
            return;
        }
        let since = self.waits_since(event);
        if self.queues.remember(&key, event.offset, since, cx) {
            // Of an event by itself there is no other.
            let is_single = matches!(key, LaneKey::Event(_));
            if is_single {
                scan.members.remove(&key);
            }
            if let Some(behind) = self.queues.known_mut(&key).behind_mut() {
                behind.known = if is_single { Known::All } else { Known::Below(event.offset.next()) };
            }
        } else {
            scan.members.remove(&key);
        }
        self.behind.needs_no_scan(&key);
        self.schedule(&key, cx);
    }

    fn all_known(&mut self, key: &LaneKey, cx: &mut Context<'_>) {
        self.behind.needs_no_scan(key);
        // It may have caught up meanwhile, and be forgotten.
        if let Some(behind) = self.queues.get_mut(key).and_then(KeyQueue::behind_mut) {
            behind.known = Known::All;
            self.schedule(key, cx);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::behind::BehindKeys;

    #[test]
    fn while_there_is_a_scan_something_is_looked_for() {
        let scan = Scan { at: Offset(1), reading: false, members: BTreeSet::new() };
        let mut behind = BehindKeys::default();
        behind.scan = Some(scan);
        assert!(behind.is_looking() && !behind.is_empty());
    }
}
