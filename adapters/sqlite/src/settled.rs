//! Up to where everything of a partition is settled: what a trim goes by, without a look at all progress.

use crate::failure::unreadable;
use laneway_domain::{Partition, PartitionProgress};
use laneway_ports::StoreError;
use rusqlite::Connection;

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

/// [`SETTLED_BELOW`].
pub(crate) fn settled_below(conn: &Connection, p: Partition) -> rusqlite::Result<u64> {
    conn.prepare_cached(SETTLED_BELOW)?.query_row((p.0, i64::MAX), |row| row.get(0))
}

/// Refuses progress whose indexes say another thing than its rows, which `progress` has: a trim goes by the indexes,
/// and would remove what nobody has settled. The checksum over progress covers rows alone.
pub(crate) fn check(
    conn: &Connection,
    p: Partition,
    progress: &PartitionProgress,
) -> rusqlite::Result<Result<(), StoreError>> {
    let (by_index, by_rows) = (settled_below(conn, p)?, progress.settled_below().0);
    if by_index == by_rows {
        return Ok(Ok(()));
    }
    Ok(Err(unreadable(
        "partition",
        p,
        format!(
            "by the indexes of tables lane, behind and replay… all is settled below {by_index}, by their rows below \
             {by_rows}, so that events might be removed that somebody still needs. Stop Laneway, make the indexes anew \
             (REINDEX), and run `laneway check`; or restore a backup"
        ),
    )))
}
