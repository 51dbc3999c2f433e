//! An event as it lies in the log: the value of the one field `e` of a stream entry.
//!
//! | bytes | what |
//! | --- | --- |
//! | 1 | version: 1, or 2 if an attribute is no text or there is a trace, or 3 if there is a tenant: what is as it always
//! was stays readable for processes that know version 1 only |
//! | 4 | CRC32C over the partition (4 bytes), from version 2 on the version, and everything behind this |
//! | 8 | accepted at, in milliseconds |
//! | 1 | flags: which of key, source, subject, time there are (bits 0 to 3); the content type is
//! `application/json` and left out (bit 4); the id is a UUID, and its 16 bytes are here (bit 5) |
//! | | id, key, type, content type, source, subject, time: each 2 bytes of length, and the text |
//! | 1 | how many attributes; each 1 byte of length and name, from version 2 on 1 byte of type (0 text, 1 integer,
//! 2 boolean), 2 bytes of length and the value's text |
//! | 25 | from version 2 on, if bit 6 of the flags is set: the trace (16 bytes of trace id, 8 of parent id, flags) |
//! | | in version 3: the tenant, 1 byte of length and the text |
//! | | the rest: data |
//!
//! Numbers are big-endian. `lua/log.lua` reads check, time, id and key out of it.
//!
//! A process writes the newest version that it needs and that every live process reads (see `processes`): beside one
//! that reads version 1 only, an event is written as that one would, with its attributes as text and without its trace.
//! Whose an event is cannot be left out: beside one that does not read version 3, an event of a tenant is refused for now.
//!
//! Every version begins with its number and the check, and from version 2 on the check covers the number too (between the
//! partition and everything behind the check). So a release can tell an entry that a newer one has written, which it must leave alone,
//! from one that is damaged, which it sets aside: a changed number is no newer version.

use bytes::{BufMut, Bytes, BytesMut};
use laneway_domain::{
    AttributeValue, Event, EventId, EventType, Key, LoggedEvent, Offset, Partition, Tenant, Timestamp, TraceParent,
};
use laneway_ports::StoreError;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

const VERSION: u8 = 1;
/// The version with typed attributes and a trace.
const VERSION_TYPED: u8 = 2;
/// The version with a tenant.
const VERSION_TENANT: u8 = 3;
/// The versions that this release reads: the oldest and the newest. It can write each of them.
pub(crate) const READS: [u8; 2] = [VERSION, VERSION_TENANT];
/// The first release that reads the newest of [`READS`].
pub(crate) const SINCE: &str = "0.1.0";
/// A version that there is not, in tests: what the next release may have. Like the one before, but of every event, and
/// with every byte of the data inverted: whoever took it for that one would be found out.
#[cfg(test)]
pub(crate) const VERSION_NEXT: u8 = 4;
const HAS_TRACE: u8 = 1 << 6;
/// What most events are; it need not be written in each.
const USUAL_CONTENT_TYPE: &str = "application/json";
const HAS_USUAL_CONTENT_TYPE: u8 = 1 << 4;
const ID_IS_UUID: u8 = 1 << 5;
/// Where the check is.
const CHECK: std::ops::Range<usize> = 1..5;
/// What the check covers, besides the partition.
const CHECKED_FROM: usize = 5;

/// Why an entry cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// It is not what was written. Says what is wrong with the bytes.
    Damaged(String),
    /// A newer release has written it, in this version; the second is the newest one that can be read.
    Newer(u8, u8),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged(what) => f.write_str(what),
            Self::Newer(version, newest) => write!(
                f,
                "a newer release of Laneway has written it (version {version}; this one reads up to {newest}): upgrade \
                 this process too"
            ),
        }
    }
}

impl From<&str> for Unreadable {
    fn from(what: &str) -> Self {
        Self::Damaged(what.to_owned())
    }
}

impl From<String> for Unreadable {
    fn from(what: String) -> Self {
        Self::Damaged(what)
    }
}

/// The field of a stream entry that holds the event.
pub(crate) const FIELD: &str = "e";

/// The bytes of an event that was accepted at `at`, in the version `newest` at most.
///
/// # Errors
/// [`StoreError::Refused`] if a text is too long for its length to be written, which [`Event::check`] would have refused;
/// [`StoreError::RetryLater`] if the event has a tenant, and a process that is there could not read that.
pub(crate) fn encode(partition: Partition, at: Timestamp, event: &Event, newest: u8) -> Result<Bytes, StoreError> {
    let optional =
        [event.key.as_ref().map(Key::as_str), event.source.as_deref(), event.subject.as_deref(), event.time.as_deref()];
    let usual = &*event.content_type == USUAL_CONTENT_TYPE;
    let uuid = uuid_of(event.id.as_str());
    let mut flags: u8 = optional.iter().enumerate().map(|(bit, text)| u8::from(text.is_some()) << bit).sum();
    flags |= if usual { HAS_USUAL_CONTENT_TYPE } else { 0 } | if uuid.is_some() { ID_IS_UUID } else { 0 };
    let version = version_for(event, newest)?;
    let typed = version > VERSION;
    let trace = event.traceparent.filter(|_| typed);
    flags |= if trace.is_some() { HAS_TRACE } else { 0 };
    let mut out = BytesMut::with_capacity(event.weight());
    out.put_u8(version);
    out.put_u32(0);
    out.put_u64(at.as_millis());
    out.put_u8(flags);
    match uuid {
        Some(uuid) => out.put_u128(uuid),
        None => put_text(&mut out, event.id.as_str())?,
    }
    let [key, rest @ ..] = optional;
    let content_type = (!usual).then_some(&*event.content_type);
    let texts = [key, Some(event.event_type.as_str()), content_type].into_iter().chain(rest);
    for text in texts.flatten() {
        put_text(&mut out, text)?;
    }
    out.put_u8(u8::try_from(event.attributes.len()).map_err(|_| too_long("the list of attributes"))?);
    for (name, value) in &event.attributes {
        out.put_u8(u8::try_from(name.len()).map_err(|_| too_long("an attribute's name"))?);
        out.put_slice(name.as_bytes());
        if typed {
            out.put_u8(type_of(value));
        }
        put_text(&mut out, &value.text())?;
    }
    if let Some(trace) = trace {
        out.put_slice(&trace.to_bytes());
    }
    if version >= VERSION_TENANT {
        let tenant = event.tenant.as_ref().map_or("", Tenant::as_str);
        out.put_u8(u8::try_from(tenant.len()).map_err(|_| too_long("its tenant"))?);
        out.put_slice(tenant.as_bytes());
    }
    out.put_slice(&data_in(version, &event.data));
    let check = checksum(partition, version, out.get(CHECKED_FROM..).unwrap_or_default());
    if let Some(place) = out.get_mut(CHECK) {
        place.copy_from_slice(&check.to_be_bytes());
    }
    Ok(out.freeze())
}

/// The version that an event needs, of those up to `newest`: what an earlier one can say stays readable for those that
/// know no later one.
fn version_for(event: &Event, newest: u8) -> Result<u8, StoreError> {
    #[cfg(test)]
    if newest >= VERSION_NEXT {
        return Ok(VERSION_NEXT);
    }
    if event.tenant.is_some() {
        let what = "a process that shares the store is of a release that does not know tenants: events of a tenant are \
                    taken when all of them have been upgraded";
        return if newest >= VERSION_TENANT { Ok(VERSION_TENANT) } else { Err(StoreError::retry_later(what)) };
    }
    let all_text = event.attributes.values().all(|value| matches!(value, AttributeValue::Text(_)));
    let needed = if event.traceparent.is_some() || !all_text { VERSION_TYPED } else { VERSION };
    Ok(needed.min(newest))
}

/// An event's data as a version stores it, and back.
#[cfg(not(test))]
fn data_in(_: u8, data: &Bytes) -> Bytes {
    data.clone()
}

#[cfg(test)]
fn data_in(version: u8, data: &Bytes) -> Bytes {
    if version >= VERSION_NEXT { data.iter().map(|byte| !byte).collect() } else { data.clone() }
}

/// The check that an entry carries, right or not: what tells it from another entry at its place.
/// Bytes that are missing count as zero.
pub(crate) fn check_of(entry: &[u8]) -> u32 {
    let mut check = [0; 4];
    for (to, from) in check.iter_mut().zip(entry.iter().skip(CHECK.start)) {
        *to = *from;
    }
    u32::from_be_bytes(check)
}

/// The event of an entry, by a process that reads versions up to `newest`.
///
/// # Errors
/// Says why it cannot be read.
pub(crate) fn decode(
    partition: Partition,
    offset: Offset,
    entry: &[u8],
    newest: u8,
) -> Result<LoggedEvent, Unreadable> {
    let version = *entry.first().ok_or("the entry is empty")?;
    let body = entry.get(CHECKED_FROM..).ok_or("the entry is cut off")?;
    let (carried, found) = (check_of(entry), checksum(partition, version, body));
    if carried != found {
        return Err(format!("the checksum is {found:08x} and should be {carried:08x}: the entry was changed").into());
    }
    if !(VERSION..=newest).contains(&version) {
        return Err(Unreadable::Newer(version, newest));
    }
    let mut reader = Reader(body);
    let accepted_at = Timestamp::from_millis(reader.number(8)?);
    let mut event = reader.event(version).map_err(|what| format!("the entry cannot be understood: {what}"))?;
    event.data = data_in(version, &event.data);
    Ok(LoggedEvent { partition, offset, accepted_at, event })
}

/// The number that an id is if it is written as UUIDs are: 36 characters, small letters. (Any other
/// way to write one could not be told when it is read.)
fn uuid_of(id: &str) -> Option<u128> {
    let id = id.as_bytes();
    let is_hyphen = |at: usize| matches!(at, 8 | 13 | 18 | 23);
    if id.len() != 36 {
        return None;
    }
    id.iter().enumerate().try_fold(0_u128, |number, (at, byte)| match byte {
        b'-' if is_hyphen(at) => Some(number),
        b'0'..=b'9' if !is_hyphen(at) => Some(number << 4 | u128::from(byte - b'0')),
        b'a'..=b'f' if !is_hyphen(at) => Some(number << 4 | u128::from(byte - b'a' + 10)),
        _ => None,
    })
}

fn uuid_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The check of an entry: that of version 1 does not cover the number of the version, those of all later ones do.
fn checksum(partition: Partition, version: u8, body: &[u8]) -> u32 {
    let partition = crc32c::crc32c(&partition.0.to_be_bytes());
    let before = if version == VERSION { partition } else { crc32c::crc32c_append(partition, &[version]) };
    crc32c::crc32c_append(before, body)
}

fn put_text(out: &mut BytesMut, text: &str) -> Result<(), StoreError> {
    out.put_u16(u16::try_from(text.len()).map_err(|_| too_long("a field"))?);
    out.put_slice(text.as_bytes());
    Ok(())
}

fn type_of(value: &AttributeValue) -> u8 {
    match value {
        AttributeValue::Text(_) => 0,
        AttributeValue::Integer(_) => 1,
        AttributeValue::Boolean(_) => 2,
    }
}

/// The value of the type that [`type_of`] gives this number.
fn attribute(kind: u64, text: &str) -> Result<AttributeValue, String> {
    let wrong = || format!("{text:?} is no attribute of type {kind}");
    match kind {
        0 => Ok(text.into()),
        1 => text.parse().map(AttributeValue::Integer).map_err(|_| wrong()),
        2 => text.parse().map(AttributeValue::Boolean).map_err(|_| wrong()),
        _ => Err(wrong()),
    }
}

fn too_long(what: &str) -> StoreError {
    StoreError::refused(format!("{what} of the event is too long to be stored"))
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or("it ends too early")?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self, bytes: usize) -> Result<u64, String> {
        Ok(self.take(bytes)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn text(&mut self, length_bytes: usize) -> Result<&'a str, String> {
        let length = usize::try_from(self.number(length_bytes)?).unwrap_or(usize::MAX);
        std::str::from_utf8(self.take(length)?).map_err(|error| error.to_string())
    }

    fn optional(&mut self, there: bool) -> Result<Option<&'a str>, String> {
        if there { self.text(2).map(Some) } else { Ok(None) }
    }

    fn event(&mut self, version: u8) -> Result<Event, String> {
        let typed = version > VERSION;
        let wrong = |error: laneway_domain::InvalidEvent| error.to_string();
        let flags = u8::try_from(self.number(1)?).unwrap_or(0);
        let id = if flags & ID_IS_UUID == 0 { self.text(2)?.to_owned() } else { uuid_text(self.take(16)?) };
        let id = EventId::new(&id).map_err(wrong)?;
        let key = self.optional(flags & 1 != 0)?.map(Key::new).transpose().map_err(wrong)?;
        let event_type = EventType::new(self.text(2)?).map_err(wrong)?;
        let content_type =
            if flags & HAS_USUAL_CONTENT_TYPE == 0 { self.text(2)?.into() } else { USUAL_CONTENT_TYPE.into() };
        let source = self.optional(flags & 2 != 0)?.map(Into::into);
        let subject = self.optional(flags & 4 != 0)?.map(Into::into);
        let time = self.optional(flags & 8 != 0)?.map(Into::into);
        let mut attributes = BTreeMap::new();
        for _ in 0..self.number(1)? {
            let name = self.text(1)?.into();
            let kind = if typed { self.number(1)? } else { 0 };
            attributes.insert(name, attribute(kind, self.text(2)?)?);
        }
        let traceparent = if typed && flags & HAS_TRACE != 0 {
            Some(TraceParent::from_bytes(self.take(TraceParent::BYTES)?).ok_or("its trace has no id")?)
        } else {
            None
        };
        let tenant = match version {
            ..VERSION_TENANT => None,
            _ => Some(self.text(1)?).filter(|tenant| !tenant.is_empty()),
        };
        let tenant = tenant.map(Tenant::new).transpose().map_err(|error| error.to_string())?;
        // A copy, so that a small event does not keep the whole of a large answer in memory.
        let data = Bytes::copy_from_slice(self.0);
        Ok(Event { id, event_type, tenant, key, source, subject, time, content_type, attributes, traceparent, data })
    }
}

#[cfg(test)]
mod tests;
