//! Where partitions begin and end, as their tables say when a store is opened.
//!
//! An offset must never be given out twice: receivers would take the second event for the first one, and drop it. The
//! last events may be gone (their pages damaged, an older copy of the file put back in part), and progress or a
//! remembered id still name them. So the end is behind all that is named anywhere.

use crate::digest;
use crate::failure;
use laneway_domain::{Offset, Partition};
use laneway_ports::Bounds;
use rusqlite::{Connection, OptionalExtension, params_from_iter};
use std::collections::BTreeMap;

/// How many of the latest remembered ids are looked at: whatever lost its tail has lost the latest, and a look at all
/// of them would take long.
const IDS_LOOKED_AT: i64 = 10_000;

/// Up to where progress names events of the partition, at least: a key that is behind names the event, not its end.
const NAMED: &str = "
SELECT max(
  (SELECT scanned FROM partition WHERE partition = ?1),
  coalesce((SELECT max(scanned) FROM lane WHERE partition = ?1), 0),
  coalesce((SELECT max(offset) FROM behind WHERE partition = ?1), 0),
  coalesce((SELECT max(scanned) FROM replay WHERE partition = ?1), 0),
  coalesce((SELECT max(offset) FROM replay_behind WHERE partition = ?1), 0),
  coalesce((SELECT max(at) FROM cut WHERE partition = ?1), 0)
)";
/// The same of dead letters, and of what was kept aside.
const KEPT: &str = "
SELECT max(
  coalesce((SELECT max(offset) + 1 FROM dead_letter WHERE partition = ?1), 0),
  coalesce((SELECT max(offset) + 1 FROM quarantine WHERE partition = ?1), 0)
)";

/// Where each partition begins and ends: behind its last event, behind what was trimmed, not before the generation that
/// a restore has begun, and behind all that is named.
pub(crate) fn bounds(conn: &Connection, partitions: u32) -> rusqlite::Result<Vec<Bounds>> {
    let ids = unless_damaged(latest_ids(conn))?;
    (0..partitions).map(|p| bounds_of(conn, Partition(p), &ids)).collect()
}

/// The same of one partition.
pub(crate) fn bounds_of(conn: &Connection, p: Partition, ids: &Ids) -> rusqlite::Result<Bounds> {
    // Others may write meanwhile: what names an event is not looked at later than the events.
    let tx = conn.unchecked_transaction()?;
    let offset = |sql: &str, params: &[u32]| {
        let found = tx.query_row(sql, params_from_iter(params), |row| row.get::<_, Option<u64>>(0)).optional();
        found.map(|offset| offset.flatten().map(Offset))
    };
    let trimmed = offset("SELECT trimmed FROM partition WHERE partition = ?1", &[p.0])?.unwrap_or_default();
    let began = offset("SELECT max(began_at) FROM generation WHERE partition = ?1", &[p.0])?.unwrap_or_default();
    let last = offset(&format!("SELECT max(offset) FROM event_{p}"), &[])?;
    let sure = last.map_or(Offset::ZERO, Offset::next).max(trimmed).max(began);
    let of_ids = ids.get(&p.0).map_or(Offset::ZERO, |offset| offset.next());
    let mut end = sure.max(of_ids).max(unless_damaged(offset(KEPT, &[p.0]))?.unwrap_or_default());
    let progress = unless_damaged(offset(NAMED, &[p.0]))?.unwrap_or_default();
    // Progress that is not what was stored may name anything. Nobody goes on from it either.
    if progress > end && matches!(digest::check(&tx, p), Ok(Ok(()))) {
        end = progress;
    }
    // Where the oldest events cannot be read, whoever reads from there on is told so; everything else goes on.
    let first = match offset(&format!("SELECT min(offset) FROM event_{p}"), &[]) {
        Err(error) if failure::is_damage(&error) => Some(trimmed),
        first => first?,
    };
    if end > sure {
        tracing::error!(
            partition = p.0,
            first = sure.0,
            last = end.0 - 1,
            "events at the end of the log are missing: progress, dead letters or remembered ids name them. New events \
             get the offsets behind them. Run `laneway check`, and restore a backup or accept it"
        );
    }
    Ok(Bounds { start: first.unwrap_or(sure), end })
}

/// What cannot be read names nothing: a damaged page of it does not keep the store from being opened.
fn unless_damaged<T: Default>(read: rusqlite::Result<T>) -> rusqlite::Result<T> {
    match read {
        Err(error) if failure::is_damage(&error) => {
            tracing::error!(%error, "not all that names events can be read: run `laneway check`");
            Ok(T::default())
        }
        read => read,
    }
}

/// The highest offset of each partition among the latest remembered ids.
pub(crate) type Ids = BTreeMap<u32, Offset>;

/// Those that are remembered now.
pub(crate) fn latest_ids(conn: &Connection) -> rusqlite::Result<Ids> {
    let sql = "SELECT partition, max(offset) FROM \
               (SELECT partition, offset FROM given_id ORDER BY number DESC LIMIT ?1) GROUP BY partition";
    let mut stmt = conn.prepare(sql)?;
    let rows = stmt.query_map([IDS_LOOKED_AT], |row| Ok((row.get(0)?, Offset(row.get(1)?))))?;
    rows.collect()
}
