//! Dead letters: list, look at, retry, discard.

use super::{Answer, InPath, destination, json, known, note};
use crate::media::is_json;
use crate::problem::{Kind, Problem};
use crate::token::who;
use crate::wire::{Count, DeadEvent, DeadLetterPage, DeadLetterSelection, DeadLetterView, EventView};
use crate::{Shared, answer};
use axum::extract::{Query, Request, State};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::Uri;
use laneway_domain::{DeadLetter, DestinationName, Event, EventId, Key, LoggedEvent, Offset, Partition};
use laneway_ports::{DeadLetterQuery, MAX_DEAD_LETTER_PAGE, Selection, StoreError};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::sync::Arc;

/// How many dead letters a page has when nothing is said.
const DEFAULT_PAGE: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    destination: Option<String>,
    key: Option<String>,
    event_id: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

fn invalid(parameter: &str, reason: impl std::fmt::Display) -> Box<Problem> {
    Problem::new(Kind::Invalid, format!("{parameter}: {reason}")).about(parameter)
}

/// `GET /v1/dead-letters`.
pub(crate) async fn list(State(shared): State<Arc<Shared>>, uri: Uri) -> Answer {
    let Query(asked) =
        Query::<ListQuery>::try_from_uri(&uri).map_err(|error| Problem::new(Kind::Invalid, error.body_text()))?;
    let limit = asked.limit.unwrap_or(DEFAULT_PAGE);
    if !(1..=MAX_DEAD_LETTER_PAGE).contains(&limit) {
        return Err(invalid("limit", format!("must be from 1 to {MAX_DEAD_LETTER_PAGE}")));
    }
    let query = DeadLetterQuery {
        selection: Selection {
            destination: asked.destination.as_deref().map(destination).transpose()?,
            key: asked.key.as_deref().map(Key::new).transpose().map_err(|error| invalid("key", error.reason))?,
            event_id: (asked.event_id.as_deref().map(EventId::new).transpose())
                .map_err(|error| invalid("event_id", error.reason))?,
        },
        after: asked.after.as_deref().map(decode_cursor).transpose()?,
        most: limit,
    };
    let letters = shared.api.dead_letters.list(&query).await.map_err(|error| Problem::from_store(&error))?;
    if let (true, Some(name), None) = (letters.is_empty(), &query.selection.destination, &query.after) {
        known(&shared, name).await?;
    }
    let next = letters.last().filter(|_| letters.len() == limit).map(encode_cursor);
    answer::ok(&DeadLetterPage { dead_letters: letters.into_iter().map(DeadLetterView::from).collect(), next })
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
    InPath((name, partition, offset)): InPath<(String, String, String)>,
) -> Answer {
    let name = destination(&name)?;
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

fn event_view(event: Event) -> EventView {
    let json =
        is_json(&event.content_type).then(|| serde_json::from_slice::<Box<RawValue>>(&event.data).ok()).flatten();
    let data_base64 = (json.is_none() && !event.data.is_empty()).then(|| STANDARD.encode(&event.data));
    EventView {
        id: event.id,
        event_type: event.event_type.into(),
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

fn selection(chosen: DeadLetterSelection) -> Selection {
    Selection { destination: Some(chosen.destination), key: chosen.key, event_id: chosen.event_id }
}

/// `POST /v1/dead-letters/retry`.
pub(crate) async fn retry(State(shared): State<Arc<Shared>>, request: Request) -> Answer {
    let by = who(&shared.api.tokens.now(), request.headers());
    let chosen: DeadLetterSelection = json(&shared, request).await?;
    let selection = selection(chosen.clone());
    let count = shared.api.dead_letters.retry(&selection).await.map_err(|error| Problem::from_store(&error))?;
    counted(&shared, &by, "retried", &chosen, count).await
}

/// `POST /v1/dead-letters/discard`.
pub(crate) async fn discard(State(shared): State<Arc<Shared>>, request: Request) -> Answer {
    let by = who(&shared.api.tokens.now(), request.headers());
    let chosen: DeadLetterSelection = json(&shared, request).await?;
    let selection = selection(chosen.clone());
    let count = shared.api.dead_letters.discard(&selection).await.map_err(|error| Problem::from_store(&error))?;
    counted(&shared, &by, "discarded", &chosen, count).await
}

/// How many it was done to. None of a destination that does not exist is a mistake, and told as one.
async fn counted(shared: &Shared, by: &str, did: &str, chosen: &DeadLetterSelection, count: u64) -> Answer {
    let DeadLetterSelection { destination, key, event_id } = chosen;
    if count == 0 {
        known(shared, destination).await?;
        return answer::ok(&Count { count });
    }
    let (letters, of_key) = (if count == 1 { "dead letter" } else { "dead letters" }, key.as_ref().map(Key::as_str));
    let mut what = format!("{did} {count} {letters}");
    for (of, which) in [("the key", of_key), ("the event", event_id.as_ref().map(EventId::as_str))] {
        what.extend(which.map(|which| format!(" of {of} {which}")));
    }
    note(shared, by, destination, &what).await;
    answer::ok(&Count { count })
}
