//! What a failure of SQLite means for those who wait, and for the store.

use crate::room;
use laneway_ports::{CommitError, StoreError};
use rusqlite::ErrorCode;
use rusqlite::ffi;
use std::path::Path;

/// Why a change was not made.
#[derive(Debug)]
pub(crate) enum Failed {
    /// SQLite says no.
    Sql(rusqlite::Error),
    /// The request itself is at fault, or fenced.
    Told(CommitError),
}

impl From<rusqlite::Error> for Failed {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Told(error.into())
    }
}

/// How far a failure reaches.
#[derive(Clone, Debug)]
pub(crate) enum Reach {
    /// One statement: everything else can go on.
    Statement(StoreError),
    /// The transaction: a part of the database is damaged. Of whatever met that nothing can be stored, and of the
    /// others only in another transaction: SQLite writes nothing more in one that has met damage, be it while reading,
    /// and refuses its COMMIT.
    Damage(StoreError),
    /// The whole group, which was not stored. It may pass by itself.
    Group(StoreError),
    /// The same, and perhaps there is no room: SQLite tells ENOSPC from other failures of a write, but not EDQUOT
    /// or EFBIG.
    NoRoom(StoreError),
    /// The store, for good: what the disk holds is no longer known.
    Store(String),
}

fn codes(error: &rusqlite::Error) -> (Option<ErrorCode>, i32) {
    match error {
        rusqlite::Error::SqliteFailure(e, _) => (Some(e.code), e.extended_code),
        _ => (None, 0),
    }
}

/// Whether SQLite could not make something durable. After a failed fsync the kernel may have
/// dropped the very pages and call the next fsync a success, so that trying again proves nothing.
fn is_sync(extended: i32) -> bool {
    matches!(extended, ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC | ffi::SQLITE_IOERR_TRUNCATE)
}

/// What is said for good when an fsync of ours failed.
pub(crate) fn sync_failed(path: &Path, error: &std::io::Error) -> String {
    for_good(error, path)
}

fn for_good(error: &dyn std::fmt::Display, path: &Path) -> String {
    format!(
        "writing {} failed in a way that leaves unclear what is on the disk ({error}). \
         Nothing more is accepted: check the disk, then restart",
        path.display()
    )
}

/// An error of a statement within a group, or of beginning one.
pub(crate) fn of_statement(error: &rusqlite::Error, path: &Path) -> Reach {
    let at = path.display();
    let (code, extended) = codes(error);
    if is_sync(extended) {
        return Reach::Store(for_good(error, path));
    }
    let passing = |what: String| Reach::Group(StoreError::retry_later(what));
    match code {
        Some(ErrorCode::DiskFull) => Reach::NoRoom(room::full(path)),
        Some(ErrorCode::SystemIoFailure) if needs_room(extended) => {
            Reach::NoRoom(StoreError::retry_later(cannot_write(error, path)))
        }
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            passing(format!("{at} cannot be written ({error}): make the file and its directory writable"))
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            passing(format!("another program holds the write lock of {at}: end its transaction"))
        }
        Some(ErrorCode::DatabaseCorrupt) => Reach::Damage(StoreError::retry_later(format!(
            "a part of {at} is damaged ({error}): run `laneway check`, and restore it from a backup"
        ))),
        Some(ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch) | None => {
            Reach::Statement(StoreError::refused(format!("{at} refuses this: {error}")))
        }
        _ => passing(format!("writing {at} failed: {error}. Check the disk")),
    }
}

/// An error of COMMIT. Only where SQLite is known to have written no complete commit is the answer
/// no; everything else is unclear.
///
/// A write that failed is not a failed fsync: what was durable before still is. SQLite begins the next commit where
/// the failed one began, so that the store goes on whatever became of it, and a crash before then brings back either
/// all of it or nothing (each frame of the log has a checksum over all before it).
pub(crate) fn of_commit(error: &rusqlite::Error, path: &Path) -> Reach {
    let (code, extended) = codes(error);
    match code {
        Some(ErrorCode::DiskFull | ErrorCode::ReadOnly | ErrorCode::DatabaseBusy) => of_statement(error, path),
        Some(ErrorCode::SystemIoFailure | ErrorCode::OutOfMemory) if !is_sync(extended) => {
            Reach::NoRoom(StoreError::unknown(cannot_write(error, path)))
        }
        _ => Reach::Store(for_good(error, path)),
    }
}

/// Whether what failed was a write, or a file that was to grow.
fn needs_room(extended: i32) -> bool {
    let growing = [ffi::SQLITE_IOERR_SHMOPEN, ffi::SQLITE_IOERR_SHMSIZE, ffi::SQLITE_IOERR_SHMMAP];
    extended == ffi::SQLITE_IOERR_WRITE || growing.contains(&extended)
}

fn cannot_write(error: &rusqlite::Error, path: &Path) -> String {
    format!(
        "{} cannot be written ({error}): a quota or a limit of its size may be full, or the disk fails. Look at the \
         disk; it goes on by itself",
        path.display()
    )
}

/// An error of a read.
pub(crate) fn of_read(error: &rusqlite::Error, path: &Path) -> StoreError {
    StoreError::retry_later(format!("reading {} failed: {error}. Run `laneway check`", path.display()))
}

/// Whether a page of the database is damaged, so that other rows may still be readable.
pub(crate) fn is_damage(error: &rusqlite::Error) -> bool {
    codes(error).0 == Some(ErrorCode::DatabaseCorrupt)
}

/// Whether only a value is not of the kind that its column has, so that other rows can be read.
pub(crate) const fn is_of_a_value(error: &rusqlite::Error) -> bool {
    matches!(
        error,
        rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::Utf8Error(..)
    )
}

/// A row that does not hold what it should.
pub(crate) fn unreadable(table: &str, row: impl std::fmt::Display, why: impl std::fmt::Display) -> StoreError {
    StoreError::refused(format!("the row {row} of table {table} cannot be read: {why}. Mend or delete it with sqlite3"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(extended: i32) -> rusqlite::Error {
        rusqlite::Error::SqliteFailure(ffi::Error::new(extended), None)
    }

    fn path() -> &'static Path {
        Path::new("/data/laneway.db")
    }

    #[test]
    fn a_failed_fsync_ends_the_store_wherever_it_happens() {
        for reach in [of_statement, of_commit] {
            let reach = reach(&failure(ffi::SQLITE_IOERR_FSYNC), path());
            assert!(matches!(&reach, Reach::Store(what) if what.contains("/data/laneway.db")), "{reach:?}");
        }
    }

    /// What a failure comes to: whether the store ends, whether new events have to wait for room, and what
    /// whoever asked is told.
    fn comes_to(reach: &Reach) -> (bool, bool, &'static str) {
        let told = |error: &StoreError| match error {
            StoreError::Refused { .. } => "no",
            StoreError::RetryLater { .. } => "later",
            StoreError::Unknown { .. } => "unknown",
        };
        match reach {
            Reach::Store(_) => (true, false, "unknown"),
            Reach::NoRoom(error) => (false, true, told(error)),
            Reach::Group(error) | Reach::Statement(error) | Reach::Damage(error) => (false, false, told(error)),
        }
    }

    #[test]
    fn only_a_failed_fsync_ends_the_store_and_only_a_failed_write_asks_for_room() {
        let table = [
            // The failure; then, of a statement and of COMMIT: the store ends, room is short, what is told.
            (ffi::SQLITE_FULL, (false, true, "later"), (false, true, "later")),
            (ffi::SQLITE_IOERR_WRITE, (false, true, "later"), (false, true, "unknown")),
            (ffi::SQLITE_IOERR_SHMSIZE, (false, true, "later"), (false, true, "unknown")),
            (ffi::SQLITE_IOERR_SHMMAP, (false, true, "later"), (false, true, "unknown")),
            (ffi::SQLITE_IOERR_READ, (false, false, "later"), (false, true, "unknown")),
            (ffi::SQLITE_IOERR, (false, false, "later"), (false, true, "unknown")),
            (ffi::SQLITE_NOMEM, (false, false, "later"), (false, true, "unknown")),
            (ffi::SQLITE_READONLY, (false, false, "later"), (false, false, "later")),
            (ffi::SQLITE_BUSY, (false, false, "later"), (false, false, "later")),
            (ffi::SQLITE_IOERR_FSYNC, (true, false, "unknown"), (true, false, "unknown")),
            (ffi::SQLITE_IOERR_DIR_FSYNC, (true, false, "unknown"), (true, false, "unknown")),
            (ffi::SQLITE_IOERR_TRUNCATE, (true, false, "unknown"), (true, false, "unknown")),
            (ffi::SQLITE_CORRUPT, (false, false, "later"), (true, false, "unknown")),
        ];
        for (code, statement, commit) in table {
            assert_eq!(comes_to(&of_statement(&failure(code), path())), statement, "a statement: {code}");
            assert_eq!(comes_to(&of_commit(&failure(code), path())), commit, "COMMIT: {code}");
        }
    }

    #[test]
    fn a_failure_that_passes_names_the_path() {
        for code in [ffi::SQLITE_FULL, ffi::SQLITE_READONLY, ffi::SQLITE_IOERR_WRITE] {
            for reach in [of_statement, of_commit] {
                let (Reach::Group(error) | Reach::NoRoom(error)) = reach(&failure(code), path()) else {
                    panic!("{code}")
                };
                assert!(error.to_string().contains("/data/laneway.db"), "{error}");
            }
        }
    }

    #[test]
    fn a_statement_that_is_not_taken_does_not_fail_its_group() {
        assert!(matches!(of_statement(&failure(ffi::SQLITE_CONSTRAINT_UNIQUE), path()), Reach::Statement(_)));
        assert!(matches!(of_statement(&failure(ffi::SQLITE_CORRUPT), path()), Reach::Damage(_)));
    }
}
