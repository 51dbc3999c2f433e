//! Changes that the registry has lost. A replica of Redis that lacks the last writes may become the primary, or
//! somebody deletes the registry's keys; whoever heard of these changes writes them back, so that nobody's deletion or
//! pause is undone, and no destination is gone.

use laneway_domain::{DestinationName, Registered, Revision, Standing};
use laneway_ports::{Drafted, MAX_REGISTRY_PAGE, Registry, StoreError, WriteDraft};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::Duration;

/// How long a deletion is remembered, by the store's clock: far longer than a replica that may still be promoted lags
/// behind, and far shorter than the registry itself remembers it.
const DELETION_REMEMBERED_FOR: Duration = Duration::from_secs(120);
/// How many bytes of settings are remembered at most, the latest ones: some ten thousand destinations of the usual
/// size.
const MAX_REMEMBERED_BYTES: usize = 32 << 20;
/// How many of the latest changes every look compares: whoever has lost changes has lost the latest.
const LATEST: usize = 100;
/// How many of all that are remembered a look compares besides, in turn: somebody may have made changes after a loss.
/// So a look costs the same after a thousand changes and after tens of thousands.
const IN_TURN: usize = 250;
/// What a record takes beside its settings, about.
const RECORD_BYTES: usize = 512;

/// What this process has heard of destinations: of each the last record, as far as the bound allows.
#[derive(Debug, Default)]
pub struct Recent {
    records: BTreeMap<DestinationName, Registered>,
    /// The same, the earliest first.
    order: BTreeSet<(Revision, DestinationName)>,
    bytes: usize,
    /// The next look begins behind this one.
    looked_up_to: Option<DestinationName>,
}

impl Recent {
    /// Remembers these records, and lets go of those that changed first when they are too many.
    pub(super) fn remember(&mut self, records: &[Registered]) {
        for record in records {
            self.forget(&record.name);
            self.bytes += bytes(record);
            self.order.insert((record.revision, record.name.clone()));
            self.records.insert(record.name.clone(), record.clone());
        }
        while let Some((_, name)) = self.order.first().cloned()
            && self.bytes > MAX_REMEMBERED_BYTES
        {
            self.forget(&name);
        }
    }

    /// Lets go of deletions that the registry may forget by itself, by its clock.
    fn forget_deletions(&mut self, clock: u64) {
        let kept = u64::try_from(DELETION_REMEMBERED_FOR.as_micros()).unwrap_or(u64::MAX);
        let oldest = Revision(clock.saturating_sub(kept));
        let is_old = |record: &&Registered| record.standing == Standing::Deleted && record.revision < oldest;
        let old: Vec<_> = self.records.values().filter(is_old).map(|record| record.name.clone()).collect();
        old.iter().for_each(|name| self.forget(name));
    }

    fn forget(&mut self, name: &DestinationName) {
        // Most have not changed lately.
        let Some(record) = self.records.remove(name) else { return };
        self.bytes -= bytes(&record);
        self.order.remove(&(record.revision, record.name));
    }

    /// Looks at some of these, and writes back what the registry lacks of them or has an earlier state of; if it does,
    /// of all of them. Returns how many records that were; another process may have been faster.
    ///
    /// # Errors
    /// If the registry cannot be read or written.
    pub(super) async fn write_back(&mut self, registry: &dyn Registry) -> Result<usize, StoreError> {
        self.forget_deletions(registry.head().await?.clock);
        let mut written = write_back(registry, &self.next_to_look_at()).await?;
        if written > 0 {
            let all: Vec<&Registered> = self.records.values().collect();
            for some in all.chunks(MAX_REGISTRY_PAGE) {
                written += write_back(registry, some).await?;
            }
        }
        Ok(written)
    }

    /// The latest, and the next in turn.
    fn next_to_look_at(&mut self) -> Vec<&Registered> {
        let after = self.looked_up_to.take().map_or(Bound::Unbounded, Bound::Excluded);
        let in_turn: Vec<_> =
            self.records.range((after, Bound::Unbounded)).map(|(name, _)| name).take(IN_TURN).collect();
        // The last of all: the next look begins anew.
        self.looked_up_to = in_turn.last().filter(|_| in_turn.len() == IN_TURN).map(|name| (*name).clone());
        let latest = self.order.iter().rev().take(LATEST).map(|(_, name)| name);
        let names: BTreeSet<_> = in_turn.into_iter().chain(latest).collect();
        names.into_iter().filter_map(|name| self.records.get(name)).collect()
    }
}

fn bytes(record: &Registered) -> usize {
    record.settings.len() + RECORD_BYTES
}

async fn write_back(registry: &dyn Registry, known: &[&Registered]) -> Result<usize, StoreError> {
    let head = registry.head().await?;
    let names: Vec<_> = known.iter().map(|record| record.name.clone()).collect();
    let there: BTreeMap<_, _> =
        registry.records(&names).await?.into_iter().map(|record| (record.name.clone(), record.revision)).collect();
    let is_lost = |record: &&&Registered| there.get(&record.name).is_none_or(|revision| *revision < record.revision);
    let lost: Vec<_> = known.iter().filter(is_lost).collect();
    let Some(newest) = lost.iter().map(|record| record.revision).max() else { return Ok(0) };
    // Larger than each that was lost: partitions may follow those already.
    let mut draft = WriteDraft::new(&head, head.next().max(newest.next(0)));
    let what = "written back, since the registry had lost the last change";
    // What does not fit any more is lost still at the next look.
    let fits = |record: &&&&Registered| draft.add((***record).clone(), "laneway", what) == Drafted::Taken;
    let count = lost.iter().filter(fits).count();
    match draft.finish() {
        Some(write) if registry.write(&write).await? => Ok(count),
        // Somebody else was faster, and the next look tells what is left to do.
        _ => Ok(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use laneway_domain::{Edit, Filter, OperatorPause, Origin, Standing, Timestamp};
    use laneway_memory::{Disk, MemoryStore};
    use laneway_ports::RegistryWrite;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    fn name(text: &str) -> DestinationName {
        DestinationName::new(text).unwrap()
    }

    async fn change(registry: &MemoryStore, of: &str, edit: Edit) -> Registered {
        let head = registry.head().await.unwrap();
        let before = registry.records(&[name(of)]).await.unwrap().pop();
        let record = Registered::edited(before.as_ref(), &name(of), edit, head.next(), false).unwrap().unwrap();
        let write = RegistryWrite {
            last: head.last,
            revision: head.next(),
            records: vec![record.clone()],
            journal: Vec::new(),
        };
        assert!(registry.write(&write).await.unwrap());
        record
    }

    fn put() -> Edit {
        let (origin, settings, filter) = (Origin::Api, "{}".into(), Filter::default());
        Edit::Put { origin, settings, filter, moved: false, adopt: false }
    }

    #[tokio::test]
    async fn what_a_failover_has_undone_is_done_again_once_and_what_came_since_stands() {
        let millis = Arc::new(AtomicU64::new(1));
        let clock = millis.clone();
        let disk = Disk::with_clock(1, move || Duration::from_millis(clock.load(Ordering::Relaxed)));
        let registry = MemoryStore::open(disk.clone(), laneway_memory::Settings::default());
        for of in ["deleted", "paused", "kept"] {
            change(&registry, of, put()).await;
        }
        let replica = disk.registry_replica();
        let (mut one, mut other) = (Recent::default(), Recent::default());
        let pause = OperatorPause { since: Timestamp::ZERO, reason: "holiday".into() };
        let lost = [
            change(&registry, "deleted", Edit::Delete).await,
            change(&registry, "paused", Edit::Pause(pause.clone())).await,
            change(&registry, "made", put()).await,
        ];
        one.remember(&lost);
        other.remember(&lost);
        assert_eq!(one.write_back(&registry).await.unwrap(), 0, "nothing is lost yet");
        disk.fail_over_registry(replica);
        millis.store(1_000, Ordering::Relaxed);
        // Whoever made one of them again was told nothing of the loss: that stands.
        let again = change(&registry, "made", put_again()).await;

        assert_eq!(one.write_back(&registry).await.unwrap(), 2);
        assert_eq!(other.write_back(&registry).await.unwrap(), 0);
        let names = ["deleted", "paused", "made", "kept"].map(name);
        let there = registry.records(&names).await.unwrap();
        let there: BTreeMap<_, _> = there.into_iter().map(|record| (record.name.to_string(), record)).collect();
        assert_eq!(there["deleted"].standing, Standing::Deleted);
        assert_eq!(there["paused"].paused, Some(pause));
        assert_eq!(there["made"], again);
        let newest = lost.iter().map(|record| record.revision).max().unwrap();
        assert!(there["deleted"].revision > newest, "partitions may follow what was lost");
    }

    #[tokio::test]
    async fn of_many_changes_the_latest_are_looked_at_each_time_and_all_in_turn() {
        let disk = Disk::new(1);
        let registry = MemoryStore::open(disk.clone(), laneway_memory::Settings::default());
        let mut recent = Recent::default();
        let empty = disk.registry_replica();
        let count = 3 * IN_TURN;
        for n in 0..count {
            recent.remember(&[change(&registry, &format!("d{n:03}"), put()).await]);
        }
        // Lost are the latest: one look finds all of them.
        let replica = disk.registry_replica();
        let lost: Vec<_> = (0..count).step_by(2).map(|n| format!("d{n:03}")).collect();
        for of in &lost {
            recent.remember(&[change(&registry, of, Edit::Delete).await]);
        }
        disk.fail_over_registry(replica);
        assert_eq!(recent.write_back(&registry).await.unwrap(), lost.len());
        assert_eq!(recent.write_back(&registry).await.unwrap(), 0);

        // All are lost, and many were changed since: those that were not are looked at in turn.
        disk.fail_over_registry(empty);
        for n in count - LATEST..count {
            recent.remember(&[change(&registry, &format!("d{n:03}"), put()).await]);
        }
        let mut looks = 0;
        while recent.write_back(&registry).await.unwrap() == 0 {
            looks += 1;
            assert!(looks <= count / IN_TURN, "nobody noticed");
        }
        let names: Vec<_> = (0..count).map(|n| name(&format!("d{n:03}"))).collect();
        assert_eq!(registry.records(&names).await.unwrap().len(), count);
    }

    #[test]
    fn what_is_remembered_is_bounded_in_bytes_and_in_time() {
        let record = |n: u64, revision: u64, bytes: usize| Registered {
            revision: Revision(revision),
            settings: "x".repeat(bytes).into(),
            ..Registered::edited(None, &name(&format!("d{n}")), put(), Revision(1), false).unwrap().unwrap()
        };
        let mut recent = Recent::default();
        for n in 0..200 {
            recent.remember(&[record(n, n + 1, 256 << 10)]);
        }
        let kept = recent.records.len();
        assert!((100..128).contains(&kept) && recent.bytes <= MAX_REMEMBERED_BYTES, "{kept}");
        assert!(recent.records.contains_key(&name("d199")) && !recent.records.contains_key(&name("d0")));
        recent.remember(&[record(199, 1_000_000_000, 0)]);
        recent.remember(&[record(199, 1_000_000_001, 1)]);
        let bytes = (kept - 1) * ((256 << 10) + RECORD_BYTES) + RECORD_BYTES + 1;
        assert_eq!((recent.records.len(), recent.order.len(), recent.bytes), (kept, kept, bytes));
        // Deletions are for a while, whatever comes after them.
        recent.remember(&[Registered { standing: Standing::Deleted, ..record(199, 1_000_000_002, 0) }]);
        recent.forget_deletions(1_000_000_002 + 120_000_000);
        assert_eq!(recent.records.len(), kept);
        recent.forget_deletions(1_000_000_003 + 120_000_000);
        assert_eq!((recent.records.len(), recent.order.len()), (kept - 1, kept - 1));
    }

    fn put_again() -> Edit {
        let (origin, settings, filter) = (Origin::Api, "{\"again\":1}".into(), Filter::default());
        Edit::Put { origin, settings, filter, moved: false, adopt: false }
    }
}
