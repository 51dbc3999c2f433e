//! Letting go of what the registry remembers of deleted destinations.

use laneway_domain::{Partition, Revision};
use laneway_ports::{MAX_REGISTRY_PAGE, StoreError, Stores};
use std::time::Duration;

/// For how long a deletion is remembered at least: longer than a process can be away and go on, and than an operator
/// asks who deleted something.
const REMEMBERED_FOR: Duration = Duration::from_secs(7 * 24 * 3600);

/// Lets go of destinations that were deleted long ago, and that no partition has anything of. Returns how many.
///
/// A partition that follows a later revision has dropped them before, in the same commit or an earlier one.
///
/// # Errors
/// If the store does not answer.
pub(super) async fn forget(stores: &Stores) -> Result<usize, StoreError> {
    let partitions: Vec<_> = (0..stores.log.partitions()).map(Partition).collect();
    let taken = stores.progress.taken(&partitions).await?;
    let follows = taken.into_iter().map(|cut| cut.map_or(Revision::ORIGIN, |cut| cut.revision)).min();
    let clock = stores.registry.head().await?.clock;
    let kept = u64::try_from(REMEMBERED_FOR.as_micros()).unwrap_or(u64::MAX);
    let upto = follows.unwrap_or_default().min(Revision(clock.saturating_sub(kept)));
    let mut forgotten = 0;
    loop {
        let some = stores.registry.forget_deleted(upto, MAX_REGISTRY_PAGE).await?;
        forgotten += some;
        if some < MAX_REGISTRY_PAGE {
            return Ok(forgotten);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use laneway_domain::{Commit, Cut, DestinationName, Edit, Filter, Offset, Origin, Registered};
    use laneway_memory::{Disk, MemoryStore, Settings};
    use laneway_ports::{Registry, WorkerId, WriteDraft};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    async fn change(store: &dyn Registry, edit: Edit) -> Revision {
        let name = DestinationName::new("gone").unwrap();
        let head = store.head().await.unwrap();
        let before = store.records(std::slice::from_ref(&name)).await.unwrap().pop();
        let record = Registered::edited(before.as_ref(), &name, edit, head.next(), false).unwrap().unwrap();
        let mut draft = WriteDraft::new(&head, head.next());
        let _ = draft.add(record, "a test", "a change");
        assert!(store.write(&draft.finish().unwrap()).await.unwrap());
        head.next()
    }

    #[tokio::test]
    async fn a_deletion_is_remembered_until_it_is_old_and_every_partition_follows_it() {
        let seconds = Arc::new(AtomicU64::new(1));
        let clock = seconds.clone();
        let disk = Disk::with_clock(2, move || Duration::from_secs(clock.load(Ordering::Relaxed)));
        let stores = Stores::of(Arc::new(MemoryStore::open(disk, Settings::default())));
        let (settings, filter) = ("{}".into(), Filter::default());
        change(&*stores.registry, Edit::Put { origin: Origin::Api, settings, filter, moved: false, adopt: false })
            .await;
        let deleted = change(&*stores.registry, Edit::Delete).await;
        let follow = async |partition: u32| {
            let (worker, ttl) = (WorkerId("w".into()), Duration::from_secs(60));
            let lease = stores.progress.claim(Partition(partition), &worker, ttl).await.unwrap().unwrap();
            let cut = Some(Cut { revision: deleted, at: Offset::ZERO });
            stores.progress.commit(&lease, &Commit { cut, ..Commit::default() }).await.unwrap();
        };
        follow(0).await;
        seconds.store(8 * 24 * 3600, Ordering::Relaxed);
        assert_eq!(forget(&stores).await.unwrap(), 0, "one partition does not follow it yet");
        follow(1).await;
        seconds.store(6 * 24 * 3600, Ordering::Relaxed);
        assert_eq!(forget(&stores).await.unwrap(), 0, "it is not old yet");
        seconds.store(8 * 24 * 3600, Ordering::Relaxed);
        assert_eq!(forget(&stores).await.unwrap(), 1);
        assert_eq!(stores.registry.head().await.unwrap().last, deleted);
    }
}
