use super::*;
use proptest::prelude::*;
use serde_json::value::RawValue;

fn skip(text: &str, depth: u32) -> Read<&str> {
    let mut scanner = Scanner::new(text, 0, depth);
    let value = scanner.value()?;
    scanner.end()?;
    Ok(value)
}

fn read_string(text: &str) -> Read<Cow<'_, str>> {
    let mut scanner = Scanner::new(text, 0, 1);
    assert_eq!(scanner.shape()?, Shape::String);
    let string = scanner.string()?;
    scanner.end()?;
    Ok(string)
}

fn nearly_json() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "{", "}", "[", "]", ",", ":", "\"", "\\", "\\u", "00e9", "\\ud83d", "\\ude00", "\\n", "0", "-", "1", "9.",
        ".5", "e", "E+", "true", "false", "null", " ", "\n", "\t", "\u{1}", "é", "😀", "a", "\"a\"", "\"k\":", "[1]",
        "{}", "[]",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(6, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn it_accepts_what_serde_json_accepts_and_keeps_the_same_text(text in nearly_json()) {
        let theirs = serde_json::from_str::<&RawValue>(&text).ok().map(RawValue::get);
        prop_assert_eq!(skip(&text, MAX_JSON_DEPTH).ok(), theirs);
    }

    #[test]
    fn any_text_is_read_as_serde_json_reads_it(text: String) {
        let theirs = serde_json::from_str::<&RawValue>(&text).ok().map(RawValue::get);
        prop_assert_eq!(skip(&text, MAX_JSON_DEPTH).ok(), theirs);
    }

    #[test]
    fn real_json_is_kept_byte_for_byte(value in any_json(), pretty: bool) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let padded = format!(" {text}\n");
        prop_assert_eq!(skip(&padded, MAX_JSON_DEPTH).unwrap(), text);
    }

    #[test]
    fn strings_are_decoded_as_serde_json_decodes_them(inner in nearly_json()) {
        let text = format!("\"{inner}\"");
        let theirs = serde_json::from_str::<String>(&text).ok();
        prop_assert_eq!(read_string(&text).ok().map(Cow::into_owned), theirs);
    }

    #[test]
    fn a_string_survives_its_encoding(text: String) {
        let encoded = serde_json::to_string(&text).unwrap();
        prop_assert_eq!(read_string(&encoded).unwrap(), text);
    }

    #[test]
    fn eight_bytes_at_a_time_find_what_one_at_a_time_finds(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let special = |b: &u8| *b == b'"' || *b == b'\\' || *b < 0x20;
        prop_assert_eq!(plain_prefix(&bytes), bytes.iter().position(special).unwrap_or(bytes.len()));
    }
}

#[test]
fn depth_is_counted_and_bounded() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert!(skip(&nested(64), 64).is_ok());
    let Refusal::Field { reason, at, .. } = *skip(&nested(65), 64).unwrap_err() else { panic!("not a field") };
    assert_eq!((reason.as_str(), at), ("is nested deeper than 64 arrays and objects", Some(64)));
    assert!(skip(&"{\"a\":".repeat(200), 64).is_err());
    // A setting beyond what the bits can count is the most that they can.
    assert!(skip(&nested(128), u32::MAX).is_ok());
    assert!(skip(&nested(1_000_000), u32::MAX).is_err());
    // Neighbours are not deeper.
    assert!(skip(&format!("[{}1]", "[[]],".repeat(1000)), 3).is_ok());
}

#[test]
fn an_error_says_what_was_expected_and_what_was_found() {
    let wrong = |text: &str| match *skip(text, 64).unwrap_err() {
        Refusal::Malformed { at, what } => (at, what),
        other => panic!("{other:?}"),
    };
    assert_eq!(wrong(""), (0, "expected a value but found the end".into()));
    assert_eq!(wrong("[1,]"), (3, "expected a value but found `]`".into()));
    assert_eq!(wrong("{\"a\" 1}"), (5, "expected `:` but found `1`".into()));
    assert_eq!(wrong("{a:1}"), (1, "expected a name in double quotes but found `a`".into()));
    assert_eq!(wrong("[1 2]"), (3, "expected `,` or `]` but found `2`".into()));
    assert_eq!(wrong("{} x"), (3, "expected the end but found `x`".into()));
    assert_eq!(wrong("\"a\nb\""), (2, "expected `\"`, or the character escaped, but found U+000A".into()));
    assert_eq!(wrong("\u{feff}{}"), (0, "expected a value but found U+FEFF".into()));
    assert_eq!(wrong("nul"), (0, "expected null but found `n`".into()));
}
