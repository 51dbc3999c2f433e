//! Laneway's embedded store: one SQLite database on a local disk.
//!
//! One thread writes, with one transaction and one fsync for everything that waits; readers have
//! connections of their own, and whoever keeps up with the log reads from memory. The tables are
//! plain: an operator can look at them with the `sqlite3` shell while the store is in use.

mod backup;
mod books;
mod bounds;
mod check;
mod checkpoint;
mod dead_letters;
mod digest;
mod events;
mod failure;
mod files;
mod history;
mod lock;
mod options;
mod ports;
mod progress;
mod queue;
mod readers;
mod registry;
mod request;
mod restore;
mod room;
mod row;
mod schema;
mod settled;
mod shared;
mod store;
mod tail;
mod tenants;
mod tokens;
mod workers;
mod writer;

pub use backup::{Copied, backup};
pub use check::{CheckReport, MAX_FINDINGS, check};
pub use checkpoint::{LOG_BYTES, LOG_HELD};
pub use files::refuse_log_alone;
pub use options::{
    Clock, DEFAULT_CHECKPOINT_BYTES, DEFAULT_DUPLICATE_WINDOW, DEFAULT_QUEUE_BYTES, DEFAULT_QUEUE_EVENTS,
    DEFAULT_TAIL_BYTES, Durability, Options,
};
pub use restore::{RestoreOptions, Restored, restore};
pub use room::{Free, RESERVE_BYTES, free};
pub use schema::SCHEMA_VERSION;
pub use store::SqliteStore;

// The program that writes files for `tests/formats` names this crate from outside, and from within its tests.
#[cfg(test)]
extern crate self as laneway_sqlite;
#[cfg(test)]
mod tests;
