//! `laneway destinations apply`: the destinations are to be what a file says.

use super::super::args::ApplyArgs;
use super::super::client::Client;
use super::super::{Failure, output};
use super::managed;
use crate::config::{DestinationConfig, Source, load_destinations};
use laneway_domain::{DestinationName, Origin};
use laneway_http::wire::{BatchAnswer, BatchChange, BatchOfChanges, BatchOp, DestinationRecord};
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;

/// How many changes are sent together, and how many bytes of them: within what a server takes by default.
const TOGETHER: usize = 500;
const BYTES_TOGETHER: usize = 4 << 20;
/// The setting whose values are never shown, so that they cannot be compared.
const SECRETS: &str = "secrets";

/// What the file wants of one destination, in words and as a change.
struct Wanted {
    said: String,
    change: BatchChange,
}

pub(super) async fn run(client: &Client, args: &ApplyArgs, source: &dyn Source) -> Result<(), Failure> {
    let file = load_destinations(source, &args.file).map_err(|e| Failure::config(&e))?;
    let there = managed::all(client, None).await?;
    let there: BTreeMap<_, _> = there.iter().map(|record| (&record.name, record)).collect();
    let named: BTreeMap<_, _> = file.iter().map(|known| (&known.destination.name, known)).collect();
    let mut wanted = Vec::new();
    for known in &file {
        wanted.extend(put(known, there.get(&known.destination.name).copied(), args.adopt)?);
    }
    let gone = there.values().filter(|record| record.origin == Origin::Api && !named.contains_key(&record.name));
    let gone: Vec<&DestinationName> = gone.map(|record| &record.name).collect();
    if args.prune {
        wanted.extend(gone.iter().map(|name| delete(name)));
    } else if !gone.is_empty() {
        let (count, are) = (gone.len(), if gone.len() == 1 { "destination is" } else { "destinations are" });
        output::note(&format!("{count} {are} not in the file, and stay; --prune deletes what is not"));
    }
    if wanted.is_empty() {
        return output::line("nothing to change");
    }
    if args.dry_run {
        return wanted.iter().try_for_each(|wanted| output::line(&wanted.said));
    }
    if args.prune && !gone.is_empty() {
        let names: Vec<&str> = gone.iter().take(10).map(|name| name.as_str()).collect();
        let dots = if gone.len() > names.len() { ", …" } else { "" };
        let question = format!(
            "Delete {} of them ({}{dots}), and drop every event that waits for them and their dead letters?",
            gone.len(),
            names.join(", ")
        );
        output::confirm(&question, args.yes)?;
    }
    send(client, wanted).await
}

/// What is to be done about a destination of the file; nothing if it is so already.
fn put(known: &DestinationConfig, there: Option<&DestinationRecord>, adopt: bool) -> Result<Option<Wanted>, Failure> {
    let name = &known.destination.name;
    let said = match there {
        None => format!("+ {name}"),
        Some(record) if record.origin == Origin::File && !adopt => {
            let what = format!("{name} is defined by the server's own configuration file");
            return Err(Failure::new(what).advising("take it out of one of the two, or take it over with --adopt"));
        }
        Some(record) if record.origin == Origin::File => format!("~ {name}: taken over from the configuration file"),
        Some(record) => {
            let differing = differing(known, record);
            if differing.is_empty() {
                return Ok(None);
            }
            format!("~ {name}: {}", differing.join(", "))
        }
    };
    let adopt = there.is_some_and(|record| record.origin == Origin::File);
    let change = change(name, BatchOp::Put, Some(known.written.whole()), adopt);
    Ok(Some(Wanted { said, change }))
}

fn delete(name: &DestinationName) -> Wanted {
    Wanted { said: format!("- {name}"), change: change(name, BatchOp::Delete, None, false) }
}

fn change(name: &DestinationName, op: BatchOp, settings: Option<Map<String, Json>>, adopt: bool) -> BatchChange {
    BatchChange { name: name.clone(), op, settings, reason: None, adopt, if_match: None, if_none_match: None }
}

/// The settings that differ. What is not shown may differ, and is named for that.
fn differing(known: &DestinationConfig, record: &DestinationRecord) -> Vec<String> {
    let (file, there) = (&known.written.shown, &record.settings);
    let mut names: Vec<&String> = file.keys().chain(there.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let differs = |name: &&String| file.get(*name) != there.get(*name);
    let shown = names.into_iter().filter(|name| *name != SECRETS).filter(differs).cloned();
    let hidden = known.written.hidden.keys().map(|name| format!("{name} (secret, if it differs)"));
    let removed = file.get(SECRETS) == Some(&Json::Array(Vec::new())) && there.contains_key(SECRETS);
    shown.chain(hidden).chain(removed.then(|| SECRETS.to_owned())).collect()
}

async fn send(client: &Client, wanted: Vec<Wanted>) -> Result<(), Failure> {
    let (mut failed, mut pending) = (0, false);
    let mut rest = wanted.into_iter().peekable();
    while rest.peek().is_some() {
        let (mut said, mut changes, mut bytes) = (Vec::new(), Vec::new(), 0);
        while changes.len() < TOGETHER && bytes < BYTES_TOGETHER {
            let Some(Wanted { said: words, change }) = rest.next() else { break };
            bytes += change.settings.as_ref().map_or(0, |settings| Json::Object(settings.clone()).to_string().len());
            said.push(words);
            changes.push(change);
        }
        let answer: BatchAnswer = client.post("/v1/destinations/batch", &BatchOfChanges { changes }).await?;
        for (words, result) in said.iter().zip(&answer.results) {
            match &result.problem {
                None => output::line(words)?,
                Some(problem) => {
                    failed += 1;
                    output::line(&format!("! {}: {}", result.name, output::clean(&problem.detail)))?;
                }
            }
        }
        pending |= !answer.pending.is_empty();
    }
    if pending {
        output::note("not every partition has taken the changes over yet; laneway destinations changes NAME shows it");
    }
    if failed == 0 { Ok(()) } else { Err(Failure::new(format!("{failed} destinations could not be changed"))) }
}
