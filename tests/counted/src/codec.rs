//! An event into an entry of the Redis store's log, and back.

use crate::sample;
use laneway_domain::{Offset, Partition, Timestamp};

/// The store's own file, which needs nothing else of its crate: with that would come a client of Redis, which takes
/// long to build and has no part in this. (The formatter is to leave it alone: it would look for the file's tests below
/// this folder.)
#[rustfmt::skip]
#[path = "../../../adapters/redis/src/codec.rs"]
#[allow(dead_code, reason = "the store uses more of it")]
mod redis;

/// The versions of entries that all live processes read.
const NEWEST: u8 = redis::READS[1];

pub(crate) fn run(events: usize) -> usize {
    let partition = Partition(3);
    let at = Timestamp::from_millis(1_769_860_800_000);
    let came_back = |n: &usize| {
        let event = sample::event(*n);
        let entry = redis::encode(partition, at, &event, NEWEST).expect("it can be written");
        let logged = redis::decode(partition, Offset(*n as u64), &entry, NEWEST).expect("it can be read");
        logged.event == event && logged.accepted_at == at
    };
    (0..events).filter(came_back).count()
}
