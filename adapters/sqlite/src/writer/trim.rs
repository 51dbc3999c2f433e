//! Trimming: the log's oldest events go when everyone has settled them.

use crate::digest;
use crate::failure::{self, Failed};
use crate::request::Tx;
use crate::row::{instant, signed};
use crate::settled::settled_below;
use laneway_domain::{Age, Ages, Offset, Oldest, Partition, Timestamp};
use rusqlite::{Connection, OptionalExtension, Rows, Statement};

/// The most bytes of data that one trim removes, but for a single event: some ten milliseconds of the writer, for which
/// everybody else waits.
const TRIM_BYTES: u64 = 8 << 20;
/// Events that stay before damaged ones: more than two pages hold, one that goes and one beside it.
const STAY_BEFORE_DAMAGE: usize = 256;

/// Removes at most `most` of the oldest events that everyone has settled and that were accepted
/// before `before`, and no more than [`TRIM_BYTES`] of them. Returns how many, and whether there may be more.
pub(crate) fn trim(tx: &mut Tx<'_>, p: Partition, before: Timestamp, most: usize) -> Result<(usize, bool), Failed> {
    let mut settled = settled_below(tx.conn, p)?;
    if let Some(aside) = tx.aside {
        settled = settled.min(damaged_from(aside, p, settled, most)?);
    }
    if settled == 0 {
        return Ok((0, false));
    }
    let sql =
        format!("SELECT offset, accepted_at, length(data) FROM event_{p} WHERE offset < ?1 ORDER BY offset LIMIT ?2");
    let limit = i64::try_from(most).unwrap_or(i64::MAX);
    let mut stmt = tx.conn.prepare_cached(&sql)?;
    let next = format!("SELECT offset, accepted_at FROM event_{p} WHERE offset >= ?1 ORDER BY offset LIMIT 1");
    let mut next = tx.conn.prepare_cached(&next)?;
    let ages = Ages::new(before, tx.now);
    let (last, cut_off) = last_old(ages, stmt.query((signed(settled)?, limit))?, settled, &mut next)?;
    let Some(last) = last else { return Ok((0, false)) };
    let start = Offset(last).next();
    let removed = tx.run(&format!("DELETE FROM event_{p} WHERE offset < ?1"), [signed(start.0)?])?;
    // The next offset must not depend on a row that may be gone: this is what it is at least.
    let before = digest::of_partition(tx.conn, p)?;
    tx.run("UPDATE partition SET trimmed = ?2 WHERE partition = ?1", (p.0, signed(start.0)?))?;
    let changed = digest::of_partition(tx.conn, p)?.wrapping_sub(before);
    digest::add(tx.conn, p, changed.wrapping_add(trim_cuts(tx, p, start)?))?;
    tx.starts.push((p.0 as usize, start));
    Ok((removed, cut_off || removed == most))
}

/// Up to where the oldest events can be removed although some behind them cannot be read. Whoever removes all of a page
/// also looks at the pages beside it, so that more than a page stays.
fn damaged_from(aside: &Connection, p: Partition, settled: u64, most: usize) -> Result<u64, Failed> {
    // The last column is behind all pages that the row has.
    let sql = format!("SELECT offset, tenant FROM event_{p} WHERE offset < ?1 ORDER BY offset LIMIT ?2");
    let mut stmt = aside.prepare_cached(&sql)?;
    let at_most = i64::try_from(most.saturating_add(STAY_BEFORE_DAMAGE)).unwrap_or(i64::MAX);
    let mut rows = stmt.query((signed(settled)?, at_most))?;
    let mut readable = Vec::new();
    let mut next = || -> rusqlite::Result<Option<u64>> {
        let Some(row) = rows.next()? else { return Ok(None) };
        row.get_ref(1)?;
        row.get(0).map(Some)
    };
    loop {
        match next() {
            Ok(Some(offset)) => readable.push(offset),
            Ok(None) => return Ok(settled),
            Err(error) if failure::is_damage(&error) => {
                let stay = readable.len().saturating_sub(STAY_BEFORE_DAMAGE);
                return Ok(readable.get(stay).copied().unwrap_or(0));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Up to which of the rows (a place, when it was accepted, its bytes; the oldest first) all may go. `next` answers with
/// the first row from a place on; what tells how old a row is whose time lies ahead is looked for up to `below`. Also
/// answers whether it stopped because of their bytes.
pub(super) fn last_old(
    ages: Ages,
    mut rows: Rows<'_>,
    below: u64,
    next: &mut Statement<'_>,
) -> rusqlite::Result<(Option<u64>, bool)> {
    // A time that cannot be, which no event was given, counts for as old as it may.
    let accepted = |stored: i64| instant(stored).unwrap_or(Timestamp::ZERO);
    let (mut oldest, mut bytes, mut cut_off) = (Oldest::default(), 0_u64, false);
    while let Some(row) = rows.next()? {
        // The first one is taken whatever it has.
        let before = bytes;
        bytes = bytes.saturating_add(row.get(2)?);
        if before > 0 && bytes > TRIM_BYTES {
            cut_off = true;
            break;
        }
        if !oldest.add(row.get(0)?, ages.of(accepted(row.get(1)?))) {
            break;
        }
    }
    let Some(last) = oldest.may_follow else { return Ok((oldest.may_go, cut_off)) };
    let behind = ages.behind(last + 1, below, |from| {
        let from = i64::try_from(from).unwrap_or(i64::MAX);
        next.query_row([from], |row| Ok((row.get(0)?, accepted(row.get(1)?)))).optional()
    })?;
    Ok((if behind == Some(Age::Old) { Some(last) } else { oldest.may_go }, cut_off))
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
