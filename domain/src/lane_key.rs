//! What the events of a lane are ordered by.

use crate::event::Key;
use crate::partition::Offset;
use std::fmt;

/// What the events of a lane are ordered by, and so what can fall behind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LaneKey {
    /// An event by itself: it has no key, or the destination's ordering is `none`.
    Event(Offset),
    /// The events of one key.
    Key(Key),
    /// The whole lane: the destination's ordering is `strict`.
    All,
}

impl LaneKey {
    /// Reads what [`fmt::Display`] wrote: `event:<offset>`, `key:<key>` or `all`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once(':') {
            Some(("event", offset)) => offset.parse().ok().map(|offset| Self::Event(Offset(offset))),
            Some(("key", key)) => Key::new(key).ok().map(Self::Key),
            _ => (text == "all").then_some(Self::All),
        }
    }
}

impl fmt::Display for LaneKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event(offset) => write!(f, "event:{offset}"),
            Self::Key(key) => write!(f, "key:{key}"),
            Self::All => f.write_str("all"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_lane_key_survives_a_round_trip(text in "[^\\p{Cc}]{1,40}", offset: u64) {
            for key in [LaneKey::Key(Key::new(&text).unwrap()), LaneKey::Event(Offset(offset)), LaneKey::All] {
                prop_assert_eq!(LaneKey::parse(&key.to_string()), Some(key));
            }
        }

        #[test]
        fn reading_a_lane_key_never_panics(text: String) {
            let _ = LaneKey::parse(&text);
        }
    }
}
