//! The dispatcher: all decisions of a worker process, as a state machine without I/O.
//!
//! It holds the lanes of every partition that the process owns, and one gate per destination that
//! they all pass. The law of its API: **every input is followed by polling outputs until there is
//! none.** Time comes in as an argument, randomness as a seed; nothing blocks, and no input from
//! outside makes it panic. Its own broken invariants do, in release too: a stopped process loses
//! nothing, a wrong one may.

mod attempts;
mod claims;
mod commits;
mod partition_lanes;
mod reads;
mod replay;
mod status;
#[cfg(test)]
mod tests;

use crate::gate::Gate;
use crate::lane::{Context, DestinationIndex, Lane, Memory};
use crate::random::Random;
use crate::timers::{LaneTimer, Timer, Timers};
use crate::{
    AttemptId, Command, Destination, DestinationName, FilterIndex, Input, LaneKey, Offset, Output, Partition, ReadId,
    Settings, Timestamp,
};
use attempts::Attempt;
use partition_lanes::PartitionLanes;
use reads::Read;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The state machine of a worker process.
#[derive(Debug)]
pub struct Dispatcher {
    settings: Settings,
    /// Those that are configured, and those that were, since the process started.
    gates: Vec<Gate>,
    names: BTreeMap<DestinationName, DestinationIndex>,
    /// Those that are configured now.
    configured: BTreeSet<DestinationIndex>,
    filters: FilterIndex<DestinationIndex>,
    partitions: BTreeMap<Partition, PartitionLanes>,
    attempts: BTreeMap<AttemptId, Attempt>,
    reads: BTreeMap<ReadId, Read>,
    timers: Timers,
    memory: Memory,
    random: Random,
    outputs: VecDeque<Output>,
    notices: VecDeque<crate::Notice>,
    /// Gates that may let something pass since the last poll.
    stirred: BTreeSet<DestinationIndex>,
    wanted: Vec<DestinationIndex>,
    next_id: u64,
}

impl Dispatcher {
    /// A dispatcher that owns nothing yet. The same `seed` and inputs give the same outputs.
    #[must_use]
    pub fn new(settings: Settings, seed: u64) -> Self {
        Self {
            settings,
            gates: Vec::new(),
            names: BTreeMap::new(),
            configured: BTreeSet::new(),
            filters: FilterIndex::default(),
            partitions: BTreeMap::new(),
            attempts: BTreeMap::new(),
            reads: BTreeMap::new(),
            timers: Timers::default(),
            memory: Memory::default(),
            random: Random::new(seed),
            outputs: VecDeque::new(),
            notices: VecDeque::new(),
            stirred: BTreeSet::new(),
            wanted: Vec::new(),
            next_id: 0,
        }
    }

    /// Takes in what has happened by `now`.
    ///
    /// # Panics
    /// If outputs of the input before were not polled.
    pub fn handle(&mut self, input: Input, now: Timestamp) {
        assert!(self.outputs.is_empty() && self.notices.is_empty(), "outputs are polled before the next input");
        match input {
            Input::Destinations(destinations) => self.configure(destinations, now),
            Input::Claimed { partition, progress, log, until } => self.claimed(partition, progress, &log, until, now),
            Input::Renewed { partition, until } => self.renewed(partition, until),
            Input::Lost(partition) => self.lost(partition),
            Input::Grew { partition, end } => self.grew(partition, end),
            Input::Read { read, events, corrupt, next } => self.read_ended(read, &events, corrupt, next, now),
            Input::ReadFailed(read) => self.read_failed(read, now),
            Input::DeadLetterRead { read, event } => self.dead_letter_read(read, event, now),
            Input::RetryRequested { partition, requests } => self.redrive(partition, &requests, now),
            Input::AttemptEnded { attempt, outcomes } => self.attempt_ended(attempt, outcomes, now),
            Input::Committed(partition) => self.committed(partition, now),
            Input::CommitFailed(partition) => self.commit_failed(partition, now),
            Input::Release(partition) => self.release(partition, now),
        }
    }

    /// What is to be done at `now`; `None` when there is nothing more until the next input or
    /// [`Dispatcher::next_wakeup`].
    pub fn poll(&mut self, now: Timestamp) -> Option<Output> {
        if self.outputs.is_empty() && self.notices.is_empty() {
            while let Some(timer) = self.timers.pop(now) {
                self.fired(timer, now);
            }
            while let Some(destination) = self.stirred.pop_first() {
                self.pass_gate(destination, now);
            }
        }
        self.notices.pop_front().map(Output::Notice).or_else(|| self.outputs.pop_front())
    }

    /// When to poll again even if nothing has happened.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Timestamp> {
        self.timers.next()
    }

    /// The partitions that it works on.
    pub fn partitions(&self) -> impl Iterator<Item = Partition> + '_ {
        self.partitions.keys().copied()
    }

    /// Carries out an operator's command. `false` if there was nothing to do it to. Outputs are
    /// polled after it as after an input.
    pub fn command(&mut self, command: &Command, now: Timestamp) -> bool {
        match command {
            Command::RetryKey { destination, key } => self.command_key(destination, key, now, Lane::retry_now),
            Command::SkipKey { destination, key } => self.command_key(destination, key, now, Lane::skip),
            Command::Resume { destination } => self.resume(destination, now),
            Command::Forget { destination } => self.forget(destination),
            Command::Replay { destination, from } => self.replay(destination, from, now),
        }
    }

    fn command_key(
        &mut self,
        destination: &DestinationName,
        key: &LaneKey,
        now: Timestamp,
        act: impl Fn(&mut Lane, &LaneKey, &mut Context<'_>) -> bool,
    ) -> bool {
        let Some(&destination) = self.names.get(destination) else { return false };
        let partitions: Vec<Partition> = self.partitions.keys().copied().collect();
        let mut acted = false;
        for partition in partitions {
            acted |= self.with_lane(partition, destination, now, |lane, cx| act(lane, key, cx)) == Some(true);
        }
        acted
    }

    fn fired(&mut self, timer: Timer, now: Timestamp) {
        match timer {
            Timer::Gate(destination) => {
                self.gates[destination.0].timer = None;
                self.stirred.insert(destination);
            }
            Timer::Commit(partition) => self.commit_due(partition, now),
            Timer::Recommit(partition) => self.recommit(partition, now),
            Timer::Reread(read) => self.reread(read),
            Timer::Lane(partition, destination, timer) => {
                self.with_lane(partition, destination, now, |lane, cx| match &timer {
                    LaneTimer::Straggler => lane.look_for_stragglers(cx),
                    LaneTimer::Linger => {}
                    LaneTimer::Key(key) => lane.key_due(key, cx),
                });
            }
        }
    }

    fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Lets `act` change a lane, then sees to whatever it needs now.
    fn with_lane<R>(
        &mut self,
        partition: Partition,
        destination: DestinationIndex,
        now: Timestamp,
        act: impl FnOnce(&mut Lane, &mut Context<'_>) -> R,
    ) -> Option<R> {
        let (lane, mut cx) = self.lane_cx(partition, destination, now)?;
        let result = act(lane, &mut cx);
        self.partitions.get_mut(&partition)?.touch(destination);
        self.serve_lane(partition, destination, now);
        Some(result)
    }

    /// A lane, and what it needs for a decision.
    fn lane_cx(
        &mut self,
        partition: Partition,
        destination: DestinationIndex,
        now: Timestamp,
    ) -> Option<(&mut Lane, Context<'_>)> {
        let (lane, tally) = self.partitions.get_mut(&partition)?.lane_and_tally(destination)?;
        let cx = Context {
            now,
            settings: &self.settings,
            destination: &self.gates.get(destination.0)?.destination,
            random: &mut self.random,
            timers: &mut self.timers,
            memory: &mut self.memory,
            notices: &mut self.notices,
            tally,
        };
        Some((lane, cx))
    }

    /// Makes the destination's lane, if nothing was under way in it until now.
    fn make_lane(&mut self, partition: Partition, destination: DestinationIndex) {
        if self.partitions.get(&partition).is_none_or(|owned| owned.lane(destination).is_some()) {
            return;
        }
        let (id, seed, ordering) = (self.next_id(), self.random.next(), self.destination(destination).ordering);
        let mut lane = Lane::new(id, destination, partition, ordering, Offset::ZERO, seed);
        lane.follow(self.in_flight_of_former(partition, destination));
        if let Some(owned) = self.partitions.get_mut(&partition) {
            owned.insert(lane);
        }
    }

    /// Sees to what a lane needs: its place at the gate, data, a scan, more of the log, a commit.
    fn serve_lane(&mut self, partition: Partition, destination: DestinationIndex, now: Timestamp) {
        self.queue_at_gate(partition, destination);
        self.read_for_lane(partition, destination, now);
        self.note_change(partition, now);
    }

    /// The configured destinations, by index.
    fn destination(&self, index: DestinationIndex) -> &Destination {
        &self.gates[index.0].destination
    }
}
