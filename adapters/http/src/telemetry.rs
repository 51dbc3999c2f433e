//! The metrics of taking events in, and of whether that can be done. Their handles are made once, from the recorder
//! that is installed at that moment.

use crate::problem::{Kind, Problem};
use http::StatusCode;
use laneway_ports::{Appended, StoreError};
use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The statuses that an ingest request can have.
const STATUSES: [u16; 18] = [202, 400, 401, 403, 404, 405, 408, 409, 412, 413, 415, 421, 422, 428, 429, 500, 501, 503];

pub(crate) struct Telemetry {
    accepted: Counter,
    duplicates: Counter,
    seconds: Histogram,
    /// `STATUSES[0]`, the one that counts.
    taken: Counter,
    by_status: Vec<(u16, Counter)>,
    by_reason: Vec<(Kind, Counter)>,
    is_ready: Gauge,
    started: Instant,
    /// The second since `started`, from 1, in which the last warning was written.
    warned: AtomicU64,
}

impl Telemetry {
    pub(crate) fn new() -> Self {
        describe_counter!("laneway_events_accepted_total", "Events stored, duplicates apart");
        describe_counter!("laneway_duplicates_total", "Events sent again and answered with the first one's place");
        describe_histogram!("laneway_ingest_seconds", "From a request's headers to its answer, the store included");
        describe_counter!("laneway_ingest_requests_total", "Requests with events, by the status of the answer");
        describe_counter!(
            "laneway_ingest_rejected_total",
            "Requests with events that were not answered 202, by reason"
        );
        describe_gauge!("laneway_ready", "1 while the process can do its work, as /readyz says");
        let status = |status: u16| counter!("laneway_ingest_requests_total", "status" => status.to_string());
        let reason = |kind: Kind| counter!("laneway_ingest_rejected_total", "reason" => kind.name());
        Self {
            accepted: counter!("laneway_events_accepted_total"),
            duplicates: counter!("laneway_duplicates_total"),
            seconds: histogram!("laneway_ingest_seconds"),
            taken: status(STATUSES[0]),
            by_status: STATUSES[1..].iter().map(|code| (*code, status(*code))).collect(),
            by_reason: Kind::ALL.iter().map(|kind| (*kind, reason(*kind))).collect(),
            is_ready: gauge!("laneway_ready"),
            started: Instant::now(),
            warned: AtomicU64::new(0),
        }
    }

    /// Whether the process can do its work now.
    pub(crate) fn ready(&self, is_ready: bool) {
        self.is_ready.set(f64::from(u8::from(is_ready)));
    }

    /// What the store made of a request's events.
    pub(crate) fn stored(&self, results: &[Result<Appended, StoreError>]) {
        let stored = results.iter().flatten().count();
        let duplicates = results.iter().flatten().filter(|appended| appended.duplicate).count();
        self.accepted.increment((stored - duplicates) as u64);
        if duplicates > 0 {
            self.duplicates.increment(duplicates as u64);
        }
    }

    /// A request was answered 202.
    pub(crate) fn answered(&self, after: Duration) {
        self.taken.increment(1);
        self.seconds.record(after);
    }

    /// A request was answered with a problem.
    pub(crate) fn rejected(&self, problem: &Problem, after: Duration) {
        self.seconds.record(after);
        let status = problem.status().as_u16();
        match self.by_status.iter().find(|(known, _)| *known == status) {
            Some((_, counter)) => counter.increment(1),
            None => tracing::warn!(status, "a status that the metrics do not know"),
        }
        if let Some((_, counter)) = self.by_reason.iter().find(|(kind, _)| *kind == problem.kind) {
            counter.increment(1);
        }
        if problem.status() >= StatusCode::INTERNAL_SERVER_ERROR && self.may_warn() {
            tracing::warn!(reason = problem.kind.name(), detail = problem.body.detail, "events were not taken");
        }
    }

    /// Once a second at most: while a store is away, every request fails.
    fn may_warn(&self) -> bool {
        let now = self.started.elapsed().as_secs() + 1;
        self.warned.fetch_max(now, Ordering::Relaxed) < now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_has_a_status_that_is_counted() {
        for kind in Kind::ALL {
            let status = Problem::new(kind, "x").status().as_u16();
            assert!(STATUSES.contains(&status), "{kind:?}: {status}");
        }
    }
}
