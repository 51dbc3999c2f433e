//! Judges a story against the guarantees, from plain sets.

mod lane;
mod replays;

use super::plan::{Plan, REJECTED, STEADY};
use super::story::{Got, Place, What};
use super::{id_of, name};
use crate::seeded::Violation;
use lane::Lane;
use laneway_domain::{DeadLetter, Event, LaneKey, LoggedEvent, Offset, PartitionProgress};
use replays::Replays;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Within what time an event reaches the receiver that nothing happens to, counted from its 202 or, if
/// that was later, from Laneway's last start. Most of it is the lease of the life before (5 s) and the
/// claim after it, 7 s at the most; the rest is for a store that fails now and then.
pub(super) const STEADY_WITHIN: Duration = Duration::from_secs(10);

/// What is left in the end, and what each life began with.
pub(super) struct Remains {
    /// The whole log, as the store has it.
    pub(super) log: Vec<LoggedEvent>,
    pub(super) dead: Vec<DeadLetter>,
    /// By partition.
    pub(super) progress: Vec<PartitionProgress>,
    /// What each life found settled when it began, by partition.
    pub(super) found: Vec<Vec<PartitionProgress>>,
}

/// What a receiver has seen so far.
#[derive(Default)]
struct Seen {
    began: BTreeSet<Place>,
    /// When an answer first settled the event, as far as the receiver is concerned.
    settled: BTreeMap<Place, Duration>,
    delivered: BTreeSet<Place>,
    effects: BTreeSet<Place>,
}

pub(super) struct Oracle<'a> {
    plan: &'a Plan,
    remains: &'a Remains,
    log: BTreeMap<Place, &'a Event>,
    dead: BTreeSet<(usize, Place)>,
    life: Option<usize>,
    starts: Vec<Duration>,
    lanes: BTreeMap<(usize, usize, u32, Option<LaneKey>), Lane>,
    seen: Vec<Seen>,
    replays: Replays,
    accepted: BTreeMap<String, (Place, Duration)>,
    violations: Vec<Violation>,
}

fn key_of(event: &Event) -> &str {
    event.key.as_ref().map_or("", |key| key.as_str())
}

/// What of `lines` and `remains` must not be.
pub(super) fn judge(plan: &Plan, lines: &[(Duration, What)], remains: &Remains) -> Vec<Violation> {
    let place = |event: &LoggedEvent| (event.partition.0, event.offset.0);
    let of = |letter: &DeadLetter| {
        let to = plan.destinations.iter().position(|d| d.name == letter.given_up.destination);
        (to.unwrap_or(usize::MAX), (letter.partition.0, letter.given_up.offset.0))
    };
    let mut oracle = Oracle {
        plan,
        remains,
        log: remains.log.iter().map(|event| (place(event), &event.event)).collect(),
        dead: remains.dead.iter().map(of).collect(),
        life: None,
        starts: Vec::new(),
        lanes: BTreeMap::new(),
        seen: plan.destinations.iter().map(|_| Seen::default()).collect(),
        replays: Replays::default(),
        accepted: BTreeMap::new(),
        violations: Vec::new(),
    };
    for (at, what) in lines {
        oracle.look(*at, what);
    }
    oracle.the_log_is_what_was_sent();
    oracle.everything_came_to_its_end();
    oracle.the_last_replay_brought_everything_again();
    oracle.violations
}

impl Oracle<'_> {
    fn broken(&mut self, at: Duration, what: &str) {
        self.violations.push(format!("{:.3} {what}", at.as_secs_f64()));
    }

    fn look(&mut self, at: Duration, what: &What) {
        match what {
            What::Text(_) => {}
            What::Broken(what) => self.broken(at, what),
            What::Started(life) => {
                self.life = Some(*life);
                self.starts.push(at);
            }
            What::Accepted { id, place, duplicate, tries } => self.accepted(at, id, *place, *duplicate, *tries),
            What::ReplayAsked { to, since } => self.replays.asked(at, *to, *since, &self.remains.log),
            What::ReplayEnded { taken, .. } => self.replays.ended(at, *taken),
            What::Began { life, to, events } => {
                let places: Vec<Place> = events.iter().map(|(place, _)| *place).collect();
                (0..places.len()).for_each(|n| self.began(at, *life, *to, places[n], &places[..n]));
            }
            What::Heard { life, to, events, .. } => {
                events.iter().for_each(|(place, settled)| self.heard(at, *life, *to, *place, *settled));
            }
            What::Arrived { to, events, wrong } => {
                if let Some(wrong) = wrong {
                    self.broken(at, &format!("r{to}: {wrong}"));
                }
                let places: Vec<Place> = events.iter().map(|got| got.place).collect();
                events.iter().enumerate().for_each(|(n, got)| self.arrived(at, *to, got, &places[..n]));
            }
            What::Answered { to, events, status } => {
                // Of a batch that was refused each event is tried alone.
                let settles = (200..300).contains(status) || (*status == REJECTED && events.len() == 1);
                for (place, effect) in events.iter().filter(|_| settles) {
                    self.answered(at, *to, *place, *status, *effect);
                }
            }
        }
    }

    /// G1: what has a 202 is in the log, once, at the place that the answer says.
    fn accepted(&mut self, at: Duration, id: &str, place: Place, duplicate: bool, tries: u32) {
        if self.log.get(&place).is_none_or(|event| event.id.as_str() != id) {
            self.broken(at, &format!("{id} was accepted at {}, and the log has something else there", name(place)));
        }
        if duplicate && tries == 1 {
            self.broken(at, &format!("{id} is called a duplicate at the first time"));
        }
        self.accepted.insert(id.to_owned(), (place, at));
    }

    /// G3: an attempt begins when everything earlier of the key is settled. Within a life nothing is gone
    /// back to but by a replay, and nothing is skipped; a new life goes back to what was not stored as settled,
    /// and no further. `before`: what stands before it in the same attempt.
    fn began(&mut self, at: Duration, life: usize, to: usize, place: Place, before: &[Place]) {
        if self.life != Some(life) {
            self.broken(at, &format!("life {life} makes an attempt after its end"));
        }
        let Some(event) = self.log.get(&place).copied() else {
            return self.broken(at, &format!("{} is attempted, and is not in the log", name(place)));
        };
        if !self.plan.wants(to, event) {
            self.broken(at, &format!("{} is not wanted by r{to}", name(place)));
        }
        for wrong in self.stepped(life, to, place, event, before) {
            self.broken(at, &format!("life {life} attempts {} at r{to} {wrong}", name(place)));
        }
        self.seen[to].began.insert(place);
        self.comes_after_what_is_earlier(at, to, place, event, before);
    }

    /// What is wrong with an attempt at that event, after what the life knows.
    fn stepped(&mut self, life: usize, to: usize, place: Place, event: &Event, before: &[Place]) -> Vec<String> {
        let lane_key = self.plan.lane_key(to, event);
        let mut lane = self.lanes.remove(&(life, to, place.0, lane_key.clone())).unwrap_or_default();
        let of_lane = |from: Place, below: Place| {
            let mut events = self.log.range(from..below);
            let found = events.find(|(_, e)| self.plan.lane_key(to, e) == lane_key && self.plan.wants(to, e));
            found.map(|(place, _)| *place)
        };
        let started = self.starts.get(life).copied().unwrap_or_default();
        let replays = self.replays.of_life(started, (to, place.0), |from| of_lane(from, (place.0 + 1, 0)));
        let between = |begun: Place, place| of_lane((begun.0, begun.1 + 1), place);
        let mut wrong = lane.begins(place, before, &replays, between);
        let replayed = replays.iter().any(|replay| replay.begin <= place);
        if !replayed && self.was_settled_before(life, to, place, event) {
            wrong.push("that was stored as settled before it".to_owned());
        }
        self.lanes.insert((life, to, place.0, lane_key), lane);
        wrong
    }

    fn was_settled_before(&self, life: usize, to: usize, place: Place, event: &Event) -> bool {
        let stored = self.remains.found.get(life).and_then(|found| found.get(place.0 as usize));
        let Some(progress) = stored else { return false };
        let Some(lane) = progress.lanes.get(&self.plan.destinations[to].name) else { return false };
        let position = lane.position.offset(progress.scanned);
        let behind = self.plan.lane_key(to, event).and_then(|key| lane.behind.get(&key));
        let offset = Offset(place.1);
        offset < position && behind.is_none_or(|behind| offset < behind.offset)
    }

    fn comes_after_what_is_earlier(&mut self, at: Duration, to: usize, place: Place, event: &Event, before: &[Place]) {
        let lane_key = self.plan.lane_key(to, event);
        let earlier = self.log.range((place.0, 0)..place);
        let same = earlier.filter(|(_, other)| self.plan.lane_key(to, other) == lane_key && self.plan.wants(to, other));
        // When an event was given up is not seen from outside; but not before it was attempted.
        let settled = |place: &Place| {
            let seen = &self.seen[to];
            before.contains(place)
                || seen.settled.contains_key(place)
                || (self.dead.contains(&(to, *place)) && seen.began.contains(place))
        };
        let unsettled: Vec<String> = same.map(|(place, _)| *place).filter(|p| !settled(p)).map(name).collect();
        if !unsettled.is_empty() {
            let (key, place) = (key_of(event), name(place));
            self.broken(at, &format!("{place} came to r{to} before {unsettled:?} of {key} was settled"));
        }
    }

    /// G4: delivered is only what the receiver has answered so.
    fn heard(&mut self, at: Duration, life: usize, to: usize, place: Place, settled: bool) {
        let key = self.log.get(&place).and_then(|event| self.plan.lane_key(to, event));
        self.lanes.entry((life, to, place.0, key)).or_default().hears(at, place, settled);
        if settled && !self.seen[to].settled.contains_key(&place) {
            self.broken(at, &format!("life {life} takes {} for settled, and r{to} never said so", name(place)));
        }
    }

    fn arrived(&mut self, at: Duration, to: usize, got: &Got, before: &[Place]) {
        let Got { place, id, key, .. } = got;
        let place = *place;
        match self.log.get(&place).copied() {
            Some(event) if event.id.as_str() == id && key_of(event) == key => {
                self.comes_after_what_is_earlier(at, to, place, event, before);
            }
            _ => self.broken(at, &format!("r{to} got {id} ({key}) as {}, and the log has not", name(place))),
        }
        if !self.seen[to].began.contains(&place) {
            self.broken(at, &format!("r{to} got {}, and nobody had sent it", name(place)));
        }
    }

    fn answered(&mut self, at: Duration, to: usize, place: Place, status: u16, effect: bool) {
        let seen = &mut self.seen[to];
        if status != REJECTED {
            seen.delivered.insert(place);
        }
        self.replays.taken(to, place);
        let first = !seen.settled.contains_key(&place);
        seen.settled.entry(place).or_insert(at);
        if effect && !seen.effects.insert(place) {
            self.broken(at, &format!("{} took effect twice at r{to}", name(place)));
        }
        if to == STEADY && first {
            self.was_not_held_up(at, place);
        }
    }

    /// G5: whatever becomes of the other receivers.
    fn was_not_held_up(&mut self, at: Duration, place: Place) {
        let accepted = self.accepted.values().find(|(accepted, _)| *accepted == place).map(|(_, when)| *when);
        let (Some(accepted), Some(started)) = (accepted, self.starts.last().copied()) else { return };
        let waited = at.saturating_sub(accepted.max(started));
        if waited > STEADY_WITHIN {
            self.broken(at, &format!("{} came to r{STEADY} only after {waited:?}", name(place)));
        }
    }

    /// G1, G3: every event of the log is one that was sent, once, those of a key in their order.
    fn the_log_is_what_was_sent(&mut self) {
        let mut next = BTreeMap::new();
        let log: Vec<(Place, String, String)> =
            self.log.iter().map(|(at, event)| (*at, event.id.to_string(), key_of(event).to_owned())).collect();
        for (place, id, key) in log {
            let expected = next.entry(key.clone()).or_insert(0);
            let number = key.trim_start_matches('k').parse().unwrap_or(usize::MAX);
            if id != id_of(number, *expected) {
                self.violations.push(format!("{} is {id}; {key}'s event {expected} was to be next", name(place)));
            }
            *expected += 1;
        }
        for key in 0..self.plan.keys {
            for n in 0..self.plan.events_per_key {
                let id = id_of(key, n);
                if !self.accepted.contains_key(&id) {
                    self.violations.push(format!("{id} was never accepted"));
                }
            }
        }
    }

    /// G2, G6: everything is delivered or a dead letter, took effect once, and is stored as settled.
    fn everything_came_to_its_end(&mut self) {
        for to in 0..self.plan.destinations.len() {
            let seen = &self.seen[to];
            let wanted = self.log.iter().filter(|(_, event)| self.plan.wants(to, event)).map(|(place, _)| *place);
            let alive: Vec<Place> = wanted.filter(|place| !self.dead.contains(&(to, *place))).collect();
            let missing = |set: &BTreeSet<Place>| -> Vec<String> {
                alive.iter().filter(|place| !set.contains(place)).map(|place| name(*place)).collect()
            };
            let (lost, without_effect) = (missing(&seen.delivered), missing(&seen.effects));
            if !lost.is_empty() {
                self.violations.push(format!("r{to}: neither delivered nor a dead letter: {lost:?}"));
            }
            if !without_effect.is_empty() {
                self.violations.push(format!("r{to}: without effect: {without_effect:?}"));
            }
        }
        for (partition, progress) in self.remains.progress.iter().enumerate() {
            let last = self.log.keys().filter(|place| place.0 as usize == partition).map(|place| place.1 + 1).max();
            let end = Offset(last.unwrap_or(0));
            for destination in &self.plan.destinations {
                let lane = progress.lanes.get(&destination.name).cloned().unwrap_or_default();
                let position = lane.position.offset(progress.scanned);
                if position != end || !lane.behind.is_empty() {
                    let (name, behind) = (&destination.name, lane.behind);
                    self.violations.push(format!("{partition}, {name}: progress ends at {position}: {behind:?}"));
                }
            }
        }
    }

    /// Of a replay that was asked for when all was settled and nothing went wrong any more, all has to come.
    fn the_last_replay_brought_everything_again(&mut self) {
        let Some((to, is_about, again)) = self.replays.last() else {
            return self.violations.push("the last replay was not taken".to_owned());
        };
        let wanted = self.log.iter().filter(|(place, event)| is_about(**place) && self.plan.wants(to, event));
        let missing: Vec<String> =
            wanted.filter(|(place, _)| !again.contains(place)).map(|(place, _)| name(*place)).collect();
        if !missing.is_empty() {
            self.violations.push(format!("r{to}: did not come again in the last replay: {missing:?}"));
        }
    }
}
