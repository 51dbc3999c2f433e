//! Batches: arrays and lines.

use crate::{CLOUDEVENTS, JSON, NDJSON, Server, Setup, post};
use http::Request;
use laneway_http::Limits;

#[tokio::test]
async fn a_batch_is_answered_in_the_order_sent() {
    let server = Server::new();
    let body = r#"[{"id":"c","type":"a","key":"1"},{"id":"a","type":"a","key":"2"},{"id":"b","type":"a","key":"1"},
                   {"id":"c","type":"a","key":"1"}]"#;
    let events = server.post("/v1/events/batch", JSON, body).await.batch();
    let ids: Vec<_> = events.iter().map(|event| (event.id.as_str(), event.duplicate)).collect();
    assert_eq!(ids, [("c", false), ("a", false), ("b", false), ("c", true)]);
    assert_eq!(events[0].partition, events[2].partition);
    assert!(events[0].offset < events[2].offset);
    assert_eq!(events[3].offset, events[0].offset);
}

#[tokio::test]
async fn lines_are_a_batch_too() {
    let server = Server::new();
    let body = "{\"id\":\"1\",\"type\":\"a\",\"data\":{\"x\": 1}}\r\n\n  \n{\"id\":\"2\",\"type\":\"a\"}";
    let events = server.post("/v1/events/batch", NDJSON, body).await.batch();
    assert_eq!(events.iter().map(|event| event.id.as_str()).collect::<Vec<_>>(), ["1", "2"]);
    let stored = server.stored().await;
    assert!(stored.iter().any(|event| event.data == "{\"x\": 1}"));
}

#[tokio::test]
async fn an_empty_batch_is_taken() {
    let server = Server::new();
    for (media, body) in [(JSON, "[]"), (NDJSON, ""), (NDJSON, "\n\n"), (CLOUDEVENTS, " [ ] ")] {
        let answer = server.post("/v1/events/batch", media, body).await;
        assert_eq!((answer.batch(), answer.body.as_ref()), (vec![], &b"{\"events\":[]}"[..]));
    }
}

#[tokio::test]
async fn one_wrong_event_refuses_the_whole_batch_and_is_named() {
    let server = Server::new();
    let good = r#"{"type":"a"}"#;
    for (media, body, field) in [
        (
            JSON,
            format!(r#"[{good},{good},{good},{{"type":"a","attributes":{{"tenant":"a\nb"}}}}]"#),
            "/3/attributes/tenant",
        ),
        (JSON, format!(r#"[{good},{{"type":"a","kye":1}}]"#), "/1/kye"),
        (JSON, format!("[{good},7]"), "/1"),
        (JSON, good.into(), ""),
        (NDJSON, format!("{good}\n\n{{\"type\":\"a\",\"time\":\"x\"}}"), "/1/time"),
        (
            CLOUDEVENTS,
            r#"[{"specversion":"1.0","id":"1","source":"s","type":"a"},{"specversion":"1.0"}]"#.into(),
            "/1/id",
        ),
    ] {
        server.post("/v1/events/batch", media, body).await.invalid(field);
    }
    let deep = format!(r#"[{{"type":"a","data":{}1{}}}]"#, "[".repeat(65), "]".repeat(65));
    server.post("/v1/events/batch", JSON, deep).await.invalid("/0/data");
    assert!(server.stored().await.is_empty());
}

#[tokio::test]
async fn a_malformed_line_is_named_by_its_place_in_the_body() {
    let server = Server::new();
    let body = "{\"type\":\"a\"}\n{\"type\":\n{\"type\":\"a\"}\n";
    let problem = server.post("/v1/events/batch", NDJSON, body).await.problem(400, "malformed");
    assert_eq!(problem.position.unwrap().line, 3, "the line break after the colon is where the value is missing");
    let two_on_one = "{\"type\":\"a\"} {\"type\":\"a\"}";
    let problem = server.post("/v1/events/batch", NDJSON, two_on_one).await.problem(400, "malformed");
    assert_eq!(problem.position.unwrap().column, 14);
}

#[tokio::test]
async fn an_idempotency_key_gives_each_event_of_a_batch_an_id() {
    let server = Server::new();
    let send = || {
        let body = r#"[{"type":"a"},{"id":"own","type":"a"},{"type":"a"}]"#;
        let (mut parts, body) = post("/v1/events/batch", JSON, body).into_parts();
        parts.headers.insert("idempotency-key", "try-1".parse().unwrap());
        server.send(Request::from_parts(parts, body))
    };
    let events = send().await.batch();
    assert_eq!(events.iter().map(|event| event.id.as_str()).collect::<Vec<_>>(), ["try-1-0", "own", "try-1-2"]);
    assert!(send().await.batch().iter().all(|event| event.duplicate));
}

#[tokio::test]
async fn a_batch_is_bounded_in_events_and_each_event_in_bytes() {
    let limits = Limits { batch_events: 3, event_bytes: 50, ..Limits::default() };
    let server = Server::with(Setup { limits, ..Setup::default() });
    let good = r#"{"type":"a"}"#;
    let fits = format!(r#"{{"type":"a","data":"{}"}}"#, "x".repeat(50 - 22));
    assert_eq!(fits.len(), 50);
    for (media, open, between, close) in [(JSON, "[", ",", "]"), (NDJSON, "", "\n", "")] {
        let body = |events: &[&str]| format!("{open}{}{close}", events.join(between));
        assert_eq!(server.post("/v1/events/batch", media, body(&[good, &fits, good])).await.batch().len(), 3);
        let four = server.post("/v1/events/batch", media, body(&[good; 4])).await;
        assert!(four.problem(413, "batch-too-large").detail.contains("3 events"));
        let long = fits.replacen('x', "xx", 1);
        let problem =
            server.post("/v1/events/batch", media, body(&[good, &long])).await.problem(413, "event-too-large");
        assert_eq!(problem.field.as_deref(), Some("/1"));
        assert!(problem.detail.contains("51 bytes; at most 50"), "{}", problem.detail);
    }
}
