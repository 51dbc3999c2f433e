//! A process that takes nothing in.

use crate::{JSON, Server, Setup};
use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

async fn ask(server: &Server, method: &str, body: &str) -> Value {
    let request = Request::builder().method(method).uri("/v1/drain").header("content-type", JSON);
    let answer = server.send(request.body(Body::from(body.to_owned())).unwrap()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_slice(&answer.body).unwrap()
}

#[tokio::test]
async fn whoever_sends_an_event_is_told_that_none_is_taken_in_and_why() {
    let server = Server::new();
    assert_eq!(ask(&server, "GET", "").await, json!({"draining": false}));
    assert_eq!(server.post("/v1/events", JSON, r#"{"type":"a"}"#).await.status, 202);
    let drain = ask(&server, "PUT", r#"{"reason":"the store moves"}"#).await;
    assert_eq!((&drain["draining"], &drain["reason"]), (&json!(true), &json!("the store moves")));
    assert_eq!(ask(&server, "GET", "").await, drain);
    for (path, body) in [("/v1/events", r#"{"type":"a"}"#), ("/v1/events/batch", r#"[{"type":"a"}]"#)] {
        let answer = server.post(path, JSON, body).await;
        assert_eq!((answer.status.as_u16(), answer.headers.contains_key("retry-after")), (503, true), "{path}");
        let problem: Value = serde_json::from_slice(&answer.body).unwrap();
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("takes no events in since") && detail.ends_with(": the store moves"), "{detail}");
    }
    let ready = server.get("/readyz").await;
    let why: Value = serde_json::from_slice(&ready.body).unwrap();
    assert_eq!((ready.status.as_u16(), why["reasons"].as_array().unwrap().len()), (503, 1), "{why}");
    assert_eq!(server.get("/healthz").await.status, 200, "and it is alive");
    assert_eq!(server.get("/v1/dead-letters").await.status, 200, "and everything else works");
    // Told once more, it has another reason, and says the same beginning.
    let again = ask(&server, "PUT", "").await;
    assert_eq!((&again["since"], again.get("reason")), (&drain["since"], None));
    assert_eq!(ask(&server, "DELETE", "").await, json!({"draining": false}));
    assert_eq!(server.post("/v1/events", JSON, r#"{"type":"a"}"#).await.status, 202);
    assert_eq!(server.get("/readyz").await.status, 200);
    assert_eq!(server.stored().await.len(), 2, "nothing of what was refused");
}

/// It began before the drain, and its body ends after that.
#[tokio::test]
async fn an_event_whose_body_comes_late_is_not_taken_in() {
    let server = Server::new();
    let (sending, parts) = tokio::sync::mpsc::channel::<&'static str>(1);
    let next = |mut parts: tokio::sync::mpsc::Receiver<_>| async {
        let part = parts.recv().await?;
        Some((Ok::<_, std::convert::Infallible>(part), parts))
    };
    let sent = server.post("/v1/events", JSON, Body::from_stream(futures_util::stream::unfold(parts, next)));
    let drains = async {
        // Twice as many as wait: the first was taken, so that the request has passed the door.
        sending.send(r#"{"type":"#).await.unwrap();
        sending.send(r#""a""#).await.unwrap();
        ask(&server, "PUT", "").await;
        sending.send("}").await.unwrap();
        drop(sending);
    };
    let (answer, ()) = tokio::join!(sent, drains);
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(server.stored().await.is_empty());
}

#[tokio::test]
async fn a_reason_has_a_bound() {
    let server = Server::with(Setup::default());
    let body = json!({"reason": "x".repeat(513)}).to_string();
    let request = Request::put("/v1/drain").header("content-type", JSON).body(Body::from(body)).unwrap();
    assert_eq!(server.send(request).await.status, 422);
    assert_eq!(ask(&server, "GET", "").await, json!({"draining": false}));
}
