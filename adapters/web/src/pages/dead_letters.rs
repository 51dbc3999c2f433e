//! `GET /console/dead-letters`: what was given up, filtered; and what is to become of those that are chosen.

pub(crate) mod chosen;
pub(crate) mod letter;

use crate::data;
use crate::failed::Answer;
use crate::form::Form;
use crate::links;
use crate::page::{ago, live, page, proof, told};
use crate::show;
use crate::site::Site;
use crate::visit::Visit;
use axum::extract::{RawQuery, State};
use laneway_domain::{LaneKey, Role};
use laneway_http::wire::{DeadLetterPage, DeadLetterView};
use maud::{Markup, html};
use std::sync::Arc;

/// What they are filtered by: the interface's name of it, its label, and a hint.
pub(crate) const FILTER: [(&str, &str, &str); 8] = [
    ("destination", "Destination", ""),
    ("tenant", "Tenant", ""),
    ("key", "Key", ""),
    ("event_id", "Event", ""),
    ("type", "Type", "order.*"),
    ("status", "Status", "422"),
    ("from", "Given up from", "2026-01-31T12:00:00Z"),
    ("to", "Given up before", "2026-01-31T13:00:00Z"),
];

/// Dead letters of a page: so many can be chosen at a time.
pub(crate) const LIMIT: &str = "50";

pub(crate) async fn show(State(site): State<Arc<Site>>, visit: Visit, RawQuery(query): RawQuery) -> Answer {
    visit.needs(Role::Read)?;
    let asked = Form::of_query(query.as_deref().unwrap_or_default());
    let filter: Vec<(&str, &str)> = FILTER.iter().map(|(name, ..)| (*name, asked.get(name).trim())).collect();
    let paged: Vec<_> = filter.iter().copied().chain([("after", asked.get("after")), ("limit", LIMIT)]).collect();
    let found = site.interface(&visit).get::<DeadLetterPage>(&links::with("/v1/dead-letters", &paged)).await;
    let content = html! {
        (search(&asked))
        @match &found {
            Err(problem) => (told(problem)),
            Ok(found) => {
                (live("letters", &listed(&visit, &found.dead_letters, &filter)))
                @if let Some(next) = &found.next {
                    @let further: Vec<_> = filter.iter().copied().chain([("after", &**next)]).collect();
                    nav.pages aria-label="Pages" { a rel="next" href=(links::with(links::DEAD_LETTERS, &further)) { "More" } }
                }
            }
        }
    };
    Ok(page(&visit, "Dead letters", &content))
}

fn search(asked: &Form) -> Markup {
    html! {
        form.filter method="get" action=(links::DEAD_LETTERS) role="search" {
            @for (id, label, hint) in FILTER {
                div { label for=(id) { (label) } input id=(id) name=(id) value=(asked.get(id)) placeholder=(hint) autocomplete="off" spellcheck="false"; }
            }
            button type="submit" { "Filter" }
        }
    }
}

fn listed(visit: &Visit, letters: &[DeadLetterView], filter: &[(&str, &str)]) -> Markup {
    if letters.is_empty() {
        let is_filtered = filter.iter().any(|(_, value)| !value.is_empty());
        return html! { p.empty { @if is_filtered { "No dead letter is like that." } @else { "There are no dead letters. Nothing was given up." } } };
    }
    let may = visit.may(Role::Operate);
    html! {
        form method="post" action=(links::CHOSEN) {
            (proof(visit))
            input type="hidden" name="back" value=(links::with(links::DEAD_LETTERS, filter));
            @for (name, value) in filter { input type="hidden" name=(name) value=(value); }
            @if may {
                div.actions {
                    button.plain type="submit" name="ask" value="retry" { "Retry those chosen…" }
                    button.plain type="submit" name="ask" value="discard" { "Discard those chosen…" }
                    @if filter.iter().any(|(name, value)| *name == "destination" && !value.is_empty()) {
                        button.plain type="submit" name="ask" value="retry-all" { "Retry all of the filter…" }
                        button.plain type="submit" name="ask" value="discard-all" { "Discard all of the filter…" }
                    }
                }
            }
            div.scroll tabindex="0" role="group" aria-label="Dead letters" {
                table.cards {
                    thead { tr {
                        @if may { th scope="col" { span.hidden { "Choose" } } }
                        th scope="col" { "Event" } th scope="col" { "Destination" } th scope="col" { "Key" }
                        th scope="col" { "Given up" } th.number scope="col" { "Attempts" } th scope="col" { "Why" }
                    } }
                    tbody { @for letter in letters { (line(visit, letter, may)) } }
                }
            }
        }
    }
}

fn line(visit: &Visit, letter: &DeadLetterView, may: bool) -> Markup {
    let (name, id) = (letter.destination.as_str(), data::visible(letter.event_id.as_str()));
    html! {
        tr {
            @if may {
                td { input type="checkbox" name="letter" value=(chosen::written(letter)) aria-label=(format!("Choose {id} at {name}")); }
            }
            th scope="row" {
                a.mono href=(links::dead_letter(name, letter.partition, letter.offset)) { (id) }
                @if letter.retry_requested { " " span.badge.quiet { "retry asked for" } }
            }
            td data-name="Destination" { a href=(links::destination(name)) { (name) } }
            td data-name="Key" { (lane_key(&letter.lane_key)) }
            td data-name="Given up" { (ago(visit.now, letter.given_up_at)) }
            td.number data-name="Attempts" { (show::count(u64::from(letter.attempts))) }
            td.said { (data::visible(&letter.reason)) }
        }
    }
}

/// A key as the interface lists it, which leads to its page if it is one.
pub(crate) fn lane_key(text: &str) -> Markup {
    match LaneKey::parse(text) {
        Some(LaneKey::Key(key)) => {
            html! { a.mono href=(links::key(None, key.as_str())) { (data::visible(key.as_str())) } }
        }
        Some(LaneKey::Tenant(tenant, key)) => html! {
            a.mono href=(links::key(Some(&tenant), key.as_str())) { (data::visible(key.as_str())) } small { " of " (tenant) }
        },
        Some(LaneKey::Event(_)) => html! { "none" },
        _ => html! { span.mono { (data::visible(text)) } },
    }
}
