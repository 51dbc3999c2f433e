//! What the world expects of the history: each attempt that ended is told once, and truly.

use super::world::{Place, Whose, World};
use crate::*;
use std::collections::BTreeMap;

/// One attempt at one event, as far as the world can tell it from others.
type Try = (Place, u32, bool);

/// Attempts that ended in this ownership and that no commit has told yet.
#[derive(Default)]
pub(super) struct Telling {
    /// Those that have to be told, with how they ended.
    must: BTreeMap<Try, Vec<Outcome>>,
    /// Those of a lane that is no more. If another has taken its place, they are told as what counts for nothing.
    may: BTreeMap<Try, Vec<Outcome>>,
    /// Of two that nothing distinguishes, one of each kind, one was told: this is what is left of them.
    either: BTreeMap<Try, Vec<Outcome>>,
}

impl Telling {
    pub(super) fn is_empty(&self) -> bool {
        self.must.is_empty()
    }

    /// An event of an attempt has ended.
    pub(super) fn ended(&mut self, place: &Place, attempted: &Attempted, outcome: &Outcome, whose: Whose) {
        let to = match whose {
            Whose::Lane => &mut self.must,
            Whose::FormerLane => &mut self.may,
            Whose::Nobody | Whose::Gone => return,
        };
        if *outcome != Outcome::NotTried {
            let one = (place.clone(), attempted.attempt, attempted.redrive);
            to.entry(one).or_default().push(outcome.clone());
        }
    }

    /// One of them was told. `counts`: as one of those that have to be. `false` if there is none like it.
    fn told(&mut self, one: &Try, counts: bool, like: impl Fn(&Outcome) -> bool) -> bool {
        let is_in = |of: &BTreeMap<Try, Vec<Outcome>>| of.get(one).is_some_and(|outcomes| outcomes.iter().any(&like));
        let taken = if counts || !is_in(&self.may) {
            take(&mut self.must, one, &like)
        } else if is_in(&self.must) {
            let left = take(&mut self.may, one, &like);
            self.either.entry(one.clone()).or_default().extend(left);
            take(&mut self.must, one, &like)
        } else {
            take(&mut self.may, one, &like)
        };
        taken.or_else(|| take(&mut self.either, one, &like)).is_some()
    }
}

fn take(from: &mut BTreeMap<Try, Vec<Outcome>>, one: &Try, like: impl Fn(&Outcome) -> bool) -> Option<Outcome> {
    let outcomes = from.get_mut(one)?;
    let taken = outcomes.iter().position(like).map(|at| outcomes.remove(at));
    if outcomes.is_empty() {
        from.remove(one);
    }
    taken
}

impl World {
    /// A commit is made for the first time.
    pub(super) fn check_history(&mut self, commit: &Commit) {
        let Some(history) = &commit.history else { return };
        assert_eq!(history.number, self.histories + 1, "commits that tell something are numbered");
        self.histories += 1;
        assert!(history.untold == 0 && history.at == self.now);
        for told in &history.told {
            self.note_expired(told);
            if told.ended == Ended::Expired {
                continue;
            }
            let place = (told.destination.clone(), told.offset);
            assert!(told.at <= history.at);
            let buried = |given_up: &GivenUp| (&given_up.destination, given_up.offset) == (&place.0, place.1);
            // A replay may have delivered it since, before it was stored as a dead letter.
            let taken_back = |of: &Redriven| of.failed.is_none() && (&of.destination, of.offset) == (&place.0, place.1);
            let is_letter = commit.dead_letters.iter().any(buried) || commit.redriven.iter().any(taken_back);
            let dropped = commit.dropped.contains(&place.0) || self.is_gone(&place.0);
            if told.ended == Ended::Skipped {
                assert!(dropped || is_letter, "{place:?} is said to be skipped");
                continue;
            }
            assert_eq!(told.id.as_ref(), Some(&self.at(told.offset).event.id));
            assert_eq!(told.key, self.at(told.offset).event.key);
            let like = |outcome: &Outcome| {
                let ended = match outcome {
                    Outcome::Delivered => Ended::Delivered,
                    Outcome::Rejected { .. } => Ended::Rejected,
                    Outcome::Gone { .. } => Ended::Gone,
                    _ => Ended::Failed,
                };
                ended == told.ended && told.reason.as_deref() == outcome.reason()
            };
            let one = (place.clone(), told.attempt, told.redrive);
            let known = self.telling.told(&one, told.fate != Fate::Waits, like);
            assert!(known, "{told:?} was not, or is told twice");
            if told.fate == Fate::Delivered {
                assert_eq!(told.ended, Ended::Delivered, "{told:?}");
            }
            if told.fate == Fate::DeadLetter {
                assert!(is_letter || told.redrive || dropped, "told as a dead letter, and is none: {told:?}");
            }
        }
    }

    /// Whether no destination of this name is there now, or another than before.
    fn is_gone(&self, name: &DestinationName) -> bool {
        self.changing_order(name).is_some() || self.destinations.iter().all(|d| d.name != *name)
    }

    /// Whoever knew what is to be told may have gone.
    pub(super) fn forget_telling(&mut self) {
        self.telling = Telling::default();
        self.histories = 0;
    }
}
