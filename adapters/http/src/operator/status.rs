//! Health, metrics and status.

use super::caller::Caller;
use super::{Answer, no_destination, text, worker};
use crate::answer;
use crate::problem::{Kind, Problem};
use crate::{Shared, wire};
use axum::extract::{Query, State};
use axum::response::Response;
use http::Uri;
use laneway_domain::StatusReport;
use laneway_ports::OperationError;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// When to ask a worker again that is starting or stopping.
const SOON: Duration = Duration::from_secs(1);

/// `GET /healthz`: the process runs and answers.
pub(crate) async fn healthz() -> Answer {
    answer::ok(&wire::Health { status: "alive".into(), limitations: Vec::new() })
}

/// `GET /readyz`: nothing keeps it from its work. A process without a worker only takes events in,
/// and is ready as soon as it answers. What only a part of its work suffers from is told, and keeps it ready: a balancer
/// must not take every process away because one node of a Redis Cluster takes no events. One that is to take none in is
/// not ready: others are to be asked.
pub(crate) async fn readyz(State(shared): State<Arc<Shared>>) -> Answer {
    let Readiness { reasons, limitations } = Readiness::of(&shared).await;
    if reasons.is_empty() {
        return answer::ok(&wire::Health { status: "ready".into(), limitations });
    }
    Err(not_ready_because(reasons))
}

/// Whether this process can do its work.
struct Readiness {
    /// What keeps it from that; empty if it is ready.
    reasons: Vec<String>,
    /// What only a part of its work suffers from.
    limitations: Vec<String>,
}

impl Readiness {
    async fn of(shared: &Shared) -> Self {
        let (mut reasons, limitations) = match &shared.api.operations {
            Some(operations) => (operations.not_ready().await, operations.limitations().await),
            None => Default::default(),
        };
        reasons.extend(shared.draining.reason());
        Self { reasons, limitations }
    }
}

/// What keeps a process from its work.
pub(crate) fn not_ready_because(reasons: Vec<String>) -> Box<Problem> {
    let mut problem = Problem::new(Kind::NotReady, reasons.join("; "));
    problem.body.reasons = reasons;
    problem
}

/// `GET /openapi.json`: what this interface can be asked.
pub(crate) async fn openapi(State(shared): State<Arc<Shared>>) -> Answer {
    answer::ok(&shared.document)
}

/// `GET /metrics`. Whether the process is ready is found out now, as `/readyz` does: what is seconds old would not tell
/// of a drain that has just begun.
pub(crate) async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    let is_ready = Readiness::of(&shared).await.reasons.is_empty();
    shared.telemetry.ready(is_ready);
    text("text/plain; version=0.0.4; charset=utf-8", (shared.api.metrics)())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StatusQuery {
    destination: Option<String>,
}

/// `GET /v1/status`, of all destinations or of one.
pub(crate) async fn status(State(shared): State<Arc<Shared>>, caller: Caller, uri: Uri) -> Answer {
    let Query(asked) =
        Query::<StatusQuery>::try_from_uri(&uri).map_err(|error| Problem::new(Kind::Invalid, error.body_text()))?;
    let only = asked.destination.as_deref().map(|name| caller.destination(name)).transpose()?;
    let mut report = report(&shared).await?;
    let counts = shared.api.dead_letters.counts().await.map_err(|error| Problem::from_store(&error))?;
    let counts = counts.into_iter().filter(|count| caller.sees(&count.destination));
    let mut counts: BTreeMap<_, _> = counts.map(|count| (count.destination, count.count)).collect();
    if let Some(tenant) = caller.tenant() {
        report = StatusReport::of_tenant(tenant, report.at, &report.destinations);
    }
    if let Some(only) = only {
        report.destinations.retain(|destination| destination.name == only);
        counts.retain(|name, _| *name == only);
        if report.destinations.is_empty() && counts.is_empty() {
            return Err(no_destination(&only));
        }
    }
    let mut status = wire::Status::new(report, counts);
    // Of a store that takes no events a tenant learns when it sends one, and no more than that.
    if caller.tenant().is_none() {
        let Readiness { reasons, limitations } = Readiness::of(&shared).await;
        (status.not_ready, status.limitations) = (reasons, limitations);
    }
    let workers = worker(&shared)?;
    for view in &mut status.destinations {
        view.to = workers.target(&view.status.name);
    }
    answer::ok(&status)
}

/// The worker's report.
pub(super) async fn report(shared: &Shared) -> Result<StatusReport, Box<Problem>> {
    worker(shared)?.status().await.ok_or_else(not_ready)
}

/// The worker cannot be asked now.
pub(super) fn not_ready() -> Box<Problem> {
    Problem::new(Kind::NotReady, OperationError::NotReady.to_string()).retry_after(SOON)
}
