//! Progress as text, and back.

use laneway_domain::{DestinationName, LaneProgress, Offset, PartitionProgress, Pause, Position, Revision, Timestamp};
use laneway_ports::StoreError;
use std::fmt;

/// Whole numbers up to this one are exact in Redis' sorted sets and in Lua: what has a larger
/// offset cannot be stored.
pub(crate) const MAX_OFFSET: Offset = Offset(1 << 53);

const SHARED: &str = "shared";
const LANE: &str = "lane:";
const PAUSED: &str = "paused:";
const BORN: &str = "born:";

/// Something in Redis that is not what the store has written.
pub(crate) fn unreadable(key: &str, what: impl fmt::Display, why: impl fmt::Display) -> StoreError {
    StoreError::refused(format!(
        "{what} of {key} in Redis cannot be read: {why}. Was it changed by hand? Mend or remove it with redis-cli"
    ))
}

pub(super) fn position(position: Position) -> String {
    match position {
        Position::Shared => SHARED.to_owned(),
        Position::At(offset) => offset.to_string(),
    }
}

/// The moment, a space, and the reason. Never empty and never `-`, which mean something else in a commit.
pub(super) fn pause(pause: &Pause) -> String {
    format!("{} {}", pause.since.as_millis(), pause.reason)
}

fn parse_pause(text: &str) -> Option<Pause> {
    let (since, reason) = text.split_once(' ')?;
    Some(Pause { since: Timestamp::from_millis(since.parse().ok()?), reason: reason.into() })
}

fn parse_position(text: &str) -> Option<Position> {
    if text == SHARED {
        return Some(Position::Shared);
    }
    text.parse().ok().map(|offset| Position::At(Offset(offset)))
}

/// Progress without the keys that are behind, and the number of commits that made it.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    pub(super) progress: PartitionProgress,
    pub(super) commits: u64,
}

impl Lanes {
    /// Reads the fields of the hash `key`. One that is not known was written by a later version, and
    /// means something there: it is refused.
    pub(super) fn parse(key: &str, fields: &[(String, String)]) -> Result<Self, StoreError> {
        let mut lanes = Self::default();
        for (field, value) in fields {
            lanes.take(field, value).map_err(|why| unreadable(key, format!("the field {field:?}"), why))?;
        }
        Ok(lanes)
    }

    fn take(&mut self, field: &str, value: &str) -> Result<(), String> {
        let wrong = |expected: &str| format!("{value:?} is not {expected}");
        if field == "scanned" {
            self.progress.scanned = Offset(value.parse().map_err(|_| wrong("an offset"))?);
        } else if field == "commits" {
            self.commits = value.parse().map_err(|_| wrong("a number"))?;
        } else if let Some(name) = field.strip_prefix(LANE) {
            self.lane(name)?.position = parse_position(value).ok_or_else(|| wrong("an offset or `shared`"))?;
        } else if let Some(name) = field.strip_prefix(PAUSED) {
            self.lane(name)?.paused = Some(parse_pause(value).ok_or_else(|| wrong("a moment and a reason"))?);
        } else if let Some(name) = field.strip_prefix(BORN) {
            self.lane(name)?.born = Revision(value.parse().map_err(|_| wrong("a revision"))?);
        } else {
            return Err("it is not known to this version".into());
        }
        Ok(())
    }

    fn lane(&mut self, name: &str) -> Result<&mut LaneProgress, String> {
        let name = DestinationName::new(name).map_err(|error| error.to_string())?;
        Ok(self.progress.lanes.entry(name).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fields(fields: &[(&str, &str)]) -> Vec<(String, String)> {
        fields.iter().map(|(field, value)| ((*field).to_owned(), (*value).to_owned())).collect()
    }

    proptest! {
        #[test]
        fn a_pause_survives_a_round_trip(since: u64, reason: String) {
            let paused = Pause { since: Timestamp::from_millis(since), reason: reason.into() };
            prop_assert_eq!(parse_pause(&pause(&paused)), Some(paused));
        }

        #[test]
        fn a_position_survives_a_round_trip(offset: u64) {
            for at in [Position::Shared, Position::At(Offset(offset))] {
                prop_assert_eq!(parse_position(&position(at)), Some(at));
            }
        }

        #[test]
        fn reading_any_field_never_panics(field: String, value: String) {
            let _ = Lanes::parse("k", &[(field, value)]);
        }
    }

    #[test]
    fn a_lane_is_read_from_its_fields() {
        let read = Lanes::parse(
            "k",
            &fields(&[
                ("scanned", "9"),
                ("commits", "3"),
                ("lane:a", "shared"),
                ("lane:b.c", "4"),
                ("paused:a", "7 410"),
                ("born:b.c", "1700000000000000"),
            ]),
        );
        let Lanes { progress, commits } = read.unwrap();
        let name = |name| DestinationName::new(name).unwrap();
        assert_eq!((progress.scanned, commits), (Offset(9), 3));
        let paused = Pause { since: Timestamp::from_millis(7), reason: "410".into() };
        assert_eq!(progress.lanes[&name("a")].paused, Some(paused));
        assert_eq!(progress.lanes[&name("b.c")].position, Position::At(Offset(4)));
        let born = ["a", "b.c"].map(|lane| progress.lanes[&name(lane)].born.0);
        assert_eq!(born, [0, 1_700_000_000_000_000]);
    }

    #[test]
    fn what_cannot_be_read_says_where_it_is() {
        for (field, value) in [
            ("scanned", "x"),
            ("lane:A", "shared"),
            ("lane:a", "-1"),
            ("paused:a", "now"),
            ("born:a", "x"),
            ("new", ""),
        ] {
            let error = Lanes::parse("{laneway:3}:progress", &fields(&[(field, value)])).unwrap_err().to_string();
            assert!(error.contains(field) && error.contains("{laneway:3}:progress"), "{error}");
        }
    }
}
