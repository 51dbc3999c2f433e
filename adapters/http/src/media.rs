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
        let has = |name: &str| essence.eq_ignore_ascii_case(name.as_bytes());
        let found = if has("application/cloudevents-batch+json") {
            Some(Self::CloudEvents)
        } else if has("application/cloudevents+json") {
            (door == Door::Events).then_some(Self::CloudEvent)
        } else if door == Door::Events && !begins(essence, b"application/cloudevents") && is_binary(headers) {
            return Ok(Self::Binary);
        } else if has("application/json") {
            Some(if door == Door::Events { Self::Event } else { Self::Events })
        } else if has("application/x-ndjson") || has("application/ndjson") {
            (door == Door::Batch).then_some(Self::Lines)
        } else {
            None
        };
        match found {
            Some(media) if is_utf8(parameters) => Ok(media),
            _ => Err(unsupported(given, door)),
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

#[cold]
fn unsupported(given: &[u8], door: Door) -> Box<Problem> {
    let given = match given {
        b"" => "the request has no Content-Type".into(),
        given => format!("the Content-Type is {:?}", String::from_utf8_lossy(given)),
    };
    let taken = match door {
        Door::Events => {
            "/v1/events takes application/json, application/cloudevents+json, application/cloudevents-batch+json (all \
             in UTF-8), or any type with the headers of a CloudEvent (ce-id, ce-source, ce-type, ce-specversion); \
             /v1/events/batch takes arrays and lines"
        }
        Door::Batch => {
            "/v1/events/batch takes application/json (an array), application/x-ndjson and \
             application/cloudevents-batch+json (all in UTF-8); /v1/events takes single events"
        }
    };
    Problem::new(Kind::UnsupportedMedia, format!("{given}; {taken}")).about("content-type")
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
