//! `GET …/changes`: who changed a destination, when, and from which offsets on.

use crate::data;
use crate::failed::Answer;
use crate::form::Form;
use crate::links;
use crate::page::{incomplete, page};
use crate::pages::attempts::when;
use crate::site::Site;
use crate::visit::{Named, Visit};
use axum::extract::{RawQuery, State};
use laneway_http::wire::{JournalLine, JournalPage};
use maud::{Markup, html};
use std::sync::Arc;

/// Changes of a page.
const LIMIT: &str = "50";

pub(crate) async fn show(
    State(site): State<Arc<Site>>,
    visit: Visit,
    Named(name): Named,
    RawQuery(query): RawQuery,
) -> Answer {
    let asked = Form::of_query(query.as_deref().unwrap_or_default());
    let here = format!("{}/changes", links::destination(&name));
    let path = format!("{}/changes", links::api_destination(&name));
    let found: JournalPage =
        site.interface(&visit).get(&links::with(&path, &[("before", asked.get("before")), ("limit", LIMIT)])).await?;
    let content = html! {
        (incomplete(&found.incomplete))
        @if found.items.is_empty() { p.empty { "No change of it is known." } } @else {
            p.small { "The cuts say from which offset on each partition judges events by a change." }
            div.scroll tabindex="0" role="group" aria-label="Changes" {
                table.cards {
                    thead { tr { th scope="col" { "When" } th scope="col" { "Who" } th scope="col" { "What" } th scope="col" { "Revision" } th scope="col" { "Cuts" } } }
                    tbody { @for line in &found.items { (one(&visit, line)) } }
                }
            }
        }
        @if let Some(next) = &found.next {
            nav.pages aria-label="Pages" { a rel="next" href=(links::with(&here, &[("before", next)])) { "Earlier changes" } }
        }
        p { a href=(links::destination(&name)) { "Back to " (name) } }
    };
    Ok(page(&visit, &format!("Changes of {name}"), &content))
}

fn one(visit: &Visit, line: &JournalLine) -> Markup {
    html! {
        tr {
            td data-name="When" { (when(visit, &line.at)) }
            td data-name="Who" { (line.by) }
            td data-name="What" { (data::visible(&line.what)) }
            td.mono data-name="Revision" { (line.revision) }
            td data-name="Cuts" {
                @if line.cuts.is_empty() { "–" } @else {
                    details { summary { (line.cuts.len()) " partitions" } span.mono { @for (partition, offset) in &line.cuts { (partition) ":" (offset) " " } } }
                }
            }
        }
    }
}
