use super::*;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

const P: Partition = Partition(3);
const AT: Timestamp = Timestamp::from_millis(1_700_000_000_123);

fn values() -> impl Strategy<Value = AttributeValue> {
    prop_oneof![
        ".{0,40}".prop_map(AttributeValue::from),
        any::<i32>().prop_map(AttributeValue::from),
        any::<bool>().prop_map(AttributeValue::from),
    ]
}

prop_compose! {
    fn events()(
        id in prop_oneof!["[^\\p{Cc}]{1,20}", "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-fA-F]{12}", "[0-9a-f-]{36}"],
        event_type in "[^\\p{Cc}]{1,20}",
        key in option::of("[^\\p{Cc}]{1,20}"),
        texts in (option::of(".{1,20}"), option::of(".{1,20}"), option::of(".{1,20}")),
        content_type in prop_oneof![".{1,20}", Just(String::from("application/json"))],
        attributes in btree_map("[a-z0-9]{1,64}", values(), 0..5),
        trace in option::of(vec(1..=255_u8, TraceParent::BYTES)),
        tenant in option::of("[a-z0-9][a-z0-9._-]{0,63}"),
        data in vec(any::<u8>(), 0..600),
    ) -> Event {
        Event {
            id: EventId::new(&id).unwrap(),
            event_type: EventType::new(&event_type).unwrap(),
            tenant: tenant.map(|tenant| Tenant::new(&tenant).unwrap()),
            key: key.map(|key| Key::new(&key).unwrap()),
            source: texts.0.map(Into::into),
            subject: texts.1.map(Into::into),
            time: texts.2.map(Into::into),
            content_type: content_type.into(),
            attributes: attributes.into_iter().map(|(n, v)| (n.into(), v)).collect(),
            traceparent: trace.and_then(|bytes| TraceParent::from_bytes(&bytes)),
            data: data.into(),
        }
    }
}

proptest! {
    #[test]
    fn every_event_survives_a_round_trip(event in events()) {
        let entry = encode(P, AT, &event, VERSION_TENANT).unwrap();
        let read = decode(P, Offset(7), &entry, VERSION_TENANT).unwrap();
        prop_assert_eq!(read, LoggedEvent { partition: P, offset: Offset(7), accepted_at: AT, event });
    }

    #[test]
    fn a_changed_or_cut_entry_is_noticed(event in events(), at: prop::sample::Index, bit in 0..8_u8, cut: bool) {
        let entry = encode(P, AT, &event, VERSION_TENANT).unwrap();
        let at = at.index(entry.len());
        let mut wrong = entry.to_vec();
        if cut { wrong.truncate(at) } else { wrong[at] ^= 1 << bit }
        prop_assert!(decode(P, Offset(7), &wrong, VERSION_TENANT).is_err());
    }

    #[test]
    fn reading_anything_at_all_never_panics(bytes in vec(any::<u8>(), 0..200)) {
        let _ = (decode(P, Offset(0), &bytes, VERSION_TENANT), check_of(&bytes));
        // … also behind a check that is right.
        for version in [VERSION, VERSION_TYPED, VERSION_TENANT] {
            let mut right = vec![version];
            right.extend(checksum(P, version, &bytes).to_be_bytes());
            right.extend(&bytes);
            let _ = decode(P, Offset(0), &right, VERSION_TENANT);
        }
    }
}

#[test]
fn only_what_earlier_versions_cannot_say_is_written_in_later_ones() {
    let plain = || Event::new(EventId::new("a").unwrap(), EventType::new("t").unwrap(), Bytes::new());
    let with = |value: AttributeValue| Event { attributes: [("a".into(), value)].into(), ..plain() };
    let traceparent = TraceParent::from_bytes(&[1; TraceParent::BYTES]);
    for (event, version) in [
        (plain(), VERSION),
        (with("5".into()), VERSION),
        (with(5.into()), VERSION_TYPED),
        (with(false.into()), VERSION_TYPED),
        (Event { traceparent, ..plain() }, VERSION_TYPED),
        (Event { tenant: Some(Tenant::new("acme").unwrap()), ..plain() }, VERSION_TENANT),
    ] {
        assert_eq!(encode(P, AT, &event, VERSION_TENANT).unwrap()[0], version, "{event:?}");
    }
}

#[test]
fn beside_a_process_that_reads_version_1_an_event_is_written_as_that_one_would() {
    let plain = Event::new(EventId::new("a").unwrap(), EventType::new("t").unwrap(), Bytes::from("data"));
    let traceparent = TraceParent::from_bytes(&[1; TraceParent::BYTES]);
    let attributes: BTreeMap<_, AttributeValue> = [("n".into(), 5.into()), ("b".into(), false.into())].into();
    let written = encode(P, AT, &Event { attributes, traceparent, ..plain.clone() }, VERSION).unwrap();
    let read = decode(P, Offset(0), &written, VERSION).unwrap().event;
    let attributes = [("n".into(), "5".into()), ("b".into(), "false".into())].into();
    assert_eq!(read, Event { attributes, ..plain });
}

#[test]
fn beside_a_process_that_knows_no_tenants_an_event_of_one_is_not_written_as_if_it_were_nobodys() {
    let plain = Event::new(EventId::new("a").unwrap(), EventType::new("t").unwrap(), Bytes::from("data"));
    let event = Event { tenant: Some(Tenant::new("acme").unwrap()), ..plain };
    for newest in [VERSION, VERSION_TYPED] {
        let error = encode(P, AT, &event, newest).unwrap_err();
        assert!(matches!(error, StoreError::RetryLater { .. }), "{error}");
        assert!(error.to_string().contains("does not know tenants"), "{error}");
    }
}

#[test]
fn the_next_release_reads_all_that_this_one_writes_and_its_own() {
    let event = Event::new(EventId::new("a").unwrap(), EventType::new("t").unwrap(), Bytes::from("data"));
    for newest in VERSION..=VERSION_NEXT {
        let written = encode(P, AT, &event, newest).unwrap();
        assert_eq!(decode(P, Offset(0), &written, VERSION_NEXT).unwrap().event, event, "{newest}");
    }
    let next = encode(P, AT, &event, VERSION_NEXT).unwrap();
    assert_eq!(decode(P, Offset(0), &next, VERSION_TYPED), Err(Unreadable::Newer(VERSION_NEXT, VERSION_TYPED)));
}

#[test]
fn an_entry_of_another_partition_is_noticed() {
    let event = Event {
        id: EventId::new("a").unwrap(),
        event_type: EventType::new("t").unwrap(),
        tenant: None,
        key: None,
        source: None,
        subject: None,
        time: None,
        content_type: "text/plain".into(),
        attributes: BTreeMap::new(),
        traceparent: None,
        data: Bytes::new(),
    };
    let entry = encode(P, AT, &event, VERSION_TYPED).unwrap();
    assert!(decode(Partition(4), Offset(0), &entry, VERSION_TYPED).unwrap_err().to_string().contains("checksum"));
    assert_eq!(check_of(&[1, 0xAB, 0xCD]), 0xABCD_0000);
}

#[test]
fn an_entry_of_a_newer_release_is_told_from_a_damaged_one() {
    let newer = VERSION_TYPED + 1;
    let body = b"whatever a later version has here";
    let mut entry = vec![newer];
    entry.extend(checksum(P, newer, body).to_be_bytes());
    entry.extend(body);
    assert_eq!(decode(P, Offset(0), &entry, VERSION_TYPED), Err(Unreadable::Newer(newer, VERSION_TYPED)));
    // With a changed number it is damaged; so is an entry of a known version whose number was changed.
    entry[0] += 1;
    assert!(matches!(decode(P, Offset(0), &entry, VERSION_TYPED), Err(Unreadable::Damaged(_))));
    let event = Event::new(EventId::new("a").unwrap(), EventType::new("t").unwrap(), Bytes::new());
    let typed = Event { attributes: [("a".into(), 5.into())].into(), ..event.clone() };
    for event in [event, typed] {
        let own = encode(P, AT, &event, VERSION_TYPED).unwrap().to_vec();
        for version in (0..=u8::MAX).filter(|version| *version != own[0]) {
            let mut changed = own.clone();
            changed[0] = version;
            assert!(matches!(decode(P, Offset(0), &changed, VERSION_TYPED), Err(Unreadable::Damaged(_))), "{version}");
        }
    }
}
