//! Every operation of the HTTP interface, and the role that each needs: the one table that the router is made from.

use crate::Shared;
use crate::ingest::{self, Intake};
use crate::operation::{Handler, Operation, Route, Verb};
use crate::operator::{changes, dead_letters, destinations, drain, links, lookup, replays, status, tenants, tokens};
use axum::routing::{MethodFilter, MethodRouter, on};
use laneway_domain::{Role, TenantAct};
use std::sync::Arc;

/// All operations of the HTTP interface.
pub fn routes() -> impl Iterator<Item = Route> {
    OPERATIONS.iter().map(|operation| Route {
        method: operation.method.name(),
        path: operation.path,
        role: operation.role,
        tenants: operation.tenants,
        links: operation.links,
        act: operation.act,
    })
}

/// A handler, for whichever method it is.
type Handles = fn(MethodFilter) -> MethodRouter<Arc<Shared>>;

const fn operation(method: Verb, path: &'static str, role: Option<Role>, handler: Handler) -> Operation {
    Operation { method, path, role, tenants: true, links: true, act: None, counts_itself: false, handler }
}

const fn get(path: &'static str, role: Option<Role>, handler: Handles) -> Operation {
    operation(Verb::Get, path, role, Handler::Operator(handler))
}

const fn admin(method: Verb, path: &'static str, handler: Handles) -> Operation {
    operation(method, path, Some(Role::Admin), Handler::Operator(handler)).is(TenantAct::Change)
}

const fn operate(method: Verb, path: &'static str, handler: Handles) -> Operation {
    operation(method, path, Some(Role::Operate), Handler::Operator(handler)).is(TenantAct::Change)
}

const fn post(path: &'static str, handler: Handles) -> Operation {
    operate(Verb::Post, path, handler)
}

const fn intake(path: &'static str, handler: fn(MethodFilter) -> MethodRouter<Arc<Intake>>) -> Operation {
    operation(Verb::Post, path, Some(ingest::NEEDS), Handler::Ingest(handler))
}

/// All of them.
pub(crate) const OPERATIONS: [Operation; 49] = [
    intake("/v1/events", |m| on(m, ingest::event)),
    intake("/v1/events/batch", |m| on(m, ingest::batch)),
    get("/v1/events", Some(Role::Read), |m| on(m, lookup::events)).is(TenantAct::Search),
    get("/v1/events/{id}", Some(Role::Read), |m| on(m, lookup::find)).is(TenantAct::Search),
    get("/v1/attempts", Some(Role::Read), |m| on(m, lookup::attempts)).is(TenantAct::Search),
    get("/v1/workers", Some(Role::Read), |m| on(m, lookup::workers)).for_operators(),
    get("/v1/store", Some(Role::Read), |m| on(m, lookup::store)).for_operators(),
    get("/v1/status", Some(Role::Read), |m| on(m, status::status)).is(TenantAct::Search),
    get("/v1/dead-letters", Some(Role::Read), |m| on(m, dead_letters::list)).is(TenantAct::Search),
    get("/v1/dead-letters/{destination}/{partition}/{offset}", Some(Role::Read), |m| on(m, dead_letters::event)),
    post("/v1/dead-letters/retry", |m| on(m, dead_letters::retry)),
    post("/v1/dead-letters/discard", |m| on(m, dead_letters::discard)),
    post("/v1/destinations/{name}/keys/retry", |m| on(m, destinations::retry_key)),
    post("/v1/destinations/{name}/keys/skip", |m| on(m, destinations::skip_key)),
    post("/v1/destinations/{name}/resume", |m| on(m, destinations::resume)),
    post("/v1/destinations/{name}/replay", |m| on(m, destinations::replay)).is(TenantAct::Replay),
    get("/v1/destinations/{name}/replays", Some(Role::Read), |m| on(m, replays::list)).is(TenantAct::Search),
    get("/v1/destinations/{name}/replays/{id}", Some(Role::Read), |m| on(m, replays::show)).is(TenantAct::Search),
    operate(Verb::Put, "/v1/destinations/{name}/replays/{id}", |m| on(m, replays::put)).is(TenantAct::Replay),
    operate(Verb::Delete, "/v1/destinations/{name}/replays/{id}", |m| on(m, replays::delete)),
    operate(Verb::Post, "/v1/destinations/{name}/keys/replay", |m| on(m, replays::recover)).is(TenantAct::Replay),
    admin(Verb::Delete, "/v1/destinations/{name}/progress", |m| on(m, destinations::forget)).for_operators(),
    get("/v1/destinations", Some(Role::Read), |m| on(m, changes::list)),
    get("/v1/destinations/{name}", Some(Role::Read), |m| on(m, changes::show)),
    get("/v1/destinations/{name}/changes", Some(Role::Read), |m| on(m, changes::journal)),
    admin(Verb::Put, "/v1/destinations/{name}", |m| on(m, changes::put)),
    admin(Verb::Patch, "/v1/destinations/{name}", |m| on(m, changes::patch)),
    admin(Verb::Delete, "/v1/destinations/{name}", |m| on(m, changes::delete)),
    admin(Verb::Post, "/v1/destinations", |m| on(m, changes::batch)).counts_itself(),
    post("/v1/destinations/{name}/pause", |m| on(m, changes::pause)),
    admin(Verb::Post, "/v1/destinations/{name}/rotate-secret", |m| on(m, changes::rotate_secret)),
    post("/v1/destinations/{name}/test", |m| on(m, changes::test)).is(TenantAct::Test),
    get("/v1/tokens", Some(Role::Admin), |m| on(m, tokens::list)).not_by_link(),
    admin(Verb::Post, "/v1/tokens", |m| on(m, tokens::create)).not_by_link(),
    get("/v1/token-changes", Some(Role::Admin), |m| on(m, tokens::changes)).not_by_link(),
    admin(Verb::Delete, "/v1/tokens/{name}", |m| on(m, tokens::revoke)).not_by_link(),
    admin(Verb::Post, "/v1/portal-links", |m| on(m, links::make)).not_by_link(),
    admin(Verb::Delete, "/v1/portal-links", |m| on(m, links::end)).not_by_link(),
    get("/v1/tenants", Some(Role::Read), |m| on(m, tenants::list)).for_operators(),
    get("/v1/tenants/{tenant}", Some(Role::Read), |m| on(m, tenants::show)),
    admin(Verb::Put, "/v1/tenants/{tenant}", |m| on(m, tenants::put)).for_operators(),
    admin(Verb::Delete, "/v1/tenants/{tenant}", |m| on(m, tenants::delete)).for_operators(),
    get("/v1/drain", Some(Role::Read), |m| on(m, drain::show)).for_operators(),
    admin(Verb::Put, "/v1/drain", |m| on(m, drain::begin)).for_operators(),
    admin(Verb::Delete, "/v1/drain", |m| on(m, drain::end)).for_operators(),
    get("/openapi.json", None, |m| on(m, status::openapi)),
    get("/metrics", Some(Role::Read), |m| on(m, status::metrics)).for_operators(),
    get("/healthz", None, |m| on(m, status::healthz)),
    get("/readyz", None, |m| on(m, status::readyz)),
];
