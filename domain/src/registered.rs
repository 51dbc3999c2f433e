//! What the registry keeps of each destination, and what a change makes of it.
//!
//! The registry is the store's: every process that shares a store sees the same destinations. A store only keeps
//! records and numbers changes ([`Revision`]); what a change means is decided here.

use crate::destination::DestinationName;
use crate::filter::{Filter, Filters};
use crate::revision::Revision;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Who may change a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The configuration file.
    File,
    /// The HTTP interface.
    Api,
}

/// Whether a destination is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// It gets events.
    Present,
    /// The configuration file names it no longer. Its progress is kept, and with it the log from there on.
    Left,
    /// It is gone, with everything that waited for it. The record stays, so that whoever was away learns of it.
    Deleted,
}

/// That an operator paused a destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorPause {
    /// Since when.
    pub since: Timestamp,
    /// Why, in the operator's words; may be empty.
    pub reason: Box<str>,
}

/// The registry's record of a destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// Its name.
    pub name: DestinationName,
    /// When it was made. A name that was deleted and made again is another destination.
    pub born: Revision,
    /// When it was changed last.
    pub revision: Revision,
    /// Who may change it.
    pub origin: Origin,
    /// Whether it is there.
    pub standing: Standing,
    /// Whether an operator paused it.
    pub paused: Option<OperatorPause>,
    /// Its settings, as JSON that only the shell reads.
    pub settings: Box<str>,
    /// Which events it wants, and wanted before.
    pub filters: Filters,
    /// Since when it sends to where it sends now.
    pub target_since: Revision,
    /// Whether it is of the first change that the store ever had: nobody could have taken what is in the log, so that
    /// it begins there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_first: bool,
    /// Whether the registry knew nothing of this name when it was made, not even a deletion. See
    /// [`crate::Destination::takes_over`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub takes_over: bool,
}

/// What somebody wants of a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// It is to be there, with these settings.
    Put {
        /// Whose it is.
        origin: Origin,
        /// Its settings, as JSON.
        settings: Box<str>,
        /// Which events it wants.
        filter: Filter,
        /// Whether it sends to another place than the settings before said.
        moved: bool,
        /// Whether one of the other origin may be taken over, with its progress.
        adopt: bool,
    },
    /// The configuration file no longer names it.
    Leave,
    /// It is to be gone, with all that waits for it.
    Delete,
    /// No attempts any more.
    Pause(OperatorPause),
    /// Attempts again.
    Resume,
}

/// Why a change was not made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refused {
    /// There is no such destination.
    #[error("there is no destination of this name")]
    Unknown,
    /// The other side made it.
    #[error("{}", match .0 {
        Origin::File => "the configuration file defines this destination: change it there, then send Laneway a SIGHUP",
        Origin::Api => "this destination was made over the HTTP interface: change it there, or adopt it",
    })]
    Foreign(Origin),
}

impl Registered {
    /// What a change makes of a destination, of which the registry has `before`. `Ok(None)`: it is so already.
    ///
    /// `initial`: whether the store has never had a registry. Then a destination of the file may have progress of a
    /// version without one, and is the one that it was ([`Revision::ORIGIN`]). One of the interface is the first. A
    /// registry that is empty because it was lost is not initial.
    ///
    /// # Errors
    /// If there is nothing to change, or it is not the caller's to change.
    pub fn edited(
        before: Option<&Self>,
        name: &DestinationName,
        edit: Edit,
        revision: Revision,
        initial: bool,
    ) -> Result<Option<Self>, Refused> {
        let alive = before.filter(|record| record.standing != Standing::Deleted);
        let after = match edit {
            Edit::Put { origin, settings, filter, moved, adopt } => match alive {
                None => Self {
                    takes_over: before.is_none(),
                    ..Self::made(name, origin, settings, filter, revision, initial)
                },
                Some(record) if record.origin != origin && !adopt => return Err(Refused::Foreign(record.origin)),
                Some(record) => Self {
                    origin,
                    standing: Standing::Present,
                    settings,
                    filters: record.filters.changed(filter, revision),
                    target_since: if moved { revision } else { record.target_since },
                    ..record.clone()
                },
            },
            Edit::Leave => match alive {
                Some(record) if record.origin == Origin::File => Self { standing: Standing::Left, ..record.clone() },
                Some(record) => return Err(Refused::Foreign(record.origin)),
                None => return Err(Refused::Unknown),
            },
            Edit::Delete => match alive {
                Some(record) if record.origin == Origin::File && record.standing == Standing::Present => {
                    return Err(Refused::Foreign(Origin::File));
                }
                Some(record) => Self {
                    standing: Standing::Deleted,
                    paused: None,
                    settings: "null".into(),
                    filters: Filters::default(),
                    ..record.clone()
                },
                None => return Err(Refused::Unknown),
            },
            Edit::Pause(pause) => match alive {
                // Who paused it first, and why, stays.
                Some(record) => Self { paused: record.paused.clone().or(Some(pause)), ..record.clone() },
                None => return Err(Refused::Unknown),
            },
            Edit::Resume => match alive {
                Some(record) => Self { paused: None, ..record.clone() },
                None => return Err(Refused::Unknown),
            },
        };
        Ok((before != Some(&after)).then_some(Self { revision, ..after }))
    }

    fn made(
        name: &DestinationName,
        origin: Origin,
        settings: Box<str>,
        filter: Filter,
        revision: Revision,
        initial: bool,
    ) -> Self {
        let born = if initial && origin == Origin::File { Revision::ORIGIN } else { revision };
        Self {
            name: name.clone(),
            born,
            revision: born,
            origin,
            standing: Standing::Present,
            paused: None,
            settings,
            filters: Filters { current: filter, since: born, former: Vec::new() },
            target_since: born,
            is_first: initial && origin == Origin::Api,
            takes_over: false,
        }
    }
}

#[cfg(test)]
mod tests;
