//! `/console/send`: an event, written by hand.

use crate::failed::{Answer, Failed};
use crate::form::{Form, PostedEvent};
use crate::interface::problem;
use crate::links;
use crate::page::{page_with, proof, told};
use crate::site::Site;
use crate::visit::Visit;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::{Method, StatusCode};
use laneway_domain::Role;
use laneway_http::wire::{Accepted, Problem};
use maud::html;
use serde::Serialize;
use serde_json::value::RawValue;
use std::sync::Arc;

/// What the interface takes.
#[derive(Serialize)]
struct Event<'a> {
    r#type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    /// As it was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Box<RawValue>>,
}

/// `GET /console/send`.
pub(crate) async fn ask(State(site): State<Arc<Site>>, visit: Visit, RawQuery(query): RawQuery) -> Answer {
    visit.needs(Role::Publish)?;
    if site.api.log.is_none() {
        let what = "This process delivers and takes no events in. Send them at an ingest.";
        return Err(Failed(problem("not-found", 404, "No event can be sent here", what)));
    }
    Ok(form(&visit, &Form::of_query(query.as_deref().unwrap_or_default()), None))
}

fn form(visit: &Visit, filled: &Form, wrong: Option<&Problem>) -> Response {
    let field = |id: &str, label: &str, help: &str, required: bool| {
        html! {
            div {
                label for=(id) { (label) }
                input id=(id) name=(id) value=(filled.get(id)) required[required] autocomplete="off" spellcheck="false" aria-describedby=(format!("{id}-help"));
                p.small id=(format!("{id}-help")) { (help) }
            }
        }
    };
    let data = if filled.has("data") { filled.get("data") } else { "{}" };
    let content = html! {
        @if let Some(wrong) = wrong { (told(wrong)) }
        form.sheet method="post" action=(links::SEND) {
            (proof(visit))
            div.columns {
                (field("type", "Type", "such as order.paid; destinations choose by it", true))
                (field("key", "Key", "events of one key are delivered in order; none if it is empty", false))
                (field("id", "Id", "an id that was sent before is not stored again; Laneway makes one if it is empty", false))
                (field("source", "Source", "where it comes from", false))
                (field("subject", "Subject", "what it is about", false))
            }
            label for="data" { "Data" }
            textarea #data name="data" rows="12" spellcheck="false" aria-describedby="data-help" { (data) }
            p.small #data-help { "JSON, which is kept as you write it. Without any, the event has no data." }
            div.actions { button type="submit" { "Send" } }
        }
    };
    let status = wrong.and_then(|wrong| StatusCode::from_u16(wrong.status).ok()).unwrap_or(StatusCode::OK);
    page_with(status, visit, "Send an event", &content)
}

/// `POST /console/send`.
pub(crate) async fn send(State(site): State<Arc<Site>>, visit: Visit, PostedEvent(sent): PostedEvent) -> Answer {
    visit.needs(Role::Publish)?;
    let said = |name: &str| Some(sent.get(name)).filter(|text| !text.is_empty());
    let data = match said("data").filter(|text| !text.trim().is_empty()) {
        None => None,
        Some(text) => match RawValue::from_string(text.to_owned()) {
            Ok(data) => Some(data),
            Err(error) => {
                let what = format!("The data is no JSON: {error}.");
                return Ok(form(&visit, &sent, Some(&problem("malformed", 422, "The data is no JSON", &what))));
            }
        },
    };
    let event = Event {
        r#type: sent.get("type"),
        id: said("id"),
        key: said("key"),
        source: said("source"),
        subject: said("subject"),
        data,
    };
    let answer: Result<Accepted, Box<Problem>> =
        site.interface(&visit).send(Method::POST, "/v1/events", &[], &event).await;
    match answer {
        Ok(accepted) => {
            let again = if accepted.duplicate { "was accepted before, and is not stored again" } else { "is accepted" };
            let what = format!(
                "The event {} {again}: partition {}, offset {}.",
                accepted.id, accepted.partition, accepted.offset
            );
            let event = links::event_at(accepted.id.as_str(), accepted.partition, accepted.offset);
            Ok(site.came_to(&visit, true, what, if visit.may(Role::Read) { &event } else { links::SEND }))
        }
        Err(problem) => Ok(form(&visit, &sent, Some(&problem))),
    }
}
