//! What all pages have in common: their frame, and how times, states and problems are shown.
//!
//! Whatever is shown goes through maud, which writes text as text. Nothing here or in any page is written as markup that
//! was not written in this crate.

use crate::assets;
use crate::csrf;
use crate::links;
use crate::need::Told as _;
use crate::show;
use crate::visit::Visit;
use axum::response::{IntoResponse as _, Response};
use http::{StatusCode, header};
use laneway_domain::{Need, Role, Timestamp};
use laneway_http::wire::Problem;
use maud::{DOCTYPE, Markup, html};

/// A part of the console that the navigation leads to.
struct Part {
    name: &'static str,
    path: &'static str,
    role: Role,
    /// Whether it is for tenants too.
    tenants: bool,
    /// Whether it is for whoever came by a link.
    links: bool,
}

const PARTS: [Part; 6] = [
    Part { name: "Overview", path: links::HOME, role: Role::Read, tenants: true, links: true },
    Part { name: "Events", path: links::EVENTS, role: Role::Read, tenants: true, links: true },
    Part { name: "Dead letters", path: links::DEAD_LETTERS, role: Role::Read, tenants: true, links: true },
    Part { name: "Send", path: links::SEND, role: Role::Publish, tenants: true, links: true },
    Part { name: "Workers", path: links::WORKERS, role: Role::Read, tenants: false, links: false },
    Part { name: "Tokens", path: links::TOKENS, role: Role::Admin, tenants: true, links: false },
];

/// A page within the frame. `title` is its heading too.
pub(crate) fn page(visit: &Visit, title: &str, content: &Markup) -> Response {
    answer(StatusCode::OK, &frame(Some(visit), title, content))
}

/// The same with another status.
pub(crate) fn page_with(status: StatusCode, visit: &Visit, title: &str, content: &Markup) -> Response {
    answer(status, &frame(Some(visit), title, content))
}

fn answer(status: StatusCode, page: &Markup) -> Response {
    (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], page.0.clone()).into_response()
}

fn status_of(problem: &Problem) -> StatusCode {
    StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Why there is no page.
pub(crate) fn failed(visit: &Visit, problem: &Problem) -> Response {
    let content = html! { (told(problem)) p { a href=(links::HOME) { "Back to the overview" } } };
    page_with(status_of(problem), visit, &problem.title, &content)
}

/// The same, where nobody is known: it says and links nothing else.
pub(crate) fn bare(problem: &Problem) -> Response {
    answer(status_of(problem), &frame(None, &problem.title, &told(problem)))
}

/// A problem as the interface tells it.
pub(crate) fn told(problem: &Problem) -> Markup {
    html! {
        div.note.bad role="alert" {
            p { (problem.detail) }
            @if !problem.mistakes.is_empty() {
                ul { @for mistake in &problem.mistakes { li { code { (mistake.field) } " " (mistake.detail) } } }
            }
            p.small { "Status " (problem.status) }
        }
    }
}

fn frame(visit: Option<&Visit>, title: &str, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                title { (title) " · Laneway" }
                link rel="icon" type="image/svg+xml" href=(assets::path("laneway.svg"));
                link rel="stylesheet" href=(assets::path("console.css"));
                @if visit.is_some() { script src=(assets::path("console.js")) defer {} }
            }
            body {
                a.skip href="#content" { "Skip to the content" }
                header.top {
                    a.brand href=(links::HOME) {
                        img src=(assets::path("laneway.svg")) alt="" width="24" height="24";
                        "Laneway"
                    }
                    @if let Some(visit) = visit { (navigation(visit)) (who(visit)) }
                }
                main id="content" tabindex="-1" {
                    @if let Some(outcome) = visit.and_then(|visit| visit.outcome.as_ref()) {
                        @let tone = if outcome.is_good { "note good" } else { "note bad" };
                        div class=(tone) role="status" { p { (outcome.what) } }
                    }
                    h1 { (title) }
                    (content)
                }
                footer {
                    p {
                        "Laneway " (env!("CARGO_PKG_VERSION"))
                        @if let Some(visit) = visit {
                            " · " time datetime=(show::machine(visit.now)) { (show::moment(visit.now)) }
                            " · " span #live role="status" {}
                        }
                    }
                }
            }
        }
    }
}

/// Whether a part is there for this visitor, in this process.
fn is_open(visit: &Visit, part: &Part) -> bool {
    let by_link = visit.visitor.as_ref().is_some_and(|visitor| visitor.until().is_some());
    let is_theirs = (part.tenants || visit.tenant().is_none()) && (part.links || !by_link);
    visit.may(part.role) && is_theirs && (part.path != links::SEND || visit.takes_events)
}

fn navigation(visit: &Visit) -> Markup {
    let parts: Vec<&Part> = PARTS.iter().filter(|part| is_open(visit, part)).collect();
    html! {
        @if !parts.is_empty() {
            nav aria-label="Console" {
                ul {
                    @for part in parts {
                        li { a href=(part.path) aria-current=[(visit.path == part.path).then_some("page")] { (part.name) } }
                    }
                }
            }
        }
    }
}

fn who(visit: &Visit) -> Markup {
    html! {
        div.who {
            @if let Some(visitor) = visit.visitor.as_ref().filter(|_| visit.token.is_some()) {
                span.name {
                    (visitor.who())
                    @if let Some(until) = visitor.until() {
                        ", until " time datetime=(show::machine(until)) { (show::moment(until)) }
                    }
                }
                form method="post" action=(links::SIGN_OUT) { (proof(visit)) button.plain type="submit" { "Sign out" } }
            }
        }
    }
}

/// A part of a page that a browser with a script keeps up to date. `id` is its own on the page.
pub(crate) fn live(id: &str, content: &Markup) -> Markup {
    html! { div id=(id) data-live { (content) } }
}

/// The same where it takes many look-ups: it is asked for again only every so many seconds.
pub(crate) fn live_slowly(id: &str, every: u32, content: &Markup) -> Markup {
    html! { div id=(id) data-live data-every=(every) { (content) } }
}

/// What every form carries.
pub(crate) fn proof(visit: &Visit) -> Markup {
    html! { input type="hidden" name=(csrf::FIELD) value=(visit.proof); }
}

/// A moment: how long ago, with the moment itself for whoever points at it, and for machines.
pub(crate) fn ago(now: Timestamp, at: Timestamp) -> Markup {
    html! { time datetime=(show::machine(at)) title=(show::moment(at)) { (show::relative(now, at)) } }
}

/// What a destination needs, in words and in a colour.
pub(crate) fn badge(need: Need) -> Markup {
    html! { span class={ "badge " (need.tone().class()) } title=(need.meaning()) { (need.label()) } }
}

/// What is missing, and why.
pub(crate) fn incomplete(what: &[String]) -> Markup {
    html! {
        @if !what.is_empty() {
            div.note.warning { p { "This is not all:" } ul { @for what in what { li { (what) } } } }
        }
    }
}
