//! The registry of destinations, as this process works with it: what a record keeps of a destination's settings, how
//! its secrets are sealed, and how a destination and its sink are made from it.

mod file;
mod keys;
mod read;
mod rotating;
mod stored;

pub use file::{put_of_file, settings_of_file};
pub use keys::{KEY_BYTES, Keyring, Unsealable};
pub use read::{Read, Reader};
pub use stored::{SigningSecret, Stored};

#[cfg(test)]
mod tests;
