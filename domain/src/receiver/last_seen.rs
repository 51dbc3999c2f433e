//! What is remembered per key: what drops duplicates.

use super::Sequence;
use std::collections::BTreeMap;

/// On what occasion an event is delivered. [`super::Arrival::occasion`] reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// In its turn.
    Live,
    /// It is a dead letter that is retried by itself, after later events of its key.
    Redrive,
    /// A replay delivers it again, in the order of its key. Replays of a key have rising numbers: this is it.
    Replay(u64),
}

/// What a replay delivered last of one key, and took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LastReplayed {
    /// The replay's number: what `laneway-replay` said.
    pub replay: u64,
    /// The event's [`Sequence::number`].
    pub number: u64,
}

/// What has taken effect of one key: the number of its last event and, if it was ever replayed, what came last then.
///
/// To be stored in the same transaction as the effect: read it, ask [`LastSeen::is_new`], and write
/// [`LastSeen::number`] and [`LastSeen::replayed`] with what the event does, or nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LastSeen {
    number: Option<u64>,
    replayed: Option<LastReplayed>,
}

impl LastSeen {
    /// What was stored; nothing of a key that was never seen.
    #[must_use]
    pub const fn stored(number: Option<u64>, replayed: Option<LastReplayed>) -> Self {
        Self { number, replayed }
    }

    /// What is to be stored of what came in its turn.
    #[must_use]
    pub const fn number(self) -> Option<u64> {
        self.number
    }

    /// What is to be stored of what was replayed.
    #[must_use]
    pub const fn replayed(self) -> Option<LastReplayed> {
        self.replayed
    }

    /// Whether the effect of this delivery is still to be had; from then on it has been.
    ///
    /// - In its turn: if the number is larger than the last one.
    /// - Of a replay: if replay and number, in this order, are larger than the last ones. So each replay has each effect
    ///   once more, and a repetition within it has none.
    /// - A dead letter by itself: unless its number is the last one. It leaves a larger number as it is.
    pub fn is_new(&mut self, sequence: Sequence, occasion: Occasion) -> bool {
        let number = sequence.number();
        match occasion {
            Occasion::Replay(replay) => {
                let next = Some(LastReplayed { replay, number });
                let is_new = next > self.replayed;
                self.replayed = self.replayed.max(next);
                is_new
            }
            Occasion::Redrive if self.number.is_some_and(|last| number < last) => true,
            Occasion::Live | Occasion::Redrive => {
                let is_new = Some(number) > self.number;
                self.number = self.number.max(Some(number));
                is_new
            }
        }
    }
}

/// [`LastSeen`] of many keys, in memory: for receivers whose effects are in memory too, and for
/// tests. It grows with the number of keys and with nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastSeenByKey(BTreeMap<Box<str>, LastSeen>);

impl LastSeenByKey {
    /// Nothing was seen.
    #[must_use]
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// [`LastSeen::is_new`] of that key.
    pub fn is_new(&mut self, key: &str, sequence: Sequence, occasion: Occasion) -> bool {
        match self.0.get_mut(key) {
            Some(last) => last.is_new(sequence, occasion),
            None => self.0.entry(key.into()).or_default().is_new(sequence, occasion),
        }
    }
}
