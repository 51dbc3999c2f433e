//! `laneway drain`: takes nothing in, delivers what waits, and says when nothing is left.

use super::args::DrainArgs;
use super::client::Client;
use super::when::local;
use super::{Failure, output};
use crate::config::show_duration;
use laneway_domain::ReplayState;
use laneway_http::wire::{DestinationView, Drain, DrainChoice, Status};
use std::time::{Duration, Instant};

/// How often the server is asked how far it is.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often is said what is left, while it goes on.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// The most destinations of which is said what is left.
const NAMED: usize = 10;

/// Carries the command out.
pub(super) async fn run(client: &Client, args: &DrainArgs) -> Result<(), Failure> {
    if args.end {
        let _: Drain = client.delete("/v1/drain").await?;
        return output::line("events are taken in again");
    }
    let drain: Drain =
        client.put("/v1/drain", &DrainChoice { reason: args.reason.clone().unwrap_or_default() }).await?;
    let since = drain.since.as_deref().map_or_else(String::new, |since| format!(" since {}", local(since)));
    output::say(&format!("{} takes no events in{since}", client.base()))?;
    let (began, mut told) = (Instant::now(), None::<Instant>);
    // Twice in a row: a worker may hear a moment later of what was stored last.
    let mut was_empty = false;
    loop {
        let status: Status = client.get("/v1/status").await?;
        if is_empty(&status) {
            if std::mem::replace(&mut was_empty, true) {
                return output::line("nothing is left: no event waits, and none is on its way");
            }
            tokio::time::sleep(LOOK_EVERY).await;
            continue;
        }
        was_empty = false;
        if began.elapsed() >= args.timeout {
            let waited = show_duration(args.timeout);
            let failure = Failure::new(format!("after {waited} something is left: {}", left(&status)));
            return Err(failure.advising(
                "it still takes no events in; `laneway status` says why events wait, and `laneway drain --end` takes \
                 events in again",
            ));
        }
        if told.is_none_or(|at| at.elapsed() >= TELL_EVERY) {
            told = Some(Instant::now());
            output::say(&format!("left: {}", left(&status)))?;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Whether everything is known, and nothing of it waits or is on its way.
fn is_empty(status: &Status) -> bool {
    status.incomplete.is_empty() && status.destinations.iter().all(|view| !has_some(view))
}

fn has_some(view: &DestinationView) -> bool {
    let replays = view.status.replays.iter().any(|replay| replay.state() != ReplayState::Done);
    view.status.pending > 0 || view.status.in_flight > 0 || replays
}

/// Which destinations have how much left; those with the most first.
fn left(status: &Status) -> String {
    let mut waiting: Vec<_> = status.destinations.iter().filter(|view| has_some(view)).collect();
    waiting.sort_by_key(|view| std::cmp::Reverse(view.status.pending));
    let name = |view: &&DestinationView| {
        let about = view.status.pending_is().words();
        let paused = if view.status.paused.is_some() { " (paused)" } else { "" };
        format!("{} {about}{}{paused}", view.status.name, view.status.pending)
    };
    let mut names: Vec<String> = waiting.iter().take(NAMED).map(name).collect();
    if waiting.len() > NAMED {
        names.push(format!("and {} destinations more", waiting.len() - NAMED));
    }
    names.extend(status.incomplete.iter().map(|what| format!("not known: {}", output::clean(what))));
    names.join(", ")
}
