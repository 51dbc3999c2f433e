//! Laneway's console: pages at `/console`, made by the server, that show what is late, blocked, failing or paused, and
//! lead from there to what mends it.
//!
//! It stands in front of Laneway's HTTP interface ([`laneway_http::router`]) and asks it, with the token of whoever is
//! signed in, for everything that it changes and for most of what it shows. So roles mean the same in both, and nothing
//! can be done here that could not be done there. What is asked for all the time, the status of all destinations, comes
//! from one snapshot a second for all who look.
//!
//! | module | what is there |
//! | --- | --- |
//! | `guard`, `visit`, `session`, `cookie`, `csrf`, `security` | who looks, until when, and what a page may do in a browser |
//! | `interface`, `snapshot` | where what is shown comes from |
//! | `live`, `places`, `hour` | pages that are kept up to date; the numbers of the last hour |
//! | `need`, `listing`, `show`, `data`, `settings`, `links`, `plot`, `pace` | what comes first, and how things are written; without any HTML |
//! | `page`, `pages`, `plots`, `form`, `held`, `failed`, `assets` | the pages |

mod assets;
mod cookie;
mod csrf;
mod data;
mod failed;
mod form;
mod guard;
mod held;
mod hour;
mod interface;
mod links;
mod listing;
mod live;
mod need;
mod pace;
mod page;
mod pages;
mod places;
mod plot;
mod plots;
mod security;
mod session;
mod settings;
mod show;
mod site;
mod snapshot;
mod visit;

use axum::Router;
use axum::extract::Request;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{any, get, post};
use http::{Method, Uri, header};
use laneway_http::Api;
use pages::dead_letters::{self, chosen, letter};
use pages::destination::{self, actions, changes, edit, recover, replays};
use pages::{enter, event, events, key, overview, send, sign_in, store, tokens, workers};
use site::Site;
use std::future::Future;
use tokio::sync::watch;
use tower::ServiceExt as _;

/// The interface `router`, which was made of `api`, with the console in front of it; and what notes the numbers of the
/// last hour for its plots, to be run beside it. Both know by `stopping` when the server stops.
pub fn with_console(
    router: Router,
    api: Api,
    stopping: watch::Receiver<bool>,
) -> (Router, impl Future<Output = ()> + Send + 'static) {
    let site = Site::new(api, router.clone(), stopping);
    let known = Router::new()
        .route("/console", get(overview::show))
        .route("/console/", get(|| async { Redirect::permanent(links::HOME) }))
        .route("/console/destinations/{name}", get(destination::show))
        .route("/console/destinations/{name}/pause", get(actions::ask_pause).post(actions::pause))
        .route("/console/destinations/{name}/resume", post(actions::resume))
        .route("/console/destinations/{name}/test", post(actions::test))
        .route("/console/destinations/{name}/keys/retry", post(actions::retry))
        .route("/console/destinations/{name}/keys/skip", get(actions::ask_skip).post(actions::skip))
        .route("/console/destinations/{name}/keys/recover", get(recover::ask).post(recover::begin))
        .route("/console/destinations/{name}/edit", get(edit::ask_edit).post(edit::edit))
        .route("/console/destinations/{name}/delete", get(edit::ask_delete).post(edit::delete))
        .route("/console/destinations/{name}/rotate", get(edit::ask_rotate).post(edit::rotate))
        .route("/console/destinations/{name}/changes", get(changes::show))
        .route("/console/destinations/{name}/replays", get(replays::show).post(replays::begin))
        .route("/console/destinations/{name}/replays/cancel", post(replays::cancel))
        .route("/console/live", get(live::stream))
        .route("/console/new", get(edit::ask_new).post(edit::make))
        .route("/console/events", get(events::show))
        .route("/console/events/{id}", get(event::show))
        .route("/console/keys", get(key::show))
        .route("/console/dead-letters", get(dead_letters::show))
        .route("/console/dead-letters/chosen", post(chosen::act))
        .route("/console/dead-letters/{destination}/{partition}/{offset}", get(letter::show))
        .route("/console/send", get(send::ask).post(send::send))
        .route("/console/tokens", get(tokens::show).post(tokens::make))
        .route("/console/tokens/{name}/revoke", get(tokens::ask_revoke).post(tokens::revoke))
        .route("/console/workers", get(workers::show))
        .route("/console/store", get(store::show))
        .route("/console/sign-out", post(sign_in::leave))
        .route("/console/{*other}", get(not_found).post(not_found))
        .layer(from_fn_with_state(site.clone(), guard::signed_in));
    let open = Router::new()
        .route("/console/sign-in", get(sign_in::ask).post(sign_in::enter))
        .route(links::ENTER, get(enter::ask).post(enter::enter))
        .route("/console/assets/{version}/{name}", get(assets::get))
        .layer(from_fn_with_state(site.clone(), guard::everyone));
    let keeping = site.clone().keep_the_hour();
    let interface = router.clone();
    let root = any(move |request: Request| root(interface, request));
    (router.merge(known.merge(open).with_state(site)).route("/", root), keeping)
}

/// `GET /`: whoever comes with a browser wants the console; a program is told what the interface tells it.
async fn root(interface: Router, request: Request) -> Response {
    let accepted = request.headers().get(header::ACCEPT).and_then(|accepted| accepted.to_str().ok());
    if request.method() == Method::GET && accepted.is_some_and(|accepted| accepted.contains("text/html")) {
        return security::headers(Redirect::to(links::HOME).into_response());
    }
    interface.oneshot(request).await.unwrap_or_else(|never| match never {})
}

async fn not_found(uri: Uri) -> failed::Failed {
    failed::Failed(interface::problem(
        "not-found",
        404,
        "There is no such page",
        &format!("Nothing is at {}.", uri.path()),
    ))
}
