//! Whether a store can be used now.

/// What a store says of itself when it is asked whether the process is ready.
pub trait StoreHealth: Send + Sync {
    /// Whether it takes what it is given, and keeps what it acknowledges. Answers at once, from what it
    /// knows: it is asked often, and by those who decide whether the process gets requests.
    ///
    /// # Errors
    /// Says what is wrong, for people: what happened, and what to do.
    fn health(&self) -> Result<(), String>;

    /// What does not work while the rest does, for people.
    fn limitations(&self) -> Vec<String> {
        Vec::new()
    }
}
