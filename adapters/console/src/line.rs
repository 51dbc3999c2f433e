//! One event as one line that is safe to print.

use jiff::Timestamp;
use laneway_domain::{DestinationName, Event};
use laneway_ports::Attempted;
use std::fmt::Write;

/// How much of an event's data a line shows, in characters: what fits a few terminal rows.
const MAX_DATA_CHARS: usize = 200;

/// Appends the line of one event, newline included.
pub(crate) fn append(out: &mut String, now: Timestamp, destination: &DestinationName, attempted: &Attempted) {
    let logged = &attempted.event;
    let event = &logged.event;
    let _ = write!(out, "{now:.3} {destination} ");
    append_field(out, event.event_type.as_str());
    out.push_str(" id=");
    append_field(out, event.id.as_str());
    if let Some(tenant) = &event.tenant {
        let _ = write!(out, " tenant={tenant}");
    }
    if let Some(key) = &event.key {
        out.push_str(" key=");
        append_field(out, key.as_str());
    }
    let _ = write!(out, " {}/{} attempt={} ", logged.partition, logged.offset, attempted.attempt);
    if attempted.redrive {
        out.push_str("redrive ");
    }
    append_data(out, event);
    out.push('\n');
}

/// A field: in quotes where a reader could otherwise not tell where it ends.
fn append_field(out: &mut String, text: &str) {
    let plain = !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c == '"' || c == '=');
    if plain {
        append_escaped(out, text.chars());
        return;
    }
    out.push('"');
    for part in text.split_inclusive('"') {
        let (before, quote) = part.strip_suffix('"').map_or((part, ""), |before| (before, "\\\""));
        append_escaped(out, before.chars());
        out.push_str(quote);
    }
    out.push('"');
}

fn append_data(out: &mut String, event: &Event) {
    let count = event.data.len();
    match std::str::from_utf8(&event.data) {
        Ok("") => out.push_str("<no data>"),
        Ok(text) => {
            append_escaped(out, text.chars().take(MAX_DATA_CHARS));
            if text.chars().nth(MAX_DATA_CHARS).is_some() {
                let _ = write!(out, "… ({count} bytes)");
            }
        }
        Err(_) => {
            let _ = write!(out, "<{count} bytes of ");
            append_escaped(out, event.content_type.chars());
            out.push('>');
        }
    }
}

/// Appends `text` with everything escaped that could end the line, move the cursor, or turn the
/// order of the text around.
fn append_escaped(out: &mut String, text: impl Iterator<Item = char>) {
    for c in text {
        match c {
            c if c.is_control() || is_invisible(c) => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}
