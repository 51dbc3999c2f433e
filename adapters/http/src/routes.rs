//! Every operation of the HTTP interface, and the role that each needs: the one table that the router is made from.

use crate::Shared;
use crate::ingest::{self, Intake};
use crate::operation::{Handler, Operation, Route, Verb};
use crate::operator::{changes, dead_letters, destinations, lookup, replays, status, tokens};
use axum::routing::{MethodFilter, MethodRouter, on};
use laneway_domain::Role;
use std::sync::Arc;

/// All operations of the HTTP interface.
pub fn routes() -> impl Iterator<Item = Route> {
    OPERATIONS.iter().map(|operation| Route {
        method: operation.method.name(),
        path: operation.path,
        role: operation.role,
        tenants: operation.tenants,
    })
}

const fn get(
    path: &'static str,
    role: Option<Role>,
    handler: fn(MethodFilter) -> MethodRouter<Arc<Shared>>,
) -> Operation {
    Operation { method: Verb::Get, path, role, tenants: true, handler: Handler::Operator(handler) }
}

const fn admin(method: Verb, path: &'static str, handler: fn(MethodFilter) -> MethodRouter<Arc<Shared>>) -> Operation {
    Operation { method, path, role: Some(Role::Admin), tenants: true, handler: Handler::Operator(handler) }
}

const fn operate(
    method: Verb,
    path: &'static str,
    handler: fn(MethodFilter) -> MethodRouter<Arc<Shared>>,
) -> Operation {
    Operation { method, path, role: Some(Role::Operate), tenants: true, handler: Handler::Operator(handler) }
}

const fn post(path: &'static str, role: Role, handler: fn(MethodFilter) -> MethodRouter<Arc<Shared>>) -> Operation {
    Operation { method: Verb::Post, path, role: Some(role), tenants: true, handler: Handler::Operator(handler) }
}

const fn intake(path: &'static str, handler: fn(MethodFilter) -> MethodRouter<Arc<Intake>>) -> Operation {
    Operation { method: Verb::Post, path, role: Some(ingest::NEEDS), tenants: true, handler: Handler::Ingest(handler) }
}

/// All of them.
pub(crate) const OPERATIONS: [Operation; 40] = [
    intake("/v1/events", |m| on(m, ingest::event)),
    intake("/v1/events/batch", |m| on(m, ingest::batch)),
    get("/v1/events", Some(Role::Read), |m| on(m, lookup::events)),
    get("/v1/events/{id}", Some(Role::Read), |m| on(m, lookup::find)),
    get("/v1/attempts", Some(Role::Read), |m| on(m, lookup::attempts)),
    get("/v1/workers", Some(Role::Read), |m| on(m, lookup::workers)).for_operators(),
    get("/v1/store", Some(Role::Read), |m| on(m, lookup::store)).for_operators(),
    get("/v1/status", Some(Role::Read), |m| on(m, status::status)),
    get("/v1/dead-letters", Some(Role::Read), |m| on(m, dead_letters::list)),
    get("/v1/dead-letters/{destination}/{partition}/{offset}", Some(Role::Read), |m| on(m, dead_letters::event)),
    post("/v1/dead-letters/retry", Role::Operate, |m| on(m, dead_letters::retry)),
    post("/v1/dead-letters/discard", Role::Operate, |m| on(m, dead_letters::discard)),
    post("/v1/destinations/{name}/keys/retry", Role::Operate, |m| on(m, destinations::retry_key)),
    post("/v1/destinations/{name}/keys/skip", Role::Operate, |m| on(m, destinations::skip_key)),
    post("/v1/destinations/{name}/resume", Role::Operate, |m| on(m, destinations::resume)),
    post("/v1/destinations/{name}/replay", Role::Operate, |m| on(m, destinations::replay)),
    get("/v1/destinations/{name}/replays", Some(Role::Read), |m| on(m, replays::list)),
    get("/v1/destinations/{name}/replays/{id}", Some(Role::Read), |m| on(m, replays::show)),
    operate(Verb::Put, "/v1/destinations/{name}/replays/{id}", |m| on(m, replays::put)),
    operate(Verb::Delete, "/v1/destinations/{name}/replays/{id}", |m| on(m, replays::delete)),
    operate(Verb::Post, "/v1/destinations/{name}/keys/replay", |m| on(m, replays::recover)),
    admin(Verb::Delete, "/v1/destinations/{name}/progress", |m| on(m, destinations::forget)).for_operators(),
    get("/v1/destinations", Some(Role::Read), |m| on(m, changes::list)),
    get("/v1/destinations/{name}", Some(Role::Read), |m| on(m, changes::show)),
    get("/v1/destinations/{name}/changes", Some(Role::Read), |m| on(m, changes::journal)),
    admin(Verb::Put, "/v1/destinations/{name}", |m| on(m, changes::put)),
    admin(Verb::Patch, "/v1/destinations/{name}", |m| on(m, changes::patch)),
    admin(Verb::Delete, "/v1/destinations/{name}", |m| on(m, changes::delete)),
    admin(Verb::Post, "/v1/destinations", |m| on(m, changes::batch)),
    post("/v1/destinations/{name}/pause", Role::Operate, |m| on(m, changes::pause)),
    admin(Verb::Post, "/v1/destinations/{name}/rotate-secret", |m| on(m, changes::rotate_secret)),
    post("/v1/destinations/{name}/test", Role::Operate, |m| on(m, changes::test)),
    get("/v1/tokens", Some(Role::Admin), |m| on(m, tokens::list)).for_operators(),
    admin(Verb::Post, "/v1/tokens", |m| on(m, tokens::create)).for_operators(),
    get("/v1/token-changes", Some(Role::Admin), |m| on(m, tokens::changes)).for_operators(),
    admin(Verb::Delete, "/v1/tokens/{name}", |m| on(m, tokens::revoke)).for_operators(),
    get("/openapi.json", None, |m| on(m, status::openapi)),
    get("/metrics", Some(Role::Read), |m| on(m, status::metrics)).for_operators(),
    get("/healthz", None, |m| on(m, status::healthz)),
    get("/readyz", None, |m| on(m, status::readyz)),
];
