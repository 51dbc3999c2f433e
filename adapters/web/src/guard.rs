//! What stands before every page: is the request one, who sends it, and what every answer says to the browser.

use crate::cookie::{Cookie, is_over_tls};
use crate::failed::Failed;
use crate::interface::is_of_another_site;
use crate::links;
use crate::page;
use crate::pages::enter::why;
use crate::security;
use crate::session::Outcome;
use crate::site::Site;
use crate::visit::{Facts, Visit, now};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Redirect, Response};
use http::request::Parts;
use http::{Method, header};
use laneway_http::wire::Problem;
use laneway_http::{Visitor, admit};
use std::sync::Arc;

/// What a page is told whose session has ended.
const ENDED: &str = "Your session has ended. Sign in again.";

/// The header by which a page asks for itself, to be up to date.
const LIVE: &str = "x-laneway-live";

/// Lets in whoever is signed in; others are shown where to do that.
pub(crate) async fn signed_in(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    guarded(&site, request, next, true).await
}

/// Lets everyone in.
pub(crate) async fn everyone(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    guarded(&site, request, next, false).await
}

async fn guarded(site: &Site, request: Request, next: Next, has_to_be_known: bool) -> Response {
    let (mut parts, body) = request.into_parts();
    let secure = is_over_tls(&parts.headers);
    let visit = match visited(site, &parts, has_to_be_known) {
        Ok(visit) => visit,
        Err(turned) => return security::headers(*turned),
    };
    parts.extensions.insert(visit.clone());
    let mut response = next.run(Request::from_parts(parts, body)).await;
    if let Some(Failed(problem)) = response.extensions_mut().remove::<Failed>() {
        response = page::failed(&visit, &problem);
    }
    let response = remembering(response, &visit.cookie, visit.is_new, secure);
    security::headers(response)
}

/// Tells the browser the cookie by which it is known, if that is a new one.
fn remembering(mut response: Response, cookie: &Cookie, is_new: bool, secure: bool) -> Response {
    let is_told = response.headers().contains_key(header::SET_COOKIE);
    if is_new
        && !is_told
        && let Some(set) = cookie.set(secure)
    {
        response.headers_mut().insert(header::SET_COOKIE, set);
    }
    response
}

/// Who sends it; or what is answered instead.
fn visited(site: &Site, parts: &Parts, has_to_be_known: bool) -> Result<Visit, Box<Response>> {
    let tokens = site.api.tokens.now();
    let bare = |problem: &Problem| Box::new(page::bare(problem));
    admit(parts, &site.api.hosts, &tokens).map_err(|problem| bare(&problem))?;
    let found = Cookie::of(&parts.headers);
    let is_new = found.is_none();
    let cookie = found.unwrap_or_else(|| Cookie::random(&parts.headers));
    let token = if tokens.is_open() { None } else { site.sessions.token(cookie.known()) };
    let secure = is_over_tls(&parts.headers);
    let target = parts.uri.path_and_query().map_or(links::HOME, |target| target.as_str());
    let visitor = match Visitor::of(&tokens, token.as_ref().map(|token| token.as_str().as_bytes())) {
        Ok(visitor) => Some(visitor),
        Err(problem) if problem.status != 401 => return Err(bare(&problem)),
        // Whoever has no token, or one that was revoked.
        Err(_) => {
            if let Some(token) = &token {
                site.sessions.end(cookie.known());
                let over = Visitor::over(&tokens, token.as_str().as_bytes()).ok().flatten();
                let what = over.map_or(ENDED.to_owned(), |over| format!("Your session has ended. {}.", why(over).0));
                site.outcomes.put(cookie.known(), Outcome { is_good: false, what });
            }
            if has_to_be_known {
                // What was sent is not sent again: it goes on with a page.
                let to = if parts.method == Method::GET { target } else { links::HOME };
                let to = if to == links::HOME { "" } else { to };
                let asking = Redirect::to(&links::with(links::SIGN_IN, &[("to", to)])).into_response();
                return Err(Box::new(remembering(asking, &cookie, is_new, secure)));
            }
            None
        }
    };
    // Only a page that somebody asked for shows it. An open page's own requests do not: that for itself, and its stream,
    // which is led to the sign-in page once the session has ended.
    let is_stream = parts.headers.get(header::ACCEPT).is_some_and(|accept| accept == "text/event-stream");
    let is_shown = parts.method == Method::GET && !parts.headers.contains_key(LIVE) && !is_stream;
    let outcome = if is_shown { site.outcomes.take(cookie.known()) } else { None };
    let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| parts.uri.authority().map(http::uri::Authority::as_str)).unwrap_or("localhost:8080");
    Ok(Visit::new(Facts {
        proof: site.forms.proof(&cookie),
        cookie,
        is_new,
        visitor,
        token,
        outcome,
        path: parts.uri.path().to_owned(),
        host: host.to_owned(),
        is_over_tls: secure,
        is_of_another_site: is_of_another_site(&parts.headers),
        takes_events: site.api.log.is_some(),
        now: now(),
    }))
}
