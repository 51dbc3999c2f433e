//! Appending events: the hot path.

use super::trim::last_old;
use crate::checkpoint::PAGES_PER_TABLE;
use crate::row::{self, Scratch, instant, moment, signed};
use crate::schema::PAGE_BYTES;
use crate::shared::Shared;
use laneway_domain::{Ages, LoggedEvent, NewEvent, Offset, Partition, Timestamp};
use laneway_ports::{Appended, StoreError};
use rusqlite::{Connection, OptionalExtension, Statement};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// How many old ids are forgotten at least per group that finds any. More than a group of single
/// events brings, so that forgetting keeps up; a group that brings more forgets twice as many.
const FORGET_IDS: u64 = 500;
/// The same while there is no room: each may cost a page of the log, and this many together a part of what is left.
const FORGET_WHILE_SHORT: u64 = 32;
/// The longest that ids stay beyond their window before anyone looks.
const EXPIRY_CHECK: Duration = Duration::from_secs(1);

const REMEMBER_ID: &str = "INSERT INTO given_id (partition, id, offset, accepted_at) VALUES (?1, ?2, ?3, ?4) \
                           ON CONFLICT (partition, id) DO NOTHING";

pub(super) struct Appender<'c> {
    conn: &'c Connection,
    shared: &'c Arc<Shared>,
    window: Duration,
    /// The insert of each partition, prepared when it is first used.
    inserts: Vec<Option<Statement<'c>>>,
    /// The next offset of each partition.
    ends: Vec<u64>,
    /// Partitions with new events in this group.
    touched: Vec<usize>,
    /// The new events of this group, in order.
    fresh: Vec<(Arc<LoggedEvent>, IdGiven)>,
    /// Those that were asked for in this group and are not new, or were not taken, in order.
    spare: Vec<NewEvent>,
    fresh_bytes: u64,
    given_ids: u64,
    /// How many ids the last group that was stored has brought.
    lately_given: u64,
    written_bytes: u64,
    next_expiry: Timestamp,
    scratch: Scratch,
}

/// [`NewEvent::id_given`].
type IdGiven = bool;

/// The events of a group that was undone.
pub(super) struct TakenBack {
    fresh: std::vec::IntoIter<(Arc<LoggedEvent>, IdGiven)>,
    spare: std::vec::IntoIter<NewEvent>,
}

impl TakenBack {
    /// The next one, which was placed so.
    pub(super) fn next(&mut self, placed: &Result<Appended, StoreError>) -> Option<NewEvent> {
        match placed {
            Ok(Appended { duplicate: false, .. }) => {
                let (logged, id_given) = self.fresh.next()?;
                // Nobody else has it before it is stored.
                Arc::into_inner(logged).map(|logged| NewEvent { event: logged.event, id_given })
            }
            _ => self.spare.next(),
        }
    }
}

impl<'c> Appender<'c> {
    pub(super) fn new(conn: &'c Connection, shared: &'c Arc<Shared>, window: Duration) -> Self {
        let partitions = shared.partitions() as usize;
        Self {
            conn,
            shared,
            window,
            inserts: (0..partitions).map(|_| None).collect(),
            ends: (0..partitions).map(|index| shared.end(index).0).collect(),
            touched: Vec::new(),
            fresh: Vec::new(),
            spare: Vec::new(),
            fresh_bytes: 0,
            given_ids: 0,
            lately_given: 0,
            written_bytes: 0,
            next_expiry: Timestamp::ZERO,
            scratch: Scratch::default(),
        }
    }

    pub(super) fn ends(&self) -> &[u64] {
        &self.ends
    }

    pub(super) fn append(&mut self, new: NewEvent, now: Timestamp) -> rusqlite::Result<Appended> {
        let partition = Partition::of(new.event.ordered_by(), self.shared.partitions());
        let index = partition.0 as usize;
        let offset = Offset(self.ends[index]);
        let given = new.remembered_as().map(Cow::into_owned);
        if let Some(id) = &given {
            let known = match self.remember(partition, id, offset, now) {
                Ok(None) => None,
                Ok(Some(first)) => Some(Ok(Appended { partition, offset: first, duplicate: true })),
                Err(error) => Some(Err(error)),
            };
            if let Some(known) = known {
                self.spare.push(new);
                return known;
            }
        }
        let id_given = new.id_given;
        let logged = Arc::new(LoggedEvent { partition, offset, accepted_at: now, event: new.event });
        let inserted = self.insert(index, &logged);
        if let Err(error) = inserted {
            self.spare.extend(Arc::into_inner(logged).map(|logged| NewEvent { event: logged.event, id_given }));
            if let Some(id) = given.filter(|_| !self.conn.is_autocommit()) {
                let sql = "DELETE FROM given_id WHERE partition = ?1 AND id = ?2";
                self.conn.prepare_cached(sql)?.execute((partition.0, id))?;
            }
            return Err(error);
        }
        if offset == self.shared.end(index) {
            self.touched.push(index);
        }
        self.ends[index] = offset.next().0;
        self.fresh_bytes += logged.event.weight() as u64;
        self.fresh.push((logged, id_given));
        Ok(Appended { partition, offset, duplicate: false })
    }

    fn insert(&mut self, index: usize, logged: &LoggedEvent) -> rusqlite::Result<()> {
        let stmt = match &mut self.inserts[index] {
            Some(stmt) => stmt,
            none => none.insert(self.conn.prepare(&row::insert_sql(index))?),
        };
        row::insert(stmt, logged, &mut self.scratch)
    }

    /// Remembers that the id went to `offset`, unless it is known: then returns where it went.
    fn remember(&mut self, p: Partition, id: &str, offset: Offset, now: Timestamp) -> rusqlite::Result<Option<Offset>> {
        self.given_ids += 1;
        let values = (p.0, id, signed(offset.0)?, moment(now));
        if self.conn.prepare_cached(REMEMBER_ID)?.execute(values)? == 1 {
            return Ok(None);
        }
        let sql = "SELECT offset, accepted_at FROM given_id WHERE partition = ?1 AND id = ?2";
        let known: Option<(u64, i64)> =
            self.conn.prepare_cached(sql)?.query_row((p.0, id), |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let recent = known.filter(|(_, at)| instant(*at).is_some_and(|at| now.since(at) < self.window));
        if let Some((first, _)) = recent {
            return Ok(Some(Offset(first)));
        }
        // Its window is over and it has not been forgotten yet. It goes to the young end, so that
        // the order of numbers stays that of time.
        self.conn.prepare_cached("DELETE FROM given_id WHERE partition = ?1 AND id = ?2")?.execute((p.0, id))?;
        self.conn.prepare_cached(REMEMBER_ID)?.execute(values)?;
        Ok(None)
    }

    /// Forgets some of the ids whose window is over, in a transaction of its own; few where there is little room.
    /// Called between groups, so that none fails with it.
    pub(super) fn expire_ids(&mut self, now: Timestamp, is_short: bool) -> rusqlite::Result<()> {
        let most = if is_short { FORGET_WHILE_SHORT } else { FORGET_IDS.max(2 * self.lately_given) };
        // Where it lies further ahead, the clock was set back.
        if now < self.next_expiry && self.next_expiry <= now.after(EXPIRY_CHECK) {
            return Ok(());
        }
        // The window is over from its last millisecond on.
        let ages = Ages::new(now.before(self.window).after(Duration::from_millis(1)), now);
        let mut stmt =
            self.conn.prepare_cached("SELECT number, accepted_at, 0 FROM given_id ORDER BY number LIMIT ?1")?;
        let next = "SELECT number, accepted_at FROM given_id WHERE number >= ?1 ORDER BY number LIMIT 1";
        let mut next = self.conn.prepare_cached(next)?;
        let below = "SELECT coalesce(max(number), 0) + 1 FROM given_id";
        let below: u64 = self.conn.prepare_cached(below)?.query_row([], |row| row.get(0))?;
        let mut old = 0;
        if let (Some(last), _) = last_old(ages, stmt.query([most])?, below, &mut next)? {
            let forget = "DELETE FROM given_id WHERE number <= ?1";
            // Looked at before the deletion, which may fail.
            self.next_expiry = now.after(EXPIRY_CHECK);
            old = self.conn.prepare_cached(forget)?.execute([i64::try_from(last).unwrap_or(i64::MAX)])? as u64;
            // Of each a leaf of the index over ids, which lie anywhere in it.
            self.written_bytes += old * PAGE_BYTES;
        }
        self.next_expiry = if old < most { now.after(EXPIRY_CHECK) } else { now };
        Ok(())
    }

    /// Makes the stored events of this group readable.
    pub(super) fn publish(&mut self) {
        let pages = (self.touched.len() as u64 + self.given_ids) * PAGES_PER_TABLE;
        self.written_bytes += self.fresh_bytes + pages * PAGE_BYTES;
        self.shared.tail.extend(self.fresh.drain(..).map(|(logged, _)| logged));
        self.spare.clear();
        for index in self.touched.drain(..) {
            self.shared.set_end(index, Offset(self.ends[index]));
        }
        self.lately_given = self.given_ids;
        (self.fresh_bytes, self.given_ids) = (0, 0);
    }

    /// Gives the events of a group back that is about to be undone.
    pub(super) fn take_back(&mut self) -> TakenBack {
        let (fresh, spare) = (std::mem::take(&mut self.fresh), std::mem::take(&mut self.spare));
        TakenBack { fresh: fresh.into_iter(), spare: spare.into_iter() }
    }

    /// Takes back the offsets of a group that was not stored.
    pub(super) fn undo(&mut self) {
        self.fresh.clear();
        self.spare.clear();
        for index in self.touched.drain(..) {
            self.ends[index] = self.shared.end(index).0;
        }
        (self.fresh_bytes, self.given_ids) = (0, 0);
    }

    /// About how many bytes went to the write-ahead log since this was last asked.
    pub(super) fn take_written_bytes(&mut self) -> u64 {
        std::mem::take(&mut self.written_bytes)
    }
}
