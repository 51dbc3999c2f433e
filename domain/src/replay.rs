//! Replays: what is to be delivered once more, and to whom it is said in which words.

use crate::destination::Ordering;
use crate::event::{Event, EventId, Key};
use crate::filter::TypePattern;
use crate::lane_key::LaneKey;
use crate::partition::{Offset, Partition};
use crate::tenant::Tenant;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use thiserror::Error;

/// The most bytes of a replay's id.
pub const MAX_REPLAY_ID_BYTES: usize = 64;
/// The most types, keys and events, each, that a replay chooses by. The record of a replay has them, in each partition.
pub const MAX_REPLAY_CHOICES: usize = 100;
/// The most replays that a destination has in a partition, those included that are done. Beyond it the oldest that are
/// done are forgotten, and where none is, there can be no other.
pub const MAX_REPLAYS: usize = 50;

/// What a replay is called, by whoever wants it: 1 to 64 of `a`–`z`, `A`–`Z`, `0`–`9`, `-`, `_` and `.`, beginning with a
/// letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ReplayId(Box<str>);

/// Why a text cannot be a replay's id.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{0:?} cannot be a replay's id: use 1 to 64 of a-z, A-Z, 0-9, '-', '_' and '.', beginning with a letter or digit"
)]
pub struct InvalidReplayId(pub String);

impl ReplayId {
    /// Checks `id`.
    ///
    /// # Errors
    /// If it is empty, too long, or has other characters.
    pub fn new(id: &str) -> Result<Self, InvalidReplayId> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        let begins_well = id.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        if begins_well && id.len() <= MAX_REPLAY_ID_BYTES && id.bytes().all(allowed) {
            Ok(Self(id.into()))
        } else {
            Err(InvalidReplayId(id.into()))
        }
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ReplayId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for ReplayId {
    type Error = InvalidReplayId;
    fn try_from(id: String) -> Result<Self, InvalidReplayId> {
        Self::new(&id)
    }
}

impl From<ReplayId> for String {
    fn from(id: ReplayId) -> Self {
        id.0.into()
    }
}

/// Which of the settled events a replay delivers again. Each list that is empty leaves all in; an event has to be in
/// each of the others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// Those of this tenant, and the keys of this tenant. `None` with keys: keys that no tenant has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// Those of these types.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<TypePattern>,
    /// Those of these keys.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub keys: BTreeSet<Key>,
    /// These, by their ids.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub events: BTreeSet<EventId>,
}

impl Selection {
    /// Whether an event is chosen.
    #[must_use]
    pub fn picks(&self, event: &Event) -> bool {
        let of_types = self.types.is_empty() || self.types.iter().any(|of| of.matches(event.event_type.as_str()));
        let of_keys = self.keys.is_empty() || event.key.as_ref().is_some_and(|key| self.keys.contains(key));
        let one_of = self.events.is_empty() || self.events.contains(&event.id);
        of_types && of_keys && one_of && (!self.is_of_one_owner() || self.tenant == event.tenant)
    }

    /// Whether all events that it chooses are those of its tenant; of `None`: those without.
    fn is_of_one_owner(&self) -> bool {
        self.tenant.is_some() || !self.keys.is_empty()
    }

    /// Whether an event of one key can be chosen by both.
    fn overlaps(&self, other: &Self) -> bool {
        if self.is_of_one_owner() && other.is_of_one_owner() && self.tenant != other.tenant {
            return false;
        }
        self.keys.is_empty() || other.keys.is_empty() || !self.keys.is_disjoint(&other.keys)
    }
}

/// What somebody wants replayed, in every partition that it is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayOrder {
    /// When it was asked for. Of several that touch the same keys the older one goes first.
    pub asked_at: Timestamp,
    /// Of which offsets, in each partition.
    pub ranges: BTreeMap<Partition, Range<Offset>>,
    /// Which events of them.
    pub selection: Selection,
    /// Whether nothing else goes to the destination before them.
    pub first: bool,
}

/// What is replayed in one partition: said once, and never changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplaySpec {
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// From there on.
    pub from: Offset,
    /// Up to there, without it: what the destination had looked at when the partition took the replay over, or less.
    pub until: Offset,
    /// Which of the events between that were settled.
    pub selection: Selection,
    /// Whether live events wait for all of them.
    pub first: bool,
}

impl ReplaySpec {
    /// Whether live events wait for it: those of its keys, or all.
    pub(crate) fn holds(&self) -> bool {
        self.first || !self.selection.keys.is_empty()
    }

    /// Whether the other one is to be done before, if both touch the same keys. Those that live events wait for go
    /// before the others.
    pub(crate) fn gives_way(&self, id: &ReplayId, (other_id, other): (&ReplayId, &Self)) -> bool {
        self.overlaps(other) && (!other.holds(), other.asked_at, other_id) < (!self.holds(), self.asked_at, id)
    }

    /// Whether both may touch the same keys, so that they cannot run side by side.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.selection.overlaps(&other.selection) || self.first || other.first
    }

    /// What waits for it before it has looked at all of its events, in a lane of this ordering.
    pub(crate) fn holds_at_first(&self, ordering: Ordering) -> Held {
        match ordering {
            _ if self.first => Held::All,
            _ if self.selection.keys.is_empty() => Held::default(),
            Ordering::Key => {
                let tenant = self.selection.tenant.as_ref();
                Held::Keys(self.selection.keys.iter().map(|key| LaneKey::of(tenant, key)).collect())
            }
            Ordering::Strict => Held::All,
            // Nothing there has an order that could be kept.
            Ordering::None => Held::default(),
        }
    }
}

/// Where a replay is in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReplayState {
    /// It was asked for, and is not stored: a crash would forget it.
    Asked,
    /// It is stored, and waits until others that may touch its keys are done.
    Waiting,
    /// It runs.
    Running,
    /// All of it was delivered, or given up.
    Done,
    /// Nobody wants it any more, and that is not stored yet.
    Ending,
}

/// How far a replay has come in one partition, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayPart {
    /// The partition.
    pub partition: Partition,
    /// Where it is.
    pub state: ReplayState,
    /// The first offset that it looks at.
    pub from: Offset,
    /// The first offset behind what it looks at.
    pub until: Offset,
    /// How far it has looked; some keys may be behind.
    pub scanned: Offset,
    /// How many events it has delivered again, or given up. A crash may leave some out.
    pub settled: u64,
    /// How many keys are behind.
    pub keys_behind: u64,
    /// What its deliveries say; 0 while it does not run.
    pub number: u64,
}

/// A replay, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayStatus {
    /// What it is called.
    pub id: ReplayId,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// Which events it chooses.
    pub selection: Selection,
    /// Whether all live events wait for it.
    pub first: bool,
    /// Where it is in each partition that it is about.
    pub partitions: Vec<ReplayPart>,
}

impl ReplayStatus {
    /// Where it is as a whole: where the partition is that has most to do.
    #[must_use]
    pub fn state(&self) -> ReplayState {
        let order = [ReplayState::Ending, ReplayState::Asked, ReplayState::Running, ReplayState::Waiting];
        let any = |state: &ReplayState| self.partitions.iter().any(|part| part.state == *state);
        order.into_iter().find(any).unwrap_or(ReplayState::Done)
    }

    /// Adds what another worker says of it.
    pub(crate) fn add(&mut self, other: Self) {
        self.partitions.extend(other.partitions);
        self.partitions.sort_unstable_by_key(|part| part.partition);
        // Should two say that they work on a partition, one of them has just lost it.
        self.partitions.dedup_by_key(|part| part.partition);
    }
}

/// What of a lane waits for replays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// Everything.
    All,
    /// What is ordered with these.
    Keys(BTreeSet<LaneKey>),
}

impl Default for Held {
    /// Nothing.
    fn default() -> Self {
        Self::Keys(BTreeSet::new())
    }
}

impl Held {
    /// What waits for either.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Keys(mut some), Self::Keys(others)) => {
                some.extend(others);
                Self::Keys(some)
            }
            _ => Self::All,
        }
    }

    /// Whether this waits.
    pub(crate) fn has(&self, key: &LaneKey) -> bool {
        match self {
            Self::All => true,
            Self::Keys(keys) => keys.contains(key),
        }
    }

    /// Whether all that waits for it waits for `other`, too.
    pub(crate) fn is_within(&self, other: &Self) -> bool {
        match self {
            Self::All => *other == Self::All,
            Self::Keys(keys) => keys.iter().all(|key| other.has(key)),
        }
    }

    pub(crate) fn is_nothing(&self) -> bool {
        matches!(self, Self::Keys(keys) if keys.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventType;

    fn event(event_type: &str, key: Option<&str>, id: &str) -> Event {
        Event {
            key: key.map(|key| Key::new(key).unwrap()),
            ..Event::new(EventId::new(id).unwrap(), EventType::new(event_type).unwrap(), bytes::Bytes::new())
        }
    }

    #[test]
    fn an_event_has_to_be_in_every_list_that_is_not_empty() {
        let types = vec![TypePattern::new("order.*").unwrap(), TypePattern::new("x").unwrap()];
        let keys = BTreeSet::from([Key::new("a").unwrap(), Key::new("b").unwrap()]);
        let events = BTreeSet::from([EventId::new("1").unwrap()]);
        let of = |types: &[TypePattern], keys: &BTreeSet<Key>, events: &BTreeSet<EventId>| Selection {
            tenant: None,
            types: types.to_vec(),
            keys: keys.clone(),
            events: events.clone(),
        };
        let none = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        let cases = [
            (of(&none.0, &none.1, &none.2), event("y", None, "2"), true),
            (of(&types, &none.1, &none.2), event("order.paid", None, "2"), true),
            (of(&types, &none.1, &none.2), event("y", Some("a"), "1"), false),
            (of(&none.0, &keys, &none.2), event("y", Some("b"), "2"), true),
            (of(&none.0, &keys, &none.2), event("y", None, "2"), false),
            (of(&none.0, &keys, &none.2), event("y", Some("c"), "2"), false),
            (of(&none.0, &none.1, &events), event("y", Some("c"), "1"), true),
            (of(&none.0, &none.1, &events), event("y", Some("c"), "2"), false),
            (of(&types, &keys, &events), event("x", Some("a"), "1"), true),
            (of(&types, &keys, &events), event("x", Some("a"), "2"), false),
            (of(&types, &keys, &events), event("x", Some("c"), "1"), false),
            (of(&types, &keys, &events), event("y", Some("a"), "1"), false),
        ];
        for (selection, event, picked) in cases {
            assert_eq!(selection.picks(&event), picked, "{selection:?} of {event:?}");
        }
    }

    #[test]
    fn keys_are_those_of_one_tenant_or_of_none() {
        let tenant = |name: &str| Some(Tenant::new(name).unwrap());
        let event = |of: Option<Tenant>| Event { tenant: of, ..event("t", Some("k"), "1") };
        let keys: BTreeSet<Key> = [Key::new("k").unwrap()].into();
        let of = |tenant: Option<Tenant>, keys: &BTreeSet<Key>| Selection {
            tenant,
            keys: keys.clone(),
            ..Selection::default()
        };
        let none = BTreeSet::new();
        for (selection, picks) in [
            (of(None, &none), [true, true, true]),
            (of(None, &keys), [true, false, false]),
            (of(tenant("a"), &none), [false, true, false]),
            (of(tenant("a"), &keys), [false, true, false]),
        ] {
            let picked = [None, tenant("a"), tenant("b")].map(|tenant| selection.picks(&event(tenant)));
            assert_eq!(picked, picks, "{selection:?}");
        }
        let (all, nobodys, of_a, of_b) =
            (of(None, &none), of(None, &keys), of(tenant("a"), &keys), of(tenant("b"), &none));
        for (one, other, overlap) in [
            (&all, &of_a, true),
            (&all, &of_b, true),
            (&nobodys, &of_a, false),
            (&of_a, &of_b, false),
            (&of_a, &of_a, true),
        ] {
            assert_eq!((one.overlaps(other), other.overlaps(one)), (overlap, overlap), "{one:?} {other:?}");
        }
    }

    #[test]
    fn ids_have_letters_digits_and_little_else() {
        for id in ["a", "Incident-7.b_2", "0", &"x".repeat(64)] {
            assert_eq!(ReplayId::new(id).unwrap().to_string(), id);
            assert_eq!(ReplayId::new(id).unwrap().as_str(), id);
        }
        let written = serde_json::to_string(&ReplayId::new("a.1").unwrap()).unwrap();
        assert_eq!(written, r#""a.1""#);
        for id in ["", "-a", ".", "a b", "a/b", "ä", &"x".repeat(65)] {
            assert_eq!(ReplayId::new(id), Err(InvalidReplayId(id.into())));
        }
    }

    fn spec(asked_at: u64, keys: &[&str], first: bool) -> ReplaySpec {
        let keys = keys.iter().map(|key| Key::new(key).unwrap()).collect();
        ReplaySpec {
            asked_at: Timestamp::from_millis(asked_at),
            from: Offset(0),
            until: Offset(9),
            selection: Selection { keys, ..Selection::default() },
            first,
        }
    }

    #[test]
    fn of_replays_of_the_same_keys_those_that_others_wait_for_go_first_and_then_the_older() {
        let id = |id: &str| ReplayId::new(id).unwrap();
        let cases = [
            (spec(2, &[], false), spec(1, &[], false), true),
            (spec(1, &[], false), spec(2, &[], false), false),
            (spec(1, &[], false), spec(2, &["a"], false), true),
            (spec(1, &[], false), spec(2, &[], true), true),
            (spec(2, &["a"], false), spec(1, &["b"], false), false),
            (spec(2, &["a"], false), spec(1, &["b", "a"], false), true),
            (spec(2, &["a"], false), spec(1, &["b"], true), true),
            (spec(2, &["a"], false), spec(1, &[], false), false),
        ];
        for (spec, other, gives_way) in cases {
            assert_eq!(spec.gives_way(&id("x"), (&id("y"), &other)), gives_way, "{spec:?} to {other:?}");
            assert!(!gives_way || !other.gives_way(&id("y"), (&id("x"), &spec)));
        }
        let same = spec(1, &[], false);
        assert!(same.gives_way(&id("y"), (&id("x"), &same)) && !same.gives_way(&id("x"), (&id("y"), &same)));
        assert!(!same.gives_way(&id("x"), (&id("x"), &same)), "none waits for itself");
    }

    #[test]
    fn replays_run_side_by_side_unless_they_may_touch_the_same_keys_or_one_goes_before_everything() {
        for (one, other, overlap) in [
            (spec(1, &["a"], false), spec(1, &["b"], false), false),
            (spec(1, &["a"], false), spec(1, &["b", "a"], false), true),
            (spec(1, &["a"], false), spec(1, &[], false), true),
            (spec(1, &["a"], false), spec(1, &["b"], true), true),
        ] {
            assert_eq!([one.overlaps(&other), other.overlaps(&one)], [overlap; 2], "{one:?} {other:?}");
        }
    }

    fn held(keys: &[&str]) -> Held {
        Held::Keys(keys.iter().map(|key| LaneKey::of(None, &Key::new(key).unwrap())).collect())
    }

    #[test]
    fn everything_waits_for_a_replay_that_goes_first_and_else_what_is_ordered_with_its_keys() {
        for (spec, ordering, holds) in [
            (spec(1, &[], true), Ordering::None, Held::All),
            (spec(1, &["a"], true), Ordering::Key, Held::All),
            (spec(1, &[], false), Ordering::Strict, held(&[])),
            (spec(1, &["a", "b"], false), Ordering::Key, held(&["a", "b"])),
            (spec(1, &["a"], false), Ordering::Strict, Held::All),
            (spec(1, &["a"], false), Ordering::None, held(&[])),
        ] {
            assert_eq!(spec.holds_at_first(ordering), holds, "{spec:?} {ordering:?}");
        }
    }

    #[test]
    fn what_waits_for_one_replay_is_within_what_waits_for_it_and_another() {
        assert_eq!(held(&["a"]).and(held(&["b"])), held(&["a", "b"]));
        assert_eq!([held(&["a"]).and(Held::All), Held::All.and(held(&["a"]))], [Held::All, Held::All]);
        let growing = [held(&[]), held(&["a"]), held(&["a", "b"]), Held::All];
        for (n, less) in growing.iter().enumerate() {
            for (m, more) in growing.iter().enumerate() {
                assert_eq!(less.is_within(more), n <= m, "{less:?} {more:?}");
            }
            assert_eq!(less.is_nothing(), n == 0, "{less:?}");
        }
        let b = LaneKey::of(None, &Key::new("b").unwrap());
        assert_eq!(growing.map(|held| held.has(&b)), [false, false, true, true]);
    }

    #[test]
    fn a_replay_is_where_the_partition_is_that_has_most_to_do() {
        let part = |(n, state): (u32, &ReplayState)| ReplayPart {
            partition: Partition(n),
            state: *state,
            from: Offset(0),
            until: Offset(9),
            scanned: Offset(0),
            settled: 0,
            keys_behind: 0,
            number: 0,
        };
        let whole = |states: &[ReplayState]| ReplayStatus {
            id: ReplayId::new("r").unwrap(),
            asked_at: Timestamp::ZERO,
            selection: Selection::default(),
            first: false,
            partitions: (0..).zip(states).map(part).collect(),
        };
        let falling =
            [ReplayState::Ending, ReplayState::Asked, ReplayState::Running, ReplayState::Waiting, ReplayState::Done];
        for (n, state) in falling.into_iter().enumerate() {
            assert_eq!(whole(&falling[n..]).state(), state);
        }
        assert_eq!(whole(&[]).state(), ReplayState::Done);
    }
}
