//! A checksum over a partition's progress: the sum of those of its rows.
//!
//! A damaged byte in a row of progress would skip events, or deliver them again, and nobody would
//! know. A sum needs only the rows that a commit changes, and also notices rows that are gone.
//! NULL says that nothing is known: the next claim trusts what it finds. So does an operator who
//! mends progress by hand: `UPDATE partition SET digest = NULL`.

use crate::failure::unreadable;
use laneway_domain::Partition;
use laneway_ports::StoreError;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Params, Row};

/// The rows of one partition, as far as they say where destinations stand.
const PARTITION: &str = "SELECT trimmed, scanned FROM partition WHERE partition = ?1";
const LANES: &str = "SELECT destination, scanned, paused_since, paused_reason FROM lane WHERE partition = ?1";
const BEHIND: &str = "SELECT destination, key, offset, retry FROM behind WHERE partition = ?1";
/// For itself, and only where a change made the destination: rows of stores that know no changes give what they gave.
const BORN: &str = "SELECT destination, born FROM lane WHERE partition = ?1 AND born <> 0";
const REPLAYS: &str = "SELECT destination, id, spec, until, number, scanned, settled FROM replay WHERE partition = ?1";
const REPLAYS_BEHIND: &str = "SELECT destination, replay, key, offset, retry FROM replay_behind WHERE partition = ?1";
const REPLAY_NUMBERS: &str = "SELECT destination, last FROM replay_number WHERE partition = ?1";
const CUTS: &str = "SELECT at, revision FROM cut WHERE partition = ?1";

/// The checksum of a row: CRC32C over its values, each with its type and length.
fn of_row(table: &str, row: &Row<'_>, columns: usize) -> rusqlite::Result<i64> {
    let mut crc = crc32c::crc32c(table.as_bytes());
    for column in 0..columns {
        let (kind, number, bytes): (u8, i64, &[u8]) = match row.get_ref(column)? {
            ValueRef::Null => (0, 0, &[]),
            ValueRef::Integer(number) => (1, number, &[]),
            ValueRef::Real(number) => (2, number.to_bits().cast_signed(), &[]),
            ValueRef::Text(bytes) => (3, 0, bytes),
            ValueRef::Blob(bytes) => (4, 0, bytes),
        };
        crc = crc32c::crc32c_append(crc, &[kind]);
        crc = crc32c::crc32c_append(crc, &number.to_le_bytes());
        crc = crc32c::crc32c_append(crc, &(bytes.len() as u64).to_le_bytes());
        crc = crc32c::crc32c_append(crc, bytes);
    }
    Ok(i64::from(crc))
}

fn of_rows(conn: &Connection, table: &str, sql: &str, params: impl Params) -> rusqlite::Result<i64> {
    let mut stmt = conn.prepare_cached(sql)?;
    let columns = stmt.column_count();
    let mut rows = stmt.query(params)?;
    let mut sum = 0_i64;
    while let Some(row) = rows.next()? {
        sum = sum.wrapping_add(of_row(table, row, columns)?);
    }
    Ok(sum)
}

/// The checksum of what stands there now of the partition's own row.
pub(crate) fn of_partition(conn: &Connection, p: Partition) -> rusqlite::Result<i64> {
    of_rows(conn, "partition", PARTITION, [p.0])
}

/// The same of one lane; zero if it is not there.
pub(crate) fn of_lane(conn: &Connection, p: Partition, destination: &str) -> rusqlite::Result<i64> {
    of_rows(conn, "lane", &format!("{LANES} AND destination = ?2"), (p.0, destination))
}

/// The same of one key behind; zero if it is not.
pub(crate) fn of_behind(conn: &Connection, p: Partition, destination: &str, key: &str) -> rusqlite::Result<i64> {
    of_rows(conn, "behind", &format!("{BEHIND} AND destination = ?2 AND key = ?3"), (p.0, destination, key))
}

/// The same of when a lane's destination was made.
pub(crate) fn of_born(conn: &Connection, p: Partition, destination: &str) -> rusqlite::Result<i64> {
    of_rows(conn, "born", &format!("{BORN} AND destination = ?2"), (p.0, destination))
}

/// The same of all that a destination has in the partition.
pub(crate) fn of_destination(conn: &Connection, p: Partition, destination: &str) -> rusqlite::Result<i64> {
    let behind = of_rows(conn, "behind", &format!("{BEHIND} AND destination = ?2"), (p.0, destination))?;
    let (lane, born) = (of_lane(conn, p, destination)?, of_born(conn, p, destination)?);
    let mut replays = of_replay_number(conn, p, destination)?;
    for (table, rows) in [("replay", REPLAYS), ("replay_behind", REPLAYS_BEHIND)] {
        let rows = of_rows(conn, table, &format!("{rows} AND destination = ?2"), (p.0, destination))?;
        replays = replays.wrapping_add(rows);
    }
    Ok(lane.wrapping_add(born).wrapping_add(behind).wrapping_add(replays))
}

/// The same of one replay, without its keys behind; zero if there is none.
pub(crate) fn of_replay(conn: &Connection, p: Partition, destination: &str, id: &str) -> rusqlite::Result<i64> {
    of_rows(conn, "replay", &format!("{REPLAYS} AND destination = ?2 AND id = ?3"), (p.0, destination, id))
}

/// The same of all keys behind of a replay.
pub(crate) fn of_replay_keys(conn: &Connection, p: Partition, destination: &str, id: &str) -> rusqlite::Result<i64> {
    let rows = format!("{REPLAYS_BEHIND} AND destination = ?2 AND replay = ?3");
    of_rows(conn, "replay_behind", &rows, (p.0, destination, id))
}

/// The same of one of them.
pub(crate) fn of_replay_key(
    conn: &Connection,
    p: Partition,
    (destination, id, key): (&str, &str, &str),
) -> rusqlite::Result<i64> {
    let rows = format!("{REPLAYS_BEHIND} AND destination = ?2 AND replay = ?3 AND key = ?4");
    of_rows(conn, "replay_behind", &rows, (p.0, destination, id, key))
}

/// The same of the largest number of a destination's replays.
pub(crate) fn of_replay_number(conn: &Connection, p: Partition, destination: &str) -> rusqlite::Result<i64> {
    of_rows(conn, "replay_number", &format!("{REPLAY_NUMBERS} AND destination = ?2"), (p.0, destination))
}

/// The same of the cuts from `from` on and below `below`.
pub(crate) fn of_cuts(conn: &Connection, p: Partition, from: i64, below: i64) -> rusqlite::Result<i64> {
    of_rows(conn, "cut", &format!("{CUTS} AND at >= ?2 AND at < ?3"), (p.0, from, below))
}

fn of_all(conn: &Connection, p: Partition) -> rusqlite::Result<i64> {
    let mut sum = of_partition(conn, p)?;
    let of_replays = [("replay", REPLAYS), ("replay_behind", REPLAYS_BEHIND), ("replay_number", REPLAY_NUMBERS)];
    let of_lanes = [("lane", LANES), ("behind", BEHIND), ("born", BORN), ("cut", CUTS)];
    for (table, rows) in of_lanes.into_iter().chain(of_replays) {
        sum = sum.wrapping_add(of_rows(conn, table, rows, [p.0])?);
    }
    Ok(sum)
}

fn stored(conn: &Connection, p: Partition) -> rusqlite::Result<Option<i64>> {
    conn.prepare_cached("SELECT digest FROM partition WHERE partition = ?1")?.query_row([p.0], |row| row.get(0))
}

/// Adds what a change has added to the sum.
pub(crate) fn add(conn: &Connection, p: Partition, change: i64) -> rusqlite::Result<()> {
    if change == 0 {
        return Ok(());
    }
    let Some(before) = stored(conn, p)? else { return Ok(()) };
    set(conn, p, before.wrapping_add(change))
}

fn set(conn: &Connection, p: Partition, digest: i64) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE partition SET digest = ?2 WHERE partition = ?1")?.execute((p.0, digest)).map(drop)
}

/// Computes the sum where nothing is known of it.
pub(crate) fn begin(conn: &Connection, p: Partition) -> rusqlite::Result<()> {
    match stored(conn, p)? {
        Some(_) => Ok(()),
        None => set(conn, p, of_all(conn, p)?),
    }
}

/// Refuses progress that is not what was stored.
pub(crate) fn check(conn: &Connection, p: Partition) -> rusqlite::Result<Result<(), StoreError>> {
    let Some(stored) = stored(conn, p)? else { return Ok(Ok(())) };
    if stored == of_all(conn, p)? {
        return Ok(Ok(()));
    }
    Ok(Err(unreadable(
        "partition",
        p,
        "the checksum over the progress of this partition (also in tables lane, behind, cut and replay…) is another, so that events \
         might be skipped. Restore a backup. If you have mended it, or have changed it by hand, say so: \
         UPDATE partition SET digest = NULL",
    )))
}
