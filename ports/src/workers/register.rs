//! The register of a store that lives in one process.

use super::{MAX_REPORT_BYTES, Present};
use crate::{StoreError, WorkerId};
use laneway_domain::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// What [`super::Workers`] promises, as plain data: for stores that one process has to itself.
#[derive(Clone, Debug, Default)]
pub struct Register(BTreeMap<WorkerId, Entry>);

#[derive(Clone, Debug)]
struct Entry {
    until: Timestamp,
    report: String,
}

impl Register {
    /// See [`super::Workers::announce`].
    pub fn announce(&mut self, worker: &WorkerId, ttl: Duration, now: Timestamp) -> Vec<WorkerId> {
        self.expire(now);
        let until = now.after(ttl);
        self.0
            .entry(worker.clone())
            .and_modify(|entry| entry.until = until)
            .or_insert_with(|| Entry { until, report: String::new() });
        self.0.keys().cloned().collect()
    }

    /// See [`super::Workers::report`].
    ///
    /// # Errors
    /// If it is too large.
    pub fn report(&mut self, worker: &WorkerId, report: String) -> Result<(), StoreError> {
        if report.len() > MAX_REPORT_BYTES {
            let (bytes, most) = (report.len(), MAX_REPORT_BYTES);
            return Err(StoreError::refused(format!(
                "a report of {bytes} bytes is more than the {most} that are kept"
            )));
        }
        if let Some(entry) = self.0.get_mut(worker) {
            entry.report = report;
        }
        Ok(())
    }

    /// See [`super::Workers::leave`].
    pub fn leave(&mut self, worker: &WorkerId) {
        self.0.remove(worker);
    }

    /// See [`super::Workers::present`].
    pub fn present(&mut self, now: Timestamp) -> Vec<Present> {
        self.expire(now);
        let present =
            |(worker, entry): (&WorkerId, &Entry)| Present { worker: worker.clone(), report: entry.report.clone() };
        self.0.iter().map(present).collect()
    }

    fn expire(&mut self, now: Timestamp) {
        self.0.retain(|_, entry| entry.until > now);
    }
}
