//! The history of attempts: one row for what a commit told, packed, and one row per partition that counts them.

use crate::failure::Failed;
use crate::readers::ReadFailed;
use crate::request::Tx;
use crate::row::{moment, signed};
use laneway_domain::{History, Partition, Timestamp};
use laneway_ports::{
    HistoryBounds, HistoryPlace, HistoryRange, HistoryRecord, HistorySize, Lease, MAX_HISTORY_PAGE,
    MAX_HISTORY_PAGE_BYTES, decoded_history, encoded_history,
};
use rusqlite::{Connection, OptionalExtension, Row};

/// Adds what a commit tells. The same again adds nothing.
pub(crate) fn add(tx: &Tx<'_>, lease: &Lease, history: &History) -> Result<(), Failed> {
    let p = lease.partition.0;
    let told = encoded_history(history);
    let size = i64::try_from(told.len()).unwrap_or(i64::MAX);
    let sql = "INSERT INTO history (partition, at, epoch, number, size, told) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
               ON CONFLICT DO NOTHING";
    let (epoch, number) = (signed(lease.epoch)?, signed(history.number)?);
    if tx.run(sql, (p, moment(history.at), epoch, number, size, told))? == 1 {
        let sql = "INSERT INTO history_size (partition, records, bytes) VALUES (?1, 1, ?2) ON CONFLICT DO UPDATE \
                   SET records = records + 1, bytes = bytes + excluded.bytes";
        tx.run(sql, (p, size))?;
    }
    Ok(())
}

/// [`laneway_ports::HistoryStore::trim_history`].
pub(crate) fn trim(tx: &Tx<'_>, p: Partition, bounds: HistoryBounds, most: usize) -> Result<usize, Failed> {
    let HistorySize { bytes: mut left, .. } = size(tx.conn, p)?;
    let (since, most) = (moment(bounds.since), i64::try_from(most).unwrap_or(i64::MAX));
    let sql = "SELECT id, at, size FROM history WHERE partition = ?1 ORDER BY at, epoch, number LIMIT ?2";
    let mut stmt = tx.conn.prepare_cached(sql)?;
    let mut rows = stmt.query((p.0, most))?;
    let (mut going, mut bytes) = (Vec::new(), 0_u64);
    while let Some(row) = rows.next()? {
        if row.get::<_, i64>(1)? >= since && left <= bounds.max_bytes {
            break;
        }
        let size = count(row, 2)?;
        (left, bytes) = (left.saturating_sub(size), bytes + size);
        going.push(row.get::<_, i64>(0)?);
    }
    drop(rows);
    if going.is_empty() {
        return Ok(0); // Nothing is to be written.
    }
    for id in &going {
        tx.run("DELETE FROM history WHERE id = ?1", [id])?;
    }
    let sql = "UPDATE history_size SET records = records - ?2, bytes = bytes - ?3 WHERE partition = ?1";
    tx.run(sql, (p.0, going.len(), signed(bytes)?))?;
    Ok(going.len())
}

/// A number that counts something. One below zero counts nothing: it is damaged, and nobody shall fail of that.
fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0))
}

/// How much history a partition has.
pub(crate) fn size(conn: &Connection, p: Partition) -> rusqlite::Result<HistorySize> {
    let sql = "SELECT records, bytes FROM history_size WHERE partition = ?1";
    let found = conn
        .prepare_cached(sql)?
        .query_row([p.0], |row| Ok(HistorySize { records: count(row, 0)?, bytes: count(row, 1)? }));
    Ok(found.optional()?.unwrap_or_default())
}

/// [`laneway_ports::HistoryStore::history`].
pub(crate) fn page(
    conn: &Connection,
    p: Partition,
    range: HistoryRange,
    most: usize,
) -> Result<Vec<HistoryRecord>, ReadFailed> {
    let last = HistoryPlace { at: Timestamp::MAX, epoch: u64::MAX, number: u64::MAX };
    let (place, is, order) = match range {
        HistoryRange::Latest => (last, "<=", "DESC"),
        HistoryRange::Before(before) => (before, "<", "DESC"),
        HistoryRange::After(after) => (after, ">", "ASC"),
    };
    let sql = format!(
        "SELECT at, epoch, number, told FROM history WHERE partition = ?1 AND (at, epoch, number) {is} (?2, ?3, ?4) \
         ORDER BY at {order}, epoch {order}, number {order} LIMIT ?5"
    );
    let bound = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let most = i64::try_from(most.min(MAX_HISTORY_PAGE)).unwrap_or(i64::MAX);
    let mut stmt = conn.prepare_cached(&sql)?;
    let (at, epoch, number) = (bound(place.at.as_millis()), bound(place.epoch), bound(place.number));
    let mut rows = stmt.query((p.0, at, epoch, number, most))?;
    let (mut records, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let place = HistoryPlace { at: Timestamp::from_millis(row.get(0)?), epoch: row.get(1)?, number: row.get(2)? };
        let told = row.get_ref(3)?.as_blob().map_err(|error| error.to_string());
        bytes += told.as_ref().map_or(0, |told| told.len());
        if bytes > MAX_HISTORY_PAGE_BYTES && !records.is_empty() {
            break;
        }
        let told = told.and_then(|told| decoded_history(told, place.number, place.at));
        records.push(HistoryRecord { place, told });
    }
    Ok(records)
}
