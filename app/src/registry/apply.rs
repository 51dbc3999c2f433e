//! The configuration file as a change: at the start, and when it is read again, what it says of destinations goes
//! into the registry, if it says something else.

use super::base::followed;
use super::{former, put_of_file};
use crate::config::DestinationConfig;
use laneway_domain::{DestinationName, Edit, Origin, Refused, Registered, Revision, Standing};
use laneway_ports::{Drafted, MAX_RECORD_BYTES, MAX_REGISTRY_PAGE, Registry, StoreError, Stores, WriteDraft};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::time::{Instant, sleep};

/// How often a change is made anew because somebody else was faster.
const MAX_TRIES: usize = 20;

/// For how long what the store does not answer or take is tried again, and after which pause. A full disk gives a part of
/// its reserve back at each try, of which there are eight; a Redis that fails over needs some seconds.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(250);

/// What came of it.
#[derive(Debug, Default)]
pub struct Applied {
    /// How many destinations have come, changed or left.
    pub changed: usize,
    /// Those that are not the file's to change, with why.
    pub refused: Vec<(DestinationName, Refused)>,
}

/// Why the file was not applied.
#[derive(Debug, Error)]
#[error("{error}")]
pub struct NotApplied {
    /// What the store said last.
    pub error: StoreError,
    /// Whether the registry says a part of it all the same, or may say so: an answer to a write was lost.
    pub in_part: bool,
}

/// Makes the registry say what the file says of destinations. Those of the interface are left alone, and so are names
/// that the interface has. A file of many destinations is written in pieces. What the store does not take now, or
/// answers nothing to, be it a read or a write, is tried again for ten seconds in all.
///
/// # Errors
/// If the registry cannot be read, or cannot be written then either.
pub async fn apply(
    stores: &Stores,
    by: &str,
    file: &BTreeMap<DestinationName, &Arc<DestinationConfig>>,
) -> Result<Applied, NotApplied> {
    let mut writing = Writing::default();
    match apply_all(stores, by, file, &mut writing).await {
        Ok(()) => Ok(writing.applied),
        Err(error) => Err(NotApplied { error, in_part: writing.begun }),
    }
}

/// What has been written so far.
#[derive(Default)]
struct Writing {
    applied: Applied,
    /// Whether the store has taken a write, or may have.
    begun: bool,
}

async fn apply_all(
    stores: &Stores,
    by: &str,
    file: &BTreeMap<DestinationName, &Arc<DestinationConfig>>,
    writing: &mut Writing,
) -> Result<(), StoreError> {
    let until = Instant::now() + PATIENCE;
    let (followed, last, known) = loop {
        match stand(stores).await {
            Err(error) if is_tried_again(&error, until) => sleep(PAUSE).await,
            stand => break stand?,
        }
    };
    if last < followed {
        tracing::error!(
            "the registry of destinations has lost changes: its last is {last}, and events are delivered by \
             {followed}. \
             Other processes write back what they know of within seconds; what is still missing then has to be made \
             again, and goes on where it was if it gets the same name"
        );
    }
    let initial = last == Revision::ORIGIN && followed == Revision::ORIGIN;
    let left = known.values().filter(|known| {
        known.origin == Origin::File && known.standing == Standing::Present && !file.contains_key(&known.name)
    });
    // Of most, the registry says already what the file says: they need not be read again.
    let differs = |name: &&DestinationName| {
        let before = known.get(*name);
        !matches!(Registered::edited(before, name, wanted(file, name, before).0, last.next(0), initial), Ok(None))
    };
    let names: Vec<DestinationName> =
        file.keys().filter(differs).chain(left.map(|known| &known.name)).cloned().collect();
    let (mut rest, mut tries) = (names.as_slice(), 0);
    while !rest.is_empty() {
        match apply_some(stores, by, file, rest, (initial, followed), writing).await {
            Ok(Some(others)) => (rest, tries) = (others, 0),
            Ok(None) => tries += 1,
            // A write whose answer was lost is not made twice: what it would change is looked up anew.
            Err(error) if is_tried_again(&error, until) => sleep(PAUSE).await,
            Err(error) => return Err(error),
        }
        if tries == MAX_TRIES {
            let what = "the destinations were changed by others each time that the file was to be applied";
            return Err(StoreError::retry_later(what));
        }
    }
    Ok(())
}

/// Whether what came to that is tried again.
fn is_tried_again(error: &StoreError, until: Instant) -> bool {
    matches!(error, StoreError::RetryLater { .. } | StoreError::Unknown { .. }) && Instant::now() < until
}

/// The last change that partitions follow, the last one of the registry, and all that this has.
async fn stand(stores: &Stores) -> Result<(Revision, Revision, BTreeMap<DestinationName, Registered>), StoreError> {
    // In this order: a change that is made and followed meanwhile is no loss.
    let followed = followed(stores).await?;
    let last = stores.registry.head().await?.last;
    Ok((followed, last, everything(&*stores.registry).await?))
}

/// Does it for as many of the names as one write takes; returns the others. `None` if somebody else has changed
/// something meanwhile.
async fn apply_some<'n>(
    stores: &Stores,
    by: &str,
    file: &BTreeMap<DestinationName, &Arc<DestinationConfig>>,
    names: &'n [DestinationName],
    (initial, followed): (bool, Revision),
    writing: &mut Writing,
) -> Result<Option<&'n [DestinationName]>, StoreError> {
    let registry = &*stores.registry;
    let head = registry.head().await?;
    let looked_at = &names[..names.len().min(MAX_REGISTRY_PAGE)];
    let before: BTreeMap<_, _> =
        registry.records(looked_at).await?.into_iter().map(|known| (known.name.clone(), known)).collect();
    let needed = former::needed(stores, before.values()).await?;
    // Larger than what partitions follow, also if the registry has lost that.
    let next = head.next().max(followed.next(0));
    let (mut draft, mut refused, mut done) = (WriteDraft::new(&head, next), Vec::new(), 0);
    let mut changed = 0;
    for name in looked_at {
        let known = before.get(name);
        let (edit, what) = wanted(file, name, known);
        match Registered::edited(known, name, edit, next, initial) {
            Ok(None) => {}
            Ok(Some(mut record)) => {
                record.filters.trim(needed);
                match draft.add(record, by, what) {
                    Drafted::Taken => changed += 1,
                    Drafted::Full => break,
                    Drafted::TooLarge(bytes) => {
                        return Err(StoreError::refused(format!(
                            "destination {name} takes {bytes} bytes; at most {MAX_RECORD_BYTES} are kept of one"
                        )));
                    }
                }
            }
            Err(why) => refused.push((name.clone(), why)),
        }
        done += 1;
    }
    if let Some(write) = draft.finish() {
        let written = registry.write(&write).await;
        writing.begun |= matches!(written, Ok(true) | Err(StoreError::Unknown { .. }));
        if !written? {
            return Ok(None);
        }
    }
    writing.applied.changed += changed;
    writing.applied.refused.extend(refused);
    Ok(Some(&names[done..]))
}

/// What the file wants of a destination, and how that is told.
fn wanted(
    file: &BTreeMap<DestinationName, &Arc<DestinationConfig>>,
    name: &DestinationName,
    known: Option<&Registered>,
) -> (Edit, &'static str) {
    match file.get(name) {
        Some(config) => (put_of_file(config, known, false), "the configuration file was applied"),
        None => (Edit::Leave, "the configuration file no longer names it"),
    }
}

/// All records of the registry.
async fn everything(registry: &dyn Registry) -> Result<BTreeMap<DestinationName, Registered>, StoreError> {
    let (mut all, mut after) = (BTreeMap::new(), Revision::ORIGIN);
    loop {
        let page = registry.changed_since(after).await?;
        after = page.upto;
        // One that changed meanwhile comes twice; what came last is newer.
        all.extend(page.records.into_iter().map(|record| (record.name.clone(), record)));
        if !page.more {
            return Ok(all);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use laneway_memory::{Call, Disk, Fault, Faults, MemoryStore, Settings};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Lets the calls of the registry with these numbers fail.
    struct Failing(AtomicUsize, fn(usize) -> Option<Fault>);

    impl Faults for Failing {
        fn fault(&self, call: Call) -> Option<Fault> {
            if call == Call::Registry { self.1(self.0.fetch_add(1, Ordering::Relaxed)) } else { None }
        }
    }

    async fn applied(fault: fn(usize) -> Option<Fault>) -> (Result<Applied, NotApplied>, Vec<Registered>) {
        let config = Config::from_toml("[[destination]]\nname = 'a'\nurl = 'console:'\npaused = true").unwrap();
        let file = config.destinations.iter().map(|d| (d.destination.name.clone(), d)).collect();
        let disk = Disk::new(1);
        let faults = Some(Arc::new(Failing(AtomicUsize::new(0), fault)) as Arc<dyn Faults>);
        let stores = Stores::of(Arc::new(MemoryStore::open(disk.clone(), Settings { faults, ..Settings::default() })));
        let applied = apply(&stores, "laneway.toml", &file).await;
        let found = everything(&MemoryStore::open(disk, Settings::default())).await.unwrap();
        (applied, found.into_values().collect())
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_store_does_not_take_now_is_applied_when_it_does_and_once() {
        let cases: [fn(usize) -> Option<Fault>; 2] = [
            // A look, a write for which there is no room, and one whose answer is lost.
            |call| match call {
                3 | 6 => Some(Fault::RetryLater),
                9 => Some(Fault::Unknown { happened: true }),
                _ => None,
            },
            // The first looks of all.
            |call| match call {
                0 | 1 | 3 => Some(Fault::RetryLater),
                5 => Some(Fault::Unknown { happened: true }),
                _ => None,
            },
        ];
        for fault in cases {
            let (result, found) = applied(fault).await;
            result.unwrap();
            assert_eq!(found.len(), 1);
            assert_eq!((found[0].name.as_str(), found[0].born), ("a", Revision::ORIGIN));
        }
        let begun = Instant::now();
        let (result, found) = applied(|_| Some(Fault::RetryLater)).await;
        assert!(result.is_err() && found.is_empty() && begun.elapsed() <= PATIENCE + PAUSE, "{result:?} {found:?}");
        // One that never takes it is told of, as is one that refuses.
        for fault in [Fault::RetryLater, Fault::No] {
            let of = if fault == Fault::No {
                |n| (n > 3).then_some(Fault::No)
            } else {
                |n| (n > 3).then_some(Fault::RetryLater)
            };
            let (result, found) = applied(of).await;
            assert!(result.is_err() && found.is_empty(), "{result:?} {found:?}");
        }
    }

    #[tokio::test]
    async fn a_file_that_is_more_than_one_write_takes_is_applied_whole_and_once() {
        let types: Vec<String> = (0..60).map(|n| format!("'{}{n}'", "t".repeat(240))).collect();
        let one =
            |n: usize| format!("[[destination]]\nname = 'd{n}'\nurl = 'console:'\ntypes = [{}]\n", types.join(","));
        let config = Config::from_toml(&(0..700).map(one).collect::<String>()).unwrap();
        let file: BTreeMap<_, _> = config.destinations.iter().map(|d| (d.destination.name.clone(), d)).collect();
        let stores = Stores::of(Arc::new(MemoryStore::open(Disk::new(1), Settings::default())));
        let registry = &*stores.registry;
        let applied = apply(&stores, "laneway.toml", &file).await.unwrap();
        assert_eq!((applied.changed, applied.refused.len()), (700, 0));
        let last = registry.head().await.unwrap().last;
        assert_eq!(apply(&stores, "laneway.toml", &file).await.unwrap().changed, 0);
        assert_eq!(registry.head().await.unwrap().last, last);
        let few: BTreeMap<_, _> = file.into_iter().take(1).collect();
        assert_eq!(apply(&stores, "laneway.toml", &few).await.unwrap().changed, 699);
    }
}
