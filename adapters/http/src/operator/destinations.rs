//! What can be told to a destination.

use super::caller::Caller;
use super::changes::condition;
use super::{Answer, InPath, changes, done, json, known, no_destination, note, status, worker};
use crate::Shared;
use crate::answer;
use crate::problem::{Kind, Problem};
use crate::wire::{ChangeAnswer, Empty, KeyChoice, ReplayChoice, Resumed};
use axum::extract::{Request, State};
use http::StatusCode;
use laneway_domain::{Command, DestinationName, KeyAt, PAUSED_IN_CONFIGURATION, Revision, Timestamp};
use laneway_ports::{AdminError, Change, ChangeRequest, Condition, DestinationAdmin, DestinationState, OperationError};
use std::sync::Arc;

/// `POST /v1/destinations/{name}/keys/retry`: attempt a key's failed event now.
pub(crate) async fn retry_key(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    InPath(name): InPath<String>,
    request: Request,
) -> Answer {
    let destination = caller.destination(&name)?;
    let key = lane_key(&shared, (&caller, &destination), request).await?;
    let (did, missing) = (format!("retried {key}"), format!("{destination} is not blocked at {key}"));
    let retry = Command::RetryKey { destination: destination.clone(), key };
    command(&shared, retry, &destination, (&caller, &did), missing).await
}

/// `POST /v1/destinations/{name}/keys/skip`: give a key's failed event up now.
pub(crate) async fn skip_key(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    InPath(name): InPath<String>,
    request: Request,
) -> Answer {
    let destination = caller.destination(&name)?;
    let key = lane_key(&shared, (&caller, &destination), request).await?;
    // A process that takes no events in does not know how many partitions there are: as with any number.
    let partitions = shared.api.log.as_ref().map_or(u32::MAX, |log| log.partitions());
    if !key.is_one_key(partitions) {
        let what = format!(
            "{0} may be blocked in several partitions, at another event in each; say which `partition`, as the status \
             lists it",
            key.key
        );
        return Err(Problem::new(Kind::Invalid, what).about("/partition"));
    }
    let did = format!("skipped the failed event of {key}");
    let missing = format!("{destination} is not blocked at {key}");
    let skip = Command::SkipKey { destination: destination.clone(), key };
    command(&shared, skip, &destination, (&caller, &did), missing).await
}

/// `POST /v1/destinations/{name}/resume`: end an operator's pause, and one that Laneway made.
pub(crate) async fn resume(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    InPath(name): InPath<String>,
    request: Request,
) -> Answer {
    let destination = caller.destination(&name)?;
    let condition = condition::of_headers(request.headers())?;
    let Empty {} = changes::choice(&shared, request).await?;
    let unpaused = end_pause(&shared, &destination, &caller, condition).await?;
    let resumed = match told(&shared, &caller, Command::Resume { destination: destination.clone() }).await {
        // Where nobody can be asked, the pause has ended all the same.
        Err(_) if unpaused.is_some() => true,
        told => told?,
    };
    if let Some((answer, status)) = unpaused {
        let revision = answer.revision;
        let mut response = changes::tagged(answer::ok(&Resumed { done: true, answer })?, revision);
        *response.status_mut() = status;
        return Ok(response);
    }
    if let Ok(report) = status::report(&shared).await {
        let paused =
            report.destinations.iter().find(|known| known.name == destination).and_then(|it| it.paused.as_deref());
        if paused == Some(PAUSED_IN_CONFIGURATION) {
            let what = format!("{destination} is paused in the configuration; set paused = false in its settings");
            return Err(Problem::new(Kind::Conflict, what));
        }
    }
    if resumed {
        note(&shared, caller.by(), &destination, "resumed").await;
        return done();
    }
    known(&shared, &destination).await?;
    let what = format!("{destination} is not paused and its breaker is closed: there is nothing to resume");
    Err(Problem::new(Kind::Conflict, what))
}

/// Ends the pause of an operator, if there is one.
///
/// # Errors
/// If the destination is not in the state that the condition says, whoever has paused it.
async fn end_pause(
    shared: &Shared,
    destination: &DestinationName,
    caller: &Caller,
    condition: Condition,
) -> Result<Option<(ChangeAnswer, StatusCode)>, Box<Problem>> {
    let Some(admin) = shared.api.destinations.as_deref() else { return Ok(None) };
    match admin.show(destination).await {
        Ok(record) if record.paused.is_some() => {
            let change = ChangeRequest { name: destination.clone(), change: Change::Resume, condition };
            changes::one(admin, caller.by(), change).await.map(Some)
        }
        Ok(record) if !condition.holds(Some(record.revision)) => {
            let (name, revision) = (destination.clone(), Some(record.revision));
            Err(Problem::from_admin(&AdminError::Condition { name, revision }))
        }
        Ok(_) | Err(AdminError::Unknown(_)) => Ok(None),
        Err(error) => Err(Problem::from_admin(&error)),
    }
}

/// `POST /v1/destinations/{name}/replay`: deliver again, in order, what was accepted since a moment and is
/// still in the log.
pub(crate) async fn replay(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    InPath(name): InPath<String>,
    request: Request,
) -> Answer {
    let destination = caller.destination(&name)?;
    let ReplayChoice { since: said } = json(&shared, request).await?;
    let since = moment(&said).map_err(|what| Problem::new(Kind::Invalid, what).about("/since"))?;
    if worker(&shared)?.replay(destination.clone(), since).await.map_err(|error| problem(&error, &caller))? {
        note(&shared, caller.by(), &destination, &format!("replayed from {said}")).await;
        return done();
    }
    known(&shared, &destination).await?;
    Err(Problem::new(Kind::NotFound, format!("{destination} is not in the configuration of any worker")))
}

/// A moment as it is written: `beginning`, or a date-time of RFC 3339.
pub(super) fn moment(text: &str) -> Result<Timestamp, String> {
    if text == "beginning" {
        return Ok(Timestamp::ZERO);
    }
    let read: jiff::Timestamp = text.parse().map_err(|error| {
        format!("{text:?} is neither \"beginning\" nor a date-time of RFC 3339, such as 2026-01-31T12:00:00Z: {error}")
    })?;
    // What is before 1970 is before everything.
    Ok(Timestamp::from_millis(u64::try_from(read.as_millisecond()).unwrap_or(0)))
}

async fn lane_key(
    shared: &Shared,
    (caller, destination): (&Caller, &DestinationName),
    request: Request,
) -> Result<KeyAt, Box<Problem>> {
    let KeyChoice { key, partition, head } = json(shared, request).await?;
    let key = caller.lane_key(destination, &key).ok_or_else(|| {
        let what = format!(
            "{key:?} is not a key as the status lists it: `key:<key>`, `tenant:<tenant>:<key>`, `event:<offset>` or `all`"
        );
        Problem::new(Kind::Invalid, what).about("/key")
    })?;
    Ok(KeyAt { key, partition, head })
}

/// Carries a command about `destination` out; `did` is who did what. If there was nothing to do it to, `missing` says
/// what.
async fn command(
    shared: &Shared,
    command: Command,
    destination: &DestinationName,
    (caller, did): (&Caller, &str),
    missing: String,
) -> Answer {
    if told(shared, caller, command).await? {
        note(shared, caller.by(), destination, did).await;
        return done();
    }
    known(shared, destination).await?;
    Err(Problem::new(Kind::NotFound, missing))
}

/// Tells the workers. Whether there was something to do it to.
async fn told(shared: &Shared, caller: &Caller, command: Command) -> Result<bool, Box<Problem>> {
    let told = worker(shared)?.command(command).await;
    told.map_err(|why| problem(&OperationError::Workers(why), caller))
}

/// `DELETE /v1/destinations/{name}/progress`: forget a destination that left the configuration, and its record with it:
/// what is kept of one that nobody wants would be listed, waited for and tested for ever.
pub(crate) async fn forget(State(shared): State<Arc<Shared>>, caller: Caller, InPath(name): InPath<String>) -> Answer {
    let destination = caller.destination(&name)?;
    let had_progress = worker(&shared)?.forget(&destination).await.map_err(|error| problem(&error, &caller))?;
    let left = left_record(&shared, &destination).await?;
    if !had_progress && left.is_none() {
        return Err(no_destination(&destination));
    }
    note(&shared, caller.by(), &destination, "forgot it, and what waited").await;
    if let Some((admin, revision)) = left {
        // Not one that somebody has brought back meanwhile.
        let condition = Condition::Match(vec![revision]);
        let delete = ChangeRequest { name: destination.clone(), change: Change::Delete, condition };
        changes::one(admin, caller.by(), delete).await.map_err(|problem| match problem.kind {
            Kind::PreconditionFailed => {
                let what = format!("what waited for {destination} is forgotten, but it was brought back meanwhile");
                Problem::new(Kind::Conflict, what)
            }
            _ => problem,
        })?;
    }
    done()
}

/// The revision of a destination that the configuration file no longer names, and what deletes it.
async fn left_record<'s>(
    shared: &'s Shared,
    destination: &DestinationName,
) -> Result<Option<(&'s dyn DestinationAdmin, Revision)>, Box<Problem>> {
    let Some(admin) = shared.api.destinations.as_deref() else { return Ok(None) };
    match admin.show(destination).await {
        Ok(record) => Ok((record.state == DestinationState::Left).then_some((admin, record.revision))),
        Err(AdminError::Unknown(_)) => Ok(None),
        Err(error) => Err(Problem::from_admin(&error)),
    }
}

/// What whoever asked is told of it.
pub(super) fn problem(error: &OperationError, caller: &Caller) -> Box<Problem> {
    match error {
        OperationError::NotReady => status::not_ready(),
        OperationError::Store(error) => Problem::from_store(error),
        OperationError::Conflict(_) | OperationError::Workers(_) => {
            Problem::new(Kind::Conflict, error.told_to(caller.tenant()))
        }
    }
}
