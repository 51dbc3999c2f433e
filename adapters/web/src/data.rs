//! How the data of an event is shown: as text, whatever it is. Nothing here knows of pages.

use crate::show;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use laneway_http::wire::EventView;
use std::fmt::Write as _;

/// How much of it is shown where nobody asks for all: about ten screens.
const SHORT: usize = 16 * 1024;
/// Bytes in a line of what is no text.
const LINE: usize = 16;
/// How much of what is no text is shown at all: nobody reads more.
const BYTES_SHOWN: usize = 4 * 1024;

/// What is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) text: String,
    /// How many bytes the data has.
    pub(crate) bytes: u64,
    /// What was left out, and why; `None` if nothing was.
    pub(crate) left_out: Option<String>,
    /// Whether the rest can be asked for.
    pub(crate) more: bool,
}

/// The data of an event; `all`: whatever its size.
pub(crate) fn shown(event: &EventView, all: bool) -> Shown {
    match (&event.data, &event.data_base64) {
        (Some(json), _) => of_text(json.get(), all),
        (None, Some(encoded)) => of_bytes(&STANDARD.decode(encoded).unwrap_or_default(), all),
        (None, None) => of_text("", all),
    }
}

fn of_text(text: &str, all: bool) -> Shown {
    let bytes = text.len() as u64;
    if all || text.len() <= SHORT {
        return Shown { text: visible(text), bytes, left_out: None, more: false };
    }
    let end = text.floor_char_boundary(SHORT);
    let left_out = Some(format!("These are the first {} of {}.", show::size(end as u64), show::size(bytes)));
    Shown { text: visible(&text[..end]), bytes, left_out, more: true }
}

fn of_bytes(bytes: &[u8], all: bool) -> Shown {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.chars().filter(|c| is_hidden(*c)).count() <= text.len() / 100 => of_text(text, all),
        _ => {
            let left_out = (bytes.len() > BYTES_SHOWN).then(|| {
                let (some, of) = (show::size(BYTES_SHOWN as u64), show::size(bytes.len() as u64));
                format!("It is no text. These are the first {some} of {of}.")
            });
            let text = dump(&bytes[..bytes.len().min(BYTES_SHOWN)]);
            Shown { text, bytes: bytes.len() as u64, left_out, more: false }
        }
    }
}

/// Whether a character does something to the text around it, instead of being seen: controls, and what turns the
/// direction of writing.
fn is_hidden(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\t' | '\r'))
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text in which everything can be seen: what has no shape of its own is written as its number.
pub(crate) fn visible(text: &str) -> String {
    if !text.chars().any(is_hidden) {
        return text.to_owned();
    }
    text.chars().fold(String::with_capacity(text.len() + 16), |mut shown, c| {
        if is_hidden(c) {
            let _ = write!(shown, "⟨U+{:04X}⟩", u32::from(c));
        } else {
            shown.push(c);
        }
        shown
    })
}

/// Bytes as programmers read them.
fn dump(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len() * 5);
    for (at, line) in bytes.chunks(LINE).enumerate() {
        let _ = write!(shown, "{:06x} ", at * LINE);
        for place in 0..LINE {
            match line.get(place) {
                Some(byte) => drop(write!(shown, " {byte:02x}")),
                None => shown.push_str("   "),
            }
        }
        shown.push_str("  ");
        shown.extend(line.iter().map(|b| if b.is_ascii_graphic() || *b == b' ' { char::from(*b) } else { '.' }));
        shown.push('\n');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn json_is_shown_as_it_came_and_long_texts_by_their_beginning() {
        assert_eq!(of_text("{\"a\": 1}", false).text, "{\"a\": 1}");
        let long = "ä".repeat(SHORT);
        let short = of_text(&long, false);
        assert_eq!((short.text.len(), short.bytes, short.more), (SHORT, 2 * SHORT as u64, true));
        assert_eq!(short.left_out.as_deref(), Some("These are the first 16 KiB of 32 KiB."));
        assert_eq!((of_text(&long, true).text, of_text(&long, true).left_out), (long, None));
    }

    #[test]
    fn what_is_no_text_is_shown_byte_by_byte() {
        let shown = of_bytes(b"\x00\x01GIF89a\xff", false);
        assert_eq!(shown.text, "000000  00 01 47 49 46 38 39 61 ff                       ..GIF89a.\n");
        let shown = of_bytes(&[0xff; 10_000], true);
        assert_eq!(shown.left_out.as_deref(), Some("It is no text. These are the first 4 KiB of 9.7 KiB."));
        assert_eq!(shown.text.lines().count(), BYTES_SHOWN / LINE);
    }

    #[test]
    fn what_turns_the_writing_around_is_seen() {
        assert_eq!(visible("invoice\u{202e}fdp.exe"), "invoice⟨U+202E⟩fdp.exe");
        assert_eq!(visible("a\u{0}b\nc\td"), "a⟨U+0000⟩b\nc\td");
        // Writing from right to left by itself is just that.
        assert_eq!(visible("שלום"), "שלום");
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_shown(bytes: Vec<u8>, all: bool) {
            let shown = of_bytes(&bytes, all);
            prop_assert_eq!(shown.bytes, bytes.len() as u64);
            prop_assert!(!shown.text.chars().any(is_hidden));
        }
    }
}
