//! A process that may have few files open, and destinations that would take all of them.

use crate::faults::site::{PATIENT, Site};
use crate::faults::table::Row;
use crate::receiver::{Behaviour, Receiver};
use crate::server::webhook;
use std::time::Duration;

/// As few that 20 destinations with their defaults (64 attempts at once each) want several times as many.
const FILES: &str = "ulimit -n 300; exec \"$0\" \"$@\"";
/// Destinations beside the one that is watched.
const OTHERS: usize = 19;
/// Events between two looks.
const EVENTS: usize = 60;

/// All files are wanted by attempts at slow receivers, while events come in and operators look.
pub(super) async fn exhausted(times: usize) -> Row {
    let fault = "300 files, and 20 destinations that want 1,280 connections";
    // Some thousand events at each of 20 destinations, over fewer than 100 connections, come to an end in a minute.
    let slow = || Behaviour::slow(Duration::from_millis(100));
    let other = Receiver::start(slow(), 2).await;
    let watched = Receiver::start(slow(), 1).await;
    let others: Vec<String> = (0..OTHERS).map(|n| webhook(&format!("other-{n}"), &other.url(), PATIENT)).collect();
    let mut site = Site::among(watched, "", "", &others);
    let server = site.installation.start_under(&["sh", "-c", FILES], &[]).await;
    let mut load = site.load();
    let mut wrong = Vec::new();
    for _ in 0..times {
        load.more(EVENTS).await;
        for path in ["/healthz", "/v1/status"] {
            match server.client().get(path).await {
                Ok(answer) if answer.status == 200 => {}
                Ok(answer) => wrong.push(format!("{path} was answered with {} {}", answer.status, answer.text())),
                Err(error) => wrong.push(format!("{path} had no answer: {error}")),
            }
        }
    }
    let sending = load.stop().await;
    for n in 0..OTHERS {
        server.client().settled(&format!("other-{n}")).await;
    }
    let said = site.installation.stderr();
    for (text, what) in [
        ("the destination is down", "a breaker opened, though every receiver is well"),
        ("Too many open files", "the process ran out of files"),
    ] {
        if let Some(line) = said.lines().find(|line| line.contains(text)) {
            wrong.push(format!("{what}: {line}"));
        }
    }
    let mut row = site.finish(fault, times, server, sending).await;
    row.wrong.extend(wrong);
    row.note = "health and status are answered; no event is given up, no breaker opens".into();
    row
}
