//! Offsets that should be there and are not met: a damaged page can hide rows without SQLite
//! noticing, because an ordered scan trusts the numbers that it finds on the way.

use super::{LOOK_PAST_DAMAGE, Reading, corrupt};
use crate::schema::EVENT_COLUMNS;
use laneway_domain::{Offset, Partition};
use laneway_ports::LogRecord;
use rusqlite::{Connection, OptionalExtension};

/// Where offsets leap because the store was put back from a backup: nothing is missing between.
#[derive(Debug, Default)]
pub(super) struct Leaps(Vec<(Offset, Offset)>);

impl Leaps {
    /// Those of the partition, in their order.
    pub(super) fn of(conn: &Connection, partition: Partition) -> rusqlite::Result<Self> {
        let sql = "SELECT ended_at, began_at FROM generation WHERE partition = ?1 ORDER BY ended_at";
        let mut stmt = conn.prepare_cached(sql)?;
        let leaps = stmt.query_map([partition.0], |row| Ok((Offset(row.get(0)?), Offset(row.get(1)?))))?;
        leaps.collect::<rusqlite::Result<_>>().map(Self)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first offset from `at` on that an event can have.
    pub(super) fn from(&self, at: Offset) -> Offset {
        self.0.iter().fold(at, |at, (ended, began)| if (*ended..*began).contains(&at) { *began } else { at })
    }

    /// Up to where offsets follow each other from `at` on, if that is below `to`.
    fn until(&self, at: Offset, to: Offset) -> Offset {
        self.0.iter().map(|(ended, _)| *ended).filter(|ended| *ended > at).fold(to, Offset::min)
    }
}

/// From where to where rows are missing among `records`, which were read from `from` on; `end` is
/// where they had to come to, if they had to.
pub(super) fn find(
    records: &[LogRecord],
    from: Offset,
    end: Option<Offset>,
    leaps: &Leaps,
) -> Option<(usize, Offset, Offset)> {
    let mut expected = leaps.from(from);
    for (index, record) in records.iter().enumerate() {
        if record.offset() != expected {
            return Some((index, expected, leaps.until(expected, record.offset().max(expected.next()))));
        }
        expected = leaps.from(expected.next());
    }
    end.filter(|end| expected < *end).map(|end| (records.len(), expected, leaps.until(expected, end)))
}

/// Where the partition begins: what is missing below was trimmed.
pub(super) fn trimmed(conn: &Connection, partition: Partition) -> rusqlite::Result<Offset> {
    let sql = "SELECT trimmed FROM partition WHERE partition = ?1";
    Ok(Offset(conn.prepare_cached(sql)?.query_row([partition.0], |row| row.get(0))?))
}

/// Looks for each of the missing rows by its offset, which takes another way through the pages;
/// what is not found either is returned as corrupt, once for each run. Returns where to go on.
pub(super) fn close(conn: &Connection, reading: &mut Reading, from: Offset, to: Offset) -> rusqlite::Result<Offset> {
    let p = reading.partition;
    let sql = format!("SELECT offset, {EVENT_COLUMNS} FROM event_{p} WHERE offset = ?1");
    let mut stmt = conn.prepare_cached(&sql)?;
    let looked_up_to = Offset(to.0.min(from.0.saturating_add(LOOK_PAST_DAMAGE)));
    let mut missing = None;
    for offset in (from.0..looked_up_to.0).map(Offset) {
        let found = stmt.query_row([super::signed(offset.0)?], |row| reading.record(row)).optional()?;
        let Some(record) = found else {
            missing.get_or_insert(offset);
            continue;
        };
        if let Some(first) = missing.take()
            && !reading.take(absent(p, first, offset))
        {
            return Ok(first);
        }
        if !reading.take(record) {
            return Ok(offset);
        }
    }
    let Some(first) = missing else { return Ok(looked_up_to) };
    // Where none of the first was there, nothing is known of the others: they are given up together.
    let next = if first == from { to } else { looked_up_to };
    Ok(if reading.take(absent(p, first, next)) { next } else { first })
}

fn absent(partition: Partition, first: Offset, next: Offset) -> LogRecord {
    let last = next.0 - 1;
    let rows =
        if last == first.0 { "its row is missing".to_owned() } else { format!("the rows up to {last} are missing") };
    corrupt(partition, first, &rows)
}
