//! How much room a store takes.

use async_trait::async_trait;

/// A part of a store, and the room that it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorePart {
    /// What it is, for people: a file of SQLite, a server of Redis. Without what may be secret.
    pub name: String,
    /// How many bytes it takes now.
    pub bytes: u64,
    /// How many it may take at the most, as far as that is bounded: by its settings, or by the room on its disk.
    pub most: Option<u64>,
}

/// What takes room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// The parts, by name.
    pub parts: Vec<StorePart>,
    /// What could not be asked, and why.
    pub not_asked: Vec<String>,
}

/// How large a store is.
#[async_trait]
pub trait StoreExtent: Send + Sync {
    /// What takes room. A part that others share with the store (a server of Redis) counts with all that it has.
    async fn extent(&self) -> Extent;
}
