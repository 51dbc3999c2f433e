//! The files of an open store, which nobody else may take away.
//!
//! Whoever deletes, moves or replaces the database or its log under a running process leaves it with files that have
//! no name: everything that it writes from then on, and acknowledges, is gone when it ends.

use laneway_ports::StoreError;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Which files they were when the store was opened.
#[derive(Debug)]
pub(crate) struct Files {
    known: Vec<(PathBuf, Identity)>,
}

/// A file, whatever its name: the device and the number of its inode.
type Identity = (u64, u64);

fn identity(path: &Path) -> io::Result<Identity> {
    fs::metadata(path).map(|file| (file.dev(), file.ino()))
}

/// What SQLite keeps beside a database: its write-ahead log, the index of that, and a journal of what it changes. They
/// belong to the one database that they were made for, and SQLite takes them for those of whatever has its name.
pub(crate) const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

/// The file of a database that has its name and that ending.
pub(crate) fn beside(database: &Path, ending: &str) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(ending);
    path.into()
}

/// The write-ahead log of a database.
pub(crate) fn log_path(database: &Path) -> PathBuf {
    beside(database, "-wal")
}

/// How many symbolic links are followed, as Linux does.
const MAX_LINKS: usize = 40;

/// The file itself where `path` is a symbolic link. SQLite follows links too, and has its log beside the file: a lock
/// beside the link would keep nobody out who comes by another name.
pub(crate) fn resolved(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        let Ok(target) = fs::read_link(&path) else { break };
        path = path.parent().unwrap_or(Path::new("")).join(target);
    }
    path
}

/// Whether there is a write-ahead log without its database. SQLite removes such a log when it opens what is there.
pub(crate) fn is_log_alone(database: &Path) -> bool {
    let bytes = |path: &Path| match fs::metadata(path) {
        Ok(file) => Some(file.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(0),
        // Whoever opens it hears why.
        Err(_) => None,
    };
    bytes(database) == Some(0) && bytes(&log_path(database)).is_some_and(|bytes| bytes > 0)
}

/// Refuses a write-ahead log without its database: whatever opens a store there would throw away what is in the log.
///
/// # Errors
/// [`StoreError::Refused`] if there is one.
pub fn refuse_log_alone(database: &Path) -> Result<(), StoreError> {
    let database = &resolved(database);
    if !is_log_alone(database) {
        return Ok(());
    }
    let (database, log) = (database.display(), log_path(database));
    Err(StoreError::refused(format!(
        "{database} is missing or empty, and {log} holds events that were acknowledged: opened without its database, \
         it would be lost. Put the database back that it belongs to, or run `laneway restore`, which keeps {log} under \
         another name. If nobody needs these events, move {log} away",
        log = log.display()
    )))
}

/// A new or renamed file survives a power cut only when its directory is synced too.
pub(crate) fn sync_directory_of(file: &Path) -> Result<(), StoreError> {
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = parent.unwrap_or(Path::new("."));
    let synced = fs::File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(|error| StoreError::refused(format!("cannot sync the directory {}: {error}", directory.display())))
}

impl Files {
    /// Those of the database at `path`, which is open and has been written to.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let paths = [path.to_owned(), log_path(path)];
        let known = paths.into_iter().map(|path| identity(&path).map(|identity| (path, identity)));
        known.collect::<io::Result<_>>().map(|known| Self { known })
    }

    /// Which of them is no longer there, or is another file now; for people.
    pub(crate) fn missing(&self) -> Option<String> {
        let gone = |(path, known): &(PathBuf, Identity)| match identity(path) {
            Ok(found) if found == *known => None,
            Ok(_) => Some(format!("{} was replaced by another file", path.display())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(format!("{} was removed", path.display())),
            // Nothing is known of it: a directory that cannot be searched for a moment, say.
            Err(_) => None,
        };
        self.known.iter().find_map(gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_removed_or_replaced_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("laneway.db");
        fs::write(&database, "database").unwrap();
        fs::write(log_path(&database), "log").unwrap();
        let files = Files::of(&database).unwrap();
        fs::write(&database, "written to, and the same").unwrap();
        assert_eq!(files.missing(), None);
        let aside = folder.path().join("aside");
        fs::rename(log_path(&database), &aside).unwrap();
        assert!(files.missing().unwrap().contains("laneway.db-wal was removed"));
        fs::write(log_path(&database), "another").unwrap();
        assert!(files.missing().unwrap().contains("laneway.db-wal was replaced"));
        fs::rename(&aside, log_path(&database)).unwrap();
        assert_eq!(files.missing(), None);
    }

    #[test]
    fn a_log_is_alone_if_its_database_is_missing_or_empty() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("laneway.db");
        refuse_log_alone(&database).unwrap();
        fs::write(log_path(&database), "").unwrap();
        refuse_log_alone(&database).unwrap();
        fs::write(log_path(&database), "log").unwrap();
        refuse_log_alone(&database).unwrap_err();
        fs::write(&database, "").unwrap();
        let what = refuse_log_alone(&database).unwrap_err().to_string();
        assert!(what.contains("laneway.db is missing or empty") && what.contains("laneway.db-wal holds"), "{what}");
        fs::write(&database, "database").unwrap();
        refuse_log_alone(&database).unwrap();
    }
}
