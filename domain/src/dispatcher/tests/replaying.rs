//! Replays with a selection, against plain sets: what each has to deliver once more, and what it has delivered.

use super::fixtures::{PARTITION, tenant};
use super::world::{Op, Place, Whose, World, pick};
use crate::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// What somebody wants replayed.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    destination: u8,
    id: u8,
    from: u64,
    to: u64,
    /// 0: every type.
    types: u8,
    /// As bits: the keys numbered 1 to 4, and whether the tenant's are meant.
    keys: u8,
    event: Option<u64>,
    first: bool,
}

pub(super) fn wishes() -> impl Strategy<Value = Wish> {
    let keys = prop_oneof![2 => Just(0_u8), 3 => 0_u8..32];
    let chosen = (0_u8..4, keys, prop::option::weighted(0.1, any::<u64>()), prop::bool::weighted(0.15));
    (any::<u8>(), 0_u8..4, any::<u64>(), any::<u64>(), chosen).prop_map(
        |(destination, id, from, to, (types, keys, event, first))| Wish {
            destination,
            id,
            // Most of the log, mostly.
            from: from / 3,
            to: u64::MAX - to / 4,
            types,
            keys,
            event,
            first,
        },
    )
}

impl Wish {
    /// Everything of a destination.
    pub(super) const fn of_all(destination: u8) -> Self {
        Self { destination, id: 0, from: 0, to: u64::MAX, types: 0, keys: 0, event: None, first: false }
    }

    /// The same, and nothing new goes before it.
    pub(super) fn before_all(self) -> Self {
        Self { first: true, ..self }
    }

    /// The same, by another name.
    pub(super) fn named(self, id: u8) -> Self {
        Self { id, ..self }
    }

    /// The same of the first destination, and of three keys at most.
    pub(super) fn of_few(self) -> Self {
        Self { destination: 0, keys: self.keys & 7, event: None, ..self }
    }
}

/// What is known of one.
#[derive(Clone, Debug, Default)]
struct Known {
    /// As the store has it.
    spec: Option<ReplaySpec>,
    /// What was asked for, until the store has it.
    selection: Selection,
    first: bool,
    /// Whether something in its range was settled when it was asked for. Else there may be nothing to replay.
    reaches: bool,
    /// What of it was settled when it was asked for.
    settled: BTreeSet<Offset>,
    /// Whether the dispatcher may have dropped it before it was stored.
    unsure: bool,
    /// What was settled when it was stored.
    required: BTreeSet<Offset>,
    attempted: BTreeSet<Offset>,
    done: BTreeSet<Offset>,
    /// Of those, what was done since the partition was claimed.
    done_here: BTreeSet<Offset>,
}

impl Known {
    /// Whether what is new of a key waits for it.
    fn holds(&self, key: &LaneKey) -> bool {
        self.first
            || match key {
                LaneKey::Key(key) => self.selection.tenant.is_none() && self.selection.keys.contains(key),
                LaneKey::Tenant(of, key) => {
                    self.selection.tenant.as_ref() == Some(of) && self.selection.keys.contains(key)
                }
                LaneKey::All => !self.selection.keys.is_empty(),
                LaneKey::Event(_) => false,
            }
    }
}

/// All of them, and what receivers have seen.
#[derive(Debug, Default)]
pub(super) struct Replays {
    known: BTreeMap<(DestinationName, ReplayId), Known>,
    /// The last number and offset of a key that came for the first time.
    marks: BTreeMap<(DestinationName, LaneKey), (u64, Offset)>,
    /// Where destinations go back to as a whole, until that is stored.
    going_back: BTreeMap<DestinationName, Offset>,
    /// How many events were delivered once more.
    pub(super) delivered: usize,
    /// How many reads were asked for that may take their time.
    unhurried: usize,
}

fn id_of(n: u8) -> ReplayId {
    ReplayId::new(&format!("r{n}")).unwrap()
}

impl World {
    fn replayable(&self, n: u8) -> DestinationName {
        let names: Vec<_> = self.destinations.iter().map(|d| d.name.clone()).chain(self.changing()).collect();
        names[usize::from(n) % names.len()].clone()
    }

    /// Somebody wants events once more.
    pub(super) fn begin_replay(&mut self, wish: &Wish) {
        if self.log.is_empty() {
            return;
        }
        let destination = self.replayable(wish.destination);
        let at = |which: u64| self.log[pick(which, self.log.len())].offset;
        let keys = (1..5).filter(|key| wish.keys & (1 << (key - 1)) != 0);
        let selection = Selection {
            tenant: (wish.keys & 16 != 0).then(tenant),
            types: match wish.types {
                0 | 1 => Vec::new(),
                2 => vec![TypePattern::new("t.*").unwrap()],
                _ => vec![TypePattern::new("odd").unwrap()],
            },
            keys: keys.map(|key| Key::new(&format!("k{key}")).unwrap()).collect(),
            events: wish.event.map(|which| EventId::new(&format!("e{}", at(which).0)).unwrap()).into_iter().collect(),
        };
        let range = at(wish.from)..at(wish.to).next();
        let order = Box::new(ReplayOrder {
            asked_at: self.now,
            ranges: [(PARTITION, range.clone())].into(),
            selection: selection.clone(),
            first: wish.first,
        });
        let replay = id_of(wish.id);
        let command = Command::BeginReplay { destination: destination.clone(), replay: replay.clone(), order };
        // What it goes back over is not settled any more, though it is stored as if it were until that is stored, too.
        let goes_back = self.replays.going_back.get(&destination).copied();
        let reaches = self.stored.lanes.get(&destination).is_some_and(|lane| {
            let settled_below = lane.position.offset(self.stored.scanned).min(goes_back.unwrap_or(Offset(u64::MAX)));
            // One that was made anew counts from there, also before its progress says so.
            let born = self.born(&destination, lane.born);
            let made = self.stored.cuts.iter().find(|cut| cut.revision >= born).map(|cut| cut.at);
            let began = if born == Revision::ORIGIN { Offset::ZERO } else { made.unwrap_or(Offset(u64::MAX)) };
            let mut log = self.log.iter().filter(|event| range.contains(&event.offset));
            let is_of_now = self.is_of_now(&destination, lane);
            is_of_now && log.any(|event| event.offset >= began && event.offset < settled_below)
        });
        let chosen = self.log.iter().filter(|event| range.contains(&event.offset) && selection.picks(&event.event));
        // Of a tenant that was deleted nothing is wanted, whatever came of it before.
        let chosen = chosen.filter(|event| !self.deleted_tenants.had(&event.event)).map(|event| event.offset);
        let settled = |offset: &Offset| self.settled_here.contains(&(destination.clone(), *offset));
        let settled = chosen.filter(settled).collect();
        if self.command(command) {
            // Asked for again, it is the one that was asked for before, of the same range.
            let new = || Known { selection, first: wish.first, reaches, settled, ..Known::default() };
            self.replays.known.entry((destination, replay)).or_insert_with(new);
        }
    }

    pub(super) fn cancel_replay(&mut self, destination: u8, n: u8) {
        let (destination, replay) = (self.replayable(destination), id_of(n));
        self.former_attempts(&destination, &replay);
        self.replays.known.remove(&(destination.clone(), replay.clone()));
        self.command(Command::CancelReplay { destination, replay });
    }

    /// What is in flight of a replay that is cancelled counts for nothing.
    fn former_attempts(&mut self, destination: &DestinationName, replay: &ReplayId) {
        let Some(lane) = self.stored.lanes.get(destination) else { return };
        let Some(record) = lane.replays.get(replay) else { return };
        for (to, events, whose) in self.attempts.values_mut() {
            if to == destination && events[0].replay == Some(record.mark.number) && *whose == Whose::Lane {
                *whose = Whose::FormerLane;
            }
        }
    }

    /// What is not stored of a destination's replays may be dropped.
    pub(super) fn replays_are_unsure(&mut self, destination: &DestinationName) {
        let of = self.replays.known.iter_mut().filter(|((name, _), known)| name == destination && known.spec.is_none());
        of.for_each(|(_, known)| known.unsure = true);
    }

    /// A destination goes back as a whole: what it is to settle anew, its replays leave to it.
    pub(super) fn replays_go_back(&mut self, destination: &DestinationName, from: Offset) {
        self.replays_are_unsure(destination);
        let to = self.replays.going_back.entry(destination.clone()).or_insert(from);
        *to = from.min(*to);
        for (_, known) in self.replays.known.iter_mut().filter(|((name, _), _)| name == destination) {
            known.required.retain(|offset| *offset < from || known.done.contains(offset));
        }
    }

    /// A commit was stored: where it says that a destination has gone back, that is known from then on.
    pub(super) fn stored_is_gone_back(&mut self) {
        let (stored, default) = (&self.stored, self.stored.scanned);
        self.replays
            .going_back
            .retain(|name, to| stored.lanes.get(name).is_some_and(|lane| lane.position.offset(default) > *to));
    }

    /// Whoever claims the partition knows of none that was not stored.
    pub(super) fn nobody_goes_back(&mut self) {
        self.replays.going_back.clear();
    }

    pub(super) fn forget_replays(&mut self, destination: &DestinationName) {
        self.replays.known.retain(|(name, _), _| name != destination);
        self.replays.marks.retain(|(name, _), _| name != destination);
    }

    /// Whoever claims the partition knows what is stored. `is_other`: the store may be one of before.
    pub(super) fn replays_are_claimed(&mut self) {
        let mut known = std::mem::take(&mut self.replays.known);
        known.retain(|(name, id), known| {
            let stored = self.stored.lanes.get(name).and_then(|lane| lane.replays.get(id));
            known.done_here.clear();
            stored.is_some() && stored.map(|stored| &stored.spec) == known.spec.as_ref()
        });
        // What was lost with a primary is nobody's to deliver, and what it had settled is not.
        for ((name, _), known) in &mut known {
            let lane = &self.stored.lanes[name];
            known.required.retain(|offset| {
                let Ok(at) = self.log.binary_search_by_key(offset, |event| event.offset) else { return false };
                self.claims(lane, *offset, &self.lane_key(name, &self.log[at]))
            });
        }
        self.replays.known = known;
    }

    /// A commit was stored: replays that it begins have to deliver what it says to be settled.
    pub(super) fn replays_begin(&mut self, commit: &Commit) {
        for (name, change) in &commit.lanes {
            for (id, change) in &change.replays {
                let Some(spec) = change.as_ref().and_then(|change| change.made.clone()) else { continue };
                let lane = &self.stored.lanes[name];
                let is_required = |event: &&std::sync::Arc<LoggedEvent>| {
                    (spec.from..spec.until).contains(&event.offset)
                        // What the destination has gone back for since is its own to deliver.
                        && !self.again.contains(&(name.clone(), event.offset))
                        && spec.selection.picks(&event.event)
                        && self.wants(name, event)
                        && self.claims(lane, event.offset, &self.lane_key(name, event))
                };
                let is_of_now = self.is_of_now(name, lane);
                let required: BTreeSet<Offset> =
                    self.log.iter().filter(is_required).map(|event| event.offset).collect();
                if spec.from < spec.until {
                    self.nothing_held_is_in_flight(name, id);
                }
                let Some(known) = self.replays.known.get_mut(&(name.clone(), id.clone())) else { continue };
                // The same commit may be stored twice.
                if known.spec.is_none() && is_of_now && known.selection == spec.selection {
                    let again = |offset: &Offset| self.again.contains(&(name.clone(), *offset));
                    let missed = known.settled.difference(&required).filter(|of| **of < spec.until && !again(of));
                    let missed: Vec<_> = missed.collect();
                    assert!(known.unsure || missed.is_empty(), "{id} of {name} begins, and leaves {missed:?} out");
                    (known.required, known.unsure, known.spec) = (required, false, Some(spec));
                }
            }
        }
    }

    /// What a replay holds is at rest when it begins: it may be of what is replayed.
    fn nothing_held_is_in_flight(&self, destination: &DestinationName, id: &ReplayId) {
        let Some(known) = self.replays.known.get(&(destination.clone(), id.clone())) else { return };
        for (to, events, whose) in self.attempts.values() {
            if to != destination || *whose != Whose::Lane || events[0].replay.is_some() {
                continue;
            }
            for attempted in events {
                let key = self.lane_key(destination, &attempted.event);
                let offset = attempted.event.offset;
                assert!(!known.holds(&key), "{destination}: {offset} of {key} is in flight, and {id} begins");
            }
        }
    }

    /// Only what nothing new waits for may take its time.
    pub(super) fn note_hurry(&mut self, read: &Output) {
        if let Output::Read { unhurried: true, .. } = read {
            let mut stored = self.stored.lanes.values().flat_map(|lane| lane.replays.values());
            assert!(
                stored.any(|replay| !replay.spec.holds()),
                "nothing is replayed that could take its time: {read:?}"
            );
            self.replays.unhurried += 1;
        }
    }

    /// A dead letter is stored: what it is of is settled again, in whichever replay.
    pub(super) fn replay_gives_up(&mut self, (name, offset): &Place) {
        for ((of, _), known) in &mut self.replays.known {
            if of == name && known.required.contains(offset) {
                known.done.insert(*offset);
            }
        }
    }

    /// The replay that an attempt is of.
    fn replay_of(&self, destination: &DestinationName, number: u64) -> Option<(ReplayId, ReplaySpec)> {
        let replays = self.stored.lanes.get(destination)?.replays.iter();
        let mut of = replays.filter(|(_, replay)| replay.mark.number == number);
        let (id, replay) = of.next()?;
        assert!(of.next().is_none(), "two replays of {destination} have the number {number}");
        Some((id.clone(), replay.spec.clone()))
    }

    /// An attempt of a replay starts.
    pub(super) fn replay_starts(&mut self, destination: &DestinationName, number: u64, events: &[Attempted]) {
        let Some((id, spec)) = self.replay_of(destination, number) else {
            panic!("{destination}: a replay with the number {number} is not stored: {:?}", self.stored.lanes);
        };
        let mut here = BTreeSet::new();
        for attempted in events {
            let offset = attempted.event.offset;
            assert!(attempted.redrive && attempted.replay == Some(number), "what is replayed says so");
            assert!((spec.from..spec.until).contains(&offset), "{id} of {destination} replays {offset}: {spec:?}");
            assert!(spec.selection.picks(&attempted.event.event), "{id} of {destination} did not choose {offset}");
            assert!(self.wants(destination, &attempted.event), "{destination} gets {offset}, which it does not want");
            let place = (destination.clone(), offset);
            // Given up a moment ago, it is settled when its dead letter is stored; nothing later of its key goes before.
            let of = self.dispatcher.shared.destinations.named(destination);
            let being_stored = of.zip(self.dispatcher.partitions.get(&PARTITION)).is_some_and(|(index, owned)| {
                owned.unsaved(&self.dispatcher.shared.destinations).any(|of| of == index)
            });
            let settled = self.settled.contains(&place) || self.replayed.contains(&place) || being_stored;
            assert!(settled, "{id} of {destination} replays {offset}, which is not settled");
            here.insert(offset);
            let key = self.lane_key(destination, &attempted.event);
            let Some(known) = self.replays.known.get(&(destination.clone(), id.clone())) else { continue };
            // It may have expired, and whoever knew be gone: with more time now it is attempted after those behind it.
            let done_before = known.attempted.contains(&offset) || known.done.contains(&offset);
            if done_before || !known.required.contains(&offset) {
                continue;
            }
            for earlier in known.required.range(..offset).filter(|o| self.lane_key(destination, self.at(**o)) == key) {
                let done = known.done.contains(earlier) || here.contains(earlier);
                assert!(done, "{id} of {destination}: {offset} of {key} was replayed before {earlier}");
            }
            let mark = (number, offset);
            let last = self.replays.marks.insert((destination.clone(), key.clone()), mark);
            assert!(last < Some(mark), "{id} of {destination}: {mark:?} of {key} came after {last:?}");
        }
        if let Some(known) = self.replays.known.get_mut(&(destination.clone(), id)) {
            known.attempted.extend(here);
        }
    }

    /// An attempt at what is new, or at a dead letter, starts: no replay is to go before.
    pub(super) fn live_starts(&self, destination: &DestinationName, events: &[Attempted]) {
        for ((_, id), known) in
            self.replays.known.iter().filter(|((name, _), known)| name == destination && !known.unsure)
        {
            for attempted in events {
                let key = self.lane_key(destination, &attempted.event);
                if !known.holds(&key) {
                    continue;
                }
                let offset = attempted.event.offset;
                assert!(
                    known.spec.is_some() || !known.reaches,
                    "{destination}: {offset} of {key} goes, and {id} is about to begin"
                );
                let open = known.required.iter().filter(|o| self.lane_key(destination, self.at(**o)) == key);
                let open: Vec<_> = open.filter(|offset| !known.done.contains(offset)).collect();
                assert!(open.is_empty(), "{destination}: {offset} of {key} goes before {open:?} of {id}");
            }
        }
    }

    /// An event of a replay was delivered.
    pub(super) fn replay_delivers(&mut self, destination: &DestinationName, number: u64, offset: Offset) {
        self.replays.delivered += 1;
        let Some((id, _)) = self.replay_of(destination, number) else { return };
        if let Some(known) = self.replays.known.get_mut(&(destination.clone(), id)) {
            known.done.insert(offset);
            known.done_here.insert(offset);
        }
    }

    /// Of what replays have to deliver, the events of tenants that were deleted are nobody's.
    pub(super) fn replays_lose_deleted_tenants(&mut self) {
        let (log, deleted) = (&self.log, &self.deleted_tenants);
        let stays = |offset: &Offset| {
            !log.binary_search_by_key(offset, |event| event.offset).is_ok_and(|at| deleted.had(&log[at].event))
        };
        for known in self.replays.known.values_mut() {
            known.required.retain(stays);
            known.settled.retain(stays);
        }
    }

    fn replay_claims(&self, destination: &DestinationName, replay: &ReplayProgress, offset: Offset) -> bool {
        let key = self.lane_key(destination, self.at(offset));
        replay.behind.get(&key).map_or(offset < replay.mark.scanned, |behind| offset < behind.offset)
    }

    fn stored_replays(&self) -> impl Iterator<Item = (&DestinationName, &ReplayId, &Known, &ReplayProgress)> {
        self.replays.known.iter().filter_map(|((name, id), known)| {
            let stored = self.stored.lanes.get(name)?.replays.get(id)?;
            known.spec.as_ref().filter(|spec| **spec == stored.spec)?;
            Some((name, id, known, stored))
        })
    }

    /// Progress moves past an event only when it was delivered again, and holds the trim until then.
    pub(super) fn check_stored_replays(&self) {
        for (name, id, known, stored) in self.stored_replays() {
            // The lane's own share: others hold the trim too.
            let kept = self.stored.lanes[name].needs_from(self.stored.scanned);
            for offset in known.required.iter().filter(|offset| !known.done.contains(offset)) {
                let claimed = self.replay_claims(name, stored, *offset);
                assert!(!claimed, "{id} of {name} claims that {offset} was delivered again: {stored:?}");
                assert!(*offset >= kept, "{id} of {name} needs {offset}, and the log may be trimmed up to {kept}");
            }
        }
    }

    /// A partition that was released repeats nothing.
    pub(super) fn check_released_replays(&self) {
        for (name, id, known, stored) in self.stored_replays() {
            for offset in &known.done_here {
                let claimed = self.replay_claims(name, stored, *offset);
                assert!(claimed, "{id} of {name}: {offset} was replayed and would come again: {stored:?}");
            }
        }
    }

    /// Whether nothing is left to be delivered again.
    pub(super) fn replays_are_complete(&self) -> bool {
        self.stored.lanes.values().flat_map(|lane| lane.replays.values()).all(ReplayProgress::is_done)
            && self.replays.known.values().all(|known| known.unsure || known.spec.is_some())
    }

    /// After everything has come to its end.
    pub(super) fn check_replays(&self) {
        for ((name, id), known) in &self.replays.known {
            let open: Vec<_> = known.required.difference(&known.done).collect();
            assert!(open.is_empty(), "{id} of {name} is done, and {open:?} were not delivered again");
        }
    }
}

/// Nothing else happens in the partition, so that nothing else makes a commit.
#[test]
fn a_replay_that_waits_for_an_attempt_of_a_cancelled_one_begins_when_that_ends() {
    for next in [Wish::of_all(0).before_all(), Wish { keys: 2, ..Wish::of_all(0) }] {
        let one = Destination { from: StartFrom::Beginning, ..Destination::new(super::fixtures::name("one")) };
        let settings = Settings { check_state: true, ..Settings::default() };
        let mut world = World::with(settings, 1, vec![one]);
        world.append(2, 0);
        world.pass(&[]);
        // From here on there is no lane in memory.
        world.crash();
        world.pass(&[]);
        world.begin_replay(&Wish::of_all(0));
        world.pass(&["one"]);
        assert_eq!(world.attempts.len(), 1, "its attempt is under way");
        world.cancel_replay(0, 0);
        world.begin_replay(&next.named(1));
        world.pass(&["one"]);
        world.pass(&[]);
        assert_eq!(world.replays.delivered, 1, "the second one has delivered it");
        assert!(world.replays_are_complete());
    }
}

#[test]
fn a_replay_takes_its_time_unless_something_new_waits_for_it() {
    let of_all = Wish::of_all(0);
    for (wish, takes_time) in
        [(of_all.clone(), true), (Wish { keys: 2, ..of_all.clone() }, false), (Wish { first: true, ..of_all }, false)]
    {
        let mut world = World::new(Settings::default(), 0);
        world.step(&Op::Append { key: 2, count: 3 });
        world.heal_and_finish();
        assert_eq!(world.replays.unhurried, 0, "what is new is read at once");
        world.begin_replay(&wish);
        world.heal_and_finish();
        assert!(world.replays.delivered > 0, "{wish:?}");
        assert_eq!(world.replays.unhurried > 0, takes_time, "{wish:?}");
    }
}
