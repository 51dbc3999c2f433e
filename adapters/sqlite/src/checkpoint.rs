//! Writing the write-ahead log back into the database, without stalling the writer.
//!
//! SQLite would do this inside of whichever COMMIT makes the log long enough, for as long as it
//! takes. Here a thread with a connection of its own does *passive* checkpoints, which copy what
//! is in the log while the writer goes on. But the log only begins anew when a checkpoint has
//! caught up with its end and nobody reads from it, which under constant load a passive one never
//! quite does: each leaves what was written meanwhile. So the thread makes a few, each over what
//! came in during the one before, until that is little. Then the writer itself finishes between two
//! groups (the copying of a few pages, and an fsync of either file), and its next group goes to the
//! log's beginning. SQLite syncs the database in the pass that catches up and in no other, which
//! would leave all of it to the writer; so the thread syncs what each pass has copied. If the thread
//! cannot keep up at all, the writer finishes it anyway at [`HARD_LIMIT`] times the threshold: then
//! the disk sets the pace, and the log stays bounded.
//!
//! A reader of long duration (an operator's open transaction in the `sqlite3` shell) keeps the log
//! from beginning anew for as long as it lasts. The writer then goes on, the thread tries again every
//! few seconds, and after a while a warning says why the log grows. When it begins anew at last, the
//! room that it took goes back to the disk.
//!
//! On a full disk the writer does it alone, with what the store keeps in reserve for it ([`crate::room`]).

use crate::failure::{self, Reach};
use crate::files::{Files, log_path};
use crate::room::{self, RESERVE_BYTES, Room};
use crate::schema::{PAGE_BYTES, open_checkpointer};
use crate::shared::Shared;
use rusqlite::Connection;
use std::cell::Cell;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// What a group writes to the log at least for each table that it touches: the right-most leaf.
pub(crate) const PAGES_PER_TABLE: u64 = 1;
/// What a change of progress writes to the log, about: a leaf of each of two tables.
pub(crate) const CHANGE_BYTES: u64 = 2 * PAGE_BYTES;
/// A pass that copied so few frames is a short one, and what came in meanwhile is no more: half a
/// MiB, which the writer copies between two groups within a millisecond or two.
const SHORT_PASS_FRAMES: i64 = 128;
/// How many passes the thread makes to come to a short one before it leaves the rest to the writer.
/// Each is shorter than the one before by as much as copying is faster than writing.
const MAX_PASSES: usize = 6;
/// How many times the threshold the log may grow before the writer waits for the checkpoint.
const HARD_LIMIT: u64 = 4;
/// How far the log grows where room is scarce, before it is written back.
const LOG_WITH_LITTLE_ROOM: u64 = RESERVE_BYTES / 8;
/// The same as [`HARD_LIMIT`], where room is scarce: so the log never holds more than a part of what is kept back for
/// the day on which the disk is full.
const HARD_LIMIT_WITH_LITTLE_ROOM: u64 = 2;
/// How often the thread looks at the store's files, and tries again while the log is held.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long somebody may hold the log before that is worth a warning: longer than a query by hand takes.
const HELD_TOO_LONG: Duration = Duration::from_secs(20);
/// How long the writer waits for readers to leave the log: they stay for one chunk each.
const READERS_LEAVE: Duration = Duration::from_millis(50);

/// Gauge: bytes of the write-ahead log's file.
pub const LOG_BYTES: &str = "laneway_store_log_bytes";
/// Gauge: 1 while another program's read transaction keeps the log from beginning anew.
pub const LOG_HELD: &str = "laneway_store_log_held";

/// The writer's side.
pub(crate) struct Nudge {
    to_thread: SyncSender<()>,
    threshold: u64,
    busy_timeout: Duration,
    /// Since when somebody has kept the log from beginning anew.
    held: Cell<Option<Held>>,
}

/// Somebody reads from the log for long.
#[derive(Clone, Copy, Debug)]
struct Held {
    since: Instant,
    warned: bool,
}

/// A pair of the writer's side, and what the thread waits on.
pub(crate) fn channel(threshold: u64) -> (Nudge, Receiver<()>) {
    // One nudge is as good as many.
    let (to_thread, nudged) = sync_channel(1);
    let threshold = threshold.max(PAGE_BYTES);
    (Nudge { to_thread, threshold, busy_timeout: Duration::from_secs(2), held: Cell::default() }, nudged)
}

impl Nudge {
    /// Called by the writer after each group, with about how much it has written.
    pub(crate) fn wrote(&self, conn: &Connection, shared: &Shared, bytes: u64, room: &mut Room) {
        let before = shared.wal_bytes.fetch_add(bytes, Ordering::Relaxed);
        let now = before + bytes;
        let crossed = |step: u64| before / step != now / step;
        if room.is_short() {
            if room.wants_log_written_back() || crossed(LOG_WITH_LITTLE_ROOM) {
                self.write_back(conn, shared, room);
            }
            return;
        }
        let is_scarce = shared.room_is_scarce.load(Ordering::Relaxed);
        let (threshold, hard_limit) = if is_scarce {
            (self.threshold.min(LOG_WITH_LITTLE_ROOM), HARD_LIMIT_WITH_LITTLE_ROOM)
        } else {
            (self.threshold, HARD_LIMIT)
        };
        if now >= threshold && crossed(threshold / 2) {
            // Full: it has been told already.
            let _ = self.to_thread.try_send(());
        }
        let overdue = now >= threshold.saturating_mul(hard_limit) && crossed(threshold);
        if overdue || shared.finish_checkpoint.swap(false, Ordering::AcqRel) {
            self.finish(conn, shared, room);
        }
    }

    /// Copies the rest and lets the next group begin the log anew.
    fn finish(&self, conn: &Connection, shared: &Shared, room: &mut Room) {
        match self.once_readers_leave(conn, "RESTART") {
            Ok(progress) if !progress.blocked => self.begun_anew(conn, shared),
            // Someone reads from the log. The next nudge tries again.
            Ok(_) => self.is_held(shared),
            // Now is the time for what is in reserve: the longer the log, the more of it is needed.
            Err(error) if asks_for_room(&error, shared) => {
                room.ran_out();
                self.write_back(conn, shared, room);
            }
            Err(error) => note(&error, shared),
        }
    }

    /// Copies the rest and cuts the log off, with as much of what is in reserve as that takes. Only then the log may
    /// have a part of it.
    fn write_back(&self, conn: &Connection, shared: &Shared, room: &mut Room) {
        loop {
            match self.once_readers_leave(conn, "TRUNCATE") {
                Ok(progress) if !progress.blocked => {
                    room.log_is_written_back();
                    self.begun_anew(conn, shared);
                    break;
                }
                Ok(_) => break self.is_held(shared),
                Err(error) if asks_for_room(&error, shared) && room.give_to_database() => {}
                Err(error) => break note(&error, shared),
            }
        }
        room.give_to_log(log_bytes(shared));
    }

    fn once_readers_leave(&self, conn: &Connection, mode: &str) -> rusqlite::Result<Progress> {
        conn.busy_timeout(READERS_LEAVE)?;
        let progress = checkpoint(conn, mode);
        conn.busy_timeout(self.busy_timeout)?;
        progress
    }

    fn begun_anew(&self, conn: &Connection, shared: &Shared) {
        shared.wal_bytes.store(0, Ordering::Relaxed);
        shared.log_is_held.store(false, Ordering::Relaxed);
        let held = self.held.take();
        let is_scarce = shared.room_is_scarce.load(Ordering::Relaxed);
        let is_long = || log_bytes(shared) > RESERVE_BYTES;
        // It has grown for somebody else's sake, or while there was room: that room goes back to the disk.
        if (held.is_some() || (is_scarce && is_long()))
            && let Err(error) = checkpoint(conn, "TRUNCATE")
        {
            return note(&error, shared);
        }
        if let Some(held) = held.filter(|held| held.warned) {
            let path = shared.path.display();
            tracing::info!(%path, held_for = ?held.since.elapsed(), "the write-ahead log starts again from its beginning");
        }
    }

    fn is_held(&self, shared: &Shared) {
        shared.log_is_held.store(true, Ordering::Relaxed);
        let held = self.held.get().unwrap_or_else(|| Held { since: Instant::now(), warned: false });
        let is_long = held.since.elapsed() >= HELD_TOO_LONG;
        if is_long && !held.warned {
            tracing::warn!(
                path = %log_path(&shared.path).display(),
                bytes = shared.wal_bytes.load(Ordering::Relaxed),
                "another program has had a read transaction open on the store for {:?}: until it ends, the \
                 write-ahead log only grows. Look for an open sqlite3 shell or a backup that stands still",
                held.since.elapsed()
            );
        }
        self.held.set(Some(Held { warned: held.warned || is_long, ..held }));
    }
}

/// How far a checkpoint has come.
struct Progress {
    /// Whether it could not do all that it should.
    blocked: bool,
    /// Frames of the log that are in the database now.
    done: i64,
}

fn checkpoint(conn: &Connection, mode: &str) -> rusqlite::Result<Progress> {
    conn.prepare_cached(&format!("PRAGMA wal_checkpoint({mode})"))?.query_row([], |row| {
        let (busy, done): (i64, i64) = (row.get(0)?, row.get(2)?);
        Ok(Progress { blocked: busy != 0, done })
    })
}

/// The thread: a few passes for each nudge, and a look at the files now and then, until the writer's side is gone.
pub(crate) fn run(shared: &Arc<Shared>, nudged: &Receiver<()>, files: &Files) {
    let mut conn = None;
    let mut database = None;
    look(shared, files);
    loop {
        match nudged.recv_timeout(LOOK_EVERY) {
            Ok(()) => {}
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                look(shared, files);
                if !shared.log_is_held.load(Ordering::Relaxed) {
                    continue;
                }
            }
        }
        database = database.or_else(|| open_for_sync(shared));
        let passed = match conn.take().map_or_else(|| open_checkpointer(&shared.path), Ok) {
            Ok(open) => passes(conn.insert(open), database, shared),
            Err(error) => Err(error),
        };
        if let Err(error) = passed {
            note(&error, shared);
        }
    }
}

/// The length of the log's file.
fn log_bytes(shared: &Shared) -> u64 {
    std::fs::metadata(log_path(&shared.path)).map_or(0, |file| file.len())
}

/// Looks whether the files are still there and how much room there is, and says how long the log is.
fn look(shared: &Shared, files: &Files) {
    if let Some(what) = files.missing()
        && shared.usable().is_ok()
    {
        shared.fail(format!(
            "{what} while Laneway runs: what it would acknowledge now would be gone at its end. Nothing more is \
             accepted: put the file back if you have it, then restart"
        ));
    }
    shared.room_is_scarce.store(room::is_scarce(&shared.path), Ordering::Relaxed);
    metrics::gauge!(LOG_BYTES).set(log_bytes(shared) as f64);
    metrics::gauge!(LOG_HELD).set(f64::from(u8::from(shared.log_is_held.load(Ordering::Relaxed))));
}

/// The database, to sync it. It stays open for as long as the process lives: closing any descriptor of
/// a file drops all locks that the process has on it (fcntl(2)), and with them those of SQLite,
/// without which another program may take the database for unused.
fn open_for_sync(shared: &Shared) -> Option<&'static File> {
    match File::open(&shared.path) {
        Ok(file) => Some(Box::leak(Box::new(file))),
        Err(error) => {
            // Then the writer syncs it all: slower, and nothing worse.
            tracing::warn!(path = %shared.path.display(), %error, "the database cannot be opened to sync it");
            None
        }
    }
}

fn passes(conn: &Connection, database: Option<&File>, shared: &Shared) -> rusqlite::Result<()> {
    let mut before = 0;
    for _ in 0..MAX_PASSES {
        let done = checkpoint(conn, "PASSIVE")?.done;
        if let Some(Err(error)) = database.map(File::sync_data) {
            shared.fail(failure::sync_failed(&shared.path, &error));
            return Ok(());
        }
        // Less than before: the log has begun anew meanwhile.
        if (done - before).abs() <= SHORT_PASS_FRAMES {
            break;
        }
        before = done;
    }
    shared.finish_checkpoint.store(true, Ordering::Release);
    Ok(())
}

fn asks_for_room(error: &rusqlite::Error, shared: &Shared) -> bool {
    matches!(failure::of_statement(error, &shared.path), Reach::NoRoom(_))
}

/// A checkpoint that fails loses nothing, since the log keeps what was not copied. Only after a
/// failed fsync it is not known what the database file holds.
fn note(error: &rusqlite::Error, shared: &Shared) {
    match failure::of_statement(error, &shared.path) {
        Reach::Store(what) => shared.fail(what),
        Reach::Statement(what) | Reach::Damage(what) | Reach::Group(what) | Reach::NoRoom(what) => {
            tracing::warn!(path = %shared.path.display(), "the write-ahead log could not be written back: {what}");
        }
    }
}
