//! What a running worker can be asked and told.

use async_trait::async_trait;
use laneway_domain::{Command, DestinationName, StatusReport};

/// The operator's way to the workers: that of this process, and those that share its store. (The third way round: the worker implements
/// it, the HTTP adapter calls it.)
#[async_trait]
pub trait Operations: Send + Sync {
    /// A snapshot of all destinations. `None` while the worker is starting or stopping.
    async fn status(&self) -> Option<StatusReport>;

    /// Carries out a command wherever it concerns. `Ok(true)` if there was something to do it to;
    /// `Ok(false)` only if every worker that it may concern has said that there was nothing. `Err` says
    /// who could not be asked, and why it cannot be done now; a part of it may have been done.
    async fn command(&self, command: Command) -> Result<bool, String>;

    /// Where a destination sends to, for people and without what may be secret. `None` if this process does not know.
    fn target(&self, _destination: &DestinationName) -> Option<String> {
        None
    }

    /// What keeps the process from doing its work now, for people; empty if nothing does.
    async fn not_ready(&self) -> Vec<String>;

    /// What keeps it from doing a part of its work now while the rest goes on, for people; empty if nothing does.
    async fn limitations(&self) -> Vec<String> {
        Vec::new()
    }
}
