//! Reading events from disk.

mod gap;

use crate::failure;
use crate::readers::ReadFailed;
use crate::row::{self, Scratch, signed};
use crate::schema::EVENT_COLUMNS;
use gap::Leaps;
use laneway_domain::{Offset, Partition};
use laneway_ports::{Chunk, LogRecord, StoreError};
use rusqlite::{Connection, OptionalExtension, Row};
use std::sync::Arc;

/// How far a read looks past a damaged page for rows that are still readable, one by one: more
/// rows than a page holds.
const LOOK_PAST_DAMAGE: u64 = 256;

/// What a read may return.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
}

/// [`laneway_ports::EventLog::remembered`].
pub(crate) fn remembered(conn: &Connection, id: &str, partitions: u32) -> Result<Vec<(Partition, Offset)>, ReadFailed> {
    let mut stmt = conn.prepare_cached("SELECT offset FROM given_id WHERE partition = ?1 AND id = ?2")?;
    let mut found = Vec::new();
    for p in 0..partitions {
        let offset: Option<u64> = stmt.query_row((p, id), |row| row.get(0)).optional()?;
        found.extend(offset.map(|offset| (Partition(p), Offset(offset))));
    }
    Ok(found)
}

/// The records of a chunk while it is read.
struct Reading {
    partition: Partition,
    limits: Limits,
    bytes: usize,
    records: Vec<LogRecord>,
    scratch: Scratch,
}

impl Reading {
    /// Takes one more record; `false` if it is beyond the limits.
    fn take(&mut self, record: LogRecord) -> bool {
        let weight = match &record {
            LogRecord::Event(event) => event.event.weight(),
            LogRecord::Corrupt { .. } => 0,
        };
        self.bytes = self.bytes.saturating_add(weight);
        let fits =
            self.records.is_empty() || (self.bytes <= self.limits.bytes && self.records.len() < self.limits.events);
        if fits {
            self.records.push(record);
        }
        fits
    }

    /// The record of a row of the offset and the event's columns.
    fn record(&mut self, row: &Row<'_>) -> rusqlite::Result<LogRecord> {
        let offset = Offset(row.get(0)?);
        Ok(match row::read(row, 1, self.partition, offset, &mut self.scratch) {
            Ok(event) => LogRecord::Event(Arc::new(event)),
            Err(reason) => corrupt(self.partition, offset, &reason),
        })
    }
}

fn corrupt(partition: Partition, offset: Offset, reason: &str) -> LogRecord {
    let reason = format!("the event at offset {offset} of partition {partition} cannot be read: {reason}");
    LogRecord::Corrupt { offset, reason }
}

/// Reads from `from` up to `end`, within `limits`. Offsets are dense but for what was trimmed: a
/// row that is missing is returned as corrupt.
pub(crate) fn read(
    conn: &Connection,
    partition: Partition,
    from: Offset,
    end: Offset,
    limits: Limits,
) -> Result<Chunk, ReadFailed> {
    let mut reading = Reading { partition, limits, bytes: 0, records: Vec::new(), scratch: Scratch::default() };
    if limits.events == 0 || from >= end {
        return Ok(Chunk { records: Vec::new(), next: from.min(end) });
    }
    let complete = match scan(conn, &mut reading, from, end) {
        Ok(complete) => complete,
        Err(error) if failure::is_damage(&error) => {
            let from = reading.records.last().map_or(from, |last| last.offset().next());
            one_by_one(conn, &mut reading, from, end, &error)?;
            let next = reading.records.last().map_or(end, |last| last.offset().next());
            return Ok(Chunk { records: reading.records, next });
        }
        Err(error) => return Err(error.into()),
    };
    let until = complete.then_some(end);
    if let Some((index, first, next)) = find_gap(conn, &reading, from, until)? {
        let start = gap::trimmed(conn, partition)?;
        if first < start && index == 0 {
            // Trimmed before, or since the look at where the partition begins.
            return read(conn, partition, start.min(end), end, limits);
        }
        reading.records.truncate(index);
        let next = gap::close(conn, &mut reading, first, next)?;
        return Ok(Chunk { records: reading.records, next });
    }
    let next = if complete { end } else { reading.records.last().map_or(end, |last| last.offset().next()) };
    Ok(Chunk { records: reading.records, next })
}

/// Offsets that should be there and are not. Stores that were put back from a backup are rare, so that leaps are
/// looked at only where something seems to be missing.
fn find_gap(
    conn: &Connection,
    reading: &Reading,
    from: Offset,
    until: Option<Offset>,
) -> rusqlite::Result<Option<(usize, Offset, Offset)>> {
    let found = gap::find(&reading.records, from, until, &Leaps::default());
    if found.is_none() {
        return Ok(None);
    }
    let leaps = Leaps::of(conn, reading.partition)?;
    Ok(if leaps.is_empty() { found } else { gap::find(&reading.records, from, until, &leaps) })
}

/// Reads in one go. `true` if it came to the end.
fn scan(conn: &Connection, reading: &mut Reading, from: Offset, end: Offset) -> rusqlite::Result<bool> {
    let p = reading.partition;
    let sql = format!(
        "SELECT offset, {EVENT_COLUMNS} FROM event_{p} WHERE offset >= ?1 AND offset < ?2 ORDER BY offset LIMIT ?3"
    );
    let mut stmt = conn.prepare_cached(&sql)?;
    let limit = i64::try_from(reading.limits.events).unwrap_or(i64::MAX);
    let mut rows = stmt.query((signed(from.0)?, signed(end.0)?, limit))?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        count += 1;
        let record = reading.record(row)?;
        if !reading.take(record) {
            return Ok(false);
        }
    }
    Ok(count < limit)
}

/// Where a page is damaged, the rows on other pages can still be found by their offset. What
/// cannot is returned as corrupt, so that the rest goes on; but only if there is a rest: when
/// nothing near is readable, more than a page may be damaged, and people have to look at it.
fn one_by_one(
    conn: &Connection,
    reading: &mut Reading,
    from: Offset,
    end: Offset,
    damage: &rusqlite::Error,
) -> Result<(), ReadFailed> {
    let p = reading.partition;
    let sql = format!("SELECT offset, {EVENT_COLUMNS} FROM event_{p} WHERE offset = ?1");
    let mut stmt = conn.prepare_cached(&sql)?;
    let mut readable = !reading.records.is_empty();
    let start = gap::trimmed(conn, p)?;
    let leaps = Leaps::of(conn, p)?;
    let mut next = leaps.from(from);
    for _ in 0..LOOK_PAST_DAMAGE {
        let offset = next;
        if offset >= end {
            break;
        }
        next = leaps.from(offset.next());
        let found = stmt.query_row([signed(offset.0)?], |row| reading.record(row)).optional();
        let record = match found {
            Ok(None) if offset < start => continue,
            Ok(None) => corrupt(p, offset, &format!("its row is missing, after {damage}")),
            Ok(Some(record)) => {
                readable = true;
                record
            }
            Err(error) if failure::is_damage(&error) => corrupt(p, offset, &error.to_string()),
            Err(error) => return Err(error.into()),
        };
        if !reading.take(record) {
            break;
        }
    }
    if readable {
        return Ok(());
    }
    Err(ReadFailed::Told(StoreError::retry_later(format!(
        "partition {p} cannot be read from offset {from} on: {damage}. Run `laneway check`, and restore a backup"
    ))))
}
