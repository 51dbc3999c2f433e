//! The store that the configuration names, behind its ports.

use super::Role;
use super::certificates::StoreTls;
use crate::config::{Config, Durability, Store, StoreUrl};
use crate::registry::{Reader, can_be_opened};
use laneway_ports::{Stores, WorkerId};
use laneway_sqlite::{Options, SqliteStore};
use rustix::fs::Access;
use std::io;
use std::path::Path;
use std::sync::Arc;

#[cfg(feature = "redis")]
mod redis;
#[cfg(not(feature = "redis"))]
#[path = "stores/without_redis.rs"]
mod redis;

#[cfg(feature = "redis")]
pub(super) use redis::options as redis_options;

/// Opens the store, for a process of that name.
///
/// # Errors
/// Says what keeps it from being used, and what to do.
pub(super) async fn open(config: &Config, tls: StoreTls, role: Role, process: &WorkerId) -> Result<Stores, String> {
    let store = &config.store;
    match &store.url {
        StoreUrl::Sqlite(_) if role != Role::Both => Err(format!(
            "store.url = \"{}\" is a file that one process has to itself: run `laneway serve`, which takes events in \
             and delivers them, or choose a store that processes can share, for instance \"redis://127.0.0.1:6379\"",
            store.url
        )),
        StoreUrl::Sqlite(path) => open_sqlite(store, path).map(Arc::new).map(Stores::of),
        StoreUrl::Redis(redis) => redis::open(store, redis, tls, role, process).await,
    }
}

fn open_sqlite(store: &Store, path: &Path) -> Result<SqliteStore, String> {
    let options = Options {
        duplicate_window: store.duplicate_window,
        durability: match store.durability {
            Durability::Full => laneway_sqlite::Durability::Full,
            Durability::Relaxed => laneway_sqlite::Durability::Relaxed,
        },
        ..Options::new(path, store.partitions)
    };
    SqliteStore::open(options).map_err(|e| e.to_string())
}

/// What a check has found.
pub struct Checked {
    /// What is there, or what is wrong with it, for people.
    pub found: Result<String, String>,
    /// What should be changed, for people; a line each.
    pub warnings: Vec<String>,
    /// What this release makes of what is there when it starts, and whether an earlier one can go back; nothing where
    /// nothing is there.
    pub upgrade: Option<String>,
}

/// Checks the store without making it, and says what is there. Reads all of it.
///
/// # Errors
/// Says why it cannot be checked.
pub(super) async fn check(store: &Store, reader: &Reader) -> Result<Checked, String> {
    match &store.url {
        StoreUrl::Sqlite(path) => check_sqlite(store, path, reader),
        StoreUrl::Redis(redis) => redis::check(store, redis, reader).await,
    }
}

/// Whether a store could be made there: Laneway makes the file, and no folder.
fn can_be_made(path: &Path) -> Result<(), String> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let facts = match folder.metadata() {
        Ok(facts) => facts,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let what = folder.display();
            return Err(format!("the folder {what} of store.url does not exist: make it (mkdir -p {what})"));
        }
        Err(e) => return Err(format!("the folder {} of store.url cannot be looked at: {e}", folder.display())),
    };
    if !facts.is_dir() {
        return Err(format!("{} is not a folder, and so store.url cannot be in it", folder.display()));
    }
    // Asked without writing anything.
    rustix::fs::access(folder, Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|e| format!("store.url cannot be made in the folder {}: {}", folder.display(), io::Error::from(e)))
}

fn check_sqlite(store: &Store, path: &Path, reader: &Reader) -> Result<Checked, String> {
    if !path.try_exists().map_err(|e| format!("{} cannot be inspected: {e}", path.display()))? {
        laneway_sqlite::refuse_log_alone(path).map_err(|e| e.to_string())?;
        can_be_made(path)?;
        let found = format!("{} will be made, with {} partitions", path.display(), store.partitions);
        return Ok(Checked { found: Ok(found), warnings: Vec::new(), upgrade: None });
    }
    if path.is_dir() {
        return Err(format!("{} is a folder: store.url needs the path of a file", path.display()));
    }
    let report = laneway_sqlite::check(path).map_err(|e| e.to_string())?;
    let upgrade = upgrade(report.schema);
    if !report.findings.is_empty() {
        let damage = format!("{} is damaged:\n  {}", path.display(), report.findings.join("\n  "));
        return Ok(Checked { found: Err(damage), warnings: report.warnings, upgrade: Some(upgrade) });
    }
    if report.partitions != store.partitions {
        let made = report.partitions;
        return Err(format!(
            "{} was made with {made} partitions, and that cannot change; set store.partitions = {made}",
            path.display()
        ));
    }
    let found = format!("{} events in {} partitions, all sound", report.events, report.partitions);
    let found = can_be_opened(&report.registered, reader).map(|()| found);
    Ok(Checked { found, warnings: report.warnings, upgrade: Some(upgrade) })
}

/// What becomes of a store that has the format `found` when this release starts on it.
fn upgrade(found: u32) -> String {
    let (this, writes) = (env!("CARGO_PKG_VERSION"), laneway_sqlite::SCHEMA_VERSION);
    if found == writes {
        return format!("none: the store has the format of this Laneway {this}, which is {writes}");
    }
    format!(
        "the store has format {found}, and this Laneway {this} writes format {writes}. It brings it there when it starts, in \
         one step for each format, and nothing is lost: a step that fails changes nothing. An earlier release does not \
         open it any more then; `laneway backup FILE` of the earlier release, made before, is the way back"
    )
}
