//! The world's replays: what is wanted again is not settled any more.

use super::fixtures::{PARTITION, name};
use super::world::{Place, World, pick};
use crate::{Command, DestinationName, Offset};

impl World {
    /// The operator wants what `destination` got from some event on again.
    pub(super) fn replay(&mut self, destination: u8, from: u64) {
        let names = ["by-key", "strict", "unordered", "batched"];
        let destination = name(names[usize::from(destination) % names.len()]);
        if self.log.is_empty() {
            return;
        }
        let from = self.log[pick(from, self.log.len())].offset;
        self.go_back(&destination, from);
    }

    /// The operator wants what `destination` got from `from` on again.
    pub(super) fn go_back(&mut self, destination: &DestinationName, from: Offset) {
        let command = Command::Replay { destination: destination.clone(), from: [(PARTITION, from)].into() };
        let configured = self.destinations.iter().any(|known| known.name == *destination);
        if configured {
            let wanted_again = |(of, offset): &Place| of == destination && *offset >= from;
            self.again.extend(self.settled.extract_if(.., wanted_again));
            self.replayed.extend(self.again.iter().cloned());
            self.replays_go_back(destination, from);
            for settled in [&mut self.settled_here, &mut self.made.here, &mut self.made.here_before] {
                settled.retain(|place| !wanted_again(place));
            }
        }
        let acted = self.command(command);
        assert_eq!(acted, configured, "a replay is for those that are configured");
    }

    /// A commit was stored: what it does not say to be settled any more has to be settled anew.
    pub(super) fn replays_are_stored(&mut self) {
        let again = std::mem::take(&mut self.again);
        self.again = again.into_iter().filter(|place| self.is_stored_as_settled(place)).collect();
        self.stored_is_gone_back();
    }

    /// Whoever claims the partition knows of a replay only if it is stored, and not lost since.
    pub(super) fn lose_unstored_replays(&mut self) {
        let lost: Vec<Place> = self.replayed.iter().filter(|place| self.is_stored_as_settled(place)).cloned().collect();
        self.settled.extend(lost);
        self.again.clear();
        self.nobody_goes_back();
    }

    fn is_stored_as_settled(&self, (destination, offset): &Place) -> bool {
        // What was lost with a primary is nobody's to deliver.
        let Ok(at) = self.log.binary_search_by_key(offset, |event| event.offset) else { return false };
        let key = self.lane_key(destination, &self.log[at]);
        self.stored.lanes.get(destination).is_some_and(|lane| self.claims(lane, *offset, &key))
    }
}
