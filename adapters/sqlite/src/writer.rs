//! The writer: the one thread that changes the database.
//!
//! It takes everything that waits (appends and changes of progress together), makes one
//! transaction of it, with one fsync, and then answers all. It never lingers: while one group is
//! on its way to the disk, the next one gathers. A request that SQLite does not take fails alone;
//! what concerns the disk fails the group, of which then nothing was stored. What meets a damaged page is left out, and
//! the others of its group are carried out anew.

mod append;
mod commit;
mod damage;
mod dead;
mod dropped;
mod lease;
mod registry;
mod trim;

pub(crate) use commit::{commit, drop_letters, forget};
pub(crate) use dead::{DeadChange, change_dead};
pub(crate) use dropped::LETTERS_AT_ONCE;
pub(crate) use lease::{claim, release, renew};
pub(crate) use registry::{forget_deleted, write_registry};
pub(crate) use trim::trim;

use crate::checkpoint::Nudge;
use crate::failure::{self, Failed, Reach};
use crate::options::Options;
use crate::queue::Queue;
use crate::request::{Change, Placed, Request, Tx};
use crate::room::Room;
use crate::schema;
use crate::shared::Shared;
use append::Appender;
use laneway_domain::{NewEvent, Offset, Revision, Timestamp};
use laneway_ports::StoreError;
use rusqlite::Connection;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::oneshot;

/// A request that has been carried out, but for the COMMIT.
enum Pending {
    Append(oneshot::Sender<Placed>, Placed),
    Change(Box<dyn Change>),
}

impl Pending {
    fn answer(self, group: Result<(), StoreError>) {
        match (self, group) {
            (Self::Append(answer, placed), Ok(())) => drop(answer.send(placed)),
            (Self::Append(answer, placed), Err(error)) => drop(answer.send(vec![Err(error); placed.len()])),
            (Self::Change(change), group) => change.answer(group),
        }
    }
}

/// Answers a request that was not carried out.
fn refuse(request: Request, error: StoreError) {
    match request {
        Request::Append { events, answer, .. } => drop(answer.send(vec![Err(error); events.len()])),
        Request::Change(change) => change.answer(Err(error)),
    }
}

/// Carries out what comes through `queue` until it is closed and empty.
pub(crate) fn run(
    conn: &Connection,
    room: Room,
    options: &Options,
    shared: &Arc<Shared>,
    queue: &Queue,
    nudge: &Nudge,
) {
    let mut writer = Writer {
        room,
        conn,
        options,
        shared,
        appender: Appender::new(conn, shared, options.duplicate_window),
        pending: Vec::new(),
        starts: Vec::new(),
        registry: None,
        last_now: Timestamp::ZERO,
        changes: 0,
        written: 0,
        aside: None,
        ids_rest_until: None,
    };
    let mut group = VecDeque::new();
    while queue.take(&mut group) {
        writer.store(&mut group);
        writer.after_group(nudge);
    }
}

struct Writer<'c> {
    conn: &'c Connection,
    room: Room,
    options: &'c Options,
    shared: &'c Arc<Shared>,
    appender: Appender<'c>,
    pending: Vec<Pending>,
    starts: Vec<(usize, Offset)>,
    /// The registry's last revision, if this group has raised it.
    registry: Option<Revision>,
    last_now: Timestamp,
    /// Changes made in this group.
    changes: u64,
    /// Bytes that changes wrote to the log since this was last asked, about.
    written: u64,
    /// [`Tx::aside`], while changes are made that have met damage.
    aside: Option<Connection>,
    /// Until when no ids are forgotten, because that has met damage.
    ids_rest_until: Option<Instant>,
}

impl Writer<'_> {
    /// Stores one group and answers all of it.
    fn store(&mut self, group: &mut VecDeque<Request>) {
        let mut damaged = Vec::new();
        self.store_group(group, &mut damaged);
        if !damaged.is_empty() {
            self.store_with_care(damaged);
        }
        self.expire_ids();
    }

    /// Adds changes that have met damage to `damaged`, unanswered.
    fn store_group(&mut self, group: &mut VecDeque<Request>, damaged: &mut Vec<Box<dyn Change>>) {
        let stored = match self.shared.usable() {
            Ok(()) => self.attempt_around_damage(group, damaged),
            Err(failed) => Err(failed),
        };
        match &stored {
            Ok(()) => self.publish(),
            Err(error) => group.drain(..).for_each(|request| refuse(request, error.clone())),
        }
        // Looked at with every group, be it a renewed lease: nobody sends events to a store that says that it is full.
        let trouble = match &stored {
            Err(error) => Some(error.clone()),
            Ok(()) => (!self.admits_events()).then(|| self.room.refusal()),
        };
        self.shared.note_trouble(trouble.as_ref());
        for pending in self.pending.drain(..) {
            pending.answer(stored.clone());
        }
    }

    fn attempt(&mut self, group: &mut VecDeque<Request>) -> Result<(), Reach> {
        let path = &self.shared.path;
        self.follow_clock();
        self.changes = 0;
        self.execute("BEGIN IMMEDIATE").map_err(|error| failure::of_statement(&error, path))?;
        while let Some(request) = group.pop_front() {
            match request {
                request @ Request::Append { .. } if !self.admits_events() => refuse(request, self.room.refusal()),
                Request::Append { events, answer, .. } => self.append(events, answer)?,
                Request::Change(change) => self.change(change)?,
            }
        }
        self.commit_group().map_err(|error| failure::of_commit(&error, path))
    }

    /// Time does not go backwards within a process, so that `accepted_at` rises with the offsets; but for a clock
    /// that had been wrong.
    fn follow_clock(&mut self) {
        let now = self.last_now.followed_by(self.options.clock.now());
        if now < self.last_now {
            tracing::warn!(
                path = %self.shared.path.display(),
                back_by = ?self.last_now.since(now),
                "the system's clock was set back: it had been wrong before, or is wrong now. Events that were accepted \
                 with a time that is still to come are trimmed together with those that came after them"
            );
        }
        self.last_now = now;
    }

    fn append(&mut self, events: Vec<NewEvent>, answer: oneshot::Sender<Placed>) -> Result<(), Reach> {
        let count = events.len();
        let mut placed: Placed = Vec::with_capacity(count);
        let mut ended = Ok(());
        for new in events {
            match self.appender.append(new, self.last_now).map_err(|error| alone(self.conn, &error, &self.shared.path))
            {
                Ok(at) => placed.push(Ok(at)),
                Err(Ok(error)) => placed.push(Err(error)),
                Err(Err(reach)) => {
                    // Replaced by the group's error; there must be a result for each event.
                    placed.resize(count, Err(StoreError::unknown("the group was not stored")));
                    ended = Err(reach);
                    break;
                }
            }
        }
        self.pending.push(Pending::Append(answer, placed));
        ended
    }

    /// Makes a change behind a savepoint, so that it is done whole or not at all.
    fn change(&mut self, mut change: Box<dyn Change>) -> Result<(), Reach> {
        self.changes += 1;
        let result = self.change_within_savepoint(&mut *change);
        let result = match result {
            Err(Failed::Told(error)) => {
                change.told(error);
                Ok(())
            }
            Err(Failed::Sql(error)) => {
                alone(self.conn, &error, &self.shared.path).map(|error| change.told(error.into()))
            }
            Ok(()) => Ok(()),
        };
        self.pending.push(Pending::Change(change));
        result
    }

    fn change_within_savepoint(&mut self, change: &mut dyn Change) -> Result<(), Failed> {
        self.execute("SAVEPOINT change")?;
        let (starts, last) = (self.starts.len(), self.registry);
        let ends = self.appender.ends();
        let (starting, registry) = (&mut self.starts, &mut self.registry);
        let (aside, written) = (self.aside.as_ref(), &mut self.written);
        let made = change.make(&mut Tx {
            conn: self.conn,
            now: self.last_now,
            ends,
            starts: starting,
            registry,
            aside,
            written,
        });
        if made.is_err() && !self.conn.is_autocommit() {
            self.starts.truncate(starts);
            self.registry = last;
            self.execute("ROLLBACK TO change")?;
        }
        if !self.conn.is_autocommit() {
            self.execute("RELEASE change")?;
        }
        made
    }

    /// Takes back a group that was not stored, and returns what its callers are told.
    fn undo(&mut self, reach: Reach) -> StoreError {
        self.appender.undo();
        self.starts.clear();
        self.registry = None;
        // Some errors have ended the transaction already.
        let rolled_back = if self.conn.is_autocommit() { Ok(()) } else { self.execute("ROLLBACK") };
        match (reach, rolled_back) {
            (Reach::Store(what), _) => {
                self.shared.fail(what.clone());
                StoreError::unknown(what)
            }
            (Reach::NoRoom(error), Ok(())) => {
                self.room.ran_out();
                error
            }
            (Reach::Statement(error) | Reach::Damage(error) | Reach::Group(error), Ok(())) => error,
            (Reach::Statement(_) | Reach::Damage(_) | Reach::Group(_) | Reach::NoRoom(_), Err(error)) => {
                let what = format!("{} cannot undo a group: {error}. Restart", self.shared.path.display());
                self.shared.fail(what.clone());
                StoreError::unknown(what)
            }
        }
    }

    /// Lets everyone see a stored group: first the events, then that they are there.
    fn publish(&mut self) {
        self.appender.publish();
        self.written += std::mem::take(&mut self.changes) * crate::checkpoint::CHANGE_BYTES;
        if !self.starts.is_empty() {
            self.room.was_made();
        }
        for (index, start) in self.starts.drain(..) {
            self.shared.set_start(index, start);
        }
        if let Some(last) = self.registry.take() {
            self.shared.registry.send_replace(last);
        }
    }

    fn after_group(&mut self, nudge: &Nudge) {
        let written = self.appender.take_written_bytes() + std::mem::take(&mut self.written);
        nudge.wrote(self.conn, self.shared, written, &mut self.room);
    }

    fn admits_events(&mut self) -> bool {
        let conn = self.conn;
        self.room.admits_events(|| schema::free_bytes(conn))
    }

    fn commit_group(&self) -> rusqlite::Result<()> {
        #[cfg(test)]
        if let Some(code) = self.shared.commit_fault.lock().ok().and_then(|mut fault| fault.take()) {
            return Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None));
        }
        self.execute("COMMIT")
    }

    fn execute(&self, sql: &str) -> rusqlite::Result<()> {
        self.conn.prepare_cached(sql)?.execute([]).map(drop)
    }
}

/// The error for the one request that it concerns, or else how far it reaches.
fn alone(conn: &Connection, error: &rusqlite::Error, path: &Path) -> Result<StoreError, Reach> {
    match failure::of_statement(error, path) {
        // SQLite has ended the transaction by itself: nothing of the group is left.
        Reach::Statement(error) if conn.is_autocommit() => Err(Reach::Group(error)),
        Reach::Statement(error) => Ok(error),
        reach => Err(reach),
    }
}
