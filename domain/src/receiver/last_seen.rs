//! One number per key: what drops duplicates.

use super::Sequence;
use std::collections::BTreeMap;

/// The number of the last event of one key that took effect, if there was one.
///
/// To be stored in the same transaction as the effect: read it, ask [`LastSeen::is_new`], and write
/// [`LastSeen::number`] with what the event does, or nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LastSeen(Option<u64>);

impl LastSeen {
    /// What was stored; `None` of a key that was never seen.
    #[must_use]
    pub const fn stored(number: Option<u64>) -> Self {
        Self(number)
    }

    /// What is to be stored.
    #[must_use]
    pub const fn number(self) -> Option<u64> {
        self.0
    }

    /// Whether this event of the key has not taken effect yet; from then on it has.
    ///
    /// `redrive` is what `laneway-redrive` says: a dead letter that comes once more, after later
    /// events of its key. It is new unless its number is the last one, and it leaves a larger
    /// number as it is.
    pub fn is_new(&mut self, sequence: Sequence, redrive: bool) -> bool {
        let number = sequence.number();
        match self.0 {
            Some(last) if number == last => false,
            Some(last) if number < last => redrive,
            _ => {
                self.0 = Some(number);
                true
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
    pub fn is_new(&mut self, key: &str, sequence: Sequence, redrive: bool) -> bool {
        match self.0.get_mut(key) {
            Some(last) => last.is_new(sequence, redrive),
            None => self.0.entry(key.into()).or_default().is_new(sequence, redrive),
        }
    }
}
