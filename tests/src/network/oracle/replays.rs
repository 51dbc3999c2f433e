//! What operators have asked for.

use super::super::story::Place;
use super::lane::Heard;
use laneway_domain::{LoggedEvent, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// One replay that was asked for.
struct Replay {
    to: usize,
    asked: Duration,
    /// By partition, the first event that it is about.
    from: BTreeMap<u32, u64>,
    /// When its asker stopped waiting, and whether Laneway had said that it goes back.
    ended: Option<(Duration, bool)>,
}

/// All of them, in order. There is one operator: a replay ends before the next is asked for.
#[derive(Default)]
pub(super) struct Replays {
    all: Vec<Replay>,
    /// What the receiver of the last one has taken since then.
    again: BTreeSet<Place>,
}

impl Replays {
    /// A replay is asked for. The log is the one of the end: what came later is later in it.
    pub(super) fn asked(&mut self, at: Duration, to: usize, since: Option<Timestamp>, log: &[LoggedEvent]) {
        let mut from = BTreeMap::new();
        for event in log.iter().filter(|event| since.is_none_or(|since| event.accepted_at >= since)) {
            let first = from.entry(event.partition.0).or_insert(event.offset.0);
            *first = event.offset.0.min(*first);
        }
        self.all.push(Replay { to, asked: at, from, ended: None });
        self.again.clear();
    }

    pub(super) fn ended(&mut self, at: Duration, taken: bool) {
        if let Some(last) = self.all.last_mut() {
            last.ended = Some((at, taken));
        }
    }

    /// A receiver has taken an event.
    pub(super) fn taken(&mut self, to: usize, place: Place) {
        if self.all.last().is_some_and(|last| last.to == to) {
            self.again.insert(place);
        }
    }

    /// The replays to a receiver, where they begin in a partition, that a life can have heard of which started at
    /// `started`. `first_from`: the first event of the lane that is asked about, from there on.
    pub(super) fn of_life(
        &self,
        started: Duration,
        (to, partition): (usize, u32),
        first_from: impl Fn(Place) -> Option<Place>,
    ) -> Vec<Heard> {
        let all = self.all.iter().enumerate();
        let heard = all.filter(|(_, replay)| replay.to == to && replay.ended.is_none_or(|(ended, _)| started <= ended));
        let in_lane = |(number, replay): (usize, &Replay)| {
            let begin = replay.from.get(&partition).and_then(|first| first_from((partition, *first)));
            Heard { number, asked: replay.asked, begin: begin.unwrap_or((partition, u64::MAX)) }
        };
        heard.map(in_lane).collect()
    }

    /// The last one, if it was taken: to whom, what it is about, and what has come again since.
    pub(super) fn last(&self) -> Option<(usize, impl Fn(Place) -> bool, &BTreeSet<Place>)> {
        let last = self.all.last().filter(|last| last.ended.is_some_and(|(_, taken)| taken))?;
        let is_about = |place: Place| last.from.get(&place.0).is_some_and(|first| place.1 >= *first);
        Some((last.to, is_about, &self.again))
    }
}
