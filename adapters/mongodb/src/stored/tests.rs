use super::*;
use laneway_domain::{Event, EventId, EventType, Offset, Partition, Timestamp};
use mongodb::bson::{DateTime, doc};

const ACCEPTED: i64 = 1_700_000_000_000;

fn logged(key: Option<&str>, source: Option<&str>) -> LoggedEvent {
    let event = Event {
        key: key.map(|key| Key::new(key).unwrap()),
        source: source.map(Into::into),
        content_type: "text/plain".into(),
        ..Event::new(EventId::new("e").unwrap(), EventType::new("t").unwrap(), bytes::Bytes::new())
    };
    let accepted_at = Timestamp::from_millis(ACCEPTED.unsigned_abs());
    LoggedEvent { partition: Partition(3), offset: Offset(41), accepted_at, event }
}

fn stored(partition: i64, offset: i64, accepted_at: i64) -> Document {
    let accepted_at = DateTime::from_millis(accepted_at);
    doc! { "_id": "k", "key": "k", "id": "e", "partition": partition, "offset": offset, "acceptedAt": accepted_at }
}

fn standing(document: &Document) -> Standing {
    Stored::read(document).unwrap().standing(&logged(Some("k"), None))
}

#[test]
fn a_document_of_a_later_event_is_current_and_of_an_earlier_one_behind() {
    assert_eq!(standing(&stored(3, 40, ACCEPTED - 1)), Standing::Behind);
    assert_eq!(standing(&stored(3, 41, ACCEPTED)), Standing::Current);
    assert_eq!(standing(&stored(3, 42, ACCEPTED + 1)), Standing::Current);
    // Clocks differ a little.
    assert_eq!(standing(&stored(3, 42, ACCEPTED - 59_000)), Standing::Current);
}

#[test]
fn a_document_of_another_log_does_not_pass_for_a_later_event() {
    assert_eq!(standing(&stored(3, 9_000, ACCEPTED - 61_000)), Standing::Foreign);
    assert_eq!(standing(&stored(4, 42, ACCEPTED + 1)), Standing::Foreign);
    let mut other_id = stored(3, 41, ACCEPTED);
    other_id.insert("id", "f");
    assert_eq!(standing(&other_id), Standing::Foreign);
}

#[test]
fn a_document_that_others_wrote_is_foreign() {
    assert_eq!(standing(&doc! { "_id": "k", "name": "x" }), Standing::Foreign);
    assert_eq!(standing(&doc! { "_id": "k", "key": "k", "partition": 3 }), Standing::Foreign);
    assert!(Stored::read(&doc! { "_id": 7 }).is_none());
}

#[test]
fn without_a_key_the_source_counts() {
    let mut document = stored(3, 42, ACCEPTED + 1);
    document.insert("_id", "e");
    document.remove("key");
    document.insert("source", "/shop");
    let found = Stored::read(&document).unwrap();
    assert_eq!(found.standing(&logged(None, Some("/shop"))), Standing::Current);
    assert_eq!(found.standing(&logged(None, Some("/other"))), Standing::Foreign);
    assert_eq!(found.standing(&logged(None, None)), Standing::Foreign);
    assert_eq!(found.standing(&logged(Some("e"), Some("/shop"))), Standing::Foreign);
}

#[test]
fn an_inserted_document_is_the_events_only_with_the_same_source_and_place() {
    let mut document = doc! { "_id": "e", "source": "/shop", "partition": 3.0, "offset": 41_i32 };
    let is = |document: &Document, source| Stored::read(document).unwrap().is(&logged(Some("k"), source));
    assert!(is(&document, Some("/shop")));
    assert!(!is(&document, Some("/other")));
    assert!(!is(&document, None));
    document.insert("offset", 42);
    assert!(!is(&document, Some("/shop")));
}
