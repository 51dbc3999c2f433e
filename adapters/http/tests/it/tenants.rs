//! What a tenant is told, and how often it may ask.

use crate::{JSON, Server, Setup, post};
use axum::body::Body;
use http::Request;
use laneway_domain::{DestinationName, DestinationStatus, StatusReport, Tenant, Timestamp, WorkerStatus};
use laneway_http::{DEFAULT_SEARCHES_PER_MINUTE, Token, wire};

/// A server that an operator and the tenant acme ask, with the token that has the name of each.
fn server() -> Server {
    let acme = Token::new("acme").unwrap().of_tenant(Tenant::new("acme").unwrap());
    let tokens = vec![Token::new("operator").unwrap(), acme];
    Server::with(Setup { tokens, ..Setup::default() })
}

/// The same request as whoever has that token.
fn asks(token: &str, mut request: Request<Body>) -> Request<Body> {
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

fn destination(name: &str, paused: Option<&str>) -> DestinationStatus {
    let idle = DestinationStatus::idle(DestinationName::new(name).unwrap(), true);
    DestinationStatus { paused: paused.map(str::to_owned), ..idle }
}

#[tokio::test]
async fn a_status_tells_a_tenant_nothing_of_workers() {
    let server = server();
    let report = StatusReport {
        at: Timestamp::from_millis(7),
        destinations: vec![destination("acme:x", Some("on worker host-1: holiday")), destination("b:x", None)],
        workers: vec![WorkerStatus { worker: "host-1".into(), partitions: Vec::new() }],
        incomplete: vec!["worker host-2 has not reported its status yet".into()],
        ..StatusReport::default()
    };
    *server.worker.report.lock().unwrap() = Some(report);
    let all = server.send(asks("operator", get("/v1/status"))).await;
    assert_eq!(all.read::<wire::Status>().incomplete.len(), 1);
    for path in ["/v1/status", "/v1/status?destination=x"] {
        let own = server.send(asks("acme", get(path))).await;
        let text = String::from_utf8(own.body.to_vec()).unwrap();
        assert!(text.contains("acme:x") && text.contains("holiday"), "{text}");
        assert!(!text.contains("host-") && !text.contains("b:x"), "{text}");
    }
}

#[tokio::test]
async fn a_tenant_is_not_told_which_worker_does_not_answer() {
    let server = server();
    *server.worker.report.lock().unwrap() =
        Some(StatusReport { destinations: vec![destination("acme:x", None)], ..StatusReport::default() });
    *server.worker.answer.lock().unwrap() = Some(Err("worker host-1 has not answered within 5s".into()));
    let put = |path: &str, body: &str| {
        Request::put(path).header("content-type", JSON).body(Body::from(body.to_owned())).unwrap()
    };
    let requests: [(&str, &dyn Fn() -> Request<Body>); 6] = [
        ("retry", &|| post("/v1/destinations/acme:x/keys/retry", JSON, r#"{"key":"all"}"#)),
        ("skip", &|| post("/v1/destinations/acme:x/keys/skip", JSON, r#"{"key":"all","partition":0}"#)),
        ("resume", &|| post("/v1/destinations/acme:x/resume", JSON, "{}")),
        ("replay", &|| post("/v1/destinations/acme:x/replay", JSON, r#"{"since":"beginning"}"#)),
        ("begin", &|| put("/v1/destinations/acme:x/replays/r", "{}")),
        ("end", &|| Request::delete("/v1/destinations/acme:x/replays/r").body(Body::empty()).unwrap()),
    ];
    for (which, request) in requests {
        let all = server.send(asks("operator", request())).await.problem(409, "conflict");
        assert!(all.detail.contains("worker host-1"), "{which}: {all:?}");
        let own = server.send(asks("acme", request())).await.problem(409, "conflict");
        assert!(!own.detail.contains("worker") && own.detail.contains("try again"), "{which}: {own:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_tenant_asks_for_the_status_as_often_as_it_may_search() {
    let server = server();
    *server.worker.report.lock().unwrap() = Some(StatusReport::default());
    for _ in 0..DEFAULT_SEARCHES_PER_MINUTE {
        assert_eq!(server.send(asks("acme", get("/v1/status"))).await.status, 200);
    }
    for path in ["/v1/status", "/v1/destinations/x/replays", "/v1/destinations/x/replays/r"] {
        let problem = server.send(asks("acme", get(path))).await.problem(429, "too-often");
        assert!(problem.detail.contains("searches_per_minute"), "{problem:?}");
        assert_ne!(server.send(asks("operator", get(path))).await.status, 429);
    }
}
