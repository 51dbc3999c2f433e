//! What all partitions of a process share, and what an input needs wherever it is about.

use super::destinations::{Changes, Destinations};
use super::under_way::{Attempt, Purpose, Read};
use crate::destination::DestinationIndex;
use crate::gate::Admission;
use crate::history::Met;
use crate::io::{AttemptId, DestinationChanges, Notice, Output, ReadId};
use crate::lane::{Context, Memory, Uncommitted};
use crate::outcome::Outcome;
use crate::partition::Partition;
use crate::random::Random;
use crate::settings::Settings;
use crate::time::Timestamp;
use crate::timers::{Timer, Timers};
use crate::way::{LaneAt, Way};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// How long after a read failed it is made again. The shell has logged why.
const REREAD_AFTER: Duration = Duration::from_millis(250);

/// Everything of a dispatcher but its partitions.
#[derive(Debug)]
pub(super) struct Shared {
    /// When the input that is being handled came.
    pub(super) now: Timestamp,
    pub(super) settings: Settings,
    pub(super) destinations: Destinations,
    pub(super) timers: Timers,
    pub(super) memory: Memory,
    pub(super) random: Random,
    /// Attempts and reads under way, also those of partitions that were lost since.
    pub(super) attempts: BTreeMap<AttemptId, Attempt>,
    /// Of the attempts, those that have ended and whose ends have to wait for a commit of their partition.
    pub(super) waiting_ends: BTreeMap<Partition, BTreeMap<AttemptId, (Vec<Outcome>, Met)>>,
    pub(super) reads: BTreeMap<ReadId, Read>,
    /// Gates that may let something pass since the last poll.
    pub(super) to_admit: BTreeSet<DestinationIndex>,
    outputs: VecDeque<Output>,
    pub(super) notices: VecDeque<Notice>,
    last_id: u64,
}

impl Shared {
    pub(super) fn new(settings: Settings, seed: u64) -> Self {
        Self {
            now: Timestamp::ZERO,
            settings,
            destinations: Destinations::default(),
            timers: Timers::default(),
            memory: Memory::default(),
            random: Random::new(seed),
            attempts: BTreeMap::new(),
            waiting_ends: BTreeMap::new(),
            reads: BTreeMap::new(),
            to_admit: BTreeSet::new(),
            outputs: VecDeque::new(),
            notices: VecDeque::new(),
            last_id: 0,
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
        Context {
            now: self.now,
            settings: &self.settings,
            destination: self.destinations.get(index),
            random: &mut self.random,
            timers: &mut self.timers,
            memory: &mut self.memory,
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

    /// The next lane that may start an attempt at the destination, if its gate admits any now. Else, where only time is missing, a timer is set.
    pub(super) fn admit(&mut self, destination: DestinationIndex) -> Option<(Partition, Way)> {
        // It may have gone since.
        let gate = self.destinations.find_gate(destination)?;
        if gate.waiting.is_empty() {
            return None;
        }
        match gate.admission(self.now) {
            Admission::Now => gate.waiting.pop_front(),
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

    pub(super) fn gate_is_due(&mut self, destination: DestinationIndex) {
        // It may have gone since.
        let Some(gate) = self.destinations.find_gate(destination) else { return };
        gate.timer = None;
        self.to_admit.insert(destination);
    }

    /// Asks for a read for the first time.
    pub(super) fn read(&mut self, read: Read) {
        let id = ReadId(self.next_id());
        self.reads.insert(id, read);
        self.ask_again(id);
    }

    /// Asks for a read. Its timer may come when it has been answered, or the partition lost.
    pub(super) fn ask_again(&mut self, id: ReadId) {
        let Some(read) = self.reads.get(&id) else { return };
        let Read { partition, from, most, most_bytes, ref purpose, unhurried, .. } = *read;
        self.outputs.push_back(match purpose {
            Purpose::DeadLetter(destination, _) => {
                let destination = self.destinations.get(destination.destination).name.clone();
                Output::ReadDeadLetter { read: id, partition, offset: from, destination }
            }
            Purpose::End => Output::ReadEnd { read: id, partition },
            _ => Output::Read { read: id, partition, from, most, most_bytes, unhurried },
        });
    }

    pub(super) fn read_again_later(&mut self, id: ReadId) {
        self.set_timer_after(REREAD_AFTER, Timer::Reread(id));
    }

    /// Whether the attempt has ended, and its end waits for a commit.
    pub(super) fn end_waits(&self, partition: Partition, attempt: AttemptId) -> bool {
        self.waiting_ends.get(&partition).is_some_and(|waiting| waiting.contains_key(&attempt))
    }

    /// The attempts at the destination that are in flight in this ownership of a partition.
    pub(super) fn attempts_at(
        &self,
        partition: Partition,
        incarnation: u64,
        destination: DestinationIndex,
    ) -> impl Iterator<Item = (&AttemptId, &Attempt)> {
        self.attempts.iter().filter(move |(_, attempt)| {
            attempt.partition == partition && attempt.destination == destination && attempt.incarnation == incarnation
        })
    }

    /// Compares with what the partitions hold together. See [`super::Dispatcher::check`].
    pub(super) fn check(&self, held: impl Iterator<Item = Memory>) {
        self.destinations.check();
        let held = held.fold(Memory::default(), Memory::plus);
        assert_eq!(self.memory, held, "what lanes hold of the memory that they share");
        for (index, gate) in self.destinations.gates() {
            let in_flight = self.attempts.values().filter(|attempt| attempt.destination == index).count();
            assert_eq!(gate.in_flight as usize, in_flight, "attempts in flight at {}", gate.destination.name);
        }
    }
}
