//! A healthy destination beside one that is not: what a crash repeats of it must not depend on the other.

use crate::faults::site::{PATIENT, Site};
use crate::faults::table::Row;
use crate::receiver::{Behaviour, Receiver};
use crate::server::webhook;
use rand::RngExt;
use std::time::Duration;

/// The destination beside the healthy one.
const BESIDE: &str = "beside";
/// The key that is in trouble there, of the two hundred that producers use.
const KEY: &str = "key-0-0";
/// Events between two kills: enough that some of them are of that key.
const EVENTS_A_LIFE: std::ops::Range<usize> = 400..1_200;
/// What a kill may repeat more than without the other destination, for the chance in when it comes. Where
/// the lanes share a position for as long as a key takes, it is as much as is delivered in that time.
const CHANCE: u64 = 25;

/// One key at the other destination takes long.
pub(super) async fn slow(times: usize) -> Row {
    killed(times, Behaviour::slow(Duration::from_millis(700)), "whose key takes 0.7 s").await
}

/// One key at the other destination is never answered.
pub(super) async fn hanging(times: usize) -> Row {
    killed(times, Behaviour::hanging(), "whose key hangs").await
}

/// `kill -9`, first of a server with the healthy destination alone, then with the other one beside it.
async fn killed(times: usize, trouble: Behaviour, what: &str) -> Row {
    let alone = Site::new("", "").await;
    let alone = kill(alone, times, "", None).await;
    let other = Receiver::start(trouble.only(KEY), 2).await;
    let healthy = Receiver::start(Behaviour::healthy(), 1).await;
    let table = webhook(BESIDE, &other.url(), &format!("{PATIENT}\ntimeout = \"3s\""));
    let site = Site::among(healthy, "", "", &[table]);
    let fault = format!("kill -9 of `laneway`, beside a destination {what} (SQLite)");
    let mut row = kill(site, times, &fault, Some(&other)).await;
    let each = |duplicates: u64| duplicates / times.max(1) as u64;
    let (before, after) = (each(alone.duplicates), each(row.duplicates));
    row.note = format!("duplicates of the healthy one: {after} a kill, {before} without the other");
    row.wrong.extend(alone.wrong);
    if after > 2 * before + CHANCE {
        row.wrong.push(format!("the other destination costs it repeats: {after} a kill instead of {before}"));
    }
    row
}

async fn kill(mut site: Site, times: usize, fault: &str, other: Option<&Receiver>) -> Row {
    let mut server = site.start().await;
    let mut load = site.load();
    for _ in 0..times {
        load.more(site.random.random_range(EVENTS_A_LIFE)).await;
        server.kill();
        server = site.start().await;
    }
    let sending = load.stop().await;
    if let Some(other) = other {
        other.behave(Behaviour::healthy());
        server.client().settled(BESIDE).await;
    }
    site.finish(fault, times, server, sending).await
}
