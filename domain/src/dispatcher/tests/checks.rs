//! What the world checks after each step, from plain sets of events.

use super::world::World;
use crate::*;
use std::sync::Arc;

impl World {
    /// G2: a partition that was released repeats nothing: whatever was settled is claimed.
    pub(super) fn check_released(&self) {
        for (destination, offset) in &self.settled_here {
            let Some(lane) = self.stored.lanes.get(destination) else { continue };
            if !self.is_of_now(destination, lane) {
                continue;
            }
            let claimed = self.claims(lane, *offset, &self.lane_key(destination, self.at(*offset)));
            assert!(claimed, "{destination}: {offset} was settled and would come again: {lane:?}");
        }
    }

    /// G2: progress moves past an event only when it is settled.
    pub(super) fn check_stored(&self) {
        for (destination, lane) in self.stored.lanes.iter().filter(|(of, lane)| self.is_of_now(of, lane)) {
            for event in self.log.iter().filter(|event| self.wants(destination, event)) {
                let key = self.lane_key(destination, event);
                let foreign = lane.behind.keys().any(|k| {
                    std::mem::discriminant(k) != std::mem::discriminant(&key) && !matches!(k, LaneKey::Event(_))
                });
                let claimed = self.claims(lane, event.offset, &key);
                let place = (destination.clone(), event.offset);
                let settled = self.settled.contains(&place) || self.again.contains(&place);
                assert!(
                    !claimed || settled || foreign,
                    "{destination} claims {} of {key} settled: {lane:?}, scanned {}",
                    event.offset,
                    self.stored.scanned
                );
            }
        }
    }

    /// G2 and G4: what a crash repeats at a destination is its own affair. Once a commit is stored, all that it
    /// had settled when the commit before was made is claimed, but for what stands behind an unsettled event
    /// on track of its *own*.
    pub(super) fn check_repeats(&self) {
        let configured = |destination: &DestinationName| {
            let changing = self.changing_order(destination).is_some();
            changing || self.destinations.iter().any(|d| d.name == *destination && d.is_kept)
        };
        for (destination, offset) in self.made.here_before.iter().filter(|(of, _)| configured(of)) {
            let lane = self.stored.lanes.get(destination).filter(|lane| self.is_of_now(destination, lane));
            let holds = |event: &&Arc<LoggedEvent>| {
                let key = self.lane_key(destination, event);
                let open =
                    |lane: &LaneProgress| !lane.behind.contains_key(&key) && !self.claims(lane, event.offset, &key);
                self.wants(destination, event)
                    && !self.made.here.contains(&(destination.clone(), event.offset))
                    && lane.is_none_or(open)
            };
            if self.log.iter().take_while(|event| event.offset < *offset).any(|event| holds(&event)) {
                continue;
            }
            let key = self.lane_key(destination, self.at(*offset));
            assert!(
                lane.is_some_and(|lane| self.claims(lane, *offset, &key)),
                "{destination}: {offset} was settled two commits ago and would come again: {lane:?}, scanned {}",
                self.stored.scanned
            );
        }
    }

    /// G6: nobody is told that less is pending than is.
    pub(super) fn check_status(&mut self) {
        self.go_on_with_survey();
        if !self.owned {
            return;
        }
        for status in self.dispatcher.status(self.now).destinations {
            let Some(lane) = self.stored.lanes.get(&status.name) else { continue };
            if !self.is_of_now(&status.name, lane) {
                continue;
            }
            self.check_expired(&status);
            let to_come = |event: &&Arc<LoggedEvent>| {
                let place = (status.name.clone(), event.offset);
                self.wants(&status.name, event)
                    && event.offset < self.heard
                    && !self.settled.contains(&place)
                    && !self.claims(lane, event.offset, &self.lane_key(&status.name, event))
            };
            let to_come: Vec<Offset> = self.log.iter().filter(to_come).map(|event| event.offset).collect();
            // Of what is behind the end of a generation, no number is known.
            let countable = to_come.iter().all(|offset| offset.generation() == self.end.generation());
            let least = if countable { to_come.len() as u64 } else { u64::from(!to_come.is_empty()) };
            assert!(status.pending >= least, "{} are pending, and {to_come:?} not settled: {status:?}", status.pending);
        }
    }

    /// Whether the lane's stored progress says that what is at this offset is settled.
    pub(super) fn claims(&self, lane: &LaneProgress, offset: Offset, key: &LaneKey) -> bool {
        let position = lane.position.offset(self.stored.scanned);
        lane.behind.get(key).map_or(offset < position, |behind| offset < behind.offset)
    }
}
