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
//! from beginning anew for as long as it lasts. The writer then goes on and tries again later.

use crate::failure::{self, Reach};
use crate::schema::{PAGE_BYTES, open_checkpointer};
use crate::shared::Shared;
use rusqlite::Connection;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

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
/// How long the writer waits for readers to leave the log: they stay for one chunk each.
const READERS_LEAVE: Duration = Duration::from_millis(50);

/// The writer's side.
pub(crate) struct Nudge {
    to_thread: SyncSender<()>,
    threshold: u64,
    busy_timeout: Duration,
}

/// A pair of the writer's side, and what the thread waits on.
pub(crate) fn channel(threshold: u64) -> (Nudge, Receiver<()>) {
    // One nudge is as good as many.
    let (to_thread, nudged) = sync_channel(1);
    (Nudge { to_thread, threshold: threshold.max(PAGE_BYTES), busy_timeout: Duration::from_secs(2) }, nudged)
}

impl Nudge {
    /// Called by the writer after each group, with about how much it has written.
    pub(crate) fn wrote(&self, conn: &Connection, shared: &Shared, bytes: u64) {
        let before = shared.wal_bytes.fetch_add(bytes, Ordering::Relaxed);
        let now = before + bytes;
        let crossed = |step: u64| before / step != now / step;
        if now >= self.threshold && crossed(self.threshold / 2) {
            // Full: it has been told already.
            let _ = self.to_thread.try_send(());
        }
        let overdue = now >= self.threshold.saturating_mul(HARD_LIMIT) && crossed(self.threshold);
        if overdue || shared.finish_checkpoint.swap(false, Ordering::AcqRel) {
            self.finish(conn, shared);
        }
    }

    /// Copies the rest and lets the next group begin the log anew.
    fn finish(&self, conn: &Connection, shared: &Shared) {
        let finished = conn
            .busy_timeout(READERS_LEAVE)
            .and_then(|()| checkpoint(conn, "RESTART"))
            .and_then(|progress| conn.busy_timeout(self.busy_timeout).map(|()| progress));
        match finished {
            Ok(progress) if !progress.blocked => shared.wal_bytes.store(0, Ordering::Relaxed),
            // Someone reads from the log. The next nudge tries again.
            Ok(_) => {}
            Err(error) => note(&error, shared),
        }
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

/// The thread: a few passes for each nudge, until the writer's side is gone.
pub(crate) fn run(shared: &Arc<Shared>, nudged: &Receiver<()>) {
    let mut conn = None;
    let mut database = None;
    while nudged.recv().is_ok() {
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

/// A checkpoint that fails loses nothing, since the log keeps what was not copied. Only after a
/// failed fsync it is not known what the database file holds.
fn note(error: &rusqlite::Error, shared: &Shared) {
    match failure::of_statement(error, &shared.path) {
        Reach::Store(what) => shared.fail(what),
        Reach::Statement(what) | Reach::Group(what) => {
            tracing::warn!(path = %shared.path.display(), "the write-ahead log could not be written back: {what}");
        }
    }
}
