//! Events as they are read: bounded, each with an id, in groups that fill a request.

use super::pieces::{MAX_EVENT_BYTES, Piece, Pieces};
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::io::{self, Read};
use tokio::sync::mpsc;

/// The most bytes of a group: half of what a server takes by default, so that ids fit in too.
const MAX_GROUP_BYTES: usize = 4 << 20;
/// Groups read ahead while one is on its way.
const GROUPS_AHEAD: usize = 2;
/// What is read at once. A group ends where the next line would have to be waited for, so that this
/// should hold a few hundred events.
const BUFFER_BYTES: usize = 1 << 20;

/// An event on its way: what is sent, and where it stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// From 1: the line, blank ones counted; or which element of an array.
    pub(super) number: u64,
    /// The event as JSON with an id, without a line break.
    pub(super) json: Vec<u8>,
    /// Whether it is a CloudEvent, and to be sent as one.
    pub(super) is_cloud_event: bool,
}

/// Lines that were there to be read without waiting, up to a request's worth.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) lines: Vec<Line>,
    /// Those that cannot be sent, and why.
    pub(super) refused: Vec<(u64, String)>,
    /// What the numbers count: lines or events.
    pub(super) noun: &'static str,
    /// Bytes read for it.
    pub(super) read: u64,
}

/// Reads `input` in a thread of its own (reading a pipe blocks) until its end or until nobody
/// listens any more.
pub(super) fn read(input: impl Read + Send + 'static, run: String, most: usize) -> mpsc::Receiver<io::Result<Group>> {
    let (groups, receiver) = mpsc::channel(GROUPS_AHEAD);
    std::thread::spawn(move || {
        let mut reader = Reader { pieces: Pieces::new(input, BUFFER_BYTES), number: 0, run, most, broken: false };
        while let Some(group) = reader.group().transpose() {
            let failed = group.is_err();
            if groups.blocking_send(group).is_err() || failed {
                break;
            }
        }
    });
    receiver
}

struct Reader<R> {
    pieces: Pieces<R>,
    number: u64,
    run: String,
    most: usize,
    /// Whether the rest of the input makes no sense.
    broken: bool,
}

impl<R: Read> Reader<R> {
    /// The next group; `None` at the end.
    fn group(&mut self) -> io::Result<Option<Group>> {
        let mut group = Group::default();
        let (mut bytes, mut raw) = (0, Vec::new());
        while group.lines.len() < self.most && bytes < MAX_GROUP_BYTES && !self.broken {
            raw.clear();
            let (piece, read) = self.pieces.next(&mut raw)?;
            group.read += read;
            let prepared = match piece {
                Piece::End => break,
                Piece::Event => prepare(&raw, self.number + 1, &self.run),
                Piece::TooLong => Err(format!("has more than {MAX_EVENT_BYTES} bytes")),
                Piece::Broken(why) => {
                    self.broken = true;
                    Err(why.to_owned())
                }
            };
            self.number += 1;
            match prepared {
                Ok(Some(line)) => {
                    bytes += line.json.len();
                    group.lines.push(line);
                }
                Ok(None) => {}
                Err(why) => group.refused.push((self.number, why)),
            }
            if !self.pieces.has_more_at_hand() {
                break;
            }
        }
        group.noun = self.pieces.noun();
        let found = group.read > 0 || !group.refused.is_empty();
        Ok(found.then_some(group))
    }
}

/// The event with an id; `None` for a blank line.
pub(super) fn prepare(raw: &[u8], number: u64, run: &str) -> Result<Option<Line>, String> {
    let raw = raw.strip_prefix(b"\xef\xbb\xbf").filter(|_| number == 1).unwrap_or(raw).trim_ascii();
    if raw.is_empty() {
        return Ok(None);
    }
    let text =
        std::str::from_utf8(raw).map_err(|e| format!("is not UTF-8 text, from byte {} on", e.valid_up_to() + 1))?;
    let mut json = serde_json::Deserializer::from_str(text);
    let fields = json.deserialize_any(Look).and_then(|fields| json.end().map(|()| fields));
    let fields = fields.map_err(|e| match e.classify() {
        serde_json::error::Category::Data => e.to_string().split(" at line ").next().unwrap_or_default().to_owned(),
        _ => format!("is not JSON: {}", e.to_string().replace(" at line 1 column ", " at column ")),
    })?;
    let line = |json: Vec<u8>| Some(Line { number, json, is_cloud_event: fields.specversion });
    // What is missing of a CloudEvent the server says: its id is the producer's to give.
    if fields.id || fields.specversion {
        return Ok(line(text.into()));
    }
    let id = serde_json::to_string(&format!("{run}-{number}")).map_err(|e| e.to_string())?;
    let comma = if fields.any { "," } else { "" };
    let mut with_id = format!("{{\"id\":{id}{comma}").into_bytes();
    with_id.extend_from_slice(text.get(1..).unwrap_or_default().as_bytes());
    Ok(line(with_id))
}

/// What matters of an object's fields.
struct Fields {
    any: bool,
    id: bool,
    specversion: bool,
}

/// Goes over an object and keeps nothing of it.
struct Look;

impl<'de> Visitor<'de> for Look {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event: a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = Fields { any: false, id: false, specversion: false };
        while let Some(name) = map.next_key::<Cow<'_, str>>()? {
            fields.any = true;
            fields.id |= name == "id";
            fields.specversion |= name == "specversion";
            map.next_value::<IgnoredAny>()?;
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests;
