//! Laneway's own JSON: one event as an object.
//!
//! ```json
//! {"id":"evt_1", "type":"order.paid", "key":"order-7", "data":{}, "source":"shop", "subject":"7",
//!  "time":"2026-01-31T12:00:00Z", "attributes":{"region":"eu"}, "tenant":"acme"}
//! ```
//! Only `type` is required, and `null` is the same as absent. `data` is kept byte for byte; an
//! event without it has the data `null`, so that a receiver always gets the JSON that the media
//! type promises. Attributes are strings, booleans and integers, and stay what they are.

use crate::draft::{Draft, TWICE};
use crate::json::{Scanner, Shape};
use crate::refusal::{Read, Refusal, pointer};
use bytes::Bytes;
use laneway_domain::AttributeValue;
use std::borrow::Cow;
use std::mem;

pub(crate) const FIELDS: [&str; 9] = ["id", "type", "key", "data", "source", "subject", "time", "attributes", "tenant"];
/// How many letters may be wrong in a name for another to be suggested.
const NEAR: usize = 2;

/// Reads one event. `body` is what the scanner reads from: the data goes on as a part of it.
pub(crate) fn read<'a>(scanner: &mut Scanner<'a>, body: &Bytes) -> Read<Draft<'a>> {
    object_expected(scanner)?;
    let mut draft = Draft { data: Bytes::from_static(b"null"), ..Draft::default() };
    let mut seen = [false; FIELDS.len()];
    scanner.object(|scanner, name, at| {
        let Some(field) = FIELDS.iter().position(|known| *known == name) else {
            return Err(unknown(&name).at(at));
        };
        if mem::replace(&mut seen[field], true) {
            return Err(Refusal::field(pointer(&name), TWICE).at(at));
        }
        let member = match FIELDS[field] {
            "id" => &mut draft.id,
            "type" => &mut draft.event_type,
            "key" => &mut draft.key,
            "source" => &mut draft.source,
            "subject" => &mut draft.subject,
            "time" => &mut draft.time,
            "tenant" => &mut draft.tenant,
            "attributes" => return attributes(scanner, &mut draft),
            _ => {
                let value = scanner.value().map_err(|refusal| refusal.within("/data"))?;
                draft.data = body.slice_ref(value.as_bytes());
                return Ok(());
            }
        };
        *member = text(scanner, || pointer(&name))?;
        Ok(())
    })?;
    Ok(draft)
}

/// Checks that an object comes next.
pub(crate) fn object_expected(scanner: &mut Scanner<'_>) -> Read<()> {
    match scanner.shape()? {
        Shape::Object => Ok(()),
        Shape::Array => {
            let reason = "is an array; an event is an object, and several of them go to /v1/events/batch";
            Err(Refusal::field("", reason).at(scanner.at()))
        }
        shape => Err(Refusal::field("", format!("is {shape}; an event is an object")).at(scanner.at())),
    }
}

/// Reads a string, or `null` as none.
pub(crate) fn text<'a>(scanner: &mut Scanner<'a>, field: impl Fn() -> String) -> Read<Option<Cow<'a, str>>> {
    match scanner.shape()? {
        Shape::String => scanner.string().map(Some),
        Shape::Null => scanner.null().map(|()| None),
        shape => Err(Refusal::field(field(), format!("is {shape}; it must be a string")).at(scanner.at())),
    }
}

/// Reads an attribute's value: a string, a boolean or an integer (CloudEvents 1.0, section 3.1); `null` as none.
pub(crate) fn attribute_value(scanner: &mut Scanner<'_>, field: impl Fn() -> String) -> Read<Option<AttributeValue>> {
    let shape = scanner.shape()?;
    let at = scanner.at();
    match shape {
        Shape::String => scanner.string().map(|text| Some(text.into())),
        Shape::Null => scanner.null().map(|()| None),
        Shape::Boolean => scanner.value().map(|text| Some((text == "true").into())),
        Shape::Number => match scanner.value()?.parse::<i32>() {
            Ok(integer) => Ok(Some(integer.into())),
            Err(_) => {
                let reason = "is a number that CloudEvents has no attribute type for (a whole one of 32 bits); \
                              send it as a string";
                Err(Refusal::field(field(), reason).at(at))
            }
        },
        shape => Err(Refusal::field(field(), format!("is {shape}; it must be a string, boolean or integer")).at(at)),
    }
}

fn attributes<'a>(scanner: &mut Scanner<'a>, draft: &mut Draft<'a>) -> Read<()> {
    match scanner.shape()? {
        Shape::Object => scanner.object(|scanner, name, at| {
            let field = || format!("/attributes{}", pointer(&name));
            match attribute_value(scanner, field)? {
                Some(value) => draft.attribute(&name, value, field).map_err(|refusal| refusal.at(at)),
                None => Ok(()),
            }
        }),
        Shape::Null => scanner.null(),
        shape => Err(Refusal::field("/attributes", format!("is {shape}; it must be an object")).at(scanner.at())),
    }
}

#[cold]
fn unknown(name: &str) -> Box<Refusal> {
    let nearest = FIELDS
        .iter()
        .map(|field| (strsim::damerau_levenshtein(field, &name.to_lowercase()), field))
        .min()
        .filter(|(distance, field)| *distance <= NEAR && *distance < field.len());
    let reason = match (nearest, name) {
        (Some((_, field)), _) => format!("is not a field of an event; did you mean `{field}`?"),
        (None, "specversion" | "datacontenttype" | "partitionkey" | "data_base64") => {
            "is a field of CloudEvents; send those as application/cloudevents+json".into()
        }
        (None, _) => format!(
            "is not a field of an event; its fields are {}. Facts of your own go into `data` or `attributes`",
            FIELDS.join(", ")
        ),
    };
    Refusal::field(pointer(name), reason)
}
