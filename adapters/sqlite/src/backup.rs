//! `laneway backup`: a consistent copy of a store, also of one that is in use.
//!
//! The copy is of one moment: a read transaction holds it while SQLite copies page after page, and whoever writes goes
//! on meanwhile (their write-ahead log grows until the copy is done). It has no write-ahead log of its own, and says
//! that it is a backup, so that nobody opens it as a store by mistake: [`crate::restore`] puts it in place.

use crate::check::{CheckReport, check};
use crate::failure;
use crate::files::{BESIDE, beside, refuse_log_alone, resolved, sync_directory_of};
use crate::options::Clock;
use crate::schema;
use laneway_ports::StoreError;
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, Hasher};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Pages that are copied at a time: 16 MiB, between which progress is told.
const PAGES_AT_ONCE: i32 = 4096;
/// How long the copy waits for whoever has locked all of the store, such as a `sqlite3` shell in its `EXCLUSIVE` mode.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How far a copy has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Pages that are in the copy.
    pub pages: u64,
    /// Pages that there are.
    pub of: u64,
}

/// Copies the store at `store` into the new file `to`, and checks the copy: its pages, every event's checksum,
/// progress and dead letters. What is damaged in the store is copied as it is, and is among the findings.
///
/// # Errors
/// If `to` exists, the store cannot be read, or the copy cannot be written. Then there is no file `to`.
pub fn backup(
    store: &Path,
    to: &Path,
    clock: &Clock,
    mut copied: impl FnMut(Copied),
) -> Result<CheckReport, StoreError> {
    if to.exists() {
        return Err(StoreError::refused(format!("{} is there already: give another name", to.display())));
    }
    // SQLite would take them for those of the copy, and see what they hold instead of it.
    if let Some(other) = BESIDE.iter().map(|ending| beside(to, ending)).find(|path| path.exists()) {
        return Err(StoreError::refused(format!(
            "{} is there, of another database with the name of {}: move it away, or give another name",
            other.display(),
            to.display()
        )));
    }
    let store = &resolved(store);
    refuse_log_alone(store)?;
    if !store.exists() {
        return Err(StoreError::refused(format!(
            "there is no store at {}: name it with --store sqlite:PATH, or its configuration with --config FILE",
            store.display()
        )));
    }
    let failed = |error: rusqlite::Error| failure::of_read(&error, store);
    let source = Connection::open_with_flags(store, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(failed)?;
    let found = schema::version(&source, store)?;
    let found = found.ok_or_else(|| StoreError::refused(format!("{} is empty", store.display())))?;
    schema::readable(&source, store, found)?;
    let unfinished = Unfinished::beside(to)?;
    copy(&source, &unfinished.0, &mut copied).map_err(|error| unfinished.cannot(&error))?;
    note_that_it_is_one(&unfinished.0, clock).map_err(|error| unfinished.cannot(&error))?;
    let report = check(&unfinished.0)?;
    unfinished.finish(to)?;
    Ok(report)
}

/// Copies the database as it is at one moment.
pub(crate) fn copy(source: &Connection, to: &Path, copied: &mut impl FnMut(Copied)) -> rusqlite::Result<()> {
    source.busy_timeout(BUSY_TIMEOUT)?;
    // The moment: without a transaction of its own, the copy would begin anew after each change.
    let moment = source.unchecked_transaction()?;
    moment.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    let mut target = Connection::open(to)?;
    // It is synced as a whole, in the end.
    target.pragma_update(None, "synchronous", "OFF")?;
    let backup = Backup::new(&moment, &mut target)?;
    loop {
        let step = backup.step(PAGES_AT_ONCE)?;
        let progress = backup.progress();
        let (all, left) = (progress.pagecount.unsigned_abs(), progress.remaining.unsigned_abs());
        copied(Copied { pages: all.saturating_sub(left).into(), of: all.into() });
        match step {
            StepResult::Done => break,
            // It has waited for as long as it may.
            StepResult::Busy | StepResult::Locked => {
                return Err(rusqlite::Error::SqliteFailure(
                    rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY),
                    Some("another program has locked the store".to_owned()),
                ));
            }
            _ => {}
        }
    }
    drop(backup);
    // One file, without a log beside it.
    target.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))
}

fn note_that_it_is_one(copy: &Path, clock: &Clock) -> rusqlite::Result<()> {
    let conn = Connection::open(copy)?;
    schema::note(&conn, schema::BACKED_UP_AT, &clock.now().as_millis().to_string())
}

/// A file that is not yet what it will be, and a lock on it, by which others see that somebody writes it. It is gone if
/// it never comes to that.
pub(crate) struct Unfinished(pub(crate) PathBuf, #[allow(dead_code, reason = "held for its lock")] File);

/// What the name of one ends with.
const UNFINISHED: &str = ".unfinished";
/// How many hexadecimal digits stand before that: a number that no other copy has.
const DIGITS: usize = 16;

impl Unfinished {
    /// A new file in the folder of `to`, which only its owner can read: it holds payloads.
    pub(crate) fn beside(to: &Path) -> Result<Self, StoreError> {
        remove_left_over(to);
        // Not that of the process: in a container each has the same.
        let number = std::hash::RandomState::new().build_hasher().finish();
        let path = beside(to, &format!(".{number:0DIGITS$x}{UNFINISHED}"));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path).map_err(|error| cannot_write(&path, &error))?;
        // Where files cannot be locked, nobody takes it for left over either.
        let _ = file.try_lock();
        Ok(Self(path, file))
    }

    pub(crate) fn cannot(&self, error: &rusqlite::Error) -> StoreError {
        StoreError::refused(format!("the copy {} cannot be made: {error}", self.0.display()))
    }

    /// Makes it durable, and gives it its name.
    pub(crate) fn finish(self, to: &Path) -> Result<(), StoreError> {
        let synced = File::open(&self.0).and_then(|file| file.sync_all());
        synced.and_then(|()| fs::rename(&self.0, to)).map_err(|error| cannot_write(to, &error))?;
        sync_directory_of(to)
    }
}

/// Removes what copies that were interrupted have left beside `to`: files that nobody has locked.
fn remove_left_over(to: &Path) {
    let Some(name) = to.file_name().and_then(|name| name.to_str()) else { return };
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let found = entry.file_name();
        let number =
            found.to_str().and_then(|found| found.strip_prefix(name)?.strip_prefix('.')?.strip_suffix(UNFINISHED));
        if number.is_none_or(|number| number.len() != DIGITS || !number.bytes().all(|byte| byte.is_ascii_hexdigit())) {
            continue;
        }
        if let Ok(file) = File::open(entry.path())
            && file.try_lock().is_ok()
        {
            drop(Unfinished(entry.path(), file));
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // It has its name by now, or there is nothing more that could be done.
        let _ = fs::remove_file(&self.0);
        for ending in BESIDE {
            let _ = fs::remove_file(beside(&self.0, ending));
        }
    }
}

fn cannot_write(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::refused(format!(
        "{} cannot be written: {error}. Check that its folder exists, that this user may write there, and its space",
        path.display()
    ))
}
