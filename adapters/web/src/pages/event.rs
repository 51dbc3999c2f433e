//! `GET /console/events/{id}`: an event, its data, and its way through every destination.

use super::attempts::{self, Columns};
use super::state;
use crate::data;
use crate::failed::Answer;
use crate::form::Form;
use crate::links;
use crate::page::{incomplete, live, page};
use crate::show;
use crate::site::Site;
use crate::visit::Visit;
use axum::extract::{Path, RawQuery, State};
use laneway_domain::{LaneKey, Role};
use laneway_http::wire::{EventAt, EventView, EventWay, FoundEvents};
use maud::{Markup, html};
use std::sync::Arc;

pub(crate) async fn show(
    State(site): State<Arc<Site>>,
    visit: Visit,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Answer {
    let asked = Form::of_query(query.as_deref().unwrap_or_default());
    let path = format!("/v1/events/{}", links::part(&id));
    let meant = ["tenant", "source", "at", "destination"].map(|name| (name, asked.get(name)));
    let from = |after| [&meant[..], &[("after", after)]].concat();
    let found: FoundEvents = site.interface(&visit).get(&links::with(&path, &from(asked.get("after")))).await?;
    let all = asked.get("data") == "all";
    let content = html! {
        (incomplete(&found.incomplete))
        @if found.items.len() > 1 { p { "This id came from several sources, or is in several partitions." } }
        @if found.items.is_empty() { p.empty { @if asked.get("after").is_empty() { "It was not found so far." } @else { "Nothing was found here." } } }
        @for item in &found.items { (one(&visit, item, all)) }
        @if let Some(next) = &found.next {
            p { "The log was not looked through to its beginning. " a href=(links::with(&links::event(&id), &from(next))) { "Look further back" } }
        }
    };
    Ok(page(&visit, &format!("Event {id}"), &content))
}

fn one(visit: &Visit, way: &EventWay, all: bool) -> Markup {
    let more = format!("{}&data=all", links::event_at(way.event.id.as_str(), way.partition, way.offset));
    html! {
        (facts(visit, way))
        (payload(&way.event, all, &more))
        h2 { "Its way" }
        @if way.destinations.is_empty() { p.empty { "No destination wants it." } }
        (live(&format!("way-{}-{}", way.partition, way.offset), &html! { @for at in &way.destinations { (destination(visit, way, at)) } }))
        @if way.not_wanted > 0 && !way.destinations.is_empty() {
            p.small { (show::counted(way.not_wanted, "other destination does", "other destinations do")) " not want it." }
        }
    }
}

fn facts(visit: &Visit, way: &EventWay) -> Markup {
    html! {
        dl.facts {
            (of_event(&way.event))
            div { dt { "Accepted" } dd { (attempts::when(visit, &way.accepted_at)) } }
            div { dt { "Partition and offset" } dd.mono { (way.partition) ":" (way.offset) } }
        }
    }
}

/// What an event says of itself, beside its data.
pub(crate) fn of_event(event: &EventView) -> Markup {
    html! {
        div { dt { "Type" } dd.mono { (event.event_type) } }
        @if let Some(tenant) = &event.tenant { div { dt { "Tenant" } dd.mono { (tenant) } } }
        @if let Some(key) = &event.key { div { dt { "Key" } dd { a.mono href=(links::key(event.tenant.as_ref(), key.as_str())) { (data::visible(key.as_str())) } } } }
        @if let Some(source) = &event.source { div { dt { "Source" } dd.mono { (data::visible(source)) } } }
        @if let Some(subject) = &event.subject { div { dt { "Subject" } dd.mono { (data::visible(subject)) } } }
        @if let Some(time) = &event.time { div { dt { "Time" } dd.mono { (time) } } }
        div { dt { "Content type" } dd.mono { (event.content_type) } }
        @for (name, value) in &event.attributes { div { dt { (name) } dd.mono { (data::visible(&value.to_string())) } } }
        @if let Some(trace) = &event.traceparent { div { dt { "Trace" } dd.mono { (trace) } } }
    }
}

/// Its data; `more` leads to all of it.
pub(crate) fn payload(event: &EventView, all: bool, more: &str) -> Markup {
    let shown = data::shown(event, all);
    html! {
        h2 { "Data" }
        @if shown.bytes == 0 { p.empty { "It has none." } } @else {
            p.small {
                (show::size(shown.bytes)) "."
                @if let Some(left_out) = &shown.left_out { " " (left_out) }
                @if shown.more { " " a href=(more) { "Show all" } }
            }
            pre.data tabindex="0" aria-label="The event's data" { code { (shown.text) } }
        }
    }
}

fn destination(visit: &Visit, way: &EventWay, at: &EventAt) -> Markup {
    let name = at.destination.as_str();
    html! {
        section.way {
            h3 { a href=(links::destination(name)) { (name) } " " (state::badge(&at.state)) }
            p { (data::visible(&at.detail)) }
            @if let Some(first) = &at.waits_for { p { "It waits for " a.mono href=(links::event_at(first.id.as_str(), first.partition, first.offset)) { (data::visible(first.id.as_str())) } "." } }
            @if let Some(next) = &at.next_attempt { p { "The next attempt is due " (attempts::when(visit, next)) "." } }
            (actions(visit, way, at))
            @if !at.attempts.is_empty() { (attempts::table(visit, &at.attempts, Columns::OfEvent)) }
        }
    }
}

/// What mends it.
fn actions(visit: &Visit, way: &EventWay, at: &EventAt) -> Markup {
    let name = at.destination.as_str();
    let back = links::event_at(way.event.id.as_str(), way.partition, way.offset);
    let key = match &way.event.key {
        Some(key) => LaneKey::of(way.event.tenant.as_ref(), key),
        None => LaneKey::Event(way.offset),
    };
    html! {
        @if visit.may(Role::Operate) {
            @match &*at.state {
                "blocked" | "held" => {
                    (super::destination::actions::of_key(visit, name, &key.to_string(), (way.partition, way.offset), &back))
                }
                "dead-letter" => div.actions {
                    a.button.plain href=(links::dead_letter(name, way.partition, way.offset)) { "Retry or discard…" }
                    @if let Some(key) = &way.event.key {
                        a.button.plain href=(links::recover(name, way.event.tenant.as_ref(), key.as_str())) { "Recover its key…" }
                    }
                },
                _ => {}
            }
        }
    }
}
