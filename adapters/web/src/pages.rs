//! The pages.

mod attempts;
pub(crate) mod dead_letters;
pub(crate) mod destination;
pub(crate) mod enter;
pub(crate) mod event;
pub(crate) mod events;
pub(crate) mod key;
pub(crate) mod overview;
pub(crate) mod send;
pub(crate) mod sign_in;
mod state;
pub(crate) mod store;
pub(crate) mod tokens;
pub(crate) mod workers;
