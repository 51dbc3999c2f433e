//! What the next change of the registry is made on.

use laneway_domain::{Partition, Revision};
use laneway_ports::{RegistryHead, StoreError, Stores};

/// What the next change is made on.
pub(super) struct Base {
    pub(super) head: RegistryHead,
    /// The revision that the change gets.
    pub(super) next: Revision,
    /// Whether the store has never had a registry.
    pub(super) initial: bool,
}

impl Base {
    /// On the last change, as the registry has it.
    ///
    /// # Errors
    /// If the store does not answer.
    pub(super) async fn now(stores: &Stores) -> Result<Self, StoreError> {
        let head = stores.registry.head().await?;
        if head.last > Revision::ORIGIN {
            return Ok(Self { next: head.next(), initial: false, head });
        }
        // No change was ever made, or all of them are lost: partitions know which they have followed.
        let followed = followed(stores).await?;
        Ok(Self { next: head.next().max(followed.next(0)), initial: followed == Revision::ORIGIN, head })
    }
}

/// The last change that a partition follows.
///
/// # Errors
/// If the store does not answer.
pub(super) async fn followed(stores: &Stores) -> Result<Revision, StoreError> {
    let partitions: Vec<_> = (0..stores.log.partitions()).map(Partition).collect();
    let taken = stores.progress.taken(&partitions).await?;
    Ok(taken.into_iter().flatten().map(|cut| cut.revision).max().unwrap_or(Revision::ORIGIN))
}
