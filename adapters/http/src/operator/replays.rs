//! Replays with a selection, and the recovery of a key.

use super::caller::{Caller, keys_of};
use super::destinations::{moment, problem};
use super::{Answer, InPath, done, json, known, no_destination, note, status, worker};
use crate::Shared;
use crate::answer;
use crate::problem::{Kind, Problem};
use crate::wire::{Done, RecoveryAsked, ReplayAsked, ReplayCounted, ReplayList, ReplayView};
use axum::extract::{Request, State};
use http::StatusCode;
use laneway_domain::{
    DestinationName, EventId, Key, MAX_REPLAY_CHOICES, Offset, ReplayId, ReplayState, Selection, Timestamp, TypePattern,
};
use laneway_ports::{ReplayPoint, ReplayRequest};
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long it is waited until every partition has stored a replay, or its end. What takes longer goes on by itself.
const STORED_WITHIN: Duration = Duration::from_secs(10);
/// How often it is looked for that.
const GLANCE: Duration = Duration::from_millis(100);

/// `GET /v1/destinations/{name}/replays`.
pub(crate) async fn list(State(shared): State<Arc<Shared>>, caller: Caller, InPath(name): InPath<String>) -> Answer {
    let name = caller.destination(&name)?;
    let items = of(&shared, &caller, &name).await?;
    answer::ok(&ReplayList { items })
}

/// `GET /v1/destinations/{name}/replays/{id}`.
pub(crate) async fn show(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    InPath((name, id)): InPath<(String, String)>,
) -> Answer {
    let (name, id) = (caller.destination(&name)?, replay_id(&id)?);
    let found = of(&shared, &caller, &name).await?.into_iter().find(|replay| replay.id == id);
    answer::ok(&found.ok_or_else(|| no_replay(&name, &id))?)
}

/// `PUT /v1/destinations/{name}/replays/{id}`: begin it, or find it there.
pub(crate) async fn put(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    InPath((name, id)): InPath<(String, String)>,
    request: Request,
) -> Answer {
    let (name, id) = (caller.destination(&name)?, replay_id(&id)?);
    let asked: ReplayAsked = json(&shared, request).await?;
    let selection = Selection {
        tenant: keys_of(&name, asked.tenant)?,
        types: each("/types", &asked.types, TypePattern::new)?,
        keys: each("/keys", &asked.keys, |text| Key::new(text).map_err(|error| error.reason))?.into_iter().collect(),
        events: each("/events", &asked.events, |text| EventId::new(text).map_err(|error| error.reason))?
            .into_iter()
            .collect(),
    };
    let request = ReplayRequest {
        destination: name,
        id,
        asked_at: now(),
        from: point("/from", asked.from.as_deref(), ReplayPoint::Beginning)?,
        to: point("/to", asked.to.as_deref(), ReplayPoint::End)?,
        selection,
        first: asked.first,
        partial: true,
    };
    if request.ends_before_it_begins() {
        return Err(Problem::new(Kind::Invalid, "the end of a replay must lie behind its beginning").about("/to"));
    }
    if asked.dry_run {
        return count(&shared, &caller, &request).await;
    }
    begin(&shared, &caller, &request).await
}

/// `POST /v1/destinations/{name}/keys/replay`: a key goes back, and what is new of it waits.
pub(crate) async fn recover(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    InPath(name): InPath<String>,
    request: Request,
) -> Answer {
    let name = caller.destination(&name)?;
    let asked: RecoveryAsked = json(&shared, request).await?;
    let asked_at = now();
    let offset = asked.from.as_deref().and_then(|from| from.strip_prefix("offset:"));
    let from = match (asked.from.as_deref(), offset) {
        (None | Some("dead-letter"), _) => ReplayPoint::DeadLetter,
        (_, Some(offset)) => ReplayPoint::Offset(Offset(offset.parse().map_err(|error| invalid("/from", error))?)),
        (from, None) => point("/from", from, ReplayPoint::Beginning)?,
    };
    let id = match asked.id {
        Some(id) => id,
        None => replay_id(&format!("recover-{}", asked_at.as_millis()))?,
    };
    let tenant = keys_of(&name, asked.tenant)?;
    let selection = Selection { tenant, keys: [asked.key].into(), ..Selection::default() };
    let request = ReplayRequest {
        destination: name,
        id,
        asked_at,
        from,
        to: ReplayPoint::End,
        selection,
        first: false,
        partial: asked.partial,
    };
    if asked.dry_run {
        return count(&shared, &caller, &request).await;
    }
    begin(&shared, &caller, &request).await
}

/// `DELETE /v1/destinations/{name}/replays/{id}`: end it, and forget it.
pub(crate) async fn delete(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    InPath((name, id)): InPath<(String, String)>,
) -> Answer {
    let (name, id) = (caller.destination(&name)?, replay_id(&id)?);
    if !worker(&shared)?.cancel_replay(&name, &id).await.map_err(|error| problem(&error, &caller))? {
        known(&shared, &name).await?;
        return Err(no_replay(&name, &id));
    }
    note(&shared, caller.by(), &name, &format!("ended the replay {id}")).await;
    let until = Instant::now() + STORED_WITHIN;
    while of(&shared, &caller, &name).await?.iter().any(|replay| replay.id == id) {
        if Instant::now() >= until {
            // It was ended, and a partition has yet to store that.
            let mut response = answer::ok(&Done { done: false })?;
            *response.status_mut() = StatusCode::ACCEPTED;
            return Ok(response);
        }
        sleep(GLANCE).await;
    }
    done()
}

/// Whether the tenant, if it is one, may have one more replay under way, as far as workers have told of those that are.
/// One that is there already is no other.
async fn one_more(shared: &Shared, caller: &Caller, request: &ReplayRequest) -> Result<(), Box<Problem>> {
    let Some(tenant) = caller.tenant() else { return Ok(()) };
    let report = status::report(shared).await?;
    let own = report.destinations.iter().filter(|destination| destination.name.is_of(Some(tenant)));
    let all = own.flat_map(|destination| destination.replays.iter().map(|replay| (&destination.name, replay)));
    let others = all.filter(|(name, replay)| **name != request.destination || replay.id != request.id);
    let count = others.filter(|(_, replay)| replay.state() != ReplayState::Done).count();
    let most = shared.api.tenants.now().replays_at_once;
    if count < most {
        return Ok(());
    }
    let what = format!(
        "the tenant {tenant} has {count} replays under way, and may have {most} (tenants.replays_at_once): wait until one \
         has ended, or end one"
    );
    Err(Problem::new(Kind::Conflict, what))
}

async fn begin(shared: &Shared, caller: &Caller, request: &ReplayRequest) -> Answer {
    let (by, name) = (caller.by(), &request.destination);
    one_more(shared, caller, request).await?;
    let begun = worker(shared)?.begin_replay(request).await.map_err(|error| problem(&error, caller))?;
    let begun = begun.ok_or_else(|| no_destination(name))?;
    let until = Instant::now() + STORED_WITHIN;
    let (view, is_stored) = loop {
        let found = of(shared, caller, name).await?.into_iter().find(|replay| replay.id == request.id);
        if let Some(view) = found {
            let has = |of| view.partitions.iter().any(|part| part.partition == of && part.state != ReplayState::Asked);
            let is_stored = begun.partitions.iter().all(|partition| has(*partition));
            if is_stored || Instant::now() >= until {
                break (view, is_stored);
            }
        } else if Instant::now() >= until {
            let what =
                format!("no partition has taken the replay {} over: send it again, under the same id", request.id);
            return Err(Problem::new(Kind::Conflict, what));
        }
        sleep(GLANCE).await;
    };
    if !begun.was_there {
        note(shared, by, name, &format!("began the replay {}", request.id)).await;
    }
    let mut response = answer::ok(&view)?;
    *response.status_mut() = match (is_stored, begun.was_there) {
        (false, _) => StatusCode::ACCEPTED,
        (true, true) => StatusCode::OK,
        (true, false) => StatusCode::CREATED,
    };
    Ok(response)
}

async fn count(shared: &Shared, caller: &Caller, request: &ReplayRequest) -> Answer {
    let counted = worker(shared)?.count_replay(request).await.map_err(|error| problem(&error, caller))?;
    let counted = counted.ok_or_else(|| no_destination(&request.destination))?;
    let (events, is_all, filtered) = (counted.events, counted.is_all, counted.filtered);
    answer::ok(&ReplayCounted { dry_run: true, events, is_all, filtered })
}

/// The replays of a destination.
async fn of(shared: &Shared, caller: &Caller, name: &DestinationName) -> Result<Vec<ReplayView>, Box<Problem>> {
    let replays = worker(shared)?.replays(name).await.map_err(|error| problem(&error, caller))?;
    Ok(replays.ok_or_else(|| no_destination(name))?.into_iter().map(ReplayView::from).collect())
}

fn no_replay(name: &DestinationName, id: &ReplayId) -> Box<Problem> {
    Problem::new(Kind::NotFound, format!("{name} has no replay {id}"))
}

fn replay_id(id: &str) -> Result<ReplayId, Box<Problem>> {
    ReplayId::new(id).map_err(|error| Problem::new(Kind::Invalid, error.to_string()).about("id"))
}

fn invalid(field: &str, why: impl Display) -> Box<Problem> {
    Problem::new(Kind::Invalid, why.to_string()).about(field)
}

fn point(field: &str, text: Option<&str>, default: ReplayPoint) -> Result<ReplayPoint, Box<Problem>> {
    match text {
        None => Ok(default),
        Some("beginning") => Ok(ReplayPoint::Beginning),
        Some(text) => moment(text).map(ReplayPoint::Moment).map_err(|why| invalid(field, why)),
    }
}

/// Reads the texts of a list that chooses events.
fn each<T, E: Display>(
    field: &str,
    texts: &[String],
    read: impl Fn(&str) -> Result<T, E>,
) -> Result<Vec<T>, Box<Problem>> {
    if texts.len() > MAX_REPLAY_CHOICES {
        let what =
            format!("there are {}, and a replay chooses by {MAX_REPLAY_CHOICES} at most: make several", texts.len());
        return Err(invalid(field, what));
    }
    let read = |(nth, text): (usize, &String)| read(text).map_err(|why| invalid(&format!("{field}/{nth}"), why));
    texts.iter().enumerate().map(read).collect()
}

fn now() -> Timestamp {
    Timestamp::from_millis(u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0))
}
