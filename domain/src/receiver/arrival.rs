//! What a delivery says of itself: whose event it is, and where it stands.

use super::{InvalidSequence, Occasion, Sequence};
use crate::event::DEFAULT_SOURCE;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use thiserror::Error;

/// The header with the event's id, the same at every attempt.
pub const ID_HEADER: &str = "webhook-id";
/// The header with the event's key, percent-encoded (CloudEvents HTTP binding, section 3.1.3.2).
pub const KEY_HEADER: &str = "ce-partitionkey";
/// The header with the event's source: [`crate::DEFAULT_SOURCE`] where its producer named none.
pub const SOURCE_HEADER: &str = "ce-source";
/// The header with the event's tenant, if it has one.
pub const TENANT_HEADER: &str = "ce-lanewaytenant";
/// The header with the event's [`Sequence`].
pub const SEQUENCE_HEADER: &str = "laneway-sequence";
/// The header with the number of the attempt, from 1.
pub const ATTEMPT_HEADER: &str = "laneway-attempt";
/// The header that says `true` of what comes once more because somebody wanted that.
pub const REDRIVE_HEADER: &str = "laneway-redrive";
/// The header with the number of the replay that delivers the event again.
pub const REPLAY_HEADER: &str = "laneway-replay";

/// One event that has arrived, as far as duplicates are concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The event's id.
    pub id: String,
    /// Whose it is, if a tenant's: its keys and ids are not those of another.
    pub tenant: Option<String>,
    /// Where it comes from, if its producer said so: an id is unique within a source only. As the header has it,
    /// percent-encoded, or as the batch has it.
    pub source: Option<String>,
    /// Its key as the header has it, percent-encoded, or as the batch has it. Both spellings are
    /// unique to a key, but not the same: one table of numbers should see only one of the two.
    pub key: Option<String>,
    /// Where it stands.
    pub sequence: Sequence,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// Whether it comes once more because somebody wanted that.
    pub redrive: bool,
    /// If a replay delivers it: the number of that.
    pub replay: Option<u64>,
}

/// What a delivery lacks that every delivery of Laneway has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Unreadable {
    /// A header (or, in a batch, a member) is not there.
    #[error("it has no {0}")]
    Missing(&'static str),
    /// The sequence is none.
    #[error("{SEQUENCE_HEADER}: {0}")]
    Sequence(#[from] InvalidSequence),
    /// The attempt is not a number.
    #[error("{ATTEMPT_HEADER}: it is not a number from 1 to {}", u32::MAX)]
    Attempt,
    /// The replay's number is none.
    #[error("{REPLAY_HEADER}: it is not a number from 0 to {}", u64::MAX)]
    Replay,
}

impl Arrival {
    /// Reads the headers of a delivery of one event. `header` gives a header's value by its name in
    /// lower case, or nothing.
    ///
    /// # Errors
    /// If what every delivery has is missing: then it is not one of Laneway's, or it is a batch.
    pub fn of_headers<'h>(header: impl Fn(&str) -> Option<&'h str>) -> Result<Self, Unreadable> {
        let required = |name| header(name).ok_or(Unreadable::Missing(name));
        let attempt = required(ATTEMPT_HEADER)?.parse().ok().filter(|attempt| *attempt > 0);
        Ok(Self {
            id: required(ID_HEADER)?.to_owned(),
            tenant: header(TENANT_HEADER).map(str::to_owned),
            source: header(SOURCE_HEADER).filter(|source| *source != DEFAULT_SOURCE).map(str::to_owned),
            key: header(KEY_HEADER).map(str::to_owned),
            sequence: required(SEQUENCE_HEADER)?.parse()?,
            attempt: attempt.ok_or(Unreadable::Attempt)?,
            redrive: header(REDRIVE_HEADER) == Some("true"),
            replay: header(REPLAY_HEADER).map(str::parse).transpose().map_err(|_| Unreadable::Replay)?,
        })
    }

    /// On what occasion it comes.
    #[must_use]
    pub fn occasion(&self) -> Occasion {
        match self.replay {
            Some(replay) => Occasion::Replay(replay),
            None if self.redrive => Occasion::Redrive,
            None => Occasion::Live,
        }
    }

    /// What its number is remembered under: its key or, without one, its id, because an event
    /// without a key is ordered with no other. Each tenant has keys and ids of its own, and each source ids.
    #[must_use]
    pub fn remembered_as(&self) -> String {
        let of = self.tenant.as_ref().map(|tenant| format!("tenant:{tenant}:")).unwrap_or_default();
        match (&self.key, &self.source) {
            (Some(key), _) => format!("{of}key:{key}"),
            (None, None) => format!("{of}event:{}", self.id),
            // Neither can contain a line break.
            (None, Some(source)) => format!("{of}source:{source}\nevent:{}", self.id),
        }
    }
}

/// The members of one event of a batch (`application/cloudevents-batch+json`, a JSON array of such
/// objects) that matter here, for any JSON reader that speaks serde. All of them are under the
/// batch's signature. The whole batch is answered at once, so that its effects belong into one
/// transaction, or at least each with its own number.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct CloudEventMembers {
    /// The event's id.
    pub id: String,
    /// The event's tenant.
    pub lanewaytenant: Option<String>,
    /// The event's source.
    pub source: Option<String>,
    /// The event's key.
    pub partitionkey: Option<String>,
    /// As [`SEQUENCE_HEADER`].
    pub lanewaysequence: String,
    /// As [`ATTEMPT_HEADER`].
    pub lanewayattempt: u32,
    /// As [`REDRIVE_HEADER`].
    #[serde(default)]
    pub lanewayredrive: bool,
    /// As [`REPLAY_HEADER`]: a text, since many readers of JSON know no numbers beyond 2^53. Earlier versions wrote a
    /// number, which is taken too.
    #[serde(default, deserialize_with = "text_or_number")]
    pub lanewayreplay: Option<u64>,
}

fn text_or_number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Text(String),
        Number(u64),
    }
    match Option::deserialize(from)? {
        None => Ok(None),
        Some(Written::Number(number)) => Ok(Some(number)),
        Some(Written::Text(text)) => text.parse().map(Some).map_err(|_| D::Error::custom(Unreadable::Replay)),
    }
}

impl TryFrom<CloudEventMembers> for Arrival {
    type Error = Unreadable;

    /// # Errors
    /// If the sequence is none.
    fn try_from(members: CloudEventMembers) -> Result<Self, Unreadable> {
        Ok(Self {
            id: members.id,
            tenant: members.lanewaytenant,
            source: members.source.filter(|source| source != DEFAULT_SOURCE),
            key: members.partitionkey,
            sequence: members.lanewaysequence.parse()?,
            attempt: members.lanewayattempt,
            redrive: members.lanewayredrive,
            replay: members.lanewayreplay,
        })
    }
}
