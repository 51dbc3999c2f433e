//! Room on the disk, and what is kept back for the day on which there is none.
//!
//! A store on a full disk has to go on, or it never gets room again: deliveries are settled by commits, settled
//! events are trimmed, and both write. So a file beside the database holds some room. When a write finds none, that
//! file gives some of it back: that is for leases, commits and trims alone, and new events are refused. From time to
//! time, and whenever something was trimmed, the file is filled again; once that succeeds new events are tried, which
//! then use the pages of the database that the trim has freed, whether or not the disk has room.
//!
//! What is in the write-ahead log needs room in the database before the log can begin anew. So where the disk has
//! little left, the log is written back early ([`is_scarce`]), and never holds more than the reserve can take.

use laneway_ports::StoreError;
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How much is kept back: SQLite's index of the write-ahead log, and some thousand commits between two checkpoints.
pub const RESERVE_BYTES: u64 = 8 << 20;
/// With less than this in reserve nothing new is taken in.
const LEAST_RESERVE_BYTES: u64 = 1 << 20;
/// How much is given back at a time: not all at once, because anybody may take what is free on the disk.
const STEP_BYTES: u64 = 1 << 20;
/// With less than this free on the disk, room is scarce: as much as the log takes at most on a disk with room.
const SCARCE_BYTES: u64 = 256 << 20;
/// How often it is tried whether there is room again: each try takes the reserve from the disk and gives it back.
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

    /// Takes as much of the disk as there is, up to [`RESERVE_BYTES`], and says how much that is.
    pub(crate) fn take(&self) -> io::Result<u64> {
        if self.bytes() >= RESERVE_BYTES {
            return Ok(RESERVE_BYTES);
        }
        let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(&self.path)?;
        let held = self.bytes();
        let mut bytes = RESERVE_BYTES;
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
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let disk = statvfs(folder).ok()?;
    Some(Free { disk: disk.f_bavail.saturating_mul(disk.f_frsize), reserve: Reserve::of(path).bytes() })
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
    /// When it is tried again; `None` while there is room.
    look_at: Option<Instant>,
}

impl Room {
    /// `short`: the store could be opened only with what was in reserve.
    pub(crate) fn of(database: &Path, short: bool) -> Self {
        let room = Self {
            reserve: Reserve::of(database),
            database: database.to_owned(),
            look_at: short.then(|| Instant::now() + LOOK_EVERY),
        };
        if !short && let Err(error) = room.reserve.take() {
            let path = database.display();
            tracing::warn!(%path, %error, "no reserve can be made: when the disk is full, deliveries cannot be recorded");
        }
        room
    }

    /// A write found no room: what is in reserve is for what makes room.
    pub(crate) fn ran_out(&mut self) {
        self.reserve.release();
        self.look_at = Some(Instant::now() + LOOK_EVERY);
    }

    /// Something was removed from the store.
    pub(crate) fn was_made(&mut self) {
        self.look_at = self.look_at.map(|_| Instant::now());
    }

    /// Whether new events may be tried.
    pub(crate) fn admits_events(&mut self) -> bool {
        let Some(at) = self.look_at else { return true };
        let now = Instant::now();
        if now < at {
            return false;
        }
        // Where nothing can be kept back for another reason than room, only trying tells.
        let is_there = self.reserve.take().map_or(true, |bytes| bytes >= LEAST_RESERVE_BYTES);
        self.look_at = if is_there { None } else { Some(now + LOOK_EVERY) };
        is_there
    }

    /// Whether there is none.
    pub(crate) const fn is_short(&self) -> bool {
        self.look_at.is_some()
    }

    /// What whoever brings events is told while there is none.
    pub(crate) fn refusal(&self) -> StoreError {
        full(&self.database)
    }
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

    #[test]
    fn new_events_wait_until_room_was_made() {
        let folder = tempfile::tempdir().unwrap();
        let mut room = Room::of(&folder.path().join("laneway.db"), false);
        assert!(room.admits_events());
        assert_eq!(room.reserve.bytes(), RESERVE_BYTES);
        room.ran_out();
        assert!(!room.admits_events(), "it was looked for a moment ago");
        assert_eq!(room.reserve.bytes(), RESERVE_BYTES - STEP_BYTES);
        room.was_made();
        assert!(room.admits_events());
        assert_eq!(room.reserve.bytes(), RESERVE_BYTES);
        room.was_made();
        assert!(!room.is_short(), "what is removed from a store with room changes nothing");
    }

    #[test]
    fn whatever_the_system_calls_full_is_full() {
        for errno in [Errno::NOSPC, Errno::DQUOT, Errno::FBIG] {
            assert!(is_no_room(&errno.into()), "{errno}");
        }
        assert!(!is_no_room(&Errno::IO.into()));
    }
}
