//! Making, changing and deleting a destination, and its signing secret. What a change comes to is asked before.

use super::actions::{in_words, told};
use crate::failed::Answer;
use crate::form::{Form, Posted};
use crate::interface::Interface;
use crate::links;
use crate::page::{page, page_with, proof};
use crate::settings::{self, FIELDS, Field, Kind, OTHERS};
use crate::show;
use crate::site::Site;
use crate::visit::{Named, Visit};
use axum::extract::State;
use axum::response::Response;
use http::{Method, StatusCode};
use laneway_domain::{DestinationName, DestinationStatus, Origin, Role};
use laneway_http::wire::{
    BatchAnswer, BatchChange, BatchOfChanges, BatchOp, BatchResult, ChangeAnswer, DestinationRecord, Problem,
    RotateChoice,
};
use maud::{Markup, html};
use std::sync::Arc;

/// What is wrong with a form: the field, and what.
type Wrong = Vec<(String, String)>;

/// `GET /console/new`.
pub(crate) async fn ask_new(State(site): State<Arc<Site>>, visit: Visit) -> Answer {
    visit.needs(Role::Admin)?;
    Ok(form(&site, &visit, None, &Form::default(), &Wrong::new()).await)
}

/// `POST /console/new`.
pub(crate) async fn make(State(site): State<Arc<Site>>, visit: Visit, Posted(sent): Posted) -> Answer {
    visit.needs(Role::Admin)?;
    let name = sent.get("name").trim();
    if let Err(error) = DestinationName::new(name) {
        return Ok(form(&site, &visit, None, &sent, &vec![("name".to_owned(), error.to_string())]).await);
    }
    // Where there is one of the name already, nobody means to replace it here.
    put(&site, &visit, name, None, &sent, &[("if-none-match", "*")]).await
}

/// `GET …/edit`.
pub(crate) async fn ask_edit(State(site): State<Arc<Site>>, visit: Visit, Named(name): Named) -> Answer {
    visit.needs(Role::Admin)?;
    let record: DestinationRecord = site.interface(&visit).get(&links::api_destination(&name)).await?;
    let filled = settings::form_of(&record.settings).with("revision", &record.revision.to_string());
    Ok(form(&site, &visit, Some(&record), &filled, &Wrong::new()).await)
}

/// `POST …/edit`.
pub(crate) async fn edit(
    State(site): State<Arc<Site>>,
    visit: Visit,
    Named(name): Named,
    Posted(sent): Posted,
) -> Answer {
    visit.needs(Role::Admin)?;
    let record: DestinationRecord = site.interface(&visit).get(&links::api_destination(&name)).await?;
    let revision = format!("\"{}\"", sent.get("revision"));
    put(&site, &visit, &name, Some(&record), &sent, &[("if-match", &revision)]).await
}

/// Sends the settings of a form; or shows it again, with what is wrong.
async fn put(
    site: &Site,
    visit: &Visit,
    name: &str,
    record: Option<&DestinationRecord>,
    sent: &Form,
    condition: &[(&str, &str)],
) -> Answer {
    let settings = match settings::settings_of(sent) {
        Ok(settings) => settings,
        Err(wrong) => return Ok(form(site, visit, record, sent, &wrong).await),
    };
    let path = links::api_destination(name);
    let done = site.interface(visit).send::<ChangeAnswer>(Method::PUT, &path, condition, &settings).await;
    match done {
        Ok(answer) => {
            let what = if record.is_some() { "is changed" } else { "is made" };
            let what = format!("{name} {what}. {}", taken_over(&answer));
            Ok(site.came_to(visit, true, what, &links::destination(name)))
        }
        // It is the form's fault, and can be mended there.
        Err(problem) if (400..500).contains(&problem.status) && problem.status != 401 && problem.status != 403 => {
            Ok(form(site, visit, record, sent, &mistakes(&problem)).await)
        }
        Err(problem) => Err(problem.into()),
    }
}

/// What the interface says of the settings, by the fields of the form.
fn mistakes(problem: &Problem) -> Wrong {
    if problem.mistakes.is_empty() {
        let what = if problem.status == 412 {
            "Somebody else has made or changed it meanwhile. Nothing of yours was done: look at it again.".to_owned()
        } else {
            in_words(problem)
        };
        return vec![(String::new(), what)];
    }
    let of = |pointer: &str| {
        let name = pointer.trim_start_matches('/').split('/').next().unwrap_or_default();
        if FIELDS.iter().any(|field| field.name == name) { name.to_owned() } else { OTHERS.to_owned() }
    };
    problem
        .mistakes
        .iter()
        .map(|mistake| (of(&mistake.field), format!("{}: {}", mistake.field, mistake.detail)))
        .collect()
}

/// How far a change has come.
pub(super) fn taken_over(answer: &ChangeAnswer) -> String {
    match answer.pending.len() {
        0 => "Every partition follows it: events from now on are judged by it.".to_owned(),
        pending => {
            format!("{} not taken it over yet.", show::counted(pending as u64, "partition has", "partitions have"))
        }
    }
}

async fn form(
    site: &Site,
    visit: &Visit,
    record: Option<&DestinationRecord>,
    filled: &Form,
    wrong: &Wrong,
) -> Response {
    let name = record.map(|record| record.name.as_str());
    let (action, title, back) = match name {
        Some(name) => (format!("{}/edit", links::destination(name)), format!("Edit {name}"), links::destination(name)),
        None => (links::NEW.to_owned(), "Add a destination".to_owned(), links::HOME.to_owned()),
    };
    let snapshot = site.snapshot(visit).await.ok();
    let status = snapshot.as_ref().and_then(|snapshot| snapshot.row(name?)).map(|row| &row.status);
    let of_file = record.is_some_and(|record| record.origin == Origin::File);
    let content = html! {
        @if of_file {
            div.note.warning { p { "It is in the configuration file, and can be changed only there." } }
        } @else {
            (told_wrong("", wrong))
            @if let Some(status) = status { (concerned(status)) }
            form.sheet method="post" action=(action) {
                (proof(visit))
                input type="hidden" name="revision" value=(filled.get("revision"));
                div.columns {
                    @if name.is_none() {
                        div {
                            label for="name" { "Name" }
                            input #name name="name" value=(filled.get("name")) required autocomplete="off" spellcheck="false" aria-describedby="name-help";
                            (told_wrong("name", wrong))
                            p.small #name-help { "lower case letters, digits, -, _ and ." }
                        }
                    }
                    @for field in &FIELDS { (one(field, filled, wrong)) }
                }
                label for=(OTHERS) { "Other settings" }
                textarea id=(OTHERS) name=(OTHERS) rows="8" spellcheck="false" aria-describedby="others-help" placeholder="{ \"retry\": { \"initial\": \"1s\", \"limit\": \"1h\" } }" { (filled.get(OTHERS)) }
                (told_wrong(OTHERS, wrong))
                p.small #others-help {
                    "JSON, as in the configuration file. What is secret is shown as … and kept where it stands. Signing secrets that are not named are kept."
                }
                div.actions { button type="submit" { (if name.is_some() { "Save" } else { "Add" }) } a.button.plain href=(back) { "Cancel" } }
            }
        }
    };
    let status = if wrong.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    page_with(status, visit, &title, &content)
}

/// For which events a change counts.
fn concerned(status: &DestinationStatus) -> Markup {
    html! {
        p {
            b { (show::waiting(status)) } " for it now, and " b { (show::counted(status.in_flight, "attempt is", "attempts are")) }
            " under way. Where it sends to, secrets, headers, limits and retries count for what waits too, from the next attempt of each on. "
            "What it wants counts for events that are accepted after the change: none of those that wait is dropped by it, or joined by another."
        }
    }
}

fn one(field: &Field, filled: &Form, wrong: &Wrong) -> Markup {
    let (id, value) = (field.name, filled.get(field.name));
    let help = format!("{id}-help");
    html! {
        div {
            label for=(id) { (field.label) }
            @match field.kind {
                Kind::Choice(all) => {
                    select id=(id) name=(id) aria-describedby=(help) {
                        @for choice in all { option value=(choice) selected[*choice == value] { (choice) } }
                    }
                }
                _ => input id=(id) name=(id) value=(value) required[id == "url"] autocomplete="off" spellcheck="false" aria-describedby=(help)
                    inputmode=[(field.kind == Kind::Number).then_some("numeric")];,
            }
            (told_wrong(id, wrong))
            p.small id=(help) { (field.help) }
        }
    }
}

fn told_wrong(field: &str, wrong: &Wrong) -> Markup {
    html! { @for (of, what) in wrong { @if of == field { p.wrong role="alert" { (what) } } } }
}

/// What a change would come to.
async fn preview(interface: &Interface, change: BatchChange) -> Result<BatchResult, Box<Problem>> {
    let asked = BatchOfChanges { changes: vec![change], dry_run: true };
    let answer: BatchAnswer = interface.send(Method::POST, "/v1/destinations", &[], &asked).await?;
    let result = answer.results.into_iter().next();
    let result = result.ok_or_else(|| crate::interface::problem("console", 500, "There is no answer", ""))?;
    match result.problem {
        Some(problem) => Err(Box::new(problem)),
        None => Ok(result),
    }
}

/// `GET …/delete`: what is lost by it.
pub(crate) async fn ask_delete(State(site): State<Arc<Site>>, visit: Visit, Named(name): Named) -> Answer {
    visit.needs(Role::Admin)?;
    let interface = site.interface(&visit);
    let record: DestinationRecord = interface.get(&links::api_destination(&name)).await?;
    let change = BatchChange {
        name: record.name.clone(),
        op: BatchOp::Delete,
        settings: None,
        reason: None,
        adopt: false,
        if_match: None,
        if_none_match: None,
    };
    let result = preview(&interface, change).await?;
    let letters = site.snapshot(&visit).await.ok().and_then(|snapshot| snapshot.row(&name).map(|row| row.dead_letters));
    let content = html! {
        p {
            "Nothing is sent to " b { (name) } " any more. "
            @match result.dropped {
                Some(dropped) => { "About " b { (show::counted(dropped, "waiting event", "waiting events")) } " will be dropped for it" }
                None => "What waits for it will be dropped",
            }
            @if let Some(letters) = letters { ", and " b { (show::counted(letters, "dead letter", "dead letters")) } }
            ". Other destinations get their events all the same."
        }
        p { "A destination of the same name that is made later is another one, and begins with what comes then." }
        form method="post" action=(format!("{}/delete", links::destination(&name))) {
            (proof(&visit))
            input type="hidden" name="revision" value=(record.revision);
            div.actions { button.danger type="submit" { "Delete " (name) } a.button.plain href=(links::destination(&name)) { "Cancel" } }
        }
    };
    Ok(page(&visit, &format!("Delete {name}?"), &content))
}

/// `POST …/delete`.
pub(crate) async fn delete(
    State(site): State<Arc<Site>>,
    visit: Visit,
    Named(name): Named,
    Posted(sent): Posted,
) -> Answer {
    let revision = format!("\"{}\"", sent.get("revision"));
    let (path, headers) = (links::api_destination(&name), [("if-match", &*revision)]);
    let done = site.interface(&visit).send::<ChangeAnswer>(Method::DELETE, &path, &headers, &()).await;
    let to = if done.is_ok() { links::HOME.to_owned() } else { links::destination(&name) };
    let said = done.map(|answer| match answer.dropped {
        Some(dropped) => format!(
            "{name} is deleted, and {} for it.",
            show::counted(dropped, "event was dropped", "events were dropped")
        ),
        None => format!("{name} is deleted."),
    });
    Ok(told(&site, &visit, said, &to))
}

/// `GET …/rotate`.
pub(crate) async fn ask_rotate(State(site): State<Arc<Site>>, visit: Visit, Named(name): Named) -> Answer {
    visit.needs(Role::Admin)?;
    let record: DestinationRecord = site.interface(&visit).get(&links::api_destination(&name)).await?;
    let content = html! {
        p { "A new signing secret is made, and shown once. Every request is signed with it and, for a while, with those before it, so that the receiver can change over meanwhile." }
        form.narrow method="post" action=(format!("{}/rotate", links::destination(&name))) {
            (proof(&visit))
            input type="hidden" name="revision" value=(record.revision);
            label for="keep" { "How long those before are used too" }
            input #keep name="keep" value="24h" required autocomplete="off" aria-describedby="keep-help";
            p.small #keep-help { "such as 24h or 7d" }
            div.actions { button type="submit" { "Make a new secret" } a.button.plain href=(links::destination(&name)) { "Cancel" } }
        }
    };
    Ok(page(&visit, &format!("A new secret for {name}?"), &content))
}

/// `POST …/rotate`: the only page that shows it.
pub(crate) async fn rotate(
    State(site): State<Arc<Site>>,
    visit: Visit,
    Named(name): Named,
    Posted(sent): Posted,
) -> Answer {
    let revision = format!("\"{}\"", sent.get("revision"));
    let path = format!("{}/rotate-secret", links::api_destination(&name));
    let body = RotateChoice { keep: Some(sent.get("keep").to_owned()) };
    let headers = [("if-match", &*revision)];
    let done = site.interface(&visit).send::<ChangeAnswer>(Method::POST, &path, &headers, &body).await;
    let answer = match done {
        Ok(answer) => answer,
        Err(problem) => return Ok(told(&site, &visit, Err(problem), &links::destination(&name))),
    };
    site.snapshots.changed();
    let content = html! {
        p { "Give it to the receiver now: it is not shown again. " (taken_over(&answer)) }
        @if let Some(secret) = &answer.secret { pre.secret tabindex="0" { code { (secret) } } }
        p { a.button.plain href=(links::destination(&name)) { "Back to " (name) } }
    };
    Ok(page(&visit, &format!("The new secret of {name}"), &content))
}
