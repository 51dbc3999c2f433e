//! Attempts in a table: when, how long, how they ended, and what the receiver said.

use crate::data;
use crate::links;
use crate::page::{ago, incomplete};
use crate::show;
use crate::visit::Visit;
use laneway_http::wire::{AttemptLine, AttemptPage, Problem};
use maud::{Markup, html};

/// What the page says already, and the table need not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Columns {
    /// It is about one destination.
    OfDestination,
    /// It is about one event.
    OfEvent,
}

/// The attempts, or why there are none.
pub(crate) fn section(
    visit: &Visit,
    title: &str,
    found: &Result<AttemptPage, Box<Problem>>,
    columns: Columns,
) -> Markup {
    html! {
        section aria-labelledby="attempts" {
            h2 #attempts { (title) }
            @match found {
                Err(problem) => p.empty { "They cannot be shown: " (problem.detail) },
                Ok(found) => {
                    (incomplete(&found.incomplete))
                    @if found.items.is_empty() { p.empty { "None is known." } }
                    @else { (table(visit, &found.items, columns)) }
                }
            }
        }
    }
}

/// A moment as the interface writes it.
pub(crate) fn when(visit: &Visit, text: &str) -> Markup {
    match show::read_moment(text) {
        Some(at) => ago(visit.now, at),
        None => html! { (text) },
    }
}

/// The table alone.
pub(crate) fn table(visit: &Visit, attempts: &[AttemptLine], columns: Columns) -> Markup {
    html! {
        div.scroll tabindex="0" role="group" aria-label="Attempts" {
            table.cards {
                thead { tr {
                    th scope="col" { "When" }
                    @if columns == Columns::OfDestination { th scope="col" { "Event" } th scope="col" { "Key" } }
                    th.number scope="col" { "Attempt" }
                    th.number scope="col" { "Took" }
                    th scope="col" { "Outcome" }
                    th scope="col" { "What was said" }
                } }
                tbody { @for attempt in attempts { (line(visit, attempt, columns)) } }
            }
        }
    }
}

fn line(visit: &Visit, attempt: &AttemptLine, columns: Columns) -> Markup {
    let tone = match &*attempt.outcome {
        "delivered" => "badge good",
        "skipped" | "expired" => "badge quiet",
        _ => "badge bad",
    };
    html! {
        tr {
            td data-name="When" { (when(visit, &attempt.at)) }
            @if columns == Columns::OfDestination {
                td.mono data-name="Event" { @match &attempt.event_id { Some(id) => a href=(links::event_at(id.as_str(), attempt.partition, attempt.offset)) { (data::visible(id.as_str())) }, None => { (attempt.partition) ":" (attempt.offset) } } }
                td.mono data-name="Key" { @match &attempt.key { Some(key) => a href=(links::key(attempt.destination.tenant().as_ref(), key.as_str())) { (data::visible(key.as_str())) }, None => "–" } }
            }
            td.number data-name="Attempt" { @if attempt.attempt == 0 { "–" } @else { (attempt.attempt) } @if attempt.redrive { " (again)" } }
            td.number data-name="Took" { (show::took(attempt.took_us)) }
            td data-name="Outcome" { span class=(tone) { (attempt.outcome) } @if let Some(status) = attempt.status { " " (status) } }
            td.said {
                @if let Some(reason) = &attempt.reason { (data::visible(reason)) }
                @if let Some(answer) = &attempt.answer {
                    details {
                        summary { "The answer" }
                        pre tabindex="0" { code { (data::visible(&answer.headers)) "\n\n" (data::visible(&answer.body)) } }
                    }
                }
            }
        }
    }
}
