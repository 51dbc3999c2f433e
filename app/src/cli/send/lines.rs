//! NDJSON as it is read: bounded lines, each with an id, in groups that fill a request.

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use tokio::sync::mpsc;

/// The longest line that is read; far beyond what any server takes, so that a file without line
/// breaks ends in a refusal and not in all of the memory.
const MAX_LINE_BYTES: usize = 16 << 20;
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
    /// From 1, blank lines counted.
    pub(super) number: u64,
    /// The event as JSON with an id, without a line break.
    pub(super) json: Vec<u8>,
}

/// Lines that were there to be read without waiting, up to a request's worth.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) lines: Vec<Line>,
    /// Lines that cannot be sent, and why.
    pub(super) refused: Vec<(u64, String)>,
    /// Bytes read for it.
    pub(super) read: u64,
}

/// Reads `input` in a thread of its own (reading a pipe blocks) until its end or until nobody
/// listens any more.
pub(super) fn read(input: impl Read + Send + 'static, run: String, most: usize) -> mpsc::Receiver<io::Result<Group>> {
    let (groups, receiver) = mpsc::channel(GROUPS_AHEAD);
    std::thread::spawn(move || {
        let mut reader = Reader { input: BufReader::with_capacity(BUFFER_BYTES, input), number: 0, run, most };
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
    input: BufReader<R>,
    number: u64,
    run: String,
    most: usize,
}

impl<R: Read> Reader<R> {
    /// The next group; `None` at the end.
    fn group(&mut self) -> io::Result<Option<Group>> {
        let mut group = Group::default();
        let (mut bytes, mut raw) = (0, Vec::new());
        while group.lines.len() < self.most && bytes < MAX_GROUP_BYTES {
            raw.clear();
            let read = self.line(&mut raw)?;
            if read == 0 {
                break;
            }
            group.read += read;
            self.number += 1;
            if raw.len() > MAX_LINE_BYTES {
                group.refused.push((self.number, format!("the line has more than {MAX_LINE_BYTES} bytes")));
                continue;
            }
            match prepare(&raw, self.number, &self.run) {
                Ok(Some(json)) => {
                    bytes += json.len();
                    group.lines.push(Line { number: self.number, json });
                }
                Ok(None) => {}
                Err(why) => group.refused.push((self.number, why)),
            }
            if !self.input.buffer().contains(&b'\n') {
                break;
            }
        }
        Ok((group.read > 0).then_some(group))
    }

    /// Reads one line, of which at most [`MAX_LINE_BYTES`] and one are kept; how many bytes it had.
    fn line(&mut self, raw: &mut Vec<u8>) -> io::Result<u64> {
        let kept = self.input.by_ref().take(MAX_LINE_BYTES as u64 + 1).read_until(b'\n', raw)? as u64;
        let mut read = kept;
        while kept > MAX_LINE_BYTES as u64 && raw.last() != Some(&b'\n') {
            let available = self.input.fill_buf()?;
            let end = available.iter().position(|b| *b == b'\n');
            let skipped = end.map_or(available.len(), |at| at + 1);
            self.input.consume(skipped);
            read += skipped as u64;
            if end.is_some() || skipped == 0 {
                break;
            }
        }
        Ok(read)
    }
}

/// The line with an id; `None` for a blank one.
pub(super) fn prepare(raw: &[u8], number: u64, run: &str) -> Result<Option<Vec<u8>>, String> {
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
    if fields.id {
        return Ok(Some(text.into()));
    }
    let id = serde_json::to_string(&format!("{run}-{number}")).map_err(|e| e.to_string())?;
    let comma = if fields.any { "," } else { "" };
    let mut with_id = format!("{{\"id\":{id}{comma}").into_bytes();
    with_id.extend_from_slice(text.get(1..).unwrap_or_default().as_bytes());
    Ok(Some(with_id))
}

/// What matters of an object's fields.
struct Fields {
    any: bool,
    id: bool,
}

/// Goes over an object and keeps nothing of it.
struct Look;

impl<'de> Visitor<'de> for Look {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event: a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = Fields { any: false, id: false };
        while let Some(name) = map.next_key::<Cow<'_, str>>()? {
            fields.any = true;
            fields.id |= name == "id";
            map.next_value::<IgnoredAny>()?;
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests;
