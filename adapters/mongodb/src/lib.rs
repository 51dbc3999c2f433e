//! The sink that writes events into a MongoDB collection.
//!
//! [`MongoConfig::parse`] reads a destination's URL, [`MongoSink`] writes, and says what the
//! documents look like.

mod client;
mod collection;
mod command;
mod config;
mod document;
mod failure;
mod hosts;
mod insert;
mod json;
mod ledger;
mod redact;
mod reply;
mod sink;
mod stored;
mod upsert;

pub use config::{DEFAULT_TIMEOUT, Mode, MongoConfig, MongoConfigError};
pub use sink::MongoSink;
