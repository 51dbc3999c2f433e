//! `GET /console/events`: events of the log, the latest first, and the way to one of them.

use crate::data;
use crate::failed::Answer;
use crate::form::Form;
use crate::links;
use crate::page::{ago, incomplete, page};
use crate::show;
use crate::site::Site;
use crate::visit::Visit;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Redirect};
use laneway_domain::Role;
use laneway_http::wire::{EventLine, EventPage};
use maud::{Markup, html};
use std::sync::Arc;

/// Events of a page.
const LIMIT: &str = "50";

pub(crate) async fn show(State(site): State<Arc<Site>>, visit: Visit, RawQuery(query): RawQuery) -> Answer {
    visit.needs(Role::Read)?;
    let asked = Form::of_query(query.as_deref().unwrap_or_default());
    if let id @ 1.. = asked.get("id").trim().len() {
        let id = &asked.get("id").trim()[..id];
        return Ok(Redirect::to(&links::event(id)).into_response());
    }
    let filter =
        [("key", asked.get("key")), ("type", asked.get("type")), ("from", asked.get("from")), ("to", asked.get("to"))];
    let paged: Vec<_> = filter.into_iter().chain([("after", asked.get("after")), ("limit", LIMIT)]).collect();
    let found = site.interface(&visit).get::<EventPage>(&links::with("/v1/events", &paged)).await;
    let content = html! {
        (search(&asked))
        @match &found {
            Err(problem) => (crate::page::told(problem)),
            Ok(found) => {
                (incomplete(&found.incomplete))
                @if found.items.is_empty() { p.empty { "No event is like that." } } @else { (table(&visit, &found.items)) }
                @if let Some(next) = &found.next {
                    @let further: Vec<_> = filter.into_iter().chain([("after", &**next)]).collect();
                    nav.pages aria-label="Pages" { a rel="next" href=(links::with(links::EVENTS, &further)) { "Earlier events" } }
                }
            }
        }
    };
    Ok(page(&visit, "Events", &content))
}

fn search(asked: &Form) -> Markup {
    let field = |id: &str, label: &str, hint: &str| {
        html! {
            div { label for=(id) { (label) } input id=(id) name=(id) value=(asked.get(id)) placeholder=(hint) autocomplete="off" spellcheck="false"; }
        }
    };
    html! {
        form.filter method="get" action=(links::EVENTS) role="search" {
            (field("id", "Id", "one event"))
            (field("key", "Key", "order-7"))
            (field("type", "Type", "order.*"))
            (field("from", "From", "2026-01-31T12:00:00Z"))
            (field("to", "To", "2026-01-31T13:00:00Z"))
            button type="submit" { "Find" }
        }
    }
}

/// Events in a table.
pub(crate) fn table(visit: &Visit, events: &[EventLine]) -> Markup {
    html! {
        div.scroll tabindex="0" role="group" aria-label="Events" {
            table.cards {
                thead { tr {
                    th scope="col" { "Event" } th scope="col" { "Type" } th scope="col" { "Key" } th scope="col" { "Source" }
                    th scope="col" { "Accepted" } th scope="col" { abbr title="Partition and offset" { "At" } } th.number scope="col" { "Size" }
                } }
                tbody { @for event in events { (line(visit, event)) } }
            }
        }
    }
}

fn line(visit: &Visit, event: &EventLine) -> Markup {
    let source = event.source.as_deref().unwrap_or_default();
    html! {
        tr {
            th scope="row" { a.mono href=(links::event_at(event.id.as_str(), event.partition, event.offset)) { (data::visible(event.id.as_str())) } }
            td.mono data-name="Type" { (event.event_type) }
            td data-name="Key" { @if let Some(key) = &event.key { a.mono href=(links::key(event.tenant.as_ref(), key.as_str())) { (data::visible(key.as_str())) } } @else { "–" } }
            td.mono data-name="Source" { @if source.is_empty() { "–" } @else { (data::visible(source)) } }
            td data-name="Accepted" { @match show::read_moment(&event.accepted_at) { Some(at) => (ago(visit.now, at)), None => (event.accepted_at) } }
            td.mono data-name="At" { (event.partition) ":" (event.offset) }
            td.number data-name="Size" { (show::size(event.bytes)) }
        }
    }
}
