//! What all partitions of a process share, and what an input needs wherever it is about.

use super::destinations::{Changes, Destinations};
use super::under_way::{Attempts, Read};
use crate::deleted_tenants::DeletedTenants;
use crate::destination::DestinationIndex;
use crate::gate::Admission;
use crate::history::Met;
use crate::io::{AttemptId, DestinationChanges, Notice, Output, ReadId};
use crate::lane::{Context, Held, Memory, Uncommitted};
use crate::outcome::Outcome;
use crate::partition::Partition;
use crate::random::Random;
use crate::settings::Settings;
use crate::shares::{GroupIndex, OneByOne, Places};
use crate::time::Timestamp;
use crate::timers::{Timer, Timers};
use crate::way::{LaneAt, Way};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// Everything of a dispatcher but its partitions.
#[derive(Debug)]
pub(super) struct Shared {
    /// When the input that is being handled came.
    pub(super) now: Timestamp,
    pub(super) settings: Settings,
    pub(super) destinations: Destinations,
    pub(super) deleted_tenants: DeletedTenants,
    pub(super) timers: Timers,
    pub(super) memory: Memory,
    pub(super) random: Random,
    pub(super) attempts: Attempts,
    /// Of the attempts, those that have ended and whose ends have to wait for a commit of their partition.
    pub(super) waiting_ends: BTreeMap<Partition, BTreeMap<AttemptId, (Vec<Outcome>, Met)>>,
    /// Reads under way, also those of partitions that were lost since.
    pub(super) reads: BTreeMap<ReadId, Read>,
    /// Gates that may let something pass since the last poll.
    pub(super) to_admit: BTreeSet<DestinationIndex>,
    /// Places of attempts in flight, for which gates wait that let more pass than their group may have: those that answer,
    /// and those that do not, apart ([`GroupIndex::part`]).
    pub(super) attempt_places: Places<DestinationIndex>,
    /// In whose turns which gates stand there, in each once. One may have gone since, and its index be given to another
    /// tenant's; or it answers by now.
    standing: BTreeSet<(GroupIndex, DestinationIndex)>,
    /// Places of the reads that lanes make for themselves.
    pub(super) read_places: Places<ReadId>,
    /// Of each group one read of those that nothing new waits for.
    pub(super) unhurried: OneByOne<ReadId>,
    /// Those of them whose turn has come.
    pub(super) next_unhurried: VecDeque<ReadId>,
    /// The reads that have a place, and since when; the earliest first. Some have ended.
    pub(super) placed_reads: VecDeque<(Timestamp, ReadId)>,
    outputs: VecDeque<Output>,
    pub(super) notices: VecDeque<Notice>,
    last_id: u64,
}

impl Shared {
    pub(super) fn new(settings: Settings, seed: u64) -> Self {
        Self {
            now: Timestamp::ZERO,
            destinations: Destinations::default(),
            deleted_tenants: DeletedTenants::default(),
            timers: Timers::default(),
            memory: Memory::default(),
            random: Random::new(seed),
            attempts: Attempts::default(),
            waiting_ends: BTreeMap::new(),
            reads: BTreeMap::new(),
            to_admit: BTreeSet::new(),
            attempt_places: Places::new(settings.max_attempts),
            standing: BTreeSet::new(),
            read_places: Places::new(settings.max_reads),
            unhurried: OneByOne::default(),
            next_unhurried: VecDeque::new(),
            placed_reads: VecDeque::new(),
            outputs: VecDeque::new(),
            notices: VecDeque::new(),
            last_id: 0,
            settings,
        }
    }

    pub(super) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    pub(super) fn is_drained(&self) -> bool {
        self.outputs.is_empty() && self.notices.is_empty()
    }

    /// Notices come first: they explain what follows.
    pub(super) fn next_output(&mut self) -> Option<Output> {
        self.notices.pop_front().map(Output::Notice).or_else(|| self.outputs.pop_front())
    }

    pub(super) fn output(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub(super) fn notice(&mut self, notice: Notice) {
        self.notices.push_back(notice);
    }

    pub(super) fn set_timer_after(&mut self, duration: Duration, timer: Timer) -> Timestamp {
        let at = self.now.after(duration);
        self.timers.set(at, timer);
        at
    }

    /// What a lane of this destination needs for a decision, beside what its partition has to commit.
    pub(super) fn context<'a>(&'a mut self, index: DestinationIndex, uncommitted: &'a mut Uncommitted) -> Context<'a> {
        let group = self.destinations.gate(index).group;
        Context {
            now: self.now,
            settings: &self.settings,
            destination: self.destinations.get(index),
            deleted_tenants: &self.deleted_tenants,
            random: &mut self.random,
            timers: &mut self.timers,
            memory: self.memory.of(group),
            notices: &mut self.notices,
            uncommitted,
        }
    }

    /// The destinations have changed.
    pub(super) fn configure(&mut self, change: DestinationChanges) -> Changes {
        let named = change.present.iter().map(|destination| destination.name.clone()).collect::<Vec<_>>();
        let changes = self.destinations.change(change);
        // A limit may be another one, a pause over.
        self.to_admit.extend(named.iter().filter_map(|name| self.destinations.named(name)));
        changes
    }

    /// Puts a partition's lane into its destination's queue.
    pub(super) fn queue_at_gate(&mut self, partition: Partition, at: LaneAt) {
        self.destinations.gate_mut(at.destination).waiting.push_back((partition, at.way));
        self.to_admit.insert(at.destination);
    }

    /// The next lane that may start an attempt at the destination, if its gate admits any now, and if its group may have one
    /// more in flight; it stands behind others of its group unless it is its turn. Where only time is missing, a timer is set.
    pub(super) fn admit(&mut self, destination: DestinationIndex, is_its_turn: bool) -> Option<(Partition, Way)> {
        // It may have gone since.
        let gate = self.destinations.find_gate(destination)?;
        if gate.waiting.is_empty() {
            return None;
        }
        match gate.admission(self.now) {
            Admission::Now => {
                let (places, sharing) = (&mut self.attempt_places, gate.sharing());
                if places.may_take(sharing) && (is_its_turn || !places.has_waiting(sharing)) {
                    return gate.waiting.pop_front();
                }
                if self.standing.insert((sharing, destination)) {
                    places.wait(sharing, destination);
                }
                None
            }
            Admission::Later => None,
            Admission::At(at) => {
                if gate.timer.is_none_or(|timer| timer > at) {
                    gate.timer = Some(at);
                    self.timers.set(at, Timer::Gate(destination));
                }
                None
            }
        }
    }

    /// The next destination that waited for a place of its group, and may have one.
    pub(super) fn next_in_turn(&mut self) -> Option<DestinationIndex> {
        while let Some((group, destination)) = self.attempt_places.next() {
            self.standing.remove(&(group, destination));
            if self.destinations.find_gate(destination).is_some_and(|gate| gate.sharing() == group) {
                return Some(destination);
            }
        }
        None
    }

    pub(super) fn gate_is_due(&mut self, destination: DestinationIndex) {
        // It may have gone since.
        let Some(gate) = self.destinations.find_gate(destination) else { return };
        gate.timer = None;
        self.to_admit.insert(destination);
    }

    /// Whether the attempt has ended, and its end waits for a commit.
    pub(super) fn end_waits(&self, partition: Partition, attempt: AttemptId) -> bool {
        self.waiting_ends.get(&partition).is_some_and(|waiting| waiting.contains_key(&attempt))
    }

    /// Compares with what the partitions hold together. See [`super::Dispatcher::check`].
    pub(super) fn check(&self, held: impl Iterator<Item = (GroupIndex, Held)>) {
        self.destinations.check();
        self.attempts.check();
        self.memory.check(Memory::counted(held));
        let (mut attempts, mut reads) = (BTreeMap::new(), BTreeMap::new());
        for attempt in self.attempts.values() {
            *attempts.entry(attempt.place).or_default() += 1;
        }
        self.attempt_places.check("attempts", &attempts);
        for group in self.reads.values().filter(|read| read.has_place && !read.unhurried).filter_map(|read| read.group)
        {
            *reads.entry(group).or_default() += 1;
        }
        self.read_places.check("reads", &reads);
        for (index, gate) in self.destinations.gates() {
            let in_flight = self.attempts.values().filter(|attempt| attempt.destination == index).count();
            assert_eq!(gate.in_flight as usize, in_flight, "attempts in flight at {}", gate.destination.name);
        }
    }
}
