//! The metrics of taking events in.

use crate::{JSON, Server};
use metrics_exporter_prometheus::PrometheusBuilder;

#[tokio::test]
async fn requests_events_and_duplicates_are_counted() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let server = metrics::with_local_recorder(&recorder, Server::new);
    for body in [r#"{"id":"x","type":"a"}"#, r#"{"id":"x","type":"a"}"#, r#"{"type":"#, r#"{"tpye":"a"}"#] {
        server.post("/v1/events", JSON, body).await;
    }
    server.post("/v1/events/batch", JSON, r#"[{"id":"x","type":"a"},{"type":"a"},{"type":"a"}]"#).await;
    let text = handle.render();
    for line in [
        "laneway_events_accepted_total 3",
        "laneway_duplicates_total 2",
        "laneway_ingest_requests_total{status=\"202\"} 3",
        "laneway_ingest_requests_total{status=\"400\"} 1",
        "laneway_ingest_requests_total{status=\"422\"} 1",
        "laneway_ingest_requests_total{status=\"503\"} 0",
        "laneway_ingest_rejected_total{reason=\"malformed\"} 1",
        "laneway_ingest_rejected_total{reason=\"invalid\"} 1",
        "laneway_ingest_seconds_count 5",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn whether_the_process_is_ready_is_found_out_when_it_is_asked() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let server = metrics::with_local_recorder(&recorder, Server::new);
    for (why_not, expected) in [(vec![], "laneway_ready 1"), (vec!["the disk is full".to_owned()], "laneway_ready 0")] {
        *server.worker.not_ready.lock().unwrap() = why_not;
        server.get("/metrics").await;
        let text = handle.render();
        assert!(text.lines().any(|line| line == expected), "{expected} is not in\n{text}");
    }
}

#[tokio::test]
async fn the_metrics_of_the_process_are_served_as_text() {
    let answer = Server::new().get("/metrics").await;
    assert_eq!((answer.status.as_u16(), answer.body.as_ref()), (200, &b"laneway_up 1\n"[..]));
    assert!(answer.headers["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4"));
}
