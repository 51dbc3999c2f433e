//! How a world comes to its end: everything works, and all that was sent has to be settled.

use super::fixtures::{PARTITION, destinations};
use super::world::{Op, Whose, World};
use crate::*;

impl World {
    /// Everything works from here on; all must come to its end.
    pub(super) fn heal_and_finish(&mut self) {
        let mut well = destinations(self.in_the_end);
        for destination in &mut well {
            destination.on_give_up = OnGiveUp::DeadLetter;
        }
        self.destinations.clone_from(&well);
        self.input(Input::Destinations(DestinationChanges::present(well.clone())));
        self.end_pauses();
        let end = self.end;
        self.input(Input::Grew { partition: PARTITION, end });
        // The shell tells again from time to time what someone wants retried.
        let requests = self.stored.redrives.clone();
        self.input(Input::Redrive { partition: PARTITION, requests });
        for round in 0.. {
            assert!(
                round < 30_000,
                "it does not come to an end: {:.3000?} {:?} {:?} {:.0?}",
                self.stored,
                self.dead,
                self.dispatcher.next_wakeup(),
                self.dispatcher.partitions.get(&PARTITION),
            );
            self.renew();
            self.release_held(&well);
            if self.work_once() {
                continue;
            }
            let complete = self.is_complete(&well) && self.changes_are_complete() && self.replays_are_complete();
            // What has just gone back is stored as settled until the next commit.
            if complete && self.telling.is_empty() && self.pending() == 0 {
                break;
            }
            let at = self.dispatcher.next_wakeup();
            assert!(at.is_some(), "it stands still: {:#?}\n{:#?}", self.dispatcher.status(self.now), self.stored);
            self.now = at.unwrap_or(self.now).max(self.now);
            self.drain();
        }
        self.check_stored();
        self.check_changes();
        self.check_stored_replays();
        self.check_replays();
    }

    /// How much is counted as pending, at all destinations.
    fn pending(&self) -> u64 {
        self.dispatcher.status(self.now).destinations.iter().map(|status| status.pending).sum()
    }

    fn release_held(&mut self, well: &[Destination]) {
        let names: Vec<_> = well.iter().map(|d| d.name.clone()).chain(self.changing()).collect();
        for destination in names {
            self.command(Command::Resume { destination });
        }
        let status = self.dispatcher.status(self.now);
        for destination in status.destinations {
            for blocked in destination.blocked.iter().filter(|blocked| blocked.next_attempt.is_none()) {
                let key = LaneKey::parse(&blocked.key).unwrap();
                let command = Command::RetryKey { destination: destination.name.clone(), key: key.into() };
                self.command(command);
            }
        }
    }

    /// Answers one thing that is waited for. `false` if there is none.
    pub(super) fn work_once(&mut self) -> bool {
        self.work_once_but_for(&[])
    }

    /// The same, but that attempts at some destinations do not end.
    pub(super) fn work_once_but_for(&mut self, hanging: &[&str]) -> bool {
        let ends = |(id, (to, ..)): &(&AttemptId, &(DestinationName, Vec<Attempted>, Whose))| {
            !hanging.contains(&to.as_str()) && !self.ending.contains_key(id)
        };
        if !self.reads.is_empty() {
            let (read, _) = self.reads.remove(0);
            self.answer(&read, Some(self.log.len()));
        } else if let Some(id) = self.attempts.iter().find(ends).map(|(id, _)| *id) {
            let count = self.attempts[&id].1.len();
            self.end_attempt(id, vec![Outcome::Delivered; count]);
        } else if let Some(commit) = self.commits.pop() {
            self.apply(&commit);
            self.input(Input::Committed(PARTITION));
        } else {
            return false;
        }
        true
    }

    /// Time passes, in which all that is due is committed, and everything is answered but attempts at `hanging`.
    pub(super) fn pass(&mut self, hanging: &[&str]) {
        for _ in 0..10 {
            while self.work_once_but_for(hanging) {}
            self.renew();
            self.step(&Op::Wait(30));
        }
    }

    /// Stored progress says that all is settled, and it is.
    pub(super) fn is_complete(&self, destinations: &[Destination]) -> bool {
        destinations.iter().all(|destination| {
            let Some(lane) = self.stored.lanes.get(&destination.name) else { return false };
            let position = lane.position.offset(self.stored.scanned);
            position == self.end
                && lane.behind.is_empty()
                && self.stored.redrives.iter().all(|request| request.destination != destination.name)
        })
    }
}
