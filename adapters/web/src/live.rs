//! `GET /console/live`: a word to the pages that are open whenever there is something new to see (server-sent events).
//!
//! The word has nothing in it: a page asks for itself again, as whoever looks may see it. So there is one way only in
//! which anything is shown.

use crate::failed::Failed;
use crate::interface::problem;
use crate::places::Place;
use crate::site::Site;
use crate::snapshot::Snapshot;
use crate::visit::Visit;
use axum::extract::State;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use laneway_domain::Role;
use laneway_http::Visitor;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// How often there may be something new.
const EVERY: Duration = Duration::from_secs(1);

/// What stands in an event: browsers leave out those in which nothing does.
const WORD: &str = "now";

/// One page that is open.
struct Open {
    site: Arc<Site>,
    visit: Visit,
    /// What it was told of last.
    seen: Option<Arc<Snapshot>>,
    is_over: bool,
    _place: Place,
}

pub(crate) async fn stream(State(site): State<Arc<Site>>, visit: Visit) -> Result<Response, Failed> {
    visit.needs(Role::Read)?;
    let place = site.open_pages.take(visit.cookie.known(), visit.tenant());
    let place = place.map_err(|what| problem("overloaded", 503, "Too many pages are open", &what))?;
    let open = Open { site, visit, seen: None, is_over: false, _place: place };
    Ok(Sse::new(stream::unfold(open, next)).into_response())
}

/// The next word; `None` once nobody is to be told anything any more.
async fn next(mut open: Open) -> Option<(Result<Event, Infallible>, Open)> {
    if open.is_over {
        return None;
    }
    let mut stopping = open.site.stopping.clone();
    loop {
        tokio::select! {
            () = sleep(EVERY) => {}
            // The server stops: nobody is kept waiting for it.
            _ = stopping.wait_for(|stop| *stop) => return None,
        }
        if !open.may_still_look() {
            open.is_over = true;
            return Some((Ok(Event::default().event("ended").data(WORD)), open));
        }
        // Where it cannot be had, the page that asks says why.
        let now = open.site.snapshots.now().await.ok();
        let is_known = now.as_ref().zip(open.seen.as_ref()).is_some_and(|(now, seen)| Arc::ptr_eq(now, seen));
        if !is_known {
            open.seen = now;
            return Some((Ok(Event::default().event("changed").data(WORD)), open));
        }
    }
}

impl Open {
    /// Whether whoever looks is still signed in, and may still read.
    fn may_still_look(&self) -> bool {
        let tokens = self.site.api.tokens.now();
        let token = if tokens.is_open() { None } else { self.site.sessions.token(self.visit.cookie.known()) };
        let visitor = Visitor::of(&tokens, token.as_ref().map(|token| token.as_str().as_bytes()));
        visitor.is_ok_and(|visitor| visitor.roles().has(Role::Read))
    }
}
