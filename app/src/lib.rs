//! The Laneway server and its command line: configuration, composition, and the async shell.

pub mod cli;
pub mod compose;
pub mod config;
pub mod files;
pub mod lookup;
mod memory;
pub mod registry;
pub mod telemetry;
pub mod tenants;
pub mod tokens;
pub mod worker;
