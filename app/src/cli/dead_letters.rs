//! `laneway dead-letters`: list, show, retry, discard.

use super::args::{By, Chosen, DeadLettersCommand, Filter};
use super::client::Client;
use super::table::{Align, Look, rows_with_text};
use super::when::{When, moment};
use super::wrap::wrapped;
use super::{Failure, output, suggest};
use crate::config::nearest;
use laneway_domain::{DestinationName, Key, LaneKey};
use laneway_http::wire::{Count, DeadEvent, DeadLetterPage, DeadLetterSelection, DeadLetterView};
use std::fmt::Write as _;

const PATH: &str = "/v1/dead-letters";
/// The most of one page; what the server gives at once.
const PAGE: usize = 1000;

/// Carries the command out.
pub(super) async fn run(client: &Client, command: DeadLettersCommand) -> Result<(), Failure> {
    match command {
        DeadLettersCommand::List { filter, limit, json } => list(client, &filter, limit, json).await,
        DeadLettersCommand::Show { destination, event, tenant, json } => {
            show(client, &destination, By { event: Some(event), tenant, ..By::default() }, json).await
        }
        DeadLettersCommand::Retry { chosen } | DeadLettersCommand::Discard { chosen, .. } if chosen.dry_run => {
            let count = asked(client, "retry", &chosen).await?;
            output::say(&chosen_ones(&chosen, &counted(count)))
        }
        DeadLettersCommand::Retry { chosen } => {
            let count = change(client, "retry", &chosen).await?;
            let (letters, name) = (counted(count), chosen.destination);
            output::say(&format!("{letters} of {name} will be attempted once more; what fails stays in the list"))
        }
        DeadLettersCommand::Discard { chosen, yes } => {
            if !yes {
                output::confirm(&question(client, &chosen).await?, yes)?;
            }
            let count = change(client, "discard", &chosen).await?;
            let are = if count == 1 { "is" } else { "are" };
            output::say(&format!("{} of {} {are} gone", counted(count), chosen.destination))
        }
    }
}

async fn page(client: &Client, filter: &Filter, limit: usize, after: Option<&str>) -> Result<DeadLetterPage, Failure> {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("limit", &limit.min(PAGE).to_string());
    let By { tenant, key, event, event_type, status, span } = &filter.by;
    let moment = |when: Option<When>| when.map(When::to_rfc3339);
    let filters = [
        ("destination", filter.destination.as_ref().map(ToString::to_string)),
        ("tenant", tenant.as_ref().map(ToString::to_string)),
        ("key", key.as_ref().map(|key| key.as_str().to_owned())),
        ("event_id", event.as_ref().map(ToString::to_string)),
        ("type", event_type.as_ref().map(ToString::to_string)),
        ("status", status.map(|status| status.to_string())),
        ("from", moment(span.since)),
        ("to", moment(span.until)),
        ("after", after.map(str::to_owned)),
    ];
    for (name, value) in filters {
        query.extend_pairs(value.map(|value| (name, value)));
    }
    client.get(&format!("{PATH}?{}", query.finish())).await
}

async fn list(client: &Client, filter: &Filter, limit: usize, json: bool) -> Result<(), Failure> {
    let mut rows = Vec::new();
    let (mut left, mut after) = (limit, None::<String>);
    let mut more = false;
    while left > 0 {
        let page = match (page(client, filter, left, after.as_deref()).await, &filter.destination) {
            (Err(failure), Some(name)) => return Err(suggest::destination(client, name, failure).await),
            (page, _) => page?,
        };
        left = left.saturating_sub(page.dead_letters.len());
        for letter in &page.dead_letters {
            if json {
                output::line(&to_json(letter)?)?;
            } else {
                rows.push(row(letter));
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
    let mut text = if rows.is_empty() {
        format!("{}\n", none(client, filter).await)
    } else {
        rows_with_text(&COLUMNS, 2, rows, Look::plain())
    };
    if more {
        let _ = writeln!(text, "there may be more; ask with a larger --limit than {limit}");
    }
    output::print(&text)
}

/// What a list says of each. The event and the destination are what `show` asks for, so they are never cut.
const COLUMNS: [(&str, Align); 7] = [
    ("DESTINATION", Align::Left),
    ("EVENT", Align::Left),
    ("KEY", Align::Text),
    ("AT", Align::Right),
    ("ATTEMPTS", Align::Right),
    ("GIVEN UP", Align::Left),
    ("REASON", Align::Text),
];

fn row(letter: &DeadLetterView) -> Vec<String> {
    let waits = if letter.retry_requested { "to be retried; " } else { "" };
    vec![
        letter.destination.to_string(),
        letter.event_id.to_string(),
        letter.lane_key.clone(),
        format!("{}:{}", letter.partition, letter.offset),
        letter.attempts.to_string(),
        moment(letter.given_up_at),
        format!("{waits}{}", letter.reason),
    ]
}

fn to_json(value: &impl serde::Serialize) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|e| Failure::new(format!("the answer cannot be written as JSON: {e}")))
}

async fn show(client: &Client, destination: &DestinationName, by: By, json: bool) -> Result<(), Failure> {
    let filter = Filter { destination: Some(destination.clone()), by };
    let found = match page(client, &filter, 1, None).await {
        Ok(mut page) => page.dead_letters.pop(),
        Err(failure) => return Err(suggest::destination(client, destination, failure).await),
    };
    let Some(letter) = found else { return Err(nothing(client, &filter, &absence(&filter)).await) };
    let path = format!("{PATH}/{destination}/{}/{}", letter.partition, letter.offset);
    let dead: DeadEvent = client.get(&path).await?;
    if json {
        let both = serde_json::json!({ "dead_letter": letter, "event": dead.event, "accepted_at": dead.accepted_at });
        return output::line(&to_json(&both)?);
    }
    output::print(&describe(&letter, &dead, Look::plain()))
}

/// Where what is said of a fact begins.
const FACTS_AT: usize = 14;

/// A fact under its name, in as many lines as it takes: what a receiver answered may be long.
fn fact(name: &str, value: &str, look: Look) -> String {
    let lines = match look.width {
        Some(width) => {
            let room = width.saturating_sub(FACTS_AT);
            wrapped(value, room, room)
        }
        None => vec![value.to_owned()],
    };
    let begins = [name].into_iter().chain(std::iter::repeat(""));
    let lines = begins.zip(lines).map(|(name, line)| format!("{name:<FACTS_AT$}{line}\n"));
    lines.collect()
}

/// A dead letter for people: a fact a line, the payload at the end.
fn describe(letter: &DeadLetterView, dead: &DeadEvent, look: Look) -> String {
    let event = &dead.event;
    let mut facts = vec![
        ("event", event.id.to_string()),
        ("type", event.event_type.clone()),
        ("destination", letter.destination.to_string()),
        ("lane key", letter.lane_key.clone()),
        ("partition", letter.partition.to_string()),
        ("offset", letter.offset.to_string()),
    ];
    facts.extend(event.tenant.iter().map(|tenant| ("tenant", tenant.to_string())));
    let optional = [("source", &event.source), ("subject", &event.subject), ("time", &event.time)];
    facts.extend(optional.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))));
    facts.extend(event.attributes.iter().map(|(name, value)| ("attribute", format!("{name} = {value}"))));
    facts.extend(event.traceparent.iter().map(|trace| ("traceparent", trace.clone())));
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
        text.push_str(&fact(name, &output::clean(&value), look));
    }
    match (&event.data, &event.data_base64) {
        (Some(data), _) => _ = writeln!(text, "data          {}", output::clean(data.get())),
        (None, Some(data)) => _ = writeln!(text, "data (base64) {data}"),
        (None, None) => text.push_str("no data\n"),
    }
    text
}

fn selection(chosen: &Chosen) -> DeadLetterSelection {
    let By { tenant, key, event, event_type, status, span } = chosen.by.clone();
    DeadLetterSelection {
        destination: chosen.destination.clone(),
        tenant,
        key,
        event_id: event,
        types: event_type.iter().map(ToString::to_string).collect(),
        statuses: status.into_iter().collect(),
        from: span.since.map(When::to_rfc3339),
        to: span.until.map(When::to_rfc3339),
        places: chosen.at.clone(),
        dry_run: chosen.dry_run,
    }
}

/// How many it was done to, or would be.
async fn asked(client: &Client, what: &str, chosen: &Chosen) -> Result<u64, Failure> {
    match client.post(&format!("{PATH}/{what}"), &selection(chosen)).await {
        Ok(Count { count }) => Ok(count),
        Err(failure) => Err(suggest::destination(client, &chosen.destination, failure).await),
    }
}

/// The same; none is a failure.
async fn change(client: &Client, what: &str, chosen: &Chosen) -> Result<u64, Failure> {
    match asked(client, what, chosen).await? {
        0 => Err(nothing(client, &filter(chosen), &chosen_ones(chosen, &counted(0))).await),
        count => Ok(count),
    }
}

fn filter(chosen: &Chosen) -> Filter {
    Filter { destination: Some(chosen.destination.clone()), by: chosen.by.clone() }
}

/// The same of what was chosen, with where it is.
fn chosen_ones(chosen: &Chosen, letters: &str) -> String {
    let mut what = which(&filter(chosen), letters);
    for (nth, place) in chosen.at.iter().enumerate() {
        let _ = write!(what, "{}{place}", if nth == 0 { " at " } else { ", " });
    }
    what
}

/// Says what there is none of: `billing has no dead letters of the key order-7`.
fn absence(filter: &Filter) -> String {
    which(filter, &counted(0))
}

/// Says how many there are of what: `billing has 2 dead letters of the key order-7`.
fn which(filter: &Filter, letters: &str) -> String {
    let mut what = match &filter.destination {
        Some(name) => format!("{name} has {letters}"),
        None => format!("there are {letters}"),
    };
    let By { tenant, key, event, event_type, status, span } = &filter.by;
    let moment = |when: &Option<When>| when.map(When::local);
    let of = [
        (" of the tenant ", tenant.as_ref().map(ToString::to_string)),
        (" of the key ", key.as_ref().map(|key| key.as_str().to_owned())),
        (" of the event ", event.as_ref().map(ToString::to_string)),
        (" of the type ", event_type.as_ref().map(ToString::to_string)),
        (" answered with ", status.map(|status| status.to_string())),
        (" given up since ", moment(&span.since)),
        (" given up before ", moment(&span.until)),
    ];
    for (of, value) in of.into_iter().filter_map(|(of, value)| Some((of, value?))) {
        let _ = write!(what, "{of}{}", output::clean(&value));
    }
    what
}

/// A key or an event that was probably meant, among the dead letters that there are.
async fn meant(client: &Client, chosen: &Filter) -> Option<String> {
    let By { key, event, .. } = &chosen.by;
    if key.is_none() && event.is_none() {
        return None;
    }
    let all = Filter { destination: chosen.destination.clone(), ..Filter::default() };
    let letters = page(client, &all, PAGE, None).await.ok()?.dead_letters;
    let lane_keys: Vec<_> = letters.iter().filter_map(|letter| LaneKey::parse(&letter.lane_key)).collect();
    let near_key =
        key.as_ref().and_then(|key| nearest(key.as_str(), lane_keys.iter().filter_map(LaneKey::key).map(Key::as_str)));
    let near_event = || {
        let event = event.as_ref()?;
        nearest(event.as_str(), letters.iter().map(|letter| letter.event_id.as_str()))
    };
    // What is there itself was combined with something that it does not go with.
    let typed = |name: &&str| {
        key.as_ref().is_none_or(|key| key.as_str() != *name)
            && event.as_ref().is_none_or(|event| event.as_str() != *name)
    };
    near_key.filter(typed).or_else(near_event).filter(typed).map(suggest::did_you_mean)
}

/// What a list that is empty says.
async fn none(client: &Client, filter: &Filter) -> String {
    let what = absence(filter);
    match meant(client, filter).await {
        Some(meant) => format!("{what}; {meant}"),
        None => what,
    }
}

/// Nothing could be done, because there is no such dead letter.
async fn nothing(client: &Client, filter: &Filter, what: &str) -> Failure {
    let advice = meant(client, filter).await;
    let all = || "`laneway dead-letters list` shows those that there are".to_owned();
    Failure::new(what.to_owned()).advising(advice.unwrap_or_else(all))
}

fn counted(count: u64) -> String {
    match count {
        0 => "no dead letters".to_owned(),
        1 => "1 dead letter".to_owned(),
        count => format!("{count} dead letters"),
    }
}

async fn question(client: &Client, chosen: &Chosen) -> Result<String, Failure> {
    let count = change(client, "discard", &Chosen { dry_run: true, ..chosen.clone() }).await?;
    Ok(format!(
        "{}. Discard {} for good?",
        chosen_ones(chosen, &counted(count)),
        if count == 1 { "it" } else { "them" }
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_receiver_answered_is_shown_whole_in_lines_that_fit() {
        let reason = "the receiver answered 422 Unprocessable Entity: {\"error\":\"the customer is not known here\"}";
        let shown = fact("reason", reason, Look { width: Some(50), colour: false });
        assert!(shown.lines().count() > 1 && shown.lines().all(|line| line.chars().count() <= 50), "{shown}");
        assert_eq!(shown.split_whitespace().skip(1).collect::<Vec<_>>().join(" "), reason);
        assert_eq!(fact("reason", reason, Look::default()), format!("reason        {reason}\n"));
    }
}
