//! An event as a document.

use crate::config::Mode;
use crate::json;
use laneway_domain::{AttributeValue, Event, Key, LoggedEvent, Tenant};
use mongodb::bson::raw::{CString, cstr};
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, DateTime, RawBson, RawDocumentBuf};
use std::borrow::Cow;

/// The most bytes of a document (MongoDB's `maxBsonObjectSize`, the same in all of its versions).
pub(crate) const MAX_DOCUMENT_BYTES: usize = 16 * 1024 * 1024;

/// The `_id` of an event's document: its key in upsert mode, else its id. Each tenant has keys and ids of its own, so
/// that a tenant's stands behind the tenant and a line break, which no key, id or tenant has.
pub(crate) fn document_id(event: &Event, mode: Mode) -> Cow<'_, str> {
    let own = match (mode, &event.key) {
        (Mode::Upsert, Some(key)) => key.as_str(),
        _ => event.id.as_str(),
    };
    match &event.tenant {
        None => own.into(),
        Some(tenant) => format!("{tenant}\n{own}").into(),
    }
}

/// An event's document, as [`MongoSink`](crate::MongoSink) documents it.
///
/// # Errors
/// Says why the event can be no document.
pub(crate) fn document(logged: &LoggedEvent, mode: Mode) -> Result<RawDocumentBuf, String> {
    let encoded = encode(logged, mode, data(&logged.event, true))?;
    if encoded.as_bytes().len() <= MAX_DOCUMENT_BYTES {
        return Ok(encoded);
    }
    // Long arrays of small numbers take several times as many bytes in BSON as in JSON.
    let encoded = encode(logged, mode, data(&logged.event, false))?;
    match encoded.as_bytes().len() {
        ..=MAX_DOCUMENT_BYTES => Ok(encoded),
        size => Err(format!("the event is a document of {size} bytes; MongoDB takes at most {MAX_DOCUMENT_BYTES}")),
    }
}

fn encode(logged: &LoggedEvent, mode: Mode, data: Option<(&str, RawBson)>) -> Result<RawDocumentBuf, String> {
    let event = &logged.event;
    let offset = signed(logged.offset.0).ok_or("the event's offset is beyond 2^63, which BSON cannot hold")?;
    let accepted_at = signed(logged.accepted_at.as_millis()).unwrap_or(i64::MAX);
    let mut document = RawDocumentBuf::new();
    document.append(cstr!("_id"), &*document_id(event, mode));
    if mode == Mode::Upsert {
        document.append(cstr!("id"), event.id.as_str());
    }
    document.append(cstr!("type"), event.event_type.as_str());
    let texts = [
        (cstr!("tenant"), event.tenant.as_ref().map(Tenant::as_str)),
        (cstr!("key"), event.key.as_ref().map(Key::as_str)),
        (cstr!("source"), event.source.as_deref()),
        (cstr!("subject"), event.subject.as_deref()),
    ];
    for (name, text) in texts.into_iter().filter_map(|(name, text)| Some((name, text?))) {
        document.append(name, text);
    }
    if let Some(text) = event.time.as_deref() {
        document.append(cstr!("time"), time(text));
    }
    document.append(cstr!("contentType"), &*event.content_type);
    if !event.attributes.is_empty() {
        let mut attributes = RawDocumentBuf::new();
        for (name, value) in &event.attributes {
            let name =
                CString::try_from(&**name).map_err(|_| format!("the attribute {name:?} has a name with U+0000"))?;
            match value {
                AttributeValue::Text(text) => attributes.append(name, &**text),
                AttributeValue::Integer(number) => attributes.append(name, *number),
                AttributeValue::Boolean(is) => attributes.append(name, *is),
            }
        }
        document.append(cstr!("attributes"), attributes);
    }
    if let Some(trace) = event.traceparent {
        document.append(cstr!("traceparent"), trace.to_string());
    }
    if let Some((encoding, data)) = data {
        document.append(cstr!("dataEncoding"), encoding);
        document.append(cstr!("data"), data);
    }
    document.append(cstr!("partition"), i64::from(logged.partition.0));
    document.append(cstr!("offset"), offset);
    document.append(cstr!("acceptedAt"), DateTime::from_millis(accepted_at));
    Ok(document)
}

/// A number as BSON's widest integer.
pub(crate) fn signed(number: u64) -> Option<i64> {
    i64::try_from(number).ok()
}

/// RFC 3339 as a BSON date (milliseconds, UTC) if it is one to the millisecond; else as it is.
fn time(text: &str) -> RawBson {
    // A leap second has no number of its own.
    let exact = text.parse::<jiff::Timestamp>().ok().filter(|time| {
        time.as_nanosecond() % 1_000_000 == 0 && text.get(16..19).is_none_or(|seconds| seconds != ":60")
    });
    exact.map_or_else(|| text.into(), |time| RawBson::DateTime(DateTime::from_millis(time.as_millisecond())))
}

/// The data and how it is encoded; nothing if there is none.
fn data(event: &Event, convert: bool) -> Option<(&'static str, RawBson)> {
    if event.data.is_empty() {
        return None;
    }
    let (json, text) = kind(&event.content_type);
    if json
        && convert
        && let Some(value) = json::to_bson(&event.data)
    {
        return Some(("bson", value));
    }
    if text && let Ok(text) = std::str::from_utf8(&event.data) {
        return Some(("text", text.into()));
    }
    let binary = Binary { subtype: BinarySubtype::Generic, bytes: event.data.to_vec() };
    Some(("binary", RawBson::Binary(binary)))
}

/// Whether a media type declares JSON (CloudEvents JSON format, section 3.1), and whether it
/// declares text. The type decides and not the data, so that one kind of event has one kind of data.
fn kind(content_type: &str) -> (bool, bool) {
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is = |name: &str| media_type.ends_with(&format!("/{name}")) || media_type.ends_with(&format!("+{name}"));
    let json = is("json");
    (json, json || is("xml") || is("yaml") || media_type.starts_with("text/") || content_type.contains("charset="))
}

#[cfg(test)]
mod tests;
