//! `laneway restore`: a backup becomes the store, under a new generation of offsets.
//!
//! What was accepted after the backup was made is not in it, but receivers remember its numbers. So offsets go on from a
//! number that the clock gives ([`Offset::of_restore`]): later than all that was given out before, and another one for
//! each restore. Revisions of destinations come from the clock anyway; they too are never below those of the store that is
//! replaced.

use crate::backup::{Copied, Unfinished, copy};
use crate::failure;
use crate::files::sync_directory_of;
use crate::lock::Lock;
use crate::options::Clock;
use crate::registry;
use crate::schema;
use crate::store::{begin, bounds};
use crate::tokens;
use laneway_domain::{Offset, Revision, Timestamp};
use laneway_ports::StoreError;
use rusqlite::{Connection, OpenFlags};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What may become of what is there, and of what is in the backup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RestoreOptions {
    /// Whether a store that is there may be replaced. It is kept under another name.
    pub replace: bool,
    /// Whether the tokens that were made over the HTTP interface still open something. Otherwise they are revoked: some
    /// of them may have been, since the backup.
    pub keep_tokens: bool,
}

/// What a restore has made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// When the backup was made; `None` if `laneway backup` did not make it.
    pub backed_up_at: Option<Timestamp>,
    /// The offset of the next event, in every partition.
    pub goes_on_at: Offset,
    /// How many tokens were revoked.
    pub revoked_tokens: usize,
    /// Where the store is now that was there before.
    pub replaced: Option<PathBuf>,
}

/// Makes the store at `store` out of the backup. One that is there already is kept under another name if it may be
/// replaced. Takes a second at least: until the next one has begun, of which another restore takes its number.
///
/// # Errors
/// If the backup cannot be read, a Laneway has the store open, there is one that may not be replaced, or the clock
/// cannot be right. Then everything is as it was.
pub fn restore(
    backup: &Path,
    store: &Path,
    options: RestoreOptions,
    clock: &Clock,
    mut copied: impl FnMut(Copied),
) -> Result<Restored, StoreError> {
    if !backup.exists() {
        return Err(StoreError::refused(format!("there is no backup at {}: nothing was changed", backup.display())));
    }
    if !is_database(backup) {
        return Err(StoreError::refused(format!(
            "{} is no backup that this store can be made from: it is no SQLite database, which `laneway backup` of an \
             SQLite store writes. Nothing was changed",
            backup.display()
        )));
    }
    let lock = Lock::acquire(store)?;
    let there = store.exists();
    if there && !options.replace {
        return Err(StoreError::refused(format!(
            "there is a store at {}: say that it is to be replaced (--replace; it is kept under another name), or give another path",
            store.display()
        )));
    }
    let failed = |error: rusqlite::Error| failure::of_read(&error, backup);
    let source = Connection::open_with_flags(backup, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(failed)?;
    let found = schema::version(&source, backup)?;
    let found = found.ok_or_else(|| StoreError::refused(format!("{} is empty", backup.display())))?;
    schema::readable(&source, backup, found)?;
    let backed_up_at = schema::text(&source, schema::BACKED_UP_AT).map_err(failed)?;
    let unfinished = Unfinished::beside(store)?;
    copy(&source, &unfinished.0, &mut copied).map_err(|error| unfinished.cannot(&error))?;
    let given_out = if there { last_given_out(store) } else { GivenOut::default() };
    let (goes_on_at, revoked_tokens) = new_generation(&unfinished, &given_out, options.keep_tokens, clock)?;
    let replaced = if there { Some(set_aside(store, clock)?) } else { None };
    unfinished.finish(store)?;
    drop(lock);
    Ok(Restored {
        backed_up_at: backed_up_at.and_then(|millis| millis.parse().ok()).map(Timestamp::from_millis),
        goes_on_at,
        revoked_tokens,
        replaced,
    })
}

/// With what every SQLite database begins.
const DATABASE: &[u8; 16] = b"SQLite format 3\0";

/// Whether the file begins as a database does. What is empty may be one; what cannot be read says so when it is opened.
fn is_database(path: &Path) -> bool {
    let mut begin = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(DATABASE.len() as u64).read_to_end(&mut begin));
    read.is_err() || begin.is_empty() || begin == DATABASE
}

/// What the store that is replaced has given out last.
#[derive(Debug, Default)]
struct GivenOut {
    /// The highest end of a partition.
    offset: Offset,
    /// The last revision of its registry.
    revision: Revision,
}

/// What the store that is replaced has given out, as far as that can be read.
fn last_given_out(store: &Path) -> GivenOut {
    let read = || -> Result<Option<GivenOut>, StoreError> {
        let failed = |error: rusqlite::Error| failure::of_read(&error, store);
        let conn = Connection::open_with_flags(store, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(failed)?;
        // Of whatever schema it is: it stays as it is, for the release that wrote it.
        let Some(found) = schema::version(&conn, store)? else { return Ok(None) };
        schema::readable(&conn, store, found)?;
        schema::seen_as_now(&conn, store, found)?;
        let partitions = schema::setting(&conn, "partitions").map_err(failed)?.unwrap_or(0);
        let bounds = bounds(&conn, partitions).map_err(failed)?;
        let offset = bounds.iter().map(|bounds| bounds.end).max().unwrap_or(Offset::ZERO);
        // It counts for itself whether the rest can be read.
        let revision = registry::last(&conn).unwrap_or(Revision::ORIGIN);
        Ok(Some(GivenOut { offset, revision }))
    };
    // It may be damaged, which may be why it is replaced. The clock alone is enough then.
    read().ok().flatten().unwrap_or_default()
}

/// Lets all partitions of the copy go on in a new generation. Returns where, and how many tokens were revoked.
fn new_generation(
    copy: &Unfinished,
    given_out: &GivenOut,
    keep_tokens: bool,
    clock: &Clock,
) -> Result<(Offset, usize), StoreError> {
    let cannot = |error: rusqlite::Error| copy.cannot(&error);
    let conn = Connection::open(&copy.0).map_err(cannot)?;
    let partitions = schema::bring_up_to_date(&conn, &copy.0)?;
    let bounds = begin(&conn, partitions, clock.now()).map_err(cannot)?;
    let highest = bounds.iter().map(|bounds| bounds.end).fold(given_out.offset, Offset::max);
    let goes_on_at = next_generation(highest, clock)?;
    let tx = conn.unchecked_transaction().map_err(cannot)?;
    for (partition, bounds) in (0..partitions).zip(&bounds) {
        let leap = (partition, bounds.end.0, goes_on_at.0);
        tx.execute("INSERT INTO generation (partition, ended_at, began_at) VALUES (?1, ?2, ?3)", leap)
            .map_err(cannot)?;
    }
    // Cuts stay where they are: all that comes is behind the last one, and judged by it.
    registry::begin(&tx).map_err(cannot)?;
    let raise = "UPDATE registry SET last = ?1, fingerprint = '' WHERE last < ?1";
    tx.execute(raise, [given_out.revision.0]).map_err(cannot)?;
    tx.execute("DELETE FROM meta WHERE name = ?1", [schema::BACKED_UP_AT]).map_err(cannot)?;
    schema::note(&tx, "restored_at_millis", &clock.now().as_millis().to_string()).map_err(cannot)?;
    let revoked = if keep_tokens { None } else { tokens::all_revoked(&tx, clock.now())? };
    if let Some((_, revision, row)) = &revoked {
        tokens::put(&tx, *revision, row).map_err(cannot)?;
    }
    tx.commit().map_err(cannot)?;
    Ok((goes_on_at, revoked.map_or(0, |(count, ..)| count)))
}

/// The generation of this second, once the second is over: whoever restores after this gets another one.
fn next_generation(highest: Offset, clock: &Clock) -> Result<Offset, StoreError> {
    let now = clock.now();
    let of_the_clock = Offset::of_restore(now).ok_or_else(|| {
        StoreError::refused(format!("the clock shows {now}, which cannot be right: set it, and restore then"))
    })?;
    // The store that is replaced may have been restored under a clock that was ahead.
    let ahead = if highest < of_the_clock { Offset::ZERO } else { Offset::in_generation(highest.generation() + 1, 0) };
    std::thread::sleep(Duration::from_millis(1000 - now.as_millis() % 1000));
    Ok(of_the_clock.max(ahead))
}

/// Keeps the store that is there under another name, and all that belongs to it.
fn set_aside(store: &Path, clock: &Clock) -> Result<PathBuf, StoreError> {
    // Into one file, if that is possible: then there is no moment in which the database has lost its log.
    if let Ok(conn) = Connection::open(store) {
        let _ = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    }
    let with = |path: &Path, suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let aside = with(store, &format!(".replaced-{}", clock.now().as_millis()));
    let cannot = |error: std::io::Error| {
        StoreError::refused(format!("{} cannot be kept as {}: {error}", store.display(), aside.display()))
    };
    // A second name first, so that there is a store at every moment.
    fs::hard_link(store, &aside).map_err(cannot)?;
    for suffix in ["-wal", "-shm"] {
        let log = with(store, suffix);
        if log.exists() {
            fs::rename(&log, with(&aside, suffix)).map_err(cannot)?;
        }
    }
    sync_directory_of(store)?;
    Ok(aside)
}
