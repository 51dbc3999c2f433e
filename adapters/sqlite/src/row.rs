//! An event as a row: its columns, and the checksum over them.

mod checksum;

use crate::schema::EVENT_COLUMNS;
use bytes::Bytes;
use checksum::{Checked, Format, StoredColumns};
use laneway_domain::{
    AttributeValue, Event, EventId, EventType, Key, LoggedEvent, Offset, Partition, Tenant, Timestamp, TraceParent,
};
use rusqlite::types::ValueRef;
use rusqlite::{Row, Statement};
use std::collections::BTreeMap;

/// Room that is used again for each row, so that none is allocated for it.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    checked: Checked,
    attributes: Vec<u8>,
}

/// The statement that inserts an event into its partition's table.
pub(crate) fn insert_sql(partition: usize) -> String {
    format!(
        "INSERT INTO event_{partition} (offset, {EVENT_COLUMNS}) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)"
    )
}

/// Inserts the event with a statement of [`insert_sql`].
pub(crate) fn insert(stmt: &mut Statement<'_>, logged: &LoggedEvent, scratch: &mut Scratch) -> rusqlite::Result<()> {
    let event = &logged.event;
    let attributes = attributes_json(&event.attributes, &mut scratch.attributes)?;
    let traceparent = event.traceparent.map(|trace| trace.to_string());
    let accepted_at = moment(logged.accepted_at);
    let texts = [
        Some(event.id.as_str()),
        Some(event.event_type.as_str()),
        event.key.as_ref().map(Key::as_str),
        event.source.as_deref(),
        event.subject.as_deref(),
        event.time.as_deref(),
        Some(event.content_type.as_ref()),
        attributes,
        traceparent.as_deref(),
    ];
    let tenant = event.tenant.as_ref().map(Tenant::as_str);
    let (partition, offset, data) = (logged.partition, logged.offset, event.data.as_ref());
    let stored = StoredColumns { partition, offset, accepted_at, texts, data, tenant };
    let crc = scratch.checked.of_stored(&stored);
    stmt.raw_bind_parameter(1, signed(offset.0)?)?;
    let [columns @ .., traceparent] = texts;
    for (text, index) in columns.into_iter().zip(2..) {
        stmt.raw_bind_parameter(index, text)?;
    }
    stmt.raw_bind_parameter(10, data)?;
    stmt.raw_bind_parameter(11, accepted_at)?;
    stmt.raw_bind_parameter(12, i64::from(crc))?;
    stmt.raw_bind_parameter(13, stored.format().number())?;
    stmt.raw_bind_parameter(14, traceparent)?;
    stmt.raw_bind_parameter(15, tenant)?;
    stmt.raw_execute()?;
    Ok(())
}

fn attributes_json<'a>(
    attributes: &BTreeMap<Box<str>, AttributeValue>,
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
    let (accepted_at, crc) = (columns.number(9)?, columns.number(10)?);
    match Format::of(columns.number(11)?)? {
        format @ (Format::Stored | Format::Tenant) => {
            let mut texts = [None; 9];
            for (text, index) in texts.iter_mut().zip((0..8).chain([12])) {
                *text = columns.optional(index)?;
            }
            let tenant = columns.optional(13)?;
            let stored = StoredColumns { partition, offset, accepted_at, texts, data: columns.bytes(8)?, tenant };
            if stored.format() != format {
                return Err(format!("its format is {}, and its tenant {tenant:?}", format.number()));
            }
            compare(crc, scratch.checked.of_stored(&stored))?;
            columns.event(partition, offset, accepted_at, attributes)
        }
        Format::Fields => {
            let logged = columns.event(partition, offset, accepted_at, texts_only)?;
            compare(crc, scratch.checked.of_fields(&logged))?;
            Ok(logged)
        }
    }
}

fn compare(stored: i64, computed: u32) -> Result<(), String> {
    if stored == i64::from(computed) {
        return Ok(());
    }
    Err(format!("the checksum is {stored:#x} but the row's fields give {computed:#x}"))
}

type Attributes = BTreeMap<Box<str>, AttributeValue>;

fn attributes(json: &str) -> serde_json::Result<Attributes> {
    serde_json::from_str(json)
}

/// Attributes as they were before they had types.
fn texts_only(json: &str) -> serde_json::Result<Attributes> {
    let texts: BTreeMap<Box<str>, String> = serde_json::from_str(json)?;
    Ok(texts.into_iter().map(|(name, text)| (name, text.into())).collect())
}

struct Columns<'a> {
    row: &'a Row<'a>,
    first: usize,
}

impl<'a> Columns<'a> {
    fn event(
        &self,
        partition: Partition,
        offset: Offset,
        accepted_at: i64,
        attributes: impl FnOnce(&str) -> serde_json::Result<Attributes>,
    ) -> Result<LoggedEvent, String> {
        let trace = |text: &str| TraceParent::parse(text).ok_or_else(|| format!("{text:?} is no traceparent"));
        let event = Event {
            id: EventId::new(self.text(0)?).map_err(|e| e.to_string())?,
            event_type: EventType::new(self.text(1)?).map_err(|e| e.to_string())?,
            tenant: self.optional(13)?.map(Tenant::new).transpose().map_err(|e| e.to_string())?,
            key: self.optional(2)?.map(Key::new).transpose().map_err(|e| e.to_string())?,
            source: self.optional(3)?.map(Into::into),
            subject: self.optional(4)?.map(Into::into),
            time: self.optional(5)?.map(Into::into),
            content_type: self.text(6)?.into(),
            attributes: match self.optional(7)? {
                None => BTreeMap::new(),
                Some(json) => attributes(json).map_err(|e| format!("the attributes cannot be read: {e}"))?,
            },
            traceparent: self.optional(12)?.map(trace).transpose()?,
            data: Bytes::copy_from_slice(self.bytes(8)?),
        };
        let accepted_at = instant(accepted_at).ok_or("accepted_at is negative")?;
        Ok(LoggedEvent { partition, offset, accepted_at, event })
    }

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

/// A number to compare what is stored with, which may come from outside: nothing that is stored is beyond the largest.
pub(crate) fn compared(number: u64) -> i64 {
    signed(number).unwrap_or(i64::MAX)
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
