//! A dead letter as text: four lines, of which a commit writes the last two and Redis adds the
//! first two from the event that it copies.
//!
//! ```text
//! <event id>
//! <event key, or nothing>
//! <what it was ordered with>
//! {"at":…,"reason":"…","retry":{…}}
//! ```
//! Neither ids nor keys can contain a line break, and JSON writes none.

use crate::numbers::Numbers;
use crate::progress::{Names, unreadable};
use laneway_domain::{
    Backoff, DeadLetter, DestinationName, EventId, EventType, Failure, GivenUp, LaneKey, Offset, RetryState, Tenant,
    Timestamp,
};
use laneway_ports::StoreError;
use serde::{Deserialize, Serialize};

/// The fourth line.
#[derive(Debug, Serialize, Deserialize)]
struct Fate {
    at: Timestamp,
    reason: Box<str>,
    retry: RetryState,
}

/// The name of the dead letter of `destination` at `offset`. Names are ordered as (offset,
/// destination) are: 16 digits hold all offsets that Redis can count (see [`crate::numbers`]).
pub(crate) fn name(numbers: &Numbers, offset: Offset, destination: &DestinationName) -> String {
    format!("{:016}:{destination}", numbers.stored(offset).0)
}

/// The offset and the destination of a name in `key`.
pub(crate) fn parse_name(numbers: &Numbers, key: &str, name: &str) -> Result<(Offset, DestinationName), StoreError> {
    let parse = || {
        let (offset, destination) = name.split_once(':')?;
        let found = (numbers.shown(Offset(offset.parse().ok()?)), DestinationName::new(destination).ok()?);
        // Who writes it in another way means one that nothing finds by its offset and destination.
        Some(found).filter(|(offset, destination)| self::name(numbers, *offset, destination) == name)
    };
    parse().ok_or_else(|| unreadable(key, format!("the name {name:?}"), "it is not <offset>:<destination>"))
}

/// A value as JSON on one line.
pub(crate) fn json(value: &impl Serialize) -> String {
    // Writing to a string does not fail, and what is written here (numbers, texts, lists of them)
    // is always JSON.
    serde_json::to_string(value).unwrap_or_default()
}

/// The last two lines.
pub(crate) fn rest(given_up: &GivenUp) -> String {
    let fate = Fate { at: given_up.at, reason: given_up.reason.clone(), retry: given_up.retry.clone() };
    format!("{}\n{}", given_up.key, json(&fate))
}

/// The last two lines of the dead letter `name`, which the partition has with `text`, once its retry has failed. What
/// cannot be read of it stays as it is: it is for people, and a commit must not fail because of it.
pub(crate) fn failed(names: &Names<'_>, (name, text): (&str, &str), failure: &Failure) -> String {
    let mut lines = text.splitn(4, '\n').skip(2);
    let (key, fate) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    match serde_json::from_str::<Fate>(fate) {
        Ok(fate) => {
            let retry = Backoff::note(Some(fate.retry), failure.clone());
            format!("{key}\n{}", json(&Fate { retry, ..fate }))
        }
        Err(error) => {
            tracing::warn!("{}", unreadable(&names.dead(), format!("the dead letter {name:?}"), error));
            format!("{key}\n{fate}")
        }
    }
}

/// [`parse`] of bytes that somebody, or a disk, may have damaged.
pub(crate) fn read(
    names: &Names<'_>,
    (name, text): (&[u8], &[u8]),
    (event_type, tenant): (&[u8], &[u8]),
    retry_requested: bool,
) -> Result<DeadLetter, StoreError> {
    // What is no text is no name either.
    let name = String::from_utf8_lossy(name);
    let text = std::str::from_utf8(text)
        .map_err(|error| unreadable(&names.dead(), format!("the dead letter {name:?}"), error))?;
    let [event_type, tenant] = [event_type, tenant].map(|text| std::str::from_utf8(text).unwrap_or_default());
    parse(names, (&name, text), (event_type, tenant), retry_requested)
}

/// Reads the dead letter `name`, which the partition has with `text`, of an event of this type and tenant: of none, if
/// its copy cannot be read.
fn parse(
    names: &Names<'_>,
    (name, text): (&str, &str),
    (event_type, tenant): (&str, &str),
    retry_requested: bool,
) -> Result<DeadLetter, StoreError> {
    let (key, partition) = (names.dead(), names.partition());
    let (offset, destination) = parse_name(names.numbers(), &key, name)?;
    let wrong = |why: &dyn std::fmt::Display| unreadable(&key, format!("the dead letter {name:?}"), why);
    let mut lines = text.splitn(4, '\n');
    let (Some(id), Some(_), Some(lane_key), Some(fate)) = (lines.next(), lines.next(), lines.next(), lines.next())
    else {
        return Err(wrong(&"it has fewer than four lines"));
    };
    let event_id = EventId::new(id).map_err(|error| wrong(&error))?;
    let lane_key = LaneKey::parse(lane_key).ok_or_else(|| wrong(&"its third line is not what it was ordered with"))?;
    let fate: Fate = serde_json::from_str(fate).map_err(|error| wrong(&error))?;
    let given_up = GivenUp { destination, offset, key: lane_key, at: fate.at, reason: fate.reason, retry: fate.retry };
    let (event_type, tenant) = (EventType::new(event_type).ok(), Tenant::new(tenant).ok());
    Ok(DeadLetter { partition, given_up, event_id, event_type, tenant, retry_requested })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Keys;
    use laneway_domain::{Key, Partition};
    use proptest::prelude::*;

    /// A store that was never restored, and one that was.
    fn numberings() -> [Numbers; 2] {
        [Numbers::default(), Numbers::default().with(2, 60_000_000)]
    }

    fn destination() -> DestinationName {
        DestinationName::new("billing").unwrap()
    }

    proptest! {
        #[test]
        fn a_dead_letter_survives_a_round_trip(reason: String, failed: String, at: u64, offset in 0..1_u64 << 40) {
            let retry = Backoff::note(None, Failure::new(Timestamp::from_millis(at), &failed));
            let given_up = GivenUp {
                destination: destination(),
                offset: Offset(offset),
                key: LaneKey::Key(Key::new("a:b'ü").unwrap()),
                at: Timestamp::from_millis(at),
                reason: reason.into(),
                retry,
            };
            for numbers in numberings() {
                let name = name(&numbers, given_up.offset, &destination());
                let text = format!("evt_1\nk\n{}", rest(&given_up));
                let keys = Keys::new("k").numbered(numbers);
                let letter = parse(&Names::new(&keys, Partition(3)), (&name, &text), ("t", "acme"), true).unwrap();
                let event_id = EventId::new("evt_1").unwrap();
                let expected = DeadLetter {
                    partition: Partition(3),
                    given_up: given_up.clone(),
                    event_id,
                    event_type: EventType::new("t").ok(),
                    tenant: Tenant::new("acme").ok(),
                    retry_requested: true,
                };
                prop_assert_eq!(letter, expected);
            }
        }

        #[test]
        fn reading_any_text_never_panics(name: String, text: String) {
            let _ = parse(&Names::new(&Keys::new("k"), Partition(0)), (&name, &text), (&name, &name), false);
        }

        #[test]
        fn names_are_ordered_as_offsets_are(a in 0..1_u64 << 32, b in 0..1_u64 << 32) {
            for numbers in numberings() {
                let of = |offset| name(&numbers, numbers.shown(Offset(offset)), &destination());
                prop_assert_eq!(of(a).cmp(&of(b)), a.cmp(&b));
            }
        }
    }

    #[test]
    fn a_failed_retry_is_noted_and_what_cannot_be_read_stays() {
        let keys = Keys::new("laneway");
        let names = Names::new(&keys, Partition(1));
        let failed = |text: &str| {
            let failure = Failure::new(Timestamp::from_millis(9), "answered 500");
            failed(&names, ("0000000000000007:billing", text), &failure)
        };
        let retry = Backoff::note(None, Failure::new(Timestamp::from_millis(1), "answered 503"));
        let fate = json(&Fate { at: Timestamp::from_millis(2), reason: "limit".into(), retry });
        for id in ["evt_1", ""] {
            let rest = failed(&format!("{id}\nk\nkey:k\n{fate}"));
            let (key, fate) = rest.split_once('\n').unwrap();
            let fate: Fate = serde_json::from_str(fate).unwrap();
            assert_eq!((key, fate.at, fate.retry.attempts), ("key:k", Timestamp::from_millis(2), 2), "{id}");
        }
        assert_eq!(failed("evt_1\nk\nkey:k\n{"), "key:k\n{");
        assert_eq!(failed(""), "\n");
    }

    #[test]
    fn what_cannot_be_read_says_which_it_is() {
        let name = name(&Numbers::default(), Offset(7), &destination());
        for text in ["", "evt_1\n\nall", "evt_1\n\nnone\n{}", "evt_1\n\nall\n{}"] {
            let keys = Keys::new("laneway");
            let error =
                parse(&Names::new(&keys, Partition(1)), (&name, text), ("t", ""), false).unwrap_err().to_string();
            assert!(error.contains("{laneway:1}:dead") && error.contains("0000000000000007:billing"), "{error}");
        }
    }
}
