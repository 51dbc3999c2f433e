//! Destinations that a commit drops: all that they have in its partition goes.

use crate::digest;
use crate::failure::Failed;
use crate::request::Tx;
use laneway_domain::{DestinationName, Partition};
use std::collections::BTreeSet;

/// Dead letters that one transaction removes: their events may be large, and others wait for the writer meanwhile.
pub(crate) const LETTERS_AT_ONCE: usize = 500;

/// Whether they have more dead letters together than one transaction removes.
pub(super) fn has_many_letters(tx: &Tx<'_>, p: Partition, names: &BTreeSet<DestinationName>) -> Result<bool, Failed> {
    let sql = "SELECT count(*) FROM (SELECT 1 FROM dead_letter WHERE destination = ?1 AND partition = ?2 LIMIT ?3)";
    let mut found = 0;
    for name in names {
        let most = LETTERS_AT_ONCE + 1 - found;
        found += tx.conn.prepare_cached(sql)?.query_row((name.as_str(), p.0, most), |row| row.get::<_, usize>(0))?;
        if found > LETTERS_AT_ONCE {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Removes at most `most` of their dead letters, and returns how many.
pub(super) fn drop_letters(
    tx: &Tx<'_>,
    p: Partition,
    names: &BTreeSet<DestinationName>,
    most: usize,
) -> Result<usize, Failed> {
    let sql = "DELETE FROM dead_letter WHERE number IN \
               (SELECT number FROM dead_letter WHERE destination = ?1 AND partition = ?2 LIMIT ?3)";
    let mut gone = 0;
    for name in names {
        gone += tx.run(sql, (name.as_str(), p.0, most - gone))?;
        if gone == most {
            break;
        }
    }
    Ok(gone)
}

/// Removes all that the destination has. Returns what that adds to the checksum over progress.
pub(super) fn drop_all(tx: &Tx<'_>, p: Partition, name: &DestinationName) -> Result<i64, Failed> {
    let before = digest::of_destination(tx.conn, p, name.as_str())?;
    for table in ["behind", "lane", "dead_letter", "replay", "replay_behind", "replay_number", "expiry"] {
        let sql = format!("DELETE FROM {table} WHERE partition = ?1 AND destination = ?2");
        tx.run(&sql, (p.0, name.as_str()))?;
    }
    Ok(before.wrapping_neg())
}
