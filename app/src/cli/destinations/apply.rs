//! `laneway destinations apply`: the destinations are to be what a file says.
//!
//! The server is asked first what the file would change: it alone knows the secrets and paths that it does not show,
//! and where it may connect to. So what is printed is exact, and a mistake changes nothing.

use super::super::args::ApplyArgs;
use super::super::client::Client;
use super::super::{Failure, output};
use super::managed;
use crate::config::{Source, load_destinations};
use laneway_domain::{DestinationName, Origin};
use laneway_http::wire::{BatchAnswer, BatchChange, BatchOfChanges, BatchOp, BatchResult};
use serde_json::{Map, Value as Json};
use std::collections::BTreeSet;

/// How many changes are sent together, and how many bytes of them: within what a server takes by default.
const TOGETHER: usize = 500;
const BYTES_TOGETHER: usize = 4 << 20;
/// How many names a question names.
const NAMED: usize = 10;

pub(super) async fn run(client: &Client, args: &ApplyArgs, source: &dyn Source) -> Result<(), Failure> {
    let file = load_destinations(source, &args.file).map_err(|e| Failure::config(&e))?;
    let named: BTreeSet<_> = file.iter().map(|known| &known.destination.name).collect();
    let there = managed::all(client, None).await?;
    let gone = there.iter().filter(|record| record.origin == Origin::Api && !named.contains(&record.name));
    let gone: Vec<&DestinationName> = gone.map(|record| &record.name).collect();
    let foreign = there.iter().filter(|record| record.origin == Origin::File && !args.adopt);
    let foreign: BTreeSet<&DestinationName> = foreign.map(|record| &record.name).collect();
    let puts = file.iter().map(|known| put(&known.destination.name, known.written.read().whole(), args.adopt));
    let deletions = gone.iter().filter(|_| args.prune).map(|name| change(name, BatchOp::Delete));
    let wanted = differing(client, puts.chain(deletions).collect(), &foreign).await?;
    if !args.prune && !gone.is_empty() {
        let they_stay = match gone.len() {
            1 => "1 destination is not in the file, and stays".to_owned(),
            count => format!("{count} destinations are not in the file, and stay"),
        };
        output::note(&format!("{they_stay}; --prune deletes what the file does not name"));
    }
    if wanted.is_empty() {
        return output::say("nothing to change");
    }
    if args.dry_run {
        wanted.iter().try_for_each(|(said, _)| output::line(said))?;
        output::note("nothing was changed: this was a dry run");
        return Ok(());
    }
    if args.prune && !gone.is_empty() {
        let names: Vec<&str> = gone.iter().take(NAMED).map(|name| name.as_str()).collect();
        let dots = if gone.len() > names.len() { ", …" } else { "" };
        let question = format!(
            "Delete {} of them ({}{dots}), and drop every event that waits for them and their dead letters?",
            gone.len(),
            names.join(", ")
        );
        output::confirm(&question, args.yes)?;
    }
    make(client, wanted).await
}

fn put(name: &DestinationName, settings: Map<String, Json>, adopt: bool) -> BatchChange {
    BatchChange { settings: Some(settings), adopt, ..change(name, BatchOp::Put) }
}

fn change(name: &DestinationName, op: BatchOp) -> BatchChange {
    BatchChange {
        name: name.clone(),
        op,
        settings: None,
        reason: None,
        adopt: false,
        if_match: None,
        if_none_match: None,
    }
}

/// The changes that would change something, each with what is said of it.
///
/// # Errors
/// If one of them would be refused. Then all of those are printed, and nothing is changed.
async fn differing(
    client: &Client,
    changes: Vec<BatchChange>,
    foreign: &BTreeSet<&DestinationName>,
) -> Result<Vec<(String, BatchChange)>, Failure> {
    let (mut differing, mut refused) = (Vec::new(), 0_usize);
    for changes in parts(changes) {
        let answer = send(client, changes.clone(), true).await?;
        for (change, result) in changes.into_iter().zip(&answer.results) {
            let said = said(change.op, result);
            if result.problem.is_some() {
                let advice = "; take it out of one of the two files, or take it over with --adopt";
                output::say(&format!("{said}{}", if foreign.contains(&change.name) { advice } else { "" }))?;
                refused += 1;
            } else if result.what.is_some() {
                differing.push((said, change));
            }
        }
    }
    match refused {
        0 => Ok(differing),
        1 => Err(Failure::new("nothing was changed: one destination cannot be as the file says")),
        _ => Err(Failure::new(format!("nothing was changed: {refused} destinations cannot be as the file says"))),
    }
}

async fn make(client: &Client, wanted: Vec<(String, BatchChange)>) -> Result<(), Failure> {
    let (mut failed, mut pending) = (0_usize, false);
    for changes in parts(wanted.into_iter().map(|(_, change)| change).collect()) {
        let ops: Vec<BatchOp> = changes.iter().map(|change| change.op).collect();
        let answer = send(client, changes, false).await?;
        for (op, result) in ops.into_iter().zip(&answer.results) {
            failed += usize::from(result.problem.is_some());
            output::line(&said(op, result))?;
        }
        pending |= !answer.pending.is_empty();
    }
    if pending {
        output::note("not every partition has taken the changes over yet; laneway destinations changes NAME shows it");
    }
    match failed {
        0 => Ok(()),
        1 => Err(Failure::new("one destination could not be changed")),
        _ => Err(Failure::new(format!("{failed} destinations could not be changed"))),
    }
}

/// A line about what a change comes to.
fn said(op: BatchOp, result: &BatchResult) -> String {
    let name = &result.name;
    match (&result.problem, op) {
        (Some(problem), _) => {
            let detail = output::clean(&problem.detail);
            // Some details begin with the name.
            format!("! {name}: {}", detail.strip_prefix(&format!("{name}: ")).unwrap_or(&detail))
        }
        (None, BatchOp::Delete) => match result.dropped {
            None | Some(0) => format!("- {name}"),
            Some(1) => format!("- {name}: about 1 event that waited goes with it"),
            Some(some) => format!("- {name}: about {some} events that waited go with it"),
        },
        (None, _) => match result.what.as_deref().unwrap_or("as it was") {
            "made" => format!("+ {name}"),
            what => format!("~ {name}: {}", output::clean(what)),
        },
    }
}

/// The changes in parts that a server takes.
fn parts(changes: Vec<BatchChange>) -> Vec<Vec<BatchChange>> {
    let (mut parts, mut part, mut bytes) = (Vec::new(), Vec::new(), 0);
    for change in changes {
        let size = change.settings.as_ref().map_or(0, |settings| Json::Object(settings.clone()).to_string().len());
        if part.len() == TOGETHER || (bytes + size > BYTES_TOGETHER && !part.is_empty()) {
            parts.push(std::mem::take(&mut part));
            bytes = 0;
        }
        bytes += size;
        part.push(change);
    }
    parts.extend((!part.is_empty()).then_some(part));
    parts
}

async fn send(client: &Client, changes: Vec<BatchChange>, dry_run: bool) -> Result<BatchAnswer, Failure> {
    client.post("/v1/destinations", &BatchOfChanges { changes, dry_run }).await
}
