//! What a producer is told when the store does not say yes.

use crate::{JSON, Server, Setup};
use laneway_http::wire::Stored;
use laneway_memory::{Call, Fault, Faults};
use std::sync::Arc;

struct Always(Fault);

impl Faults for Always {
    fn fault(&self, call: Call) -> Option<Fault> {
        matches!(call, Call::Append { .. } | Call::Operate).then_some(self.0)
    }
}

fn failing(fault: Fault) -> Server {
    Server::with(Setup { faults: Some(Arc::new(Always(fault))), ..Setup::default() })
}

#[tokio::test]
async fn nothing_stored_for_now_is_a_503_that_says_when_to_ask_again() {
    let answer = failing(Fault::RetryLater).post("/v1/events", JSON, r#"{"id":"x","type":"a"}"#).await;
    let problem = answer.problem(503, "store-unavailable");
    assert_eq!(problem.id.unwrap().as_str(), "x");
    assert!(
        problem.detail.contains("was not stored") && problem.detail.contains("the test lets this call fail for now")
    );
    assert_eq!(answer.headers["retry-after"], "1");
}

#[tokio::test]
async fn an_unknown_outcome_is_never_a_success_and_says_what_to_do() {
    let server = failing(Fault::Unknown { happened: true });
    let problem = server.post("/v1/events", JSON, r#"{"id":"x","type":"a"}"#).await.problem(503, "outcome-unknown");
    assert!(problem.detail.contains("with the same id"), "{}", problem.detail);
    assert_eq!(server.stored().await.len(), 1);
    let problem = server.post("/v1/events", JSON, r#"{"type":"a"}"#).await.problem(503, "outcome-unknown");
    assert!(problem.detail.contains("may be stored twice"), "{}", problem.detail);
}

#[tokio::test]
async fn a_refusal_of_the_store_is_the_servers_fault() {
    let answer = failing(Fault::No).post("/v1/events", JSON, r#"{"type":"a"}"#).await;
    answer.problem(500, "store-refused");
    assert!(!answer.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn a_batch_that_failed_says_so_of_each_event() {
    let body = r#"[{"id":"x","type":"a"},{"id":"y","type":"a"}]"#;
    for (fault, status, stored) in [
        (Fault::RetryLater, 503, Stored::No),
        (Fault::Unknown { happened: false }, 503, Stored::Unknown),
        (Fault::No, 500, Stored::No),
    ] {
        let answer = failing(fault).post("/v1/events/batch", JSON, body).await;
        let problem = answer.problem(status, "batch-incomplete");
        let events: Vec<_> = problem.events.iter().map(|event| (event.id.as_str(), event.stored)).collect();
        assert_eq!(events, [("x", stored), ("y", stored)]);
        assert_eq!(answer.headers.contains_key("retry-after"), status == 503);
    }
}

#[tokio::test]
async fn an_operators_question_that_fails_is_a_problem_too() {
    failing(Fault::RetryLater).get("/v1/dead-letters").await.problem(503, "store-unavailable");
    let server = failing(Fault::No);
    server.post("/v1/dead-letters/discard", JSON, r#"{"destination":"a"}"#).await.problem(500, "store-refused");
}
