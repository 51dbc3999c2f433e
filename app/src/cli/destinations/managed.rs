//! Destinations one by one: listed, shown, paused, rotated, tested, deleted, and what changed them.

use super::super::client::Client;
use super::super::table::{Align, Look, Table, rows_with_text};
use super::super::when::local;
use super::super::{Failure, output, pages};
use laneway_domain::{DestinationName, Origin};
use laneway_http::wire::{
    ChangeAnswer, DestinationList, DestinationRecord, DestinationState, JournalPage, PauseChoice, RotateChoice, Status,
    TestAnswer,
};
use serde::Serialize;
use serde_json::Value as Json;

/// All destinations that there are (in that state), page by page.
pub(super) async fn all(client: &Client, state: Option<&str>) -> Result<Vec<DestinationRecord>, Failure> {
    let state: Vec<(&str, &str)> = state.map(|state| ("state", state)).into_iter().collect();
    let parts = |page: DestinationList| (page.items, page.next, page.incomplete);
    pages::all(client, "/v1/destinations", &state, parts).await
}

pub(super) async fn list(client: &Client, state: Option<&str>, json: bool) -> Result<(), Failure> {
    let all = all(client, state).await?;
    if json {
        return all.iter().try_for_each(|record| output::line(&text(record)?));
    }
    let mut table = Table::new(&[
        ("DESTINATION", Align::Left),
        ("STATE", Align::Left),
        ("FROM", Align::Left),
        ("SENDS TO", Align::Text),
        ("REVISION", Align::Right),
    ]);
    for record in &all {
        let url = record.settings.get("url").and_then(Json::as_str).unwrap_or_default();
        let origin = if record.origin == Origin::File { "file" } else { "api" };
        let cells = [record.name.as_str(), state_of(record.state), origin, url].map(str::to_owned);
        table.row(cells.into_iter().chain([record.revision.to_string()]));
    }
    if table.is_empty() { output::say("there is no destination") } else { output::print(&table.fitted(Look::plain())) }
}

const fn state_of(state: DestinationState) -> &'static str {
    match state {
        DestinationState::Active => "active",
        DestinationState::Paused => "paused",
        DestinationState::Left => "left",
    }
}

fn text(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|e| Failure::new(format!("the answer cannot be written: {e}")))
}

pub(super) async fn show(client: &Client, name: &DestinationName) -> Result<(), Failure> {
    let record: DestinationRecord = client.get(&format!("/v1/destinations/{name}")).await?;
    let text = serde_json::to_string_pretty(&record);
    output::line(&text.map_err(|e| Failure::new(format!("the answer cannot be written: {e}")))?)
}

pub(super) async fn pause(client: &Client, name: &DestinationName, reason: &str) -> Result<(), Failure> {
    let choice = PauseChoice { reason: reason.to_owned() };
    let answer: ChangeAnswer = client.post(&format!("/v1/destinations/{name}/pause"), &choice).await?;
    output::say(&said(&answer, "is paused; its events wait"))
}

/// Why a destination is not forgotten, before anybody is asked whether it is to be. The server looks once more.
pub(super) async fn check_forgettable(client: &Client, name: &DestinationName) -> Result<(), Failure> {
    let status: Option<Status> = client.look(&format!("/v1/status?destination={name}")).await?;
    if status.iter().flat_map(|status| &status.destinations).any(|view| view.status.configured) {
        let what = format!("{name} is in use: only what has left the configuration is forgotten");
        let advice = format!(
            "take it out of the configuration file and send Laneway a SIGHUP before, or, if it was made over HTTP, use \
             `laneway destinations delete {name}`"
        );
        return Err(Failure::new(what).advising(advice));
    }
    Ok(())
}

pub(super) async fn delete(client: &Client, name: &DestinationName, yes: bool) -> Result<(), Failure> {
    if !yes {
        let record: Option<DestinationRecord> = client.look(&format!("/v1/destinations/{name}")).await?;
        if record.is_some_and(|record| record.origin == Origin::File && record.state != DestinationState::Left) {
            let what = format!("the configuration file defines {name}: take it out there, and send Laneway a SIGHUP");
            return Err(Failure::new(what));
        }
    }
    output::confirm(&format!("Delete {name}, and drop every event that waits for it and its dead letters?"), yes)?;
    let answer: ChangeAnswer = client.delete(&format!("/v1/destinations/{name}")).await?;
    let what = match answer.dropped {
        None => "is deleted".to_owned(),
        Some(0) => "is deleted; no event waited for it".to_owned(),
        Some(1) => "is deleted, and about 1 event with it that waited".to_owned(),
        Some(some) => format!("is deleted, and about {some} events with it that waited"),
    };
    output::say(&said(&answer, &what))
}

pub(super) async fn rotate_secret(
    client: &Client,
    name: &DestinationName,
    keep: String,
    json: bool,
) -> Result<(), Failure> {
    let record: DestinationRecord = client.get(&format!("/v1/destinations/{name}")).await?;
    let choice = RotateChoice { keep: Some(keep) };
    let path = format!("/v1/destinations/{name}/rotate-secret");
    let answer: ChangeAnswer = client.post_if(&path, record.revision.0, &choice).await?;
    if json {
        return output::line(&text(&answer)?);
    }
    // The secret alone, so that it can be piped to where it is to be kept.
    output::note(&said(&answer, "has a new signing secret, which is told this once:"));
    output::line(answer.secret.as_deref().unwrap_or_default())
}

pub(super) async fn test(client: &Client, name: &DestinationName, json: bool) -> Result<(), Failure> {
    let answer: TestAnswer = client.post(&format!("/v1/destinations/{name}/test"), &serde_json::json!({})).await?;
    if json {
        output::line(&text(&answer)?)?;
        let failed = || Failure::new(format!("{name} did not take the test event"));
        return if answer.delivered { Ok(()) } else { Err(failed()) };
    }
    let TestAnswer { took_ms, status, body, .. } = &answer;
    let status = status.map_or_else(String::new, |status| format!(", status {status}"));
    if let Some(body) = body {
        // What the receiver says goes where it can be looked at apart from the verdict.
        output::note(&format!("{name} answered: {}", output::clean(body)));
    }
    if answer.delivered {
        output::say(&format!("{name} took the test event within {took_ms} ms{status}"))?;
        return output::say(&format!("  its id: {}", answer.event_id));
    }
    let reason = output::clean(answer.reason.as_deref().unwrap_or(&answer.outcome));
    Err(Failure::new(format!("{name} did not take the test event ({took_ms} ms{status}): {reason}")))
}

pub(super) async fn changes(client: &Client, name: &DestinationName, limit: u32, json: bool) -> Result<(), Failure> {
    let page: JournalPage = client.get(&format!("/v1/destinations/{name}/changes?limit={limit}")).await?;
    if json {
        return page.items.iter().try_for_each(|line| output::line(&text(line)?));
    }
    let columns = [
        ("WHEN", Align::Left),
        ("WHO", Align::Text),
        ("WHAT", Align::Text),
        ("REVISION", Align::Right),
        ("FROM OFFSETS", Align::Text),
    ];
    let rows = page.items.into_iter().map(|line| {
        let cuts: Vec<String> = line.cuts.iter().map(|(partition, offset)| format!("{partition}:{offset}")).collect();
        vec![local(&line.at), line.by, line.what, line.revision.to_string(), cuts.join(" ")]
    });
    output::print(&rows_with_text(&columns, 3, rows.collect(), Look::plain()))
}

/// A change in a line, with what it still waits for.
pub(super) fn said(answer: &ChangeAnswer, what: &str) -> String {
    let mut said = format!("{} {what}", answer.name);
    if !answer.pending.is_empty() {
        let pending: Vec<String> = answer.pending.iter().map(ToString::to_string).collect();
        said.push_str(&format!(" (partitions {} have not taken it over yet)", pending.join(", ")));
    }
    match answer.in_flight {
        Some(0) => {}
        Some(count) => said.push_str(&format!(" ({count} attempts are still in flight)")),
        None => said.push_str(" (no worker could say whether an attempt is still in flight)"),
    }
    said
}
