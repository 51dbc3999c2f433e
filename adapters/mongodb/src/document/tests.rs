use super::*;
use bytes::Bytes;
use laneway_domain::{EventId, EventType, Offset, Partition, Timestamp, TraceParent};
use mongodb::bson::{Bson, Document, doc};
use std::collections::BTreeMap;

fn event() -> LoggedEvent {
    LoggedEvent {
        partition: Partition(3),
        offset: Offset(41),
        accepted_at: Timestamp::from_millis(1_700_000_000_250),
        event: Event {
            key: Some(Key::new("order-7").unwrap()),
            source: Some("/shop".into()),
            subject: Some("7".into()),
            time: Some("2026-01-02T03:04:05.678+01:00".into()),
            attributes: BTreeMap::from([
                ("tenant".into(), "acme".into()),
                ("level".into(), 5.into()),
                ("vip".into(), false.into()),
            ]),
            traceparent: TraceParent::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            ..Event::new(
                EventId::new("evt_1").unwrap(),
                EventType::new("order.paid").unwrap(),
                Bytes::from_static(br#"{"total":12.50,"lines":[1,2]}"#),
            )
        },
    }
}

fn encoded(logged: &LoggedEvent, mode: Mode) -> Document {
    Document::try_from(document(logged, mode).unwrap()).unwrap()
}

fn with_data(content_type: &str, data: &'static [u8]) -> (Option<String>, Option<Bson>) {
    let mut logged = event();
    logged.event.content_type = content_type.into();
    logged.event.data = Bytes::from_static(data);
    let mut document = encoded(&logged, Mode::Insert);
    (document.get_str("dataEncoding").ok().map(str::to_owned), document.remove("data"))
}

fn with_time(text: &str) -> Bson {
    let mut logged = event();
    logged.event.time = Some(text.into());
    encoded(&logged, Mode::Insert).remove("time").unwrap()
}

#[test]
fn a_document_has_the_documented_form() {
    let expected = doc! {
        "_id": "evt_1",
        "type": "order.paid",
        "key": "order-7",
        "source": "/shop",
        "subject": "7",
        "time": DateTime::parse_rfc3339_str("2026-01-02T02:04:05.678Z").unwrap(),
        "contentType": "application/json",
        "attributes": { "level": 5_i32, "tenant": "acme", "vip": false },
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "dataEncoding": "bson",
        "data": { "total": 12.5, "lines": [1, 2] },
        "partition": 3_i64,
        "offset": 41_i64,
        "acceptedAt": DateTime::from_millis(1_700_000_000_250),
    };
    assert_eq!(encoded(&event(), Mode::Insert), expected);
}

#[test]
fn in_upsert_mode_the_key_is_the_id_and_the_events_id_beside_it() {
    let document = encoded(&event(), Mode::Upsert);
    assert_eq!((document.get_str("_id").unwrap(), document.get_str("id").unwrap()), ("order-7", "evt_1"));
    let mut without = event();
    without.event.key = None;
    let document = encoded(&without, Mode::Upsert);
    assert_eq!(document.get_str("_id").unwrap(), "evt_1");
    assert!(!document.contains_key("key"));
}

#[test]
fn what_an_event_does_not_have_its_document_does_not_have() {
    let mut bare = event();
    bare.event = Event {
        key: None,
        source: None,
        subject: None,
        time: None,
        attributes: BTreeMap::new(),
        traceparent: None,
        data: Bytes::new(),
        ..bare.event
    };
    let names: Vec<String> = encoded(&bare, Mode::Insert).keys().cloned().collect();
    assert_eq!(names, ["_id", "type", "contentType", "partition", "offset", "acceptedAt"]);
}

#[test]
fn the_content_type_decides_what_data_becomes() {
    let text = |text: &str| (Some("text".to_owned()), Some(Bson::String(text.into())));
    let binary = |bytes: &[u8]| {
        let binary = Binary { subtype: BinarySubtype::Generic, bytes: bytes.to_vec() };
        (Some("binary".to_owned()), Some(Bson::Binary(binary)))
    };
    assert_eq!(
        with_data("application/cloudevents+JSON; x=y", b"[1]"),
        (Some("bson".into()), Some(Bson::Array(vec![1.into()])))
    );
    assert_eq!(with_data("application/json", b"{\"a\":1,\"a\":2}"), text("{\"a\":1,\"a\":2}"));
    assert_eq!(with_data("application/json", b"\xff"), binary(b"\xff"));
    assert_eq!(with_data("text/plain", "né".as_bytes()), text("né"));
    assert_eq!(with_data("application/soap+xml", b"<a/>"), text("<a/>"));
    assert_eq!(with_data("application/octet-stream", b"abc"), binary(b"abc"));
    assert_eq!(with_data("text/plain", b""), (None, None));
}

#[test]
fn a_time_is_a_date_only_if_nothing_is_lost() {
    let date = |text: &str| Bson::DateTime(DateTime::parse_rfc3339_str(text).unwrap());
    assert_eq!(with_time("2026-01-02T03:04:05Z"), date("2026-01-02T03:04:05Z"));
    assert_eq!(with_time("2026-01-02T03:04:05.120-08:00"), date("2026-01-02T11:04:05.120Z"));
    for text in ["2026-01-02T03:04:05.1234Z", "2026-06-30T23:59:60Z", "not a time"] {
        assert_eq!(with_time(text), Bson::String(text.into()));
    }
}

#[test]
fn data_that_would_not_fit_as_bson_stays_text() {
    let mut logged = event();
    // Three bytes a number in JSON, more than a dozen in BSON.
    logged.event.data = format!("[{}0]", "1, ".repeat(2_000_000)).into();
    let document = encoded(&logged, Mode::Insert);
    assert_eq!(document.get_str("dataEncoding").unwrap(), "text");
}

#[test]
fn an_event_that_is_too_large_is_told_so() {
    let mut logged = event();
    logged.event.content_type = "application/octet-stream".into();
    logged.event.data = vec![0; MAX_DOCUMENT_BYTES].into();
    assert!(document(&logged, Mode::Insert).unwrap_err().contains("at most 16777216"));
    logged.event.data = vec![0; MAX_DOCUMENT_BYTES - 1000].into();
    assert!(document(&logged, Mode::Insert).is_ok());
}
