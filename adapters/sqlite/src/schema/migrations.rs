//! From an earlier schema to the present one: numbered steps, forward only, each in one transaction.
//!
//! A list of our own, since the tables of events are as many as the store has partitions, and since the number is
//! where the first release put it (`meta`), so that an older process sees it and refuses.

use super::{
    EXPIRY_TABLE, NEEDS, NEEDS_RELEASE, REGISTRY_TABLES, REPLAY_TABLES, SCHEMA_VERSION, TENANT_TABLE, TOKEN_TABLE,
    cannot_open, note, setting,
};
use laneway_ports::StoreError;
use rusqlite::Connection;
use std::path::Path;

/// The earliest schema that is read.
pub(crate) const FIRST: u32 = 2;

/// Makes a schema out of the one before it, in a store with so many partitions.
type Step = fn(&Connection, u32) -> rusqlite::Result<()>;

/// The steps, from [`FIRST`] on: the first makes schema 3, the next 4, …
const STEPS: [Step; (SCHEMA_VERSION - FIRST) as usize] =
    [rows_have_a_format, generations, destinations_change, tokens, replays, tenants];

/// Brings a store of schema `found` to the present one.
pub(super) fn migrate(conn: &Connection, path: &Path, found: u32, partitions: u32) -> Result<(), StoreError> {
    let steps = (FIRST + 1..).zip(STEPS).filter(|(makes, _)| *makes > found);
    for (makes, step) in steps {
        take(conn, makes, step, partitions).map_err(|error| {
            let what = format!("the step to schema {makes} failed, and nothing of it was done: {error}");
            StoreError::refused(format!("{}: {what}. Run `laneway check`", path.display()))
        })?;
        tracing::info!(path = %path.display(), schema = makes, "the store was brought to a new schema");
    }
    Ok(())
}

fn take(conn: &Connection, makes: u32, step: Step, partitions: u32) -> rusqlite::Result<()> {
    conn.pragma_update(None, "synchronous", "FULL")?;
    let tx = conn.unchecked_transaction()?;
    step(&tx, partitions)?;
    tx.execute("UPDATE meta SET value = ?1 WHERE name = 'schema'", [makes.to_string()])?;
    note(&tx, NEEDS, NEEDS_RELEASE)?;
    tx.commit()
}

/// Schema 3: a row of an event says how it was written, and can have a trace.
fn rows_have_a_format(conn: &Connection, partitions: u32) -> rusqlite::Result<()> {
    for table in event_tables(partitions) {
        conn.execute_batch(&format!(
            "ALTER TABLE {table} ADD COLUMN format INTEGER NOT NULL DEFAULT 1;
             ALTER TABLE {table} ADD COLUMN traceparent TEXT;"
        ))?;
    }
    Ok(())
}

/// Schema 4: a store that was put back from a backup knows where its offsets leap.
fn generations(conn: &Connection, _partitions: u32) -> rusqlite::Result<()> {
    conn.execute_batch(
        "CREATE TABLE generation (
           partition INTEGER NOT NULL, ended_at INTEGER NOT NULL, began_at INTEGER NOT NULL,
           PRIMARY KEY (partition, ended_at)
         ) STRICT, WITHOUT ROWID;",
    )
}

/// Schema 5: destinations change while events flow. Progress that is there is of destinations that were always so
/// (`born` is 0), so that its checksum stays what it is.
fn destinations_change(conn: &Connection, _partitions: u32) -> rusqlite::Result<()> {
    conn.execute_batch("ALTER TABLE lane ADD COLUMN born INTEGER NOT NULL DEFAULT 0")?;
    conn.execute_batch(REGISTRY_TABLES)
}

/// Schema 6: tokens can be made over the HTTP interface.
fn tokens(conn: &Connection, _partitions: u32) -> rusqlite::Result<()> {
    conn.execute_batch(TOKEN_TABLE)
}

/// Schema 7: events are delivered once more. There were no replays, so that the checksum over progress stays what it is.
fn replays(conn: &Connection, _partitions: u32) -> rusqlite::Result<()> {
    conn.execute_batch(REPLAY_TABLES)
}

/// Schema 8: an event can have a tenant. What has none is as it was.
fn tenants(conn: &Connection, partitions: u32) -> rusqlite::Result<()> {
    for table in event_tables(partitions) {
        conn.execute_batch(&format!("ALTER TABLE {table} ADD COLUMN tenant TEXT"))?;
    }
    Ok(())
}

fn event_tables(partitions: u32) -> impl Iterator<Item = String> {
    (0..partitions).map(|p| format!("event_{p}")).chain(["dead_letter".to_owned()])
}

/// Lets a connection that only reads see a store of schema `found` as the present one: views of its own stand before
/// the tables. So a check reads a store that nobody has opened with this code yet, and changes nothing.
pub(crate) fn seen_as_now(conn: &Connection, path: &Path, found: u32) -> Result<(), StoreError> {
    let seen = || {
        let partitions = setting(conn, "partitions")?.unwrap_or(0);
        if found < 8 {
            let columns = match found {
                ..3 => "1 AS format, NULL AS traceparent, NULL AS tenant",
                _ => "NULL AS tenant",
            };
            for table in event_tables(partitions) {
                conn.execute_batch(&format!("CREATE TEMP VIEW {table} AS SELECT *, {columns} FROM main.{table}"))?;
            }
        }
        if found < 4 {
            let columns = "partition INTEGER, ended_at INTEGER, began_at INTEGER";
            conn.execute_batch(&format!("CREATE TEMP TABLE generation ({columns})"))?;
        }
        if found < 5 {
            conn.execute_batch("CREATE TEMP VIEW lane AS SELECT *, 0 AS born FROM main.lane")?;
            // Tables of a connection's own hide those of the database, of which there are none.
            let own = REGISTRY_TABLES.replace("CREATE TABLE ", "CREATE TEMP TABLE ");
            conn.execute_batch(&own.replace("CREATE INDEX ", "CREATE INDEX temp."))?;
        }
        if found < 6 {
            conn.execute_batch(&TOKEN_TABLE.replace("CREATE TABLE ", "CREATE TEMP TABLE "))?;
        }
        if found < 7 {
            let own = REPLAY_TABLES.replace("CREATE TABLE ", "CREATE TEMP TABLE ");
            conn.execute_batch(&own.replace("CREATE INDEX ", "CREATE INDEX temp."))?;
        }
        // They are there once this code, or a later one, has opened the store.
        for (name, table) in [("expiry", EXPIRY_TABLE), ("tenant", TENANT_TABLE)] {
            let there = "SELECT count(*) FROM main.sqlite_schema WHERE type = 'table' AND name = ?1";
            if conn.query_row(there, [name], |row| row.get::<_, i64>(0))? == 0 {
                conn.execute_batch(&table.replace("CREATE TABLE ", "CREATE TEMP TABLE "))?;
            }
        }
        Ok(())
    };
    seen().map_err(|error| cannot_open(path, &error))
}
