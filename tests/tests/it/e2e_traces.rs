//! One event followed from its producer to its receiver: the spans that a collector gets, the `traceparent` that a
//! receiver gets, and the lines of the log.

use laneway_tests::client::Client;
use laneway_tests::collector::{Collector, Span};
use laneway_tests::ports;
use laneway_tests::receiver::{Behaviour, Delivery, Receiver};
use laneway_tests::server::{Installation, Settings, webhook};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PRODUCER: &str = "00f067aa0ba902b7";
const RETRY: &str = r#"retry = { initial = "300ms", factor = 1, jitter = 0, limit = "1h" }"#;

fn settings(receiver: &Receiver, telemetry: &str) -> Settings {
    let log = "[log]\nformat = \"json\"\nfilter = \"info,laneway_app::worker=debug\"";
    Settings::destinations(&[log.into(), telemetry.into(), webhook("main", &receiver.url(), RETRY)])
}

/// Sends one event, with a trace or without.
async fn send(client: &Client, id: &str, traceparent: Option<&str>) {
    let headers: Vec<(&str, &str)> = traceparent.map(|value| ("traceparent", value)).into_iter().collect();
    let headers = [&[("content-type", "application/json")], &headers[..]].concat();
    let body = json!({"id": id, "type": "order.paid", "key": id, "data": 1}).to_string();
    let answer = client.send(http::Method::POST, "/v1/events", &headers, body).await.unwrap();
    assert_eq!(answer.status, 202, "{}", answer.text());
}

fn parent(trace: &str, flags: &str) -> String {
    format!("00-{trace}-{PRODUCER}-{flags}")
}

fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

fn of(receiver: &Receiver, id: &str) -> Vec<Delivery> {
    receiver.record().deliveries.into_iter().filter(|delivery| delivery.id == id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_fails_twice_is_a_tree_of_spans_from_its_producer_to_its_receiver() {
    let collector = Collector::start().await;
    let receiver = Receiver::start(Behaviour::answering(500), 1).await;
    let installation = Installation::new(&settings(&receiver, &format!("[telemetry]\notlp = {:?}", collector.url())));
    let server = installation.start().await;
    let client = server.client();
    send(&client, "traced", Some(&parent(TRACE, "01"))).await;
    receiver.until("two failures", |record| record.deliveries.len() >= 2).await;
    receiver.behave(Behaviour::healthy());
    receiver.taken(1).await;
    let spans = collector.until("commit", |spans| !named(spans, "commit").is_empty()).await;

    // All of one trace, each with an id of its own.
    assert!(spans.iter().all(|span| span.trace == TRACE), "{spans:#?}");
    assert_eq!(spans.iter().map(|span| &span.id).collect::<BTreeSet<_>>().len(), spans.len());
    let [ingest] = named(&spans, "ingest")[..] else { panic!("{spans:#?}") };
    assert_eq!(ingest.parent, PRODUCER);
    assert_eq!(
        (ingest.attribute("http.response.status_code"), ingest.attribute("laneway.event.id")),
        ("202", "traced")
    );
    for name in ["append", "waiting", "commit"] {
        let [span] = named(&spans, name)[..] else { panic!("not one {name} in {spans:#?}") };
        assert_eq!((&span.parent, &span.error), (&ingest.id, &None), "{name}");
    }
    let attempts = named(&spans, "attempt");
    let deliveries = of(&receiver, "traced");
    assert_eq!(attempts.len(), deliveries.len(), "{attempts:#?} {deliveries:#?}");
    for (nth, (attempt, delivery)) in attempts.iter().zip(&deliveries).enumerate() {
        assert_eq!(attempt.parent, ingest.id);
        assert_eq!(delivery.traceparent.as_deref(), Some(&*format!("00-{TRACE}-{}-01", attempt.id)));
        assert_eq!(attempt.attribute("laneway.attempt"), (nth + 1).to_string());
        assert_eq!(attempt.attribute("laneway.destination"), "main");
        let outcome = if delivery.taken { "delivered" } else { "retry" };
        assert_eq!((attempt.attribute("laneway.outcome"), attempt.error.is_none()), (outcome, delivery.taken));
    }
    assert!(attempts.len() >= 3 && attempts[0].error.as_ref().unwrap().contains("500"), "{attempts:#?}");
    // One after the other.
    let order = [ingest.time.0, named(&spans, "append")[0].time.0, attempts[0].time.0, attempts[1].time.0];
    assert!(order.is_sorted(), "{order:?}");
    assert!(spans.iter().all(|span| span.time.0 <= span.time.1 && span.role == "serve"), "{spans:#?}");
    server.stop();

    // The log tells of the same event by the same names.
    let lines: Vec<Value> = installation.stderr().lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let about = |message: &str| -> Vec<&Value> {
        lines.iter().filter(|line| line["message"].as_str().is_some_and(|said| said.starts_with(message))).collect()
    };
    let failed = about("an attempt failed");
    assert_eq!(failed.len(), 1, "{lines:#?}");
    let ended = about("an attempt ended");
    assert_eq!(ended.len(), deliveries.len(), "{lines:#?}");
    for line in failed.iter().chain(&ended) {
        let said = (&line["event_id"], &line["destination"], &line["trace_id"]);
        assert_eq!(said, (&json!("traced"), &json!("main"), &json!(TRACE)), "{line}");
    }
    let outcomes: Vec<&Value> = ended.iter().map(|line| &line["outcome"]).collect();
    assert_eq!((outcomes[0], outcomes[outcomes.len() - 1]), (&json!("retry"), &json!("delivered")));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_not_sampled_is_not_recorded_and_goes_through_as_it_came() {
    let collector = Collector::start().await;
    let receiver = Receiver::start(Behaviour::healthy(), 1).await;
    let installation = Installation::new(&settings(&receiver, &format!("[telemetry]\notlp = {:?}", collector.url())));
    let server = installation.start().await;
    let client = server.client();
    let (unsampled, sampled) = (parent("11111111111111111111111111111111", "00"), parent(TRACE, "01"));
    send(&client, "unsampled", Some(&unsampled)).await;
    send(&client, "alone", None).await;
    send(&client, "sampled", Some(&sampled)).await;
    // Of one that brings its trace along in itself, and of a request that is refused.
    let event = json!({"specversion": "1.0", "id": "own", "source": "/s", "type": "t", "traceparent": sampled});
    let own = json!([event, {"specversion": "1.0", "id": "other", "source": "/s", "type": "t"}]).to_string();
    let headers = [("content-type", "application/cloudevents-batch+json")];
    let answer = client.send(http::Method::POST, "/v1/events/batch", &headers, own).await.unwrap();
    assert_eq!(answer.status, 202, "{}", answer.text());
    let refused = [("content-type", "application/json"), ("traceparent", sampled.as_str())];
    let answer = client.send(http::Method::POST, "/v1/events", &refused, r#"{"typ":"t"}"#).await.unwrap();
    assert_eq!(answer.status, 422);
    receiver.taken(5).await;
    client.settled("main").await;
    // At the end everything is sent.
    server.stop();
    let spans = collector.so_far();
    assert!(spans.iter().all(|span| span.trace == TRACE), "{spans:#?}");
    let ids: BTreeSet<&str> = spans.iter().map(|span| span.attribute("laneway.event.id")).collect();
    assert_eq!(ids, ["", "own", "sampled"].into(), "{spans:#?}");
    for (name, count) in [("ingest", 3), ("append", 2), ("waiting", 2), ("attempt", 2), ("commit", 2)] {
        assert_eq!(named(&spans, name).len(), count, "{name}: {spans:#?}");
    }
    let statuses: BTreeSet<&str> =
        named(&spans, "ingest").iter().map(|span| span.attribute("http.response.status_code")).collect();
    assert_eq!(statuses, ["202", "422"].into());
    let sent = |id: &str| of(&receiver, id)[0].traceparent.clone();
    assert_eq!((sent("unsampled"), sent("alone"), sent("other")), (Some(unsampled), None, None));
    assert!(sent("own").is_some_and(|sent| sent.contains(TRACE) && sent != sampled));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ratio_begins_traces_and_without_a_collector_there_are_none() {
    let collector = Collector::start().await;
    let receiver = Receiver::start(Behaviour::healthy(), 1).await;
    let all = format!("[telemetry]\notlp = {:?}\nratio = 1.0", collector.url());
    let installation = Installation::new(&settings(&receiver, &all));
    let server = installation.start().await;
    send(&server.client(), "begun", None).await;
    receiver.taken(1).await;
    let spans = collector.until("commit", |spans| !named(spans, "commit").is_empty()).await;
    let [ingest] = named(&spans, "ingest")[..] else { panic!("{spans:#?}") };
    assert_eq!(ingest.parent, "");
    assert!(spans.iter().all(|span| span.trace == ingest.trace && (span.name == "ingest") == (span.parent.is_empty())));
    let sent = of(&receiver, "begun")[0].traceparent.clone().unwrap();
    assert_eq!(sent, format!("00-{}-{}-01", ingest.trace, named(&spans, "attempt")[0].id));
    server.stop();
    let before = collector.so_far().len();

    installation.configure(&settings(&receiver, ""));
    let server = installation.start().await;
    let sampled = parent(TRACE, "01");
    send(&server.client(), "off", Some(&sampled)).await;
    receiver.taken(2).await;
    let page = server.client().get("/metrics").await.unwrap().text();
    assert!(!page.contains("laneway_spans"), "{page}");
    server.stop();
    assert_eq!((of(&receiver, "off")[0].traceparent.as_deref(), collector.so_far().len()), (Some(&*sampled), before));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_collector_stops_nothing_and_what_was_dropped_is_counted() {
    const EVENTS: usize = 3_000;
    let receiver = Receiver::start(Behaviour::healthy(), 1).await;
    let nobody = format!("[telemetry]\notlp = \"http://{}\"\nratio = 1.0", ports::free());
    let installation = Installation::new(&settings(&receiver, &nobody));
    let server = installation.start().await;
    let client = server.client();
    let events: Vec<Value> =
        (0..EVENTS).map(|n| json!({"id": format!("e{n}"), "type": "t", "key": format!("k{}", n % 50)})).collect();
    for some in events.chunks(500) {
        client.accepted_all(some).await;
    }
    receiver.taken(EVENTS).await;
    client.settled("main").await;
    // A wait and an attempt for each event alone are more than the queue takes, and nothing takes from it.
    let page = client.get("/metrics").await.unwrap().text();
    let full = page.lines().find_map(|line| line.strip_prefix("laneway_spans_dropped_total{reason=\"queue-full\"} "));
    assert!(full.is_some_and(|count| count.parse::<u64>().unwrap() > 0), "{page}");
    assert!(page.contains("laneway_spans_exported_total 0"), "{page}");
    server.stop();
    let log = installation.stderr();
    assert_eq!(log.matches("spans cannot be sent to the collector").count(), 1, "{log}");
}
