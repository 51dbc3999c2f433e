//! Backups of the store that the configuration names.

use crate::config::{Store, StoreUrl};

use laneway_sqlite::{CheckReport, Clock};
pub use laneway_sqlite::{Copied, RestoreOptions, Restored};
use std::path::{Path, PathBuf};

/// Copies the store into the new file `to`, and checks the copy. Blocks for as long as that takes.
///
/// # Errors
/// Says why there is no copy, and what to do.
pub fn backup(store: &Store, to: &Path, copied: impl FnMut(Copied)) -> Result<CheckReport, String> {
    laneway_sqlite::backup(sqlite(store, "backup")?, to, &Clock::system(), copied).map_err(|error| error.to_string())
}

/// Makes the store out of the backup. Blocks for as long as that takes.
///
/// # Errors
/// Says why nothing was changed, and what to do.
pub fn restore(
    store: &Store,
    from: &Path,
    options: RestoreOptions,
    copied: impl FnMut(Copied),
) -> Result<Restored, String> {
    let path = sqlite(store, "restore")?;
    laneway_sqlite::restore(from, path, options, &Clock::system(), copied).map_err(|error| error.to_string())
}

fn sqlite<'a>(store: &'a Store, command: &str) -> Result<&'a PathBuf, String> {
    match &store.url {
        StoreUrl::Sqlite(path) => Ok(path),
        StoreUrl::Redis(_) => Err(format!(
            "`laneway {command}` works on a file, and store.url = \"{}\" is a server: use what Redis has for it \
             (BGSAVE, or a copy of its append-only files)",
            store.url
        )),
    }
}
