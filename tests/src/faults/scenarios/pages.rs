//! Flipped bytes in the pages of a store.

use crate::faults::page_damage::{Came, Original, PAGE};
use crate::faults::table::Row;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;

/// A flipped byte in every page, round after round while `times` lasts; fewer times are spread over the pages.
pub(super) async fn damaged(times: usize) -> Row {
    let original = Original::make().await;
    let seed: u64 = rand::random();
    println!("seed {seed}, {} pages", original.pages());
    let mut random = StdRng::seed_from_u64(seed);
    let mut row = Row { fault: "a flipped byte in a page (SQLite)".into(), injected: times, ..Row::default() };
    row.events = original.stored.len();
    let mut came: BTreeMap<&str, usize> = BTreeMap::new();
    let pages = original.pages();
    let rounds = (times as u64).div_ceil(pages);
    for n in 0..times as u64 {
        let page = if rounds > 1 { n % pages } else { n * pages / times as u64 };
        let (at, flip) = (page * PAGE + random.random_range(0..PAGE), random.random_range(1..=255));
        let kind = match original.damaged(at, flip).await {
            Came::Harmless => "without effect",
            Came::Refused => "refused at start",
            Came::Reported { missing: 0 } => "reported, all delivered",
            Came::Reported { .. } => "reported, the rest delivered",
            Came::Wrong(what) => {
                row.wrong.push(format!("byte {at} (page {page}) xor {flip:#x}: {what}"));
                "wrong"
            }
        };
        *came.entry(kind).or_default() += 1;
    }
    let counts: Vec<String> = came.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    row.note = format!("{pages} pages: {}", counts.join(", "));
    row
}
