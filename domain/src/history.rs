//! The history of attempts: what each one met, kept for people.
//!
//! Nothing is decided by it. What is *true* of an event comes from progress; what is *told* of its attempts comes from
//! here. A commit stores what was told since the one before, with what it settles. So a crash can lose the end of the
//! history, as it loses the end of progress, and what the history says of an event never contradicts progress for
//! longer than until that event is delivered once more.

use crate::destination::{Destination, DestinationName};
use crate::end::End;
use crate::event::{EventId, Key, LoggedEvent};
use crate::outcome::Outcome;
use crate::partition::Offset;
use crate::revision::Revision;
use crate::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// About how many bytes one commit tells in full. What comes beyond is told without ids, keys, reasons and answers:
/// a commit that 512 deliveries make has about 40 KiB.
pub const MAX_TOLD_BYTES: usize = 64 << 10;
/// The most attempts that one commit tells. More come together only while the store takes no commit; they are counted.
/// So the history of one commit has at most [`MAX_TOLD_BYTES`] and 32 bytes for each of these, 320 KiB.
pub const MAX_TOLD: usize = 8192;
/// Of these and of [`MAX_TOLD`], the part that is left to what expires, as the reciprocal: a destination that was away for
/// long settles thousands of events at once, and the attempts of others are to be told all the same.
const EXPIRED_PART: usize = 4;
/// About what an attempt takes that is told without its id and key: where it went, and how and when it ended.
const LEAST_WEIGHT: usize = 16;

/// What an attempt met, beside what became of its events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Met {
    /// How long it took.
    pub took: Duration,
    /// What the receiver answered: one for all of its events, or one for each of them; none where nothing is said.
    pub answers: Vec<Answered>,
}

impl Met {
    /// The HTTP statuses of so many events.
    pub(crate) fn statuses(&self, events: usize) -> Vec<Option<u16>> {
        let for_all = self.answers.last().and_then(|answered| answered.status);
        let each = self.answers.iter().map(|answered| answered.status);
        each.chain(std::iter::repeat(for_all)).take(events).collect()
    }
}

/// What a receiver answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answered {
    /// The HTTP status, if it speaks HTTP and has answered.
    pub status: Option<u16>,
    /// The answer's beginning, if it told of a failure.
    pub answer: Option<Box<Answer>>,
    /// What was sent, if the attempt failed and something was: the request's first line and its headers, a line each, as
    /// people may see them: without the destination's secrets and without the signatures.
    pub request: Option<Box<str>>,
}

/// The start of what a receiver answered, as people may see it: printable, and without the destination's secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Its headers, a line each.
    pub headers: Box<str>,
    /// Its body.
    pub body: Box<str>,
}

/// What came of an event after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It is settled: the destination has it.
    Delivered,
    /// It waits for its next attempt, and the attempt spent one of its retries.
    Retried,
    /// It waits as before: the attempt counted for nothing, or not for this event.
    Waits,
    /// It is given up: a dead letter.
    DeadLetter,
    /// It is given up, and its key is held at it.
    Held,
    /// It is settled, because it had waited for as long as it may.
    Expired,
}

impl Fate {
    /// Every fate, in the order of their numbers where they are stored.
    pub const ALL: [Self; 6] =
        [Self::Delivered, Self::Retried, Self::Waits, Self::DeadLetter, Self::Held, Self::Expired];

    /// Its name, as people see it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Retried => "retried",
            Self::Waits => "waits",
            Self::DeadLetter => "dead-letter",
            Self::Held => "held",
            Self::Expired => "expired",
        }
    }
}

/// How what is told ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ended {
    /// The destination confirmed the event.
    Delivered,
    /// It failed in a way that may pass.
    Failed,
    /// The destination refused this very event.
    Rejected,
    /// The destination is gone for good.
    Gone,
    /// No attempt: an operator gave the event up.
    Skipped,
    /// No attempt: the event had waited for as long as it may.
    Expired,
}

impl Ended {
    /// Every end, in the order of their numbers where they are stored.
    pub const ALL: [Self; 6] =
        [Self::Delivered, Self::Failed, Self::Rejected, Self::Gone, Self::Skipped, Self::Expired];

    /// Its name, as people see it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
            Self::Gone => "gone",
            Self::Skipped => "skipped",
            Self::Expired => "expired",
        }
    }
}

/// One attempt at one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Where to.
    pub destination: DestinationName,
    /// When that destination was made: another one of its name has another history.
    pub born: Revision,
    /// Where the event is.
    pub offset: Offset,
    /// The event's id, unless there was no room for it.
    pub id: Option<EventId>,
    /// The event's key, if it has one and there was room for it.
    pub key: Option<Key>,
    /// Which attempt at the event it was, from 1, as far as they count; 0 of [`Ended::Skipped`] and
    /// [`Ended::Expired`].
    pub attempt: u32,
    /// Whether it was of a dead letter, or another event that somebody wanted again, out of its key's order.
    pub redrive: bool,
    /// When it ended.
    pub at: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// How it ended.
    pub ended: Ended,
    /// What came of the event.
    pub fate: Fate,
    /// The HTTP status of the answer, if there was one.
    pub status: Option<u16>,
    /// What went wrong, for people.
    pub reason: Option<Box<str>>,
    /// What the receiver answered, if it failed. Of a batch the first event that failed has it.
    pub answer: Option<Box<Answer>>,
    /// What was sent, if it failed: the request without its body, which is the event's data. Of a batch the first event
    /// that failed has it.
    pub request: Option<Box<str>>,
}

impl Told {
    /// About how many bytes it takes.
    #[must_use]
    pub fn weight(&self) -> usize {
        let answer = self.answer.as_ref().map_or(0, |answer| answer.headers.len() + answer.body.len());
        let named =
            self.id.as_ref().map_or(0, |id| id.as_str().len()) + self.key.as_ref().map_or(0, |k| k.as_str().len());
        let texts = [&self.reason, &self.request].into_iter().flatten().map(|text| text.len());
        LEAST_WEIGHT + named + answer + texts.sum::<usize>()
    }

    /// The same without what takes room.
    fn in_short(self) -> Self {
        Self { id: None, key: None, reason: None, answer: None, request: None, ..self }
    }
}

/// What one commit tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Which of the commits of its lease it is that tells something, from 1. With the lease's epoch it names what is
    /// stored, so that the same commit again changes nothing.
    pub number: u64,
    /// When the commit was made. Nothing in it ended later.
    pub at: Timestamp,
    /// The attempts, in the order in which they ended.
    pub told: Vec<Told>,
    /// How many more there were, for which there was no room.
    pub untold: u64,
}

/// What is to be told by the next commit.
#[derive(Debug, Default)]
pub(crate) struct ToTell {
    told: Vec<Told>,
    weight: usize,
    /// Of these, how many have expired, and their weight.
    expired: usize,
    expired_weight: usize,
    untold: u64,
}

impl ToTell {
    pub(crate) const fn is_empty(&self) -> bool {
        self.told.is_empty() && self.untold == 0
    }

    /// What there is.
    #[cfg(test)]
    pub(crate) fn told(&self) -> &[Told] {
        &self.told
    }

    /// Adds an attempt, or an event that has expired, as far as there is room.
    pub(crate) fn tell(&mut self, told: Told) {
        let is_expired = told.ended == Ended::Expired;
        if self.told.len() >= MAX_TOLD || is_expired && self.expired >= MAX_TOLD / EXPIRED_PART {
            self.untold += 1;
            return;
        }
        self.expired += usize::from(is_expired);
        let weight = told.weight();
        let expired_weight = self.expired_weight + if is_expired { weight } else { 0 };
        if self.weight + weight <= MAX_TOLD_BYTES && expired_weight <= MAX_TOLD_BYTES / EXPIRED_PART {
            (self.weight, self.expired_weight) = (self.weight + weight, expired_weight);
            self.told.push(told);
        } else {
            self.told.push(told.in_short());
        }
    }

    /// What the commit of this number tells, which is made at `at`; nothing if there is nothing.
    pub(crate) fn take(&mut self, number: u64, at: Timestamp) -> Option<Arc<History>> {
        if self.is_empty() {
            return None;
        }
        let Self { told, untold, .. } = std::mem::take(self);
        Some(Arc::new(History { number, at, told, untold }))
    }
}

/// What is known of an event that an attempt is under way with, to be told when that ends.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    offset: Offset,
    id: EventId,
    key: Option<Key>,
    attempt: u32,
    redrive: bool,
    took: Duration,
    answered: Answered,
}

impl Sent {
    /// It goes out.
    pub(crate) fn new(event: &LoggedEvent, attempt: u32, redrive: bool) -> Self {
        let (id, key) = (event.event.id.clone(), event.event.key.clone());
        let (took, answered) = (Duration::ZERO, Answered::default());
        Self { offset: event.offset, id, key, attempt, redrive, took, answered }
    }

    /// The attempt at these has ended, and met that. What one answer says of all of them is kept with the first.
    pub(crate) fn met(sent: &mut [Self], met: Met) {
        let for_all = met.answers.last().and_then(|answered| answered.status);
        let mut answers = met.answers.into_iter();
        for sent in sent {
            sent.took = met.took;
            sent.answered = answers.next().unwrap_or(Answered { status: for_all, ..Answered::default() });
        }
    }

    /// What is to be told of it; nothing if it was not tried.
    pub(crate) fn told(&self, to: &Destination, at: Timestamp, outcome: &Outcome, fate: Fate) -> Option<Told> {
        let ended = match outcome.end() {
            End::Delivered => Ended::Delivered,
            End::Failed(_) => Ended::Failed,
            End::Rejected => Ended::Rejected,
            End::Gone => Ended::Gone,
            End::NotTried => return None,
        };
        Some(Told {
            destination: to.name.clone(),
            born: to.born,
            offset: self.offset,
            id: Some(self.id.clone()),
            key: self.key.clone(),
            attempt: self.attempt,
            redrive: self.redrive,
            at,
            took: self.took,
            ended,
            fate,
            status: self.answered.status,
            reason: outcome.reason().map(Into::into),
            answer: self.answered.answer.clone().filter(|_| ended != Ended::Delivered),
            request: self.answered.request.clone().filter(|_| ended != Ended::Delivered),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, EventType};
    use crate::partition::Partition;
    use bytes::Bytes;

    fn told(bytes: usize) -> Told {
        Told {
            destination: DestinationName::new("a").unwrap(),
            born: Revision::ORIGIN,
            offset: Offset(1),
            id: Some(EventId::new("e").unwrap()),
            key: None,
            attempt: 1,
            redrive: false,
            at: Timestamp::ZERO,
            took: Duration::ZERO,
            ended: Ended::Failed,
            fate: Fate::Retried,
            status: Some(500),
            reason: Some("x".repeat(bytes).into()),
            answer: None,
            request: None,
        }
    }

    #[test]
    fn what_has_no_room_is_told_in_short_and_what_is_too_much_is_counted() {
        let mut to_tell = ToTell::default();
        assert_eq!(to_tell.take(1, Timestamp::ZERO), None);
        to_tell.tell(told(MAX_TOLD_BYTES - LEAST_WEIGHT - 1));
        (0..MAX_TOLD + 2).for_each(|_| to_tell.tell(told(0)));
        let history = to_tell.take(7, Timestamp::from_millis(9)).unwrap();
        assert_eq!((history.number, history.at.as_millis()), (7, 9));
        assert_eq!((history.told.len(), history.untold), (MAX_TOLD, 3));
        assert!(history.told[0].reason.is_some() && history.told[0].id.is_some());
        let rest = &history.told[1..];
        assert!(rest.iter().all(|told| told.id.is_none() && told.reason.is_none() && told.status == Some(500)));
        assert!(to_tell.is_empty());
    }

    #[test]
    fn what_expires_leaves_room_for_attempts() {
        let mut to_tell = ToTell::default();
        let expired = || Told { ended: Ended::Expired, fate: Fate::Expired, ..told(1000) };
        (0..2 * MAX_TOLD).for_each(|_| to_tell.tell(expired()));
        (0..9).for_each(|_| to_tell.tell(told(1000)));
        let history = to_tell.take(1, Timestamp::ZERO).unwrap();
        let in_full = history.told.iter().filter(|told| told.ended == Ended::Expired && told.reason.is_some());
        assert_eq!(in_full.count(), MAX_TOLD_BYTES / EXPIRED_PART / expired().weight());
        let attempts = history.told.iter().filter(|told| told.ended == Ended::Failed);
        assert_eq!(attempts.filter(|told| told.reason.is_some()).count(), 9);
        assert_eq!((history.told.len(), history.untold), (MAX_TOLD / 4 + 9, (2 * MAX_TOLD - MAX_TOLD / 4) as u64));
    }

    #[test]
    fn what_is_told_weighs_what_it_holds_and_in_short_next_to_nothing() {
        let whole = Told {
            id: Some(EventId::new("12345").unwrap()),
            key: Some(Key::new("123").unwrap()),
            answer: Some(Box::new(Answer { headers: "1234567".into(), body: "12345678901".into() })),
            request: Some("1234567890123".into()),
            ..told(17)
        };
        assert_eq!(whole.weight(), LEAST_WEIGHT + 5 + 3 + 7 + 11 + 13 + 17);
        let nothing = (None, None, None, None, None);
        let short = whole.in_short();
        assert_eq!(short.weight(), LEAST_WEIGHT);
        assert_eq!((short.id, short.key, short.reason, short.answer, short.request), nothing);
    }

    #[test]
    fn a_status_is_that_of_all_events_or_of_its_own() {
        let statuses = |statuses: &[u16]| {
            let answered = |status: &u16| Answered { status: Some(*status), ..Answered::default() };
            Met { answers: statuses.iter().map(answered).collect(), ..Met::default() }.statuses(3)
        };
        assert_eq!(statuses(&[]), [None; 3]);
        assert_eq!(statuses(&[500]), [Some(500); 3]);
        assert_eq!(statuses(&[200, 409, 500]), [Some(200), Some(409), Some(500)]);
    }

    /// They stand in answers of the interface.
    #[test]
    fn ends_and_fates_have_names() {
        let fates = ["delivered", "retried", "waits", "dead-letter", "held", "expired"];
        assert_eq!(Fate::ALL.map(Fate::label), fates);
        let ends = ["delivered", "failed", "rejected", "gone", "skipped", "expired"];
        assert_eq!(Ended::ALL.map(Ended::label), ends);
    }

    fn sent(n: u64) -> Sent {
        let event = Event::new(EventId::new("e").unwrap(), EventType::new("t").unwrap(), Bytes::new());
        let (offset, accepted_at) = (Offset(n), Timestamp::ZERO);
        Sent::new(&LoggedEvent { partition: Partition(0), offset, accepted_at, event }, 2, false)
    }

    #[test]
    fn an_answer_is_that_of_all_events_or_of_its_own() {
        let answered =
            |status| Answered { status: Some(status), answer: Some(Box::default()), request: Some("POST".into()) };
        let to = Destination::new(DestinationName::new("a").unwrap());
        let told = |answers: Vec<Answered>, outcome: &Outcome| {
            let mut sent = [sent(1), sent(2)];
            Sent::met(&mut sent, Met { took: Duration::from_millis(5), answers });
            let told = sent.map(|sent| sent.told(&to, Timestamp::ZERO, outcome, Fate::Waits).unwrap());
            assert!(told.iter().all(|told| told.answer.is_some() == told.request.is_some()));
            told.map(|told| (told.status, told.answer.is_some(), told.took.as_millis()))
        };
        let failed = Outcome::Rejected { reason: "no".into() };
        assert_eq!(told(vec![answered(500)], &failed), [(Some(500), true, 5), (Some(500), false, 5)]);
        assert_eq!(told(vec![answered(500), answered(400)], &failed), [(Some(500), true, 5), (Some(400), true, 5)]);
        assert_eq!(told(vec![], &failed), [(None, false, 5), (None, false, 5)]);
        assert_eq!(told(vec![answered(200)], &Outcome::Delivered), [(Some(200), false, 5), (Some(200), false, 5)]);
        assert_eq!(sent(1).told(&to, Timestamp::ZERO, &Outcome::NotTried, Fate::Waits), None);
    }
}
