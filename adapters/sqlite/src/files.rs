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

/// The write-ahead log of a database.
pub(crate) fn log_path(database: &Path) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push("-wal");
    path.into()
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
}
