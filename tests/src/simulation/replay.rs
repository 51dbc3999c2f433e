//! Replays: asked for while everything goes wrong, and once more in the end, where the oracle asks for all of it.

use super::Simulation;
use super::happenings::{REPLAY, REPLAY_AT_THE_END};
use super::process::Process;
use laneway_domain::{Command, DestinationName, Offset, Partition};
use laneway_memory::{MemoryStore, Settings};
use laneway_ports::{EventLog as _, WorkerControl as _};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::sleep;

/// Longer than any write of the store takes.
const TRIMS_END_WITHIN: Duration = Duration::from_secs(1);

impl Simulation {
    /// An operator wants some destination's events again, from anywhere on. What comes of it, a crash may undo.
    pub(super) async fn replay(&mut self) {
        self.trace.count(REPLAY);
        let (destination, from) = self.draw_replay().await;
        let told = self.tell_all(&destination, &from).await;
        self.trace.line(format!("{destination} is to get again what is from {from:?} on: {told}"));
    }

    /// The same when nothing goes wrong any more, and all is settled: then everything must come again, in order.
    pub(super) async fn replay_at_the_end(&mut self) {
        // What is trimmed meanwhile could not come again, and nobody could tell. A trim under way takes its time.
        self.processes.iter().for_each(Process::stop_upkeep);
        sleep(TRIMS_END_WITHIN).await;
        self.trace.count(REPLAY_AT_THE_END);
        let (destination, from) = self.draw_replay().await;
        self.trace.replay(&destination, from.clone());
        if !self.tell_all(&destination, &from).await {
            self.oracle.broken(format!("{destination}: no worker takes a replay from {from:?}"));
        }
    }

    pub(super) async fn draw_replay(&mut self) -> (DestinationName, BTreeMap<Partition, Offset>) {
        let destination = self.draw_destination();
        let store = MemoryStore::open(self.disk.clone(), Settings::default());
        let mut from = BTreeMap::new();
        for partition in (0..self.plan.partitions).map(Partition) {
            if let Ok(bounds) = store.bounds(partition).await {
                let back = self.chance.below(bounds.start.events_until(bounds.end) + 1);
                // Not below the start of the end's generation: where a former one ended is not known here.
                let least = bounds.start.max(Offset::in_generation(bounds.end.generation(), 0));
                from.insert(partition, Offset(bounds.end.0.saturating_sub(back)).max(least));
            }
        }
        (destination, from)
    }

    /// Tells every process that is not standing still. Whether any has acted.
    async fn tell_all(&self, destination: &DestinationName, from: &BTreeMap<Partition, Offset>) -> bool {
        let mut told = false;
        for process in self.processes.iter().filter(|process| !process.is_frozen()) {
            let command = Command::Replay { destination: destination.clone(), from: from.clone() };
            told |= process.worker.command(command).await == Ok(true);
        }
        told
    }
}
