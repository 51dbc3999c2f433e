//! Several events as one body: CloudEvents 1.0, JSON batch format.

use crate::cloudevents::{SPEC_VERSION, rfc3339};
use crate::sequence::sequence_text;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use laneway_domain::{AttributeValue, DEFAULT_SOURCE, Event, Key, TENANT_ATTRIBUTE, Tenant};
use laneway_ports::Attempted;
use ring::digest;
use serde_json::value::RawValue;

/// The media type of a batch.
pub(crate) const CONTENT_TYPE: &str = "application/cloudevents-batch+json";
/// The extension that carries what `laneway-sequence` is for a single event.
const SEQUENCE: &str = "lanewaysequence";
/// The extension that carries what `laneway-attempt` is for a single event.
const ATTEMPT: &str = "lanewayattempt";
/// The extension that carries what `laneway-redrive` is for a single event.
const REDRIVE: &str = "lanewayredrive";
/// The extension that carries what `laneway-replay` is for a single event.
const REPLAY: &str = "lanewayreplay";
/// The extension that carries what the header `traceparent` is for a single event (CloudEvents, distributed tracing).
const TRACEPARENT: &str = "traceparent";
/// How much of the hash makes a batch's id: 128 bits never collide by chance.
const ID_BYTES: usize = 16;
/// About how many bytes an event takes besides its data.
const OVERHEAD: usize = 512;

/// The id of a batch: the same for the same events in the same order.
pub(crate) fn id(events: &[Attempted]) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    for attempted in events {
        let event = &attempted.event.event;
        let id = event.id.as_str();
        context.update(&(id.len() as u64).to_be_bytes());
        context.update(id.as_bytes());
        if let Some(tenant) = &event.tenant {
            // No id has a line break, so that this is none either.
            context.update(format!("\n{tenant}\n").as_bytes());
        }
        // An id is unique within its source only. None that is not named is hashed, so that ids stay what they were.
        if let Some(source) = event.source.as_deref().filter(|source| !["", DEFAULT_SOURCE].contains(source)) {
            context.update(format!("\r{source}\r").as_bytes());
        }
    }
    let hash = context.finish();
    let mut text = String::from("batch_");
    for byte in &hash.as_ref()[..ID_BYTES] {
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

/// The events as a JSON array.
pub(crate) fn body(events: &[Attempted]) -> Vec<u8> {
    let data: usize = events.iter().map(|attempted| attempted.event.event.data.len()).sum();
    let mut out = Vec::with_capacity(data + data / 3 + events.len() * OVERHEAD);
    out.push(b'[');
    for (index, attempted) in events.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        append_event(&mut out, attempted);
    }
    out.push(b']');
    out
}

fn append_event(out: &mut Vec<u8>, attempted: &Attempted) {
    let logged = &*attempted.event;
    let event = &logged.event;
    out.extend_from_slice(b"{\"specversion\":");
    append_text(out, SPEC_VERSION);
    let accepted_at = rfc3339(logged.accepted_at);
    let sequence = sequence_text(logged.partition, logged.offset);
    let members = [
        ("id", Some(event.id.as_str())),
        ("type", Some(event.event_type.as_str())),
        ("source", event.source.as_deref().filter(|source| !source.is_empty()).or(Some(DEFAULT_SOURCE))),
        ("subject", event.subject.as_deref()),
        ("time", event.time.as_deref().or(accepted_at.as_deref())),
        (TENANT_ATTRIBUTE, event.tenant.as_ref().map(Tenant::as_str)),
        ("partitionkey", event.key.as_ref().map(Key::as_str)),
        ("datacontenttype", Some(&*event.content_type)),
        (SEQUENCE, Some(&sequence)),
    ];
    for (name, value) in members.into_iter().filter_map(|(name, value)| Some((name, value?))) {
        append_member(out, name, value);
    }
    out.extend_from_slice(format!(",\"{ATTEMPT}\":{}", attempted.attempt).as_bytes());
    if attempted.redrive {
        out.extend_from_slice(format!(",\"{REDRIVE}\":true").as_bytes());
    }
    if let Some(number) = attempted.replay {
        // A text: it passes 2^53, beyond which many readers of JSON take different numbers for the same, and integers
        // of CloudEvents end at 2^31.
        append_member(out, REPLAY, &number.to_string());
    }
    for (name, value) in &event.attributes {
        // A producer cannot pass an event off as another of its key.
        if ![SEQUENCE, ATTEMPT, REDRIVE, REPLAY, TENANT_ATTRIBUTE].contains(&&**name) {
            append_value(out, name, value);
        }
    }
    if let Some(trace) = event.traceparent.filter(|_| !event.attributes.contains_key(TRACEPARENT)) {
        append_member(out, TRACEPARENT, &trace.to_string());
    }
    append_data(out, event);
    out.push(b'}');
}

/// JSON as it is, since a batch is JSON already; text as a string; everything else in base64 (CloudEvents JSON
/// format, section 3.1).
fn append_data(out: &mut Vec<u8>, event: &Event) {
    if event.data.is_empty() {
        return;
    }
    if is_json(&event.content_type) {
        if let Ok(json) = serde_json::from_slice::<&RawValue>(&event.data) {
            out.extend_from_slice(b",\"data\":");
            out.extend_from_slice(json.get().as_bytes());
            return;
        }
    } else if is_text(&event.content_type)
        && let Ok(text) = str::from_utf8(&event.data)
    {
        append_member(out, "data", text);
        return;
    }
    append_member(out, "data_base64", &STANDARD.encode(&event.data));
}

/// Whether a media type declares JSON (CloudEvents JSON format, section 3.1).
fn is_json(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media_type.ends_with("/json") || media_type.ends_with("+json")
}

/// Whether a media type declares text in UTF-8, so that a string is its data and nothing is lost: `text/*` and XML,
/// unless it names another encoding.
fn is_text(content_type: &str) -> bool {
    let content_type = content_type.to_ascii_lowercase();
    let mut parts = content_type.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or_default();
    let text = media_type.starts_with("text/") || media_type.ends_with("/xml") || media_type.ends_with("+xml");
    let mut encodings = parts.filter_map(|part| part.strip_prefix("charset="));
    text && encodings.all(|name| ["utf-8", "utf8", "us-ascii"].contains(&name.trim_matches('"')))
}

fn append_value(out: &mut Vec<u8>, name: &str, value: &AttributeValue) {
    out.push(b',');
    append_text(out, name);
    out.push(b':');
    // Writing a value into memory cannot fail.
    let _ = serde_json::to_writer(out, value);
}

fn append_member(out: &mut Vec<u8>, name: &str, value: &str) {
    out.push(b',');
    append_text(out, name);
    out.push(b':');
    append_text(out, value);
}

fn append_text(out: &mut Vec<u8>, text: &str) {
    // Writing a text into memory cannot fail.
    let _ = serde_json::to_writer(out, text);
}
