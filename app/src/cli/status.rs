//! `laneway status`: what every destination is doing.

use super::args::StatusArgs;
use super::client::Client;
use super::table::{Align, Table, ago, until};
use super::{Failure, output};
use laneway_domain::{BlockedKey, BreakerStatus, Partition, Timestamp};
use laneway_http::wire::{DestinationView, Status};
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::time::Duration;

const PATH: &str = "/v1/status";
/// How often `--watch` looks again.
const INTERVAL: Duration = Duration::from_secs(1);
/// To the upper left corner; then, after the text, clear what is below.
const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K\n";
const CLEAR_BELOW: &str = "\x1b[J";
const CLEAR_ALL: &str = "\x1b[2J";

/// Prints the status once, or every second.
pub(super) async fn run(client: &Client, args: &StatusArgs) -> Result<(), Failure> {
    if !args.watch {
        return output::print(&page(client, args).await?);
    }
    let redraws = std::io::stdout().is_terminal() && !args.json;
    if redraws {
        output::print(CLEAR_ALL)?;
    }
    let mut clock = tokio::time::interval(INTERVAL);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        // A server that restarts is what one watches for: its absence is shown, and ends nothing.
        let text = match page(client, args).await {
            Ok(text) => text,
            Err(failure) if args.json => {
                output::note(&failure.to_string());
                continue;
            }
            Err(failure) => format!("{failure}\n"),
        };
        if redraws {
            output::print(&format!("{HOME}{}{CLEAR_BELOW}", text.replace('\n', CLEAR_LINE)))?;
        } else if args.json {
            output::print(&text)?;
        } else {
            output::print(&format!("{text}\n"))?;
        }
    }
}

async fn page(client: &Client, args: &StatusArgs) -> Result<String, Failure> {
    if args.json {
        let body = client.get_raw(PATH).await?;
        return Ok(format!("{}\n", String::from_utf8_lossy(&body).trim_end()));
    }
    let status: Status = client.get(PATH).await?;
    Ok(render(&status, args.keys))
}

/// The status as tables.
pub(super) fn render(status: &Status, keys: bool) -> String {
    let mut table = Table::new(&[
        ("DESTINATION", Align::Left),
        ("PENDING", Align::Right),
        ("IN FLIGHT", Align::Right),
        ("BLOCKED KEYS", Align::Right),
        ("DEAD LETTERS", Align::Right),
        ("OLDEST FAILURE", Align::Right),
        ("STATE", Align::Left),
    ]);
    for destination in &status.destinations {
        table.row(destination_row(status.at, destination));
    }
    for (name, count) in &status.other_dead_letters {
        let empty = || "-".to_owned();
        let state = "forgotten, with dead letters left".to_owned();
        table.row(vec![name.to_string(), empty(), empty(), empty(), count.to_string(), empty(), state]);
    }
    let mut text = table.render();
    if !status.workers.is_empty() {
        text.push('\n');
        text.push_str(&workers(status));
    }
    if keys {
        text.push('\n');
        text.push_str(&blocked_keys(status));
    }
    for what in &status.incomplete {
        let _ = writeln!(text, "incomplete: {what}");
    }
    text
}

/// Who works on what.
fn workers(status: &Status) -> String {
    let mut table = Table::new(&[("WORKER", Align::Left), ("PARTITIONS", Align::Right), ("WHICH", Align::Left)]);
    for worker in &status.workers {
        let (count, which) = (worker.partitions.len().to_string(), ranges(&worker.partitions));
        table.row(vec![worker.worker.clone(), count, which]);
    }
    table.render()
}

/// `0-3, 7`
fn ranges(partitions: &[Partition]) -> String {
    let mut sorted: Vec<u32> = partitions.iter().map(|partition| partition.0).collect();
    sorted.sort_unstable();
    let runs = sorted.chunk_by(|a, b| a.checked_add(1) == Some(*b));
    let written = runs.filter_map(|run| match run {
        [one] => Some(one.to_string()),
        [first, .., last] => Some(format!("{first}-{last}")),
        [] => None,
    });
    written.collect::<Vec<_>>().join(", ")
}

fn destination_row(now: Timestamp, view: &DestinationView) -> Vec<String> {
    let status = &view.status;
    // While a lane reads behind the others it counts what it has yet to look at, wanted or not.
    let about = if status.pending_exact { "" } else { "≤ " };
    let oldest = status.blocked.iter().map(|key| key.since).min();
    vec![
        status.name.to_string(),
        format!("{about}{}", status.pending),
        status.in_flight.to_string(),
        status.blocked_keys.to_string(),
        view.dead_letters.to_string(),
        oldest.map_or_else(|| "-".to_owned(), |since| ago(now, since)),
        state(now, view),
    ]
}

fn state(now: Timestamp, view: &DestinationView) -> String {
    let status = &view.status;
    if let Some(reason) = &status.paused {
        return format!("paused: {reason}");
    }
    if !status.configured {
        return "not configured; `laneway destinations forget` drops it".to_owned();
    }
    match &status.breaker {
        BreakerStatus::Closed => "ok".to_owned(),
        BreakerStatus::Open { since, next_probe } => {
            format!("breaker open since {}, next probe {}", ago(now, *since), until(now, *next_probe))
        }
    }
}

fn blocked_keys(status: &Status) -> String {
    let mut table = Table::new(&[
        ("DESTINATION", Align::Left),
        ("KEY", Align::Left),
        ("PARTITION", Align::Right),
        ("OFFSET", Align::Right),
        ("ATTEMPTS", Align::Right),
        ("SINCE", Align::Right),
        ("NEXT ATTEMPT", Align::Right),
        ("LAST ERROR", Align::Left),
    ]);
    let mut unlisted = 0;
    for view in &status.destinations {
        unlisted += view.status.blocked_keys.saturating_sub(view.status.blocked.len() as u64);
        for key in &view.status.blocked {
            table.row(key_row(status.at, view, key));
        }
    }
    if table.is_empty() {
        return "no key is blocked\n".to_owned();
    }
    let mut text = table.render();
    if unlisted > 0 {
        let _ = writeln!(text, "and {unlisted} more");
    }
    text
}

fn key_row(now: Timestamp, view: &DestinationView, key: &BlockedKey) -> Vec<String> {
    vec![
        view.status.name.to_string(),
        key.key.clone(),
        key.partition.to_string(),
        key.head.to_string(),
        key.attempts.to_string(),
        ago(now, key.since),
        key.next_attempt.map_or_else(|| "held".to_owned(), |at| until(now, at)),
        key.last_error.clone(),
    ]
}
