//! What a receiver can rely on.

mod exactly_once;
mod replays;
mod verifying;

use super::*;
use crate::{Offset, Partition};

#[test]
fn a_sequence_is_read_as_it_is_written() {
    let sequence = Sequence { partition: Partition(3), offset: Offset(41) };
    assert_eq!(sequence.to_string(), "3-00000000000000000041");
    assert_eq!("3-00000000000000000041".parse(), Ok(sequence));
    assert_eq!("0-0".parse::<Sequence>().unwrap().number(), 0);
    let largest = Sequence { partition: Partition(u32::MAX), offset: Offset(u64::MAX) };
    assert_eq!(largest.to_string().parse(), Ok(largest));
}

#[test]
fn what_is_no_sequence_is_refused() {
    for bad in ["", "-", "3", "3-", "-41", "3-4-1", "+3-41", "3-+41", "3 -41", "３-41", "4294967296-1", "a-1"] {
        assert_eq!(bad.parse::<Sequence>(), Err(InvalidSequence), "{bad}");
    }
    assert!("1-18446744073709551616".parse::<Sequence>().is_err());
    assert!(format!("1-{}1", "0".repeat(100)).parse::<Sequence>().is_err());
}

fn headers<'h>(list: &'h [(&str, &'h str)]) -> impl Fn(&str) -> Option<&'h str> {
    move |name| list.iter().find(|(n, _)| *n == name).map(|(_, value)| *value)
}

#[test]
fn an_arrival_is_read_from_headers_and_from_a_batch_alike() {
    let given = [
        ("webhook-id", "evt_1"),
        ("ce-partitionkey", "order-7"),
        ("laneway-sequence", "3-00000000000000000041"),
        ("laneway-attempt", "2"),
    ];
    let single = Arrival::of_headers(headers(&given)).unwrap();
    let expected = Arrival {
        id: "evt_1".into(),
        tenant: None,
        source: None,
        key: Some("order-7".into()),
        sequence: Sequence { partition: Partition(3), offset: Offset(41) },
        attempt: 2,
        redrive: false,
        replay: None,
    };
    assert_eq!(single, expected);
    let replayed = [&given[..], &[("laneway-redrive", "true"), ("laneway-replay", "77")]].concat();
    let replayed = Arrival::of_headers(headers(&replayed)).unwrap();
    assert_eq!(replayed, Arrival { redrive: true, replay: Some(77), ..expected.clone() });
    let occasions = [single.occasion(), Arrival { redrive: true, ..single }.occasion(), replayed.occasion()];
    assert_eq!(occasions, [Occasion::Live, Occasion::Redrive, Occasion::Replay(77)]);
    let batch = r#"[{"specversion":"1.0","id":"evt_1","type":"t","partitionkey":"order-7","data":{},
        "lanewaysequence":"3-00000000000000000041","lanewayattempt":2},
        {"id":"evt_1","lanewaysequence":"3-41","lanewayattempt":2,"lanewayredrive":true,"lanewayreplay":77}]"#;
    let members: Vec<CloudEventMembers> = serde_json::from_str(batch).unwrap();
    let [first, second] = <[_; 2]>::try_from(members).unwrap().map(|of| Arrival::try_from(of).unwrap());
    assert_eq!(first, expected);
    assert_eq!(second, Arrival { key: None, redrive: true, replay: Some(77), ..expected });
    // Two numbers that are one to whoever reads numbers as JavaScript does.
    for number in [9_007_199_254_740_992_u64, 9_007_199_254_740_993, u64::MAX] {
        let text = format!(r#"{{"id":"e","lanewaysequence":"3-41","lanewayattempt":1,"lanewayreplay":"{number}"}}"#);
        let members: CloudEventMembers = serde_json::from_str(&text).unwrap();
        assert_eq!(Arrival::try_from(members).unwrap().replay, Some(number));
    }
    let none = r#"{"id":"e","lanewaysequence":"3-41","lanewayattempt":1,"lanewayreplay":"x"}"#;
    assert!(serde_json::from_str::<CloudEventMembers>(none).unwrap_err().to_string().contains("laneway-replay"));
    assert_eq!((first.remembered_as(), second.remembered_as()), ("key:order-7".into(), "event:evt_1".into()));
}

/// What an event with the id `e` is remembered as that has these headers too.
fn remembered_as(more: [(&str, Option<&str>); 2]) -> String {
    let mut all = vec![("webhook-id", "e"), ("laneway-sequence", "1-1"), ("laneway-attempt", "1")];
    all.extend(more.into_iter().filter_map(|(name, value)| Some((name, value?))));
    Arrival::of_headers(headers(&all)).unwrap().remembered_as()
}

#[test]
fn each_tenant_has_keys_and_ids_of_its_own() {
    let of = |tenant, key| remembered_as([("ce-lanewaytenant", tenant), ("ce-partitionkey", key)]);
    let all =
        [of(None, Some("k")), of(Some("a"), Some("k")), of(Some("b"), Some("k")), of(None, None), of(Some("a"), None)];
    assert_eq!(all, ["key:k", "tenant:a:key:k", "tenant:b:key:k", "event:e", "tenant:a:event:e"]);
    let batch = r#"{"id":"e","lanewaytenant":"a","lanewaysequence":"1-1","lanewayattempt":1}"#;
    let member = Arrival::try_from(serde_json::from_str::<CloudEventMembers>(batch).unwrap()).unwrap();
    assert_eq!(member.remembered_as(), "tenant:a:event:e");
}

/// The same id of two sources is of two events, which are ordered with each other only if they have a key.
#[test]
fn each_source_has_ids_of_its_own() {
    let of = |source, key| remembered_as([("ce-source", source), ("ce-partitionkey", key)]);
    let all = [of(None, None), of(Some("/laneway"), None), of(Some("/a"), None), of(Some("/a"), Some("k"))];
    assert_eq!(all, ["event:e", "event:e", "source:/a\nevent:e", "key:k"]);
    let batch = r#"{"id":"e","source":"/a","lanewaysequence":"1-1","lanewayattempt":1}"#;
    let member = Arrival::try_from(serde_json::from_str::<CloudEventMembers>(batch).unwrap()).unwrap();
    assert_eq!(member.remembered_as(), all[2]);
}

#[test]
fn what_every_delivery_has_is_missed() {
    let all = [
        ("webhook-id", "a"),
        ("laneway-sequence", "1-1"),
        ("laneway-attempt", "1"),
        ("laneway-redrive", "true"),
        ("laneway-replay", "9"),
    ];
    assert!(Arrival::of_headers(headers(&all)).unwrap().redrive);
    for missing in 0..3 {
        let some: Vec<_> = all.iter().enumerate().filter(|(n, _)| *n != missing).map(|(_, pair)| *pair).collect();
        assert_eq!(Arrival::of_headers(headers(&some)), Err(Unreadable::Missing(all[missing].0)));
    }
    let wrong = |name: &str, value| {
        let list = all.map(|(n, v)| (n, if n == name { value } else { v }));
        Arrival::of_headers(headers(&list)).unwrap_err().to_string()
    };
    assert!(wrong("laneway-attempt", "0").contains("laneway-attempt"));
    assert!(wrong("laneway-sequence", "x").contains("laneway-sequence"));
    assert!(wrong("laneway-replay", "x").contains("laneway-replay"));
}
