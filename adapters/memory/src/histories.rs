//! The history of one partition, as a plain map.

use laneway_domain::History;
use laneway_ports::{
    HistoryBounds, HistoryPlace, HistoryRange, HistoryRecord, HistorySize, MAX_HISTORY_PAGE, decoded_history,
    encoded_history,
};
use std::collections::BTreeMap;
use std::ops::Bound;

/// A partition's history.
#[derive(Clone, Debug, Default)]
pub(crate) struct Histories(BTreeMap<HistoryPlace, Vec<u8>>);

impl Histories {
    /// Adds what a commit tells that was made under this epoch. The same again changes nothing.
    pub(crate) fn add(&mut self, epoch: u64, history: &History) {
        let place = HistoryPlace { at: history.at, epoch, number: history.number };
        self.0.entry(place).or_insert_with(|| encoded_history(history));
    }

    pub(crate) fn page(&self, range: HistoryRange, most: usize) -> Vec<HistoryRecord> {
        let most = most.min(MAX_HISTORY_PAGE);
        let record = |(place, bytes): (&HistoryPlace, &Vec<u8>)| HistoryRecord {
            place: *place,
            told: decoded_history(bytes, place.number, place.at),
        };
        match range {
            HistoryRange::Latest => self.0.iter().rev().take(most).map(record).collect(),
            HistoryRange::Before(before) => self.0.range(..before).rev().take(most).map(record).collect(),
            HistoryRange::After(after) => {
                let behind = (Bound::Excluded(after), Bound::Unbounded);
                self.0.range(behind).take(most).map(record).collect()
            }
        }
    }

    pub(crate) fn trim(&mut self, bounds: HistoryBounds, most: usize) -> usize {
        let mut gone = 0;
        while gone < most
            && let Some(first) = self.0.first_entry()
        {
            if first.key().at >= bounds.since && self.size().bytes <= bounds.max_bytes {
                break;
            }
            self.0.pop_first();
            gone += 1;
        }
        gone
    }

    pub(crate) fn size(&self) -> HistorySize {
        HistorySize { records: self.0.len() as u64, bytes: self.0.values().map(|bytes| bytes.len() as u64).sum() }
    }
}
