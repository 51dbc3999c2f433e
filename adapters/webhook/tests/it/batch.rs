//! Batch mode: what is sent, and whose outcome is whose.

use crate::events::{SECRET, attempted, config, event};
use bytes::Bytes;
use laneway_domain::receiver::{Arrival, CloudEventMembers};
use laneway_domain::{AttributeValue, Event, Outcome, TraceParent};
use laneway_ports::{Attempted, Delivery, Sink};
use laneway_webhook::{Secret, WebhookConfig, WebhookSink};
use serde_json::{Value, json};
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

async fn deliver(events: Vec<Attempted>, status: u16) -> (Vec<Outcome>, Request) {
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(ResponseTemplate::new(status)).mount(&server).await;
    let settings =
        WebhookConfig { batch: true, reject: vec![422], secrets: vec![Secret::new(SECRET)], ..config(server.uri()) };
    let outcomes = WebhookSink::new(settings).unwrap().deliver(&Delivery::of(events)).await.outcomes;
    let mut got = server.received_requests().await.unwrap();
    assert_eq!(got.len(), 1);
    (outcomes, got.remove(0))
}

fn with_data(id: &str, content_type: &str, data: &'static [u8]) -> Attempted {
    attempted(Event { content_type: content_type.into(), data: Bytes::from_static(data), ..event(id) })
}

#[tokio::test]
async fn a_batch_is_cloudevents_json_and_signed_as_a_whole() {
    let full = Event {
        source: Some("urn:shop".into()),
        subject: Some("\"7\"".into()),
        time: Some("2026-01-02T03:04:05Z".into()),
        attributes: ["tenant", "lanewaysequence", "lanewayredrive"].map(|name| (name.into(), "ü".into())).into(),
        ..event("a")
    };
    let bare = Event { key: None, data: Bytes::new(), ..event("b") };
    let (outcomes, got) = deliver(vec![attempted(full), attempted(bare)], 200).await;
    assert_eq!(outcomes, [Outcome::Delivered, Outcome::Delivered]);
    assert_eq!(got.headers["content-type"], "application/cloudevents-batch+json");
    assert!(got.headers.get("ce-id").is_none());
    standardwebhooks::Webhook::new(SECRET).unwrap().verify(&got.body, &got.headers).unwrap();
    let expected = json!([
        {"specversion": "1.0", "id": "a", "type": "order.paid", "source": "urn:shop", "subject": "\"7\"",
         "time": "2026-01-02T03:04:05Z", "partitionkey": "order-7", "datacontenttype": "application/json",
         "lanewaysequence": "3-00000000000000000041", "lanewayattempt": 1, "tenant": "ü", "data": {"total": 12.5}},
        {"specversion": "1.0", "id": "b", "type": "order.paid", "source": "/laneway",
         "time": "2023-11-14T22:13:20.25Z", "datacontenttype": "application/json",
         "lanewaysequence": "3-00000000000000000041", "lanewayattempt": 1},
    ]);
    assert_eq!(got.body_json::<Value>().unwrap(), expected);
}

#[tokio::test]
async fn a_retried_dead_letter_is_marked_in_a_batch() {
    let (_, got) = deliver(vec![Attempted { redrive: true, ..attempted(event("a")) }], 200).await;
    assert_eq!(got.body_json::<Value>().unwrap()[0]["lanewayredrive"], json!(true));
    let mut forged = event("b");
    forged.attributes.insert("lanewayreplay".into(), 9.into());
    let replayed = Attempted { redrive: true, replay: Some(7), ..attempted(event("a")) };
    let (_, got) = deliver(vec![replayed, attempted(forged)], 200).await;
    let got = got.body_json::<Value>().unwrap();
    assert_eq!((&got[0]["lanewayredrive"], &got[0]["lanewayreplay"]), (&json!(true), &json!("7")));
    assert_eq!(got[1]["lanewayreplay"], Value::Null, "a producer cannot pass an event off as replayed");
    // Numbers of a restored store are beyond 2^53: neighbours stay different for readers that know no such numbers, and
    // what is an attribute of CloudEvents is taken by the next Laneway.
    let far = [9_007_199_254_740_992, 9_007_199_254_740_993];
    let replays = far.map(|number| Attempted { redrive: true, replay: Some(number), ..attempted(event("a")) });
    let (_, got) = deliver(replays.into(), 200).await;
    let got = got.body_json::<Value>().unwrap();
    for (number, got) in far.iter().zip(got.as_array().unwrap()) {
        let value: AttributeValue = got["lanewayreplay"].as_str().unwrap().into();
        assert_eq!(*value.text(), number.to_string());
        let arrived = Event { attributes: [("lanewayreplay".into(), value)].into(), ..event("a") };
        assert!(arrived.check().is_ok());
        let members: CloudEventMembers = serde_json::from_value(got.clone()).unwrap();
        assert_eq!(Arrival::try_from(members).unwrap().replay, Some(*number));
    }
}

#[tokio::test]
async fn json_is_embedded_byte_for_byte_text_is_a_string_and_the_rest_is_base64() {
    let events = vec![
        with_data("1", "application/json", b" {\"a\" : 1.50,\"a\":2}\n"),
        with_data("2", "application/vnd.x+json; charset=utf-8", b"[1e400]"),
        with_data("3", "application/json", b"{broken"),
        with_data("4", "application/json", b"\"\xff\""),
        with_data("5", "text/plain", b"{}"),
        with_data("6", "text/json", b"null"),
        with_data("7", "application/octet-stream", b"{}"),
        with_data("8", "text/plain; charset=iso-8859-1", b"{}"),
        with_data("9", "text/plain", b"\xff"),
    ];
    let (_, got) = deliver(events, 200).await;
    let text = std::str::from_utf8(&got.body).unwrap();
    assert!(text.contains(r#""data":{"a" : 1.50,"a":2}}"#), "{text}");
    assert!(text.contains(r#""data":"{}"}"#), "{text}");
    assert!(text.contains(r#""data":[1e400]}"#) && text.contains(r#""data":null}"#), "{text}");
    for (id, base64) in [("3", "e2Jyb2tlbg=="), ("4", "Iv8i"), ("7", "e30="), ("8", "e30="), ("9", "/w==")] {
        let of_id = text.split("\"id\":").find(|part| part.starts_with(&format!("\"{id}\""))).unwrap();
        assert!(of_id.contains(&format!(r#""data_base64":"{base64}""#)), "{of_id}");
    }
}

#[tokio::test]
async fn texts_and_xml_of_any_spelling_come_out_as_they_came_in() {
    for content_type in [
        "text/plain",
        "text/csv; charset=utf-8",
        "TEXT/HTML; Charset=\"UTF-8\"",
        "application/xml",
        "application/atom+xml;charset=us-ascii",
    ] {
        let data = "<a>\"Zürich\"\n\u{1F680}</a>";
        let (_, got) = deliver(vec![with_data("1", content_type, data.as_bytes())], 200).await;
        let got = got.body_json::<Value>().unwrap();
        assert_eq!((&got[0]["data"], got[0].get("data_base64")), (&json!(data), None), "{content_type}");
    }
}

#[tokio::test]
async fn attributes_keep_their_types_and_the_trace_comes_along() {
    let traceparent = TraceParent::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    let attributes = [
        ("level", AttributeValue::Integer(5)),
        ("text", "5".into()),
        ("lowest", i32::MIN.into()),
        ("vip", false.into()),
        ("word", "false".into()),
    ];
    let typed =
        Event { attributes: attributes.map(|(name, value)| (name.into(), value)).into(), traceparent, ..event("a") };
    let own = Event { attributes: [("traceparent".into(), "its own".into())].into(), traceparent, ..event("b") };
    let (_, got) = deliver(vec![attempted(typed), attempted(own)], 200).await;
    let got = got.body_json::<Value>().unwrap();
    for (name, value) in [
        ("level", json!(5)),
        ("text", json!("5")),
        ("lowest", json!(i32::MIN)),
        ("vip", json!(false)),
        ("word", json!("false")),
        ("traceparent", json!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")),
    ] {
        assert_eq!(got[0][name], value, "{name}");
    }
    assert_eq!(got[1]["traceparent"], json!("its own"));
}

#[tokio::test]
async fn all_events_share_the_outcome() {
    for (status, label) in [(204, "delivered"), (422, "rejected"), (410, "gone"), (500, "retry")] {
        let (outcomes, _) = deliver(vec![attempted(event("a")), attempted(event("b"))], status).await;
        assert_eq!(outcomes.iter().map(Outcome::label).collect::<Vec<_>>(), [label, label]);
    }
}

#[tokio::test]
async fn a_batch_keeps_its_id_over_attempts_and_no_other_has_it() {
    let id = |ids: &'static [&'static str], attempt| async move {
        let events = ids.iter().map(|id| Attempted { attempt, ..attempted(event(id)) }).collect();
        let id = deliver(events, 200).await.1.headers["webhook-id"].clone();
        id.to_str().unwrap().to_owned()
    };
    let first = id(&["a", "b"], 1).await;
    assert!(first.starts_with("batch_"));
    assert_eq!(id(&["a", "b"], 2).await, first);
    for other in [["b", "a"].as_slice(), &["a"], &["ab"], &["a", "b", "c"]] {
        assert_ne!(id(other, 1).await, first);
    }
    // An id is one within its source; a receiver sees `/laneway` where none is named.
    let of_source = |sources: [Option<&'static str>; 2]| async move {
        let with = |(id, source): (_, Option<&str>)| attempted(Event { source: source.map(Into::into), ..event(id) });
        let events = ["a", "b"].into_iter().zip(sources).map(with).collect();
        deliver(events, 200).await.1.headers["webhook-id"].to_str().unwrap().to_owned()
    };
    assert_eq!(of_source([Some("/laneway"), None]).await, first);
    let sources = [[Some("/x"), None], [None, Some("/x")], [Some("/x"), Some("/x")], [Some("/y"), None]];
    let mut all = std::collections::BTreeSet::from([first]);
    for sources in sources {
        assert!(all.insert(of_source(sources).await), "{sources:?}");
    }
}
