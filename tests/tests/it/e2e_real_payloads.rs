//! Real payloads, keyed by repository, to receivers that are healthy, fail at random, and hang.

use http::Method;
use laneway_tests::client::Client;
use laneway_tests::payloads::{self, Payload};
use laneway_tests::receiver::{Behaviour, Receiver, Record};
use laneway_tests::server::{Installation, Settings, webhook};
use laneway_tests::store::{Store, Stored};
use laneway_tests::{checker, effort};
use std::collections::{BTreeMap, BTreeSet};

const QUICK: &str = r#"retry = { initial = "20ms", limit = "60s" }"#;
/// It hangs: every attempt takes the whole of its second. All keys are to be tried, so that neither
/// the breaker nor the number in flight may keep some of them back.
const HANGING: &str = r#"
timeout = "1s"
breaker = false
max_in_flight = 1000
retry = { initial = "100ms", limit = "1h" }"#;

#[tokio::test(flavor = "multi_thread")]
async fn real_payloads_arrive_byte_for_byte_and_in_order_per_repository() {
    let payloads = match tokio::task::spawn_blocking(payloads::fetch).await.expect("the fetch does not panic") {
        Ok(payloads) => payloads,
        Err(why) => {
            return effort::skipped(&format!("real payloads: {} is not to be had here: {why}", payloads::PACKAGE));
        }
    };
    let healthy = Receiver::start(Behaviour::healthy(), 1).await;
    let failing = Receiver::start(Behaviour::failing(0.3), 2).await;
    let hanging = Receiver::start(Behaviour::hanging(), 3).await;
    let installation = Installation::new(&Settings::destinations(&[
        webhook("healthy", &healthy.url(), ""),
        webhook("failing", &failing.url(), QUICK),
        webhook("hanging", &hanging.url(), HANGING),
    ]));
    let server = installation.start().await;
    for (n, payload) in payloads.iter().enumerate() {
        send(&server.client(), n, payload).await;
    }
    healthy.taken(payloads.len()).await;
    failing.taken(payloads.len()).await;
    let stored = Store::open(&installation.database()).events();
    check_store(&payloads, &stored);
    check_hanging(&hanging, &stored).await;
    hanging.behave(Behaviour::healthy());
    hanging.taken(payloads.len()).await;
    for (name, receiver) in [("healthy", &healthy), ("failing", &failing), ("hanging", &hanging)] {
        server.client().settled(name).await;
        let record = receiver.record();
        let found = checker::check(&stored, &record, &BTreeSet::new(), false);
        println!("{name}: {found}");
        found.assert_clean(name);
        check_content_types(&record);
    }
    assert_eq!(checker::check(&stored, &healthy.record(), &BTreeSet::new(), false).duplicates, 0);
    server.stop();
}

/// In turn as Laneway's own JSON and as a CloudEvent in binary mode.
async fn send(client: &Client, number: usize, payload: &Payload) {
    let id = format!("payload-{number}");
    let Payload { event_type, repository, text } = payload;
    let answer = if number.is_multiple_of(2) {
        let key = repository.as_ref().map(|key| format!(r#""key":"{key}","#)).unwrap_or_default();
        let body = format!(r#"{{"id":"{id}","type":"{event_type}",{key}"data":{text}}}"#);
        client.post("/v1/events", body).await
    } else {
        let mut headers = vec![
            ("content-type", "application/json"),
            ("ce-specversion", "1.0"),
            ("ce-id", id.as_str()),
            ("ce-source", "https://api.github.com"),
            ("ce-type", event_type),
        ];
        headers.extend(repository.as_ref().map(|key| ("ce-partitionkey", key.as_str())));
        client.send(Method::POST, "/v1/events", &headers, text.clone()).await
    };
    let answer = answer.expect("an answer");
    assert_eq!(answer.status, 202, "{id} {event_type}: {}", answer.text());
}

/// The store holds what was sent, and the order per repository is that of sending.
fn check_store(payloads: &[Payload], stored: &[Stored]) {
    assert_eq!(stored.len(), payloads.len());
    let mut last: BTreeMap<&str, usize> = BTreeMap::new();
    for event in stored {
        let number: usize = event.id["payload-".len()..].parse().expect("the id that was sent");
        let sent = &payloads[number];
        assert_eq!(event.data, sent.text.as_bytes(), "{} was changed", event.id);
        assert_eq!(event.key, sent.repository);
        if let Some(before) = event.key.as_deref().and_then(|key| last.insert(key, number)) {
            assert!(before < number, "payloads {before} and {number} of {:?} changed places", event.key);
        }
    }
    let keyed = stored.iter().filter(|event| event.key.is_some()).count();
    println!("{} payloads, {keyed} of {} repositories", stored.len(), last.len());
    assert!(keyed > 100 && last.len() > 3, "the package is not what it was");
}

/// A receiver that hangs has seen the first event of every repository, and no other one of it.
async fn check_hanging(hanging: &Receiver, stored: &[Stored]) {
    let mut keys = BTreeSet::new();
    let first = |event: &&Stored| event.key.as_ref().is_none_or(|key| keys.insert(key.clone()));
    let expected: BTreeSet<&str> = stored.iter().filter(first).map(|event| event.id.as_str()).collect();
    let all_seen = |record: &Record| {
        let seen: BTreeSet<&str> = record.deliveries.iter().map(|delivery| delivery.id.as_str()).collect();
        expected.is_subset(&seen)
    };
    hanging.until("the first event of every key seen", all_seen).await;
    let record = hanging.record();
    assert!(record.taken.is_empty());
    for delivery in &record.deliveries {
        assert!(expected.contains(delivery.id.as_str()), "{} was sent before its predecessor was settled", delivery.id);
    }
}

fn check_content_types(record: &Record) {
    let other: BTreeSet<&str> = record.deliveries.iter().map(|delivery| delivery.content_type.as_str()).collect();
    assert_eq!(other, BTreeSet::from(["application/json"]));
}
