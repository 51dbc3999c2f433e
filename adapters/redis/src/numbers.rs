//! What an offset is called outside.
//!
//! Redis counts offsets with doubles, so that they are below 2^53: a generation of the log in the upper 13 bits, which is
//! counted up with each loss of data. A restore begins a generation that must be above all that any copy of the store has
//! given out since the backup, which only the clock can tell, and so many bits the clock does not fit in. So in Redis the
//! restore takes the next generation, and the store's key says under which one, of the clock
//! ([`Offset::of_restore`]), it is known outside: to receivers, operators, and the rest of Laneway. A store that was never
//! restored shows its offsets as they are.

use laneway_domain::Offset;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// How many bits number the events of a generation, in Redis.
const SEQUENCE_BITS: u32 = 40;
/// How many they are outside, from the first restore on (see [`Offset::of_restore`]). No generation has more events: the
/// functions begin the next one before (`ROLLS_OVER_AT` in `lua/log.lua`).
const SHOWN_SEQUENCE_BITS: u32 = 32;

/// A restore: the generation that it has begun, as it is in Redis and as it is shown. Both count on together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Restore {
    /// As the ids of the log's entries begin; the first one is 1.
    stored: u64,
    shown: u64,
}

impl Restore {
    /// The first offset of its generation, in Redis.
    const fn begins_at(self) -> u64 {
        (self.stored - 1) << SEQUENCE_BITS
    }

    /// The same, as it is shown.
    const fn is_shown_at(self) -> u64 {
        self.shown << SHOWN_SEQUENCE_BITS
    }
}

/// What offsets are in Redis, and outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Numbers(Arc<[Restore]>);

impl Numbers {
    /// The offset as it is shown.
    pub(crate) fn shown(&self, stored: Offset) -> Offset {
        let Some(restore) = self.0.iter().rev().find(|restore| restore.begins_at() <= stored.0) else { return stored };
        let since = stored.0 - restore.begins_at();
        let (generations, sequence) = (since >> SEQUENCE_BITS, since & ((1 << SEQUENCE_BITS) - 1));
        Offset(restore.is_shown_at() + (generations << SHOWN_SEQUENCE_BITS) + sequence)
    }

    /// The offset as it is in Redis. A number that was never given out, between two generations, is where the later one
    /// begins.
    pub(crate) fn stored(&self, shown: Offset) -> Offset {
        let later = self.0.partition_point(|restore| restore.is_shown_at() <= shown.0);
        let stored = match later.checked_sub(1).and_then(|last| self.0.get(last)) {
            None => shown.0,
            Some(restore) => {
                let since = shown.0 - restore.is_shown_at();
                let (generations, sequence) = (since >> SHOWN_SEQUENCE_BITS, since & ((1 << SHOWN_SEQUENCE_BITS) - 1));
                // Far beyond what Redis can count: it is refused as such where it is written.
                generations
                    .checked_mul(1 << SEQUENCE_BITS)
                    .and_then(|offset| offset.checked_add(restore.begins_at() + sequence))
                    .unwrap_or(u64::MAX)
            }
        };
        Offset(self.0.get(later).map_or(stored, |next| stored.min(next.begins_at())))
    }

    /// The generation of the clock that the generation `stored` is shown as; `None` before the first restore.
    pub(crate) fn generation_shown(&self, stored: u64) -> Option<u64> {
        let restore = self.0.iter().rev().find(|restore| restore.stored <= stored)?;
        Some(restore.shown + (stored - restore.stored))
    }

    /// The same with one more restore, whose generation is above all that there were.
    pub(crate) fn with(&self, stored: u64, shown: u64) -> Self {
        self.0.iter().copied().chain([Restore { stored, shown }]).collect()
    }
}

impl FromIterator<Restore> for Numbers {
    fn from_iter<I: IntoIterator<Item = Restore>>(restores: I) -> Self {
        Self(restores.into_iter().collect())
    }
}

/// As the store's key has them: `<generation>=<generation outside>`, with spaces between.
impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, Restore { stored, shown }) in self.0.iter().enumerate() {
            let space = if nth == 0 { "" } else { " " };
            write!(f, "{space}{stored}={shown}")?;
        }
        Ok(())
    }
}

impl FromStr for Numbers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let one = |pair: &str| {
            let (stored, shown) = pair.split_once('=')?;
            let restore = Restore { stored: stored.parse().ok()?, shown: shown.parse().ok()? };
            // Both in their ranges: of a first generation, and of offsets below 2^63.
            let possible = (1..1 << 13).contains(&restore.stored) && restore.shown < 1 << 31;
            possible.then_some(restore)
        };
        let numbers: Option<Self> = text.split_ascii_whitespace().map(one).collect();
        let numbers = numbers.filter(|numbers| numbers.0.is_sorted_by(|a, b| a.stored < b.stored && a.shown < b.shown));
        numbers.ok_or_else(|| format!("{text:?} is no list of restores"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CLOCK: u64 = 60_000_000;

    fn numbers() -> Numbers {
        Numbers::default().with(3, CLOCK).with(6, CLOCK + 1000)
    }

    /// The offset with that number in that generation, in Redis.
    fn stored(generation: u64, sequence: u64) -> Offset {
        Offset(((generation - 1) << 40) + sequence)
    }

    #[test]
    fn what_a_restore_began_is_shown_under_the_clocks_generation_and_counted_on_from_there() {
        for (generation, sequence, shown) in [
            (1, 0, Offset(0)),
            (2, 7, Offset((1 << 40) + 7)),
            (3, 0, Offset::in_generation(CLOCK, 0)),
            (3, 9, Offset::in_generation(CLOCK, 9)),
            // Two losses since.
            (5, 1, Offset::in_generation(CLOCK + 2, 1)),
            (6, 4, Offset::in_generation(CLOCK + 1000, 4)),
        ] {
            let offset = stored(generation, sequence);
            assert_eq!((numbers().shown(offset), numbers().stored(shown)), (shown, offset), "{generation}-{sequence}");
            assert_eq!(Numbers::default().shown(offset), offset);
            assert_eq!(Numbers::default().stored(offset), offset);
        }
        assert_eq!(numbers().generation_shown(2), None);
        assert_eq!(numbers().generation_shown(5), Some(CLOCK + 2));
        assert_eq!(numbers().generation_shown(6), Some(CLOCK + 1000));
    }

    #[test]
    fn a_number_that_was_never_given_out_is_where_the_next_generation_begins() {
        for (never, begins) in [(5 << 40, 3), ((CLOCK + 900) << 32, 6), ((CLOCK + 999) << 32, 6)] {
            assert_eq!(numbers().stored(Offset(never)), stored(begins, 0), "{never}");
        }
    }

    #[test]
    fn they_are_written_as_text_and_read() {
        assert_eq!(numbers().to_string(), "3=60000000 6=60001000");
        assert_eq!("3=60000000 6=60001000".parse(), Ok(numbers()));
        assert_eq!("".parse(), Ok(Numbers::default()));
        for wrong in ["3", "x=1", "3=5 3=6", "3=6 4=5", "0=5", "8192=5", "3=2147483648", "3=5="] {
            assert!(wrong.parse::<Numbers>().is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn every_offset_is_shown_as_one_of_its_own_and_the_order_stays(
            a in (1_u64..12, 0_u64..1 << 32), b in (1_u64..12, 0_u64..1 << 32),
        ) {
            let numbers = numbers();
            let [(a, shown_a), (b, shown_b)] = [a, b].map(|(generation, sequence)| {
                let offset = stored(generation, sequence);
                (offset, numbers.shown(offset))
            });
            prop_assert_eq!(numbers.stored(shown_a), a);
            prop_assert_eq!(a.cmp(&b), shown_a.cmp(&shown_b));
        }

        #[test]
        fn any_number_has_a_place_and_the_order_stays(a: u64, b: u64) {
            let numbers = numbers();
            let (low, high) = (a.min(b), a.max(b));
            prop_assert!(numbers.stored(Offset(low)) <= numbers.stored(Offset(high)));
        }
    }
}
