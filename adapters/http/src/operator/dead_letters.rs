//! Dead letters: list, look at, retry, discard.

use super::asked::{invalid, status, time};
use super::caller::{Caller, keys_of};
use super::{Answer, InPath, json, known, note};
use crate::media::is_json;
use crate::problem::{Kind, Problem};
use crate::wire::{Count, DeadEvent, DeadLetterPage, DeadLetterSelection, DeadLetterView, EventView, Place};
use crate::{Shared, answer};
use axum::extract::{Query, Request, State};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::Uri;
use laneway_domain::{
    DeadLetter, DestinationName, Event, EventId, Key, LoggedEvent, Offset, Partition, Tenant, TypePattern,
};
use laneway_ports::{DeadLetterQuery, MAX_DEAD_LETTER_PAGE, Selection, StoreError};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeSet;
use std::sync::Arc;

/// How many dead letters a page has when nothing is said.
const DEFAULT_PAGE: usize = 100;
/// The most types and statuses, each, that can be chosen at once: as many as a replay can choose by.
const MAX_CHOICES: usize = laneway_domain::MAX_REPLAY_CHOICES;
/// The most places that can be chosen at once: as many as there is room for in a body.
const MAX_PLACES: usize = MAX_CHOICES;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    destination: Option<String>,
    tenant: Option<Tenant>,
    key: Option<String>,
    event_id: Option<String>,
    #[serde(rename = "type")]
    event_type: Option<String>,
    status: Option<u16>,
    from: Option<String>,
    to: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

/// `GET /v1/dead-letters`.
pub(crate) async fn list(State(shared): State<Arc<Shared>>, caller: Caller, uri: Uri) -> Answer {
    let Query(asked) =
        Query::<ListQuery>::try_from_uri(&uri).map_err(|error| Problem::new(Kind::Invalid, error.body_text()))?;
    let limit = asked.limit.unwrap_or(DEFAULT_PAGE);
    if !(1..=MAX_DEAD_LETTER_PAGE).contains(&limit) {
        return Err(invalid("limit", format!("must be from 1 to {MAX_DEAD_LETTER_PAGE}")));
    }
    let destination = asked.destination.as_deref().map(|name| caller.destination(name)).transpose()?;
    let query = DeadLetterQuery {
        selection: Selection {
            // Whatever a tenant says, it has its own.
            tenant: asked.tenant.filter(|_| caller.tenant().is_none()),
            destination,
            key: asked.key.as_deref().map(Key::new).transpose().map_err(|error| invalid("key", error.reason))?,
            event_id: (asked.event_id.as_deref().map(EventId::new).transpose())
                .map_err(|error| invalid("event_id", error.reason))?,
            types: asked.event_type.as_deref().map(|text| pattern("type", text)).transpose()?.into_iter().collect(),
            statuses: asked.status.map(|said| status("status", said)).transpose()?.into_iter().collect(),
            from: time("from", asked.from.as_deref())?,
            to: time("to", asked.to.as_deref())?,
            places: BTreeSet::new(),
        },
        after: asked.after.as_deref().map(decode_cursor).transpose()?,
        most: limit,
    };
    let letters = match caller.tenant() {
        Some(_) if query.selection.destination.is_none() => of_tenant(&shared, &caller, query.clone()).await,
        _ => shared.api.dead_letters.list(&query).await,
    };
    let letters = letters.map_err(|error| Problem::from_store(&error))?;
    if let (true, Some(name), None) = (letters.is_empty(), &query.selection.destination, &query.after) {
        known(&shared, name).await?;
    }
    let next = letters.last().filter(|_| letters.len() == limit).map(encode_cursor);
    answer::ok(&DeadLetterPage { dead_letters: letters.into_iter().map(DeadLetterView::from).collect(), next })
}

/// Those of all of a tenant's destinations, one destination after the other: what others have is not looked at.
async fn of_tenant(shared: &Shared, caller: &Caller, query: DeadLetterQuery) -> Result<Vec<DeadLetter>, StoreError> {
    let counts = shared.api.dead_letters.counts().await?;
    let mut own: Vec<DestinationName> = counts.into_iter().map(|count| count.destination).collect();
    own.retain(|name| caller.sees(name) && query.after.as_ref().is_none_or(|(.., after)| name >= after));
    own.sort_unstable();
    let mut letters = Vec::new();
    for name in own {
        let after = query.after.clone().filter(|(.., after)| *after == name);
        let selection = Selection { destination: Some(name), ..query.selection.clone() };
        let most = query.most - letters.len();
        letters.extend(shared.api.dead_letters.list(&DeadLetterQuery { selection, after, most }).await?);
        if letters.len() >= query.most {
            break;
        }
    }
    Ok(letters)
}

/// Where the next page goes on. Its form is nobody's business but ours.
fn encode_cursor(last: &DeadLetter) -> String {
    let given_up = &last.given_up;
    URL_SAFE_NO_PAD.encode(format!("{}:{}:{}", last.partition, given_up.offset, given_up.destination))
}

fn decode_cursor(cursor: &str) -> Result<(Partition, Offset, DestinationName), Box<Problem>> {
    let decode = || {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
        let mut parts = text.splitn(3, ':');
        let partition = Partition(parts.next()?.parse().ok()?);
        let offset = Offset(parts.next()?.parse().ok()?);
        Some((partition, offset, DestinationName::new(parts.next()?).ok()?))
    };
    decode().ok_or_else(|| invalid("after", "is not what an earlier page gave as `next`"))
}

/// `GET /v1/dead-letters/{destination}/{partition}/{offset}`.
pub(crate) async fn event(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    InPath((name, partition, offset)): InPath<(String, String, String)>,
) -> Answer {
    let name = caller.destination(&name)?;
    let partition = Partition(partition.parse().map_err(|error| invalid("partition", error))?);
    let offset = Offset(offset.parse().map_err(|error| invalid("offset", error))?);
    let found = shared.api.dead_letters.event(partition, offset, &name).await;
    // What a store refuses of a read is a partition that it does not have.
    if let Err(StoreError::Refused { what }) = found {
        return Err(Problem::new(Kind::NotFound, what).about("partition"));
    }
    match found.map_err(|error| Problem::from_store(&error))? {
        Some(logged) => answer::ok(&dead_event(name, logged)),
        None => {
            let what = format!("{name} has no dead letter in partition {partition} at offset {offset}");
            Err(Problem::new(Kind::NotFound, what))
        }
    }
}

fn dead_event(destination: DestinationName, logged: LoggedEvent) -> DeadEvent {
    DeadEvent {
        destination,
        partition: logged.partition,
        offset: logged.offset,
        accepted_at: logged.accepted_at,
        event: event_view(logged.event),
    }
}

pub(super) fn event_view(event: Event) -> EventView {
    let json =
        is_json(&event.content_type).then(|| serde_json::from_slice::<Box<RawValue>>(&event.data).ok()).flatten();
    let data_base64 = (json.is_none() && !event.data.is_empty()).then(|| STANDARD.encode(&event.data));
    EventView {
        id: event.id,
        event_type: event.event_type.into(),
        tenant: event.tenant,
        key: event.key,
        source: event.source.map(Into::into),
        subject: event.subject.map(Into::into),
        time: event.time.map(Into::into),
        content_type: event.content_type.into(),
        attributes: event.attributes.into_iter().map(|(name, value)| (name.into(), value)).collect(),
        traceparent: event.traceparent.map(|trace| trace.to_string()),
        data: json,
        data_base64,
    }
}

fn pattern(parameter: &str, text: &str) -> Result<TypePattern, Box<Problem>> {
    TypePattern::new(text).map_err(|error| invalid(parameter, error))
}

fn selection(chosen: &DeadLetterSelection) -> Result<Selection, Box<Problem>> {
    if chosen.places.len() > MAX_PLACES {
        let what = format!("there are {}, and {MAX_PLACES} can be chosen at once", chosen.places.len());
        return Err(invalid("/places", what));
    }
    let several = chosen.types.len().max(chosen.statuses.len());
    if several > MAX_CHOICES {
        let what = format!("there are {several}, and {MAX_CHOICES} can be chosen at once");
        return Err(Problem::new(Kind::Invalid, what));
    }
    let types = chosen.types.iter().enumerate().map(|(nth, text)| pattern(&format!("/types/{nth}"), text));
    let statuses = chosen.statuses.iter().enumerate().map(|(nth, said)| status(&format!("/statuses/{nth}"), *said));
    // All of a tenant's destination are of its own events.
    let of_all = chosen.destination.tenant().is_some();
    let tenant = chosen.tenant.clone().map(|said| keys_of(&chosen.destination, Some(said))).transpose()?;
    Ok(Selection {
        destination: Some(chosen.destination.clone()),
        tenant: tenant.flatten().filter(|_| !of_all),
        key: chosen.key.clone(),
        event_id: chosen.event_id.clone(),
        types: types.collect::<Result<_, _>>()?,
        statuses: statuses.collect::<Result<_, _>>()?,
        from: time("/from", chosen.from.as_deref())?,
        to: time("/to", chosen.to.as_deref())?,
        places: chosen.places.iter().map(|place| (place.partition, place.offset)).collect(),
    })
}

/// What is done to dead letters.
#[derive(Clone, Copy)]
enum Change {
    Retry,
    Discard,
}

/// `POST /v1/dead-letters/retry`.
pub(crate) async fn retry(State(shared): State<Arc<Shared>>, caller: Caller, request: Request) -> Answer {
    change(&shared, &caller, request, Change::Retry).await
}

/// `POST /v1/dead-letters/discard`.
pub(crate) async fn discard(State(shared): State<Arc<Shared>>, caller: Caller, request: Request) -> Answer {
    change(&shared, &caller, request, Change::Discard).await
}

/// Does to the chosen dead letters what is asked, or counts them. None of a destination that does not exist is a mistake,
/// and told as one.
async fn change(shared: &Shared, caller: &Caller, request: Request, change: Change) -> Answer {
    let chosen: DeadLetterSelection = json(shared, request).await?;
    let chosen = DeadLetterSelection { destination: caller.own(chosen.destination)?, ..chosen };
    let (selection, letters) = (selection(&chosen)?, &shared.api.dead_letters);
    let (did, done) = match change {
        _ if chosen.dry_run => ("counted", letters.count(&selection).await),
        Change::Retry => ("retried", letters.retry(&selection).await),
        Change::Discard => ("discarded", letters.discard(&selection).await),
    };
    let count = done.map_err(|error| Problem::from_store(&error))?;
    if count == 0 {
        known(shared, &chosen.destination).await?;
    } else if !chosen.dry_run {
        note(shared, caller.by(), &chosen.destination, &format!("{did} {}", described(&chosen, count))).await;
    }
    answer::ok(&Count { count })
}

/// Of more places it is told only how many they were.
const MAX_PLACES_TOLD: usize = 3;

/// How many dead letters, and which: `2 dead letters of the key order-7, answered 422`.
fn described(chosen: &DeadLetterSelection, count: u64) -> String {
    let mut what = format!("{count} {}", if count == 1 { "dead letter" } else { "dead letters" });
    let places = (1..=MAX_PLACES_TOLD).contains(&chosen.places.len());
    let places = places.then(|| chosen.places.iter().map(Place::to_string).collect::<Vec<_>>().join(" and "));
    let of = [
        (" of the tenant ", chosen.tenant.as_ref().map(ToString::to_string)),
        (" of the key ", chosen.key.as_ref().map(|key| key.as_str().to_owned())),
        (" of the event ", chosen.event_id.as_ref().map(|id| id.as_str().to_owned())),
        (" of ", (!chosen.types.is_empty()).then(|| chosen.types.join(" or "))),
        (", answered ", (!chosen.statuses.is_empty()).then(|| joined(&chosen.statuses))),
        (", given up from ", chosen.from.clone()),
        (", given up before ", chosen.to.clone()),
        (", at ", places),
    ];
    for (of, which) in of.into_iter().filter_map(|(of, which)| Some((of, which?))) {
        what.push_str(of);
        what.push_str(&which);
    }
    what
}

fn joined(statuses: &[u16]) -> String {
    statuses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
}
