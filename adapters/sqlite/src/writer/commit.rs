//! Commits of progress.

mod expiry;
mod replays;

use super::{dropped, lease};
use crate::digest;
use crate::failure::{self, Failed, unreadable};
use crate::history;
use crate::progress;
use crate::request::Tx;
use crate::row::{moment, signed};
use crate::schema::{EVENT_COLUMNS, PAGE_BYTES};
use laneway_domain::{
    Backoff, Behind, Commit, Cut, DestinationName, Failure, GivenUp, LaneChange, Offset, Partition, Position,
    Quarantined, Redriven, RetryState,
};
use laneway_ports::{Lease, StoreError};
use rusqlite::{Connection, OptionalExtension, Row};

/// [`laneway_ports::ProgressStore::commit`]. `false`, and nothing changed: [`drop_letters`] has to come before, until
/// there are few.
pub(crate) fn commit(tx: &mut Tx<'_>, lease: &Lease, commit: &Commit) -> Result<bool, Failed> {
    let p = lease.partition;
    lease::check(tx, lease)?;
    refuse_beyond_the_end(tx, p, commit)?;
    if dropped::has_many_letters(tx, p, &commit.dropped)? {
        return Ok(false);
    }
    let mut changed = 0_i64;
    if let Some(scanned) = commit.scanned {
        let row = || digest::of_partition(tx.conn, p);
        let update = "UPDATE partition SET scanned = ?2 WHERE partition = ?1";
        changed = difference(row, || Ok(tx.run(update, (p.0, signed(scanned.0)?)).map(drop)?))?;
    }
    if let Some(cut) = commit.cut {
        changed = changed.wrapping_add(add_cut(tx, p, cut)?);
    }
    for name in &commit.dropped {
        changed = changed.wrapping_add(dropped::drop_all(tx, p, name)?);
    }
    for (name, change) in &commit.lanes {
        changed = changed.wrapping_add(change_lane(tx, p, name, change)?);
    }
    digest::add(tx.conn, p, changed)?;
    for redriven in &commit.redriven {
        end_retry(tx, p, redriven)?;
    }
    for given_up in &commit.dead_letters {
        add_dead_letter(tx, p, given_up)?;
    }
    for quarantined in &commit.quarantined {
        quarantine(tx, p, quarantined)?;
    }
    if let Some(told) = &commit.history {
        history::add(tx, lease, told)?;
    }
    Ok(true)
}

/// Removes at most `most` dead letters of the destinations that the commit drops, under the conditions of the commit;
/// returns how many.
pub(crate) fn drop_letters(tx: &Tx<'_>, lease: &Lease, commit: &Commit, most: usize) -> Result<usize, Failed> {
    lease::check(tx, lease)?;
    refuse_beyond_the_end(tx, lease.partition, commit)?;
    dropped::drop_letters(tx, lease.partition, &commit.dropped, most)
}

/// Adds a cut as [`laneway_domain::Cuts::add`] does. Returns what it adds to the checksum over progress.
fn add_cut(tx: &Tx<'_>, p: Partition, cut: Cut) -> Result<i64, Failed> {
    let last = progress::last_cut(tx.conn, p)?;
    if last.is_some_and(|last| cut.revision <= last.revision) {
        return Ok(0);
    }
    let at = signed(last.map_or(cut.at, |last| last.at.max(cut.at)).0)?;
    let sql = "INSERT INTO cut (partition, at, revision) VALUES (?1, ?2, ?3) \
               ON CONFLICT DO UPDATE SET revision = excluded.revision";
    let row = || digest::of_cuts(tx.conn, p, at, at + 1);
    difference(row, || Ok(tx.run(sql, (p.0, at, signed(cut.revision.0)?)).map(drop)?))
}

fn refuse_beyond_the_end(tx: &Tx<'_>, p: Partition, commit: &Commit) -> Result<(), StoreError> {
    let end = Offset(tx.ends.get(p.0 as usize).copied().unwrap_or(0));
    let dead = commit.dead_letters.iter().map(|given_up| given_up.offset.next());
    let highest = dead.fold(commit.highest(), Offset::max);
    if highest <= end {
        return Ok(());
    }
    Err(StoreError::refused(format!(
        "progress up to {highest} cannot be stored for partition {p}, which ends at {end}: \
         whoever has seen more has seen another log. Was an older copy of the store put back?"
    )))
}

/// What a change adds to the checksum over progress: that of the row it makes, less that of the row that was.
fn difference(
    row: impl Fn() -> rusqlite::Result<i64>,
    change: impl FnOnce() -> Result<(), Failed>,
) -> Result<i64, Failed> {
    let before = row()?;
    change()?;
    Ok(row()?.wrapping_sub(before))
}

/// Returns what it adds to the checksum over progress.
fn change_lane(tx: &Tx<'_>, p: Partition, name: &DestinationName, change: &LaneChange) -> Result<i64, Failed> {
    let lane = || digest::of_lane(tx.conn, p, name.as_str());
    let mut changed = difference(lane, || change_lane_itself(tx, p, name, change))?;
    if let Some(born) = change.born {
        let row = || digest::of_born(tx.conn, p, name.as_str());
        let sql = "UPDATE lane SET born = ?3 WHERE partition = ?1 AND destination = ?2";
        let set = || Ok(tx.run(sql, (p.0, name.as_str(), signed(born.0)?)).map(drop)?);
        changed = changed.wrapping_add(difference(row, set)?);
    }
    for (key, behind) in &change.behind {
        let key = key.to_string();
        let row = || digest::of_behind(tx.conn, p, name.as_str(), &key);
        changed = changed.wrapping_add(difference(row, || change_behind(tx, p, name, &key, behind.as_ref()))?);
    }
    expiry::change(tx, p, name, change)?;
    for (id, replay) in &change.replays {
        changed = changed.wrapping_add(replays::change(tx, p, (name, id), replay.as_ref())?);
    }
    Ok(changed)
}

fn change_lane_itself(tx: &Tx<'_>, p: Partition, name: &DestinationName, change: &LaneChange) -> Result<(), Failed> {
    let lane = (p.0, name.as_str());
    tx.run("INSERT INTO lane (partition, destination) VALUES (?1, ?2) ON CONFLICT DO NOTHING", lane)?;
    if let Some(position) = change.position {
        let scanned = match position {
            Position::Shared => None,
            Position::At(offset) => Some(signed(offset.0)?),
        };
        let sql = "UPDATE lane SET scanned = ?3 WHERE partition = ?1 AND destination = ?2";
        tx.run(sql, (p.0, name.as_str(), scanned))?;
    }
    if let Some(pause) = &change.paused {
        let since = pause.as_ref().map(|pause| moment(pause.since));
        let reason = pause.as_ref().map(|pause| pause.reason.as_ref());
        let sql = "UPDATE lane SET paused_since = ?3, paused_reason = ?4 WHERE partition = ?1 AND destination = ?2";
        tx.run(sql, (p.0, name.as_str(), since, reason))?;
    }
    Ok(())
}

fn change_behind(
    tx: &Tx<'_>,
    p: Partition,
    name: &DestinationName,
    key: &str,
    behind: Option<&Behind>,
) -> Result<(), Failed> {
    let Some(behind) = behind else {
        let sql = "DELETE FROM behind WHERE partition = ?1 AND destination = ?2 AND key = ?3";
        tx.run(sql, (p.0, name.as_str(), key))?;
        return Ok(());
    };
    let retry = behind.retry.as_ref().map(json).transpose()?;
    let sql = "INSERT INTO behind (partition, destination, key, offset, retry) VALUES (?1, ?2, ?3, ?4, ?5) \
               ON CONFLICT DO UPDATE SET offset = excluded.offset, retry = excluded.retry";
    tx.run(sql, (p.0, name.as_str(), key, signed(behind.offset.0)?, retry))?;
    Ok(())
}

fn json(retry: &RetryState) -> Result<String, StoreError> {
    serde_json::to_string(retry).map_err(|error| StoreError::refused(format!("a retry state is not JSON: {error}")))
}

fn end_retry(tx: &Tx<'_>, p: Partition, redriven: &Redriven) -> Result<(), Failed> {
    let at = (p.0, signed(redriven.offset.0)?, redriven.destination.as_str());
    let Some(failed) = &redriven.failed else {
        tx.run("DELETE FROM dead_letter WHERE partition = ?1 AND offset = ?2 AND destination = ?3", at)?;
        return Ok(());
    };
    // Only while the retry is asked for: the same commit again must not add the failure again.
    let sql = "SELECT number, retry FROM dead_letter \
               WHERE partition = ?1 AND offset = ?2 AND destination = ?3 AND retry_requested = 1";
    // A commit must not fail because what it adds to cannot be read, whatever it is.
    let read = |row: &Row<'_>| {
        let retry = row.get_ref(1)?.as_bytes().unwrap_or_default();
        Ok((row.get(0)?, String::from_utf8_lossy(retry).into_owned()))
    };
    let found: Option<(i64, String)> = tx.conn.prepare_cached(sql)?.query_row(at, read).optional()?;
    let Some((number, retry)) = found else { return Ok(()) };
    let retry = with_failure(number, &retry, failed)?;
    tx.run("UPDATE dead_letter SET retry = ?2, retry_requested = 0 WHERE number = ?1", (number, retry))?;
    Ok(())
}

fn with_failure(number: i64, retry: &str, failure: &Failure) -> Result<String, StoreError> {
    let before: Option<RetryState> = match serde_json::from_str(retry) {
        Ok(before) => Some(before),
        Err(error) => {
            // The history is for people; a commit must not fail because of an unreadable one.
            tracing::warn!("{}", unreadable("dead_letter", number, error));
            None
        }
    };
    json(&Backoff::note(before, failure.clone()))
}

fn add_dead_letter(tx: &mut Tx<'_>, p: Partition, given_up: &GivenUp) -> Result<(), Failed> {
    let sql = format!(
        "INSERT INTO dead_letter (partition, offset, destination, lane_key, reason, at, retry, {EVENT_COLUMNS}) \
         SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, {EVENT_COLUMNS} FROM event_{p} WHERE offset = ?2 \
         ON CONFLICT (partition, offset, destination) DO NOTHING RETURNING length(data)"
    );
    let (name, offset) = (given_up.destination.as_str(), signed(given_up.offset.0)?);
    if let Some(aside) = tx.aside
        && let Err(error) = look_at_event(aside, p, offset)
    {
        if !failure::is_damage(&error) {
            return Err(error.into());
        }
        // Its page was damaged after it was read. Progress must not stand still for that.
        let reason = format!("given up by {name} ({}), and its event cannot be copied: {error}", given_up.reason);
        return quarantine(tx, p, &Quarantined { offset: given_up.offset, reason: reason.into() });
    }
    let key = given_up.key.to_string();
    let retry = json(&given_up.retry)?;
    let values = (p.0, offset, name, key, given_up.reason.as_ref(), moment(given_up.at), retry);
    // No row: it is there already, or trimmed, so that this commit has come before.
    let copied: Option<u64> = tx.conn.prepare_cached(&sql)?.query_row(values, |row| row.get(0)).optional()?;
    *tx.written += copied.map_or(0, |data| data + PAGE_BYTES);
    Ok(())
}

/// Reads all of an event, if it is there.
fn look_at_event(conn: &Connection, p: Partition, offset: i64) -> rusqlite::Result<()> {
    let sql = format!("SELECT {EVENT_COLUMNS} FROM event_{p} WHERE offset = ?1");
    let mut stmt = conn.prepare_cached(&sql)?;
    let columns = stmt.column_count();
    let read = |row: &Row<'_>| (0..columns).try_for_each(|column| row.get_ref(column).map(drop));
    stmt.query_row([offset], read).optional().map(drop)
}

fn quarantine(tx: &Tx<'_>, p: Partition, quarantined: &Quarantined) -> Result<(), Failed> {
    let offset = signed(quarantined.offset.0)?;
    let sql = format!("SELECT data FROM event_{p} WHERE offset = ?1");
    let read = tx.aside.unwrap_or(tx.conn);
    let kept = read.prepare_cached(&sql)?.query_row([offset], |row| row.get::<_, rusqlite::types::Value>(0));
    let data = match kept {
        Ok(rusqlite::types::Value::Blob(data)) => Some(data),
        Ok(_) | Err(rusqlite::Error::QueryReturnedNoRows) => None,
        Err(error) if failure::is_damage(&error) && tx.aside.is_some() => None,
        Err(error) => return Err(error.into()),
    };
    let sql = "INSERT INTO quarantine (partition, offset, reason, data) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";
    tx.run(sql, (p.0, offset, quarantined.reason.as_ref(), data))?;
    Ok(())
}

/// [`laneway_ports::ProgressStore::forget`].
pub(crate) fn forget(tx: &Tx<'_>, name: &DestinationName) -> Result<bool, Failed> {
    let mut gone = 0;
    tx.run("DELETE FROM expiry WHERE destination = ?1", [name.as_str()])?;
    for table in ["behind", "lane", "dead_letter", "replay", "replay_behind", "replay_number"] {
        gone += tx.run(&format!("DELETE FROM {table} WHERE destination = ?1"), [name.as_str()])?;
    }
    // Summed up anew from what is left, in every partition.
    tx.run("UPDATE partition SET digest = NULL", [])?;
    for p in (0..tx.ends.len()).filter_map(|p| u32::try_from(p).ok()).map(Partition) {
        digest::begin(tx.conn, p)?;
    }
    Ok(gone > 0)
}
