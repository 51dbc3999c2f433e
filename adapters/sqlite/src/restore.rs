//! `laneway restore`: a backup becomes the store, under a new generation of offsets.
//!
//! What was accepted after the backup was made is not in it, but receivers remember its numbers. So offsets go on from a
//! number that the clock gives ([`Offset::of_restore`]): later than all that was given out before, and another one for
//! each restore. Revisions of destinations come from the clock anyway; they too are never below those of the store that is
//! replaced.

use crate::backup::{Copied, Unfinished, copy};
use crate::bounds::bounds;
use crate::check::check;
use crate::failure;
use crate::files::{BESIDE, beside, is_log_alone, log_path, resolved, sync_directory_of};
use crate::lock::Lock;
use crate::options::Clock;
use crate::registry;
use crate::schema;
use crate::store::begin;
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
    /// Whether a backup in which something is damaged may be put in place as it is.
    pub damaged: bool,
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
    /// Where the write-ahead log is now that was there without its database. It may hold events that nothing else has.
    pub log_alone: Option<PathBuf>,
    /// What is damaged in the backup, and so in the store, for people; only if that was allowed.
    pub findings: Vec<String>,
}

/// Makes the store at `store` out of the backup. One that is there already is kept under another name if it may be
/// replaced. Takes a second at least: until the next one has begun, of which another restore takes its number.
///
/// # Errors
/// If the backup cannot be read or is damaged, a Laneway has the store open, there is one that may not be replaced, or
/// the clock cannot be right. Then everything is as it was.
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
    let store = &resolved(store);
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
    let backed_up_at = backed_up_at.and_then(|millis| millis.parse().ok()).map(Timestamp::from_millis);
    // Now, because copying takes long; and again when the number is taken.
    of_the_clock(clock.now(), backed_up_at)?;
    let unfinished = Unfinished::beside(store)?;
    copy(&source, &unfinished.0, &mut copied).map_err(|error| unfinished.cannot(&error))?;
    let findings = check(&unfinished.0)?.findings;
    if !findings.is_empty() && !options.damaged {
        return Err(StoreError::refused(format!(
            "the backup {} is damaged, and nothing was changed. Take another copy of it, or an older backup; if there \
             is none, --damaged puts it in place as it is:\n  {}",
            backup.display(),
            findings.join("\n  ")
        )));
    }
    // Nothing is opened that would take its log with it.
    let given_out = if there && !is_log_alone(store) { last_given_out(store) } else { GivenOut::default() };
    let (goes_on_at, revoked_tokens) =
        new_generation(&unfinished, &given_out, options.keep_tokens, backed_up_at, clock)?;
    let Aside { replaced, log_alone } = set_aside(store, clock)?;
    unfinished.finish(store)?;
    drop(lock);
    Ok(Restored { backed_up_at, goes_on_at, revoked_tokens, replaced, log_alone, findings })
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
    backed_up_at: Option<Timestamp>,
    clock: &Clock,
) -> Result<(Offset, usize), StoreError> {
    let cannot = |error: rusqlite::Error| copy.cannot(&error);
    let conn = Connection::open(&copy.0).map_err(cannot)?;
    let partitions = schema::bring_up_to_date(&conn, &copy.0)?;
    let bounds = begin(&conn, partitions, clock.now()).map_err(cannot)?;
    let highest = bounds.iter().map(|bounds| bounds.end).fold(given_out.offset, Offset::max);
    let goes_on_at = next_generation(highest, clock, backed_up_at)?;
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

/// The generation that the clock gives. Before the backup was made it had given others, to stores that came later.
fn of_the_clock(now: Timestamp, backed_up_at: Option<Timestamp>) -> Result<Offset, StoreError> {
    let later = |_: &Offset| backed_up_at.is_none_or(|at| now >= at);
    Offset::of_restore(now).filter(later).ok_or_else(|| {
        let made = backed_up_at.map_or_else(String::new, |at| format!(" (the backup was made at {at})"));
        StoreError::refused(format!("the clock shows {now}, which cannot be right{made}: set it, and restore then"))
    })
}

/// The generation of this second, once the second is over: whoever restores after this gets another one.
fn next_generation(highest: Offset, clock: &Clock, backed_up_at: Option<Timestamp>) -> Result<Offset, StoreError> {
    let now = clock.now();
    let of_the_clock = of_the_clock(now, backed_up_at)?;
    // The store that is replaced may have been restored under a clock that was ahead.
    let ahead = if highest < of_the_clock { Offset::ZERO } else { Offset::in_generation(highest.generation() + 1, 0) };
    std::thread::sleep(Duration::from_millis(1000 - now.as_millis() % 1000));
    Ok(of_the_clock.max(ahead))
}

/// What was kept under another name.
struct Aside {
    replaced: Option<PathBuf>,
    log_alone: Option<PathBuf>,
}

/// Keeps the store that is there under another name, and all that belongs to it; also what is left of one whose
/// database is gone. SQLite would take a log that stays for that of the restored store, and put back what it holds.
fn set_aside(store: &Path, clock: &Clock) -> Result<Aside, StoreError> {
    let (there, alone) = (store.exists(), is_log_alone(store));
    // Into one file, if that is possible: then there is no moment in which the database has lost its log.
    if there
        && !alone
        && let Ok(conn) = Connection::open(store)
    {
        let _ = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    }
    let aside = beside(store, &format!(".replaced-{}", clock.now().as_millis()));
    let cannot = |from: &Path, to: &Path, error: std::io::Error| {
        StoreError::refused(format!("{} cannot be kept as {}: {error}", from.display(), to.display()))
    };
    if there {
        // A second name first, so that there is a store at every moment.
        fs::hard_link(store, &aside).map_err(|error| cannot(store, &aside, error))?;
    }
    for ending in BESIDE {
        let (from, to) = (beside(store, ending), beside(&aside, ending));
        match fs::rename(&from, &to) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(cannot(&from, &to, error)),
            _ => {}
        }
    }
    sync_directory_of(store)?;
    let log_alone = alone.then(|| log_path(&aside));
    Ok(Aside { replaced: there.then_some(aside), log_alone })
}
