//! `GET /console/dead-letters/{destination}/{partition}/{offset}`: one dead letter, with the copy of its event.

use super::{chosen, lane_key};
use crate::data;
use crate::failed::Answer;
use crate::form::Form;
use crate::interface::problem;
use crate::links;
use crate::page::{ago, page, proof};
use crate::pages::event;
use crate::show;
use crate::site::Site;
use crate::visit::Visit;
use axum::extract::{Path, RawQuery, State};
use laneway_domain::{LaneKey, Offset, Partition, Role};
use laneway_http::wire::{DeadEvent, DeadLetterPage, DeadLetterView};
use maud::{Markup, html};
use std::sync::Arc;

pub(crate) async fn show(
    State(site): State<Arc<Site>>,
    visit: Visit,
    Path((name, partition, offset)): Path<(String, String, String)>,
    RawQuery(query): RawQuery,
) -> Answer {
    let asked = Form::of_query(query.as_deref().unwrap_or_default());
    let (interface, name) = (site.interface(&visit), visit.whole_name(&name));
    let (Ok(partition), Ok(offset)) = (partition.parse::<u32>(), offset.parse::<u64>()) else {
        return Err(problem(
            "not-found",
            404,
            "There is no such dead letter",
            "The address is not one of a dead letter.",
        )
        .into());
    };
    let path = format!("/v1/dead-letters/{}/{partition}/{offset}", links::part(&name));
    let dead: DeadEvent = interface.get(&path).await?;
    let only = [("destination", &*name), ("event_id", dead.event.id.as_str()), ("limit", "1000")];
    let listed: DeadLetterPage = interface.get(&links::with("/v1/dead-letters", &only)).await?;
    let place: (Partition, Offset) = (Partition(partition), Offset(offset));
    let letter = listed.dead_letters.iter().find(|letter| (letter.partition, letter.offset) == place);
    let more = format!("{}?data=all", links::dead_letter(&name, place.0, place.1));
    let content = html! {
        @if let Some(letter) = letter { (why(&visit, letter)) }
        dl.facts {
            (event::of_event(&dead.event))
            div { dt { "Accepted" } dd { (ago(visit.now, dead.accepted_at)) " " span.small { (show::moment(dead.accepted_at)) } } }
            div { dt { "Partition and offset" } dd.mono { (partition) ":" (offset) } }
        }
        (event::payload(&dead.event, asked.get("data") == "all", &more))
        p { a href=(links::event_at(dead.event.id.as_str(), place.0, place.1)) { "The event and its way through every destination" } }
    };
    Ok(page(&visit, &format!("Dead letter {} at {name}", data::visible(dead.event.id.as_str())), &content))
}

fn why(visit: &Visit, letter: &DeadLetterView) -> Markup {
    let name = letter.destination.as_str();
    html! {
        p {
            "Given up " (ago(visit.now, letter.given_up_at)) " by " a href=(links::destination(name)) { (name) } ", after "
            (show::counted(u64::from(letter.attempts), "attempt", "attempts")) ", the first of which failed " (ago(visit.now, letter.first_failure))
            ". Its key: " (lane_key(&letter.lane_key)) "."
            @if letter.retry_requested { " Somebody has asked for a retry; it has not happened yet." }
        }
        p.said { (data::visible(&letter.reason)) }
        @if visit.may(Role::Operate) { (actions(visit, letter)) }
        @if !letter.history.is_empty() {
            h2 { "Its last failures" }
            ul.plain { @for failure in &letter.history { li { (ago(visit.now, failure.at)) ": " span.said { (data::visible(&failure.reason)) } } } }
        }
    }
}

fn actions(visit: &Visit, letter: &DeadLetterView) -> Markup {
    let name = letter.destination.as_str();
    html! {
        div.actions {
            form method="post" action=(links::CHOSEN) {
                (proof(visit))
                input type="hidden" name="letter" value=(chosen::written(letter));
                input type="hidden" name="back" value=(links::with(links::DEAD_LETTERS, &[("destination", name)]));
                button type="submit" name="ask" value="retry" { "Retry…" } " "
                button.danger type="submit" name="ask" value="discard" { "Discard…" }
            }
            @if let Some((tenant, key)) = LaneKey::parse(&letter.lane_key).as_ref().and_then(LaneKey::owner_and_key) {
                a.button.plain href=(links::recover(name, tenant, key.as_str())) { "Recover its key…" }
            }
        }
    }
}
