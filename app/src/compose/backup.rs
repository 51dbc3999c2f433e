//! Backups of the store that the configuration names.

use crate::config::{Store, StoreUrl};
use laneway_domain::{Offset, Timestamp};
use laneway_sqlite::Clock;
use std::path::{Path, PathBuf};

#[cfg(feature = "redis")]
mod redis;
#[cfg(not(feature = "redis"))]
#[path = "backup/without_redis.rs"]
mod redis;

/// How far a copy or a restore has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progressed {
    /// How much is done.
    pub done: u64,
    /// How much there is, about.
    pub of: u64,
    /// Of what.
    pub unit: &'static str,
}

/// What is in a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupReport {
    /// How many partitions the store has.
    pub partitions: u32,
    /// How many events it holds that can be read.
    pub events: u64,
    /// What is wrong with the store, and so with the copy, for people. Empty: nothing.
    pub findings: Vec<String>,
}

/// What may become of what is there, and of what is in the backup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RestoreOptions {
    /// Whether a store that is there may be replaced. It is kept under another name; on Redis it cannot be.
    pub replace: bool,
    /// Whether the tokens that were made over the HTTP interface still open something.
    pub keep_tokens: bool,
    /// Whether a backup in which something is damaged may be put in place as it is; on Redis it cannot be.
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
    /// Where the write-ahead log is now that was there without its database.
    pub log_alone: Option<PathBuf>,
    /// What is damaged in the backup, and so in the store, for people; only if that was allowed.
    pub findings: Vec<String>,
}

/// Copies the store into the new file `to`, and checks the copy. May block for a while now and then.
///
/// # Errors
/// Says why there is no copy, and what to do.
pub async fn backup(
    store: &Store,
    to: &Path,
    mut progressed: impl FnMut(Progressed) + Send + 'static,
) -> Result<BackupReport, String> {
    match &store.url {
        StoreUrl::Sqlite(path) => {
            let (path, to) = (path.clone(), to.to_owned());
            let report = blocking(move || {
                laneway_sqlite::backup(&path, &to, &Clock::system(), |copied| progressed(pages(copied)))
                    .map_err(|error| error.to_string())
            });
            let report = report.await?;
            Ok(BackupReport { partitions: report.partitions, events: report.events, findings: report.findings })
        }
        StoreUrl::Redis(redis) => redis::backup(store, redis, to, progressed).await,
    }
}

/// Makes the store out of the backup.
///
/// # Errors
/// Says why nothing was changed, or what that left, and what to do.
pub async fn restore(
    store: &Store,
    from: &Path,
    options: RestoreOptions,
    mut progressed: impl FnMut(Progressed) + Send + 'static,
) -> Result<Restored, String> {
    match &store.url {
        StoreUrl::Sqlite(path) => {
            let (path, from) = (path.clone(), from.to_owned());
            let RestoreOptions { replace, keep_tokens, damaged } = options;
            let options = laneway_sqlite::RestoreOptions { replace, keep_tokens, damaged };
            let made = blocking(move || {
                laneway_sqlite::restore(&from, &path, options, &Clock::system(), |copied| progressed(pages(copied)))
                    .map_err(|error| error.to_string())
            });
            let laneway_sqlite::Restored { backed_up_at, goes_on_at, revoked_tokens, replaced, log_alone, findings } =
                made.await?;
            Ok(Restored { backed_up_at, goes_on_at, revoked_tokens, replaced, log_alone, findings })
        }
        StoreUrl::Redis(_) if options.replace => Err(format!(
            "--replace is for a store in a file, which is kept under another name, and store.url = \"{}\" is a server: restore \
             into an empty one, or under another store.key_prefix",
            store.url
        )),
        StoreUrl::Redis(_) if options.damaged => Err(format!(
            "--damaged is for a backup that is a database (SQLite), and store.url = \"{}\" is a server: a backup of \
             Redis is restored whole or not at all. Take another copy of it, or an older one",
            store.url
        )),
        StoreUrl::Redis(redis) => redis::restore(store, redis, from, options, progressed).await,
    }
}

fn pages(copied: laneway_sqlite::Copied) -> Progressed {
    Progressed { done: copied.pages, of: copied.of, unit: "pages" }
}

/// Runs the work on a thread for such.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, String> + Send + 'static) -> Result<T, String> {
    let lost = |_| "the copy was given up, because of a mistake in Laneway".to_owned();
    tokio::task::spawn_blocking(work).await.map_err(lost)?
}
