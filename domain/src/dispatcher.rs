//! The dispatcher: all decisions of a worker process, as a state machine without I/O.
//!
//! It holds the lanes of every partition that the process owns, and one gate per destination that
//! they all pass. The law of its API: **every input is followed by polling outputs until there is
//! none.** Time comes in as an argument, randomness as a seed; nothing blocks, and no input from
//! outside makes it panic. Its own broken invariants do, in release too: a stopped process loses
//! nothing, a wrong one may.
//!
//! Here an input finds the partition that it is about, once. Whether there is one is decided here,
//! too: what comes late of a partition that was lost, or of a read or an attempt that has ended,
//! changes nothing. Inside, in [`owned`], whatever has to be there is.

mod attempts;
mod commands;
mod destinations;
mod owned;
mod reading;
mod shared;
mod status;
#[cfg(test)]
mod tests;
mod under_way;

use crate::deleted_tenants::DeletedTenants;
use crate::destination::{DestinationIndex, DestinationName};
use crate::filter::Filters;
use crate::io::{DestinationChanges, Input, Output, ReadId};
use crate::partition::{Offset, Partition};
use crate::progress::PartitionProgress;
use crate::settings::Settings;
use crate::time::Timestamp;
use crate::timers::Timer;
use crate::way::LaneAt;
use owned::{Answer, OwnedPartition};
use shared::Shared;
pub use status::Survey;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

/// The state machine of a worker process.
#[derive(Debug)]
pub struct Dispatcher {
    shared: Shared,
    partitions: BTreeMap<Partition, OwnedPartition>,
}

impl Dispatcher {
    /// A dispatcher that owns nothing yet. The same `seed` and inputs give the same outputs.
    #[must_use]
    pub fn new(settings: Settings, seed: u64) -> Self {
        Self { shared: Shared::new(settings, seed), partitions: BTreeMap::new() }
    }

    /// Takes in what has happened by `now`.
    ///
    /// # Panics
    /// If outputs of the input before were not polled.
    pub fn handle(&mut self, input: Input, now: Timestamp) {
        assert!(self.shared.is_drained(), "outputs are polled before the next input");
        self.shared.now = now;
        match input {
            Input::Destinations(change) => self.configure(change),
            Input::DeletedTenants(deleted) => self.delete_tenants(deleted),
            Input::Claimed { partition, progress, gone, log, until } => {
                self.claimed(partition, progress, &gone, &log, until);
            }
            Input::LeaseRenewed { partition, until } => {
                self.within(partition, |owned, shared| owned.renewed(until, shared));
            }
            Input::LeaseLost(partition) => self.lost(partition),
            Input::Grew { partition, end } => self.within(partition, |owned, shared| owned.grew(end, shared)),
            Input::Trimmed { partition, start } => self.within(partition, |owned, _| owned.trimmed(start)),
            Input::Read { read, events, corrupt, next } => {
                self.read_ended(read, Answer::Log { events, corrupt, next });
            }
            Input::DeadLetterRead { read, event } => self.read_ended(read, Answer::DeadLetter(Ok(event))),
            Input::DeadLetterUnreadable { read, why } => self.read_ended(read, Answer::DeadLetter(Err(why))),
            Input::EndRead { read, end } => self.read_ended(read, Answer::End(end)),
            Input::ReadFailed(read) => self.read_failed(read),
            Input::Redrive { partition, requests } => {
                self.within(partition, |owned, shared| owned.redrive(&requests, shared));
            }
            Input::AttemptEnded { attempt, outcomes, met } => self.attempt_ended(attempt, outcomes, met),
            Input::Committed(partition) => {
                self.within(partition, OwnedPartition::committed);
                self.end_waiting(partition);
            }
            Input::CommitFailed(partition) => self.within(partition, OwnedPartition::commit_failed),
            Input::Release(partition) => self.within(partition, OwnedPartition::release),
            Input::Command { id, command } => self.command(id, &command),
        }
    }

    /// What is to be done at `now`; `None` when there is nothing more until the next input or
    /// [`Dispatcher::next_wakeup`].
    pub fn poll(&mut self, now: Timestamp) -> Option<Output> {
        if self.shared.is_drained() {
            self.shared.now = now;
            while let Some(timer) = self.shared.timers.pop(now) {
                self.fired(timer);
            }
            self.pass_gates();
            self.send_reads();
        }
        let output = self.shared.next_output();
        if output.is_none() && self.shared.settings.check_state {
            self.check();
        }
        output
    }

    /// When to poll again even if nothing has happened.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Timestamp> {
        self.shared.timers.next()
    }

    /// The partitions that it works on.
    pub fn partitions(&self) -> impl Iterator<Item = Partition> + '_ {
        self.partitions.keys().copied()
    }

    /// Whether there is a destination of this name, as far as it was told.
    #[must_use]
    pub fn has_destination(&self, name: &DestinationName) -> bool {
        self.shared.destinations.named(name).is_some()
    }

    /// By which filters a destination of this name judges events, if there is one.
    #[must_use]
    pub fn filters(&self, name: &DestinationName) -> Option<Arc<Filters>> {
        let index = self.shared.destinations.named(name)?;
        Some(self.shared.destinations.get(index).filters.clone())
    }

    /// Computes anew whatever it keeps a sum or an index of, and compares.
    ///
    /// # Panics
    /// If something differs: its state is not what it is said to be.
    pub fn check(&self) {
        self.shared.check(self.partitions.values().flat_map(OwnedPartition::holds));
        for (partition, owned) in &self.partitions {
            owned.check(*partition, &self.shared);
        }
        self.check_status(self.shared.now);
    }

    /// Lets `act` work on a partition, if it is owned. One that was lost, or let go of, may still be
    /// spoken of: by whoever was not told yet, by answers that were on their way, by timers.
    fn within(&mut self, partition: Partition, act: impl FnOnce(&mut OwnedPartition, &mut Shared)) {
        let Some(owned) = self.partitions.get_mut(&partition) else { return };
        act(owned, &mut self.shared);
        if owned.is_released() {
            self.lost(partition);
        }
    }

    /// The destinations have changed.
    fn configure(&mut self, change: DestinationChanges) {
        let changes = self.shared.configure(change);
        for owned in self.partitions.values_mut() {
            owned.configure(&changes, &mut self.shared);
        }
        let deleted = changes.deleted.iter().filter_map(|deleted| deleted.index);
        for index in deleted.chain(changes.left.iter().copied()) {
            self.shared.destinations.forget_if_gone(index);
        }
    }

    /// What waits of the events of these tenants goes nowhere.
    fn delete_tenants(&mut self, deleted: DeletedTenants) {
        self.shared.deleted_tenants = deleted;
        for owned in self.partitions.values_mut() {
            owned.drop_deleted_tenants(&mut self.shared);
        }
    }

    /// This process owns the partition now.
    fn claimed(
        &mut self,
        partition: Partition,
        progress: PartitionProgress,
        gone: &BTreeSet<DestinationName>,
        log: &Range<Offset>,
        until: Timestamp,
    ) {
        // One that it had already is another ownership all the same.
        self.lost(partition);
        let owned = OwnedPartition::claim(partition, progress, gone, log, until, &mut self.shared);
        self.partitions.insert(partition, owned);
    }

    /// This process no longer owns the partition, if it did.
    fn lost(&mut self, partition: Partition) {
        if let Some(owned) = self.partitions.remove(&partition) {
            owned.discard(&mut self.shared.memory);
            self.shared.forget_reads_of(partition);
            self.shared.destinations.forget_waiting(partition);
            self.end_waiting(partition);
            let attempts = self.shared.attempts.of(owned.incarnation());
            if !attempts.is_empty() {
                self.shared.output(Output::Abandon { attempts });
            }
        }
    }

    fn read_ended(&mut self, id: ReadId, answer: Answer) {
        // An answer that comes a second time.
        let Some(read) = self.shared.read_is_over(id) else { return };
        self.within(read.partition, |owned, shared| owned.read_ended(&read, answer, shared));
    }

    fn fired(&mut self, timer: Timer) {
        match timer {
            Timer::Gate(destination) => self.shared.gate_is_due(destination),
            Timer::Reads => self.shared.take_places_from_slow_reads(),
            Timer::Commit(partition) => self.within(partition, OwnedPartition::commit_due),
            Timer::Recommit(partition) => self.within(partition, OwnedPartition::recommit),
            Timer::Reread(read) => self.reread(read),
            Timer::Lane(partition, at, timer) => {
                self.within(partition, |owned, shared| owned.lane_due(at, &timer, shared));
            }
        }
    }

    /// Starts what gates let through: of destinations that had to wait for others of their group one attempt in turn.
    fn pass_gates(&mut self) {
        loop {
            while let Some(destination) = self.shared.to_admit.pop_first() {
                self.pass_gate(destination, false);
            }
            let Some(destination) = self.shared.next_in_turn() else { return };
            self.pass_gate(destination, true);
        }
    }

    /// Starts what a destination's gate lets through. The first is its turn, if it had to wait for that.
    fn pass_gate(&mut self, destination: DestinationIndex, mut is_its_turn: bool) {
        while let Some((partition, way)) = self.shared.admit(destination, is_its_turn) {
            self.within(partition, |owned, shared| owned.start_attempt(LaneAt { destination, way }, shared));
            is_its_turn = false;
        }
    }
}
