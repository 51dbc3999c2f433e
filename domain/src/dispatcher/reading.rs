//! Reads: they go out in turns, as far as they are some lane's. What is for all lanes of a partition goes at once.

use super::Dispatcher;
use super::shared::Shared;
use super::under_way::{Purpose, Read};
use crate::io::{Output, ReadId};
use crate::partition::Partition;
use crate::shares::GroupIndex;
use crate::timers::Timer;
use std::time::Duration;

/// How long after a read failed it is made again. The shell has logged why.
const REREAD_AFTER: Duration = Duration::from_millis(250);
/// How long a read has a place that others may need: one of a partition whose node is away must not hold up the rest.
const PLACED_FOR: Duration = Duration::from_millis(500);

impl Shared {
    /// Asks for a read for the first time, or lets it wait for its turn.
    pub(super) fn read(&mut self, read: Read) {
        let id = ReadId(self.next_id());
        let first = match read.group {
            // Of those that nothing new waits for, one of a group goes at a time.
            Some(group) if read.unhurried => self.unhurried.add(group, id),
            _ => true,
        };
        self.reads.insert(id, read);
        if first {
            self.ask_in_turn(id);
        }
    }

    /// Asks for a read, when it has a place.
    fn ask_in_turn(&mut self, id: ReadId) {
        let Some(read) = self.reads.get(&id) else { return };
        match read.group {
            None => self.ask(id),
            Some(group) if !read.unhurried && !self.is_free_for(group) => self.read_places.wait(group, id),
            Some(_) => self.place(id),
        }
    }

    fn is_free_for(&self, group: GroupIndex) -> bool {
        self.read_places.may_take(group) && !self.read_places.has_waiting(group)
    }

    /// Gives a read a place, and asks for it.
    fn place(&mut self, id: ReadId) {
        let Some(read) = self.reads.get_mut(&id) else { return };
        let Some(group) = read.group else { return };
        read.has_place = true;
        if !read.unhurried {
            self.read_places.take(group);
        }
        while self.placed_reads.front().is_some_and(|(_, id)| self.reads.get(id).is_none_or(|read| !read.has_place)) {
            self.placed_reads.pop_front();
        }
        if self.placed_reads.is_empty() {
            self.set_timer_after(PLACED_FOR, Timer::Reads);
        }
        self.placed_reads.push_back((self.now, id));
        self.ask(id);
    }

    /// Places that reads have had for long are others' now, whatever becomes of the reads.
    pub(super) fn take_places_from_slow_reads(&mut self) {
        while let Some((since, id)) = self.placed_reads.front().copied() {
            let has_place = self.reads.get(&id).is_some_and(|read| read.has_place);
            let until = since.after(PLACED_FOR);
            if has_place && until > self.now {
                self.timers.set(until, Timer::Reads);
                return;
            }
            self.placed_reads.pop_front();
            self.give_place_back(id);
        }
    }

    fn give_place_back(&mut self, id: ReadId) {
        let Some(read) = self.reads.get_mut(&id).filter(|read| read.has_place) else { return };
        read.has_place = false;
        let (group, unhurried) = (read.group, read.unhurried);
        match group {
            Some(group) if unhurried => self.goes_after(group, id),
            Some(group) => self.read_places.give_back(group),
            None => {}
        }
    }

    /// Another one of those that nothing new waits for goes after this one, if somebody waits for it still.
    fn goes_after(&mut self, group: GroupIndex, id: ReadId) {
        self.next_unhurried.extend(self.unhurried.is_over(group, id));
    }

    /// A read is over, or nobody waits for it any more. `None` if it was over before.
    pub(super) fn read_is_over(&mut self, id: ReadId) -> Option<Read> {
        self.give_place_back(id);
        let read = self.reads.remove(&id)?;
        if let Some(group) = read.group.filter(|_| read.unhurried) {
            // It may have waited for its turn.
            self.goes_after(group, id);
        }
        Some(read)
    }

    /// Nobody waits for what is read of a partition any more.
    pub(super) fn forget_reads_of(&mut self, partition: Partition) {
        let of = self.reads.iter().filter(|(_, read)| read.partition == partition);
        for id in of.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.read_is_over(id);
        }
    }

    /// A read has failed, and is made again later.
    fn read_again_later(&mut self, id: ReadId) {
        self.give_place_back(id);
        self.set_timer_after(REREAD_AFTER, Timer::Reread(id));
    }

    /// A read whose turn has come.
    fn next_read_in_turn(&mut self) -> Option<ReadId> {
        self.next_unhurried.pop_front().or_else(|| self.read_places.next().map(|(_, id)| id))
    }

    /// A read that failed stands behind what came meanwhile.
    fn ask_once_more(&mut self, id: ReadId) {
        let Some(read) = self.reads.get(&id) else { return };
        let is_its_turn = read.group.filter(|_| read.unhurried).is_none_or(|group| self.unhurried.add(group, id));
        if is_its_turn {
            self.ask_in_turn(id);
        }
    }

    fn ask(&mut self, id: ReadId) {
        let Some(read) = self.reads.get(&id) else { return };
        let Read { partition, from, most, most_bytes, ref purpose, unhurried, .. } = *read;
        let output = match purpose {
            Purpose::DeadLetter(destination, _) => {
                let destination = self.destinations.get(destination.destination).name.clone();
                Output::ReadDeadLetter { read: id, partition, offset: from, destination }
            }
            Purpose::End => Output::ReadEnd { read: id, partition },
            _ => Output::Read { read: id, partition, from, most, most_bytes, unhurried },
        };
        self.output(output);
    }
}

impl Dispatcher {
    /// Whether whoever asked for a read still waits for it.
    fn is_waited_for(&self, id: ReadId) -> bool {
        let Some(read) = self.shared.reads.get(&id) else { return false };
        self.partitions.get(&read.partition).is_some_and(|owned| owned.waits_for(read, &self.shared))
    }

    /// Nobody waits for a read any more, and it is not made.
    fn drop_read(&mut self, id: ReadId) {
        // An answer may come a second time.
        let Some(read) = self.shared.read_is_over(id) else { return };
        // Its partition may be another process's now.
        if let Some(owned) = self.partitions.get_mut(&read.partition) {
            owned.forget_read(&read);
        }
    }

    pub(super) fn read_failed(&mut self, id: ReadId) {
        // An answer may come a second time.
        if self.is_waited_for(id) {
            self.shared.read_again_later(id);
        } else {
            self.drop_read(id);
        }
    }

    /// A read that failed is asked for again, if whoever asked still waits for it. It may have been answered meanwhile.
    pub(super) fn reread(&mut self, id: ReadId) {
        if self.is_waited_for(id) {
            self.shared.ask_once_more(id);
        } else {
            self.drop_read(id);
        }
    }

    /// Reads whose turn has come go out, if whoever asked still waits for them.
    pub(super) fn send_reads(&mut self) {
        while let Some(id) = self.shared.next_read_in_turn() {
            if self.is_waited_for(id) {
                self.shared.place(id);
            } else {
                self.drop_read(id);
            }
        }
    }
}
