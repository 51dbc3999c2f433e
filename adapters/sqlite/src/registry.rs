//! The registry of destinations: reading it.

use crate::failure::unreadable;
use crate::readers::ReadFailed;
use crate::row::{compared, instant};
use laneway_domain::{DestinationName, Registered, Revision, Standing};
use laneway_ports::{
    ChangesPage, JournalEntry, MAX_JOURNAL, MAX_REGISTRY_PAGE, MAX_WRITE_BYTES, RegistryChanges, RegistryPage,
};
use rusqlite::{Connection, OptionalExtension, Row};
use std::collections::BTreeSet;

/// What [`record`] reads.
pub(crate) const COLUMNS: &str = "name, revision, deleted, record, crc";

/// The checksum over a row of the table `destination`: CRC32C over its values, each text with its length.
pub(crate) fn checksum(name: &str, revision: i64, deleted: bool, record: &str) -> i64 {
    let mut crc = crc32c::crc32c(&revision.to_le_bytes());
    crc = crc32c::crc32c_append(crc, &[deleted.into()]);
    for text in [name, record] {
        crc = crc32c::crc32c_append(crc, &(text.len() as u64).to_le_bytes());
        crc = crc32c::crc32c_append(crc, text.as_bytes());
    }
    i64::from(crc)
}

/// The record in a row of [`COLUMNS`], and how many bytes it has.
pub(crate) fn record(row: &Row<'_>) -> Result<(Registered, usize), ReadFailed> {
    let (name, revision, deleted): (String, i64, bool) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let (json, crc): (String, i64) = (row.get(3)?, row.get(4)?);
    let wrong = |why: &dyn std::fmt::Display| unreadable("destination", format!("of {name:?}"), why);
    if crc != checksum(&name, revision, deleted, &json) {
        return Err(wrong(&"the checksum over it is another. Restore a backup, or make the destination anew").into());
    }
    let record: Registered = serde_json::from_str(&json).map_err(|error| wrong(&error))?;
    Ok((record, json.len()))
}

/// Whether a record is of a destination that is gone.
pub(crate) fn is_deleted(record: &Registered) -> bool {
    record.standing == Standing::Deleted
}

/// The last revision: never below that of a record. Called before there is a writer.
pub(crate) fn begin(conn: &Connection) -> rusqlite::Result<Revision> {
    let sql = "UPDATE registry SET last = (SELECT max(revision) FROM destination), fingerprint = '' \
               WHERE last < (SELECT max(revision) FROM destination)";
    conn.execute(sql, [])?;
    last(conn)
}

/// The last revision.
pub(crate) fn last(conn: &Connection) -> rusqlite::Result<Revision> {
    conn.prepare_cached("SELECT last FROM registry")?.query_row([], |row| row.get(0)).map(Revision)
}

/// [`laneway_ports::Registry::changed_since`].
pub(crate) fn changed_since(conn: &Connection, after: Revision) -> Result<RegistryChanges, ReadFailed> {
    // Only a transaction sees both tables as of one moment; dropping it ends it.
    let tx = conn.unchecked_transaction()?;
    let read = |row: &Row<'_>| Ok((Revision(row.get(0)?), Revision(row.get(1)?)));
    let (last, forgotten) = tx.prepare_cached("SELECT last, forgotten FROM registry")?.query_row([], read)?;
    let sql = format!("SELECT {COLUMNS} FROM destination WHERE revision > ?1 ORDER BY revision, name");
    let mut stmt = tx.prepare_cached(&sql)?;
    let mut rows = stmt.query([number(after)])?;
    let mut page = ChangesPage::default();
    while let Some(row) = rows.next()? {
        let (record, bytes) = record(row)?;
        if !page.add(record, bytes) {
            break;
        }
    }
    Ok(page.finish(last, forgotten))
}

/// [`laneway_ports::Registry::page`].
pub(crate) fn page(conn: &Connection, after: &str, most: usize) -> Result<RegistryPage, ReadFailed> {
    let most = most.min(MAX_REGISTRY_PAGE);
    let sql = format!("SELECT {COLUMNS} FROM destination WHERE deleted = 0 AND name > ?1 ORDER BY name LIMIT ?2");
    let mut stmt = conn.prepare_cached(&sql)?;
    let mut rows = stmt.query((after, most + 1))?;
    let (mut page, mut all) = (RegistryPage::default(), 0);
    while let Some(row) = rows.next()? {
        let (record, bytes) = record(row)?;
        all += bytes;
        if page.records.len() == most || all > MAX_WRITE_BYTES {
            page.more = true;
            break;
        }
        page.records.push(record);
    }
    Ok(page)
}

/// [`laneway_ports::Registry::records`].
pub(crate) fn records(conn: &Connection, names: &BTreeSet<DestinationName>) -> Result<Vec<Registered>, ReadFailed> {
    let tx = conn.unchecked_transaction()?;
    let mut stmt = tx.prepare_cached(&format!("SELECT {COLUMNS} FROM destination WHERE name = ?1"))?;
    let mut found = Vec::new();
    for name in names {
        if let Some(read) = stmt.query_row([name.as_str()], |row| Ok(record(row))).optional()? {
            found.push(read?.0);
        }
    }
    Ok(found)
}

/// [`laneway_ports::Registry::journal`].
pub(crate) fn journal(
    conn: &Connection,
    name: &DestinationName,
    before: Option<Revision>,
    most: usize,
) -> Result<Vec<JournalEntry>, ReadFailed> {
    let sql = "SELECT revision, at, who, what FROM destination_change WHERE name = ?1 AND revision < ?2 \
               ORDER BY revision DESC LIMIT ?3";
    let mut stmt = conn.prepare_cached(sql)?;
    let mut rows = stmt.query((name.as_str(), before.map_or(i64::MAX, number), most.min(MAX_JOURNAL)))?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        let (who, what): (String, String) = (row.get(2)?, row.get(3)?);
        let at = instant(row.get(1)?);
        entries.push(JournalEntry {
            name: name.clone(),
            revision: Revision(row.get(0)?),
            at: at.ok_or_else(|| unreadable("destination_change", format!("of {name}"), "`at` is negative"))?,
            by: who.into(),
            what: what.into(),
        });
    }
    Ok(entries)
}

pub(crate) fn number(revision: Revision) -> i64 {
    compared(revision.0)
}
