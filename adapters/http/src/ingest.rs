//! Taking events in: the life of one request.

use crate::Shared;
use crate::answer::{self, Sent};
use crate::batch::Reader;
use crate::body::{Bound, Received, receive, refuse};
use crate::door::{Asked, enter};
use crate::limits::Limits;
use crate::media::{Door, Media};
use crate::problem::{Kind, Problem};
use crate::traced::Traced;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, header};
use laneway_domain::{NewEvent, Role};
use laneway_ports::{Appended, EventLog, StoreError, unix_nanos};
use std::sync::Arc;
use std::time::Instant;

mod tenants;

/// The role that it takes to hand events in.
pub(crate) const NEEDS: Role = Role::Publish;

/// What the doors work with.
pub(crate) struct Intake {
    pub(crate) shared: Arc<Shared>,
    pub(crate) log: Arc<dyn EventLog>,
}

/// `POST /v1/events`.
pub(crate) async fn event(State(intake): State<Arc<Intake>>, request: Request) -> Response {
    answered(&intake, Door::Events, request).await
}

/// `POST /v1/events/batch`.
pub(crate) async fn batch(State(intake): State<Arc<Intake>>, request: Request) -> Response {
    answered(&intake, Door::Batch, request).await
}

async fn answered(intake: &Intake, door: Door, request: Request) -> Response {
    let shared = &*intake.shared;
    let started = Instant::now();
    let (parts, body) = request.into_parts();
    let spans = shared.api.spans.as_deref();
    let mut traced = spans.map(|spans| Traced::begin(spans, parts.uri.path(), &parts.headers));
    match take(intake, door, &parts, body, traced.as_mut()).await {
        Ok(response) => {
            shared.telemetry.answered(started.elapsed());
            if let Some(traced) = traced {
                traced.answered(response.status(), None);
            }
            response
        }
        Err(problem) => {
            shared.telemetry.rejected(&problem, started.elapsed());
            if let Some(traced) = traced {
                traced.answered(problem.status(), Some(&problem.body.detail));
            }
            problem.into_response()
        }
    }
}

async fn take(
    intake: &Intake,
    door: Door,
    parts: &Parts,
    body: Body,
    mut traced: Option<&mut Traced<'_>>,
) -> Result<Response, Box<Problem>> {
    let shared = &*intake.shared;
    let entered = enter(&Asked::of(parts), &shared.api.hosts, &shared.api.tokens.now(), Some(NEEDS));
    // Before its body is read. Whoever may send none is told that first.
    let entered = entered.and_then(|access| shared.draining.look().map(|()| access));
    let (access, media) = match entered.and_then(|access| Ok((access, Media::of(&parts.headers, door)?))) {
        Ok(entered) => entered,
        Err(problem) => {
            refuse(&parts.headers, body, shared.api.limits.now().body_timeout).await;
            return Err(problem);
        }
    };
    let limits = &*shared.api.limits.now();
    if let (Some(door), Some(tenant)) = (&shared.api.tenant_door, &access.tenant)
        && let Err(why) = door.look(tenant)
    {
        // Before its body is read.
        refuse(&parts.headers, body, limits.body_timeout).await;
        return Err(Problem::from_unwelcome(&why));
    }
    let received = receive_events(shared, limits, media, &parts.headers, body).await?;
    let mut events = Reader::new(&received.bytes, &parts.headers, limits, access.tenant.as_ref())
        .read(media)
        .map_err(|refusal| Problem::from_refusal(*refusal, &received.bytes, limits))?;
    let sent: Vec<Sent> = events.iter().map(Sent::of).collect();
    let mut asked_at = 0;
    if let Some(traced) = &mut traced {
        traced.read(&mut events);
        asked_at = unix_nanos();
    }
    // Once more: its body may have taken long.
    let appending = shared.draining.enter().await?;
    let results = match &shared.api.tenant_door {
        Some(door) if events.iter().any(|event| event.event.tenant.is_some()) => {
            tenants::append(&**door, &*intake.log, events).await?
        }
        _ => append(&*intake.log, events).await,
    };
    drop(appending);
    if let Some(traced) = traced {
        traced.appended(asked_at, &results);
    }
    shared.telemetry.stored(&results);
    match (sent.as_slice(), results.as_slice()) {
        ([sent], [result]) if !media.is_batch() => answer::single(sent, result),
        (sent, results) => answer::batch(sent, results),
    }
}

async fn receive_events<'a>(
    shared: &'a Shared,
    limits: &Limits,
    media: Media,
    headers: &HeaderMap,
    body: Body,
) -> Result<Received<'a>, Box<Problem>> {
    let (bytes, kind) = if media.is_batch() {
        (limits.batch_bytes, Kind::BatchTooLarge)
    } else {
        (limits.event_bytes, Kind::EventTooLarge)
    };
    let (together, expects) = (limits.buffered_bytes, headers.contains_key(header::EXPECT));
    let bound = Bound { bytes, kind, together, timeout: limits.body_timeout, expects };
    receive(body, &bound, &shared.buffered).await
}

/// Hands the events to the store; always as many results as events.
async fn append(log: &dyn EventLog, events: Vec<NewEvent>) -> Vec<Result<Appended, StoreError>> {
    let count = events.len();
    if count == 0 {
        return Vec::new();
    }
    let mut results = log.append(events).await;
    if results.len() != count {
        let what = format!("the store answered {} results for {count} events", results.len());
        tracing::error!("{what}");
        results.clear();
        results.resize_with(count, || Err(StoreError::unknown(what.as_str())));
    }
    results
}
