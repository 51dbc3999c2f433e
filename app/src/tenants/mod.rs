//! Tenants beside what they own: their limits, which all processes follow, and their deletion.
//!
//! What is known is kept in the store as one value. Every process reads it several times a second and has all of it in
//! memory, so that an event costs a look-up, and a deleted tenant gets nothing anywhere within a second.

mod erasing;
mod follow;
mod known;
mod service;

pub use erasing::forget_deleted;
pub use known::KnownTenants;
pub use service::{Everything, Tenants};
