//! Several workers over one store: what happens to them, and how they must share the partitions once
//! nothing happens any more.

use super::Simulation;
use super::happenings::{CUT_OFF, JOINS, STANDS_STILL, STOPS};
use super::process::{Process, id};
use laneway_app::worker::{ANNOUNCE_EVERY, PRESENT_FOR};
use laneway_domain::Partition;
use laneway_ports::{Lease, WorkerControl as _};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::sleep;

/// How soon after the last change some worker works on every partition.
const HELD_WITHIN: Duration = Duration::from_secs(7);
/// How soon every worker has its share: attempts that were in flight take up to 12 s, and a hand-over
/// of an eighth of the partitions at a time about ten rounds of a second or two.
const EVEN_WITHIN: Duration = Duration::from_secs(40);
/// How often is looked.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The most workers at a time.
const MOST: usize = 4;

impl Simulation {
    /// Now and then something happens to a worker.
    pub(super) async fn disturb(&mut self) {
        self.stopping.retain(|process| !process.has_ended());
        if !self.chance.one_in(6) {
            return;
        }
        match self.chance.below(6) {
            0 if self.processes.len() < MOST => {
                self.trace.count(JOINS);
                self.start().await;
            }
            1 => self.crash().await,
            2 => self.stop_one().await,
            3 | 4 => self.freeze_one(),
            _ => {
                if let Some(at) = self.pick() {
                    let process = &self.processes[at];
                    let cut_off = process.troubles.toggle_register();
                    if cut_off {
                        self.trace.count(CUT_OFF);
                    }
                    self.trace.line(format!("process {} sees the others: {}", process.number, !cut_off));
                }
            }
        }
    }

    async fn stop_one(&mut self) {
        let Some(at) = self.pick() else { return };
        let process = self.processes.swap_remove(at);
        process.freeze(false);
        self.trace.count(STOPS);
        self.trace.line(format!("process {} is told to stop", process.number));
        process.stop().await;
        self.stopping.push(process);
    }

    /// Makes one stand still that goes, or go on that stands still.
    fn freeze_one(&mut self) {
        let Some(at) = self.pick() else { return };
        let process = &self.processes[at];
        let frozen = !process.is_frozen();
        process.freeze(frozen);
        if frozen {
            self.trace.count(STANDS_STILL);
        }
        self.trace.line(format!("process {} stands still: {frozen}", process.number));
    }

    pub(super) async fn heal(&mut self) {
        for sink in self.sinks.values() {
            sink.heal();
        }
        self.healed = true;
        if self.processes.iter().any(|process| process.lacks.is_some()) {
            // Every destination is back in the configuration, which is read at start.
            self.crash().await;
        }
        if self.processes.is_empty() {
            self.start().await;
        }
        for process in self.processes.iter().chain(&self.stopping) {
            process.troubles.heal();
            process.freeze(false);
        }
        self.trace.line("from here on nothing goes wrong".to_owned());
    }

    fn leases(&self) -> impl Iterator<Item = (Partition, Option<Lease>)> + '_ {
        (0..self.plan.partitions).map(Partition).map(|partition| (partition, self.disk.lease(partition)))
    }

    /// Every partition is soon worked on, and every worker soon has its share.
    pub(super) async fn everything_is_shared(&mut self) {
        let mut unheld: BTreeSet<Partition> = (0..self.plan.partitions).map(Partition).collect();
        let mut waited = Duration::ZERO;
        while waited < HELD_WITHIN && !unheld.is_empty() {
            sleep(LOOK_EVERY).await;
            waited += LOOK_EVERY;
            let alive: BTreeSet<_> = self.processes.iter().chain(&self.stopping).map(|p| id(p.number)).collect();
            let held = self.leases().filter_map(|(partition, lease)| Some((partition, lease?)));
            for (partition, _) in held.filter(|(_, lease)| alive.contains(&lease.worker)).collect::<Vec<_>>() {
                unheld.remove(&partition);
            }
        }
        if !unheld.is_empty() {
            self.oracle.broken(format!("after {HELD_WITHIN:?} nobody works on {unheld:?}"));
        }
        // Who died last is taken to be there until then.
        let forgotten = PRESENT_FOR + 2 * ANNOUNCE_EVERY;
        sleep(forgotten.saturating_sub(waited)).await;
        waited = waited.max(forgotten);
        while waited < EVEN_WITHIN && self.unshared().await.is_some() {
            sleep(LOOK_EVERY).await;
            waited += LOOK_EVERY;
            self.stopping.retain(|process| !process.has_ended());
        }
        if let Some(what) = self.unshared().await {
            self.oracle.broken(format!("after {EVEN_WITHIN:?}: {what}"));
        }
        self.at_rest = self.leases().filter_map(|(partition, lease)| Some((partition, lease?.epoch))).collect();
        self.trace.line(format!("every worker has its share after {waited:?}"));
    }

    /// What is not as it should be in the end, if something is not.
    fn uneven(&self) -> Option<String> {
        if !self.stopping.is_empty() {
            return Some(format!("{} have not stopped", self.stopping.len()));
        }
        let leases: Vec<_> = self.leases().collect();
        if let Some((partition, _)) = leases.iter().find(|(_, lease)| lease.is_none()) {
            return Some(format!("nobody works on {partition}"));
        }
        let of = |process: &Process| {
            let its =
                |lease: &&(Partition, Option<Lease>)| lease.1.as_ref().is_some_and(|l| l.worker == id(process.number));
            leases.iter().filter(its).count()
        };
        let counts: Vec<usize> = self.processes.iter().map(of).collect();
        let even = counts.iter().max().zip(counts.iter().min()).is_none_or(|(most, least)| most - least <= 1);
        let all = counts.iter().sum::<usize>() == leases.len();
        (!even || !all).then(|| format!("the workers have {counts:?} of {} partitions", leases.len()))
    }

    /// What some worker does not know of what it has, if there is something.
    async fn unknown(&self) -> Option<String> {
        for process in &self.processes {
            let its = |lease: &Option<Lease>| lease.as_ref().is_some_and(|lease| lease.worker == id(process.number));
            let has: Vec<Partition> = self.leases().filter(|(_, lease)| its(lease)).map(|(p, _)| p).collect();
            let says = process.worker.status().await.map(|status| status.partitions);
            if says.as_ref() != Some(&has) {
                return Some(format!("process {} works on {says:?} and has {has:?}", process.number));
            }
            let not_ready = process.worker.not_ready().await;
            if !not_ready.is_empty() {
                return Some(format!("process {} has its share and says {not_ready:?}", process.number));
            }
        }
        None
    }

    async fn unshared(&self) -> Option<String> {
        match self.uneven() {
            Some(what) => Some(what),
            None => self.unknown().await,
        }
    }

    /// Since every worker had its share, no partition has gone from one to another.
    pub(super) fn nothing_has_moved(&mut self) {
        let now = self.leases().filter_map(|(partition, lease)| Some((partition, lease?.epoch))).collect();
        if self.at_rest != now {
            let before = std::mem::take(&mut self.at_rest);
            self.oracle
                .broken(format!("partitions moved although nothing had changed: epochs {before:?}, then {now:?}"));
        }
    }
}
