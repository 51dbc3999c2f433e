//! CloudEvents 1.0: the JSON event format (structured and batch) and the headers of binary mode.
//!
//! What the modes of one event give is one event: `partitionkey` is its key, `datacontenttype` its
//! media type, `lanewaytenant` its tenant, all other extensions are attributes. JSON data must be JSON
//! in every mode, because later stations (batches of CloudEvents, documents) embed it as such.

use crate::draft::{Draft, JSON, TWICE};
use crate::json::{Scanner, Shape};
use crate::laneway_json::{attribute_value, object_expected, text};
use crate::media::is_json;
use crate::refusal::{Read, Refusal, pointer};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, header};
use laneway_domain::{MAX_ATTRIBUTES, TENANT_ATTRIBUTE, counts_as_attribute};
use percent_encoding::percent_decode;
use std::borrow::Cow;
use std::mem;

#[cfg(test)]
mod tests;

const VERSION: &str = "1.0";
/// What headers of CloudEvents begin with.
const PREFIX: &str = "ce-";
/// The fields that are no attributes.
pub(crate) const FIELDS: [&str; 11] = [
    "specversion",
    "id",
    "source",
    "type",
    "subject",
    "time",
    "datacontenttype",
    "partitionkey",
    "data",
    "data_base64",
    TENANT_ATTRIBUTE,
];

/// Reads one event of the JSON event format. `body` is what the scanner reads from.
pub(crate) fn read<'a>(scanner: &mut Scanner<'a>, body: &Bytes, depth: u32) -> Read<Draft<'a>> {
    object_expected(scanner)?;
    let mut members = Members::default();
    scanner.object(|scanner, name, at| members.read(scanner, &name, at))?;
    required(members.version.as_deref(), &members.draft, pointer)?;
    let data = members.data(body, depth)?;
    Ok(Draft { data, ..members.draft })
}

/// What was read of an event in JSON. What its data means depends on members that may come later.
#[derive(Default)]
struct Members<'a> {
    draft: Draft<'a>,
    version: Option<Cow<'a, str>>,
    /// Where `data` is, and its text.
    data: Option<(usize, &'a str)>,
    base64: Option<Cow<'a, str>>,
    seen: [bool; FIELDS.len()],
}

impl<'a> Members<'a> {
    fn read(&mut self, scanner: &mut Scanner<'a>, name: &str, at: usize) -> Read<()> {
        let Some(field) = FIELDS.iter().position(|known| *known == name) else {
            let field = || pointer(name);
            return match attribute_value(scanner, field)? {
                Some(value) => self.draft.attribute(name, value, field).map_err(|refusal| refusal.at(at)),
                None => Ok(()),
            };
        };
        if mem::replace(&mut self.seen[field], true) {
            return Err(Refusal::field(pointer(name), TWICE).at(at));
        }
        let member = match FIELDS[field] {
            "specversion" => &mut self.version,
            "id" => &mut self.draft.id,
            "source" => &mut self.draft.source,
            "type" => &mut self.draft.event_type,
            "subject" => &mut self.draft.subject,
            "time" => &mut self.draft.time,
            "datacontenttype" => &mut self.draft.content_type,
            "partitionkey" => &mut self.draft.key,
            "data_base64" => &mut self.base64,
            TENANT_ATTRIBUTE => &mut self.draft.tenant,
            _ => {
                // To its first byte, which is its place.
                scanner.shape()?;
                let at = scanner.at();
                self.data = Some((at, scanner.value().map_err(|refusal| refusal.within("/data"))?));
                return Ok(());
            }
        };
        *member = text(scanner, || pointer(name))?;
        Ok(())
    }

    fn data(&self, body: &Bytes, depth: u32) -> Read<Bytes> {
        let content_type = self.draft.content_type.as_deref().unwrap_or(JSON);
        match (self.data, &self.base64) {
            (None, None) => Ok(Bytes::new()),
            (Some((at, value)), None) => from_json(value, content_type, body).map_err(|refusal| refusal.at(at)),
            (None, Some(encoded)) => from_base64(encoded, content_type, depth),
            (Some(_), Some(_)) => {
                Err(Refusal::field("/data_base64", "is there besides /data; an event has one of them"))
            }
        }
    }
}

/// Checks what CloudEvents 1.0 requires of every event (section 3.1.1). Its id is the producer's
/// to give, so that nothing stands in for it.
fn required(version: Option<&str>, draft: &Draft<'_>, place: impl Fn(&str) -> String) -> Read<()> {
    match version {
        Some(VERSION) => {}
        Some(other) => {
            let reason = format!("is {other:?}; only \"{VERSION}\" is known");
            return Err(Refusal::field(place("specversion"), reason));
        }
        None => return Err(missing(place("specversion"))),
    }
    for (name, value) in [("id", &draft.id), ("source", &draft.source), ("type", &draft.event_type)] {
        if value.is_none() {
            return Err(missing(place(name)));
        }
    }
    Ok(())
}

#[cold]
fn missing(field: String) -> Box<Refusal> {
    Refusal::field(field, "is missing; CloudEvents 1.0 requires specversion, id, source and type")
}

/// The data that a `data` member means (JSON event format, section 3.1.1): itself if the event's
/// data is JSON, else the text in the string that it is.
fn from_json(value: &str, content_type: &str, body: &Bytes) -> Read<Bytes> {
    if is_json(content_type) {
        return Ok(body.slice_ref(value.as_bytes()));
    }
    let mut scanner = Scanner::new(value, 0, 0);
    if scanner.shape()? != Shape::String {
        let reason = format!("must be a string, as the datacontenttype is {content_type:?} and not JSON");
        return Err(Refusal::field("/data", reason));
    }
    let half = |_| Refusal::field("/data", "has half of a surrogate pair, which is no character");
    Ok(match scanner.string().map_err(half)? {
        Cow::Borrowed(text) => body.slice_ref(text.as_bytes()),
        Cow::Owned(text) => text.into(),
    })
}

fn from_base64(encoded: &str, content_type: &str, depth: u32) -> Read<Bytes> {
    let wrong = |why: String| Refusal::field("/data_base64", why);
    let data = STANDARD.decode(encoded).map_err(|error| wrong(format!("is not base64 (RFC 4648): {error}")))?;
    check_json(&data, content_type, depth).map_err(|refusal| {
        wrong(match *refusal {
            Refusal::Malformed { at, what } => {
                format!("does not hold the JSON that it should: {what} at its byte {at}")
            }
            Refusal::Field { reason, .. } => reason,
            Refusal::EventTooLarge { bytes, .. } => format!("holds {bytes} bytes, which is too much"),
            Refusal::TooManyEvents => "holds too many events".to_owned(),
        })
    })?;
    Ok(data.into())
}

/// Checks that data of a JSON media type is JSON. No data at all is good with any type.
fn check_json(data: &[u8], content_type: &str, depth: u32) -> Read<()> {
    if data.is_empty() || !is_json(content_type) {
        return Ok(());
    }
    let text = str::from_utf8(data)
        .map_err(|error| Refusal::malformed(error.valid_up_to(), "expected UTF-8 but found another byte"))?;
    let mut scanner = Scanner::new(text, 0, depth);
    scanner.value().map_err(|refusal| refusal.within("/data"))?;
    scanner.end()
}

/// Reads one event of binary mode (HTTP protocol binding, section 3.1): its data is the body.
pub(crate) fn read_binary<'a>(headers: &'a HeaderMap, body: &Bytes, depth: u32) -> Read<Draft<'a>> {
    let mut draft = Draft { data: body.clone(), ..Draft::default() };
    let mut version = None;
    for (header, value) in headers {
        if let Some(name) = header.as_str().strip_prefix(PREFIX) {
            read_header(&mut draft, &mut version, name, value.as_bytes())
                .map_err(|reason| Refusal::field(header.as_str(), reason))?;
        }
    }
    let extensions = draft.attributes.keys().filter(|name| counts_as_attribute(name)).count();
    if extensions > MAX_ATTRIBUTES {
        let reason = format!("headers are {extensions}; at most {MAX_ATTRIBUTES} extensions are taken");
        return Err(Refusal::field("ce-*", reason));
    }
    required(version.as_deref(), &draft, |name| format!("{PREFIX}{name}"))?;
    draft.content_type = Some(content_type(headers, body)?);
    check_json(body, draft.content_type.as_deref().unwrap_or(JSON), depth)?;
    Ok(draft)
}

/// Reads the header `ce-<name>`; fails with what is wrong with it.
fn read_header<'a>(
    draft: &mut Draft<'a>,
    version: &mut Option<Cow<'a, str>>,
    name: &str,
    raw: &'a [u8],
) -> Result<(), String> {
    let value = header_text(raw)?;
    let member = match name {
        "specversion" => version,
        "id" => &mut draft.id,
        "source" => &mut draft.source,
        "type" => &mut draft.event_type,
        "subject" => &mut draft.subject,
        "time" => &mut draft.time,
        "partitionkey" => &mut draft.key,
        TENANT_ATTRIBUTE => &mut draft.tenant,
        "datacontenttype" => {
            return Err("must not be there: the data's type is the Content-Type (HTTP binding, section 3.1.1)".into());
        }
        _ => return draft.insert(name, value.into()),
    };
    if member.replace(value).is_some() { Err(TWICE.into()) } else { Ok(()) }
}

fn content_type<'a>(headers: &'a HeaderMap, body: &Bytes) -> Read<Cow<'a, str>> {
    match headers.get(header::CONTENT_TYPE) {
        // As in the structured mode of the same event, which needs no type for no data.
        None if body.is_empty() => Ok(JSON.into()),
        // RFC 9110, section 8.3: what a receiver may assume.
        None => Ok("application/octet-stream".into()),
        Some(value) => match str::from_utf8(value.as_bytes()) {
            Ok(value) => Ok(value.into()),
            Err(_) => Err(Refusal::field("content-type", "is not UTF-8")),
        },
    }
}

/// The value that a header means (HTTP binding, section 3.1.3.2): out of its double quotes, if it
/// has any, and percent-decoded once.
fn header_text(raw: &[u8]) -> Result<Cow<'_, str>, &'static str> {
    let unquoted = match raw.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")) {
        Some(quoted) => Cow::Owned(unquote(quoted)),
        None => Cow::Borrowed(raw),
    };
    let not_utf8 = "does not decode to UTF-8";
    match unquoted {
        Cow::Borrowed(raw) => percent_decode(raw).decode_utf8().map_err(|_| not_utf8),
        Cow::Owned(raw) => match percent_decode(&raw).decode_utf8() {
            Ok(text) => Ok(Cow::Owned(text.into_owned())),
            Err(_) => Err(not_utf8),
        },
    }
}

fn unquote(quoted: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(quoted.len());
    let mut bytes = quoted.iter();
    while let Some(&byte) = bytes.next() {
        text.push(if byte == b'\\' { *bytes.next().unwrap_or(&byte) } else { byte });
    }
    text
}
