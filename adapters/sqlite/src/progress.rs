//! Reading progress.

use crate::digest;
use crate::failure::unreadable;
use crate::readers::ReadFailed;
use crate::row::instant;
use crate::settled;
use laneway_domain::{
    Behind, Cut, Cuts, DestinationName, Expiry, LaneKey, LaneProgress, Offset, Partition, PartitionProgress, Pause,
    Position, Redrive, ReplayId, ReplayMark, ReplayProgress, Revision, Timestamp,
};
use laneway_ports::{MAX_DEAD_LETTER_PAGE, StoreError, Tenure, TenureEnd, WorkerId};
use rusqlite::{Connection, OptionalExtension, Row, Rows};

/// The partition's progress, as of one moment.
pub(crate) fn load(conn: &Connection, p: Partition) -> Result<PartitionProgress, ReadFailed> {
    // Only a transaction sees all tables as of one moment; dropping it ends it.
    let tx = conn.unchecked_transaction()?;
    let scanned: u64 =
        tx.prepare_cached("SELECT scanned FROM partition WHERE partition = ?1")?.query_row([p.0], |row| row.get(0))?;
    let mut progress = PartitionProgress { scanned: Offset(scanned), ..PartitionProgress::default() };
    load_lanes(&tx, p, &mut progress)?;
    load_behind(&tx, p, &mut progress)?;
    load_replays(&tx, p, &mut progress)?;
    load_expiry(&tx, p, &mut progress)?;
    progress.cuts = cuts(&tx, p)?;
    // A row that cannot be read at all has been named by now.
    digest::check(&tx, p)??;
    settled::check(&tx, p, &progress)??;
    // Of those that cannot be read [`laneway_ports::DeadLetters::retry_requested`] tells.
    progress.redrives = retry_requested(&tx, p, None, MAX_DEAD_LETTER_PAGE)?.readable;
    Ok(progress)
}

/// [`laneway_ports::ProgressStore::standing`].
pub(crate) fn standing(
    conn: &Connection,
    p: Partition,
    destinations: &[DestinationName],
    keys: &[LaneKey],
) -> Result<PartitionProgress, ReadFailed> {
    let tx = conn.unchecked_transaction()?;
    let scanned: u64 =
        tx.prepare_cached("SELECT scanned FROM partition WHERE partition = ?1")?.query_row([p.0], |row| row.get(0))?;
    let mut progress = PartitionProgress { scanned: Offset(scanned), ..PartitionProgress::default() };
    let mut lanes = tx.prepare_cached(&format!("{LANES} AND destination = ?2"))?;
    let mut behind = tx.prepare_cached(&format!("{BEHIND} AND destination = ?2 AND key = ?3"))?;
    for name in destinations {
        take_lanes(lanes.query((p.0, name.as_str()))?, &mut progress)?;
        for key in keys {
            take_behind(behind.query((p.0, name.as_str(), key.to_string()))?, &mut progress)?;
        }
    }
    drop((lanes, behind));
    progress.cuts = cuts(&tx, p)?;
    Ok(progress)
}

/// The lanes of a partition.
const LANES: &str = "SELECT destination, scanned, paused_since, paused_reason, born FROM lane WHERE partition = ?1";
/// The keys of its lanes that are behind.
const BEHIND: &str = "SELECT destination, key, offset, retry FROM behind WHERE partition = ?1";

fn load_lanes(conn: &Connection, p: Partition, progress: &mut PartitionProgress) -> Result<(), ReadFailed> {
    take_lanes(conn.prepare_cached(LANES)?.query([p.0])?, progress)
}

fn take_lanes(mut rows: Rows<'_>, progress: &mut PartitionProgress) -> Result<(), ReadFailed> {
    while let Some(row) = rows.next()? {
        let name = destination(row, 0, "lane")?;
        let scanned: Option<u64> = row.get(1)?;
        let since: Option<i64> = row.get(2)?;
        let reason: Option<String> = row.get(3)?;
        let paused = match (since.map(instant), reason) {
            (None, _) => None,
            (Some(Some(since)), reason) => Some(Pause { since, reason: reason.unwrap_or_default().into() }),
            (Some(None), _) => return Err(unreadable("lane", name, "paused_since is negative").into()),
        };
        let position = scanned.map_or(Position::Shared, |offset| Position::At(Offset(offset)));
        let born = Revision(row.get(4)?);
        progress.lanes.insert(name, LaneProgress { born, position, paused, ..LaneProgress::default() });
    }
    Ok(())
}

fn load_behind(conn: &Connection, p: Partition, progress: &mut PartitionProgress) -> Result<(), ReadFailed> {
    take_behind(conn.prepare_cached(BEHIND)?.query([p.0])?, progress)
}

fn take_behind(mut rows: Rows<'_>, progress: &mut PartitionProgress) -> Result<(), ReadFailed> {
    while let Some(row) = rows.next()? {
        let name = destination(row, 0, "behind")?;
        let key = lane_key(row, 1, "behind")?;
        let of = format!("of destination {name}, key {key}");
        let retry: Option<String> = row.get(3)?;
        let retry = retry.map(|json| serde_json::from_str(&json)).transpose();
        let behind = Behind { offset: Offset(row.get(2)?), retry: retry.map_err(|e| unreadable("behind", &of, e))? };
        let lane = progress.lanes.get_mut(&name).ok_or_else(|| unreadable("behind", &of, "it has no lane"))?;
        lane.behind.insert(key, behind);
    }
    Ok(())
}

fn load_replays(conn: &Connection, p: Partition, progress: &mut PartitionProgress) -> Result<(), ReadFailed> {
    let sql = "SELECT destination, id, spec, number, scanned, settled FROM replay WHERE partition = ?1";
    let mut stmt = conn.prepare_cached(sql)?;
    let mut rows = stmt.query([p.0])?;
    while let Some(row) = rows.next()? {
        let name = destination(row, 0, "replay")?;
        let (id, spec): (String, String) = (row.get(1)?, row.get(2)?);
        let of = format!("of destination {name}, id {id}");
        let id = ReplayId::new(&id).map_err(|e| unreadable("replay", &of, e))?;
        let spec = serde_json::from_str(&spec).map_err(|e| unreadable("replay", &of, e))?;
        let mark = ReplayMark { number: row.get(3)?, scanned: Offset(row.get(4)?), settled: row.get(5)? };
        let lane = progress.lanes.get_mut(&name).ok_or_else(|| unreadable("replay", &of, "it has no lane"))?;
        lane.replays.insert(id, ReplayProgress { mark, ..ReplayProgress::new(spec) });
    }
    let sql = "SELECT destination, replay, key, offset, retry FROM replay_behind WHERE partition = ?1";
    let mut stmt = conn.prepare_cached(sql)?;
    let mut rows = stmt.query([p.0])?;
    while let Some(row) = rows.next()? {
        let (name, key) = (destination(row, 0, "replay_behind")?, lane_key(row, 2, "replay_behind")?);
        let id: String = row.get(1)?;
        let of = format!("of destination {name}, replay {id}, key {key}");
        let retry: Option<String> = row.get(4)?;
        let retry = retry.map(|json| serde_json::from_str(&json)).transpose();
        let retry = retry.map_err(|e| unreadable("replay_behind", &of, e))?;
        let behind = Behind { offset: Offset(row.get(3)?), retry };
        let id = ReplayId::new(&id).map_err(|e| unreadable("replay_behind", &of, e))?;
        let replay = progress.lanes.get_mut(&name).and_then(|lane| lane.replays.get_mut(&id));
        replay.ok_or_else(|| unreadable("replay_behind", &of, "it has no replay"))?.behind.insert(key, behind);
    }
    let sql = "SELECT destination, last FROM replay_number WHERE partition = ?1";
    let mut stmt = conn.prepare_cached(sql)?;
    let mut rows = stmt.query([p.0])?;
    while let Some(row) = rows.next()? {
        let name = destination(row, 0, "replay_number")?;
        let lane = progress.lanes.get_mut(&name).ok_or_else(|| unreadable("replay_number", &name, "it has no lane"))?;
        lane.last_replay = row.get(1)?;
    }
    Ok(())
}

fn load_expiry(conn: &Connection, p: Partition, progress: &mut PartitionProgress) -> Result<(), ReadFailed> {
    let sql = "SELECT destination, born, expired, again_below, again_since FROM expiry WHERE partition = ?1";
    let mut stmt = conn.prepare_cached(sql)?;
    let mut rows = stmt.query([p.0])?;
    while let Some(row) = rows.next()? {
        let name = destination(row, 0, "expiry")?;
        let born = Revision(row.get(1)?);
        // A release that does not know the table may have dropped the destination, and somebody has made it anew.
        let Some(lane) = progress.lanes.get_mut(&name).filter(|lane| lane.born == born) else { continue };
        let since = instant(row.get(4)?).ok_or_else(|| unreadable("expiry", &name, "again_since is negative"))?;
        lane.expiry = Expiry { expired: row.get(2)?, again_below: Offset(row.get(3)?), again_since: since };
    }
    Ok(())
}

/// [`laneway_ports::ProgressStore::cuts`].
pub(crate) fn cuts(conn: &Connection, p: Partition) -> Result<Cuts, ReadFailed> {
    let mut stmt = conn.prepare_cached("SELECT at, revision FROM cut WHERE partition = ?1 ORDER BY at")?;
    let cuts = stmt.query_map([p.0], cut)?;
    Ok(Cuts::of(cuts.collect::<rusqlite::Result<_>>()?))
}

/// [`laneway_ports::ProgressStore::tenures`].
pub(crate) fn tenures(conn: &Connection, p: Partition) -> Result<Vec<Tenure>, ReadFailed> {
    let sql = "SELECT t.epoch, t.worker, t.since, coalesce(t.until, p.leased_until), t.handed_over \
               FROM tenure t JOIN partition p USING (partition) WHERE partition = ?1 ORDER BY t.epoch DESC";
    let mut stmt = conn.prepare_cached(sql)?;
    let rows = stmt.query_map([p.0], |row| {
        let handed_over: Option<bool> = row.get(4)?;
        let ended = handed_over.map(|it| if it { TenureEnd::HandedOver } else { TenureEnd::RanOut });
        let since = row.get::<_, Option<i64>>(2)?.and_then(instant);
        let until = instant(row.get(3)?).unwrap_or(Timestamp::ZERO);
        Ok(Tenure { epoch: row.get(0)?, worker: WorkerId(row.get(1)?), since, until, ended })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// [`laneway_ports::ProgressStore::taken`].
pub(crate) fn taken(conn: &Connection, partitions: &[Partition]) -> Result<Vec<Option<Cut>>, ReadFailed> {
    partitions.iter().map(|p| Ok(last_cut(conn, *p)?)).collect()
}

/// The partition's last cut.
pub(crate) fn last_cut(conn: &Connection, p: Partition) -> rusqlite::Result<Option<Cut>> {
    let sql = "SELECT at, revision FROM cut WHERE partition = ?1 ORDER BY at DESC LIMIT 1";
    conn.prepare_cached(sql)?.query_row([p.0], cut).optional()
}

fn cut(row: &Row<'_>) -> rusqlite::Result<Cut> {
    Ok(Cut { at: Offset(row.get(0)?), revision: Revision(row.get(1)?) })
}

/// Dead letters that someone wants retried.
#[derive(Default)]
pub(crate) struct Requests {
    pub(crate) readable: Vec<Redrive>,
    /// The numbers of those of which it cannot be told what they are, and why.
    pub(crate) unreadable: Vec<(i64, StoreError)>,
}

/// The dead letters of the partition that someone wants retried, of those behind `after`. One that is damaged must not
/// keep the others, or the whole partition, from going on.
pub(crate) fn retry_requested(
    conn: &Connection,
    p: Partition,
    after: Option<&(Offset, DestinationName)>,
    most: usize,
) -> Result<Requests, ReadFailed> {
    let sql = "SELECT number, destination, lane_key, offset FROM dead_letter \
               WHERE partition = ?1 AND retry_requested = 1 \
               AND (offset, destination) > (?3, ?4) ORDER BY offset, destination LIMIT ?2";
    let mut stmt = conn.prepare_cached(sql)?;
    let mut requests = Requests::default();
    // Of what no partition has as an offset, nothing is behind.
    let Ok(offset) = after.map_or(Ok(-1), |(offset, _)| i64::try_from(offset.0)) else { return Ok(requests) };
    let name = after.map_or("", |(_, name)| name.as_str());
    let mut rows = stmt.query((p.0, i64::try_from(most).unwrap_or(i64::MAX), offset, name))?;
    while let Some(row) = rows.next()? {
        match request(row) {
            Ok(request) => requests.readable.push(request),
            Err(failed) => {
                let number = row.get(0)?;
                requests.unreadable.push((number, failed.of_row("dead_letter", number)?));
            }
        }
    }
    Ok(requests)
}

fn request(row: &Row<'_>) -> Result<Redrive, ReadFailed> {
    Ok(Redrive {
        destination: destination(row, 1, "dead_letter")?,
        key: lane_key(row, 2, "dead_letter")?,
        offset: Offset(row.get(3)?),
    })
}

/// The destination's name in that column.
pub(crate) fn destination(row: &Row<'_>, column: usize, table: &str) -> Result<DestinationName, ReadFailed> {
    let text: String = row.get(column)?;
    DestinationName::new(&text).map_err(|error| unreadable(table, format!("of destination {text:?}"), error).into())
}

/// The lane's key in that column.
pub(crate) fn lane_key(row: &Row<'_>, column: usize, table: &str) -> Result<LaneKey, ReadFailed> {
    let text: String = row.get(column)?;
    let unreadable = || -> StoreError { unreadable(table, format!("of key {text:?}"), "this is not a key") };
    LaneKey::parse(&text).ok_or_else(|| unreadable().into())
}
