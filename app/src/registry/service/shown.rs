//! A record as it is shown.

use super::super::stored::{Stored, moment};
use laneway_domain::{Registered, Standing};
use laneway_ports::{DestinationRecord, DestinationState, PauseRecord};
use serde_json::Value as Json;

/// The most pages of the registry that are looked through for one page of a list.
pub(super) const PAGES_LOOKED_AT: usize = 20;

pub(super) fn record(record: &Registered) -> DestinationRecord {
    // What cannot be read is told by the destination's status; the rest of the record stands.
    let settings = Stored::of(record).map(|stored| stored.shown()).unwrap_or_default();
    let state = match record.standing {
        Standing::Left | Standing::Deleted => DestinationState::Left,
        Standing::Present if record.paused.is_some() || settings.get("paused") == Some(&Json::Bool(true)) => {
            DestinationState::Paused
        }
        Standing::Present => DestinationState::Active,
    };
    DestinationRecord {
        name: record.name.clone(),
        tenant: record.name.tenant(),
        revision: record.revision,
        made_at: record.born,
        origin: record.origin,
        state,
        paused: record
            .paused
            .as_ref()
            .map(|pause| PauseRecord { since: moment(pause.since), reason: pause.reason.to_string() }),
        settings,
    }
}
