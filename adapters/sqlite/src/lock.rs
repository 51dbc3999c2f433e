//! The lock file that keeps a second process out.
//!
//! SQLite itself would let two processes write in turn. Each would then keep its own idea of the
//! log's end and of the most recent events, and both would deliver.

use laneway_ports::StoreError;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The lock of a database, held until it is dropped or the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Lock(#[allow(dead_code, reason = "held for its lock")] File);

/// Where the lock of `database` is.
pub(crate) fn lock_path(database: &Path) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(".lock");
    path.into()
}

impl Lock {
    pub(crate) fn acquire(database: &Path) -> Result<Self, StoreError> {
        let path = lock_path(database);
        let failed = |error: std::io::Error| {
            StoreError::refused(format!(
                "cannot lock {}: {error}. Check that the directory exists and that this user may write there",
                path.display()
            ))
        };
        let mut options = OpenOptions::new();
        let mut file = options.read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(error)) => return Err(failed(error)),
            Err(TryLockError::WouldBlock) => return Err(held(database, &mut file)),
        }
        // The number only helps people; without space for it the lock holds all the same.
        let _ = file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0)));
        let _ = writeln!(file, "{}", std::process::id());
        Ok(Self(file))
    }
}

fn held(database: &Path, file: &mut File) -> StoreError {
    let mut text = String::new();
    let pid = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse::<u32>().ok());
    let holder = pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
    StoreError::refused(format!(
        "{} is in use by {holder}: one Laneway at a time may open it. Stop that one, or give this one another store",
        database.display()
    ))
}
