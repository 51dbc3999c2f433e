//! Events in over HTTP, and the operator's endpoints.
//!
//! [`router`] is the application, [`serve`] runs it on a listener within [`Limits`], [`wire`] has
//! what goes over the wire, for clients too.
//!
//! | path | role | what |
//! | --- | --- | --- |
//! | `POST /v1/events` | publish | one event: Laneway's JSON, or CloudEvents 1.0 in any of its modes |
//! | `POST /v1/events/batch` | publish | many: a JSON array, NDJSON, or a CloudEvents batch |
//! | `GET /v1/status` | read | destinations, blocked keys, breakers, dead letters |
//! | `GET /v1/dead-letters` | read | a page of them (`destination`, `key`, `event_id`, `after`, `limit`) |
//! | `GET /v1/dead-letters/{destination}/{partition}/{offset}` | read | the event of one, with its payload |
//! | `POST /v1/dead-letters/retry`, `/discard` | operate | attempt once more, or remove, what the body selects |
//! | `POST /v1/destinations/{name}/keys/retry`, `/skip` | operate | attempt a blocked key's event now, or give it up |
//! | `POST /v1/destinations/{name}/resume` | operate | end a pause that Laneway made |
//! | `POST /v1/destinations/{name}/replay` | operate | deliver again, in order, what was accepted since a moment |
//! | `GET /v1/destinations` | read | a page of them (`after`, `limit`, `state`) |
//! | `GET /v1/destinations/{name}`, `…/changes` | read | one of them; who changed it, when, and from which offsets on |
//! | `PUT`, `PATCH`, `DELETE /v1/destinations/{name}` | admin | make or replace, change, delete while events flow |
//! | `POST /v1/destinations` | admin | many such changes |
//! | `POST /v1/destinations/{name}/pause`, `/test` | operate | no attempts any more; one event beside the order |
//! | `POST /v1/destinations/{name}/rotate-secret` | admin | a new signing secret |
//! | `DELETE /v1/destinations/{name}/progress` | admin | forget a destination that left the configuration |
//! | `GET`, `POST /v1/tokens`, `DELETE …/{name}` | admin | list, make, revoke tokens |
//! | `GET /v1/token-changes` | admin | who made and revoked tokens, and when |
//! | `GET /v1/tenants`, `GET …/{tenant}` | read | tenants, and what each may |
//! | `PUT`, `DELETE /v1/tenants/{tenant}` | admin | set what a tenant may; delete it with everything of it |
//! | `POST`, `DELETE /v1/portal-links` | admin | a link that signs a tenant's people in to the console; end all of a tenant |
//! | `GET /openapi.json` | none | this interface as an OpenAPI document |
//! | `GET /metrics` | read | for Prometheus |
//! | `GET /healthz`, `GET /readyz` | none | alive; ready |
//!
//! With tokens, all but those without a role want one with that [`Role`] (metrics name destinations, and
//! Prometheus can send a token): 401 if it is not known, 403 if it lacks the role. Every error is
//! [`wire::Problem`], but for those of the HTTP parser itself (a request that is no HTTP, headers
//! beyond the bounds), which have an empty body.

mod answer;
mod batch;
mod body;
mod cloudevents;
mod crowd;
mod door;
mod draft;
mod hosts;
mod ingest;
mod json;
mod laneway_json;
mod limits;
mod link;
mod listen;
mod media;
mod object;
mod openapi;
mod operation;
mod operator;
mod presented;
mod problem;
mod refusal;
mod request_name;
mod routes;
mod secured;
mod sending;
mod server;
mod shown;
mod starting;
mod telemetry;
mod tenants;
mod token;
mod traced;
mod visitor;
pub mod wire;

pub use axum::Router;
pub use hosts::Hosts;
pub use laneway_domain::{Role, Roles};
pub use limits::{
    CurrentLimits, DEFAULT_BATCH_BYTES, DEFAULT_BATCH_EVENTS, DEFAULT_BODY_TIMEOUT, DEFAULT_BUFFERED_BYTES,
    DEFAULT_CONNECTIONS, DEFAULT_EVENT_BYTES, DEFAULT_GRACE, DEFAULT_HEADER_BYTES, DEFAULT_HEADER_TIMEOUT,
    DEFAULT_JSON_DEPTH, Limits, MAX_HEADERS, MAX_JSON_DEPTH,
};
pub use link::{LINK_KEY_BYTES, LINK_PREFIX, LinkKey};
pub use listen::{Listen, Peek};
pub use openapi::openapi;
pub use operation::Route;
pub use presented::digest_of;
pub use routes::routes;
pub use server::{Ended, serve, serve_with};
pub use starting::starting;
pub use tenants::{
    ActBounds, CurrentActBounds, DEFAULT_CHANGES_PER_MINUTE, DEFAULT_REPLAYS_AT_ONCE, DEFAULT_REPLAYS_PER_MINUTE,
    DEFAULT_SEARCHES_PER_MINUTE, DEFAULT_TENANT_TOKENS, DEFAULT_TESTS_PER_MINUTE,
};
pub use token::{CONFIRMED_FOR, Known, TOKEN_PREFIX, Token, Tokens, check_listen};
pub use visitor::{ForPage, Visitor, admit};

use crate::operation::{Handler, Operation};
use crate::routes::OPERATIONS;
use axum::response::IntoResponse as _;
use laneway_ports::{
    DeadLetters, DestinationAdmin, EventLog, Lookup, Operations, Spans, TenantAdmin, TenantDoor, TokenAdmin,
};
use std::sync::Arc;
use tower::ServiceExt as _;

/// Writes all metrics of the process in Prometheus' text format.
pub type RenderMetrics = Arc<dyn Fn() -> String + Send + Sync>;

/// What the HTTP side works with.
#[derive(Clone)]
pub struct Api {
    /// Where events go; `None` if the process takes none in.
    pub log: Option<Arc<dyn EventLog>>,
    /// The dead letters.
    pub dead_letters: Arc<dyn DeadLetters>,
    /// What operators can do: with the worker of this process, or those that share its store; `None` if nobody
    /// can be asked.
    pub operations: Option<Arc<dyn Operations>>,
    /// How it is looked up what happened; `None` if it cannot be here.
    pub lookup: Option<Arc<dyn Lookup>>,
    /// How destinations are looked at and changed; `None` if they cannot be here.
    pub destinations: Option<Arc<dyn DestinationAdmin>>,
    /// How tokens are made and revoked; `None` if they cannot be here.
    pub token_admin: Option<Arc<dyn TokenAdmin>>,
    /// How tenants are limited and deleted; `None` if they cannot be here.
    pub tenant_admin: Option<Arc<dyn TenantAdmin>>,
    /// Whether events of tenants are taken; `None`: all are.
    pub tenant_door: Option<Arc<dyn TenantDoor>>,
    /// The metrics.
    pub metrics: RenderMetrics,
    /// Where the spans of requests with events go, if anywhere.
    pub spans: Option<Arc<dyn Spans>>,
    /// The bounds.
    pub limits: CurrentLimits,
    /// The bounds of what tenants do.
    pub tenants: CurrentActBounds,
    /// Who may; none for everyone (see [`check_listen`]).
    pub tokens: Tokens,
    /// By which names it is reached; asked only where there are no tokens.
    pub hosts: Hosts,
}

/// What all handlers share.
struct Shared {
    api: Api,
    buffered: body::Buffered,
    pace: tenants::Pace,
    /// What the console's pages look up for each tenant.
    looks: tenants::Pace,
    draining: operator::drain::Draining,
    telemetry: telemetry::Telemetry,
    /// The interface as a document.
    document: serde_json::Value,
}

/// The application, all of it.
pub fn router(api: Api) -> Router {
    Application::of(api).everything()
}

/// The application, which may be served in two parts at two addresses.
#[derive(Clone)]
pub struct Application(Arc<Shared>);

impl Application {
    /// Install the recorder of the `metrics` crate before: the handles are made here.
    #[must_use]
    pub fn of(api: Api) -> Self {
        let buffered = body::Buffered::default();
        let (pace, looks) = (tenants::Pace::new(api.tenants.clone()), tenants::Pace::new(api.tenants.clone()));
        Self(Arc::new(Shared {
            api,
            buffered,
            pace,
            looks,
            draining: operator::drain::Draining::default(),
            telemetry: telemetry::Telemetry::new(),
            document: openapi(),
        }))
    }

    /// All operations.
    pub fn everything(&self) -> Router {
        self.with(|_| true)
    }

    /// What producers and health checks need: events in, and what nobody is asked for a token for.
    pub fn for_producers(&self) -> Router {
        self.with(|operation| operation.role.is_none() || matches!(operation.handler, Handler::Ingest(_)))
    }

    fn with(&self, has: impl Fn(&Operation) -> bool) -> Router {
        let shared = self.0.clone();
        let limits = shared.api.limits.clone();
        let operator = operator::router(shared.clone(), OPERATIONS.iter().filter(|operation| has(operation)));
        let (under_other_names, takes_in) = (operator.clone(), shared.api.log.is_some());
        let all = match shared.api.log.clone() {
            Some(log) => operator.merge(ingest(shared, log)),
            None => operator,
        };
        all.method_not_allowed_fallback(move |request| {
            let (router, within) = (under_other_names.clone(), limits.now().body_timeout);
            async move {
                match operator::by_its_own_path(request) {
                    Ok(request) => router.oneshot(request).await.unwrap_or_else(|never| match never {}),
                    Err(request) => operator::method_not_allowed(within, takes_in, request).await.into_response(),
                }
            }
        })
    }
}

fn ingest(shared: Arc<Shared>, log: Arc<dyn EventLog>) -> Router {
    let routes = OPERATIONS.iter().fold(Router::new(), |router, operation| match operation.handler {
        Handler::Ingest(handler) => router.route(operation.path, handler(operation.method.filter())),
        Handler::Operator(_) => router,
    });
    routes.with_state(Arc::new(ingest::Intake { shared, log }))
}
