//! The reference store, in memory: as simple as the ports allow, so that what it does is plainly
//! right, and scriptable, so that simulations can crash it, delay it and let it fail.
//!
//! A [`Disk`] is what survives a crash, a [`MemoryStore`] is a process that has it open; several may. Nothing
//! is random and time is tokio's, so that with paused time one script gives one run.

mod books;
mod disk;
mod faults;
mod growth;
mod histories;
mod history;
mod partition;
mod records;
mod registry;
mod store;
mod tenants;
mod tokens;
mod workers;

pub use disk::{Disk, RegistryReplica, Replica, TokensReplica};
pub use faults::{Call, Fault, Faults, Sabotage};
pub use store::{MemoryStore, Settings};
