//! Delivering events once more: which, how many that is, and how far it has come.

use super::actions::told;
use crate::failed::Answer;
use crate::form::{Form, Posted};
use crate::links;
use crate::page::{ago, live, page, proof, told as problem_told};
use crate::show;
use crate::site::Site;
use crate::visit::{Named, Visit, now};
use axum::extract::State;
use http::Method;
use laneway_domain::{ReplayState, Role};
use laneway_http::wire::{Done, Problem, ReplayAsked, ReplayCounted, ReplayList, ReplayView};
use maud::{Markup, html};
use serde_json::Value;
use std::sync::Arc;

/// The fields of the form, in their order: name, label, help.
const FIELDS: [(&str, &str, &str); 5] = [
    ("from", "Accepted from", "2026-01-31T12:00:00Z; from the beginning if it is empty"),
    ("to", "Accepted before", "2026-01-31T13:00:00Z; up to now if it is empty"),
    ("types", "Types", "order.*, invoice.paid; all if it is empty"),
    ("keys", "Keys", "one a line; all if it is empty. Their new events wait until the replay has passed them"),
    ("events", "Events", "ids, one a line; all if it is empty"),
];

/// `GET …/replays`.
pub(crate) async fn show(State(site): State<Arc<Site>>, visit: Visit, Named(name): Named) -> Answer {
    visit.needs(Role::Read)?;
    let path = format!("{}/replays", links::api_destination(&name));
    let known = site.interface(&visit).get::<ReplayList>(&path).await?;
    let content = html! {
        (live("replays", &listed(&visit, &name, &known.items)))
        @if visit.may(Role::Operate) { (form(&visit, &name, &Form::default(), None)) }
        p { a href=(links::destination(&name)) { "Back to " (name) } }
    };
    Ok(page(&visit, &format!("Replays of {name}"), &content))
}

fn listed(visit: &Visit, name: &str, replays: &[ReplayView]) -> Markup {
    html! {
        @if replays.is_empty() { p.empty { "Nothing is replayed, and nothing was lately." } }
        @for replay in replays { (one(visit, name, replay)) }
    }
}

fn one(visit: &Visit, name: &str, replay: &ReplayView) -> Markup {
    let state = match replay.state {
        ReplayState::Done => ("badge good", "done"),
        ReplayState::Running => ("badge quiet", "running"),
        ReplayState::Ending => ("badge quiet", "ending"),
        ReplayState::Waiting => ("badge quiet", "waiting"),
        ReplayState::Asked => ("badge quiet", "asked"),
    };
    html! {
        section.way {
            h2 { span.mono { (replay.id) } " " span class=(state.0) { (state.1) } }
            p {
                "Asked for " (ago(visit.now, replay.asked_at)) ". " (show::counted(replay.settled, "event is", "events are")) " delivered again or given up."
                @if replay.keys_behind > 0 { " " (show::counted(replay.keys_behind, "key is", "keys are")) " behind." }
            }
            label for=(format!("progress-{}", replay.id)) { "Looked at " (show::count(replay.looked_at)) " of " (show::count(replay.to_look_at)) " places of the log" }
            progress id=(format!("progress-{}", replay.id)) max=(replay.to_look_at.max(1)) value=(if replay.to_look_at == 0 { 1 } else { replay.looked_at }) {}
            @if visit.may(Role::Operate) {
                form method="post" action=(format!("{}/replays/cancel", links::destination(name))) {
                    (proof(visit))
                    input type="hidden" name="id" value=(replay.id);
                    div.actions { button.plain type="submit" { @if replay.state == ReplayState::Done { "Forget" } @else { "Cancel" } } }
                }
            }
        }
    }
}

fn form(visit: &Visit, name: &str, filled: &Form, wrong: Option<&Problem>) -> Markup {
    html! {
        h2 { "Deliver events again" }
        @if let Some(wrong) = wrong { (problem_told(wrong)) }
        p { "Events that are settled at this destination are delivered there once more, in the order of their keys. You see how many they are before it begins." }
        form.sheet method="post" action=(format!("{}/replays", links::destination(name))) {
            (proof(visit))
            div.columns {
                @for (id, label, help) in FIELDS {
                    div {
                        label for=(id) { (label) }
                        @if matches!(id, "keys" | "events") { textarea id=(id) name=(id) rows="3" spellcheck="false" aria-describedby=(format!("{id}-help")) { (filled.get(id)) } }
                        @else { input id=(id) name=(id) value=(filled.get(id)) autocomplete="off" spellcheck="false" aria-describedby=(format!("{id}-help")); }
                        p.small id=(format!("{id}-help")) { (help) }
                    }
                }
            }
            label.choice { input type="checkbox" name="first" value="yes" checked[filled.get("first") == "yes"]; " All new events wait until it is done" }
            div.actions { button type="submit" name="ask" value="count" { "Count them…" } }
        }
    }
}

fn asked(form: &Form, dry_run: bool) -> ReplayAsked {
    let said = |name: &str| Some(form.get(name).trim().to_owned()).filter(|text| !text.is_empty());
    let parts = |name: &str, at: &[char]| -> Vec<String> {
        form.get(name).split(at).map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
    };
    ReplayAsked {
        from: said("from"),
        to: said("to"),
        // Of a tenant's destination its tenant is meant.
        tenant: None,
        types: parts("types", &[',', '\n']),
        keys: parts("keys", &['\n']),
        events: parts("events", &['\n']),
        first: form.get("first") == "yes",
        dry_run,
    }
}

/// `POST …/replays`: first how many events they are, then it begins.
pub(crate) async fn begin(
    State(site): State<Arc<Site>>,
    visit: Visit,
    Named(name): Named,
    Posted(sent): Posted,
) -> Answer {
    visit.needs(Role::Operate)?;
    let asks = sent.get("ask") == "count";
    let id = if asks { format!("console-{}", now().as_millis()) } else { sent.get("id").to_owned() };
    let path = format!("{}/replays/{}", links::api_destination(&name), links::part(&id));
    let interface = site.interface(&visit);
    if !asks {
        let begun: Result<Value, Box<Problem>> = interface.send(Method::PUT, &path, &[], &asked(&sent, false)).await;
        let said = begun.map(|_| format!("The replay {id} has begun."));
        return Ok(told(&site, &visit, said, &format!("{}/replays", links::destination(&name))));
    }
    let counted: Result<ReplayCounted, Box<Problem>> =
        interface.send(Method::PUT, &path, &[], &asked(&sent, true)).await;
    let count = match counted {
        Ok(count) => count,
        Err(problem) => {
            return Ok(page(&visit, &format!("Replays of {name}"), &form(&visit, &name, &sent, Some(&problem))));
        }
    };
    let at_least = if count.is_all { "" } else { "at least " };
    let events = show::counted(count.events, "event", "events");
    let content = html! {
        p {
            (at_least) b { (events) } " would be delivered to " b { (name) } " once more, through its own limits and retries."
            @if !count.filtered { " Its filters are not known here, so that it may be fewer." }
            @if sent.get("first") == "yes" { " All of its new events wait meanwhile." }
        }
        form method="post" action=(format!("{}/replays", links::destination(&name))) {
            (proof(&visit))
            @for (field, ..) in FIELDS { input type="hidden" name=(field) value=(sent.get(field)); }
            @if sent.get("first") == "yes" { input type="hidden" name="first" value="yes"; }
            input type="hidden" name="id" value=(id);
            div.actions {
                button type="submit" { "Deliver " (at_least) (events) " again" }
                a.button.plain href=(format!("{}/replays", links::destination(&name))) { "Cancel" }
            }
        }
    };
    Ok(page(&visit, "Deliver again?", &content))
}

/// `POST …/replays/cancel`.
pub(crate) async fn cancel(
    State(site): State<Arc<Site>>,
    visit: Visit,
    Named(name): Named,
    Posted(sent): Posted,
) -> Answer {
    let id = sent.get("id");
    let path = format!("{}/replays/{}", links::api_destination(&name), links::part(id));
    let done = site.interface(&visit).send::<Done>(Method::DELETE, &path, &[], &()).await;
    let said = done.map(|Done { done }| match done {
        true => format!("The replay {id} has ended."),
        false => format!("The replay {id} is ending: not every partition has stored that yet."),
    });
    Ok(told(&site, &visit, said, &format!("{}/replays", links::destination(&name))))
}
