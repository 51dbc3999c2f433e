//! Signing in with a token, and out.

use crate::cookie::{Cookie, is_over_tls};
use crate::failed::Answer;
use crate::form::{Form, Posted};
use crate::links;
use crate::page::{page_with, proof};
use crate::session::{Outcome, Secret};
use crate::site::Site;
use crate::visit::Visit;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use http::{HeaderMap, StatusCode, header};
use laneway_http::Visitor;
use maud::html;
use std::sync::Arc;

/// `GET /console/sign-in`.
pub(crate) async fn ask(visit: Visit, RawQuery(query): RawQuery) -> Response {
    let asked = Form::of_query(query.as_deref().unwrap_or_default());
    if visit.visitor.is_some() {
        return Redirect::to(links::own(asked.get("to"))).into_response();
    }
    form(&visit, links::own(asked.get("to")), None)
}

fn form(visit: &Visit, to: &str, wrong: Option<&str>) -> Response {
    let content = html! {
        form.narrow method="post" action=(links::SIGN_IN) {
            (proof(visit))
            input type="hidden" name="to" value=(to);
            label for="token" { "Token" }
            input #token type="password" name="token" required autocomplete="current-password" spellcheck="false"
                aria-describedby="token-help" aria-invalid=[wrong.map(|_| "true")] autofocus;
            @if let Some(wrong) = wrong { p.wrong role="alert" { (wrong) } }
            p #token-help .small {
                "One of the configuration file, or one that " code { "laneway tokens create" }
                " made. You see and do here what its roles allow."
            }
            button type="submit" { "Sign in" }
        }
    };
    let status = if wrong.is_some() { StatusCode::FORBIDDEN } else { StatusCode::OK };
    page_with(status, visit, "Sign in", &content)
}

/// `POST /console/sign-in`.
pub(crate) async fn enter(State(site): State<Arc<Site>>, visit: Visit, headers: HeaderMap, form: Posted) -> Answer {
    let Posted(sent) = form;
    let to = links::own(sent.get("to"));
    let tokens = site.api.tokens.now();
    if tokens.is_open() {
        return Ok(Redirect::to(to).into_response());
    }
    // It is copied from somewhere, often with the end of its line.
    let token = Secret::new(sent.get("token").trim());
    match Visitor::of(&tokens, Some(token.as_str().as_bytes())) {
        Ok(visitor) => Ok(begin_session(&site, &visit, &headers, &visitor, token, to)),
        Err(problem) if problem.status == 401 => {
            let wrong = "This token is not known. It may have been revoked, or a part of it was not copied.";
            Ok(self::form(&visit, to, Some(wrong)))
        }
        Err(problem) => Err(problem.into()),
    }
}

/// Signs the visitor in, and leads on.
pub(super) fn begin_session(
    site: &Site,
    visit: &Visit,
    headers: &HeaderMap,
    visitor: &Visitor,
    token: Secret,
    to: &str,
) -> Response {
    tracing::info!(who = visitor.who(), "somebody signed in to the console");
    // A new cookie: nobody who knew the one before is signed in with it.
    let cookie = Cookie::random(headers);
    site.sessions.end(visit.cookie.known());
    site.sessions.begin(cookie.known(), token, visitor.tenant());
    let mut response = Redirect::to(to).into_response();
    if let Some(set) = cookie.set(is_over_tls(headers)) {
        response.headers_mut().insert(header::SET_COOKIE, set);
    }
    response
}

/// `POST /console/sign-out`.
pub(crate) async fn leave(State(site): State<Arc<Site>>, visit: Visit, Posted(_): Posted) -> Response {
    site.sessions.end(visit.cookie.known());
    site.outcomes.put(visit.cookie.known(), Outcome { is_good: true, what: "You are signed out.".to_owned() });
    Redirect::to(links::SIGN_IN).into_response()
}
