//! A key goes back to its first dead letter: how many events that is, and then that.

use super::actions::told;
use crate::data;
use crate::failed::Answer;
use crate::form::{Form, Posted};
use crate::interface::problem;
use crate::links;
use crate::page::{page, proof};
use crate::show;
use crate::site::Site;
use crate::visit::{Named, Visit};
use axum::extract::{RawQuery, State};
use http::Method;
use laneway_domain::{Key, Role, Tenant};
use laneway_http::wire::{Problem, RecoveryAsked, ReplayCounted};
use maud::html;
use serde_json::Value;
use std::sync::Arc;

fn asked(form: &Form, partial: bool, dry_run: bool) -> Result<RecoveryAsked, Box<Problem>> {
    let key = Key::new(form.get("key")).map_err(|error| problem("invalid", 422, "This is no key", &error.reason))?;
    Ok(RecoveryAsked { key, tenant: tenant(form)?, from: None, id: None, partial, dry_run })
}

/// Whose key is meant, if it is said.
fn tenant(form: &Form) -> Result<Option<Tenant>, Box<Problem>> {
    let said = Some(form.get("tenant")).filter(|said| !said.is_empty());
    let read = said.map(Tenant::new).transpose();
    read.map_err(|error| problem("invalid", 422, "Whose key?", &error.to_string()))
}

/// `GET …/keys/recover?key=`.
pub(crate) async fn ask(
    State(site): State<Arc<Site>>,
    visit: Visit,
    Named(name): Named,
    RawQuery(query): RawQuery,
) -> Answer {
    visit.needs(Role::Operate)?;
    let query = Form::of_query(query.as_deref().unwrap_or_default());
    let (key, tenant) = (query.get("key"), tenant(&query)?);
    let path = format!("{}/keys/replay", links::api_destination(&name));
    let interface = site.interface(&visit);
    let count: Result<ReplayCounted, Box<Problem>> =
        interface.send(Method::POST, &path, &[], &asked(&query, false, true)?).await;
    // What is stored no more can be left out, if somebody wants that.
    let lacking = count.as_ref().err().filter(|problem| problem.status == 409).map(|problem| problem.detail.clone());
    let count: ReplayCounted = match lacking {
        Some(_) => interface.send(Method::POST, &path, &[], &asked(&query, true, true)?).await?,
        None => count?,
    };
    let events = show::counted(count.events, "event", "events");
    let at_least = if count.is_all { "" } else { "at least " };
    let content = html! {
        p {
            "The key " code { (data::visible(key)) } " goes back to its first dead letter at " b { (name) }
            ". That one and everything after it, " (at_least) (events) ", is delivered there again, in order, before anything new of the key."
        }
        p { "The receiver tells them from repetitions by " code { "laneway-redrive" } " and " code { "laneway-replay" } ". Other keys and destinations go on meanwhile." }
        @if let Some(lacking) = &lacking { div.note.warning { p { (lacking) } p { "What is still stored can be delivered without it." } } }
        form method="post" action=(format!("{}/keys/recover", links::destination(&name))) {
            (proof(&visit))
            input type="hidden" name="key" value=(key);
            @if let Some(tenant) = &tenant { input type="hidden" name="tenant" value=(tenant); }
            @if lacking.is_some() { input type="hidden" name="partial" value="yes"; }
            div.actions {
                button type="submit" { "Deliver " (at_least) (events) " again" }
                a.button.plain href=(links::key(tenant.as_ref(), key)) { "Cancel" }
            }
        }
    };
    Ok(page(&visit, "Recover the key?", &content))
}

/// `POST …/keys/recover`.
pub(crate) async fn begin(
    State(site): State<Arc<Site>>,
    visit: Visit,
    Named(name): Named,
    Posted(form): Posted,
) -> Answer {
    let key = form.get("key");
    let path = format!("{}/keys/replay", links::api_destination(&name));
    let body = asked(&form, form.get("partial") == "yes", false)?;
    let begun: Result<Value, Box<Problem>> = site.interface(&visit).send(Method::POST, &path, &[], &body).await;
    let said = begun.map(|_| {
        format!("The key {} is delivered again at {name}, from its first dead letter on.", data::visible(key))
    });
    Ok(told(&site, &visit, said, &links::key(tenant(&form)?.as_ref(), key)))
}
