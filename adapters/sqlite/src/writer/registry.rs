//! Changes of the registry of destinations.

use crate::failure::Failed;
use crate::registry::{checksum, is_deleted};
use crate::request::Tx;
use crate::row::{moment, signed};
use laneway_ports::{EncodedWrite, JournalEntry, MAX_JOURNAL, RegistryWrite};

/// [`laneway_ports::Registry::write`]. `encoded` is what [`RegistryWrite::encoded`] made of it.
pub(crate) fn write_registry(tx: &mut Tx<'_>, write: &RegistryWrite, encoded: &EncodedWrite) -> Result<bool, Failed> {
    let sql = "SELECT last, fingerprint FROM registry";
    let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, u64>(0)?, row.get::<_, String>(1)?));
    let (last, fingerprint) = tx.conn.prepare_cached(sql)?.query_row([], read)?;
    if last == write.revision.0 && fingerprint == encoded.fingerprint {
        return Ok(true);
    }
    if last != write.last.0 {
        return Ok(false);
    }
    let revision = signed(write.revision.0)?;
    let sql = "INSERT INTO destination (name, revision, deleted, record, crc) VALUES (?1, ?2, ?3, ?4, ?5) \
               ON CONFLICT DO UPDATE SET revision = excluded.revision, deleted = excluded.deleted, \
               record = excluded.record, crc = excluded.crc";
    for (record, json) in write.records.iter().zip(&encoded.records) {
        let (name, deleted) = (record.name.as_str(), is_deleted(record));
        tx.run(sql, (name, revision, deleted, json, checksum(name, revision, deleted, json)))?;
    }
    for entry in &write.journal {
        note(tx, revision, entry)?;
    }
    tx.run("UPDATE registry SET last = ?1, fingerprint = ?2", (revision, &encoded.fingerprint))?;
    *tx.registry = Some(write.revision);
    Ok(true)
}

fn note(tx: &Tx<'_>, revision: i64, entry: &JournalEntry) -> Result<(), Failed> {
    let name = entry.name.as_str();
    let sql = "INSERT INTO destination_change (name, revision, at, who, what) VALUES (?1, ?2, ?3, ?4, ?5) \
               ON CONFLICT DO NOTHING";
    tx.run(sql, (name, revision, moment(entry.at), entry.by.as_ref(), entry.what.as_ref()))?;
    let sql = "DELETE FROM destination_change WHERE name = ?1 AND revision <= (SELECT revision \
               FROM destination_change WHERE name = ?1 ORDER BY revision DESC LIMIT 1 OFFSET ?2)";
    tx.run(sql, (name, MAX_JOURNAL))?;
    Ok(())
}

/// [`laneway_ports::Registry::forget_deleted`].
pub(crate) fn forget_deleted(tx: &Tx<'_>, upto: i64, most: usize) -> Result<usize, Failed> {
    // By the index that has deleted ones alone: another one is in this order too, and has all that there are.
    let sql = "SELECT name, revision FROM destination INDEXED BY destination_deleted \
               WHERE deleted = 1 AND revision <= ?1 ORDER BY revision, name LIMIT ?2";
    let mut stmt = tx.conn.prepare_cached(sql)?;
    let found = stmt.query_map((upto, most), |row| Ok((row.get(0)?, row.get(1)?)))?;
    let gone: Vec<(String, i64)> = found.collect::<rusqlite::Result<_>>()?;
    for (name, _) in &gone {
        tx.run("DELETE FROM destination WHERE name = ?1", [name])?;
        tx.run("DELETE FROM destination_change WHERE name = ?1", [name])?;
    }
    if let Some((_, last)) = gone.last() {
        tx.run("UPDATE registry SET forgotten = max(forgotten, ?1)", [last])?;
    }
    Ok(gone.len())
}
