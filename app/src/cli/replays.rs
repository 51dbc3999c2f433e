//! `laneway replay` and `laneway keys recover`: events once more.

use super::args::{BeginArgs, RecoverArgs, ReplayCommand};
use super::client::Client;
use super::table::{Align, Look, Table, rows_with_text};
use super::when::{Since, moment};
use super::{Failure, output};
use crate::worker::Clock;
use laneway_domain::{DestinationName, ReplayId, ReplayState};
use laneway_http::wire::{Done, RecoveryAsked, ReplayAsked, ReplayCounted, ReplayList, ReplayView};
use serde::{Deserialize, Serialize};

/// What is answered to who asks for a replay.
#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum Answered {
    Counted(ReplayCounted),
    Begun(Box<ReplayView>),
}

/// Begins, lists, shows and ends replays.
pub(super) async fn run(client: &Client, command: ReplayCommand) -> Result<(), Failure> {
    match command {
        ReplayCommand::Begin(args) => begin(client, args).await,
        ReplayCommand::List { destination, json } => list(client, &destination, json).await,
        ReplayCommand::Show { destination, id, json } => show(client, &destination, &id, json).await,
        ReplayCommand::End { destination, id, yes } => {
            if !yes {
                // A question is about something that is there.
                client.look::<ReplayView>(&path(&destination, &id)).await?;
            }
            output::confirm(
                &format!("End the replay {id} to {destination}? What it has not delivered stays out."),
                yes,
            )?;
            let Done { done } = client.delete(&path(&destination, &id)).await?;
            if !done {
                output::note("not every partition has stored that yet; laneway replay list says when they have");
            }
            let state = if done { "has ended" } else { "is ending" };
            output::say(&format!("the replay {id} to {destination} {state}"))
        }
    }
}

async fn begin(client: &Client, args: BeginArgs) -> Result<(), Failure> {
    let BeginArgs { destination, dry_run, json, yes, .. } = &args;
    if let (from, Some(to)) = (args.from.unwrap_or(Since::Beginning), args.to)
        && from >= to
    {
        let (from, to) = (from.local(), to.local());
        return Err(Failure::new(format!(
            "the replay would end ({to}) before it begins ({from}): --to must lie behind --from"
        )));
    }
    let id = args.id.clone().map_or_else(|| named("replay"), Ok)?;
    let mut asked = ReplayAsked {
        from: args.from.map(Since::to_text),
        to: args.to.map(Since::to_text),
        tenant: args.tenant.clone(),
        types: args.types.iter().map(ToString::to_string).collect(),
        keys: args.keys.iter().map(|key| key.as_str().to_owned()).collect(),
        events: args.events.iter().map(|id| id.as_str().to_owned()).collect(),
        first: args.first,
        dry_run: true,
    };
    let path = path(destination, &id);
    // A question is about something that can be done, and says to how much.
    if *dry_run || !yes {
        let answered: Answered = client.put(&path, &asked).await?;
        if *dry_run {
            return told(destination, answered, *json);
        }
        let question = format!("Deliver {} to {destination} again? {ACT_TWICE}", expected(&answered));
        output::confirm(&question, *yes)?;
    }
    asked.dry_run = false;
    told(destination, client.put(&path, &asked).await?, *json)
}

/// What is said before something is delivered once more.
const ACT_TWICE: &str = "Receivers that do not know replays will act on it twice.";

/// How much a replay would deliver.
fn expected(answered: &Answered) -> String {
    match answered {
        Answered::Counted(ReplayCounted { events, is_all, .. }) => {
            format!("{}{}", if *is_all { "" } else { "at least " }, counted(*events))
        }
        Answered::Begun(_) => "events".to_owned(),
    }
}

/// Lets a key go back to its first dead letter, or further.
pub(super) async fn recover(client: &Client, args: RecoverArgs) -> Result<(), Failure> {
    let RecoverArgs { destination, key, tenant, from, partial, dry_run, json, yes } = args;
    let (from, said) = match from.as_str() {
        from if from == "dead-letter" => (from.to_owned(), "its first dead letter".to_owned()),
        from if from.starts_with("offset:") => (from.to_owned(), from.replacen(':', " ", 1)),
        other => {
            let since =
                Since::parse(other).map_err(|why| Failure::new(format!("--from: {why}, dead-letter, offset:<n>")))?;
            (since.to_text(), since.local())
        }
    };
    let path = format!("/v1/destinations/{destination}/keys/replay");
    let shown = output::clean(key.as_str());
    let mut asked = RecoveryAsked { key, tenant, from: Some(from), id: None, partial, dry_run: true };
    if dry_run || !yes {
        let answered: Answered = client.post(&path, &asked).await?;
        if dry_run {
            return told(&destination, answered, json);
        }
        let question = format!(
            "Deliver {shown} to {destination} again from {said} on ({}), in order, before anything new of it? \
             {ACT_TWICE}",
            expected(&answered)
        );
        output::confirm(&question, yes)?;
    }
    (asked.id, asked.dry_run) = (Some(named("recover")?), false);
    told(&destination, client.post(&path, &asked).await?, json)
}

fn told(destination: &DestinationName, answered: Answered, json: bool) -> Result<(), Failure> {
    if json {
        return output::line(&text(&answered)?);
    }
    match answered {
        Answered::Counted(ReplayCounted { events, is_all, filtered, .. }) => {
            let least = if is_all { "" } else { "at least " };
            output::say(&format!("{least}{} would be delivered to {destination} again", counted(events)))?;
            if !filtered {
                output::note("the destination may want fewer: its filter is not known to the process that has counted");
            }
            Ok(())
        }
        Answered::Begun(view) => {
            let id = &view.id;
            if view.state == ReplayState::Asked {
                output::note("not every partition has taken it over yet; laneway replay show says when they have");
            }
            output::say(&format!("the replay {id} to {destination} is {}", state(view.state)))?;
            output::say(&format!("laneway replay show {destination} {id} tells how far it is"))
        }
    }
}

async fn list(client: &Client, destination: &DestinationName, json: bool) -> Result<(), Failure> {
    let list: ReplayList = client.get(&format!("/v1/destinations/{destination}/replays")).await?;
    if json {
        return list.items.iter().try_for_each(|replay| output::line(&text(replay)?));
    }
    let columns = [
        ("REPLAY", Align::Left),
        ("STATE", Align::Left),
        ("DONE", Align::Right),
        ("EVENTS", Align::Right),
        ("BEHIND", Align::Right),
        ("ASKED FOR", Align::Text),
    ];
    let rows = list.items.iter().map(|view| {
        let done = format!("{} %", share(view));
        let [events, behind] = [view.settled, view.keys_behind].map(|count| count.to_string());
        vec![view.id.to_string(), state(view.state).to_owned(), done, events, behind, moment(view.asked_at)]
    });
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        return output::say(&format!("nothing is replayed to {destination}, and nothing was"));
    }
    output::print(&rows_with_text(&columns, 1, rows, Look::plain()))
}

async fn show(client: &Client, destination: &DestinationName, id: &ReplayId, json: bool) -> Result<(), Failure> {
    let view: ReplayView = client.get(&path(destination, id)).await?;
    if json {
        return output::line(&text(&view)?);
    }
    output::say(&format!("{id} to {destination}: {}, asked for at {}", state(view.state), moment(view.asked_at)))?;
    output::say(&format!("{} delivered again, {} % looked at", counted(view.settled), share(&view)))?;
    let mut table = Table::new(&[
        ("PARTITION", Align::Right),
        ("STATE", Align::Left),
        ("FROM", Align::Right),
        ("AT", Align::Right),
        ("UNTIL", Align::Right),
        ("EVENTS", Align::Right),
        ("BEHIND", Align::Right),
    ]);
    for part in &view.partitions {
        let at = [part.from, part.scanned, part.until].map(|offset| offset.to_string());
        let [from, scanned, until] = at;
        let (events, behind) = (part.settled.to_string(), part.keys_behind.to_string());
        table.row([part.partition.to_string(), state(part.state).to_owned(), from, scanned, until, events, behind]);
    }
    output::print(&table.fitted(Look::plain()))
}

fn counted(events: u64) -> String {
    if events == 1 { "1 event".to_owned() } else { format!("{events} events") }
}

/// How much of what it has to look at it has looked at, in per cent.
fn share(view: &ReplayView) -> u64 {
    match view.to_look_at {
        0 => 100,
        all => u64::try_from(u128::from(view.looked_at) * 100 / u128::from(all)).unwrap_or(100),
    }
}

const fn state(state: ReplayState) -> &'static str {
    match state {
        ReplayState::Asked => "asked for",
        ReplayState::Waiting => "waiting",
        ReplayState::Running => "running",
        ReplayState::Done => "done",
        ReplayState::Ending => "ending",
    }
}

/// A name for a replay that was given none.
fn named(what: &str) -> Result<ReplayId, Failure> {
    let id = format!("{what}-{}", Clock::system().now().as_millis());
    ReplayId::new(&id).map_err(|error| Failure::new(error.to_string()))
}

fn path(destination: &DestinationName, id: &ReplayId) -> String {
    format!("/v1/destinations/{destination}/replays/{id}")
}

fn text(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|error| Failure::new(format!("the answer cannot be written: {error}")))
}
