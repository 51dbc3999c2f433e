//! What operators ask and tell: health, metrics, status, dead letters, destinations, tokens.

mod asked;
pub(crate) mod caller;
pub(crate) mod changes;
pub(crate) mod dead_letters;
pub(crate) mod destinations;
pub(crate) mod drain;
pub(crate) mod links;
pub(crate) mod lookup;
pub(crate) mod replays;
pub(crate) mod status;
pub(crate) mod tenants;
pub(crate) mod tokens;

use crate::Shared;
use crate::answer;
use crate::body::{Bound, lend, receive, refuse};
use crate::door::{Asked, enter, no_form};
use crate::object::Object;
use crate::operation::{Handler, Operation};
use crate::problem::{Kind, Problem};
use crate::visitor::ForPage;
use crate::wire::{self, Position};
use axum::Router;
use axum::extract::{FromRequestParts, MatchedPath, Path, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use caller::Caller;
use http::request::Parts;
use http::{Method, StatusCode, Uri, header};
use laneway_domain::{DestinationName, Role, Tenant, TenantAct};
use laneway_ports::Operations;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;

/// What a handler answers.
pub(crate) type Answer = Result<Response, Box<Problem>>;

/// The most bytes of an operator's body: a name, a key and an id, with room to spare.
const BODY_BYTES: usize = 16 * 1024;

pub(crate) fn router<'a>(shared: Arc<Shared>, operations: impl Iterator<Item = &'a Operation>) -> Router {
    let unrouted = Guard { shared: shared.clone(), needs: None, tenants: true, links: true, act: None };
    let nothing = Router::new().fallback(not_found).layer(from_fn_with_state(unrouted, guard));
    let all = operations.fold(nothing, |router, operation| {
        let Handler::Operator(handler) = operation.handler else { return router };
        let route = handler(operation.method.filter());
        let route = match operation.role {
            // Each has its guard from the table: there is no route without one but those that say so.
            needs @ Some(_) => {
                let (tenants, links) = (operation.tenants, operation.links);
                let act = operation.act.filter(|_| !operation.counts_itself);
                let guarded = Guard { shared: shared.clone(), needs, tenants, links, act };
                route.layer(from_fn_with_state(guarded, guard))
            }
            None => route,
        };
        router.route(operation.path, route)
    });
    all.with_state(shared)
}

/// What stands before a route, or before what is no route.
#[derive(Clone)]
struct Guard {
    shared: Arc<Shared>,
    needs: Option<Role>,
    /// Whether it is for tenants too.
    tenants: bool,
    /// Whether it is for whoever came by a link.
    links: bool,
    /// What is counted where a tenant asks for it.
    act: Option<TenantAct>,
}

async fn guard(State(stands): State<Guard>, request: Request, next: Next) -> Response {
    let Guard { shared, needs, tenants, links, act } = stands;
    let (mut parts, body) = request.into_parts();
    let asked = Asked::of(&parts);
    // What is at no path changes nothing, whatever sends it.
    let is_route = parts.extensions.get::<MatchedPath>().is_some();
    let tokens = shared.api.tokens.now();
    let entered = enter(&asked, &shared.api.hosts, &tokens, needs).and_then(|access| match &access.tenant {
        Some(tenant) if !tenants => Err(operators_only(tenant)),
        _ if access.is_by_link() && !links => Err(not_by_link()),
        _ if is_route => no_form(&asked).map(|()| access),
        _ => Ok(access),
    });
    // Whoever may not do it has not done it.
    let entered = entered.and_then(|access| match act {
        Some(act) => {
            let is_for_page = act == TenantAct::Search && parts.extensions.get::<ForPage>().is_some();
            let pace = if is_for_page { &shared.looks } else { &shared.pace };
            pace.act(access.tenant.as_ref(), act, 1).map(|()| access)
        }
        None => Ok(access),
    });
    let within = shared.api.limits.now().body_timeout;
    match entered {
        Ok(access) => drop(parts.extensions.insert(Caller::of(&tokens, &parts, access))),
        Err(problem) => {
            refuse(&parts.headers, body, within).await;
            return problem.into_response();
        }
    }
    let headers = parts.headers.clone();
    let (lent, slot) = lend(body);
    let response = next.run(Request::from_parts(parts, lent)).await;
    if let Some(body) = slot.left() {
        refuse(&headers, body, within).await;
    }
    response
}

fn operators_only(tenant: &Tenant) -> Box<Problem> {
    let what = format!(
        "the token is the tenant {tenant}'s, and this is for whoever runs the server: it needs a token without a tenant"
    );
    Problem::new(Kind::Forbidden, what).challenged("Bearer realm=\"laneway\", error=\"insufficient_scope\"")
}

fn not_by_link() -> Box<Problem> {
    let what = "whoever came by a link makes no tokens and no links, which would open something after the link has \
                expired: this needs a token";
    Problem::new(Kind::Forbidden, what).challenged("Bearer realm=\"laneway\", error=\"insufficient_scope\"")
}

/// What a process says to events that takes none in.
const NO_INTAKE: &str = "this process delivers and takes no events in: send them to an ingest";

async fn not_found(State(shared): State<Arc<Shared>>, uri: Uri) -> Problem {
    let hint = if shared.api.log.is_some() { "events go to /v1/events" } else { NO_INTAKE };
    // Whoever comes with a browser is led there; this is what `curl` shows.
    let pages =
        if uri.path() == "/" { ", and the console is at /console (unless server.console switches it off)" } else { "" };
    *Problem::new(Kind::NotFound, format!("there is nothing at {}; {hint}{pages}", uri.path()))
}

/// What has a path of its own besides the one that has its name, if the request is such a one.
///
/// An event may have the id `batch`, to whose path events are posted: nothing is got there.
///
/// Many changes may also be sent to `/v1/destinations/batch`, as many events are to `/v1/events/batch`. That is no
/// route, so that a destination may have the name `batch`: it gets here because nothing is posted to a destination.
#[allow(clippy::result_large_err, reason = "it is the request itself, which goes on either way")]
pub(crate) fn by_its_own_path(mut request: Request) -> Result<Request, Request> {
    let uri = match (request.method(), request.uri().path()) {
        (&Method::POST, "/v1/destinations/batch") => Some(Uri::from_static("/v1/destinations")),
        (&Method::GET | &Method::HEAD, "/v1/events/batch") => {
            // The same id, written so that it is no word of a path.
            let query = request.uri().query().map_or_else(String::new, |query| format!("?{query}"));
            format!("/v1/events/%62atch{query}").parse().ok()
        }
        _ => None,
    };
    match uri {
        Some(uri) => *request.uri_mut() = uri,
        None => return Err(request),
    }
    Ok(request)
}

/// `takes_in`: whether the process takes events in.
pub(crate) async fn method_not_allowed(within: Duration, takes_in: bool, request: Request) -> Problem {
    let (parts, body) = request.into_parts();
    refuse(&parts.headers, body, within).await;
    let (method, path) = (parts.method, parts.uri.path());
    if !takes_in && method == Method::POST && ["/v1/events", "/v1/events/batch"].contains(&path) {
        // It may be looked at what others took in.
        return *Problem::new(Kind::NotFound, format!("nothing can be sent to {path} here; {NO_INTAKE}"));
    }
    let detail = format!("{method} is nothing that {path} takes; the header Allow says what it does");
    *Problem::new(Kind::MethodNotAllowed, detail)
}

impl IntoResponse for Box<Problem> {
    fn into_response(self) -> Response {
        (*self).into_response()
    }
}

/// What stands in a path. Unlike [`Path`] it says with a problem what it cannot read (`%ff`, say).
pub(crate) struct InPath<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for InPath<T> {
    type Rejection = Box<Problem>;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Box<Problem>> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(read)) => Ok(Self(read)),
            Err(unreadable) => Err(Problem::new(Kind::Invalid, unreadable.body_text())),
        }
    }
}

/// Reads an operator's JSON. (That it says to be JSON, [`no_form`] has seen.)
async fn json<T: DeserializeOwned>(shared: &Shared, request: Request) -> Result<T, Box<Problem>> {
    let read = json_within(shared, request, BODY_BYTES, Kind::BodyTooLarge).await?;
    read.ok_or_else(|| Problem::new(Kind::Malformed, "the body is empty, and has to be JSON"))
}

/// Reads JSON of at most so many bytes, if there is any; beyond, it is that kind of problem.
async fn json_within<T: DeserializeOwned>(
    shared: &Shared,
    request: Request,
    bytes: usize,
    kind: Kind,
) -> Result<Option<T>, Box<Problem>> {
    let (parts, body) = request.into_parts();
    let expects = parts.headers.contains_key(header::EXPECT);
    let limits = shared.api.limits.now();
    let bound = Bound { bytes, kind, together: limits.buffered_bytes, timeout: limits.body_timeout, expects };
    let received = receive(body, &bound, &shared.buffered).await?;
    if received.bytes.is_empty() {
        return Ok(None);
    }
    let read = serde_json::from_slice(&received.bytes).map(|Object(read)| Some(read));
    read.map_err(|error| unreadable(&error, &received.bytes))
}

fn unreadable(error: &serde_json::Error, body: &[u8]) -> Box<Problem> {
    let kind = if error.is_data() { Kind::Invalid } else { Kind::Malformed };
    let mut problem = Problem::new(kind, error.to_string());
    let before: usize =
        body.split_inclusive(|b| *b == b'\n').take(error.line().saturating_sub(1)).map(<[u8]>::len).sum();
    problem.body.position = Some(Position::of(body, before + error.column().saturating_sub(1)));
    problem
}

/// The worker of this process, or those that share its store.
fn worker(shared: &Shared) -> Result<&dyn Operations, Box<Problem>> {
    let what = "this process takes events in but delivers none: ask the address of a worker";
    shared.api.operations.as_deref().ok_or_else(|| Problem::new(Kind::NoWorker, what))
}

/// Says that there is no such destination, if neither the registry nor a worker knows it and there is no dead letter of
/// it. What was made a moment ago no other process' worker may have told of yet. Where nobody can be asked, that is not
/// known, and it passes.
async fn known(shared: &Shared, name: &DestinationName) -> Result<(), Box<Problem>> {
    if let Some(admin) = shared.api.destinations.as_deref()
        && admin.show(name).await.is_ok()
    {
        return Ok(());
    }
    let Ok(report) = status::report(shared).await else { return Ok(()) };
    if report.destinations.iter().any(|known| known.name == *name) {
        return Ok(());
    }
    let counts = shared.api.dead_letters.counts().await.map_err(|error| Problem::from_store(&error))?;
    if counts.iter().any(|count| count.destination == *name) {
        return Ok(());
    }
    Err(no_destination(name))
}

fn no_destination(name: &DestinationName) -> Box<Problem> {
    Problem::new(Kind::NotFound, format!("there is no destination {name}")).about("destination")
}

/// Puts into the history of a destination what somebody has done there. It is done, whether that can be written down or
/// not; the log has it in either case.
async fn note(shared: &Shared, by: &str, destination: &DestinationName, did: &str) {
    tracing::info!(%destination, by, did, "an operator acted");
    let Some(admin) = shared.api.destinations.as_deref() else { return };
    if let Err(error) = admin.note(by, destination, did).await {
        tracing::warn!(%destination, by, did, %error, "the history of the destination lacks this");
    }
}

fn done() -> Answer {
    answer::ok(&wire::Done { done: true })
}

fn text(content_type: &'static str, body: String) -> Response {
    (StatusCode::OK, [(header::CONTENT_TYPE, content_type)], body).into_response()
}
