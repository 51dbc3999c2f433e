//! What happened: events, their way, and attempts.

use super::asked::{invalid, status, time};
use super::caller::Caller;
use super::changes::{limit, query};
use super::dead_letters::event_view;
use super::{Answer, InPath, known};
use crate::problem::{Kind, Problem};
use crate::wire::{self, AttemptAnswer, AttemptLine, EventLine, Place, WorkerTenure};
use crate::{Shared, answer};
use axum::extract::State;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Uri;
use laneway_domain::{Ended, EventId, Key, Offset, Partition, Tenant, Timestamp, Told, TypePattern};
use laneway_ports::{
    AttemptCursor, AttemptQuery, EventAt, EventQuery, EventSummary, EventWay, FindEvent, FoundTenure, HeldHistory,
    LogCursor, LookedBack, Lookup, LookupError, StorePart,
};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;

/// When to ask again where much is looked up: look-ups take some tenths of a second.
const LATER: Duration = Duration::from_secs(1);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EventsAsked {
    tenant: Option<Tenant>,
    key: Option<String>,
    r#type: Option<String>,
    from: Option<String>,
    to: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

/// `GET /v1/events`: those of the log, the latest first.
pub(crate) async fn events(State(shared): State<Arc<Shared>>, caller: Caller, uri: Uri) -> Answer {
    let asked: EventsAsked = query(&uri)?;
    let pattern = asked.r#type.as_deref().map(TypePattern::new).transpose();
    let query = EventQuery {
        tenant: caller.tenant().cloned().or(asked.tenant),
        key: key(asked.key.as_deref())?,
        event_type: pattern.map_err(|error| invalid("type", error))?,
        from: time("from", asked.from.as_deref())?,
        to: time("to", asked.to.as_deref())?,
        after: asked.after.as_deref().map(read_log_cursor).transpose()?,
        limit: limit(asked.limit)?,
    };
    let page = lookup(&shared)?.events(&query).await.map_err(problem)?;
    let (next, looked_back_to, incomplete) = looked(&page.looked);
    let items = page.events.iter().map(event_line).collect();
    answer::ok(&wire::EventPage { items, next, looked_back_to, incomplete })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FindAsked {
    tenant: Option<Tenant>,
    source: Option<String>,
    at: Option<String>,
    destination: Option<String>,
    after: Option<String>,
}

/// `GET /v1/events/{id}`: the events of that id, each with its way.
pub(crate) async fn find(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    InPath(id): InPath<String>,
    uri: Uri,
) -> Answer {
    let asked: FindAsked = query(&uri)?;
    let query = FindEvent {
        tenant: caller.tenant().cloned().or(asked.tenant),
        id: EventId::new(&id).map_err(|error| invalid("id", error.reason))?,
        source: asked.source.map(Into::into),
        at: asked.at.as_deref().map(place).transpose()?.map(|at| (at.partition, at.offset)),
        destination: asked.destination.as_deref().map(|name| caller.destination(name)).transpose()?,
        after: asked.after.as_deref().map(read_log_cursor).transpose()?,
    };
    let found = lookup(&shared)?.find(&query).await.map_err(problem)?;
    let (next, looked_back_to, mut incomplete) = looked(&found.looked);
    incomplete.extend(found.incomplete);
    let items: Vec<wire::EventWay> = found.events.into_iter().map(|found| way(found, &caller)).collect();
    // Of a look that goes on, an earlier page may have had some.
    let is_first = query.after.is_none();
    if is_first && items.is_empty() && next.is_none() && found.looked.not_asked.is_empty() {
        let at =
            query.at.map_or_else(String::new, |(partition, offset)| format!(" and stands at {partition}:{offset}"));
        let what =
            format!("no event that is still stored has the id {id}{at}; ask /v1/attempts for what is told of it");
        return Err(Problem::new(Kind::NotFound, what).about("id"));
    }
    answer::ok(&wire::FoundEvents { items, next, looked_back_to, incomplete })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AttemptsAsked {
    tenant: Option<Tenant>,
    destination: Option<String>,
    key: Option<String>,
    event_id: Option<String>,
    outcome: Option<String>,
    status: Option<u16>,
    from: Option<String>,
    to: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

/// `GET /v1/attempts`: what the history tells, the latest first.
pub(crate) async fn attempts(State(shared): State<Arc<Shared>>, caller: Caller, uri: Uri) -> Answer {
    let asked: AttemptsAsked = query(&uri)?;
    let id = asked.event_id.as_deref().map(EventId::new).transpose();
    let query = AttemptQuery {
        tenant: caller.tenant().cloned().or(asked.tenant),
        destination: asked.destination.as_deref().map(|name| caller.destination(name)).transpose()?,
        key: key(asked.key.as_deref())?,
        event_id: id.map_err(|error| invalid("event_id", error.reason))?,
        ended: asked.outcome.as_deref().map(outcome).transpose()?,
        status: asked.status.map(|said| status("status", said)).transpose()?,
        from: time("from", asked.from.as_deref())?,
        to: time("to", asked.to.as_deref())?,
        after: asked.after.as_deref().map(read_attempt_cursor).transpose()?,
        limit: limit(asked.limit)?,
    };
    let page = lookup(&shared)?.attempts(&query).await.map_err(problem)?;
    if let (true, Some(name), None) = (page.attempts.is_empty(), &query.destination, &query.after) {
        known(&shared, name).await?;
    }
    answer::ok(&wire::AttemptPage {
        items: page.attempts.into_iter().map(|found| attempt_line(found.partition, found.told)).collect(),
        next: page.next.map(attempt_cursor),
        looked_back_to: page.looked_back_to.map(shown),
        incomplete: page.incomplete,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TenuresAsked {
    from: Option<String>,
    to: Option<String>,
}

/// `GET /v1/workers`: who works on what, and who did.
pub(crate) async fn workers(State(shared): State<Arc<Shared>>, uri: Uri) -> Answer {
    let asked: TenuresAsked = query(&uri)?;
    let (from, to) = (time("from", asked.from.as_deref())?, time("to", asked.to.as_deref())?);
    let found = lookup(&shared)?.tenures(from, to).await.map_err(problem)?;
    let items = found.tenures.into_iter().map(|FoundTenure { partition, tenure }| WorkerTenure {
        partition,
        epoch: tenure.epoch,
        worker: tenure.worker.0,
        since: tenure.since.map(shown),
        until: shown(tenure.until),
        ended: tenure.ended.map(|ended| ended.label().to_owned()),
    });
    answer::ok(&wire::WorkerTenures { items: items.collect(), incomplete: found.incomplete })
}

/// `GET /v1/store`: what the store holds, and how much it may.
pub(crate) async fn store(State(shared): State<Arc<Shared>>) -> Answer {
    let holds = lookup(&shared)?.store().await.map_err(problem)?;
    let history = holds.history.map(|HeldHistory { size, bounds }| wire::StoreHistory {
        records: size.records,
        bytes: size.bytes,
        max_bytes: bounds.max_bytes,
        max_age_seconds: bounds.max_age.as_secs(),
    });
    let part = |part: StorePart| wire::StorePartView { name: part.name, bytes: part.bytes, most_bytes: part.most };
    answer::ok(&wire::StoreView {
        place: holds.place,
        partitions: holds.partitions,
        events: holds.events,
        oldest_accepted_at: holds.oldest.map(shown),
        retain_seconds: holds.retain.as_secs(),
        duplicate_window_seconds: holds.duplicate_window.as_secs(),
        history,
        parts: holds.parts.into_iter().map(part).collect(),
        incomplete: holds.incomplete,
    })
}

fn lookup(shared: &Shared) -> Result<&dyn Lookup, Box<Problem>> {
    let what = "nothing can be looked up here: ask the address of another process";
    shared.api.lookup.as_deref().ok_or_else(|| Problem::new(Kind::NoWorker, what))
}

fn problem(error: LookupError) -> Box<Problem> {
    match error {
        LookupError::UnknownDestination(_) => Problem::new(Kind::NotFound, error.to_string()).about("destination"),
        LookupError::Cursor => Problem::new(Kind::Invalid, error.to_string()).about("after"),
        LookupError::Store(error) => Problem::from_store(&error),
        LookupError::Busy => Problem::new(Kind::Overloaded, error.to_string()).retry_after(LATER),
    }
}

fn key(said: Option<&str>) -> Result<Option<Key>, Box<Problem>> {
    said.map(Key::new).transpose().map_err(|error| invalid("key", error.reason))
}

/// Where an event stands.
fn place(said: &str) -> Result<Place, Box<Problem>> {
    said.parse().map_err(|error| invalid("at", format!("{said:?} is no place: {error}")))
}

fn outcome(said: &str) -> Result<Ended, Box<Problem>> {
    let found = Ended::ALL.into_iter().find(|ended| ended.label() == said);
    let all = Ended::ALL.map(Ended::label).join(", ");
    found.ok_or_else(|| invalid("outcome", format!("{said:?} is none of {all}")))
}

fn shown(at: Timestamp) -> String {
    let millis = i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX).to_string()
}

fn looked(looked: &LookedBack) -> (Option<String>, Option<String>, Vec<String>) {
    let unreadable = looked.unreadable;
    let incomplete = (unreadable > 0).then(|| format!("{unreadable} records of the log cannot be read"));
    let incomplete = looked.not_asked.iter().cloned().chain(incomplete).collect();
    (looked.next.as_ref().map(log_cursor), looked.to.map(shown), incomplete)
}

/// Where a look goes on. Its form is nobody's business but ours: offsets, then what was given already.
fn log_cursor(cursor: &LogCursor) -> String {
    let below = cursor.below.iter().map(|offset| format!("{:x}", offset.0));
    let given = cursor.given.iter().map(|(partition, offset)| format!("{:x}-{:x}", partition.0, offset.0));
    URL_SAFE_NO_PAD.encode(below.chain(given).collect::<Vec<_>>().join("."))
}

fn not_ours() -> Box<Problem> {
    problem(LookupError::Cursor)
}

fn read_log_cursor(text: &str) -> Result<LogCursor, Box<Problem>> {
    let read = || {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let offset = |text: &str| u64::from_str_radix(text, 16).ok().map(Offset);
        let mut cursor = LogCursor::default();
        for part in text.split('.') {
            match part.split_once('-') {
                None if cursor.given.is_empty() => cursor.below.push(offset(part)?),
                None => return None,
                Some((partition, at)) => {
                    let partition = Partition(u32::from_str_radix(partition, 16).ok()?);
                    cursor.given.push((partition, offset(at)?));
                }
            }
        }
        Some(cursor)
    };
    read().ok_or_else(not_ours)
}

fn attempt_cursor(cursor: AttemptCursor) -> String {
    let AttemptCursor { at, partition, epoch, number, nth } = cursor;
    URL_SAFE_NO_PAD.encode(format!("{}.{partition}.{epoch}.{number}.{nth}", at.as_millis()))
}

fn read_attempt_cursor(text: &str) -> Result<AttemptCursor, Box<Problem>> {
    let read = || {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let numbers: Vec<u64> = text.split('.').map(|number| number.parse().ok()).collect::<Option<_>>()?;
        let [at, partition, epoch, number, nth] = numbers.try_into().ok()?;
        let (at, partition) = (Timestamp::from_millis(at), Partition(partition.try_into().ok()?));
        Some(AttemptCursor { at, partition, epoch, number, nth: nth.try_into().ok()? })
    };
    read().ok_or_else(not_ours)
}

fn event_line(event: &EventSummary) -> EventLine {
    EventLine {
        id: event.id.clone(),
        event_type: event.event_type.to_string(),
        tenant: event.tenant.clone(),
        key: event.key.clone(),
        source: event.source.as_deref().map(Into::into),
        partition: event.partition,
        offset: event.offset,
        accepted_at: shown(event.accepted_at),
        bytes: event.bytes as u64,
    }
}

fn way(way: EventWay, caller: &Caller) -> wire::EventWay {
    let EventWay { event, destinations, not_wanted } = way;
    let (partition, offset) = (event.partition, event.offset);
    wire::EventWay {
        partition,
        offset,
        accepted_at: shown(event.accepted_at),
        event: event_view(event.event.clone()),
        destinations: destinations.into_iter().map(|at| event_at(partition, at, caller)).collect(),
        not_wanted,
    }
}

fn event_at(partition: Partition, at: EventAt, caller: &Caller) -> wire::EventAt {
    // What stands before it may be another's, of which a tenant learns nothing.
    let waits_for = at.waits_for.filter(|other| caller.tenant().is_none() || other.tenant.as_ref() == caller.tenant());
    wire::EventAt {
        destination: at.destination,
        state: at.became.label().to_owned(),
        detail: at.what,
        waits_for: waits_for.as_ref().map(event_line),
        next_attempt: at.next_attempt.map(shown),
        attempts: at.attempts.into_iter().map(|told| attempt_line(partition, told)).collect(),
    }
}

fn attempt_line(partition: Partition, told: Told) -> AttemptLine {
    let answer = told.answer.map(|answer| AttemptAnswer { headers: answer.headers.into(), body: answer.body.into() });
    AttemptLine {
        destination: told.destination,
        made_at: told.born,
        partition,
        offset: told.offset,
        event_id: told.id,
        key: told.key,
        attempt: told.attempt,
        redrive: told.redrive,
        at: shown(told.at),
        took_us: u64::try_from(told.took.as_micros()).unwrap_or(u64::MAX),
        outcome: told.ended.label().to_owned(),
        then: told.fate.label().to_owned(),
        status: told.status,
        reason: told.reason.map(Into::into),
        answer,
        request: told.request.map(Into::into),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_survive_a_round_trip_and_others_are_refused() {
        let below = vec![Offset(0), Offset(u64::MAX), Offset(4711)];
        for given in [vec![], vec![(Partition(2), Offset(4710)), (Partition(1), Offset(0))]] {
            let cursor = LogCursor { below: below.clone(), given };
            assert_eq!(read_log_cursor(&log_cursor(&cursor)).unwrap(), cursor);
        }
        let (at, partition) = (Timestamp::from_millis(u64::MAX), Partition(7));
        let cursor = AttemptCursor { at, partition, epoch: 3, number: u64::MAX, nth: 9 };
        assert_eq!(read_attempt_cursor(&attempt_cursor(cursor)).unwrap(), cursor);
        for other in ["", "!", "AA", &URL_SAFE_NO_PAD.encode("1.2.3"), &URL_SAFE_NO_PAD.encode("1.2.3.4.5.6")] {
            assert!(read_attempt_cursor(other).is_err(), "{other}");
        }
        for other in ["!", "", &URL_SAFE_NO_PAD.encode("1.0-2.3"), &URL_SAFE_NO_PAD.encode("1.-2")] {
            assert!(read_log_cursor(other).is_err(), "{other}");
        }
    }
}
