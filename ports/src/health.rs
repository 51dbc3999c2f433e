//! Whether a store can be used now, and by whom.

use laneway_domain::ProcessStatus;

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

    /// The processes that have the store open, as far as is known; none if it is one that a process has to itself.
    fn processes(&self) -> Vec<ProcessStatus> {
        Vec::new()
    }
}
