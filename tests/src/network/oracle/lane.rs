//! What a life of Laneway may do next with the events that are ordered with each other.

use super::super::name;
use super::super::story::Place;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A replay that a lane may go back for.
pub(super) struct Heard {
    /// Which of all it is.
    pub(super) number: usize,
    pub(super) asked: Duration,
    /// The first event of the lane that it is about; beyond all events if it is about none.
    pub(super) begin: Place,
}

/// What a life knows, at a receiver, of the events of a partition that are ordered with each other.
/// It passes through them, one after the other, and a replay has it begin a new pass.
#[derive(Default)]
pub(super) struct Lane {
    in_flight: Vec<Place>,
    /// Where the pass began.
    first: Option<Place>,
    /// The last event of the pass that it began an attempt at.
    begun: Option<Place>,
    /// The last event of the pass that it heard is settled.
    settled: Option<Place>,
    /// When it last heard of each event that it is settled.
    heard: BTreeMap<Place, Duration>,
    /// The replays that it has gone back for.
    followed: BTreeSet<usize>,
}

impl Lane {
    /// Begins an attempt at `place`, which must be the next one. `before`: what stands before it in the same
    /// attempt. `between`: the first event of the lane between two of them. Returns what is wrong with it.
    ///
    /// A replay goes back to where it begins, or to what was in flight when it was asked for.
    pub(super) fn begins(
        &mut self,
        place: Place,
        before: &[Place],
        replays: &[Heard],
        between: impl Fn(Place, Place) -> Option<Place>,
    ) -> Vec<String> {
        let mut wrong = Vec::new();
        if let Some(other) = self.in_flight.iter().find(|other| !before.contains(other)) {
            wrong.push(format!("while {} is in flight", name(*other)));
        }
        self.in_flight.push(place);
        if self.settled.is_some_and(|settled| settled >= place) || self.first.is_some_and(|first| place < first) {
            let was_in_flight = |asked| self.heard.get(&place).is_some_and(|settled| *settled >= asked);
            let leads_here = |replay: &&Heard| {
                let here = replay.begin == place || replay.begin > place && was_in_flight(replay.asked);
                here && !self.followed.contains(&replay.number)
            };
            match replays.iter().find(leads_here) {
                Some(replay) => {
                    self.followed.insert(replay.number);
                    (self.first, self.begun, self.settled) = (None, None, None);
                }
                None => wrong.push(match self.settled {
                    Some(settled) => format!("after it heard that {} is settled", name(settled)),
                    None => "and had begun after it".to_owned(),
                }),
            }
        }
        if let Some(skipped) = self.begun.filter(|begun| *begun < place).and_then(|begun| between(begun, place)) {
            wrong.push(format!("and skips {}", name(skipped)));
        }
        self.first = self.first.or(Some(place));
        self.begun = Some(place);
        wrong
    }

    /// Hears what became of an attempt.
    pub(super) fn hears(&mut self, at: Duration, place: Place, settled: bool) {
        self.in_flight.retain(|other| *other != place);
        if settled {
            self.heard.insert(place, at);
            self.settled = self.settled.max(Some(place));
        }
    }
}
