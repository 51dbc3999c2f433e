//! Reading replays, in pages: of each destination that has any, or ever had.

use super::{LANES_AT_ONCE, PAGE, pairs, parse_behind};
use crate::connect::Redis;
use crate::failure::Effect;
use crate::progress::answer;
use crate::progress::names::Names;
use crate::progress::text::{Lanes, parse_replays, unreadable};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use laneway_domain::{DestinationName, ReplayId, ReplayProgress};
use laneway_ports::StoreError;
use std::collections::BTreeMap;

/// Adds the replays to what was loaded. `false` if a commit came meanwhile.
pub(super) async fn load(redis: &Redis, names: &Names<'_>, lanes: &mut Lanes) -> Result<bool, StoreError> {
    let keys = [names.progress(), names.replaying()];
    let answer = redis.call("laneway_replaying", Effect::Reads, &keys, Vec::new()).await?;
    let [commits, replaying] = answer::exactly(answer)?;
    if answer::number(&commits)? != lanes.commits {
        return Ok(false);
    }
    let wrong = |name: &str, why: String| unreadable(&keys[1], format!("the member {name:?}"), why);
    let replaying: Vec<DestinationName> = answer::texts(replaying)?
        .into_iter()
        .map(|name| DestinationName::new(&name).map_err(|error| wrong(&name, error.to_string())))
        .collect::<Result<_, _>>()?;
    let commits = lanes.commits;
    let read = |name: DestinationName| async move {
        let replays = load_of(redis, names, &name, commits).await?;
        Ok::<_, StoreError>((name, replays))
    };
    let mut reading = stream::iter(replaying).map(read).buffer_unordered(LANES_AT_ONCE);
    while let Some((name, replays)) = reading.try_next().await? {
        let Some((replays, last)) = replays else { return Ok(false) };
        let [own, ..] = names.replays(&name);
        let lane = lanes.progress.lanes.get_mut(&name);
        let lane = lane.ok_or_else(|| unreadable(&own, "all", "there is no lane of this destination"))?;
        (lane.replays, lane.last_replay) = (replays, last);
    }
    Ok(true)
}

/// A destination's replays, and the last number that one was given; nothing if a commit came since there were
/// `commits`.
async fn load_of(
    redis: &Redis,
    names: &Names<'_>,
    name: &DestinationName,
    commits: u64,
) -> Result<Option<(BTreeMap<ReplayId, ReplayProgress>, u64)>, StoreError> {
    let [own, behind, retry] = names.replays(name);
    let keys = [names.progress(), own, behind, retry];
    let (mut from, mut replays, mut last) = (0, BTreeMap::new(), 0);
    loop {
        let args = [from, PAGE].map(|number| Bytes::from(number.to_string()));
        let answer = redis.call("laneway_load_replays", Effect::Reads, &keys, args.into()).await?;
        let [found, fields, rows] = answer::exactly(answer)?;
        if answer::number(&found)? != commits {
            return Ok(None);
        }
        if from == 0 {
            (replays, last) = parse_replays(names.numbers(), &keys[1], &pairs(answer::texts(fields)?))?;
        }
        let rows = answer::texts(rows)?;
        for row in rows.chunks_exact(3) {
            let wrong = |why: &str| unreadable(&keys[2], format!("the member {:?}", row[0]), why);
            let (id, key) = row[0].split_once(' ').ok_or_else(|| wrong("this is not a replay and a key"))?;
            let id = ReplayId::new(id).map_err(|error| wrong(&error.to_string()))?;
            let (key, behind) = parse_behind(names.numbers(), &keys[2], key, &row[1], &row[2])?;
            let replay = replays.get_mut(&id).ok_or_else(|| wrong("there is no such replay"))?;
            replay.behind.insert(key, behind);
        }
        if rows.len() < PAGE * 3 {
            return Ok(Some((replays, last)));
        }
        from += PAGE;
    }
}
