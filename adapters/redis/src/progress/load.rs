//! Reading progress: in pages, because a lane may have 100,000 keys behind, and Redis does nothing
//! else meanwhile.

mod expiry;
mod replays;

use super::answer;
use super::names::Names;
use super::text::{Lanes, unreadable};
use crate::connect::Redis;
use crate::dead_letters::letter;
use crate::failure::Effect;
use crate::keys::Keys;
use crate::numbers::Numbers;
use crate::shared::Shared;
use bytes::Bytes;
use fred::types::Value;
use futures_util::future::try_join_all;
use futures_util::{StreamExt, TryStreamExt, stream};
use laneway_domain::{
    Behind, Cut, Cuts, DestinationName, LaneKey, Offset, Partition, PartitionProgress, Redrive, Revision,
};
use laneway_ports::{MAX_DEAD_LETTER_PAGE, StoreError};
use std::collections::BTreeMap;

/// Lanes, or keys behind, per call: a millisecond or two of Redis' time, and at most some megabytes.
const PAGE: usize = 1000;
/// Lanes that are read at the same time: enough that a thousand of them do not take a thousand round trips.
const LANES_AT_ONCE: usize = 16;
/// How often reading begins again because of a commit on the way. The worker that has the lease is
/// the only one to commit, so that only onlookers ever begin again.
const MAX_TRIES: usize = 10;

/// What one try gives.
enum Try {
    Whole(PartitionProgress),
    /// A commit came between two pages.
    Changed,
}

/// The partition's progress, as of one moment.
pub(crate) async fn load(redis: &Redis, keys: &Keys, partition: Partition) -> Result<PartitionProgress, StoreError> {
    for _ in 0..MAX_TRIES {
        if let Try::Whole(progress) = load_once(redis, &Names::new(keys, partition)).await? {
            return Ok(progress);
        }
    }
    Err(StoreError::retry_later(format!("the progress of partition {partition} changed each time that it was read")))
}

async fn load_once(redis: &Redis, names: &Names<'_>) -> Result<Try, StoreError> {
    let Some((mut lanes, holding)) = load_lanes(redis, names).await? else { return Ok(Try::Changed) };
    let commits = lanes.commits;
    let read = |name: DestinationName| async move {
        let behind = load_behind(redis, names, &name, commits).await?;
        Ok::<_, StoreError>((name, behind))
    };
    let mut reading = stream::iter(holding).map(read).buffer_unordered(LANES_AT_ONCE);
    while let Some((name, behind)) = reading.try_next().await? {
        let Some(behind) = behind else { return Ok(Try::Changed) };
        let lane = lanes.progress.lanes.get_mut(&name);
        lane.ok_or_else(|| unreadable(&names.progress(), "the lane", format!("{name} has keys behind but no lane")))?
            .behind = behind;
    }
    drop(reading);
    if !replays::load(redis, names, &mut lanes).await? || !expiry::load(redis, names, &mut lanes).await? {
        return Ok(Try::Changed);
    }
    Ok(Try::Whole(lanes.progress))
}

/// Everything but the keys behind, and the lanes that may have some; nothing if a commit came between two pages.
async fn load_lanes(redis: &Redis, names: &Names<'_>) -> Result<Option<(Lanes, Vec<DestinationName>)>, StoreError> {
    let key = names.progress();
    let keys = [key.clone(), names.lowest(), names.dead_requested(), names.dead(), names.cuts()];
    let (mut fields, mut holding, mut requested, mut cuts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut cursor, mut commits) = ("0".to_owned(), None);
    loop {
        let args = [cursor, holding.len().to_string(), PAGE.to_string(), MAX_DEAD_LETTER_PAGE.to_string()];
        let answer = redis.call("laneway_load_page", Effect::Reads, &keys, args.map(Bytes::from).into()).await?;
        let [now, next, some_fields, some_holding, some_requested, some_cuts] = answer::exactly(answer)?;
        let now = answer::number(&now)?;
        if *commits.get_or_insert(now) != now {
            return Ok(None);
        }
        fields.extend(pairs(answer::texts(some_fields)?));
        requested.extend(answer::list(some_requested)?);
        cuts.extend(answer::texts(some_cuts)?);
        let some_holding = answer::texts(some_holding)?;
        let no_more = some_holding.len() < PAGE;
        holding.extend(some_holding);
        cursor = Some(answer::text(&next)?).filter(|next| next != "0").unwrap_or_default();
        if cursor.is_empty() && no_more {
            break;
        }
    }
    let mut lanes = Lanes::parse(names.numbers(), &key, &fields)?;
    lanes.progress.cuts = parse_cuts(names.numbers(), &names.cuts(), cuts)?;
    // Of those that cannot be read [`retry_requested`] tells.
    lanes.progress.redrives = requests(names.numbers(), &names.dead(), &requested).readable;
    // What replays hold stands there too, under names that are no destination's.
    let holding = holding.iter().filter(|name| !name.ends_with("/replays")).map(|name| {
        DestinationName::new(name).map_err(|error| unreadable(&names.lowest(), format!("the member {name:?}"), error))
    });
    Ok(Some((lanes, holding.collect::<Result<_, _>>()?)))
}

fn parse_cuts(numbers: &Numbers, key: &str, flat: Vec<String>) -> Result<Cuts, StoreError> {
    let cut = |(revision, at): (String, String)| match (revision.parse(), at.parse()) {
        (Ok(revision), Ok(at)) => Ok(Cut { revision: Revision(revision), at: numbers.shown(Offset(at)) }),
        _ => Err(unreadable(key, format!("the member {revision:?}"), "it is no revision, or its score no offset")),
    };
    Ok(Cuts::of(pairs(flat).into_iter().map(cut).collect::<Result<_, _>>()?))
}

/// [`laneway_ports::ProgressStore::standing`].
pub(super) async fn standing(
    redis: &Redis,
    keys: &Keys,
    partition: Partition,
    destinations: &[DestinationName],
    of: &[LaneKey],
) -> Result<PartitionProgress, StoreError> {
    let names = Names::new(keys, partition);
    let mut called = vec![names.progress(), names.cuts()];
    called.extend(destinations.iter().flat_map(|name| [names.behind(name), names.retry(name)]));
    let args = std::iter::once(destinations.len().to_string())
        .chain(destinations.iter().map(ToString::to_string))
        .chain(of.iter().map(ToString::to_string));
    let args = args.map(Bytes::from).collect();
    let answer = redis.call("laneway_standing", Effect::Reads, &called, args).await?;
    let [fields, cuts, behind] = answer::exactly(answer)?;
    let fields = pairs(answer::texts(fields)?);
    let mut progress = Lanes::parse(names.numbers(), &names.progress(), &fields)?.progress;
    progress.cuts = parse_cuts(names.numbers(), &names.cuts(), answer::texts(cuts)?)?;
    for four in answer::texts(behind)?.chunks(4) {
        let [name, key, offset, retry] = four else { continue };
        let unknown = |why: &dyn std::fmt::Display| unreadable(&names.progress(), format!("the lane {name:?}"), why);
        let name = DestinationName::new(name).map_err(|error| unknown(&error))?;
        let (key, behind) = parse_behind(names.numbers(), &names.behind(&name), key, offset, retry)?;
        let lane = progress.lanes.get_mut(&name).ok_or_else(|| unknown(&"it has keys behind but is not there"))?;
        lane.behind.insert(key, behind);
    }
    Ok(progress)
}

/// [`laneway_ports::ProgressStore::cuts`].
pub(super) async fn cuts(redis: &Redis, keys: &Keys, partition: Partition) -> Result<Cuts, StoreError> {
    let key = keys.cuts(partition);
    let answer = redis.call("laneway_cuts", Effect::Reads, std::slice::from_ref(&key), Vec::new()).await?;
    parse_cuts(keys.numbers(), &key, answer::texts(answer)?)
}

/// [`laneway_ports::ProgressStore::taken`]: all at once, so that each node is asked over its link without a wait between.
pub(super) async fn taken(
    redis: &Redis,
    keys: &Keys,
    partitions: &[Partition],
) -> Result<Vec<Option<Cut>>, StoreError> {
    let ask = |partition: &Partition| {
        let key = keys.cuts(*partition);
        async move {
            let answer = redis.call("laneway_taken", Effect::Reads, std::slice::from_ref(&key), Vec::new()).await?;
            Ok(parse_cuts(keys.numbers(), &key, answer::texts(answer)?)?.last())
        }
    };
    try_join_all(partitions.iter().map(ask)).await
}

fn pairs(flat: Vec<String>) -> Vec<(String, String)> {
    let mut pairs = Vec::with_capacity(flat.len() / 2);
    let mut flat = flat.into_iter();
    while let (Some(first), Some(second)) = (flat.next(), flat.next()) {
        pairs.push((first, second));
    }
    pairs
}

/// Dead letters that someone wants retried.
#[derive(Default)]
struct Requests {
    readable: Vec<Redrive>,
    /// The names of those of which it cannot be told what they are, and why.
    unreadable: Vec<(Bytes, StoreError)>,
}

/// Dead letters to retry, from names and what they were ordered with. One that is damaged must not keep the others, or
/// the whole partition, from going on.
fn requests(numbers: &Numbers, key: &str, flat: &[Value]) -> Requests {
    let mut requests = Requests::default();
    for pair in flat.chunks_exact(2) {
        let [name, ordered] = [&pair[0], &pair[1]].map(|value| value.clone().into_bytes().unwrap_or_default());
        match request(numbers, key, &name, &ordered) {
            Ok(request) => requests.readable.push(request),
            Err(why) => requests.unreadable.push((name, why)),
        }
    }
    requests
}

fn request(numbers: &Numbers, key: &str, name: &[u8], ordered: &[u8]) -> Result<Redrive, StoreError> {
    let name = String::from_utf8_lossy(name);
    let (offset, destination) = letter::parse_name(numbers, key, &name)?;
    let ordered = std::str::from_utf8(ordered).ok().and_then(LaneKey::parse).ok_or_else(|| {
        unreadable(key, format!("the dead letter {name:?}"), "it does not say what it was ordered with")
    })?;
    Ok(Redrive { destination, offset, key: ordered })
}

/// The keys behind of a lane; nothing if a commit came since there were `commits`.
async fn load_behind(
    redis: &Redis,
    names: &Names<'_>,
    destination: &DestinationName,
    commits: u64,
) -> Result<Option<BTreeMap<LaneKey, Behind>>, StoreError> {
    let keys = [names.progress(), names.behind(destination), names.retry(destination)];
    let mut all = BTreeMap::new();
    loop {
        let args = [all.len(), PAGE].map(|number| Bytes::from(number.to_string()));
        let answer = redis.call("laneway_load_behind", Effect::Reads, &keys, args.into()).await?;
        let (found, rows) = answer::first_and_rest(answer)?;
        if answer::number(&found)? != commits {
            return Ok(None);
        }
        let rows = answer::texts(Value::Array(rows))?;
        for row in rows.chunks_exact(3) {
            let (key, behind) = parse_behind(names.numbers(), &keys[1], &row[0], &row[1], &row[2])?;
            all.insert(key, behind);
        }
        if rows.len() < PAGE * 3 {
            return Ok(Some(all));
        }
    }
}

fn parse_behind(
    numbers: &Numbers,
    of: &str,
    key: &str,
    offset: &str,
    retry: &str,
) -> Result<(LaneKey, Behind), StoreError> {
    let wrong = |why: &str| unreadable(of, format!("the member {key:?}"), why);
    let lane_key = LaneKey::parse(key).ok_or_else(|| wrong("this is not what events are ordered with"))?;
    let offset = numbers.shown(Offset(offset.parse().map_err(|_| wrong("its score is not an offset"))?));
    let retry = if retry.is_empty() {
        None
    } else {
        Some(serde_json::from_str(retry).map_err(|error| wrong(&format!("its retry state: {error}")))?)
    };
    Ok((lane_key, Behind { offset, retry }))
}

/// [`laneway_ports::DeadLetters::retry_requested`].
pub(crate) async fn retry_requested(
    shared: &Shared,
    partition: Partition,
    after: Option<&(Offset, DestinationName)>,
    most: usize,
) -> Result<Vec<Redrive>, StoreError> {
    let names = Names::new(&shared.keys, partition);
    let most = Bytes::from(most.min(MAX_DEAD_LETTER_PAGE).to_string());
    let after = after.map_or_else(String::new, |(offset, name)| letter::name(names.numbers(), *offset, name));
    let keys = [names.dead_requested(), names.dead()];
    let args = vec![most, after.into(), Bytes::from_static(b"all")];
    let answer = shared.redis.call("laneway_dead_requested", Effect::Reads, &keys, args).await?;
    let Requests { readable, unreadable } = requests(names.numbers(), &keys[1], &answer::list(answer)?);
    if !unreadable.is_empty() {
        withdraw(shared, &keys[0], unreadable).await?;
    }
    Ok(readable)
}

/// Nobody can retry these: without their requests they are told of once, and never stand before others.
async fn withdraw(shared: &Shared, requested: &str, unreadable: Vec<(Bytes, StoreError)>) -> Result<(), StoreError> {
    let (names, why): (Vec<Bytes>, Vec<StoreError>) = unreadable.into_iter().unzip();
    shared.write("laneway_dead_withdraw", &[requested.to_owned()], names).await?;
    for error in why {
        tracing::warn!(%error, "a dead letter cannot be retried, and is kept as it is");
    }
    Ok(())
}
