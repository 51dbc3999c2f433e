//! Tokens that are made over the HTTP interface: making and revoking them, and following what other processes do.
//!
//! They are kept in the store as one value. Every process reads it several times a second and has all of them in
//! memory, so that a request costs a hash and a look-up, and a revoked token is refused everywhere within a second.

mod follow;
mod link_keys;
mod links;
mod service;

pub use service::MadeTokens;
