//! The history of a commit as bytes: a format's number, a checksum, and what was told, packed.
//!
//! A destination's name, and an event's id and key, stand there once, however many attempts name them. The packing is
//! that of `postcard`, whose wire format is documented and does not change within its version 1.

use foldhash::fast::RandomState;
use laneway_domain::{Answer, DestinationName, Ended, EventId, Fate, History, Key, Offset, Revision, Timestamp, Told};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::time::Duration;
use xxhash_rust::xxh3::xxh3_64;

/// The format that this code writes and reads. (No release has written another one.)
const FORMAT: u8 = 2;
/// The bytes before what was told: the format, and the XXH3-64 of all that follows, the lowest byte first.
const HEAD: usize = 9;

#[derive(Serialize, Deserialize)]
struct Packed<'a> {
    /// Destinations, each with when it was made.
    #[serde(borrow)]
    to: Vec<(&'a str, u64)>,
    /// The first event's offset. Those of the others are told as differences.
    from: u64,
    events: Vec<PackedEvent<'a>>,
    attempts: Vec<PackedAttempt<'a>>,
    untold: u64,
}

#[derive(Serialize, Deserialize)]
struct PackedEvent<'a> {
    /// How much larger its offset is than that of the event before; smaller if it is negative.
    by: i64,
    #[serde(borrow)]
    id: Option<&'a str>,
    key: Option<&'a str>,
}

#[derive(Serialize, Deserialize)]
struct PackedAttempt<'a> {
    to: u32,
    event: u32,
    attempt: u32,
    /// How it ended and what came of it, as their places in [`Ended::ALL`] and [`Fate::ALL`].
    ended: u8,
    fate: u8,
    redrive: bool,
    /// How many milliseconds before the commit was made.
    before: u64,
    /// How many microseconds it took.
    took: u64,
    /// 0: there was none.
    status: u16,
    #[serde(borrow)]
    reason: Option<&'a str>,
    /// Headers and body.
    answer: Option<(&'a str, &'a str)>,
    request: Option<&'a str>,
}

/// Gives each of what it is asked for a number, from 0 on, in the order in which they come.
struct Numbers<T> {
    numbers: HashMap<T, u32, RandomState>,
    /// What it was asked for last. It is nearly always the same destination.
    last: Option<(T, u32)>,
}

impl<T: std::hash::Hash + Eq + Copy> Numbers<T> {
    /// For about so many.
    fn of_about(count: usize) -> Self {
        Self { numbers: HashMap::with_capacity_and_hasher(count, RandomState::default()), last: None }
    }

    /// The number of `one`, and whether it is a new one.
    fn of(&mut self, one: T) -> (u32, bool) {
        if let Some((_, number)) = self.last.filter(|(last, _)| *last == one) {
            return (number, false);
        }
        let next = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
        let number = *self.numbers.entry(one).or_insert(next);
        self.last = Some((one, number));
        (number, number == next)
    }
}

/// Writes what a commit told. [`History::number`] and [`History::at`] are not in it: the place says them.
#[must_use]
pub fn encoded_history(history: &History) -> Vec<u8> {
    let from = history.told.first().map_or(0, |told| told.offset.0);
    let mut packed = Packed { to: Vec::new(), from, events: Vec::new(), attempts: Vec::new(), untold: history.untold };
    let (mut destinations, mut events) = (Numbers::of_about(1), Numbers::of_about(history.told.len()));
    packed.events.reserve(history.told.len());
    packed.attempts.reserve(history.told.len());
    let mut last = from;
    for told in &history.told {
        let (to, is_new) = destinations.of((&told.destination, told.born));
        if is_new {
            packed.to.push((told.destination.as_str(), told.born.0));
        }
        let (event, is_new) = events.of((told.offset, told.id.is_some()));
        if is_new {
            let by = told.offset.0.wrapping_sub(last).cast_signed();
            let (id, key) = (told.id.as_ref().map(EventId::as_str), told.key.as_ref().map(Key::as_str));
            packed.events.push(PackedEvent { by, id, key });
            last = told.offset.0;
        }
        packed.attempts.push(PackedAttempt {
            to,
            event,
            attempt: told.attempt,
            ended: place(&Ended::ALL, told.ended),
            fate: place(&Fate::ALL, told.fate),
            redrive: told.redrive,
            before: history.at.as_millis().saturating_sub(told.at.as_millis()),
            took: u64::try_from(told.took.as_micros()).unwrap_or(u64::MAX),
            status: told.status.unwrap_or(0),
            reason: told.reason.as_deref(),
            answer: told.answer.as_ref().map(|answer| (&*answer.headers, &*answer.body)),
            request: told.request.as_deref(),
        });
    }
    let head = vec![0; HEAD];
    let mut bytes = postcard::to_extend(&packed, head).unwrap_or_else(|error| panic!("the history is packed: {error}"));
    bytes[0] = FORMAT;
    let check = xxh3_64(&bytes[HEAD..]).to_le_bytes();
    bytes[1..HEAD].copy_from_slice(&check);
    bytes
}

/// Reads what [`encoded_history`] wrote of a commit that had this number and was made at `at`.
///
/// # Errors
/// Says what is wrong: another format, another checksum, or something that no commit tells.
pub fn decoded_history(bytes: &[u8], number: u64, at: Timestamp) -> Result<History, String> {
    let (head, rest) = bytes.split_at_checked(HEAD).ok_or("it breaks off")?;
    if head[0] != FORMAT {
        return Err(format!("it has format {}, and this Laneway reads {FORMAT}", head[0]));
    }
    if head[1..] != xxh3_64(rest).to_le_bytes() {
        return Err("the checksum over it is another".to_owned());
    }
    let packed: Packed<'_> = postcard::from_bytes(rest).map_err(|error| error.to_string())?;
    let wrong = |error: &dyn std::fmt::Display| error.to_string();
    let mut to = Vec::with_capacity(packed.to.len());
    for (name, born) in packed.to {
        to.push((DestinationName::new(name).map_err(|error| wrong(&error))?, Revision(born)));
    }
    let (mut events, mut last) = (Vec::with_capacity(packed.events.len()), packed.from);
    for event in packed.events {
        last = last.wrapping_add(event.by.cast_unsigned());
        let id = event.id.map(EventId::new).transpose().map_err(|error| wrong(&error))?;
        let key = event.key.map(Key::new).transpose().map_err(|error| wrong(&error))?;
        events.push((Offset(last), id, key));
    }
    let told =
        packed.attempts.iter().map(|attempt| unpacked(attempt, &to, &events, at).ok_or("it names what is not there"));
    let told = told.collect::<Result<_, _>>()?;
    Ok(History { number, at, told, untold: packed.untold })
}

type Event = (Offset, Option<EventId>, Option<Key>);

fn unpacked(
    attempt: &PackedAttempt<'_>,
    to: &[(DestinationName, Revision)],
    events: &[Event],
    at: Timestamp,
) -> Option<Told> {
    let (destination, born) = to.get(attempt.to as usize)?.clone();
    let (offset, id, key) = events.get(attempt.event as usize)?.clone();
    Some(Told {
        destination,
        born,
        offset,
        id,
        key,
        attempt: attempt.attempt,
        redrive: attempt.redrive,
        at: at.before(Duration::from_millis(attempt.before)),
        took: Duration::from_micros(attempt.took),
        ended: *Ended::ALL.get(usize::from(attempt.ended))?,
        fate: *Fate::ALL.get(usize::from(attempt.fate))?,
        status: Some(attempt.status).filter(|status| *status != 0),
        reason: attempt.reason.map(Into::into),
        answer: attempt.answer.map(|(headers, body)| Box::new(Answer { headers: headers.into(), body: body.into() })),
        request: attempt.request.map(Into::into),
    })
}

fn place<T: Copy + PartialEq>(all: &[T], one: T) -> u8 {
    let at = all.iter().position(|each| *each == one).unwrap_or_else(|| panic!("every one is in the list"));
    u8::try_from(at).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn told() -> impl Strategy<Value = Told> {
        let event = (0_u64..6, any::<bool>(), any::<bool>()).prop_map(|(n, keyed, in_short)| {
            let offset = Offset(u64::MAX / 2 + n * 1000);
            let id = (!in_short).then(|| EventId::new(&format!("e{n}")).unwrap());
            let key = (keyed && !in_short && n % 2 == 0).then(|| Key::new("k").unwrap());
            (offset, id, key)
        });
        let numbers = (0_u64..4, 0_u32..9, 0_u64..5_000, 0_u64..9_000_000, 0_u16..600);
        let kinds = (0..Ended::ALL.len(), 0..Fate::ALL.len(), any::<bool>());
        let some = proptest::option::of::<&str>;
        let texts = (some(".{0,20}"), proptest::option::of((".{0,9}", ".{0,9}")), some(".{0,9}"));
        (event, numbers, kinds, texts).prop_map(|((offset, id, key), numbers, (ended, fate, redrive), texts)| Told {
            destination: DestinationName::new(&format!("d{}", numbers.0 % 2)).unwrap(),
            born: Revision(numbers.0),
            offset,
            // An event has the key that it has.
            key: key.filter(|_| id.is_some()),
            id,
            attempt: numbers.1,
            redrive,
            at: Timestamp::from_millis(1_000_000 - numbers.2),
            took: Duration::from_micros(numbers.3),
            ended: Ended::ALL[ended],
            fate: Fate::ALL[fate],
            status: Some(numbers.4).filter(|status| *status != 0),
            reason: texts.0.map(Into::into),
            answer: texts.1.map(|(headers, body)| Box::new(Answer { headers: headers.into(), body: body.into() })),
            request: texts.2.map(Into::into),
        })
    }

    fn history() -> impl Strategy<Value = History> {
        (proptest::collection::vec(told(), 0..20), any::<u64>(), any::<u64>()).prop_map(|(mut told, number, untold)| {
            let keys: HashMap<Offset, Option<Key>> =
                told.iter().filter(|told| told.id.is_some()).map(|told| (told.offset, told.key.clone())).collect();
            for told in told.iter_mut().filter(|told| told.id.is_some()) {
                told.key.clone_from(&keys[&told.offset]);
            }
            History { number, at: Timestamp::from_millis(1_000_000), told, untold }
        })
    }

    proptest! {
        #[test]
        fn a_history_survives_a_round_trip(history in history()) {
            let bytes = encoded_history(&history);
            prop_assert_eq!(decoded_history(&bytes, history.number, history.at), Ok(history));
        }

        #[test]
        fn what_was_altered_is_noticed(history in history(), at: proptest::sample::Index, bit in 0_u8..8) {
            let mut bytes = encoded_history(&history);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(decoded_history(&bytes, history.number, history.at).is_err());
        }

        #[test]
        fn reading_never_panics(mut bytes: Vec<u8>, sealed: bool) {
            if sealed && bytes.len() > HEAD {
                bytes[0] = FORMAT;
                let check = xxh3_64(&bytes[HEAD..]).to_le_bytes();
                bytes[1..HEAD].copy_from_slice(&check);
            }
            let _ = decoded_history(&bytes, 1, Timestamp::ZERO);
        }
    }

    /// What the pages say of the cost of an attempt: the common one, 512 in a commit, to one destination.
    #[test]
    fn a_delivery_takes_some_seventy_bytes() {
        let told = |n: u64| Told {
            destination: DestinationName::new("billing").unwrap(),
            born: Revision(1_700_000_000_000_000),
            offset: Offset(n),
            id: Some(EventId::new(&format!("0192f0c1-2345-7abc-8def-{n:012}")).unwrap()),
            key: Some(Key::new(&format!("order-{}", n % 100 + 100_000)).unwrap()),
            attempt: 1,
            redrive: false,
            at: Timestamp::from_millis(n),
            took: Duration::from_micros(700),
            ended: Ended::Delivered,
            fate: Fate::Delivered,
            status: Some(200),
            reason: None,
            answer: None,
            request: None,
        };
        let history = |told| encoded_history(&History { number: 1, at: Timestamp::from_millis(600), told, untold: 0 });
        let each = history((0..512).map(told).collect()).len() / 512;
        assert!((60..80).contains(&each), "{each} bytes");
    }
}
