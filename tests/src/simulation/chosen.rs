//! Replays with a selection, recoveries among them: begun and ended while everything goes wrong, and one more in the end,
//! where the oracle asks for just what was chosen.

use super::happenings::{CANCEL, CHOOSE, CHOOSE_AT_THE_END, EXPIRED};
use super::{Simulation, key_of, tenant};
use laneway_domain::{
    Command, DestinationName, Fate, Offset, Partition, ReplayId, ReplayOrder, Selection, TypePattern,
};
use laneway_memory::{MemoryStore, Settings};
use laneway_ports::{HistoryRange, HistoryStore as _, MAX_HISTORY_PAGE, WorkerControl as _};

/// So many ids are drawn from, so that some are asked for twice, and replays of one destination meet.
const IDS: u64 = 4;

impl Simulation {
    /// An operator wants some events of a destination once more. What comes of it, a crash may undo.
    pub(super) async fn choose(&mut self) {
        self.trace.count(CHOOSE);
        let (destination, order) = self.draw_order().await;
        let replay = self.draw_id();
        let told = self.begin(&destination, &replay, &order).await;
        self.trace.line(format!("{destination}: the replay {replay} is to begin: {told}, {order:?}"));
    }

    /// An operator does not want one any more.
    pub(super) async fn cancel(&mut self) {
        let (destination, replay) = (self.draw_destination(), self.draw_id());
        let mut ended = false;
        for process in self.processes.iter().filter(|process| !process.is_frozen()) {
            let command = Command::CancelReplay { destination: destination.clone(), replay: replay.clone() };
            ended |= process.worker.command(command).await == Ok(true);
        }
        if ended {
            self.trace.count(CANCEL);
            self.trace.line(format!("{destination}: the replay {replay} is ended"));
        }
    }

    /// Nothing goes wrong any more, and all is settled: what is chosen now comes once more, in order and once; and of
    /// what is new, that which waits for it comes after.
    pub(super) async fn choose_at_the_end(&mut self) {
        let (destination, order) = self.draw_order().await;
        self.trace.count(CHOOSE_AT_THE_END);
        self.trace.chosen(&destination, order.clone());
        let replay = ReplayId::new("at-the-end").expect("short and plain");
        if !self.begin(&destination, &replay, &order).await {
            self.oracle.broken(format!("{destination}: no worker takes a replay of {order:?}"));
        }
        for _ in 0..3 {
            self.append().await;
        }
    }

    async fn draw_order(&mut self) -> (DestinationName, ReplayOrder) {
        let (destination, from) = self.draw_replay().await;
        let ranges = from.into_iter().map(|(partition, from)| (partition, from..Offset(u64::MAX)));
        let mut selection = Selection::default();
        if self.chance.one_in(2) {
            let count = 1 + self.chance.below(3);
            selection.tenant = self.chance.one_in(3).then(tenant);
            selection.keys = (0..count).map(|_| key_of(1 + self.chance.below(self.plan.keys))).collect();
        }
        if self.chance.one_in(3) {
            selection.types = vec![TypePattern::new("order.*").expect("a pattern")];
        }
        let first = self.chance.one_in(5);
        let order = ReplayOrder { asked_at: self.disk.now(), ranges: ranges.collect(), selection, first };
        (destination, order)
    }

    pub(super) fn draw_destination(&mut self) -> DestinationName {
        let at = self.chance.below(self.plan.destinations.len() as u64);
        self.plan.destinations[usize::try_from(at).unwrap_or(0)].name.clone()
    }

    /// From the history, which no dead letter leaves when a replay takes it back.
    pub(super) async fn learn_what_was_given_up(&mut self) {
        let store = MemoryStore::open(self.disk.clone(), Settings::default());
        for partition in (0..self.plan.partitions).map(Partition) {
            let mut range = HistoryRange::Latest;
            while let Ok(page) = store.history(partition, range, MAX_HISTORY_PAGE).await
                && let Some(last) = page.last()
            {
                range = HistoryRange::Before(last.place);
                let told = page.iter().filter_map(|record| record.told.as_ref().ok()).flat_map(|history| &history.told);
                let given_up = told.filter(|told| told.fate == Fate::DeadLetter);
                let places = given_up.map(|told| (told.destination.clone(), (partition, told.offset))).collect();
                self.oracle.given_up(places);
                let told = page.iter().filter_map(|record| record.told.as_ref().ok()).flat_map(|history| &history.told);
                let expired = told.filter(|told| told.fate == Fate::Expired);
                let expired = expired.map(|told| (told.destination.clone(), (partition, told.offset), told.at));
                let expired: Vec<_> = expired.collect();
                if !expired.is_empty() {
                    self.trace.count(EXPIRED);
                }
                self.oracle.expired(expired);
            }
        }
    }

    fn draw_id(&mut self) -> ReplayId {
        ReplayId::new(&format!("r{}", self.chance.below(IDS))).expect("short and plain")
    }

    /// Tells every process that is not standing still. Whether each has taken it for the partitions that it has.
    async fn begin(&self, destination: &DestinationName, replay: &ReplayId, order: &ReplayOrder) -> bool {
        let mut taken = true;
        for process in self.processes.iter().filter(|process| !process.is_frozen()) {
            let (destination, replay, order) = (destination.clone(), replay.clone(), Box::new(order.clone()));
            let command = Command::BeginReplay { destination, replay, order };
            taken &= process.worker.command(command).await == Ok(true);
        }
        taken
    }
}
