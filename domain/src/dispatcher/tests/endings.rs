//! How the world's attempts end, and what a commit may carry of those that ended badly.

use super::world::{Whose, World, pick};
use crate::*;
use std::collections::BTreeSet;
use std::time::Duration;

impl World {
    pub(super) fn end_some_attempt(&mut self, which: u64, outcome: u8) {
        if self.attempts.is_empty() {
            return;
        }
        let keys: Vec<_> = self.attempts.keys().copied().collect();
        let id = keys[pick(which, keys.len())];
        let count = self.attempts[&id].1.len();
        let bad = match outcome {
            0..=1 => Outcome::retry(Cause::Refused, "no".into()),
            2 => {
                let not_before = Some(Duration::from_millis(60));
                Outcome::Retry { cause: Cause::Refused, reason: "later".into(), not_before }
            }
            3 => Outcome::Rejected { reason: "never".into() },
            4 => Outcome::Gone { reason: "gone".into() },
            5 => Outcome::retry(Cause::StaleConnection, "closed".into()),
            6..=7 => Outcome::retry(Cause::Unprocessed, "refused stream".into()),
            8 => Outcome::retry(Cause::Shortage, "no files".into()),
            _ => Outcome::Delivered,
        };
        let mut outcomes = vec![Outcome::Delivered; count];
        outcomes[usize::from(outcome) % count] = bad;
        self.end_attempt(id, outcomes);
    }

    /// Tells the dispatcher that an attempt has ended, perhaps not for the first time.
    pub(super) fn end_attempt(&mut self, id: AttemptId, outcomes: Vec<Outcome>) {
        if self.attempts.contains_key(&id) {
            self.ending.entry(id).or_insert_with(|| outcomes.clone());
            self.input(Input::AttemptEnded { attempt: id, outcomes, met: Met::default() });
        }
    }

    /// What the dispatcher let wait counts once it has ended that too.
    pub(super) fn note_ends(&mut self) {
        let under_way = &self.dispatcher.shared.attempts;
        let ended = self.ending.extract_if(.., |id, _| under_way.get(*id).is_none());
        for (id, outcomes) in ended.collect::<Vec<_>>() {
            self.note_end(id, &outcomes);
        }
    }

    fn note_end(&mut self, id: AttemptId, outcomes: &[Outcome]) {
        let Some((destination, events, whose)) = self.attempts.remove(&id) else { return };
        let mut failed = BTreeSet::new();
        for (attempted, outcome) in events.iter().zip(outcomes) {
            let key = self.lane_key(&destination, &attempted.event);
            let place = (destination.clone(), attempted.event.offset);
            self.telling.ended(&place, attempted, outcome, whose);
            if *outcome != Outcome::Delivered {
                if failed.insert(key) && whose == Whose::Lane && !attempted.redrive {
                    self.ends.failed(&place, attempted, outcome);
                }
            } else if let (false, Some(number)) = (failed.contains(&key), attempted.replay) {
                if whose == Whose::Lane {
                    self.replay_delivers(&destination, number, attempted.event.offset);
                }
                if whose != Whose::Gone {
                    self.delivered.push((self.now, destination.clone(), attempted.event.offset));
                }
            } else if !failed.contains(&key) {
                if whose == Whose::Lane && !attempted.redrive {
                    self.ends.settled(&place);
                }
                if !matches!(whose, Whose::FormerLane | Whose::Gone) {
                    self.settled.insert(place.clone());
                }
                // A dead letter's retry says nothing of progress: a crash may have set that back.
                if whose == Whose::Lane && !attempted.redrive {
                    self.settled_here.insert(place);
                }
                if whose != Whose::Gone {
                    self.delivered.push((self.now, destination.clone(), attempted.event.offset));
                }
            }
        }
    }

    /// A commit has the dead letters of so many bytes, and of one attempt more.
    pub(super) fn check_letters(&self, commit: &Commit) {
        let asked_for = |given_up: &&GivenUp| given_up.reason.starts_with("skipped by the operator");
        let letters = commit.dead_letters.iter().filter(|given_up| !asked_for(given_up));
        let bytes: usize = letters.map(|given_up| self.at(given_up.offset).event.weight()).sum();
        let largest = self.log.iter().map(|event| event.event.weight()).max().unwrap_or(0);
        let batch = self.destinations.iter().map(|d| d.batch.max_events).max().unwrap_or(1);
        let most = self.settings.commit_dead_letter_bytes + batch * largest;
        assert!(bytes < most.max(1), "a commit copies {bytes} bytes of dead letters: {commit:?}");
    }
}
