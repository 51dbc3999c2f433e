//! The ledger is compared with what Laneway says.

use super::{DESTINATIONS, GLANCE, PATIENCE, Piece};
use crate::soak::ledger::Reported;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Instant;

impl Piece {
    /// Has producers pause, waits until everything has arrived, and compares the ledger with what Laneway says.
    pub(super) async fn balance(&mut self) -> Result<(), String> {
        self.traffic.pause().await;
        self.receivers.iter().for_each(|receiver| receiver.set_calm(true));
        self.book.all_arrived().await;
        let reported = self.at_rest().await;
        self.book.balance(&reported);
        for line in self.site.panics() {
            self.book.violation(line);
        }
        self.state.progress.balanced += 1;
        self.save()?;
        let ledger = self.book.ledger();
        if ledger.violations == 0 { Ok(()) } else { Err(ledger.findings().join("\n")) }
    }

    /// What Laneway says when it has nothing more to do; or when it has said for long enough that it has.
    pub(super) async fn at_rest(&self) -> BTreeMap<String, Reported> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let reported = self.reported().await;
            let rests = |reported: &Reported| reported.pending == 0 && reported.in_flight == 0;
            let at_rest = reported.len() == DESTINATIONS.len() && reported.values().all(rests);
            if at_rest || Instant::now() > deadline {
                return reported;
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// What Laneway says of each destination; nothing while a part of it cannot say anything.
    pub(super) async fn reported(&self) -> BTreeMap<String, Reported> {
        let Some(place) = self.site.places.first() else { return BTreeMap::new() };
        let Ok(answer) = place.client().get("/v1/status").await else { return BTreeMap::new() };
        let status: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        if status["incomplete"].as_array().is_some_and(|missing| !missing.is_empty()) {
            return BTreeMap::new();
        }
        let of = |destination: &Value| {
            let number = |field: &str| destination[field].as_u64();
            let (pending, in_flight, dead) = (number("pending")?, number("in_flight")?, number("dead_letters")?);
            Some((destination["name"].as_str()?.to_owned(), Reported { pending, in_flight, dead }))
        };
        status["destinations"].as_array().into_iter().flatten().filter_map(of).collect()
    }
}
