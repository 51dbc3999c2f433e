//! What a request carries, by its headers.

use crate::problem::{Kind, Problem};
use http::{HeaderMap, header};

/// Where a request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// `/v1/events`.
    Events,
    /// `/v1/events/batch`.
    Batch,
}

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Media {
    /// One event in Laneway's JSON.
    Event,
    /// An array of those.
    Events,
    /// One of those on each line.
    Lines,
    /// One event in CloudEvents JSON.
    CloudEvent,
    /// An array of those.
    CloudEvents,
    /// The data of one event whose attributes are the `ce-` headers.
    Binary,
}

impl Media {
    /// Whether it can be more than one event.
    pub(crate) fn is_batch(self) -> bool {
        matches!(self, Self::Events | Self::Lines | Self::CloudEvents)
    }

    /// What the body of a request with these headers is.
    pub(crate) fn of(headers: &HeaderMap, door: Door) -> Result<Self, Box<Problem>> {
        if let Some(coding) = headers.get(header::CONTENT_ENCODING)
            && !coding.as_bytes().eq_ignore_ascii_case(b"identity")
        {
            let what = format!("the body is encoded as {coding:?}; send it without Content-Encoding");
            return Err(Problem::new(Kind::UnsupportedMedia, what).about("content-encoding"));
        }
        let given = headers.get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
        if given == b"application/json" && door == Door::Batch {
            return Ok(Self::Events);
        }
        let (essence, parameters) = split(given);
        let is_cloud_event = begins(essence, b"application/cloudevents");
        if door == Door::Events && !is_cloud_event && is_binary(headers) {
            return Ok(Self::Binary);
        }
        let found = Self::of_essence(essence, door).filter(|_| is_utf8(parameters));
        found.ok_or_else(|| unsupported(given, door))
    }

    /// What a body of this media type, without its parameters, is at that door.
    fn of_essence(essence: &[u8], door: Door) -> Option<Self> {
        let has = |name: &str| essence.eq_ignore_ascii_case(name.as_bytes());
        if has("application/cloudevents-batch+json") {
            Some(Self::CloudEvents)
        } else if has("application/cloudevents+json") {
            (door == Door::Events).then_some(Self::CloudEvent)
        } else if has("application/json") {
            Some(if door == Door::Events { Self::Event } else { Self::Events })
        } else if has("application/x-ndjson") || has("application/ndjson") {
            (door == Door::Batch).then_some(Self::Lines)
        } else {
            None
        }
    }
}

/// Whether data of this media type is JSON: `*/json`, or any with the suffix `+json`.
pub(crate) fn is_json(content_type: &str) -> bool {
    let (essence, _) = split(content_type.as_bytes());
    let ends = |end: &[u8]| {
        essence.len().checked_sub(end.len()).is_some_and(|start| essence[start..].eq_ignore_ascii_case(end))
    };
    ends(b"/json") || ends(b"+json")
}

fn split(content_type: &[u8]) -> (&[u8], &[u8]) {
    let end = content_type.iter().position(|b| *b == b';').unwrap_or(content_type.len());
    (content_type[..end].trim_ascii(), &content_type[end..])
}

fn begins(text: &[u8], start: &[u8]) -> bool {
    text.get(..start.len()).is_some_and(|text| text.eq_ignore_ascii_case(start))
}

fn is_binary(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| name.as_str().starts_with("ce-"))
}

/// Whether the parameters leave the text in UTF-8, the only encoding that JSON has (RFC 8259, 8.1).
fn is_utf8(parameters: &[u8]) -> bool {
    let Ok(parameters) = str::from_utf8(parameters) else { return false };
    parameters.split(';').all(|parameter| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let value = value.trim().trim_matches('"');
        let utf8 = ["utf-8", "utf8", "us-ascii"].iter().any(|known| value.eq_ignore_ascii_case(known));
        !name.trim().eq_ignore_ascii_case("charset") || utf8
    })
}

fn taken_at(given: &str, door: Door) -> bool {
    let (essence, parameters) = split(given.as_bytes());
    is_utf8(parameters) && Media::of_essence(essence, door).is_some()
}

/// One line: what was sent, and what to send instead.
#[cold]
fn unsupported(given: &[u8], door: Door) -> Box<Problem> {
    let given = String::from_utf8_lossy(given);
    let what = match (&*given, door) {
        // curl -d says so when nobody says anything else.
        ("" | "application/x-www-form-urlencoded", Door::Events) => {
            "say what the body is: add the header Content-Type: application/json".to_owned()
        }
        ("" | "application/x-www-form-urlencoded", Door::Batch) => {
            "say what the body is: add the header Content-Type: application/x-ndjson (an event a line), or \
             application/json (an array)"
                .to_owned()
        }
        (given, Door::Events) if taken_at(given, Door::Batch) => {
            format!("a body of {given:?} goes to /v1/events/batch")
        }
        (given, Door::Batch) if taken_at(given, Door::Events) => {
            format!("a body of {given:?} goes to /v1/events")
        }
        (given, Door::Events) => format!(
            "{given:?} is not taken: send application/json or application/cloudevents+json, in UTF-8 (any type with \
             ce- headers)"
        ),
        (given, Door::Batch) => format!(
            "{given:?} is not taken: send application/x-ndjson, application/json (an array) or \
             application/cloudevents-batch+json, in UTF-8"
        ),
    };
    Problem::new(Kind::UnsupportedMedia, what).about("content-type")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn media(content_type: &str, door: Door) -> Option<Media> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, content_type.parse().unwrap());
        Media::of(&headers, door).ok()
    }

    #[test]
    fn the_media_type_and_the_door_say_what_the_body_is() {
        use Media::*;
        for (content_type, at_events, at_batch) in [
            ("application/json", Some(Event), Some(Events)),
            ("Application/JSON ; Charset=\"UTF-8\"", Some(Event), Some(Events)),
            ("application/json; charset=latin1", None, None),
            ("application/x-ndjson", None, Some(Lines)),
            ("application/ndjson", None, Some(Lines)),
            ("application/cloudevents+json; charset=utf-8", Some(CloudEvent), None),
            ("application/cloudevents-batch+json", Some(CloudEvents), Some(CloudEvents)),
            ("application/cloudevents+avro", None, None),
            ("text/plain", None, None),
            ("", None, None),
        ] {
            assert_eq!(media(content_type, Door::Events), at_events, "{content_type}");
            assert_eq!(media(content_type, Door::Batch), at_batch, "{content_type}");
        }
    }

    #[test]
    fn what_is_not_taken_is_answered_with_what_to_send_in_one_line() {
        let detail = |given: &str, door| unsupported(given.as_bytes(), door).body.detail;
        for (given, at_events, at_batch) in [
            ("", "add the header Content-Type: application/json", "application/x-ndjson (an event a line)"),
            // What curl -d says by itself.
            ("application/x-www-form-urlencoded", "add the header Content-Type: application/json", "add the header"),
            ("application/x-ndjson", "goes to /v1/events/batch", "is not taken"),
            ("application/cloudevents+json", "is not taken", "goes to /v1/events"),
            ("text/plain", "send application/json or", "send application/x-ndjson, application/json (an array) or"),
            ("application/json; charset=latin1", "in UTF-8", "in UTF-8"),
        ] {
            for (door, expected) in [(Door::Events, at_events), (Door::Batch, at_batch)] {
                let said = detail(given, door);
                assert!(said.contains(expected), "{given}: {said}");
                assert!(said.chars().count() <= 180 && !said.contains('\n'), "{given}: {said}");
            }
        }
    }

    #[test]
    fn json_is_known_by_its_subtype() {
        for json in ["application/json", "text/JSON; x=y", "application/vnd.a+json", "a/b+JSON ;c"] {
            assert!(is_json(json), "{json}");
        }
        for other in ["json", "text/plain", "application/jsonx", "application/x-ndjson", ""] {
            assert!(!is_json(other), "{other}");
        }
    }

    #[test]
    fn a_compressed_body_is_refused_before_it_is_read() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
        headers.insert(header::CONTENT_ENCODING, "gzip".parse().unwrap());
        assert!(Media::of(&headers, Door::Events).unwrap_err().body.detail.contains("gzip"));
    }
}
