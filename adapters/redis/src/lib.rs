//! The store on Redis.

mod address;
mod backup;
mod books;
mod codec;
mod connect;
mod dead_letters;
mod denied;
mod extent;
mod failure;
mod history;
mod inspection;
mod keys;
mod library;
mod log;
mod numbers;
mod options;
mod place;
mod processes;
mod progress;
mod registry;
mod replicated;
mod restore;
mod rights;
mod shared;
mod startup;
mod store;
mod tenants;
mod tls;
mod tokens;
mod workers;

pub use backup::{BackupReport, Progressed, backup};
pub use options::{
    DEFAULT_COMMAND_TIMEOUT, DEFAULT_DUPLICATE_WINDOW, DEFAULT_KEY_PREFIX, DEFAULT_QUEUE_BYTES, DEFAULT_QUEUE_EVENTS,
    DEFAULT_REPLICA_TIMEOUT, DEFAULT_TAIL_BYTES, Durability, MAX_KEY_PREFIX_BYTES, RedisOptions,
};
pub use restore::{RestoreOptions, Restored, restore};
pub use store::{Look, RedisStore};
pub use tls::RedisTls;
