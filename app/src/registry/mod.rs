//! The registry of destinations, as this process works with it: what a record keeps of a destination's settings, how
//! its secrets are sealed, and how a destination and its sink are made from it.

mod apply;
mod base;
mod checked;
mod file;
mod follow;
mod former;
mod keys;
mod lost;
mod read;
mod rotating;
mod service;
mod settings;
mod stored;

pub use apply::{Applied, NotApplied, apply};
pub use file::{put_of_file, settings_of_file};
pub use follow::{Follower, Heard, Targets, all, can_be_opened, check_keys};
pub(crate) use keys::parse_key;
pub use keys::{KEY_BYTES, Keyring, Unsealable};
pub use lost::Recent;
pub use read::{Read, Reader};
pub use service::{Destinations, TAKEN_WITHIN};
pub(crate) use stored::moment;
pub use stored::{SigningSecret, Stored};

#[cfg(test)]
mod tests;
