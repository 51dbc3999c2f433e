//! An event as a row: its columns, and the checksum over them.

use crate::schema::EVENT_COLUMNS;
use bytes::Bytes;
use laneway_domain::{Event, EventId, EventType, Key, LoggedEvent, Offset, Partition, Timestamp};
use rusqlite::types::ValueRef;
use rusqlite::{Row, Statement};
use std::collections::BTreeMap;

/// Stands for the length of a field that is not there.
const ABSENT: u32 = u32::MAX;

/// Room that is used again for each row, so that none is allocated for it.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    checked: Vec<u8>,
    attributes: Vec<u8>,
}

impl Scratch {
    fn number(&mut self, number: u64) {
        self.checked.extend_from_slice(&number.to_le_bytes());
    }

    fn text(&mut self, text: Option<&str>) {
        let length = text.map_or(ABSENT, |text| u32::try_from(text.len()).unwrap_or(ABSENT - 1));
        self.checked.extend_from_slice(&length.to_le_bytes());
        self.checked.extend_from_slice(text.unwrap_or_default().as_bytes());
    }

    /// CRC32C over the place, the moment and all fields, each with its length, so that no two
    /// events read the same.
    fn checksum(&mut self, logged: &LoggedEvent) -> u32 {
        let event = &logged.event;
        self.checked.clear();
        self.number(u64::from(logged.partition.0));
        self.number(logged.offset.0);
        self.number(logged.accepted_at.as_millis());
        self.text(Some(event.id.as_str()));
        self.text(Some(event.event_type.as_str()));
        self.text(event.key.as_ref().map(Key::as_str));
        self.text(event.source.as_deref());
        self.text(event.subject.as_deref());
        self.text(event.time.as_deref());
        self.text(Some(&event.content_type));
        self.number(event.attributes.len() as u64);
        for (name, value) in &event.attributes {
            self.text(Some(name));
            self.text(Some(value));
        }
        self.number(event.data.len() as u64);
        crc32c::crc32c_append(crc32c::crc32c(&self.checked), &event.data)
    }
}

/// The statement that inserts an event into its partition's table.
pub(crate) fn insert_sql(partition: usize) -> String {
    format!(
        "INSERT INTO event_{partition} (offset, {EVENT_COLUMNS}) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)"
    )
}

/// Inserts the event with a statement of [`insert_sql`].
pub(crate) fn insert(stmt: &mut Statement<'_>, logged: &LoggedEvent, scratch: &mut Scratch) -> rusqlite::Result<()> {
    let event = &logged.event;
    let crc = scratch.checksum(logged);
    let attributes = attributes_json(&event.attributes, &mut scratch.attributes)?;
    stmt.raw_bind_parameter(1, signed(logged.offset.0)?)?;
    stmt.raw_bind_parameter(2, event.id.as_str())?;
    stmt.raw_bind_parameter(3, event.event_type.as_str())?;
    stmt.raw_bind_parameter(4, event.key.as_ref().map(Key::as_str))?;
    stmt.raw_bind_parameter(5, event.source.as_deref())?;
    stmt.raw_bind_parameter(6, event.subject.as_deref())?;
    stmt.raw_bind_parameter(7, event.time.as_deref())?;
    stmt.raw_bind_parameter(8, event.content_type.as_ref())?;
    stmt.raw_bind_parameter(9, attributes)?;
    stmt.raw_bind_parameter(10, event.data.as_ref())?;
    stmt.raw_bind_parameter(11, moment(logged.accepted_at))?;
    stmt.raw_bind_parameter(12, i64::from(crc))?;
    stmt.raw_execute()?;
    Ok(())
}

fn attributes_json<'a>(
    attributes: &BTreeMap<Box<str>, Box<str>>,
    room: &'a mut Vec<u8>,
) -> rusqlite::Result<Option<&'a str>> {
    if attributes.is_empty() {
        return Ok(None);
    }
    room.clear();
    serde_json::to_writer(&mut *room, attributes).map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))?;
    std::str::from_utf8(room).map(Some).map_err(|error| rusqlite::Error::Utf8Error(9, error))
}

/// Reads the event whose [`EVENT_COLUMNS`] begin at column `first`. `Err` says what is wrong.
pub(crate) fn read(
    row: &Row<'_>,
    first: usize,
    partition: Partition,
    offset: Offset,
    scratch: &mut Scratch,
) -> Result<LoggedEvent, String> {
    let columns = Columns { row, first };
    let event = Event {
        id: EventId::new(columns.text(0)?).map_err(|e| e.to_string())?,
        event_type: EventType::new(columns.text(1)?).map_err(|e| e.to_string())?,
        key: columns.optional(2)?.map(Key::new).transpose().map_err(|e| e.to_string())?,
        source: columns.optional(3)?.map(Into::into),
        subject: columns.optional(4)?.map(Into::into),
        time: columns.optional(5)?.map(Into::into),
        content_type: columns.text(6)?.into(),
        attributes: match columns.optional(7)? {
            None => BTreeMap::new(),
            Some(json) => serde_json::from_str(json).map_err(|e| format!("the attributes are not JSON: {e}"))?,
        },
        data: Bytes::copy_from_slice(columns.bytes(8)?),
    };
    let accepted_at = instant(columns.number(9)?).ok_or("accepted_at is negative")?;
    let logged = LoggedEvent { partition, offset, accepted_at, event };
    let (stored, computed) = (columns.number(10)?, i64::from(scratch.checksum(&logged)));
    if stored == computed {
        return Ok(logged);
    }
    Err(format!("the checksum is {stored:#x} but the row's fields give {computed:#x}"))
}

struct Columns<'a> {
    row: &'a Row<'a>,
    first: usize,
}

impl<'a> Columns<'a> {
    fn value(&self, index: usize) -> Result<ValueRef<'a>, String> {
        self.row.get_ref(self.first + index).map_err(|e| e.to_string())
    }

    fn optional(&self, index: usize) -> Result<Option<&'a str>, String> {
        self.value(index)?.as_str_or_null().map_err(|e| format!("column {index}: {e}"))
    }

    fn text(&self, index: usize) -> Result<&'a str, String> {
        self.value(index)?.as_str().map_err(|e| format!("column {index}: {e}"))
    }

    fn bytes(&self, index: usize) -> Result<&'a [u8], String> {
        self.value(index)?.as_blob().map_err(|e| format!("column {index}: {e}"))
    }

    fn number(&self, index: usize) -> Result<i64, String> {
        self.value(index)?.as_i64().map_err(|e| format!("column {index}: {e}"))
    }
}

/// A number as SQLite keeps it. Its integers end at 2^63, which no offset reaches.
pub(crate) fn signed(number: u64) -> rusqlite::Result<i64> {
    i64::try_from(number).map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))
}

/// A moment as SQLite keeps it; its last is the moment that never comes.
pub(crate) fn moment(at: Timestamp) -> i64 {
    i64::try_from(at.as_millis()).unwrap_or(i64::MAX)
}

/// The moment that [`moment`] wrote.
pub(crate) fn instant(stored: i64) -> Option<Timestamp> {
    if stored == i64::MAX {
        return Some(Timestamp::MAX);
    }
    u64::try_from(stored).ok().map(Timestamp::from_millis)
}
