//! Dead letters in pages, partition by partition: Redis is never busy with more than one page.

use super::letter;
use crate::connect::Redis;
use crate::failure::Effect;
use crate::keys::Keys;
use crate::progress::{Names, answer};
use crate::shared::Shared;
use bytes::Bytes;
use fred::types::Value;
use laneway_domain::{DeadLetter, DestinationName, Partition};
use laneway_ports::{DeadLetterQuery, MAX_DEAD_LETTER_PAGE, Selection, StoreError};

/// How many dead letters one call looks at: about a millisecond of Redis' time, and at most some
/// megabytes of histories.
const EXAMINED: usize = 500;
/// How many one call looks at that also looks into the copies of their events, which are 256 KiB at most by default.
const LISTED: usize = 100;

/// What an operator wants of dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Attempt them once more.
    Retry,
    /// Remove them for good.
    Discard,
}

/// `after`, how many to look at, event key and event id, as the functions take them.
fn page_args(after: Bytes, examined: usize, selection: &Selection) -> [Bytes; 4] {
    let key = selection.key.as_ref().map_or("", |key| key.as_str()).to_owned();
    let id = selection.event_id.as_ref().map_or("", |id| id.as_str()).to_owned();
    [after, examined.to_string().into(), key.into(), id.into()]
}

/// How many to look at so as to find `missing`.
fn examined(selection: &Selection, missing: usize) -> usize {
    let all = selection.key.is_none() && selection.event_id.is_none() && selection.is_plain();
    if all { missing.min(LISTED) } else { LISTED }
}

/// [`laneway_ports::DeadLetters::list`].
pub(super) async fn list(
    redis: &Redis,
    keys: &Keys,
    partitions: u32,
    query: &DeadLetterQuery,
) -> Result<Vec<DeadLetter>, StoreError> {
    let most = query.most.min(MAX_DEAD_LETTER_PAGE);
    let mut found = Vec::new();
    let first = query.after.as_ref().map_or(0, |(partition, _, _)| partition.0);
    for partition in (first..partitions).map(Partition) {
        let after = query.after.as_ref().filter(|(of, _, _)| *of == partition);
        let after = after.map_or_else(String::new, |(_, offset, name)| letter::name(keys.numbers(), *offset, name));
        let mut after = Bytes::from(after);
        while found.len() < most {
            let names = Names::new(keys, partition);
            let missing = most - found.len();
            let (last, letters) = list_page(redis, &names, &query.selection, after, missing).await?;
            found.extend(letters.into_iter().take(missing));
            let Some(last) = last else { break };
            after = last;
        }
    }
    Ok(found)
}

/// One page: the name to go on after, if there may be more, and those that are selected. Of one that is damaged it cannot
/// be told whether it is: it must not keep the others from being listed and changed.
async fn list_page(
    redis: &Redis,
    names: &Names<'_>,
    selection: &Selection,
    after: Bytes,
    missing: usize,
) -> Result<(Option<Bytes>, Vec<DeadLetter>), StoreError> {
    let order = selection.destination.as_ref().map_or_else(|| names.dead_order(), |name| names.dead_of(name));
    let keys = [order, names.dead(), names.dead_requested(), names.dead_events()];
    let args = page_args(after, examined(selection, missing), selection);
    let answer = redis.call("laneway_dead_owned", Effect::Reads, &keys, args.into()).await?;
    let (last, rows) = answer::first_and_rest(answer)?;
    let mut letters = Vec::new();
    for row in rows.chunks_exact(5) {
        let requested = answer::number(&row[2])? == 1;
        let [name, text, event_type, tenant] = [&row[0], &row[1], &row[3], &row[4]].map(bytes_of);
        match letter::read(names, (&name, &text), (&event_type, &tenant), requested) {
            Ok(letter) => letters.push(letter),
            Err(error) => tracing::warn!(
                %error,
                "a dead letter cannot be read, and is left out; to discard all dead letters of its destination removes it"
            ),
        }
    }
    letters.retain(|letter| selection.picks(letter));
    Ok((more_after(&last), letters))
}

/// Whatever a value holds: a name that is damaged need be no text.
fn bytes_of(value: &Value) -> Bytes {
    value.clone().into_bytes().unwrap_or_default()
}

/// The name to go on after; nothing if there are no more.
fn more_after(last: &Value) -> Option<Bytes> {
    Some(bytes_of(last)).filter(|last| !last.is_empty())
}

/// [`laneway_ports::DeadLetters::retry`] and [`laneway_ports::DeadLetters::discard`].
pub(super) async fn change(
    shared: &Shared,
    partitions: u32,
    change: Change,
    selection: &Selection,
) -> Result<u64, StoreError> {
    let Some(destination) = &selection.destination else {
        return Err(StoreError::refused("name the destination whose dead letters you mean"));
    };
    let mut changed = 0;
    for partition in (0..partitions).map(Partition) {
        let names = Names::new(&shared.keys, partition);
        let mut after = Bytes::new();
        loop {
            let (last, count) = change_page(shared, &names, change, destination, selection, after).await?;
            changed += count;
            let Some(last) = last else { break };
            after = last;
        }
    }
    Ok(changed)
}

async fn change_page(
    shared: &Shared,
    names: &Names<'_>,
    change: Change,
    destination: &DestinationName,
    selection: &Selection,
    after: Bytes,
) -> Result<(Option<Bytes>, u64), StoreError> {
    let mut keys = vec![names.dead_of(destination)];
    keys.extend(names.all_dead());
    let change = match change {
        Change::Retry => "retry",
        Change::Discard => "discard",
    };
    let mut args: Vec<Bytes> = vec![change.into(), destination.as_str().to_owned().into()];
    if !selection.is_plain() {
        let (last, letters) = list_page(&shared.redis, names, selection, after, LISTED).await?;
        let name = |letter: &DeadLetter| letter::name(names.numbers(), letter.given_up.offset, destination);
        args.extend(letters.iter().map(|letter| Bytes::from(name(letter))));
        let count = match letters.len() {
            0 => 0,
            _ => answer::number(&shared.write("laneway_dead_change_named", &keys, args).await?)?,
        };
        return Ok((last, count));
    }
    args.extend(page_args(after, EXAMINED, selection));
    // Unknown whether it happened: asking again is right, for a change again changes nothing more.
    let answer = shared.write("laneway_dead_change", &keys, args).await?;
    let [last, count] = answer::exactly(answer)?;
    Ok((more_after(&last), answer::number(&count)?))
}

/// How many dead letters each destination has in the partition. A field that is damaged is no destination's, and left out.
pub(super) async fn counts(
    redis: &Redis,
    keys: &Keys,
    partition: Partition,
) -> Result<Vec<(DestinationName, u64)>, StoreError> {
    let key = Names::new(keys, partition).dead_counts();
    let answer = redis.command("HGETALL", slot_of(&key), vec![key.as_str().into()], Effect::Reads).await?;
    let flat = match answer {
        Value::Map(map) => map.inner().into_iter().map(|(name, count)| (Value::from(name), count)).collect(),
        other => {
            let mut flat = answer::list(other)?.into_iter();
            let mut pairs = Vec::new();
            while let (Some(name), Some(count)) = (flat.next(), flat.next()) {
                pairs.push((name, count));
            }
            pairs
        }
    };
    let count = |(name, count): (Value, Value)| {
        let of = name.as_string().and_then(|name| DestinationName::new(&name).ok());
        let found = of.zip(count.as_u64());
        if found.is_none() {
            tracing::debug!(key, ?name, ?count, "this counts the dead letters of no destination");
        }
        found
    };
    Ok(flat.into_iter().filter_map(count).collect())
}

/// What a hash has in that field.
pub(crate) async fn field(redis: &Redis, key: &str, field: &str) -> Result<Option<Bytes>, StoreError> {
    let answer = redis.command("HGET", slot_of(key), vec![key.into(), field.into()], Effect::Reads).await?;
    Ok(answer.into_bytes())
}

fn slot_of(key: &str) -> fred::types::ClusterHash {
    crate::library::slot(&[key.to_owned()])
}
