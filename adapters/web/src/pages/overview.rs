//! `GET /console`: every destination, what needs a person first.

mod first_run;

use crate::data;
use crate::failed::Answer;
use crate::form::Form;
use crate::links;
use crate::listing::{Listed, Wanted, listed};
use crate::need::Told as _;
use crate::page::{badge, incomplete, live, page};
use crate::plots;
use crate::show;
use crate::site::Site;
use crate::snapshot::{Row, Snapshot};
use crate::visit::Visit;
use axum::extract::{RawQuery, State};
use laneway_domain::{Need, RECENTLY, Role};
use maud::{Markup, html};
use std::sync::Arc;

pub(crate) async fn show(State(site): State<Arc<Site>>, visit: Visit, RawQuery(query): RawQuery) -> Answer {
    let snapshot = site.snapshot(&visit).await?;
    let wanted = wanted(&Form::of_query(query.as_deref().unwrap_or_default()));
    let content = html! {
        (incomplete(&snapshot.incomplete))
        @if first_run::is_one(&site, &snapshot) { (first_run::commands(&visit)) }
        (live("totals", &html! {
            (totals(&snapshot))
            // Those sums are of everybody's.
            @if visit.tenant().is_none() { (plots::of_hour(&site.hour().totals())) }
            (needs(&snapshot, &wanted))
         }))
        (destinations(&site, &visit, &snapshot, &wanted))
        (others(&snapshot))
    };
    Ok(page(&visit, "Overview", &content))
}

fn wanted(query: &Form) -> Wanted {
    let need = Need::ALL.into_iter().find(|need| need.label() == query.get("need"));
    // What is no number is the first page.
    Wanted { search: query.get("search").trim().to_owned(), need, page: query.get("page").parse().unwrap_or(1) }
}

/// The address of a page of what is wanted.
fn address(wanted: &Wanted, page: usize) -> String {
    let page = if page > 1 { page.to_string() } else { String::new() };
    let need = wanted.need.map_or("", Need::label);
    links::with(links::HOME, &[("search", &wanted.search), ("need", need), ("page", &page)])
}

fn totals(snapshot: &Snapshot) -> Markup {
    let totals = &snapshot.totals;
    let tile = |name: &str, value: String, what: &str| html! { div { dt { (name) } dd { (value) @if !what.is_empty() { small { (what) } } } } };
    html! {
        dl.tiles aria-label="All destinations together" {
            (tile("Destinations", show::count(snapshot.rows.len() as u64), ""))
            (tile("Delivered", show::rate(totals.delivered_recently, RECENTLY.as_secs()), "over the last 10 s"))
            (tile("Failed", show::rate(totals.failed_recently, RECENTLY.as_secs()), "attempts"))
            (tile("Waiting", show::count(totals.pending), "deliveries"))
            (tile("Oldest", totals.lag.map_or("–".to_owned(), show::duration), ""))
            (tile("Blocked", show::count(totals.blocked_keys), "keys"))
            (tile("Dead letters", show::count(totals.dead_letters), ""))
        }
    }
}

/// How many destinations need what, each a way to see only those.
fn needs(snapshot: &Snapshot, wanted: &Wanted) -> Markup {
    let only = |need: Option<Need>| address(&Wanted { need, ..wanted.clone() }, 1);
    let current = |need: Option<Need>| (wanted.need == need).then_some("true");
    html! {
        nav.chips aria-label="By what they need" {
            ul {
                li { a href=(only(None)) aria-current=[current(None)] { "all " b { (show::count(snapshot.rows.len() as u64)) } } }
                @for need in Need::ALL {
                    @let count = snapshot.count(need);
                    @if count > 0 || wanted.need == Some(need) {
                        li { a class=(need.tone().class()) href=(only(Some(need))) aria-current=[current(Some(need))] title=(need.meaning()) {
                            (need.label()) " " b { (show::count(count as u64)) }
                        } }
                    }
                }
            }
        }
    }
}

fn destinations(site: &Site, visit: &Visit, snapshot: &Snapshot, wanted: &Wanted) -> Markup {
    html! {
        section aria-labelledby="destinations" {
            div.bar {
                h2 #destinations { "Destinations" }
                form.search method="get" action=(links::HOME) role="search" {
                    @if let Some(need) = wanted.need { input type="hidden" name="need" value=(need.label()); }
                    label.hidden for="search" { "Search destinations by name" }
                    input #search type="search" name="search" value=(wanted.search) placeholder="Name" spellcheck="false";
                    button.plain type="submit" { "Search" }
                    @if visit.may(Role::Admin) { a.button href=(links::NEW) { "Add…" } }
                }
            }
            (live("rows", &rows(site, snapshot, wanted)))
        }
    }
}

fn rows(site: &Site, snapshot: &Snapshot, wanted: &Wanted) -> Markup {
    let listed = listed(snapshot, wanted);
    html! {
        @if listed.rows.is_empty() {
            p.empty {
                @if snapshot.rows.is_empty() { "There is no destination." }
                @else { "No destination is like that. " a href=(links::HOME) { "Show all" } }
            }
        } @else {
            (table(site, snapshot, &listed))
            (pages(wanted, &listed))
        }
    }
}

fn table(site: &Site, snapshot: &Snapshot, listed: &Listed<'_>) -> Markup {
    html! {
        div.scroll tabindex="0" role="group" aria-labelledby="destinations" {
            table.wide {
                thead { tr {
                    th scope="col" { "Destination" }
                    th scope="col" { "State" }
                    th.graph scope="col" { abbr title="How many events waited" { "Last hour" } }
                    th.number scope="col" { abbr title="Events that are not settled. ≤: some were not looked at yet" { "Waiting" } }
                    th.number scope="col" { abbr title="The age of the oldest event that waits" { "Oldest" } }
                    th.number scope="col" { abbr title="Deliveries a second, over the last 10 seconds" { "Rate" } }
                    th.number scope="col" { abbr title="Attempts that failed a second, over the last 10 seconds" { "Failures" } }
                    th.number scope="col" { abbr title="Attempts under way" { "In flight" } }
                    th.number scope="col" { abbr title="Keys whose first event failed" { "Blocked" } }
                    th.number scope="col" { abbr title="Dead letters: events that were given up" { "Dead" } }
                } }
                tbody { @for row in &listed.rows { (destination(site, snapshot, row)) } }
            }
        }
    }
}

fn destination(site: &Site, snapshot: &Snapshot, row: &Row) -> Markup {
    let status = &row.status;
    let exact = status.pending_is().sign();
    let lag = status.lag(snapshot.at);
    html! {
        tr {
            th scope="row" {
                a href=(links::destination(status.name.as_str())) { (status.name.as_str()) }
                @if let Some(to) = site.target(&status.name) { span.to title=(to) { (to) } }
            }
            td { (badge(row.need)) @if let Some(why) = why(row).map(data::visible) { span.to title=(why) { (why) } } }
            td.graph { @if let Some(series) = site.hour().of(&status.name) { (plots::waiting(&series)) } }
            (number("Waiting", status.pending == 0, &format!("{exact}{}", show::count(status.pending))))
            (number("Oldest", lag.is_none(), &lag.map_or_else(|| "–".to_owned(), show::duration)))
            (number("Rate", status.delivered_recently == 0, &show::rate(status.delivered_recently, RECENTLY.as_secs())))
            (number("Failures", status.failed_recently == 0, &show::rate(status.failed_recently, RECENTLY.as_secs())))
            (number("In flight", status.in_flight == 0, &show::count(status.in_flight)))
            (number("Blocked keys", status.blocked_keys == 0, &show::count(status.blocked_keys)))
            (number("Dead letters", row.dead_letters == 0, &show::count(row.dead_letters)))
        }
    }
}

/// A number of a destination. On a phone it stands beside its name, and what is nothing is left out.
fn number(name: &str, is_nothing: bool, shown: &str) -> Markup {
    html! { td class={ "number" (if is_nothing { " nothing" } else { "" }) } data-name=(name) { (shown) } }
}

/// What stands behind its state, in the receiver's or Laneway's words.
fn why(row: &Row) -> Option<&str> {
    match row.need {
        Need::Stopped | Need::Paused => row.status.paused.as_deref(),
        Need::Down | Need::Held | Need::Blocked => row.status.blocked.first().map(|key| &*key.last_error),
        _ => None,
    }
}

fn pages(wanted: &Wanted, listed: &Listed<'_>) -> Markup {
    let Listed { page, pages, found, .. } = *listed;
    html! {
        @if pages > 1 {
            nav.pages aria-label="Pages" {
                @if page > 1 { a rel="prev" href=(address(wanted, page - 1)) { "Previous" } }
                span { "Page " (show::count(page as u64)) " of " (show::count(pages as u64)) ", " (show::counted(found as u64, "destination", "destinations")) }
                @if page < pages { a rel="next" href=(address(wanted, page + 1)) { "Next" } }
            }
        }
    }
}

/// Dead letters that would be seen nowhere else.
fn others(snapshot: &Snapshot) -> Markup {
    let gone: u64 = snapshot.other_dead_letters.values().sum();
    html! {
        @if gone > 0 {
            p.small {
                (show::counted(gone, "dead letter is", "dead letters are")) " of destinations that are not there any more: "
                @for (at, name) in snapshot.other_dead_letters.keys().take(20).enumerate() { @if at > 0 { ", " } (name.as_str()) }
                "."
            }
        }
    }
}
