//! Signing in by a link that somebody has sent.
//!
//! The link's secret stands behind `#`, which a browser keeps to itself; the page's script sends it as a form, and without
//! a script whoever came pastes it. Nobody is signed in by opening a link: first they are asked whose console it is, so
//! that no link of somebody else takes the place of a session that they have, unnoticed.

use super::sign_in::begin_session;
use crate::failed::{Answer, Failed};
use crate::form::Posted;
use crate::links;
use crate::page::{page, page_with, proof};
use crate::session::Secret;
use crate::show;
use crate::site::Site;
use crate::visit::Visit;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use http::{HeaderMap, StatusCode};
use laneway_domain::LinkOver;
use laneway_http::{LINK_PREFIX, Visitor};
use maud::html;
use std::sync::Arc;

/// Whom to ask for another one.
const ASK: &str = "Ask whoever sent it to you for another one.";

/// Why a link opens nothing any more.
pub(crate) const fn why(over: LinkOver) -> (&'static str, &'static str) {
    match over {
        LinkOver::Expired => ("This link has expired", "It was good for a while only."),
        LinkOver::Ended => ("This link was ended", "Whoever made it has ended it, or may not make links any more."),
    }
}

/// `GET /console/enter`.
pub(crate) async fn ask(State(site): State<Arc<Site>>, visit: Visit) -> Response {
    if site.api.tokens.now().is_open() {
        return Redirect::to(links::HOME).into_response();
    }
    let content = html! {
        form.narrow #enter method="post" action=(links::ENTER) {
            (proof(&visit))
            label for="link" { "What stands behind # in the link that you were sent" }
            input #link type="password" name="link" required autocomplete="off" spellcheck="false" placeholder={ (LINK_PREFIX) "…" };
            button type="submit" { "Go on" }
        }
    };
    page(&visit, "Sign in by a link", &content)
}

/// `POST /console/enter`: asks whether whoever came wants that, and signs them in if so.
pub(crate) async fn enter(State(site): State<Arc<Site>>, visit: Visit, headers: HeaderMap, form: Posted) -> Answer {
    let Posted(sent) = form;
    let tokens = site.api.tokens.now();
    if tokens.is_open() {
        return Ok(Redirect::to(links::HOME).into_response());
    }
    // It may be pasted with the address before it.
    let text = sent.get("link").trim();
    let text = text.find(LINK_PREFIX).map_or("", |at| &text[at..]);
    let link = Secret::new(text);
    let visitor = match Visitor::of(&tokens, Some(text.as_bytes())) {
        Ok(visitor) if visitor.until().is_some() => visitor,
        Err(problem) if problem.status != 401 => return Err(Failed(problem)),
        _ => return Ok(none(&visit, Visitor::over(&tokens, text.as_bytes()).map_err(Failed)?)),
    };
    if sent.has("go") {
        return Ok(begin_session(&site, &visit, &headers, &visitor, link, links::HOME));
    }
    Ok(confirm(&visit, &visitor, &link))
}

fn confirm(visit: &Visit, visitor: &Visitor, link: &Secret) -> Response {
    let tenant = visitor.tenant().map_or("", laneway_domain::Tenant::as_str);
    let content = html! {
        p { "This link opens the console of " b { (tenant) } ": what is " (tenant) "’s, and nothing else." }
        p { "What you can do there: " (visitor.roles().to_string()) "." }
        @if let Some(until) = visitor.until() {
            p { "It lasts until " time datetime=(show::machine(until)) { (show::moment(until)) } "." }
        }
        @if let Some(now) = &visit.visitor {
            div.note.warning { p { "You are signed in with " (now.who()) " now. That session ends." } }
        }
        p.small { "If you do not know who sent it, do not go on: what you write there, they can read." }
        form method="post" action=(links::ENTER) {
            (proof(visit))
            input type="hidden" name="link" value=(link.as_str());
            input type="hidden" name="go" value="yes";
            div.actions { button type="submit" { "Sign in to " (tenant) } }
        }
    };
    page(visit, &format!("Sign in to {tenant}?"), &content)
}

/// What whoever came by such a link sees.
fn none(visit: &Visit, over: Option<LinkOver>) -> Response {
    let (status, title, what) = match over {
        Some(over) => {
            let (title, what) = why(over);
            (StatusCode::GONE, title, what)
        }
        None => (StatusCode::FORBIDDEN, "There is no such link", "A part of it may be missing."),
    };
    let content = html! { div.note.bad role="alert" { p { (what) " " (ASK) } } };
    page_with(status, visit, title, &content)
}
