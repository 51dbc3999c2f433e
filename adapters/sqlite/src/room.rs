//! Room on the disk, and what is kept back for the day on which there is none.
//!
//! A store on a full disk has to go on, or it never gets room again: deliveries are settled by commits, settled
//! events are trimmed, and both write. So a file beside the database holds some room, the *reserve*. When a write finds
//! none, the reserve gives some of it back: that is for leases, commits and trims alone.
//!
//! The room goes to the database before it goes to the write-ahead log. What is in the log needs room in the database
//! before the log can begin anew; a log that has taken the whole reserve would never be written back, not even after a
//! restart. So the writer first writes the log back and cuts it off ([`crate::checkpoint`]), and then lets it grow only
//! as long as the reserve still holds as much as the log ([`Room::give_to_log`]). Where the disk has little left, the
//! log is written back early ([`is_scarce`]), so that the reserve can take all of it when room runs out.
//!
//! New events are refused until most of the reserve is there again and the disk has room beside it, or until a trim has
//! freed pages in the database ([`LEAST_FREE_BYTES`]). They use these, whether or not the disk has room; without them,
//! each new event would take a part of the reserve for good.

use crate::files::resolved;
use laneway_ports::StoreError;
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How much is kept back: SQLite's index of the write-ahead log, and some thousand commits between two checkpoints.
pub const RESERVE_BYTES: u64 = 8 << 20;
/// What has to be in reserve for new events to be taken in where only the disk has room for them: twice what the log
/// holds at most before it is written back on such a disk. Each event that finds no room may cost a part of the reserve,
/// and what is left is for commits and trims.
const LEAST_RESERVE_BYTES: u64 = RESERVE_BYTES / 2;
/// How much is given back at a time: not all at once, because anybody may take what is free on the disk. As much is
/// left free on a disk that cannot fill the reserve, so that the log can be written at all.
const STEP_BYTES: u64 = 1 << 20;
/// With less in reserve, or nothing else free on the disk, events are taken in as long as this much of the database is
/// free for them: more than a usual group of them writes.
const LEAST_FREE_BYTES: u64 = 1 << 20;
/// With less than this free on the disk, room is scarce: as much as the log takes at most on a disk with room.
const SCARCE_BYTES: u64 = 256 << 20;
/// How often it is tried to fill the reserve again while there is no room.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The file that holds the reserve.
#[derive(Debug)]
pub(crate) struct Reserve {
    path: PathBuf,
}

impl Reserve {
    /// That of the database at `database`.
    pub(crate) fn of(database: &Path) -> Self {
        let mut path = database.as_os_str().to_owned();
        path.push(".reserve");
        Self { path: path.into() }
    }

    /// How much it holds.
    pub(crate) fn bytes(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |file| file.len())
    }

    /// Takes as much of the disk as there is, up to [`RESERVE_BYTES`] and but for a last [`STEP_BYTES`], and says how
    /// much it holds now.
    pub(crate) fn take(&self) -> io::Result<u64> {
        self.take_but(STEP_BYTES)
    }

    /// The same, but that so much is left free.
    fn take_but(&self, left: u64) -> io::Result<u64> {
        let held = self.bytes();
        if held >= RESERVE_BYTES {
            return Ok(RESERVE_BYTES);
        }
        let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(&self.path)?;
        // Where the system does not say what is free, trying tells.
        let free = disk_free(&self.path).unwrap_or(u64::MAX).saturating_sub(left);
        let whole_steps = |bytes: u64| bytes / STEP_BYTES * STEP_BYTES;
        let mut bytes = RESERVE_BYTES.min(held.saturating_add(whole_steps(free)));
        while bytes > held {
            match allocate(&mut file, bytes) {
                Ok(()) => return Ok(bytes),
                // What was taken of it goes back before less is asked for.
                Err(error) if is_no_room(&error) => file.set_len(held)?,
                Err(error) => return Err(error),
            }
            bytes -= STEP_BYTES;
        }
        Ok(held)
    }

    /// Gives a part of it back to the disk, and says how much that was.
    pub(crate) fn release(&self) -> u64 {
        let held = self.bytes();
        let given = held.min(STEP_BYTES);
        let shrunk = OpenOptions::new().write(true).open(&self.path).and_then(|file| file.set_len(held - given));
        if shrunk.is_ok() { given } else { 0 }
    }
}

fn allocate(file: &mut File, bytes: u64) -> io::Result<()> {
    match fallocate(&*file, FallocateFlags::empty(), 0, bytes) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
            // A file system that cannot set room aside takes it by being written to.
            static CHUNK: [u8; 64 << 10] = [0; 64 << 10];
            (0..bytes / CHUNK.len() as u64).try_for_each(|_| file.write_all(&CHUNK))
        }
        other => Ok(other?),
    }
}

/// Whether an error of the system says that there is no room: on the disk, in a quota, or in the file's own limit.
fn is_no_room(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    [Errno::NOSPC, Errno::DQUOT, Errno::FBIG].into_iter().any(|full| errno == Some(full))
}

/// How much room there is for a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Free {
    /// Bytes that this user may still write to its disk; a quota may allow less.
    pub disk: u64,
    /// Bytes that are kept back beside it.
    pub reserve: u64,
}

/// How much room there is for the database at `path`; `None` where the system does not say.
#[must_use]
pub fn free(path: &Path) -> Option<Free> {
    let path = &resolved(path);
    Some(Free { disk: disk_free(path)?, reserve: Reserve::of(path).bytes() })
}

/// Bytes that are free on the disk of the file at `path`.
fn disk_free(path: &Path) -> Option<u64> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let disk = statvfs(folder).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Whether there is so little room for the database at `path` that its log should hold little.
pub(crate) fn is_scarce(path: &Path) -> bool {
    free(path).is_some_and(|free| free.disk < SCARCE_BYTES)
}

/// What there is to say of the room for the database at `path`, if there is little.
pub(crate) fn shortage(path: &Path) -> Option<String> {
    let Free { disk, reserve } = free(path).filter(|free| free.disk < RESERVE_BYTES)?;
    Some(format!(
        "the disk of {} is full: {} KiB are free, and {} KiB are kept back for commits and trims. New events are \
         answered with 503 until there is room",
        path.display(),
        disk >> 10,
        reserve >> 10
    ))
}

/// Whether there is room for new events.
#[derive(Debug)]
pub(crate) struct Room {
    reserve: Reserve,
    database: PathBuf,
    /// `None` while there is room.
    short: Option<Short>,
}

/// A write has found no room, and none has been seen since.
#[derive(Clone, Copy, Debug)]
struct Short {
    /// When it is tried again to fill the reserve.
    look_at: Instant,
    /// Whether the write-ahead log is to be written back before anything else.
    log_is_due: bool,
    /// How much the log needs beside itself: more, each time that a group has found no room in a log that was cut off.
    log_needs: u64,
    /// That has just happened.
    fell_short: bool,
}

impl Short {
    fn now() -> Self {
        Self { look_at: Instant::now() + LOOK_EVERY, log_is_due: true, log_needs: STEP_BYTES, fell_short: false }
    }
}

impl Room {
    /// `short`: the store could be opened only with what was in reserve.
    pub(crate) fn of(database: &Path, short: bool) -> Self {
        let reserve = Reserve::of(database);
        let is_short = short
            || match reserve.take() {
                Ok(bytes) => !has_room(bytes, database),
                Err(error) => {
                    let path = database.display();
                    tracing::warn!(
                        %path, %error, "no reserve can be made: when the disk is full, deliveries cannot be recorded"
                    );
                    false
                }
            };
        Self { reserve, database: database.to_owned(), short: is_short.then(Short::now) }
    }

    /// A write found no room.
    pub(crate) fn ran_out(&mut self) {
        let mut now = Short::now();
        // Once the log was cut off, all that it may have is free. A group that needs more never fits, however often it
        // is tried: what is in reserve is for that.
        if let Some(before) = self.short {
            now.fell_short = !before.log_is_due;
            now.log_needs = before.log_needs + if now.fell_short { STEP_BYTES } else { 0 };
        }
        self.short = Some(now);
    }

    /// Something was removed from the store.
    pub(crate) fn was_made(&mut self) {
        if let Some(short) = &mut self.short {
            short.look_at = Instant::now();
        }
    }

    /// Whether new events may be tried. `free_bytes` says how much of the database is free.
    pub(crate) fn admits_events(&mut self, free_bytes: impl FnOnce() -> u64) -> bool {
        let Some(short) = &mut self.short else { return true };
        let now = Instant::now();
        if now >= short.look_at {
            short.look_at = now + LOOK_EVERY;
            // Where nothing can be kept back for another reason than room, only trying tells.
            if self.reserve.take_but(short.log_needs).map_or(true, |bytes| has_room(bytes, &self.database)) {
                self.short = None;
                return true;
            }
        }
        !short.log_is_due && free_bytes() >= LEAST_FREE_BYTES
    }

    /// Whether there is none.
    pub(crate) const fn is_short(&self) -> bool {
        self.short.is_some()
    }

    /// Whether the write-ahead log has to be written back before anything else is written.
    pub(crate) fn wants_log_written_back(&self) -> bool {
        self.short.is_some_and(|short| short.log_is_due)
    }

    /// The log is in the database, and holds nothing.
    pub(crate) fn log_is_written_back(&mut self) {
        if let Some(short) = &mut self.short {
            short.log_is_due = false;
        }
    }

    /// Gives some of the reserve to the database, into which the log is being written back. `false` if nothing is left.
    pub(crate) fn give_to_database(&self) -> bool {
        self.reserve.release() > 0
    }

    /// Gives some of the reserve to the log, whose file has `log_bytes`, if there is nothing free on the disk, and if
    /// as much as the log may hold then is left for the day on which it is written back. Where that was not enough for
    /// a group, a step more, down to nothing.
    pub(crate) fn give_to_log(&mut self, log_bytes: u64) {
        let has = |bytes| disk_free(&self.database).is_some_and(|free| free >= bytes);
        if let Some(short) = self.short.as_mut().filter(|short| short.fell_short) {
            short.fell_short = false;
            // A quota says nothing of what it leaves: a step at least.
            while self.reserve.release() > 0 && !has(short.log_needs) {}
            return;
        }
        let has_enough = has(STEP_BYTES);
        if !has_enough && self.reserve.bytes() >= log_bytes + 2 * STEP_BYTES {
            self.reserve.release();
        }
    }

    /// What whoever brings events is told while there is none.
    pub(crate) fn refusal(&self) -> StoreError {
        full(&self.database)
    }
}

/// Whether new events may be tried with this much in reserve. Whether a quota or the limit of a file's size is full,
/// only trying tells.
fn has_room(reserve: u64, database: &Path) -> bool {
    reserve >= LEAST_RESERVE_BYTES && disk_free(database).is_none_or(|free| free >= STEP_BYTES)
}

/// The error of whoever needs room where there is none.
pub(crate) fn full(path: &Path) -> StoreError {
    let at = path.display();
    StoreError::retry_later(format!(
        "there is no room for new events in {at}: its disk, a quota or the limit of its size is full. Deliveries go \
         on. Make room; it goes on by itself"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_taken_once_and_given_back_by_and_by() {
        let folder = tempfile::tempdir().unwrap();
        let reserve = Reserve::of(&folder.path().join("laneway.db"));
        assert_eq!(reserve.release(), 0);
        assert_eq!(reserve.take().unwrap(), RESERVE_BYTES);
        assert_eq!(reserve.take().unwrap(), RESERVE_BYTES);
        assert_eq!(reserve.bytes(), RESERVE_BYTES);
        for held in (0..RESERVE_BYTES / STEP_BYTES).rev() {
            assert_eq!(reserve.release(), STEP_BYTES);
            assert_eq!(reserve.bytes(), held * STEP_BYTES);
        }
        assert_eq!(reserve.release(), 0);
        assert_eq!(reserve.take().unwrap(), RESERVE_BYTES);
    }

    /// A group that needs more than the log is given at first must not fail for ever.
    #[test]
    fn whoever_finds_no_room_in_a_log_that_was_cut_off_gets_more_of_the_reserve_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let mut room = Room::of(&folder.path().join("laneway.db"), false);
        room.ran_out();
        room.log_is_written_back();
        room.give_to_log(0);
        assert_eq!(room.reserve.bytes(), RESERVE_BYTES, "the disk has room");
        for steps in (0..RESERVE_BYTES / STEP_BYTES).rev() {
            room.ran_out();
            room.log_is_written_back();
            room.give_to_log(0);
            assert_eq!(room.reserve.bytes(), steps * STEP_BYTES);
            room.give_to_log(0);
            assert_eq!(room.reserve.bytes(), steps * STEP_BYTES, "once each time");
        }
        let needs = room.short.unwrap().log_needs;
        assert_eq!(needs, RESERVE_BYTES + STEP_BYTES, "so much is left free");
        // Another failure before the log was written back says nothing of how much a group needs.
        room.ran_out();
        room.ran_out();
        assert_eq!(room.short.unwrap().log_needs, needs + STEP_BYTES);
    }

    const NOTHING_FREE: fn() -> u64 = || 0;

    #[test]
    fn new_events_wait_until_room_was_made() {
        let folder = tempfile::tempdir().unwrap();
        let mut room = Room::of(&folder.path().join("laneway.db"), false);
        assert!(room.admits_events(NOTHING_FREE));
        assert_eq!(room.reserve.bytes(), RESERVE_BYTES);
        room.ran_out();
        assert!(!room.admits_events(NOTHING_FREE), "it was looked for a moment ago");
        assert!(room.give_to_database());
        assert_eq!(room.reserve.bytes(), RESERVE_BYTES - STEP_BYTES);
        room.was_made();
        assert!(room.admits_events(NOTHING_FREE));
        assert_eq!(room.reserve.bytes(), RESERVE_BYTES);
        room.was_made();
        assert!(!room.is_short(), "what is removed from a store with room changes nothing");
    }

    #[test]
    fn pages_of_the_database_that_are_free_serve_new_events_once_the_log_is_written_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut room = Room::of(&folder.path().join("laneway.db"), false);
        room.ran_out();
        assert!(room.wants_log_written_back());
        assert!(!room.admits_events(|| LEAST_FREE_BYTES), "the log needs the room");
        room.log_is_written_back();
        assert!(!room.wants_log_written_back());
        assert!(room.admits_events(|| LEAST_FREE_BYTES));
        assert!(!room.admits_events(|| LEAST_FREE_BYTES - 1));
    }

    #[test]
    fn whatever_the_system_calls_full_is_full() {
        for errno in [Errno::NOSPC, Errno::DQUOT, Errno::FBIG] {
            assert!(is_no_room(&errno.into()), "{errno}");
        }
        assert!(!is_no_room(&Errno::IO.into()));
    }
}
