//! What is told to a destination: pause, resume, test, retry a key, skip its failed event. What takes something away says
//! first what it will do, and how much of it there is.

use super::no_destination;
use crate::data;
use crate::failed::Answer;
use crate::form::{Form, Posted};
use crate::links;
use crate::page::{ago, page, proof};
use crate::show;
use crate::site::Site;
use crate::visit::{Named, Visit};
use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::Method;
use laneway_domain::{BlockedKey, DestinationStatus, Offset, Partition, Role};
use laneway_http::wire::{ChangeAnswer, Done, Empty, KeyChoice, PauseChoice, Problem, TestAnswer};
use maud::{Markup, html};
use serde_json::Value;
use std::sync::Arc;

/// The forms of a destination's page, for those who may use them.
pub(super) fn buttons(visit: &Visit, name: &str, is_paused: bool, can_resume: bool, can_change: bool) -> Markup {
    let path = links::destination(name);
    html! {
        @if visit.may(Role::Operate) {
            div.actions {
                form method="post" action=(format!("{path}/test")) {
                    (proof(visit)) button.plain type="submit" { "Send a test event" }
                }
                @if can_resume {
                    form method="post" action=(format!("{path}/resume")) { (proof(visit)) button type="submit" { "Resume" } }
                }
                @if !is_paused { a.button.plain href=(format!("{path}/pause")) { "Pause…" } }
                a.button.plain href=(format!("{path}/replays")) { "Replay…" }
                @if visit.may(Role::Admin) && can_change {
                    a.button.plain href=(format!("{path}/edit")) { "Edit…" }
                    a.button.plain href=(format!("{path}/rotate")) { "New secret…" }
                    a.button.danger href=(format!("{path}/delete")) { "Delete…" }
                }
            }
        }
    }
}

/// What those that act at once will do, and how many events each concerns.
pub(super) fn what_they_do(status: &DestinationStatus, can_resume: bool) -> Markup {
    html! {
        p.small {
            "A test event is 1 event of Laneway's own, sent at once and beside the order. "
            (show::waiting(status)) " for " (status.name.as_str()) " in all, and a test touches none of them."
            @if can_resume && status.pending > 0 {
                " Resuming delivers them in their order"
                @if status.blocked_keys > 0 {
                    ", those of " (show::counted(status.blocked_keys, "blocked key", "blocked keys")) " as their retries are due"
                }
                "."
            }
        }
    }
}

/// What can be told to a key that is blocked at this event; afterwards the page `back` is shown.
pub(crate) fn of_key(
    visit: &Visit,
    name: &str,
    key: &str,
    (partition, head): (Partition, Offset),
    back: &str,
) -> Markup {
    let path = format!("{}/keys", links::destination(name));
    let (partition, head) = (partition.to_string(), head.to_string());
    let query = [("key", key), ("partition", &*partition), ("head", &*head), ("back", back)];
    html! {
        div.actions {
            form method="post" action=(format!("{path}/retry")) {
                (proof(visit))
                @for (name, value) in query { input type="hidden" name=(name) value=(value); }
                button.plain type="submit" aria-label=(format!("Retry 1 event now: {key} at {name}")) { "Retry 1 event now" }
            }
            a.button.plain href=(links::with(&format!("{path}/skip"), &query))
                aria-label=(format!("Skip…: the failed event of {key} at {name}")) { "Skip…" }
        }
    }
}

/// `GET …/pause`: what a pause will do.
pub(crate) async fn ask_pause(State(site): State<Arc<Site>>, visit: Visit, Named(name): Named) -> Answer {
    visit.needs(Role::Operate)?;
    let snapshot = site.snapshot(&visit).await.ok();
    let status = snapshot.as_ref().and_then(|snapshot| snapshot.row(&name)).map(|row| &row.status);
    let path = links::destination(&name);
    let content = html! {
        p { "No attempt starts any more until somebody resumes it. Nothing is lost: its events wait in the log." }
        @if let Some(status) = status {
            p {
                (show::waiting(status)) " for it now, and "
                (show::counted(status.in_flight, "attempt is", "attempts are")) " under way and will end first."
            }
        }
        form.narrow method="post" action=(format!("{path}/pause")) {
            (proof(&visit))
            label for="reason" { "Why, for those who read it later" }
            input #reason type="text" name="reason" maxlength="200" autocomplete="off";
            div.actions { button type="submit" { "Pause " (name) } a.button.plain href=(path) { "Cancel" } }
        }
    };
    Ok(page(&visit, &format!("Pause {name}?"), &content))
}

/// `POST …/pause`.
pub(crate) async fn pause(
    State(site): State<Arc<Site>>,
    visit: Visit,
    Named(name): Named,
    Posted(form): Posted,
) -> Answer {
    let body = PauseChoice { reason: form.get("reason").to_owned() };
    let path = format!("{}/pause", links::api_destination(&name));
    let done: Result<ChangeAnswer, Box<Problem>> = site.interface(&visit).send(Method::POST, &path, &[], &body).await;
    let said =
        done.map(|answer| format!("{name} is paused. {}", of_pause(answer.in_flight, answer.pending.len() as u64)));
    Ok(told(&site, &visit, said, &links::destination(&name)))
}

/// How far a pause has come.
fn of_pause(in_flight: Option<u64>, pending: u64) -> String {
    match (in_flight, pending) {
        (Some(0), 0) => "Nothing is in flight any more.".to_owned(),
        (Some(in_flight), 0) => format!("{} still under way.", show::counted(in_flight, "attempt is", "attempts are")),
        (None, 0) => "No attempt starts any more. Whether one is still under way is not known.".to_owned(),
        (_, pending) => {
            format!("{} not taken that over yet.", show::counted(pending, "partition has", "partitions have"))
        }
    }
}

/// `POST …/resume`.
pub(crate) async fn resume(
    State(site): State<Arc<Site>>,
    visit: Visit,
    Named(name): Named,
    Posted(_): Posted,
) -> Answer {
    let path = format!("{}/resume", links::api_destination(&name));
    let done: Result<Value, Box<Problem>> = site.interface(&visit).send(Method::POST, &path, &[], &Empty {}).await;
    let said = done.map(|_| format!("{name} is resumed: its events are delivered again."));
    Ok(told(&site, &visit, said, &links::destination(&name)))
}

/// `POST …/test`.
pub(crate) async fn test(State(site): State<Arc<Site>>, visit: Visit, Named(name): Named, Posted(_): Posted) -> Answer {
    let path = format!("{}/test", links::api_destination(&name));
    let done: Result<TestAnswer, Box<Problem>> = site.interface(&visit).send(Method::POST, &path, &[], &Empty {}).await;
    let (is_good, what) = match done {
        Ok(answer) => (answer.delivered, of_test(&answer)),
        Err(problem) => (false, in_words(&problem)),
    };
    Ok(site.came_to(&visit, is_good, what, &links::destination(&name)))
}

fn of_test(answer: &TestAnswer) -> String {
    let took = show::took(answer.took_ms.saturating_mul(1000));
    let status = answer.status.map_or_else(String::new, |status| format!(" with status {status}"));
    let said = answer.body.as_deref().map_or_else(String::new, |body| format!(" It said: {body}"));
    if answer.delivered {
        return format!("The receiver took the test event{status}, in {took}.{said}");
    }
    let why = answer.reason.as_deref().unwrap_or("no reason was given");
    format!("The test event was not taken (after {took}): {why}")
}

/// `GET …/keys/skip?key=`: what skipping will do.
pub(crate) async fn ask_skip(
    State(site): State<Arc<Site>>,
    visit: Visit,
    Named(name): Named,
    RawQuery(query): RawQuery,
) -> Answer {
    visit.needs(Role::Operate)?;
    let asked = Form::of_query(query.as_deref().unwrap_or_default());
    let (key, path) = (asked.get("key"), links::destination(&name));
    let back = links::back(&asked, &path);
    if key.is_empty() {
        return Err(no_destination(&name));
    }
    // Whoever may skip, but not look, is told what will happen all the same.
    let snapshot = site.snapshot(&visit).await.ok();
    let status = snapshot.as_ref().and_then(|snapshot| snapshot.row(&name)).map(|row| &row.status);
    let (partition, head) = (asked.get("partition"), asked.get("head"));
    let is_meant = |blocked: &&BlockedKey| {
        blocked.key == key
            && (partition.is_empty() || blocked.partition.to_string() == partition)
            && (head.is_empty() || blocked.head.to_string() == head)
    };
    let blocked = status.and_then(|status| status.blocked.iter().find(is_meant));
    // What was shown is what is skipped.
    let shown = blocked.map(|blocked| (blocked.partition.to_string(), blocked.head.to_string()));
    let (partition, head) = shown.unwrap_or_else(|| (partition.to_owned(), head.to_owned()));
    let content = html! {
        p { "The event at which " code { (key) } " is blocked is given up at " b { (name) } " now, whatever retries it has left." }
        p {
            "That is one event. It becomes a dead letter, which you can retry or discard later, and the key goes on with its "
            "next event. Other destinations are not affected."
        }
        @if let Some(blocked) = blocked {
            p {
                "It is the event at " span.mono { (blocked.partition) ":" (blocked.head) } ", which has failed "
                (show::counted(u64::from(blocked.attempts), "time", "times")) ", for the first time " (ago(visit.now, blocked.since)) "."
            }
            p.said { (data::visible(&blocked.last_error)) }
        }
        @if let Some(status) = status { p.small { (show::waiting(status)) " for " (name) " in all." } }
        form method="post" action=(format!("{path}/keys/skip")) {
            (proof(&visit))
            input type="hidden" name="key" value=(key);
            input type="hidden" name="partition" value=(partition);
            input type="hidden" name="head" value=(head);
            input type="hidden" name="back" value=(back);
            div.actions { button.danger type="submit" { "Skip 1 event" } a.button.plain href=(back) { "Cancel" } }
        }
    };
    Ok(page(&visit, "Skip the failed event?", &content))
}

/// `POST …/keys/skip`.
pub(crate) async fn skip(
    State(site): State<Arc<Site>>,
    visit: Visit,
    Named(name): Named,
    Posted(form): Posted,
) -> Answer {
    let key = form.get("key");
    let done = tell_key(&site, &visit, &name, "skip", &form).await;
    let said = done
        .map(|_| format!("The failed event of {key} is given up at {name}: it is a dead letter, and the key goes on."));
    Ok(told(&site, &visit, said, links::back(&form, &links::destination(&name))))
}

/// `POST …/keys/retry`.
pub(crate) async fn retry(
    State(site): State<Arc<Site>>,
    visit: Visit,
    Named(name): Named,
    Posted(form): Posted,
) -> Answer {
    let key = form.get("key");
    let done = tell_key(&site, &visit, &name, "retry", &form).await;
    let said = done.map(|_| format!("The failed event of {key} is attempted at {name} now."));
    Ok(told(&site, &visit, said, links::back(&form, &links::destination(&name))))
}

async fn tell_key(site: &Site, visit: &Visit, name: &str, what: &str, form: &Form) -> Result<Done, Box<Problem>> {
    let path = format!("{}/keys/{what}", links::api_destination(name));
    // Whatever stands there instead of a number is not what a page has written: then it is asked for.
    let (partition, head) = (form.get("partition").parse().ok(), form.get("head").parse().ok());
    let choice =
        KeyChoice { key: form.get("key").to_owned(), partition: partition.map(Partition), head: head.map(Offset) };
    site.interface(visit).send(Method::POST, &path, &[], &choice).await
}

pub(crate) fn told(site: &Site, visit: &Visit, said: Result<String, Box<Problem>>, to: &str) -> Response {
    match said {
        Ok(what) => site.came_to(visit, true, what, to),
        Err(problem) => site.came_to(visit, false, in_words(&problem), to),
    }
}

/// A problem in one line.
pub(super) fn in_words(problem: &Problem) -> String {
    format!("{}: {}", problem.title, problem.detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_says_how_far_it_has_come_and_what_is_not_known() {
        assert_eq!(of_pause(Some(0), 0), "Nothing is in flight any more.");
        assert_eq!(of_pause(Some(1), 0), "1 attempt is still under way.");
        assert_eq!(of_pause(None, 0), "No attempt starts any more. Whether one is still under way is not known.");
        for in_flight in [None, Some(0), Some(3)] {
            assert_eq!(of_pause(in_flight, 1), "1 partition has not taken that over yet.");
        }
    }
}
