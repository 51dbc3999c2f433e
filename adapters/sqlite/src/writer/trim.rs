//! Trimming: the log's oldest events go when everyone has settled them.

use crate::digest;
use crate::failure::Failed;
use crate::request::Tx;
use crate::row::{moment, signed};
use laneway_domain::{Offset, Partition, Timestamp};

/// The position below which every lane has settled everything, as
/// [`laneway_domain::PartitionProgress::settled_below`] says it: the lowest of the partition's
/// default, the lanes' own positions, the keys behind, and what replays need; zero while there is no lane.
pub(crate) const SETTLED_BELOW: &str = "
SELECT CASE WHEN NOT EXISTS (SELECT 1 FROM lane WHERE partition = ?1) THEN 0 ELSE min(
  (SELECT scanned FROM partition WHERE partition = ?1),
  coalesce((SELECT min(scanned) FROM lane WHERE partition = ?1 AND scanned IS NOT NULL), ?2),
  coalesce((SELECT min(offset) FROM behind WHERE partition = ?1), ?2),
  coalesce((SELECT min(scanned) FROM replay WHERE partition = ?1 AND scanned < until), ?2),
  coalesce((SELECT min(offset) FROM replay_behind WHERE partition = ?1), ?2)
) END";

fn settled_below(tx: &Tx<'_>, p: Partition) -> rusqlite::Result<u64> {
    tx.conn.prepare_cached(SETTLED_BELOW)?.query_row((p.0, i64::MAX), |row| row.get(0))
}

/// Removes at most `most` of the oldest events that everyone has settled and that were accepted
/// before `before`, and returns how many.
pub(crate) fn trim(tx: &mut Tx<'_>, p: Partition, before: Timestamp, most: usize) -> Result<usize, Failed> {
    let settled = settled_below(tx, p)?;
    let sql = format!("SELECT offset, accepted_at FROM event_{p} WHERE offset < ?1 ORDER BY offset LIMIT ?2");
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let mut stmt = tx.conn.prepare_cached(&sql)?;
    let mut rows = stmt.query((signed(settled)?, most))?;
    let mut last: Option<u64> = None;
    while let Some(row) = rows.next()? {
        if row.get::<_, i64>(1)? >= moment(before) {
            break;
        }
        last = Some(row.get(0)?);
    }
    drop(rows);
    let Some(last) = last else { return Ok(0) };
    let start = Offset(last).next();
    let removed = tx.run(&format!("DELETE FROM event_{p} WHERE offset < ?1"), [signed(start.0)?])?;
    // The next offset must not depend on a row that may be gone: this is what it is at least.
    let before = digest::of_partition(tx.conn, p)?;
    tx.run("UPDATE partition SET trimmed = ?2 WHERE partition = ?1", (p.0, signed(start.0)?))?;
    let changed = digest::of_partition(tx.conn, p)?.wrapping_sub(before);
    digest::add(tx.conn, p, changed.wrapping_add(trim_cuts(tx, p, start)?))?;
    tx.starts.push((p.0 as usize, start));
    Ok(removed)
}

/// Removes the cuts that no event from `start` on needs. Returns what that adds to the checksum over progress.
fn trim_cuts(tx: &Tx<'_>, p: Partition, start: Offset) -> Result<i64, Failed> {
    let sql = "SELECT max(at) FROM cut WHERE partition = ?1 AND at <= ?2";
    let needed: Option<i64> = tx.conn.prepare_cached(sql)?.query_row((p.0, signed(start.0)?), |row| row.get(0))?;
    let Some(needed) = needed else { return Ok(0) };
    let before = digest::of_cuts(tx.conn, p, 0, needed)?;
    tx.run("DELETE FROM cut WHERE partition = ?1 AND at < ?2", (p.0, needed))?;
    Ok(before.wrapping_neg())
}
