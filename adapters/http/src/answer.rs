//! From what the store said to the answer.

use crate::problem::{Kind, Problem};
use crate::wire::{EventResult, Stored};
use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use laneway_domain::{EventId, NewEvent};
use laneway_ports::{Appended, StoreError};
use serde::Serialize;
use std::time::Duration;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Bytes of an answer about one event, its id apart.
const ANSWER_BYTES: usize = 80;
/// When to ask again after an outcome that is not known: the store says nothing of it.
const AFTER_UNKNOWN: Duration = Duration::from_secs(1);

/// What is remembered of an event while the store has it.
pub(crate) struct Sent {
    pub(crate) id: EventId,
    id_given: bool,
}

impl Sent {
    pub(crate) fn of(event: &NewEvent) -> Self {
        Self { id: event.event.id.clone(), id_given: event.id_given }
    }
}

/// A body as JSON.
pub(crate) fn json(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

/// 200 with `value` as JSON.
pub(crate) fn ok(value: &impl Serialize) -> Result<Response, Box<Problem>> {
    let body = serde_json::to_vec(value)
        .map_err(|error| Problem::new(Kind::StoreRefused, format!("the answer could not be written: {error}")))?;
    Ok(json(StatusCode::OK, body))
}

/// The answer about one event.
pub(crate) fn single(sent: &Sent, result: &Result<Appended, StoreError>) -> Result<Response, Box<Problem>> {
    match result {
        Ok(appended) => {
            let mut body = Vec::with_capacity(sent.id.as_str().len() + ANSWER_BYTES);
            write_accepted(&mut body, &sent.id, appended);
            Ok(json(StatusCode::ACCEPTED, body))
        }
        Err(error) => {
            let mut problem = refused(error, sent);
            problem.body.id = Some(sent.id.clone());
            Err(problem)
        }
    }
}

fn refused(error: &StoreError, sent: &Sent) -> Box<Problem> {
    match error {
        StoreError::Refused { .. } => Problem::new(Kind::StoreRefused, format!("the event was not stored: {error}")),
        StoreError::RetryLater { after, .. } => {
            Problem::new(Kind::StoreUnavailable, format!("the event was not stored: {error}")).retry_after(*after)
        }
        StoreError::Unknown { .. } => {
            let advice = if sent.id_given {
                "send it again with the same id: it is stored once"
            } else {
                "it had no id of its own, so that sent again it may be stored twice; with an id or an \
                 Idempotency-Key it is stored once"
            };
            Problem::new(Kind::OutcomeUnknown, format!("{error}; {advice}")).retry_after(AFTER_UNKNOWN)
        }
    }
}

/// The answer about a batch, in the order sent. If the store did not take all of it, the problem
/// says of each event whether it was stored, so that the producer can send exactly the others.
pub(crate) fn batch(sent: &[Sent], results: &[Result<Appended, StoreError>]) -> Result<Response, Box<Problem>> {
    if results.iter().any(Result::is_err) {
        return Err(incomplete(sent, results));
    }
    let ids: usize = sent.iter().map(|sent| sent.id.as_str().len()).sum();
    let mut body = Vec::with_capacity(ids + sent.len() * ANSWER_BYTES + ANSWER_BYTES);
    body.extend_from_slice(b"{\"events\":[");
    for (index, (sent, appended)) in sent.iter().zip(results.iter().flatten()).enumerate() {
        if index > 0 {
            body.push(b',');
        }
        write_accepted(&mut body, &sent.id, appended);
    }
    body.extend_from_slice(b"]}");
    Ok(json(StatusCode::ACCEPTED, body))
}

#[cold]
fn incomplete(sent: &[Sent], results: &[Result<Appended, StoreError>]) -> Box<Problem> {
    let failed = results.iter().filter(|result| result.is_err()).count();
    let example = results.iter().find_map(|result| result.as_ref().err()).map(ToString::to_string).unwrap_or_default();
    let after = results.iter().filter_map(|result| match result {
        Err(StoreError::RetryLater { after, .. }) => Some(*after),
        Err(StoreError::Unknown { .. }) => Some(AFTER_UNKNOWN),
        _ => None,
    });
    let detail = format!(
        "{failed} of the {} events were not stored, or it is not known of them: {example}. `events` says of each, in the \
         order sent; send again those that are not `\"stored\":\"yes\"`, in the same order. With the same ids that is \
         safe for the unknown ones too",
        sent.len()
    );
    let mut problem = Problem::new(Kind::BatchIncomplete, detail);
    match after.max() {
        Some(after) => problem = problem.retry_after(after),
        // Nothing that asking again would help.
        None => problem.body.status = StatusCode::INTERNAL_SERVER_ERROR.as_u16(),
    }
    problem.body.events = sent.iter().zip(results).map(|(sent, result)| result_of(sent, result)).collect();
    problem
}

fn result_of(sent: &Sent, result: &Result<Appended, StoreError>) -> EventResult {
    let appended = result.as_ref().ok();
    EventResult {
        id: sent.id.clone(),
        stored: match result {
            Ok(_) => Stored::Yes,
            Err(StoreError::Unknown { .. }) => Stored::Unknown,
            Err(_) => Stored::No,
        },
        partition: appended.map(|appended| appended.partition),
        offset: appended.map(|appended| appended.offset),
        duplicate: appended.map(|appended| appended.duplicate),
        error: result.as_ref().err().map(ToString::to_string),
    }
}

/// Writes [`crate::wire::Accepted`] by hand: this is the hot path.
fn write_accepted(body: &mut Vec<u8>, id: &EventId, appended: &Appended) {
    // Writing strings and numbers into memory cannot fail.
    let mut value = |before: &[u8], value: &dyn Fn(&mut Vec<u8>)| {
        body.extend_from_slice(before);
        value(body);
    };
    value(b"{\"id\":", &|body| drop(serde_json::to_writer(body, id.as_str())));
    value(b",\"partition\":", &|body| drop(serde_json::to_writer(body, &appended.partition.0)));
    value(b",\"offset\":", &|body| drop(serde_json::to_writer(body, &appended.offset.0)));
    let duplicate: &[u8] = if appended.duplicate { b",\"duplicate\":true}" } else { b",\"duplicate\":false}" };
    body.extend_from_slice(duplicate);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Accepted;
    use laneway_domain::{Offset, Partition};

    #[test]
    fn what_is_written_by_hand_is_what_serde_reads() {
        for (id, duplicate) in [("evt_1", false), ("\"\\é😀", true)] {
            let id = EventId::new(id).unwrap();
            let appended = Appended { partition: Partition(3), offset: Offset(u64::MAX), duplicate };
            let mut body = Vec::new();
            write_accepted(&mut body, &id, &appended);
            let expected = Accepted { id, partition: Partition(3), offset: Offset(u64::MAX), duplicate };
            assert_eq!(serde_json::to_vec(&expected).unwrap(), body);
        }
    }

    fn sent(id: &str) -> Sent {
        Sent { id: EventId::new(id).unwrap(), id_given: true }
    }

    #[test]
    fn a_batch_that_was_stored_in_part_says_what_to_send_again() {
        let place = Appended { partition: Partition(0), offset: Offset(7), duplicate: false };
        let results = [
            Ok(place),
            Err(StoreError::RetryLater { what: "the disk is full".into(), after: Duration::from_secs(9) }),
            Err(StoreError::unknown("the server went away")),
        ];
        let problem = batch(&[sent("a"), sent("b"), sent("c")], &results).unwrap_err();
        let stored: Vec<Stored> = problem.body.events.iter().map(|event| event.stored).collect();
        assert_eq!(stored, [Stored::Yes, Stored::No, Stored::Unknown]);
        assert_eq!(problem.body.events[0].offset, Some(Offset(7)));
        assert!(problem.body.detail.contains("the disk is full"));
        let response = axum::response::IntoResponse::into_response(*problem);
        assert_eq!(
            (response.status().as_u16(), &response.headers()["retry-after"]),
            (503, &HeaderValue::from_static("9"))
        );
    }

    #[test]
    fn what_asking_again_would_not_help_is_no_503() {
        let problem = batch(&[sent("a")], &[Err(StoreError::refused("no such table"))]).unwrap_err();
        assert_eq!(problem.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(single(&sent("a"), &Err(StoreError::refused("x"))).unwrap_err().body.status, 500);
    }

    #[test]
    fn an_unknown_outcome_says_what_sending_again_does() {
        let with = single(&sent("a"), &Err(StoreError::unknown("x"))).unwrap_err();
        assert!(with.body.detail.contains("with the same id"));
        let without = Sent { id_given: false, ..sent("a") };
        let without = single(&without, &Err(StoreError::unknown("x"))).unwrap_err();
        assert!(without.body.detail.contains("may be stored twice"));
    }
}
