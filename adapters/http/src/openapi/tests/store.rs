//! The fields of what the store holds.

use super::fields::answers;
use crate::wire::{Drain, StoreHistory, StorePartView, StoreView};

#[test]
fn what_a_store_holds_is_said() {
    let history = StoreHistory { records: 2, bytes: 3, max_bytes: 4, max_age_seconds: 5 };
    let part = StorePartView { name: "laneway.db".to_owned(), bytes: 6, most_bytes: Some(7) };
    let full = StoreView {
        place: "sqlite:laneway.db".to_owned(),
        partitions: 8,
        events: 9,
        oldest_accepted_at: Some("2026-11-27T10:00:00Z".to_owned()),
        retain_seconds: 10,
        duplicate_window_seconds: 11,
        history: Some(history.clone()),
        parts: vec![part.clone()],
        incomplete: vec!["partition 3: away".to_owned()],
    };
    answers("StoreHistory", &history, &history);
    answers("StorePart", &part, &StorePartView { most_bytes: None, ..part.clone() });
    let least = StoreView {
        oldest_accepted_at: None,
        history: None,
        parts: Vec::new(),
        incomplete: Vec::new(),
        ..full.clone()
    };
    answers("StoreView", &full, &least);
}

#[test]
fn whether_events_are_taken_in_is_said() {
    let full =
        Drain { draining: true, since: Some("2026-11-27T10:00:00Z".to_owned()), reason: Some("a move".to_owned()) };
    answers("Drain", &full, &Drain { draining: false, since: None, reason: None });
}
