//! What a failure of SQLite means for those who wait, and for the store.

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
    /// The whole group, which was not stored. It may pass by itself.
    Group(StoreError),
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
        Some(ErrorCode::DiskFull) => passing(format!("the disk or the size limit of {at} is full: make room")),
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            passing(format!("{at} cannot be written ({error}): make the file and its directory writable"))
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            passing(format!("another program holds the write lock of {at}: end its transaction"))
        }
        Some(ErrorCode::DatabaseCorrupt) => Reach::Statement(StoreError::retry_later(format!(
            "a part of {at} is damaged ({error}): run `laneway check`, and restore it from a backup"
        ))),
        Some(ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch) | None => {
            Reach::Statement(StoreError::refused(format!("{at} does not take this: {error}")))
        }
        _ => passing(format!("writing {at} failed: {error}. Check the disk")),
    }
}

/// An error of COMMIT. Only where SQLite is known to have written no complete commit is the answer
/// no; everything else is unclear.
pub(crate) fn of_commit(error: &rusqlite::Error, path: &Path) -> Reach {
    match codes(error).0 {
        Some(ErrorCode::DiskFull | ErrorCode::ReadOnly | ErrorCode::DatabaseBusy) => of_statement(error, path),
        _ => Reach::Store(for_good(error, path)),
    }
}

/// An error of a read.
pub(crate) fn of_read(error: &rusqlite::Error, path: &Path) -> StoreError {
    StoreError::retry_later(format!("reading {} failed: {error}. Run `laneway check`", path.display()))
}

/// Whether a page of the database is damaged, so that other rows may still be readable.
pub(crate) fn is_damage(error: &rusqlite::Error) -> bool {
    codes(error).0 == Some(ErrorCode::DatabaseCorrupt)
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

    #[test]
    fn any_io_error_at_commit_ends_the_store() {
        assert!(matches!(of_commit(&failure(ffi::SQLITE_IOERR_WRITE), path()), Reach::Store(_)));
        assert!(matches!(of_statement(&failure(ffi::SQLITE_IOERR_READ), path()), Reach::Group(_)));
    }

    #[test]
    fn a_full_or_read_only_disk_passes_and_names_the_path() {
        for code in [ffi::SQLITE_FULL, ffi::SQLITE_READONLY] {
            for reach in [of_statement, of_commit] {
                let Reach::Group(error) = reach(&failure(code), path()) else { panic!("{code}") };
                assert!(matches!(error, StoreError::RetryLater { .. }));
                assert!(error.to_string().contains("/data/laneway.db"));
            }
        }
    }

    #[test]
    fn a_statement_that_is_not_taken_does_not_fail_its_group() {
        assert!(matches!(of_statement(&failure(ffi::SQLITE_CONSTRAINT_UNIQUE), path()), Reach::Statement(_)));
        assert!(matches!(of_statement(&failure(ffi::SQLITE_CORRUPT), path()), Reach::Statement(_)));
    }
}
