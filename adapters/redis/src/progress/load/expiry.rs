//! Reading what of destinations has expired, in pages.

use super::{PAGE, pairs};
use crate::connect::Redis;
use crate::failure::Effect;
use crate::progress::answer;
use crate::progress::names::Names;
use crate::progress::text::{Lanes, parse_expiry, unreadable};
use bytes::Bytes;
use laneway_domain::DestinationName;
use laneway_ports::StoreError;

/// Adds it to what was loaded. `false` if a commit came meanwhile.
pub(super) async fn load(redis: &Redis, names: &Names<'_>, lanes: &mut Lanes) -> Result<bool, StoreError> {
    let keys = [names.progress(), names.expiry()];
    let mut cursor = "0".to_owned();
    loop {
        let args = [cursor, PAGE.to_string()].map(Bytes::from).into();
        let answer = redis.call("laneway_load_expiry", Effect::Reads, &keys, args).await?;
        let [commits, next, fields] = answer::exactly(answer)?;
        if answer::number(&commits)? != lanes.commits {
            return Ok(false);
        }
        for (name, said) in pairs(answer::texts(fields)?) {
            let wrong = |why: String| unreadable(&keys[1], format!("the field {name:?}"), why);
            let of = DestinationName::new(&name).map_err(|error| wrong(error.to_string()))?;
            let (born, expiry) = parse_expiry(names.numbers(), &said)
                .ok_or_else(|| wrong(format!("{said:?} is not a revision and three numbers")))?;
            // A release that does not know it may have dropped the destination, and somebody has made it anew.
            if let Some(lane) = lanes.progress.lanes.get_mut(&of).filter(|lane| lane.born == born) {
                lane.expiry = expiry;
            }
        }
        cursor = answer::text(&next)?;
        if cursor == "0" {
            return Ok(true);
        }
    }
}
