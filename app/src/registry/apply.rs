//! The configuration file as a change: at the start, and when it is read again, what it says of destinations goes
//! into the registry, if it says something else.

use super::{former, put_of_file};
use crate::config::DestinationConfig;
use laneway_domain::{DestinationName, Edit, Origin, Refused, Registered, Revision, Standing};
use laneway_ports::{Drafted, MAX_RECORD_BYTES, MAX_REGISTRY_PAGE, Registry, StoreError, Stores, WriteDraft};
use std::collections::BTreeMap;

/// How often a change is made anew because somebody else was faster.
const MAX_TRIES: usize = 20;

/// What came of it.
#[derive(Debug, Default)]
pub struct Applied {
    /// How many destinations have come, changed or left.
    pub changed: usize,
    /// Those that are not the file's to change, with why.
    pub refused: Vec<(DestinationName, Refused)>,
}

/// Makes the registry say what the file says of destinations. Those of the interface are left alone, and so are names
/// that the interface has. A file of many destinations is written in pieces.
///
/// # Errors
/// If the registry cannot be read or written.
pub async fn apply(
    stores: &Stores,
    by: &str,
    file: &BTreeMap<DestinationName, &DestinationConfig>,
) -> Result<Applied, StoreError> {
    let registry = &*stores.registry;
    let initial = registry.head().await?.last == Revision::ORIGIN;
    let known = everything(registry).await?;
    let left = known.values().filter(|known| {
        known.origin == Origin::File && known.standing == Standing::Present && !file.contains_key(&known.name)
    });
    let names: Vec<DestinationName> = file.keys().cloned().chain(left.map(|known| known.name.clone())).collect();
    let mut applied = Applied::default();
    let (mut rest, mut tries) = (names.as_slice(), 0);
    while !rest.is_empty() {
        match apply_some(stores, by, file, rest, initial, &mut applied).await? {
            Some(others) => (rest, tries) = (others, 0),
            None => tries += 1,
        }
        if tries == MAX_TRIES {
            let what = "the destinations were changed by others each time that the file was to be applied";
            return Err(StoreError::retry_later(what));
        }
    }
    Ok(applied)
}

/// Does it for as many of the names as one write takes; returns the others. `None` if somebody else has changed
/// something meanwhile.
async fn apply_some<'n>(
    stores: &Stores,
    by: &str,
    file: &BTreeMap<DestinationName, &DestinationConfig>,
    names: &'n [DestinationName],
    initial: bool,
    applied: &mut Applied,
) -> Result<Option<&'n [DestinationName]>, StoreError> {
    let registry = &*stores.registry;
    let head = registry.head().await?;
    let looked_at = &names[..names.len().min(MAX_REGISTRY_PAGE)];
    let before: BTreeMap<_, _> =
        registry.records(looked_at).await?.into_iter().map(|known| (known.name.clone(), known)).collect();
    let needed = former::needed(stores, before.values()).await?;
    let (mut draft, mut refused, mut done) = (WriteDraft::new(&head, head.next()), Vec::new(), 0);
    let mut changed = 0;
    for name in looked_at {
        let known = before.get(name);
        let (edit, what) = match file.get(name) {
            Some(config) => (put_of_file(config, known, false), "the configuration file was applied"),
            None => (Edit::Leave, "the configuration file no longer names it"),
        };
        match Registered::edited(known, name, edit, head.next(), initial) {
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
    if let Some(write) = draft.finish()
        && !registry.write(&write).await?
    {
        return Ok(None);
    }
    applied.changed += changed;
    applied.refused.extend(refused);
    Ok(Some(&names[done..]))
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
    use laneway_memory::{Disk, MemoryStore, Settings};
    use std::sync::Arc;

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
