//! What a commit says of replays.

use super::{difference, json};
use crate::digest;
use crate::failure::Failed;
use crate::request::Tx;
use crate::row::signed;
use laneway_domain::{Behind, DestinationName, Partition, ReplayChange, ReplayId, ReplayMark, ReplaySpec};
use laneway_ports::StoreError;

/// Which replay.
type Of<'a> = (&'a DestinationName, &'a ReplayId);

/// Applies a change. Returns what it adds to the checksum over progress.
pub(super) fn change(tx: &Tx<'_>, p: Partition, of: Of<'_>, change: Option<&ReplayChange>) -> Result<i64, Failed> {
    let (name, id) = (of.0.as_str(), of.1.as_str());
    let mut changed = 0_i64;
    let made = change.and_then(|change| change.made.as_ref());
    if change.is_none() || made.is_some() {
        let keys = || digest::of_replay_keys(tx.conn, p, name, id);
        changed = changed.wrapping_add(difference(keys, || remove_keys(tx, p, of))?);
    }
    let row = || digest::of_replay(tx.conn, p, name, id);
    changed = changed.wrapping_add(difference(row, || change_itself(tx, p, of, change))?);
    let Some(change) = change else { return Ok(changed) };
    if row()? == 0 {
        return Ok(changed); // What nobody has begun does not go on.
    }
    if let Some(mark) = change.mark {
        let row = || digest::of_replay_number(tx.conn, p, name);
        changed = changed.wrapping_add(difference(row, || note_number(tx, p, of.0, mark))?);
    }
    for (key, behind) in &change.behind {
        let key = key.to_string();
        let row = || digest::of_replay_key(tx.conn, p, (name, id, &key));
        changed = changed.wrapping_add(difference(row, || change_key(tx, p, of, &key, behind.as_ref()))?);
    }
    Ok(changed)
}

fn remove_keys(tx: &Tx<'_>, p: Partition, (name, id): Of<'_>) -> Result<(), Failed> {
    let sql = "DELETE FROM replay_behind WHERE partition = ?1 AND destination = ?2 AND replay = ?3";
    Ok(tx.run(sql, (p.0, name.as_str(), id.as_str())).map(drop)?)
}

fn change_itself(tx: &Tx<'_>, p: Partition, of: Of<'_>, change: Option<&ReplayChange>) -> Result<(), Failed> {
    let (name, id) = (of.0.as_str(), of.1.as_str());
    let Some(change) = change else {
        let sql = "DELETE FROM replay WHERE partition = ?1 AND destination = ?2 AND id = ?3";
        return Ok(tx.run(sql, (p.0, name, id)).map(drop)?);
    };
    if let Some(spec) = &change.made {
        let sql = "INSERT OR REPLACE INTO replay (partition, destination, id, spec, until, number, scanned, settled) \
                   VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6, 0)";
        tx.run(sql, (p.0, name, id, spec_json(spec)?, signed(spec.until.0)?, signed(spec.from.0)?))?;
    }
    if let Some(ReplayMark { number, scanned, settled }) = change.mark {
        let sql = "UPDATE replay SET number = ?4, scanned = ?5, settled = ?6 \
                   WHERE partition = ?1 AND destination = ?2 AND id = ?3";
        tx.run(sql, (p.0, name, id, signed(number)?, signed(scanned.0)?, signed(settled)?))?;
    }
    Ok(())
}

/// No later replay gets a number that one has had.
fn note_number(tx: &Tx<'_>, p: Partition, name: &DestinationName, mark: ReplayMark) -> Result<(), Failed> {
    if mark.number == 0 {
        return Ok(());
    }
    let sql = "INSERT INTO replay_number (partition, destination, last) VALUES (?1, ?2, ?3) \
               ON CONFLICT DO UPDATE SET last = max(last, excluded.last)";
    Ok(tx.run(sql, (p.0, name.as_str(), signed(mark.number)?)).map(drop)?)
}

fn change_key(tx: &Tx<'_>, p: Partition, of: Of<'_>, key: &str, behind: Option<&Behind>) -> Result<(), Failed> {
    let (name, id) = (of.0.as_str(), of.1.as_str());
    let Some(behind) = behind else {
        let sql = "DELETE FROM replay_behind WHERE partition = ?1 AND destination = ?2 AND replay = ?3 AND key = ?4";
        return Ok(tx.run(sql, (p.0, name, id, key)).map(drop)?);
    };
    let retry = behind.retry.as_ref().map(json).transpose()?;
    let sql = "INSERT INTO replay_behind (partition, destination, replay, key, offset, retry) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET offset = excluded.offset, retry = excluded.retry";
    Ok(tx.run(sql, (p.0, name, id, key, signed(behind.offset.0)?, retry)).map(drop)?)
}

fn spec_json(spec: &ReplaySpec) -> Result<String, StoreError> {
    serde_json::to_string(spec).map_err(|error| StoreError::refused(format!("a replay is not JSON: {error}")))
}
