//! Destinations that change while events flow: looking at them, and changing them.

pub(super) mod condition;

use super::caller::Caller;
use super::{Answer, InPath, json_within};
use crate::Shared;
use crate::answer;
use crate::problem::{Kind, Problem};
use crate::request_name;
use crate::wire::{
    BatchAnswer, BatchChange, BatchOfChanges, BatchOp, BatchResult, ChangeAnswer, Empty, JournalLine, JournalPage,
    PauseChoice, RotateChoice,
};
use axum::extract::{Query, Request, State};
use axum::response::Response;
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use laneway_domain::{DestinationName, Revision, Tenant, TenantAct};
use laneway_ports::{
    AdminError, Change, ChangeRequest, Changed, ChangesDone, Condition, DestinationAdmin, DestinationState, ListQuery,
    MAX_LIST, MAX_RECORD_BYTES, TakenOver,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};
use std::sync::Arc;

/// Entries of a list where nobody says how many.
const LIMIT: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListAsked {
    after: Option<String>,
    limit: Option<usize>,
    tenant: Option<Tenant>,
    state: Option<DestinationState>,
}

/// `GET /v1/destinations`.
pub(crate) async fn list(State(shared): State<Arc<Shared>>, caller: Caller, uri: Uri) -> Answer {
    let asked: ListAsked = query(&uri)?;
    let after = asked.after.as_deref().map(|name| caller.destination(name)).transpose()?;
    let tenant = caller.tenant().cloned().or(asked.tenant);
    let list = ListQuery { after, limit: limit(asked.limit)?, tenant, state: asked.state };
    answer::ok(&admin(&shared)?.list(&list).await.map_err(|error| Problem::from_admin(&error))?)
}

/// `GET /v1/destinations/{name}`.
pub(crate) async fn show(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    InPath(name): InPath<String>,
    headers: HeaderMap,
) -> Answer {
    let name = caller.destination(&name)?;
    let record = admin(&shared)?.show(&name).await.map_err(|error| Problem::from_admin(&error))?;
    if condition::is_known(&headers, record.revision)? {
        let mut unchanged = Response::default();
        *unchanged.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(tagged(unchanged, record.revision));
    }
    Ok(tagged(answer::ok(&record)?, record.revision))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JournalAsked {
    before: Option<u64>,
    limit: Option<usize>,
}

/// `GET /v1/destinations/{name}/changes`.
pub(crate) async fn journal(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    InPath(name): InPath<String>,
    uri: Uri,
) -> Answer {
    let name = caller.destination(&name)?;
    let asked: JournalAsked = query(&uri)?;
    let limit = limit(asked.limit)?;
    let found = admin(&shared)?.changes(&name, asked.before.map(Revision), limit).await;
    let tokens = shared.api.tokens.now();
    let told = |line: JournalLine| JournalLine { by: caller.told_of(&tokens, line.by), ..line };
    let items: Vec<_> = found.map_err(|error| Problem::from_admin(&error))?.into_iter().map(told).collect();
    let more = items.len() == limit;
    let next = items.last().filter(|_| more).map(|line| line.revision.to_string());
    answer::ok(&JournalPage { items, next, incomplete: Vec::new() })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PutAsked {
    #[serde(default)]
    adopt: bool,
}

/// `PUT /v1/destinations/{name}`: it is to be there, with these settings.
pub(crate) async fn put(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    InPath(name): InPath<String>,
    uri: Uri,
    request: Request,
) -> Answer {
    let name = caller.destination(&name)?;
    let PutAsked { adopt } = query(&uri)?;
    changed(&shared, (name, &caller), request, async |request| {
        Ok(Change::Put { settings: settings(&shared, request).await?, adopt })
    })
    .await
}

/// `PATCH /v1/destinations/{name}`: some settings are to be different (RFC 7396).
pub(crate) async fn patch(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    InPath(name): InPath<String>,
    request: Request,
) -> Answer {
    let name = caller.destination(&name)?;
    changed(&shared, (name, &caller), request, async |request| Ok(Change::Patch(settings(&shared, request).await?)))
        .await
}

/// `DELETE /v1/destinations/{name}`: it is to be gone, with all that waits for it.
pub(crate) async fn delete(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    InPath(name): InPath<String>,
    request: Request,
) -> Answer {
    let name = caller.destination(&name)?;
    changed(&shared, (name, &caller), request, async |_| Ok(Change::Delete)).await
}

/// `POST /v1/destinations/{name}/pause`: no attempts any more.
pub(crate) async fn pause(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    InPath(name): InPath<String>,
    request: Request,
) -> Answer {
    let name = caller.destination(&name)?;
    changed(&shared, (name, &caller), request, async |request| {
        let PauseChoice { reason } = choice(&shared, request).await?;
        Ok(Change::Pause(reason.into()))
    })
    .await
}

/// `POST /v1/destinations/{name}/rotate-secret`: a new signing secret.
pub(crate) async fn rotate_secret(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    InPath(name): InPath<String>,
    request: Request,
) -> Answer {
    let name = caller.destination(&name)?;
    let itself = request_name(request.headers())?;
    if itself.is_some() && condition::of_headers(request.headers())? == Condition::None {
        // Also of a request that was made before: what it needs does not depend on that.
        let what =
            "rotating a secret needs If-Match with the destination's revision, also where the request is repeated";
        return Err(Problem::from_admin(&AdminError::ConditionMissing(what.to_owned())));
    }
    changed(&shared, (name, &caller), request, async |request| {
        let RotateChoice { keep } = choice(&shared, request).await?;
        Ok(Change::Rotate { keep: keep.map(Into::into), request: itself })
    })
    .await
}

/// `POST /v1/destinations/{name}/test`: one event beside the order.
pub(crate) async fn test(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    InPath(name): InPath<String>,
    request: Request,
) -> Answer {
    let name = caller.destination(&name)?;
    let Empty {} = choice(&shared, request).await?;
    answer::ok(&admin(&shared)?.test(&name).await.map_err(|error| Problem::from_admin(&error))?)
}

/// `POST /v1/destinations`: many changes, each by itself.
pub(crate) async fn batch(State(shared): State<Arc<Shared>>, caller: Caller, request: Request) -> Answer {
    let admin = admin(&shared)?;
    let bytes = shared.api.limits.now().batch_bytes;
    let read = json_within::<BatchOfChanges>(&shared, request, bytes, Kind::BatchTooLarge).await?;
    let Some(BatchOfChanges { changes, dry_run }) = read else {
        return Err(Problem::new(Kind::Malformed, "the body is empty: send {\"changes\":[…]}"));
    };
    if changes.len() > MAX_LIST {
        let what = format!("the batch has {} changes; at most {MAX_LIST} are made together", changes.len());
        return Err(Problem::new(Kind::BatchTooLarge, what).about("/changes"));
    }
    shared.pace.act(caller.tenant(), TenantAct::Change, changes.len().max(1))?;
    // What a tenant may not see is not there, for each by itself.
    let said: Vec<DestinationName> = changes.iter().map(|change| change.name.clone()).collect();
    let own: Vec<_> = changes.iter().map(|change| caller.own(change.name.clone())).collect();
    let named = changes.into_iter().zip(&own).enumerate();
    let asked = named.filter_map(|(at, (change, own))| {
        let name = own.as_ref().ok()?.clone();
        Some(asked_in_batch(at, BatchChange { name, ..change }))
    });
    let asked = asked.collect::<Result<Vec<_>, _>>()?;
    let ChangesDone { results, taken } = if dry_run {
        let taken = TakenOver { in_flight: Some(0), ..TakenOver::default() };
        ChangesDone { results: admin.preview(asked).await, taken }
    } else {
        admin.change(caller.by(), asked).await
    };
    let status =
        if taken.is_complete() || results.iter().all(Result::is_err) { StatusCode::OK } else { StatusCode::ACCEPTED };
    let mut results = results.into_iter();
    let result = |(said, own): (DestinationName, Result<DestinationName, Box<Problem>>)| match own {
        Ok(name) => result_of(name, results.next().unwrap_or(Err(AdminError::Busy)), &taken),
        Err(problem) => refused(said, problem.body),
    };
    let results = said.into_iter().zip(own).map(result).collect();
    let TakenOver { cuts, pending, in_flight } = taken;
    let mut response = answer::ok(&BatchAnswer { results, cuts, pending, in_flight })?;
    *response.status_mut() = status;
    Ok(response)
}

fn asked_in_batch(at: usize, change: BatchChange) -> Result<ChangeRequest, Box<Problem>> {
    let BatchChange { name, op, settings, reason, adopt, if_match, if_none_match } = change;
    let wrong = |field: &str, what: &str| {
        let what = format!("the change {at} of the batch, of {name}: {what}");
        Err(Problem::new(Kind::Invalid, what).about(format!("/changes/{at}/{field}")))
    };
    match op {
        BatchOp::Put | BatchOp::Patch if settings.is_none() => return wrong("settings", "settings are missing"),
        BatchOp::Delete | BatchOp::Pause | BatchOp::Resume if settings.is_some() => {
            return wrong("settings", "settings have no meaning for this op");
        }
        _ => {}
    }
    let settings = settings.unwrap_or_default();
    let change = match op {
        BatchOp::Put => Change::Put { settings, adopt },
        BatchOp::Patch => Change::Patch(settings),
        BatchOp::Delete => Change::Delete,
        BatchOp::Pause => Change::Pause(reason.unwrap_or_default().into()),
        BatchOp::Resume => Change::Resume,
    };
    let condition = condition::of(if_match.as_deref(), if_none_match.as_deref());
    Ok(ChangeRequest { name, change, condition })
}

fn result_of(name: DestinationName, result: Result<Changed, AdminError>, taken: &TakenOver) -> BatchResult {
    match result {
        Ok(changed) => {
            let status = status_of(&changed, taken).as_u16();
            let (what, revision) = (changed.what.map(Into::into), Some(changed.revision));
            BatchResult { name, status, what, dropped: changed.dropped, revision, problem: None }
        }
        Err(error) => refused(name, Problem::from_admin(&error).body),
    }
}

fn refused(name: DestinationName, problem: crate::wire::Problem) -> BatchResult {
    BatchResult { name, status: problem.status, what: None, dropped: None, revision: None, problem: Some(problem) }
}

fn status_of(changed: &Changed, taken: &TakenOver) -> StatusCode {
    match (taken.is_complete(), changed.created) {
        (false, _) => StatusCode::ACCEPTED,
        (true, true) => StatusCode::CREATED,
        (true, false) => StatusCode::OK,
    }
}

/// Makes one change, which `read` finds in the request.
async fn changed(
    shared: &Shared,
    (name, caller): (DestinationName, &Caller),
    request: Request,
    read: impl AsyncFnOnce(Request) -> Result<Change, Box<Problem>>,
) -> Answer {
    let admin = admin(shared)?;
    let condition = condition::of_headers(request.headers())?;
    let change = read(request).await?;
    let (answer, status) = one(admin, caller.by(), ChangeRequest { name, change, condition }).await?;
    let mut response = tagged(answer::ok(&answer)?, answer.revision);
    *response.status_mut() = status;
    Ok(response)
}

/// Makes one change.
pub(super) async fn one(
    admin: &dyn DestinationAdmin,
    by: &str,
    request: ChangeRequest,
) -> Result<(ChangeAnswer, StatusCode), Box<Problem>> {
    let ChangesDone { mut results, taken } = admin.change(by, vec![request]).await;
    let result = results.pop().unwrap_or(Err(AdminError::Busy));
    let changed = result.map_err(|error| Problem::from_admin(&error))?;
    let status = status_of(&changed, &taken);
    let Changed { name, revision, secret, dropped, .. } = changed;
    let TakenOver { cuts, pending, in_flight } = taken;
    Ok((ChangeAnswer { name, revision, cuts, pending, in_flight, dropped, secret: secret.map(Into::into) }, status))
}

pub(super) fn admin(shared: &Shared) -> Result<&dyn DestinationAdmin, Box<Problem>> {
    let what = "the destinations cannot be changed over this process";
    shared.api.destinations.as_deref().ok_or_else(|| Problem::new(Kind::NoWorker, what))
}

async fn settings(shared: &Shared, request: Request) -> Result<Map<String, Json>, Box<Problem>> {
    let read = json_within(shared, request, MAX_RECORD_BYTES, Kind::SettingsTooLarge).await?;
    read.ok_or_else(|| Problem::new(Kind::Malformed, "the body is empty: send the destination's settings as JSON"))
}

/// A body that may be missing.
pub(super) async fn choice<T: DeserializeOwned + Default>(
    shared: &Shared,
    request: Request,
) -> Result<T, Box<Problem>> {
    Ok(json_within(shared, request, super::BODY_BYTES, Kind::BodyTooLarge).await?.unwrap_or_default())
}

pub(super) fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Box<Problem>> {
    let read = Query::<T>::try_from_uri(uri).map_err(|error| Problem::new(Kind::Invalid, error.body_text()));
    read.map(|Query(asked)| asked)
}

pub(super) fn limit(asked: Option<usize>) -> Result<usize, Box<Problem>> {
    match asked {
        None => Ok(LIMIT),
        Some(limit) if (1..=MAX_LIST).contains(&limit) => Ok(limit),
        Some(limit) => {
            Err(Problem::new(Kind::Invalid, format!("limit is {limit}; use 1 to {MAX_LIST}")).about("limit"))
        }
    }
}

/// What the request calls itself, so that it can be sent again.
fn request_name(headers: &HeaderMap) -> Result<Option<Box<str>>, Box<Problem>> {
    let wrong = |what| Problem::new(Kind::Invalid, format!("Idempotency-Key {what}")).about(request_name::HEADER);
    Ok(request_name::of(headers).map_err(wrong)?.map(Into::into))
}

pub(super) fn tagged(mut response: Response, revision: Revision) -> Response {
    if let Ok(tag) = HeaderValue::try_from(format!("\"{revision}\"")) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}
