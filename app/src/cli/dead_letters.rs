//! `laneway dead-letters`: list, show, retry, discard.

use super::args::{Chosen, DeadLettersCommand, Filter};
use super::client::Client;
use super::table::{Align, Table, moment};
use super::{Failure, output};
use laneway_domain::{DestinationName, EventId};
use laneway_http::wire::{Count, DeadEvent, DeadLetterPage, DeadLetterSelection, DeadLetterView};
use std::fmt::Write as _;

const PATH: &str = "/v1/dead-letters";
/// The most of one page; what the server gives at once.
const PAGE: usize = 1000;

/// Carries the command out.
pub(super) async fn run(client: &Client, command: DeadLettersCommand) -> Result<(), Failure> {
    match command {
        DeadLettersCommand::List { filter, limit, json } => list(client, &filter, limit, json).await,
        DeadLettersCommand::Show { destination, event, json } => show(client, &destination, &event, json).await,
        DeadLettersCommand::Retry { chosen } => {
            let count = change(client, "retry", &chosen).await?;
            output::line(&format!("{} of {} will be attempted once more", counted(count), chosen.destination))
        }
        DeadLettersCommand::Discard { chosen, yes } => {
            output::confirm(&question(client, &chosen).await?, yes)?;
            let count = change(client, "discard", &chosen).await?;
            let are = if count == 1 { "is" } else { "are" };
            output::line(&format!("{} of {} {are} gone", counted(count), chosen.destination))
        }
    }
}

async fn page(client: &Client, filter: &Filter, limit: usize, after: Option<&str>) -> Result<DeadLetterPage, Failure> {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("limit", &limit.clamp(1, PAGE).to_string());
    let filters = [
        ("destination", filter.destination.as_ref().map(DestinationName::as_str)),
        ("key", filter.key.as_ref().map(laneway_domain::Key::as_str)),
        ("event_id", filter.event.as_ref().map(EventId::as_str)),
        ("after", after),
    ];
    for (name, value) in filters {
        query.extend_pairs(value.map(|value| (name, value)));
    }
    client.get(&format!("{PATH}?{}", query.finish())).await
}

async fn list(client: &Client, filter: &Filter, limit: usize, json: bool) -> Result<(), Failure> {
    let mut table = Table::new(&[
        ("DESTINATION", Align::Left),
        ("EVENT", Align::Left),
        ("KEY", Align::Left),
        ("PARTITION", Align::Right),
        ("OFFSET", Align::Right),
        ("GIVEN UP", Align::Left),
        ("ATTEMPTS", Align::Right),
        ("REASON", Align::Left),
    ]);
    let (mut left, mut after) = (limit, None);
    let mut more = false;
    while left > 0 {
        let page = page(client, filter, left, after.as_deref()).await?;
        left = left.saturating_sub(page.dead_letters.len());
        for letter in &page.dead_letters {
            if json {
                output::line(&to_json(letter)?)?;
            } else {
                table.row(row(letter));
            }
        }
        after = page.next;
        more = after.is_some();
        if !more {
            break;
        }
    }
    if json {
        return Ok(());
    }
    let mut text = if table.is_empty() { "no dead letters\n".to_owned() } else { table.render() };
    if more {
        let _ = writeln!(text, "there may be more; ask with a larger --limit than {limit}");
    }
    output::print(&text)
}

fn row(letter: &DeadLetterView) -> Vec<String> {
    let waits = if letter.retry_requested { "to be retried; " } else { "" };
    vec![
        letter.destination.to_string(),
        letter.event_id.to_string(),
        letter.lane_key.clone(),
        letter.partition.to_string(),
        letter.offset.to_string(),
        moment(letter.given_up_at),
        letter.attempts.to_string(),
        format!("{waits}{}", letter.reason),
    ]
}

fn to_json(value: &impl serde::Serialize) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|e| Failure::new(format!("the answer cannot be written as JSON: {e}")))
}

async fn show(client: &Client, destination: &DestinationName, event: &EventId, json: bool) -> Result<(), Failure> {
    let filter = Filter { destination: Some(destination.clone()), event: Some(event.clone()), key: None };
    let found = page(client, &filter, 1, None).await?.dead_letters.pop();
    let Some(letter) = found else {
        let what = format!("{destination} has no dead letter of the event {event}");
        return Err(Failure::new(what).advising("`laneway dead-letters list` shows those that there are"));
    };
    let path = format!("{PATH}/{destination}/{}/{}", letter.partition, letter.offset);
    let dead: DeadEvent = client.get(&path).await?;
    if json {
        let both = serde_json::json!({ "dead_letter": letter, "event": dead.event, "accepted_at": dead.accepted_at });
        return output::line(&to_json(&both)?);
    }
    output::print(&describe(&letter, &dead))
}

/// A dead letter for people: a fact a line, the payload at the end.
fn describe(letter: &DeadLetterView, dead: &DeadEvent) -> String {
    let event = &dead.event;
    let mut facts = vec![
        ("event", event.id.to_string()),
        ("type", event.event_type.clone()),
        ("destination", letter.destination.to_string()),
        ("lane key", letter.lane_key.clone()),
        ("partition", letter.partition.to_string()),
        ("offset", letter.offset.to_string()),
    ];
    let optional = [("source", &event.source), ("subject", &event.subject), ("time", &event.time)];
    facts.extend(optional.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))));
    facts.extend(event.attributes.iter().map(|(name, value)| ("attribute", format!("{name} = {value}"))));
    facts.push(("accepted", moment(dead.accepted_at)));
    facts.push(("given up", moment(letter.given_up_at)));
    facts.push(("reason", letter.reason.clone()));
    facts.push(("attempts", format!("{}, the first failed {}", letter.attempts, moment(letter.first_failure))));
    facts.extend(letter.history.iter().map(|f| ("failure", format!("{} {}", moment(f.at), f.reason))));
    if letter.retry_requested {
        facts.push(("retry", "requested, and not done yet".to_owned()));
    }
    facts.push(("content type", event.content_type.clone()));
    let mut text = String::new();
    for (name, value) in facts {
        let _ = writeln!(text, "{name:<13} {}", output::clean(&value));
    }
    match (&event.data, &event.data_base64) {
        (Some(data), _) => _ = writeln!(text, "data          {}", output::clean(data.get())),
        (None, Some(data)) => _ = writeln!(text, "data (base64) {data}"),
        (None, None) => text.push_str("no data\n"),
    }
    text
}

fn selection(chosen: &Chosen) -> DeadLetterSelection {
    DeadLetterSelection {
        destination: chosen.destination.clone(),
        key: chosen.key.clone(),
        event_id: chosen.event.clone(),
    }
}

/// How many it was done to, at least one.
async fn change(client: &Client, what: &str, chosen: &Chosen) -> Result<u64, Failure> {
    let Count { count } = client.post(&format!("{PATH}/{what}"), &selection(chosen)).await?;
    match count {
        0 => Err(Failure::new(format!("no dead letter of {} matches", chosen.destination))
            .advising("`laneway dead-letters list` shows those that there are")),
        count => Ok(count),
    }
}

fn counted(count: u64) -> String {
    if count == 1 { "1 dead letter".to_owned() } else { format!("{count} dead letters") }
}

async fn question(client: &Client, chosen: &Chosen) -> Result<String, Failure> {
    let Chosen { destination, key, event } = chosen.clone();
    let filter = Filter { destination: Some(destination), key, event };
    let found = page(client, &filter, PAGE, None).await?;
    let count = counted(found.dead_letters.len() as u64);
    let or_more = if found.next.is_some() { " or more" } else { "" };
    Ok(format!("Discard {count}{or_more} of {} for good?", chosen.destination))
}
