//! Reading replays: those of a few destinations at most, in pages.

use super::{PAGE, pairs, parse_behind};
use crate::connect::Redis;
use crate::failure::Effect;
use crate::progress::answer;
use crate::progress::names::Names;
use crate::progress::text::{Lanes, parse_replays, unreadable};
use bytes::Bytes;
use laneway_domain::{DestinationName, ReplayId};
use laneway_ports::StoreError;

/// Adds the replays to what was loaded. `false` if a commit came meanwhile.
pub(super) async fn load(redis: &Redis, names: &Names<'_>, lanes: &mut Lanes) -> Result<bool, StoreError> {
    let keys = [names.progress(), names.replaying()];
    let answer = redis.call("laneway_replaying", Effect::Reads, &keys, Vec::new()).await?;
    let [commits, replaying] = answer::exactly(answer)?;
    if answer::number(&commits)? != lanes.commits {
        return Ok(false);
    }
    for name in answer::texts(replaying)? {
        let wrong = |why: String| unreadable(&keys[1], format!("the member {name:?}"), why);
        let name = DestinationName::new(&name).map_err(|error| wrong(error.to_string()))?;
        if !load_of(redis, names, &name, lanes).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn load_of(
    redis: &Redis,
    names: &Names<'_>,
    name: &DestinationName,
    lanes: &mut Lanes,
) -> Result<bool, StoreError> {
    let [own, behind, retry] = names.replays(name);
    let keys = [names.progress(), own, behind, retry];
    let mut from = 0;
    loop {
        let args = [from, PAGE].map(|number| Bytes::from(number.to_string()));
        let answer = redis.call("laneway_load_replays", Effect::Reads, &keys, args.into()).await?;
        let [commits, fields, rows] = answer::exactly(answer)?;
        if answer::number(&commits)? != lanes.commits {
            return Ok(false);
        }
        let lane = lanes.progress.lanes.get_mut(name);
        let lane = lane.ok_or_else(|| unreadable(&keys[1], "all", "there is no lane of this destination"))?;
        if from == 0 {
            (lane.replays, lane.last_replay) =
                parse_replays(names.numbers(), &keys[1], &pairs(answer::texts(fields)?))?;
        }
        let rows = answer::texts(rows)?;
        for row in rows.chunks_exact(3) {
            let wrong = |why: &str| unreadable(&keys[2], format!("the member {:?}", row[0]), why);
            let (id, key) = row[0].split_once(' ').ok_or_else(|| wrong("this is not a replay and a key"))?;
            let id = ReplayId::new(id).map_err(|error| wrong(&error.to_string()))?;
            let (key, behind) = parse_behind(names.numbers(), &keys[2], key, &row[1], &row[2])?;
            let replay = lane.replays.get_mut(&id).ok_or_else(|| wrong("there is no such replay"))?;
            replay.behind.insert(key, behind);
        }
        if rows.len() < PAGE * 3 {
            return Ok(true);
        }
        from += PAGE;
    }
}
