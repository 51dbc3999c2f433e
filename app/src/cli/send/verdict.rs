//! What an answer to a batch means for its lines.

use super::lines::Line;
use crate::cli::Failure;
use crate::cli::client::{Answer, Client};
use crate::cli::output::clean;
use http::StatusCode;
use laneway_http::wire::{AcceptedBatch, Problem, Stored};
use std::time::Duration;

/// What follows from an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// All are stored; so many of them had been before.
    Stored { duplicates: u64 },
    /// Those in `again` are to be sent again, in this order, after a while; the others are stored.
    Again { again: Vec<Line>, duplicates: u64, after: Option<Duration>, why: String },
    /// The line with that index will never be taken; the others can be, by themselves.
    Refused { index: usize, why: String },
    /// Too much at once: each half by itself.
    Split,
    /// No line will be taken, whatever is done.
    Fatal(Failure),
}

/// Judges the answer to these lines (at least one).
pub(super) fn judge(client: &Client, answer: &Answer, lines: &[Line]) -> Verdict {
    match answer.status {
        StatusCode::ACCEPTED => accepted(client, answer, lines),
        StatusCode::REQUEST_TIMEOUT
        | StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => again(&answer.problem(), lines, answer.retry_after),
        StatusCode::INTERNAL_SERVER_ERROR if !answer.problem().events.is_empty() => {
            again(&answer.problem(), lines, answer.retry_after)
        }
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
            refused(&answer.problem(), lines)
        }
        _ => Verdict::Fatal(client.refused(answer)),
    }
}

fn accepted(client: &Client, answer: &Answer, lines: &[Line]) -> Verdict {
    match serde_json::from_slice::<AcceptedBatch>(&answer.body) {
        Ok(batch) if batch.events.len() == lines.len() => {
            Verdict::Stored { duplicates: count(batch.events.iter().map(|event| event.duplicate)) }
        }
        _ => {
            let what = format!("{} did not answer as a Laneway server does", client.base());
            Verdict::Fatal(Failure::new(what).advising("check the URL"))
        }
    }
}

fn count(duplicates: impl Iterator<Item = bool>) -> u64 {
    duplicates.map(u64::from).sum()
}

fn again(problem: &Problem, lines: &[Line], after: Option<Duration>) -> Verdict {
    let why = clean(&problem.detail);
    if problem.events.len() != lines.len() {
        return Verdict::Again { again: lines.to_vec(), duplicates: 0, after, why };
    }
    let stored = || problem.events.iter().filter(|event| event.stored == Stored::Yes);
    let duplicates = count(stored().map(|event| event.duplicate == Some(true)));
    let left = lines.iter().zip(&problem.events).filter(|(_, event)| event.stored != Stored::Yes);
    Verdict::Again { again: left.map(|(line, _)| line.clone()).collect(), duplicates, after, why }
}

fn refused(problem: &Problem, lines: &[Line]) -> Verdict {
    let named = problem.field.as_deref().and_then(|field| {
        let (index, rest) = field.strip_prefix('/')?.split_once('/').unwrap_or((field.strip_prefix('/')?, ""));
        Some((index.parse::<usize>().ok()?, rest))
    });
    if let Some((index, field)) = named.filter(|(index, _)| *index < lines.len()) {
        // The server speaks of its batch (`/3/key must …`); the reader knows a line of the file.
        let pointer = problem.field.as_deref().unwrap_or_default();
        let detail = problem.detail.replacen(&format!("{pointer} "), "", 1);
        let why = if field.is_empty() { detail } else { format!("{field} {detail}") };
        return Verdict::Refused { index, why: clean(&why) };
    }
    let place = problem.position.map(|position| (position.line.saturating_sub(1), format!(" at {position}")));
    if let Some((index, at)) = place.filter(|(index, _)| *index < lines.len()) {
        return Verdict::Refused { index, why: clean(problem.detail.strip_suffix(&at).unwrap_or(&problem.detail)) };
    }
    match lines {
        [line] if problem.status == StatusCode::PAYLOAD_TOO_LARGE => {
            let why = format!("the event has {} bytes, more than the server takes in a request", line.json.len());
            Verdict::Refused { index: 0, why }
        }
        [_] => Verdict::Refused { index: 0, why: clean(&problem.detail) },
        _ => Verdict::Split,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::client_tls::ClientTls;

    fn lines(count: u64) -> Vec<Line> {
        (1..=count).map(|number| Line { number, json: b"{}".to_vec(), is_cloud_event: false }).collect()
    }

    fn judged(status: u16, body: &str, count: u64) -> Verdict {
        let status = StatusCode::from_u16(status).unwrap();
        let client = Client::new("http://127.0.0.1:1", None, &ClientTls::default()).unwrap();
        judge(&client, &Answer { status, retry_after: None, body: body.to_owned().into() }, &lines(count))
    }

    fn problem(more: &str) -> String {
        format!(r#"{{"type":"t","title":"t","status":422,{more}}}"#)
    }

    #[test]
    fn an_event_that_is_named_is_refused_alone() {
        let body = problem(r#""detail":"/1/key is empty","field":"/1/key""#);
        assert_eq!(judged(422, &body, 3), Verdict::Refused { index: 1, why: "key is empty".into() });
        let body = problem(r#""detail":"the event /2 has 9 bytes","field":"/2""#);
        assert_eq!(judged(413, &body, 3), Verdict::Refused { index: 2, why: "the event has 9 bytes".into() });
        let body =
            problem(r#""detail":"no value at line 2, column 3 (byte 9)","position":{"line":2,"column":3,"byte":9}"#);
        assert_eq!(judged(400, &body, 3), Verdict::Refused { index: 1, why: "no value".into() });
    }

    #[test]
    fn what_names_no_event_is_halved_until_one_is_left() {
        let body = problem(r#""detail":"too large""#);
        assert_eq!(judged(413, &body, 2), Verdict::Split);
        assert_eq!(judged(422, &body, 1), Verdict::Refused { index: 0, why: "too large".into() });
        let one = body.replace("422", "413");
        let why = "the event has 2 bytes, more than the server takes in a request".to_owned();
        assert_eq!(judged(413, &one, 1), Verdict::Refused { index: 0, why });
        let beyond = problem(r#""detail":"x","field":"/9""#);
        assert_eq!(judged(422, &beyond, 2), Verdict::Split);
        assert_eq!(judged(400, "<html>", 2), Verdict::Split);
    }

    #[test]
    fn of_a_batch_stored_in_part_exactly_the_rest_is_sent_again() {
        let events = r#""events":[{"id":"a","stored":"yes","duplicate":true},{"id":"b","stored":"no"},{"id":"c","stored":"unknown"}]"#;
        let again = Verdict::Again { again: lines(3)[1..].to_vec(), duplicates: 1, after: None, why: "full".into() };
        assert_eq!(judged(503, &problem(&format!(r#""detail":"full",{events}"#)), 3), again);
        let all = Verdict::Again { again: lines(3), duplicates: 0, after: None, why: "busy".into() };
        assert_eq!(judged(503, &problem(r#""detail":"busy""#), 3), all);
    }

    #[test]
    fn an_answer_that_is_not_about_these_events_ends_it() {
        for (status, body) in [(202, r#"{"events":[]}"#), (202, "ok"), (404, ""), (500, ""), (401, "")] {
            assert!(matches!(judged(status, body, 1), Verdict::Fatal(_)), "{status} {body}");
        }
    }
}
