//! Whether a partition is in the state that it says it is in.

use super::OwnedPartition;
use crate::dispatcher::shared::Shared;
use crate::dispatcher::under_way::Purpose;
use crate::io::AttemptId;
use crate::lane::Lane;
use crate::partition::{Offset, Partition};
use crate::replay::Held;
use crate::way::Way;

impl OwnedPartition {
    /// See [`crate::Dispatcher::check`].
    pub(in crate::dispatcher) fn check(&self, partition: Partition, shared: &Shared) {
        assert_eq!(self.partition, partition);
        assert!(!self.released, "a partition that was let go of is forgotten");
        let attempts = shared.attempts.values();
        let own = attempts.filter(|a| a.partition == partition && a.incarnation == self.incarnation).count();
        assert_eq!(self.attempts, own, "attempts of partition {partition} in flight");
        if let Some(waiting) = shared.waiting_ends.get(&partition) {
            assert!(
                self.commits.is_in_flight(),
                "ends of attempts wait for a commit of {partition} that is on its way"
            );
            let under_way =
                |id: &AttemptId| shared.attempts.get(*id).is_some_and(|a| a.incarnation == self.incarnation);
            assert!(waiting.keys().all(under_way), "attempts of {partition} whose ends wait are under way");
        }
        for index in &self.joining {
            assert!(shared.destinations.is_present(*index), "a destination joins that there is");
            assert!(self.lanes.get(*index).is_none(), "a destination that joins has no lane");
        }
        self.lanes.check(shared.destinations.present().count() - self.joining.len(), self.head);
        self.replays.check(|index| shared.destinations.get(index).ordering);
        for lane in self.lanes.all().chain(self.replays.all()) {
            lane.check();
            let (destination, at) = (lane.destination, lane.at());
            assert!(
                shared.destinations.is_present(destination),
                "a lane is of a destination that there is: {}",
                destination.0
            );
            if lane.queued_at_gate {
                let waiting = &shared.destinations.gate(destination).waiting;
                assert!(
                    waiting.contains(&(partition, at.way)),
                    "a lane of partition {partition} waits at a gate, and is not there"
                );
            }
            let attempts = shared.attempts.at(self.incarnation, destination);
            let others = attempts.filter(|(_, attempt)| attempt.lane != lane.id);
            let others = others.map(|(id, attempt)| (id, attempt.keys().collect::<Vec<_>>()));
            let held = if at.way == Way::Live { self.replays.held(destination) } else { Held::default() };
            lane.check_yielding(others, &held);
        }
        self.check_awake(shared);
        self.check_replays_awake(shared);
        self.check_catching_up(shared);
    }

    /// No replay that was asked for waits for nothing: for the end of an attempt, for its destination's lane to come as far
    /// as it reaches, or for a commit.
    fn check_replays_awake(&self, shared: &Shared) {
        if self.commits.is_about_to_be_made() || self.releasing {
            return;
        }
        for (index, until) in self.replays.asked() {
            let in_flight = shared.attempts.at(self.incarnation, index).next().is_some();
            let stood = self.lanes.get(index).map_or(self.scanned(), |lane| lane.stood_at(self.scanned()));
            assert!(in_flight || stood < until, "a replay of destination {} was asked for, and sleeps", index.0);
        }
    }

    /// Every lane that waits for a read waits for one that was asked for, and that is under way or waits for its turn.
    fn check_catching_up(&self, shared: &Shared) {
        for lane in self.lanes.all().filter(|lane| !lane.is_attached() && lane.is_reading()) {
            let group = shared.destinations.gate(lane.destination).group;
            assert!(self.catching_up.has_asked(group, lane.cursor()), "a lane waits for a read, and none is asked for");
        }
        for lane in self.lanes.all().chain(self.replays.all()) {
            let Some(from) = lane.scans_from() else { continue };
            let group = shared.destinations.gate(lane.destination).group;
            assert!(self.catching_up.has_scan(from, lane.id), "a scan waits for a read, and is known");
            assert!(self.catching_up.has_asked(group, from), "a scan waits for a read, and none is asked for");
        }
        let own = shared.reads.values().filter(|read| read.asked_by == self.incarnation);
        let asked = own.filter_map(|read| match read.purpose {
            Purpose::CatchUp(group) => Some((group, read.from)),
            _ => None,
        });
        assert_eq!(*self.catching_up.asked(), asked.collect(), "the reads that lanes behind have asked for");
    }

    /// No lane that reads for itself sleeps while there is something that it may read.
    fn check_awake(&self, shared: &Shared) {
        let may_read = |lane: &&Lane| !self.releasing && !shared.destinations.gate(lane.destination).is_paused();
        let end = self.end.min(self.judged_below());
        for lane in self.lanes.all().filter(may_read) {
            // Ahead of the shared reader it waits to be overtaken.
            let waits = self.lanes.attached() > 0 && lane.looked_up_to(self.head) >= self.head;
            lane.check_awake(if waits { Offset::ZERO } else { end }, &shared.settings);
        }
        for lane in self.replays.all().filter(may_read) {
            let record = self.replays.record(lane.destination, lane.id);
            let until = record.map_or(Offset::ZERO, |(_, record)| record.progress.spec.until);
            lane.check_awake(until, &shared.settings);
        }
    }
}
