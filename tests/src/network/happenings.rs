//! What a run can come through. Each of these has to be met by some seed, or the suite says little of it.

use super::story::What;
use crate::seeded::{OF_STORES, Tally};
use std::collections::BTreeSet;
use std::time::Duration;

pub(super) const CUT_OFF: &str = "a link loses what is sent, both ways";
pub(super) const MUTE: &str = "a link loses what Laneway sends";
pub(super) const DEAF: &str = "a link loses what is sent to Laneway";
pub(super) const HELD: &str = "a link holds everything back";
pub(super) const SLOW: &str = "a link becomes slower or faster";
pub(super) const CUT: &str = "a connection is cut after some bytes";
pub(super) const CRASH: &str = "Laneway crashes";
pub(super) const CRASH_LOSES: &str = "Laneway crashes, and writes that waited are lost";
pub(super) const RECEIVER_CRASHES: &str = "a receiver crashes";
pub(super) const HANGS: &str = "a receiver never answers";
pub(super) const LOSES: &str = "a receiver takes events and loses its answer";
const REFUSES: &str = "a receiver answers 500, 503 or 429";
const REJECTS: &str = "a receiver rejects events";
const NO_ANSWER: &str = "Laneway does not hear what a receiver answered";
const SEVERAL: &str = "a request carries several events";
const AGAIN: &str = "an event arrives again after it had taken effect";
const SENT_AGAIN: &str = "a producer has to send an event again";
const KNOWN: &str = "an event that a producer sends again was stored already";
const REPLAY: &str = "a replay is asked for";
const REPLAY_UNHEARD: &str = "an operator does not hear whether a replay was taken";
pub(super) const DEAD_LETTER: &str = "dead letters are there in the end";

/// A tally of all these.
pub(super) fn tally() -> Tally {
    let of_network = [CUT_OFF, MUTE, DEAF, HELD, SLOW, CUT, CRASH, CRASH_LOSES, RECEIVER_CRASHES, NO_ANSWER];
    let of_receivers = [HANGS, LOSES, REFUSES, REJECTS, SEVERAL, AGAIN];
    let of_events = [SENT_AGAIN, KNOWN, REPLAY, REPLAY_UNHEARD, DEAD_LETTER];
    Tally::of(OF_STORES.into_iter().chain(of_network).chain(of_receivers).chain(of_events))
}

/// Counts, at the end, what the lines of a story say.
pub(super) fn count(tally: &Tally, lines: &[(Duration, What)]) {
    let mut effects = BTreeSet::new();
    for (_, what) in lines {
        match what {
            What::Accepted { duplicate, tries, .. } => {
                tally.add(SENT_AGAIN, u64::from(*tries - 1));
                tally.add(KNOWN, u64::from(*duplicate));
            }
            What::Arrived { events, .. } => tally.add(SEVERAL, u64::from(events.len() > 1)),
            What::Answered { to, events, status } => {
                tally.add(REFUSES, u64::from([429, 500, 503].contains(status)));
                tally.add(REJECTS, u64::from(*status == super::plan::REJECTED));
                let good = events.iter().filter(|_| (200..300).contains(status));
                tally.add(AGAIN, good.filter(|(place, _)| !effects.insert((*to, *place))).count() as u64);
            }
            What::Heard { outcome, .. } => {
                // It had a status when an answer came.
                let heard = outcome == "delivered" || outcome.contains("answered");
                tally.add(NO_ANSWER, u64::from(!heard));
            }
            What::ReplayAsked { .. } => tally.add(REPLAY, 1),
            What::ReplayEnded { said, .. } => tally.add(REPLAY_UNHEARD, u64::from(said.starts_with("without"))),
            What::Text(_) | What::Broken(_) | What::Started(_) | What::Began { .. } => {}
        }
    }
}
