//! `laneway-sequence`: an event's place, as a receiver reads it.

use crate::partition::{Offset, Partition};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// The longest text that is looked at: ten digits, a dash, twenty digits.
const MAX_TEXT_BYTES: usize = 31;

/// Where an event stands: `<partition>-<offset>`, for instance `3-00000000000000000041`.
///
/// Of two events of one key at one destination, the one with the larger [`Sequence::number`] is the
/// later one. Sequences of different keys say nothing of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sequence {
    /// The partition, the same for all events of a key.
    pub partition: Partition,
    /// The offset there.
    pub offset: Offset,
}

impl Sequence {
    /// The number that rises per key, and that a receiver remembers.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.offset.0
    }
}

/// A text that is no `laneway-sequence`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("it is not a laneway-sequence, such as 3-00000000000000000041")]
pub struct InvalidSequence;

impl FromStr for Sequence {
    type Err = InvalidSequence;

    /// Reads digits, a dash and digits; leading zeros mean nothing.
    ///
    /// # Errors
    /// If there is anything else, or more than 32 and 64 bits hold.
    fn from_str(text: &str) -> Result<Self, InvalidSequence> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(InvalidSequence);
        }
        let (partition, offset) = text.split_once('-').ok_or(InvalidSequence)?;
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(partition) || !digits(offset) {
            return Err(InvalidSequence);
        }
        let partition = partition.parse().map(Partition).map_err(|_| InvalidSequence)?;
        let offset = offset.parse().map(Offset).map_err(|_| InvalidSequence)?;
        Ok(Self { partition, offset })
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:020}", self.partition.0, self.offset.0)
    }
}
