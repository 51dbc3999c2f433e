//! Laneway behind Laneway: what the first one accepts, up to each of its bounds, the second one takes, event by event
//! and in batches. And what would not fit into a receiver's headers is refused at the door, by name and size.

use crate::shapes::{self, Expected};
use laneway_tests::client::Client;
use laneway_tests::receiver::{Behaviour, Receiver};
use laneway_tests::server::{Installation, Settings, webhook};
use laneway_tests::store::Store;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What does not get through becomes a dead letter soon.
const IMPATIENT: &str = r#"retry = { initial = "100ms", limit = "1s" }"#;
/// The most bytes of headers that an event may become.
const MOST_HEADERS: usize = 12 * 1024;

/// An event whose headers grow by a byte with each letter more.
fn with_headers(id: &str, letters: usize) -> Value {
    let attribute = |n: usize| (format!("a{n}"), Value::from("x".repeat(letters.saturating_sub(n * 4000).min(4000))));
    let attributes: serde_json::Map<_, _> = (0..4).map(attribute).collect();
    json!({"id": id, "type": "order.headers", "attributes": attributes, "data": 1})
}

/// As many letters as one event's headers may have.
async fn most_letters(client: &Client) -> usize {
    let (mut taken, mut refused) = (0, MOST_HEADERS + 1);
    while refused - taken > 1 {
        let letters = (taken + refused) / 2;
        let event = with_headers(&format!("h-{letters:05}"), letters);
        match client.post("/v1/events", event.to_string()).await.expect("an answer").status {
            202 => taken = letters,
            422 => refused = letters,
            other => panic!("{other} of {letters} letters"),
        }
    }
    taken
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_laneway_accepts_another_one_takes_alone_and_in_batches() {
    let receivers = [Receiver::start(Behaviour::healthy(), 1).await, Receiver::start(Behaviour::healthy(), 2).await];
    let second = receivers
        .each_ref()
        .map(|receiver| Installation::new(&Settings::destinations(&[webhook("end", &receiver.url(), IMPATIENT)])));
    let servers = [second[0].start().await, second[1].start().await];
    let url = |n: usize, path: &str| format!("http://{}{path}", second[n].address());
    let batch = format!("{IMPATIENT}\nbatch = {{ max_events = 20, linger = \"50ms\" }}");
    let first = Installation::new(&Settings::destinations(&[
        webhook("alone", &url(0, "/v1/events"), IMPATIENT),
        webhook("batches", &url(1, "/v1/events/batch"), &batch),
    ]));
    let server = first.start().await;
    let client = server.client();
    let mut expected = BTreeSet::new();
    for shape in shapes::all() {
        shape.send(&client).await;
        expected.extend(shape.events);
    }
    let letters = most_letters(&client).await;
    assert!((MOST_HEADERS - 500..MOST_HEADERS).contains(&letters), "{letters} of {MOST_HEADERS} bytes");
    for name in ["alone", "batches"] {
        let settled = client.settled(name).await;
        assert_eq!(settled["dead_letters"], 0, "{name}: {settled:#}");
    }
    for (n, name) in ["alone", "batches"].into_iter().enumerate() {
        let settled = servers[n].client().settled("end").await;
        assert_eq!(settled["dead_letters"], 0, "behind {name}: {settled:#}");
        let stored = Store::open(&second[n].database()).events();
        let held: BTreeSet<_> = stored.iter().map(|event| (&event.id, &event.key, &event.data)).collect();
        for Expected { id, key, data, .. } in &expected {
            assert!(held.contains(&(id, key, data)), "{id} is not behind {name} as it was sent");
        }
        assert_eq!(stored.len(), Store::open(&first.database()).events().len(), "behind {name}");
        receivers[n].taken(stored.len()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_no_receiver_takes_are_refused_at_the_door_by_name_and_size() {
    let installation = Installation::new(&Settings::default());
    let server = installation.start().await;
    let client = server.client();
    let letters = most_letters(&client).await;
    let (at_most, beyond) = (with_headers("at-most", letters), with_headers("one-too", letters + 1));
    let umlauts = json!({"type": "t", "attributes": {"a": "ü".repeat(2000), "b": "ü".repeat(1500)}});
    let in_key = json!({"type": "t", "key": "ü".repeat(512), "subject": "ü".repeat(512), "source": "ü".repeat(512),
                        "attributes": {"b": "x".repeat(4000)}});
    let cloud = |mut event: Value| {
        event["specversion"] = "1.0".into();
        event["source"] = "/s".into();
        event["id"] = "c".into();
        event["a"] = "ü".repeat(2048).into();
        event
    };
    let cases = [
        ("/v1/events", "application/json", beyond.clone(), "/attributes/a", "4009"),
        ("/v1/events", "application/json", umlauts, "/attributes/a", "12008"),
        ("/v1/events", "application/json", in_key, "/attributes/b", "4008"),
        ("/v1/events/batch", "application/json", json!([{"type": "t"}, beyond]), "/1/attributes/a", "4009"),
        ("/v1/events", "application/cloudevents+json", cloud(json!({"type": "t"})), "/a", "12296"),
        (
            "/v1/events/batch",
            "application/cloudevents-batch+json",
            json!([cloud(json!({"type": "t"}))]),
            "/0/a",
            "12296",
        ),
    ];
    for (path, content_type, body, field, bytes) in cases {
        let headers = [("content-type", content_type)];
        let answer = client.send(http::Method::POST, path, &headers, body.to_string()).await.expect("an answer");
        let problem = answer.json();
        assert_eq!(answer.status, 422, "{problem}");
        assert!(problem["field"].as_str().is_some_and(|text| text.starts_with(field)), "{field}: {problem}");
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(detail.contains(bytes) && detail.contains(&MOST_HEADERS.to_string()), "{bytes}: {problem}");
    }
    // In binary mode they come as headers.
    let value = "%C3%BC".repeat(2000);
    let binary = [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/s"), ("ce-type", "t"), ("ce-a", &value)];
    let binary = [&binary[..], &[("ce-b", &value[..4800])]].concat();
    let answer = client.send(http::Method::POST, "/v1/events", &binary, "").await.expect("an answer");
    assert_eq!((answer.status, answer.json()["field"].as_str()), (422, Some("ce-a")), "{}", answer.text());
    // Nothing of what was refused is there.
    client.accepted(&at_most).await;
    let ids: Vec<String> = Store::open(&installation.database()).events().into_iter().map(|event| event.id).collect();
    assert!(ids.iter().all(|id| id == "at-most" || id.starts_with("h-")), "{ids:?}");
}
