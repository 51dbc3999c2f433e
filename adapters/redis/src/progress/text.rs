//! Progress as text, and back.

use crate::numbers::Numbers;
use laneway_domain::{
    DestinationName, Expiry, LaneProgress, Offset, PartitionProgress, Pause, Position, ReplayId, ReplayMark,
    ReplayProgress, Revision, Timestamp,
};
use laneway_ports::StoreError;
use std::collections::BTreeMap;
use std::fmt;

/// Whole numbers up to this one are exact in Redis' sorted sets and in Lua: what has a larger
/// offset there cannot be stored.
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

pub(super) fn position(numbers: &Numbers, position: Position) -> String {
    match position {
        Position::Shared => SHARED.to_owned(),
        Position::At(offset) => numbers.stored(offset).to_string(),
    }
}

/// The moment, a space, and the reason. Never empty and never `-`, which mean something else in a commit.
pub(super) fn pause(pause: &Pause) -> String {
    format!("{} {}", pause.since.as_millis(), pause.reason)
}

pub(super) fn mark(numbers: &Numbers, mark: ReplayMark) -> String {
    let [number, scanned] = [Offset(mark.number), mark.scanned].map(|offset| numbers.stored(offset));
    format!("{number} {scanned} {}", mark.settled)
}

fn parse_mark(numbers: &Numbers, text: &str) -> Option<ReplayMark> {
    let mut parts = text.split(' ').map(str::parse);
    let mut next = || parts.next()?.ok();
    let (number, scanned, settled) = (Offset(next()?), Offset(next()?), next()?);
    // Of one that does not run there is no number.
    let number = if number == Offset::ZERO { number } else { numbers.shown(number) };
    parts.next().is_none().then_some(ReplayMark { number: number.0, scanned: numbers.shown(scanned), settled })
}

/// Three numbers. Of a lane that never went back the last two are zero.
pub(super) fn expiry(numbers: &Numbers, expiry: Expiry) -> String {
    let below = if expiry.again_below == Offset::ZERO { Offset::ZERO } else { numbers.stored(expiry.again_below) };
    format!("{} {below} {}", expiry.expired, expiry.again_since.as_millis())
}

/// What has expired, and of a destination that was made when; from the value in the hash.
pub(super) fn parse_expiry(numbers: &Numbers, text: &str) -> Option<(Revision, Expiry)> {
    let mut parts = text.split(' ').map(str::parse);
    let mut next = || parts.next()?.ok();
    let (born, expired, below, since) = (next()?, next()?, Offset(next()?), next()?);
    let again_below = if below == Offset::ZERO { below } else { numbers.shown(below) };
    let expiry = Expiry { expired, again_below, again_since: Timestamp::from_millis(since) };
    parts.next().is_none().then_some((Revision(born), expiry))
}

/// The replays of a destination, without the keys behind, from the fields of the hash `key`; and the last number that one
/// was given.
pub(super) fn parse_replays(
    numbers: &Numbers,
    key: &str,
    fields: &[(String, String)],
) -> Result<(BTreeMap<ReplayId, ReplayProgress>, u64), StoreError> {
    let (mut specs, mut marks, mut last) = (BTreeMap::new(), BTreeMap::new(), 0);
    for (field, value) in fields {
        let wrong = |why: String| unreadable(key, format!("the field {field:?}"), why);
        let id = |id: &str| ReplayId::new(id).map_err(|error| wrong(error.to_string()));
        match field.split_once(':') {
            None if field == "last" => {
                last = numbers.shown(Offset(value.parse().map_err(|_| wrong("it is no number".into()))?)).0
            }
            Some(("spec", of)) => {
                let spec = serde_json::from_str(value).map_err(|error| wrong(error.to_string()))?;
                specs.insert(id(of)?, ReplayProgress::new(spec));
            }
            Some(("mark", of)) => {
                let mark = parse_mark(numbers, value).ok_or_else(|| wrong("these are no three numbers".into()))?;
                marks.insert(id(of)?, mark);
            }
            // The functions look at it; it is in the spec too.
            Some(("until", _)) => {}
            _ => return Err(wrong("it is not known to this version".into())),
        }
    }
    for (id, mark) in marks {
        let of =
            specs.get_mut(&id).ok_or_else(|| unreadable(key, format!("the replay {id}"), "nothing says what it is"))?;
        of.mark = mark;
    }
    Ok((specs, last))
}

fn parse_pause(text: &str) -> Option<Pause> {
    let (since, reason) = text.split_once(' ')?;
    Some(Pause { since: Timestamp::from_millis(since.parse().ok()?), reason: reason.into() })
}

fn parse_position(numbers: &Numbers, text: &str) -> Option<Position> {
    if text == SHARED {
        return Some(Position::Shared);
    }
    text.parse().ok().map(|offset| Position::At(numbers.shown(Offset(offset))))
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
    pub(super) fn parse(numbers: &Numbers, key: &str, fields: &[(String, String)]) -> Result<Self, StoreError> {
        let mut lanes = Self::default();
        for (field, value) in fields {
            lanes.take(numbers, field, value).map_err(|why| unreadable(key, format!("the field {field:?}"), why))?;
        }
        Ok(lanes)
    }

    fn take(&mut self, numbers: &Numbers, field: &str, value: &str) -> Result<(), String> {
        let wrong = |expected: &str| format!("{value:?} is not {expected}");
        if field == "scanned" {
            self.progress.scanned = numbers.shown(Offset(value.parse().map_err(|_| wrong("an offset"))?));
        } else if field == "commits" {
            self.commits = value.parse().map_err(|_| wrong("a number"))?;
        } else if let Some(name) = field.strip_prefix(LANE) {
            self.lane(name)?.position = parse_position(numbers, value).ok_or_else(|| wrong("an offset or `shared`"))?;
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

/// Where a record of the history stands, as text. Places of one length are in order as texts, too.
pub(crate) fn place(epoch: u64, number: u64) -> String {
    format!("{epoch:016x}-{number:016x}")
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
        fn what_has_expired_survives_a_round_trip(expired: u64, below in 0..1_u64 << 40, since: u64, born: u64) {
            for numbers in [Numbers::default(), Numbers::default().with(1, 60_000_000)] {
                let again_below = if below == 0 { Offset::ZERO } else { numbers.shown(Offset(below)) };
                let of = Expiry { expired, again_below, again_since: Timestamp::from_millis(since) };
                let text = format!("{born} {}", expiry(&numbers, of));
                prop_assert_eq!(parse_expiry(&numbers, &text), Some((Revision(born), of)));
            }
        }

        #[test]
        fn a_position_survives_a_round_trip(offset in 0..1_u64 << 40) {
            for numbers in [Numbers::default(), Numbers::default().with(1, 60_000_000)] {
                for at in [Position::Shared, Position::At(numbers.shown(Offset(offset)))] {
                    prop_assert_eq!(parse_position(&numbers, &position(&numbers, at)), Some(at));
                }
            }
        }

        #[test]
        fn reading_any_field_never_panics(field: String, value: String) {
            let _ = Lanes::parse(&Numbers::default(), "k", &[(field, value)]);
        }
    }

    #[test]
    fn a_lane_is_read_from_its_fields() {
        let read = Lanes::parse(
            &Numbers::default(),
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
            let error = Lanes::parse(&Numbers::default(), "{laneway:3}:progress", &fields(&[(field, value)]))
                .unwrap_err()
                .to_string();
            assert!(error.contains(field) && error.contains("{laneway:3}:progress"), "{error}");
        }
    }
}
