//! The tables, and what is checked when a database is opened.

mod migrations;

pub(crate) use migrations::seen_as_now;

use crate::files::refuse_log_alone;
use crate::options::{Durability, Options};
use crate::room;
use laneway_domain::MAX_PARTITIONS;
use laneway_ports::StoreError;
use rusqlite::{Connection, ErrorCode, OptionalExtension};
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

/// The version that this code writes. It reads all from [`migrations::FIRST`] on, and changes them when it opens them.
///
/// It is the format number of all tables but those of events, whose rows are never written again and have one each.
pub const SCHEMA_VERSION: u32 = 8;
/// The release of Laneway that first wrote [`SCHEMA_VERSION`]: what a store names to those who do not know it.
const NEEDS_RELEASE: &str = "0.1.0";
/// Under what name that is written down.
const NEEDS: &str = "needs_release";
/// Under what name a backup says when it was made, in milliseconds since the Unix epoch.
pub(crate) const BACKED_UP_AT: &str = "backed_up_at_millis";
/// The most partitions over which the view `events` unites their tables: SQLite compiles all of
/// them for each query.
const MAX_VIEWED_PARTITIONS: u32 = 64;
/// Bytes of a page. Rows of a common event are some hundred bytes, so that a page holds several
/// and a group of single events rewrites no more than it must.
pub(crate) const PAGE_BYTES: u64 = 4096;
/// The writer's cache: more than a group can dirty, so that nothing spills before its commit.
const WRITER_CACHE_KIB: u32 = 24 << 10;
/// A reader's cache: it scans forward, so that only the inner pages pay.
const READER_CACHE_KIB: u32 = 1 << 10;
/// How long the writer waits for another program (a `sqlite3` shell, say) that holds the write lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// The event's columns, as they are in `event_<p>` and, as a copy, in `dead_letter`.
pub(crate) const EVENT_COLUMNS: &str = "id, type, key, source, subject, time, content_type, attributes, data, accepted_at, crc, format, traceparent, \
     tenant";

const TABLES: &str = "
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

-- One row per partition. Offsets below `trimmed` were used, and their events removed. `digest` is a
-- checksum over the partition's progress, here and in the tables lane, behind, cut and those of replays; NULL: not known.
CREATE TABLE partition (
  partition INTEGER PRIMARY KEY, trimmed INTEGER NOT NULL DEFAULT 0, scanned INTEGER NOT NULL DEFAULT 0,
  epoch INTEGER NOT NULL DEFAULT 0, worker TEXT, leased_until INTEGER NOT NULL DEFAULT 0, digest INTEGER
) STRICT;

-- Where each destination stands; `scanned` is NULL while it shares the partition's. `born` is the revision that made
-- the destination.
CREATE TABLE lane (
  partition INTEGER NOT NULL, destination TEXT NOT NULL, scanned INTEGER, paused_since INTEGER, paused_reason TEXT,
  born INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (partition, destination)
) STRICT, WITHOUT ROWID;

-- The keys that have not come as far as their lane; `retry` is JSON.
CREATE TABLE behind (
  partition INTEGER NOT NULL, destination TEXT NOT NULL, key TEXT NOT NULL, offset INTEGER NOT NULL, retry TEXT,
  PRIMARY KEY (partition, destination, key)
) STRICT, WITHOUT ROWID;
-- The lowest offset, which the trim must not pass, without a scan.
CREATE INDEX behind_by_offset ON behind (partition, offset);

-- Events given up, each with its own copy of the event. `lane_key` is what it was ordered with.
CREATE TABLE dead_letter (
  number INTEGER PRIMARY KEY AUTOINCREMENT, partition INTEGER NOT NULL, offset INTEGER NOT NULL,
  destination TEXT NOT NULL, lane_key TEXT NOT NULL, reason TEXT NOT NULL, at INTEGER NOT NULL, retry TEXT NOT NULL,
  retry_requested INTEGER NOT NULL DEFAULT 0,
  id TEXT NOT NULL, type TEXT NOT NULL, key TEXT, source TEXT, subject TEXT, time TEXT, content_type TEXT NOT NULL,
  attributes TEXT, data BLOB NOT NULL, accepted_at INTEGER NOT NULL, crc INTEGER NOT NULL,
  format INTEGER NOT NULL DEFAULT 1, traceparent TEXT, tenant TEXT,
  UNIQUE (partition, offset, destination)
) STRICT;
CREATE INDEX dead_letter_by_destination ON dead_letter (destination, partition, offset);
CREATE INDEX dead_letter_to_retry ON dead_letter (partition, offset, destination) WHERE retry_requested = 1;

-- Records that could not be read, kept aside.
CREATE TABLE quarantine (
  partition INTEGER NOT NULL, offset INTEGER NOT NULL, reason TEXT NOT NULL, data BLOB,
  PRIMARY KEY (partition, offset)
) STRICT, WITHOUT ROWID;

-- Where the log was put back from a backup: the offsets from `ended_at` on were given to events that it does not
-- have, and the next event got `began_at`.
CREATE TABLE generation (
  partition INTEGER NOT NULL, ended_at INTEGER NOT NULL, began_at INTEGER NOT NULL, PRIMARY KEY (partition, ended_at)
) STRICT, WITHOUT ROWID;

-- Ids that producers gave, in the order in which they came: the oldest go first, from the left edge.
-- `id` is the event's id or, if it has a source, the source, a line break, and the id. If it has a tenant: the tenant,
-- a line break, the source if there is one, a line break, and the id.
CREATE TABLE given_id (
  number INTEGER PRIMARY KEY AUTOINCREMENT, partition INTEGER NOT NULL, id TEXT NOT NULL, offset INTEGER NOT NULL,
  accepted_at INTEGER NOT NULL, UNIQUE (partition, id)
) STRICT;
";

/// What changes of destinations need, which came with schema 5.
const REGISTRY_TABLES: &str = "
-- From which offset on a partition follows which revision of the destinations.
CREATE TABLE cut (
  partition INTEGER NOT NULL, at INTEGER NOT NULL, revision INTEGER NOT NULL, PRIMARY KEY (partition, at)
) STRICT, WITHOUT ROWID;

-- The registry of destinations: one row, with the last revision. Records of deleted destinations up to `forgotten` may
-- be gone.
CREATE TABLE registry (
  one INTEGER PRIMARY KEY CHECK (one = 1), last INTEGER NOT NULL DEFAULT 0, fingerprint TEXT NOT NULL DEFAULT '',
  forgotten INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO registry (one) VALUES (1);

-- The destinations; `record` is JSON, and `crc` a checksum over the row.
CREATE TABLE destination (
  name TEXT PRIMARY KEY, revision INTEGER NOT NULL, deleted INTEGER NOT NULL, record TEXT NOT NULL, crc INTEGER NOT NULL
) STRICT;
CREATE INDEX destination_by_revision ON destination (revision, name);
CREATE INDEX destination_there ON destination (name) WHERE deleted = 0;
CREATE INDEX destination_deleted ON destination (revision) WHERE deleted = 1;

-- Who changed them, when, and what; the last changes of each.
CREATE TABLE destination_change (
  name TEXT NOT NULL, revision INTEGER NOT NULL, at INTEGER NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL,
  PRIMARY KEY (name, revision)
) STRICT, WITHOUT ROWID;
";

/// What tokens that are made over the HTTP interface need, which came with schema 6.
const TOKEN_TABLE: &str = "
-- The tokens that were made over the HTTP interface: one row with all of them, as text with a format and a checksum.
-- `revision` is that of their last change.
CREATE TABLE token (
  one INTEGER PRIMARY KEY CHECK (one = 1), revision INTEGER NOT NULL DEFAULT 0, book TEXT NOT NULL DEFAULT ''
) STRICT;
INSERT INTO token (one) VALUES (1);
";

/// What replays need, which came with schema 7.
const REPLAY_TABLES: &str = "
-- Replays: what is delivered once more, up to `until`, and how far that has come. `spec` is JSON. Those whose `scanned`
-- is below `until`, or that have rows in replay_behind, are not done.
CREATE TABLE replay (
  partition INTEGER NOT NULL, destination TEXT NOT NULL, id TEXT NOT NULL, spec TEXT NOT NULL, until INTEGER NOT NULL,
  number INTEGER NOT NULL, scanned INTEGER NOT NULL, settled INTEGER NOT NULL, PRIMARY KEY (partition, destination, id)
) STRICT, WITHOUT ROWID;
-- The lowest offset that one needs, which the trim must not pass.
CREATE INDEX replay_open ON replay (partition, scanned) WHERE scanned < until;

-- The keys that have not come as far as their replay; `retry` is JSON.
CREATE TABLE replay_behind (
  partition INTEGER NOT NULL, destination TEXT NOT NULL, replay TEXT NOT NULL, key TEXT NOT NULL,
  offset INTEGER NOT NULL, retry TEXT, PRIMARY KEY (partition, destination, replay, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX replay_behind_by_offset ON replay_behind (partition, offset);

-- The largest number that a replay of the destination was given.
CREATE TABLE replay_number (
  partition INTEGER NOT NULL, destination TEXT NOT NULL, last INTEGER NOT NULL, PRIMARY KEY (partition, destination)
) STRICT, WITHOUT ROWID;
";

/// Made whenever a store is opened that lacks it. No part of the format: whoever does not know it keeps it up all the
/// same, as SQLite does so by itself.
const INDEXES: &str = "
-- The lowest position of the lanes that stand apart, which the trim must not pass, without a look at all lanes.
CREATE INDEX IF NOT EXISTS lane_apart ON lane (partition, scanned) WHERE scanned IS NOT NULL;
";

/// Made whenever a store is opened that lacks them. They are no part of the format: nothing else depends on them, and
/// whoever does not know them leaves them as they are.
const HISTORY_TABLES: &str = "
-- Who has each partition and who had it, for people: a row for each lease. `since` is NULL where a release claimed it
-- that did not write that down; `until` and `handed_over` (0: it ran out) are NULL while the lease is held.
CREATE TABLE IF NOT EXISTS tenure (
  partition INTEGER NOT NULL, epoch INTEGER NOT NULL, worker TEXT NOT NULL, since INTEGER, until INTEGER,
  handed_over INTEGER, PRIMARY KEY (partition, epoch)
) STRICT, WITHOUT ROWID;

-- What attempts met, for people: a row for what a commit told, in the packing of laneway_ports::encoded_history.
-- `number` is that of the commit among those of its lease, whose epoch is `epoch`.
CREATE TABLE IF NOT EXISTS history (
  id INTEGER PRIMARY KEY, partition INTEGER NOT NULL, at INTEGER NOT NULL, epoch INTEGER NOT NULL,
  number INTEGER NOT NULL, size INTEGER NOT NULL, told BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS history_by_time ON history (partition, at, epoch, number);

-- How much history each partition has, so that nobody needs to count.
CREATE TABLE IF NOT EXISTS history_size (
  partition INTEGER PRIMARY KEY, records INTEGER NOT NULL, bytes INTEGER NOT NULL
) STRICT;
";

/// Made whenever a store is opened that lacks it. No part of the format: a release that does not know it counts nothing
/// there, and leaves it as it is. What is said of a destination that was made at another time counts for nothing.
const EXPIRY_TABLE: &str = "
-- How many events of each destination expired: they had waited for as long as they may. Of the events below `again_below`
-- waiting counts from `again_since` on (ms). `born` is that of the lane.
CREATE TABLE IF NOT EXISTS expiry (
  partition INTEGER NOT NULL, destination TEXT NOT NULL, born INTEGER NOT NULL, expired INTEGER NOT NULL,
  again_below INTEGER NOT NULL, again_since INTEGER NOT NULL, PRIMARY KEY (partition, destination)
) STRICT, WITHOUT ROWID;
";

/// Made whenever a store is opened that lacks it, as the one before.
const TENANT_TABLE: &str = "
-- What is known of tenants beside what they own: one row with all of it, as text with a format and a checksum. `revision` is
-- that of the last change.
CREATE TABLE IF NOT EXISTS tenant (
  one INTEGER PRIMARY KEY CHECK (one = 1), revision INTEGER NOT NULL DEFAULT 0, book TEXT NOT NULL DEFAULT ''
) STRICT;
INSERT OR IGNORE INTO tenant (one) VALUES (1);
";

fn partition_tables(partitions: u32) -> String {
    let mut sql = String::new();
    for p in 0..partitions {
        // A table each, so that every append goes to the right edge of its b-tree.
        let _ = writeln!(
            sql,
            "CREATE TABLE event_{p} (offset INTEGER PRIMARY KEY, id TEXT NOT NULL, type TEXT NOT NULL, key TEXT, \
             source TEXT, subject TEXT, time TEXT, content_type TEXT NOT NULL, attributes TEXT, data BLOB NOT NULL, \
             accepted_at INTEGER NOT NULL, crc INTEGER NOT NULL, format INTEGER NOT NULL DEFAULT 1, \
             traceparent TEXT, tenant TEXT) STRICT;
             INSERT INTO partition (partition) VALUES ({p});"
        );
    }
    if partitions <= MAX_VIEWED_PARTITIONS {
        let one = |p| format!("SELECT {p} AS partition, * FROM event_{p}");
        let all: Vec<String> = (0..partitions).map(one).collect();
        let _ = writeln!(sql, "CREATE VIEW events AS {};", all.join(" UNION ALL "));
    }
    sql
}

/// Opens the writer's connection, and makes the tables if there are none.
pub(crate) fn open_writer(options: &Options) -> Result<Connection, StoreError> {
    let path = &options.path;
    if options.partitions == 0 || options.partitions > MAX_PARTITIONS {
        let what = format!("partitions = {}: a store has 1 to {MAX_PARTITIONS}", options.partitions);
        return Err(StoreError::refused(what));
    }
    refuse_log_alone(path)?;
    let cannot = |error: rusqlite::Error| cannot_open(path, &error);
    let conn = Connection::open(path).map_err(cannot)?;
    conn.busy_timeout(BUSY_TIMEOUT).map_err(cannot)?;
    match version(&conn, path)? {
        Some(found) => {
            refuse_backup(&conn, path)?;
            check(&conn, path, found, options.partitions)?;
            migrations::migrate(&conn, path, found, options.partitions)?;
        }
        None => create(&conn, options).map_err(cannot)?,
    }
    conn.execute_batch(INDEXES).map_err(cannot)?;
    conn.execute_batch(HISTORY_TABLES).map_err(cannot)?;
    conn.execute_batch(EXPIRY_TABLE).map_err(cannot)?;
    conn.execute_batch(TENANT_TABLE).map_err(cannot)?;
    configure(&conn, options).map_err(cannot)?;
    let mode: String = conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).map_err(cannot)?;
    if mode != "wal" {
        let what = format!("{} cannot use a write-ahead log (it is {mode}): put it on a local disk", path.display());
        return Err(StoreError::refused(what));
    }
    Ok(conn)
}

pub(crate) fn cannot_open(path: &Path, error: &rusqlite::Error) -> StoreError {
    if error.sqlite_error_code() == Some(ErrorCode::DiskFull) {
        let needed = room::RESERVE_BYTES >> 20;
        let what = format!(
            "cannot open the store {}: its disk is full, and nothing is kept back in {0}.reserve. Free {needed} MiB, \
             then start again",
            path.display()
        );
        return StoreError::refused(what);
    }
    StoreError::refused(format!(
        "cannot open the store {}: {error}. Check that the path is right and that this user may write there",
        path.display()
    ))
}

/// Opens a connection that only reads.
pub(crate) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let conn = Connection::open(path)?;
    conn.busy_timeout(BUSY_TIMEOUT)?;
    conn.pragma_update(None, "query_only", true)?;
    conn.pragma_update(None, "cache_size", -i64::from(READER_CACHE_KIB))?;
    Ok(conn)
}

/// Opens a connection that writes the log back into the database.
pub(crate) fn open_checkpointer(path: &Path) -> rusqlite::Result<Connection> {
    let conn = Connection::open(path)?;
    conn.pragma_update(None, "wal_autocheckpoint", 0)?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "checkpoint_fullfsync", true)?;
    conn.pragma_update(None, "cache_size", -i64::from(READER_CACHE_KIB))?;
    Ok(conn)
}

/// The version of the store in the database; `None` if the database is empty.
pub(crate) fn version(conn: &Connection, path: &Path) -> Result<Option<u32>, StoreError> {
    let cannot = |error: rusqlite::Error| cannot_open(path, &error);
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(cannot)?;
    if tables == 0 {
        return Ok(None);
    }
    let known = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN ('meta', 'given_id')";
    let ours: i64 = conn.query_row(known, [], |row| row.get(0)).map_err(cannot)?;
    let found = if ours == 2 { setting(conn, "schema").map_err(cannot)? } else { None };
    match found {
        Some(version) => Ok(Some(version)),
        None => {
            let what = format!("{} is a database, but not a Laneway store: give another path", path.display());
            Err(StoreError::refused(what))
        }
    }
}

/// A number that was written down when the store was made.
pub(crate) fn setting(conn: &Connection, name: &str) -> rusqlite::Result<Option<u32>> {
    Ok(text(conn, name)?.and_then(|text| text.parse().ok()))
}

/// What is written down under that name.
pub(crate) fn text(conn: &Connection, name: &str) -> rusqlite::Result<Option<String>> {
    conn.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0)).optional()
}

/// Writes something down under that name, instead of what was there.
pub(crate) fn note(conn: &Connection, name: &str, value: &str) -> rusqlite::Result<()> {
    let sql = "INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    conn.execute(sql, (name, value)).map(drop)
}

/// Refuses a file that `laneway backup` made: offsets that were given out after it was made would be given out again.
fn refuse_backup(conn: &Connection, path: &Path) -> Result<(), StoreError> {
    match text(conn, BACKED_UP_AT).map_err(|error| cannot_open(path, &error))? {
        None => Ok(()),
        Some(_) => Err(StoreError::refused(format!(
            "{} is a backup. Put it in place with `laneway restore`, which lets offsets go on where none was given out \
             before: receivers would take new events for old ones, and drop them",
            path.display()
        ))),
    }
}

/// Refuses a store of a schema that this code does not know.
pub(crate) fn readable(conn: &Connection, path: &Path, found: u32) -> Result<(), StoreError> {
    let at = path.display();
    let this = concat!("Laneway ", env!("CARGO_PKG_VERSION"));
    if found > SCHEMA_VERSION {
        let needs = text(conn, NEEDS).map_err(|error| cannot_open(path, &error))?;
        let needs = needs.map_or_else(|| "a newer Laneway".to_owned(), |release| format!("Laneway {release} or later"));
        return Err(StoreError::refused(format!(
            "{at} needs {needs}: it has schema {found}, and this is {this}, which knows up to {SCHEMA_VERSION}. Run \
             that release, or restore a backup that was made before it"
        )));
    }
    if found < migrations::FIRST {
        let what = format!("{at} has schema {found}, which no release has written; {this} reads {}", migrations::FIRST);
        return Err(StoreError::refused(what));
    }
    Ok(())
}

/// Brings a store that this code can read to the present schema.
pub(crate) fn bring_up_to_date(conn: &Connection, path: &Path) -> Result<u32, StoreError> {
    let found = version(conn, path)?.ok_or_else(|| StoreError::refused(format!("{} is empty", path.display())))?;
    readable(conn, path, found)?;
    let partitions = setting(conn, "partitions").map_err(|error| cannot_open(path, &error))?.unwrap_or(0);
    migrations::migrate(conn, path, found, partitions)?;
    conn.execute_batch(HISTORY_TABLES).map_err(|error| cannot_open(path, &error))?;
    conn.execute_batch(EXPIRY_TABLE).map_err(|error| cannot_open(path, &error))?;
    conn.execute_batch(TENANT_TABLE).map_err(|error| cannot_open(path, &error))?;
    Ok(partitions)
}

fn check(conn: &Connection, path: &Path, found: u32, partitions: u32) -> Result<(), StoreError> {
    readable(conn, path, found)?;
    let at = path.display();
    let made_with = setting(conn, "partitions").map_err(|error| cannot_open(path, &error))?.unwrap_or(0);
    if made_with != partitions {
        return Err(StoreError::refused(format!(
            "{at} was made with {made_with} partitions, and partitions = {partitions} is asked for: their number is \
             fixed, because a key's events would end up in two partitions, out of order. Set partitions = {made_with}, \
             or begin a new store"
        )));
    }
    Ok(())
}

fn create(conn: &Connection, options: &Options) -> rusqlite::Result<()> {
    conn.pragma_update(None, "page_size", PAGE_BYTES)?;
    conn.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    let tx = conn.unchecked_transaction()?;
    tx.execute_batch(TABLES)?;
    tx.execute_batch(REGISTRY_TABLES)?;
    tx.execute_batch(TOKEN_TABLE)?;
    tx.execute_batch(REPLAY_TABLES)?;
    tx.execute_batch(&partition_tables(options.partitions))?;
    let mut meta = tx.prepare("INSERT INTO meta (name, value) VALUES (?1, ?2)")?;
    meta.execute(("schema", SCHEMA_VERSION.to_string()))?;
    meta.execute((NEEDS, NEEDS_RELEASE))?;
    meta.execute(("partitions", options.partitions.to_string()))?;
    meta.execute(("created_at_millis", options.clock.now().as_millis().to_string()))?;
    drop(meta);
    tx.commit()
}

fn configure(conn: &Connection, options: &Options) -> rusqlite::Result<()> {
    let synchronous = match options.durability {
        Durability::Full => "FULL",
        Durability::Relaxed => "NORMAL",
    };
    conn.pragma_update(None, "synchronous", synchronous)?;
    // Where fsync leaves data in the drive's cache (macOS), ask for more.
    conn.pragma_update(None, "fullfsync", true)?;
    conn.pragma_update(None, "checkpoint_fullfsync", true)?;
    conn.pragma_update(None, "wal_autocheckpoint", 0)?;
    conn.pragma_update(None, "cache_size", -i64::from(WRITER_CACHE_KIB))?;
    // What a savepoint has to undo stays in memory, where the cache is too: it must not depend on room in /tmp.
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    let kept = i64::try_from(options.checkpoint_bytes.saturating_mul(2)).unwrap_or(i64::MAX);
    conn.query_row(&format!("PRAGMA journal_size_limit = {kept}"), [], |_| Ok(()))?;
    limit_size(conn, options.max_bytes)?;
    conn.set_prepared_statement_cache_capacity(256);
    Ok(())
}

/// Limits the database file to `max_bytes`; `None` to SQLite's own limit.
pub(crate) fn limit_size(conn: &Connection, max_bytes: Option<u64>) -> rusqlite::Result<()> {
    // SQLite's largest number of pages, 2^32 - 2.
    const ALL: u64 = 4_294_967_294;
    let pages = max_bytes.map_or(ALL, |bytes| (bytes / PAGE_BYTES).clamp(1, ALL));
    conn.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))
}

/// Bytes of the database that hold nothing, and are used before its file grows.
pub(crate) fn free_bytes(conn: &Connection) -> u64 {
    let pages =
        conn.prepare_cached("PRAGMA freelist_count").and_then(|mut count| count.query_row([], |row| row.get(0)));
    // Whoever cannot read it will not write to it either, and hears from the write why.
    pages.map_or(0, |pages: u64| pages * PAGE_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_fsynced_unless_the_operator_says_otherwise() {
        let folder = tempfile::tempdir().unwrap();
        let synchronous = |durability| {
            let conn = Connection::open(folder.path().join("db")).unwrap();
            let options = Options { durability, ..Options::new(folder.path().join("db"), 1) };
            configure(&conn, &options).unwrap();
            conn.query_row("PRAGMA synchronous", [], |row| row.get::<_, i64>(0)).unwrap()
        };
        // 2 is FULL: SQLite syncs the write-ahead log at every commit. 1 is NORMAL: only at checkpoints.
        assert_eq!(synchronous(Durability::Full), 2);
        assert_eq!(synchronous(Durability::Relaxed), 1);
    }
}
