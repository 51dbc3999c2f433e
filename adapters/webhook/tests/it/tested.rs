//! What somebody is shown who tests a destination.

use crate::events::{SECRET, attempted, config, event};
use laneway_domain::Outcome;
use laneway_ports::{Sink, TestReport, TestedAnswer};
use laneway_webhook::{Secret, WebhookConfig, WebhookSink};
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

/// Tests a receiver that answers so, once with each kind of request.
async fn tested(answer: ResponseTemplate) -> [TestReport; 2] {
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(answer).mount(&server).await;
    let settings = |batch| WebhookConfig {
        batch,
        reject: vec![422],
        secrets: vec![Secret::new(SECRET)],
        headers: vec![("x-key".into(), Secret::new("a-key-of-ours"))],
        ..config(server.uri())
    };
    let sinks = [false, true].map(|batch| WebhookSink::new(settings(batch)).unwrap());
    let reports = [sinks[0].test(attempted(event("a"))).await, sinks[1].test(attempted(event("b"))).await];
    assert_eq!(server.received_requests().await.unwrap().len(), 2);
    reports
}

#[tokio::test]
async fn the_status_and_the_start_of_the_answer_are_told() {
    let long = "x".repeat(5000);
    let cut = format!("{}…", "x".repeat(1000));
    for (status, body, outcome, shown) in [
        (200, "  got\r\n it ", "delivered", "got it"),
        (204, "", "delivered", ""),
        (302, "elsewhere", "retry", "elsewhere"),
        (410, "gone", "gone", "gone"),
        (422, "no such invoice", "rejected", "no such invoice"),
        (500, "you sent x-key: a-key-of-ours", "retry", "you sent x-key: [secret]"),
        (200, "thanks for a-key-of-ours", "delivered", "thanks for [secret]"),
        (503, &*long, "retry", &*cut),
        (200, &*long, "delivered", &*cut),
    ] {
        for report in tested(ResponseTemplate::new(status).set_body_string(body)).await {
            let answer = TestedAnswer { status, body: shown.to_owned() };
            assert_eq!((report.outcome.label(), report.answer), (outcome, Some(answer)), "{status} {body:.20}");
        }
    }
}

#[tokio::test]
async fn who_is_not_reached_has_answered_nothing() {
    // Nobody listens on that port, which only the system's own services may.
    let report = WebhookSink::new(config("http://127.0.0.1:1/")).unwrap().test(attempted(event("a"))).await;
    assert!(matches!(report, TestReport { outcome: Outcome::Retry { .. }, answer: None }), "{report:?}");
}
