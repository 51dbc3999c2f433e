//! The configuration file as a change: at the start, and when it is read again, what it says of destinations goes
//! into the registry, if it says something else.

use super::put_of_file;
use crate::config::DestinationConfig;
use laneway_domain::{DestinationName, Edit, Origin, Refused, Registered, Revision, Standing, Timestamp};
use laneway_ports::{JournalEntry, MAX_REGISTRY_PAGE, Registry, RegistryHead, RegistryWrite, StoreError};
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
    registry: &dyn Registry,
    by: &str,
    file: &BTreeMap<DestinationName, &DestinationConfig>,
) -> Result<Applied, StoreError> {
    let initial = registry.head().await?.last == Revision::ORIGIN;
    let known = everything(registry).await?;
    let left = known.values().filter(|known| {
        known.origin == Origin::File && known.standing == Standing::Present && !file.contains_key(&known.name)
    });
    let names: Vec<DestinationName> = file.keys().cloned().chain(left.map(|known| known.name.clone())).collect();
    let mut applied = Applied::default();
    for names in names.chunks(MAX_REGISTRY_PAGE) {
        let mut tries = 0;
        while !apply_piece(registry, by, file, names, initial, &mut applied).await? {
            tries += 1;
            if tries == MAX_TRIES {
                let what = "the destinations were changed by others each time that the file was to be applied";
                return Err(StoreError::retry_later(what));
            }
        }
    }
    Ok(applied)
}

/// Does it for some of the names. `false` if somebody else has changed something meanwhile.
async fn apply_piece(
    registry: &dyn Registry,
    by: &str,
    file: &BTreeMap<DestinationName, &DestinationConfig>,
    names: &[DestinationName],
    initial: bool,
    applied: &mut Applied,
) -> Result<bool, StoreError> {
    let head = registry.head().await?;
    let before: BTreeMap<_, _> =
        registry.records(names).await?.into_iter().map(|known| (known.name.clone(), known)).collect();
    let (mut records, mut refused) = (Vec::new(), Vec::new());
    for name in names {
        let known = before.get(name);
        let edit = match file.get(name) {
            Some(config) => put_of_file(config, known, false),
            None => Edit::Leave,
        };
        match Registered::edited(known, name, edit, head.next(), initial) {
            Ok(record) => records.extend(record),
            Err(why) => refused.push((name.clone(), why)),
        }
    }
    let changed = records.len();
    if changed > 0 && !write(registry, by, head, records).await? {
        return Ok(false);
    }
    applied.changed += changed;
    applied.refused.extend(refused);
    Ok(true)
}

async fn write(
    registry: &dyn Registry,
    by: &str,
    head: RegistryHead,
    records: Vec<Registered>,
) -> Result<bool, StoreError> {
    let (last, revision) = (head.last, head.next());
    let entry = |record: &Registered| JournalEntry {
        name: record.name.clone(),
        revision,
        at: Timestamp::from_millis(head.clock / 1000),
        by: by.into(),
        what: match record.standing {
            Standing::Present => "the configuration file was applied".into(),
            Standing::Left | Standing::Deleted => "the configuration file no longer names it".into(),
        },
    };
    let journal = records.iter().map(entry).collect();
    registry.write(&RegistryWrite { last, revision, records, journal }).await
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
