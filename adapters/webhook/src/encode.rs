//! Texts as header values.

use http::HeaderValue;

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Which bytes stand for themselves. A table: each byte of each header of each delivery is looked at.
type Verbatim = [bool; 256];

/// What the CloudEvents HTTP binding leaves as it is.
const IN_ATTRIBUTES: Verbatim = visible_but(b"\"%");
/// What stays as it is in a message id.
const IN_MESSAGE_IDS: Verbatim = visible_but(b"\"%.");

/// U+0021..U+007E without `others`.
const fn visible_but(others: &[u8]) -> Verbatim {
    let mut verbatim = [false; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        verbatim[byte as usize] = true;
        byte += 1;
    }
    let mut n = 0;
    while n < others.len() {
        verbatim[others[n] as usize] = false;
        n += 1;
    }
    verbatim
}

/// `text` as the CloudEvents HTTP binding (section 3.1.3.2) writes it into a header: space, `"`,
/// `%` and everything outside U+0021..U+007E as percent-encoded UTF-8. Nothing is refused, and
/// decoding gives the text back.
pub(crate) fn cloud_event_value(text: &str) -> HeaderValue {
    encoded(text, &IN_ATTRIBUTES)
}

/// `text` as a message id: as above, and without a full stop, which is what separates the id from
/// the rest of what is signed (Standard Webhooks, "Signature scheme").
pub(crate) fn message_id(text: &str) -> HeaderValue {
    encoded(text, &IN_MESSAGE_IDS)
}

fn encoded(text: &str, verbatim: &Verbatim) -> HeaderValue {
    let is_verbatim = |byte: u8| verbatim[usize::from(byte)];
    if text.bytes().all(is_verbatim) {
        return plain(text.as_bytes());
    }
    let mut out = Vec::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        if is_verbatim(byte) {
            out.push(byte);
        } else {
            out.extend([b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
    plain(&out)
}

/// A header value of visible ASCII, which is always legal.
fn plain(bytes: &[u8]) -> HeaderValue {
    HeaderValue::from_bytes(bytes).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decoded(value: &HeaderValue) -> String {
        let mut out = Vec::new();
        let mut bytes = value.as_bytes().iter();
        while let Some(&byte) = bytes.next() {
            if byte == b'%' {
                let digits = [*bytes.next().unwrap(), *bytes.next().unwrap()];
                out.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
            } else {
                out.push(byte);
            }
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_examples_of_the_binding_hold() {
        // HTTP binding 1.0.2, section 3.1.3.2: "Euro € 😀" becomes this.
        assert_eq!(cloud_event_value("Euro € 😀"), "Euro%20%E2%82%AC%20%F0%9F%98%80");
        assert_eq!(cloud_event_value("100% \"sure\""), "100%25%20%22sure%22");
        assert_eq!(cloud_event_value("urn:a/b?c=~d"), "urn:a/b?c=~d");
    }

    #[test]
    fn a_message_id_has_no_full_stop() {
        assert_eq!(message_id("order.1"), "order%2E1");
        assert_eq!(message_id("evt_1-a"), "evt_1-a");
    }

    proptest! {
        #[test]
        fn every_text_is_a_value_and_comes_back(text in "\\PC*|[\\x00-\\x7f]*") {
            prop_assert_eq!(&decoded(&cloud_event_value(&text)), &text);
            prop_assert_eq!(&decoded(&message_id(&text)), &text);
        }
    }
}
