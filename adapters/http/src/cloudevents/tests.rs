use super::*;
use http::HeaderValue;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use proptest::prelude::*;

/// What the HTTP binding, section 3.1.3.2, says must be encoded; all else beyond ASCII always is.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

proptest! {
    #[test]
    fn a_header_decodes_to_what_was_encoded(text: String) {
        let encoded = utf8_percent_encode(&text, ENCODED).to_string();
        prop_assert!(HeaderValue::from_str(&encoded).is_ok());
        prop_assert_eq!(header_text(encoded.as_bytes()).unwrap(), text);
    }

    #[test]
    fn a_header_that_encodes_everything_decodes_the_same(text: String) {
        let encoded: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
        prop_assert_eq!(header_text(encoded.as_bytes()).unwrap(), text);
    }

    #[test]
    fn double_quotes_and_backslashes_are_taken_off_first(text in "[^%\\p{Cc}]{0,40}") {
        let quoted = format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        prop_assert_eq!(header_text(quoted.as_bytes()).unwrap(), text);
    }

    #[test]
    fn any_header_decodes_or_is_refused(raw: Vec<u8>) {
        let _ = header_text(&raw);
    }
}

#[test]
fn the_example_of_the_binding_decodes() {
    assert_eq!(header_text(b"Euro%20%E2%82%AC%20%F0%9F%98%80").unwrap(), "Euro \u{20ac} \u{1f600}");
}

#[test]
fn an_overlong_encoding_is_refused() {
    assert!(header_text(b"%C0%A0").is_err());
}

#[test]
fn data_of_another_type_than_json_is_the_text_in_its_string() {
    let body = Bytes::from_static(br#""<much wow=\"xml\"/>""#);
    let value = str::from_utf8(&body).unwrap();
    assert_eq!(from_json(value, "application/xml", &body).unwrap(), r#"<much wow="xml"/>"#);
    assert_eq!(from_json(value, "application/json", &body).unwrap(), value);
    let object = Bytes::from_static(b"{}");
    assert!(from_json("{}", "application/xml", &object).is_err());
}
