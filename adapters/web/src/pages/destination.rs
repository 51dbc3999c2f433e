//! `GET /console/destinations/{name}`: one destination, what stands in its way, and what became of its last attempts.

pub(crate) mod actions;
mod blocked;
pub(crate) mod changes;
pub(crate) mod edit;
mod facts;
pub(crate) mod recover;
pub(crate) mod replays;

use super::attempts;
use crate::data;
use crate::failed::{Answer, Failed};
use crate::interface::problem;
use crate::links;
use crate::need::Told as _;
use crate::pace::{Pace, Paced};
use crate::page::{ago, badge, incomplete, live, page};
use crate::plots;
use crate::show;
use crate::site::Site;
use crate::snapshot::{Row, Snapshot};
use crate::visit::{Named, Visit};
use axum::extract::State;
use laneway_domain::{BreakerStatus, Origin, PausedBy, RECENTLY, Role, Timestamp};
use laneway_http::wire::{AttemptPage, DestinationRecord, Problem};
use maud::{Markup, html};
use std::sync::Arc;
use std::time::Duration;

/// Of how many of the last attempts the pace is shown, of the last hour at most.
const ATTEMPTS: &str = "300";
/// How many of them are listed.
const LISTED: usize = 20;

pub(crate) async fn show(State(site): State<Arc<Site>>, visit: Visit, Named(name): Named) -> Answer {
    let snapshot = site.snapshot(&visit).await?;
    let interface = site.interface(&visit);
    let row = snapshot.row(&name);
    let record = known(interface.get::<DestinationRecord>(&links::api_destination(&name)).await)?;
    if row.is_none() && record.is_none() {
        return Err(no_destination(&name));
    }
    let hour_ago = show::machine(visit.now.before(Duration::from_secs(3600)));
    let query = [("destination", &*name), ("limit", ATTEMPTS), ("from", &*hour_ago)];
    // Without a history, or where it cannot be asked, the page has everything else.
    let attempts = interface.get::<AttemptPage>(&links::with("/v1/attempts", &query)).await;
    let pace = attempts.as_ref().ok().and_then(|found| pace(found, visit.now));
    let attempts = attempts.map(|mut found| {
        found.items.truncate(LISTED);
        found
    });
    let content = html! {
        (incomplete(&snapshot.incomplete))
        @match row {
            Some(row) => {
                (live("state", &state(&visit, row)))
                (buttons(&visit, row, record.as_ref()))
                @if visit.may(Role::Operate) { (live("acts", &actions::what_they_do(&row.status, can_resume(row)))) }
                (live("numbers", &html! {
                    (numbers(&snapshot, row))
                    @if let Some(series) = site.hour().of(&row.status.name) { (plots::of_hour(&series)) }
                }))
                (live("keys", &blocked::table(&visit, row)))
            }
            None => p.note.quiet { "No worker has told of it yet." }
        }
        (live("last", &html! {
            @if let Some(pace) = &pace { (plots::of_pace(pace, visit.now)) }
            (attempts::section(&visit, "Attempts of the last hour", &attempts, attempts::Columns::OfDestination))
        }))
        @if let Some(record) = &record { (facts::section(&visit, record)) }
        @else if let Some(to) = row.and_then(|row| site.target(&row.status.name)) {
            h2 { "Settings" }
            p { "It sends to " code { (to) } ", and is not a part of what is stored." }
        }
    };
    Ok(page(&visit, &name, &content))
}

/// What the attempts were like.
fn pace(found: &AttemptPage, now: Timestamp) -> Option<Pace> {
    let paced = found.items.iter().filter(|line| line.attempt > 0).filter_map(|line| {
        let at = show::read_moment(&line.at)?;
        Some(Paced { at, took_us: line.took_us, failed: line.outcome != "delivered" })
    });
    Pace::of(&paced.collect::<Vec<_>>(), now)
}

/// What the registry knows, if it knows it.
fn known<T>(found: Result<T, Box<Problem>>) -> Result<Option<T>, Box<Problem>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(problem) if problem.status == 404 || problem.status == 501 => Ok(None),
        Err(problem) => Err(problem),
    }
}

fn no_destination(name: &str) -> Failed {
    let (name, _) = show::beginning(name, 100);
    Failed(problem("not-found", 404, "There is no such destination", &format!("No destination has the name {name}.")))
}

/// Whether it can be told to go on. A pause of the configuration ends there; an open breaker can be closed.
fn can_resume(row: &Row) -> bool {
    let paused_by = row.status.paused_by();
    let is_open = matches!(row.status.breaker, BreakerStatus::Open { .. });
    matches!(paused_by, Some(PausedBy::Operator | PausedBy::Laneway)) || (paused_by.is_none() && is_open)
}

/// The buttons for that.
fn buttons(visit: &Visit, row: &Row, record: Option<&DestinationRecord>) -> Markup {
    actions::buttons(
        visit,
        row.status.name.as_str(),
        row.status.paused_by().is_some(),
        can_resume(row),
        record.is_some_and(|record| record.origin == Origin::Api),
    )
}

/// What it needs, and why.
fn state(visit: &Visit, row: &Row) -> Markup {
    let status = &row.status;
    html! {
        p.state {
            (badge(row.need)) " " (row.need.meaning()) "."
            @if let Some(why) = &status.paused { " " span.mono { (data::visible(why)) } }
            @if let BreakerStatus::Open { since, next_probe } = &status.breaker {
                " It opened " (ago(visit.now, *since)) "; the next probe is due " (ago(visit.now, *next_probe)) "."
            }
        }
    }
}

fn numbers(snapshot: &Snapshot, row: &Row) -> Markup {
    let status = &row.status;
    let exact = status.pending_is().sign();
    let caught_up = status.caught_up_in_seconds.map(Duration::from_secs);
    let change = status.pending_change_per_minute.filter(|change| *change != 0);
    html! {
        dl.tiles aria-label="Its numbers" {
            div {
                dt { "Waiting" } dd {
                    (exact) (show::count(status.pending))
                    @if let Some(change) = change { small { (if change > 0 { "+" } else { "" }) (change) " a minute" } }
                }
            }
            div {
                dt { "Oldest" } dd {
                    @if let Some(lag) = status.lag(snapshot.at) { (show::duration(lag)) } @else { "–" }
                    @if let Some(after) = caught_up { small { "caught up in " (show::duration(after)) } }
                }
            }
            div { dt { "Delivered" } dd { (show::rate(status.delivered_recently, RECENTLY.as_secs())) small { "over the last 10 s" } } }
            div { dt { "Failed" } dd { (show::rate(status.failed_recently, RECENTLY.as_secs())) small { "attempts, over the last 10 s" } } }
            div { dt { "In flight" } dd { (show::count(status.in_flight)) } }
            div { dt { "Blocked keys" } dd { (show::count(status.blocked_keys)) } }
            @if status.expired > 0 {
                div { dt { "Expired" } dd { (show::count(status.expired)) small { "waited for longer than max_age" } } }
            }
            div {
                dt { "Dead letters" } dd {
                    (show::count(row.dead_letters))
                    @if row.dead_letters > 0 {
                        small { a href=(links::with(links::DEAD_LETTERS, &[("destination", row.status.name.as_str())])) { "Look at them" } }
                    }
                }
            }
        }
    }
}
