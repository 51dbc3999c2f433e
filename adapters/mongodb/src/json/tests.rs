use super::*;
use mongodb::bson::{Bson, doc};
use proptest::prelude::*;

fn bson(json: &str) -> Option<Bson> {
    to_bson(json.as_bytes()).map(|raw| Bson::try_from(raw).unwrap())
}

#[test]
fn members_keep_their_order_names_and_types() {
    let found =
        bson(r#" { "b" : 1 , "a" : [ true , null , "x\n\u00e9\ud83d\ude00" , [ ] , { } ] , "c.d" : -1.5, "":"" } "#);
    let expected = doc! { "b": 1_i32, "a": [true, Bson::Null, "x\né😀", [], {}], "c.d": -1.5, "": "" };
    assert_eq!(found, Some(Bson::Document(expected)));
}

#[test]
fn scalars_are_data_too() {
    assert_eq!(bson("null"), Some(Bson::Null));
    assert_eq!(bson(" \"a\" "), Some(Bson::String("a".into())));
    assert_eq!(bson("false"), Some(Bson::Boolean(false)));
}

#[test]
fn a_number_becomes_the_first_type_that_holds_it() {
    assert_eq!(bson("2147483647"), Some(Bson::Int32(i32::MAX)));
    assert_eq!(bson("2147483648"), Some(Bson::Int64(2_147_483_648)));
    assert_eq!(bson("-9223372036854775808"), Some(Bson::Int64(i64::MIN)));
    assert_eq!(bson("1.0"), Some(Bson::Double(1.0)));
    assert_eq!(bson("1e3"), Some(Bson::Double(1000.0)));
    assert_eq!(bson("12.50"), Some(Bson::Double(12.5)));
    assert_eq!(bson("0.1"), Some(Bson::Double(0.1)));
    assert_eq!(bson("1e-7"), Some(Bson::Double(1e-7)));
    let just_between = Some(Bson::Double(888_178_419_700_126.0 + 0.25));
    assert_eq!(bson("888178419700126.2"), just_between);
    assert_eq!(bson("888178419700126.3"), just_between);
    assert_eq!(bson("1.7976931348623157E+308"), Some(Bson::Double(f64::MAX)));
    assert!(matches!(bson("-0"), Some(Bson::Double(zero)) if zero == 0.0 && zero.is_sign_negative()));
    for text in
        ["9223372036854775808", "0.1234567890123456789", "888178419700126.27", "-18446744073709551615", "1e6000"]
    {
        let Some(Bson::Decimal128(decimal)) = bson(text) else { panic!("{text}") };
        assert!(Decimal::of(&decimal.to_string()) == Decimal::of(text), "{text}: {decimal}");
    }
}

#[test]
fn what_bson_cannot_hold_is_not_converted() {
    let deep = format!("{}{}", "[".repeat(MAX_DEPTH + 2), "]".repeat(MAX_DEPTH + 2));
    for json in [
        "",
        "{",
        "{} x",
        "nul",
        r#"{"a":1,"a":2}"#,
        r#"{"a":{"$date":1}}"#,
        r#"{"a\u0000b":1}"#,
        r#"{"a":"\ud800"}"#,
        "1e9999",
        "0.12345678901234567890123456789012345",
        "1e99999999999999999999",
        &deep,
    ] {
        assert_eq!(bson(json), None, "{json}");
    }
    let shallow = format!("{}{}", "[".repeat(MAX_DEPTH + 1), "]".repeat(MAX_DEPTH + 1));
    assert!(bson(&shallow).is_some());
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        ".*".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Into::into),
            prop::collection::btree_map("[^$\0][^\0]*|", inner, 0..8).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

/// What a BSON value is in JSON.
fn back(bson: &Bson) -> serde_json::Value {
    match bson {
        Bson::Null => serde_json::Value::Null,
        Bson::Boolean(b) => (*b).into(),
        Bson::Int32(n) => (*n).into(),
        Bson::Int64(n) => (*n).into(),
        Bson::Double(n) => (*n).into(),
        Bson::String(text) => text.clone().into(),
        Bson::Array(items) => items.iter().map(back).collect(),
        Bson::Document(document) => document.iter().map(|(name, value)| (name.clone(), back(value))).collect(),
        other => panic!("{other:?}"),
    }
}

proptest! {
    #[test]
    fn what_is_converted_can_be_converted_back(json in any_json()) {
        for text in [json.to_string(), serde_json::to_string_pretty(&json).unwrap()] {
            let found = bson(&text).unwrap();
            prop_assert_eq!(back(&found), json.clone(), "{}", text);
        }
    }

    #[test]
    fn bytes_that_are_no_json_do_no_harm(bytes: Vec<u8>) {
        to_bson(&bytes);
    }
}
