//! A world for the dispatcher: a log, a store of progress, and destinations whose every answer is
//! chosen by the test. It checks the guarantees after each step, from plain sets of events.

use super::super::*;
use super::changing::{Change, Registry};
use super::ends::Ends;
use super::expiring::Expiring;
use super::fixtures::{PARTITION, destinations, logged};
use super::losing::Losing;
use super::replaying::{Replays, Wish};
use super::surveying::Surveying;
use super::telling::Telling;
use crate::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

const LEASE: Duration = Duration::from_millis(500);
/// Why the copies of some dead letters cannot be read.
const DAMAGED: &str = "damaged";

/// What may happen next.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Append {
        key: u8,
        count: u8,
    },
    /// An event is accepted, and the news of it is late.
    AppendUnheard(u8),
    End {
        which: u64,
        outcome: u8,
    },
    Answer(u64),
    Store {
        which: u64,
        answer: u8,
    },
    Wait(u16),
    Crash,
    Reconfigure(u8),
    RetryDeadLetter(u64),
    Operate {
        which: u64,
        skip: bool,
    },
    Release,
    Renew,
    /// A replica that lacks the last writes becomes the primary.
    LoseWrites(u64),
    /// An operator wants events again.
    Replay {
        destination: u8,
        from: u64,
    },
    /// An operator wants some events again.
    BeginReplay(Wish),
    CancelReplay {
        destination: u8,
        id: u8,
    },
    /// What everybody has settled is trimmed.
    Trim,
    /// A destination is made, changed or deleted.
    Change {
        which: usize,
        change: Change,
    },
}

/// One of `len` things; `which` is where, as a part of 2^64.
pub(super) fn pick(which: u64, len: usize) -> usize {
    usize::try_from((u128::from(which) * len as u128) >> 64).unwrap()
}

/// Whom an attempt in flight belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// The destination's lane.
    Lane,
    /// A lane that is no more: what comes of the attempt counts for nothing, but nothing may overtake it.
    FormerLane,
    /// Nobody: the partition was lost since.
    Nobody,
    /// A destination that was deleted.
    Gone,
}

/// How many moments the store can be set back to.
const MOMENTS: usize = 8;

/// What the store had at some moment.
#[derive(Clone)]
pub(super) struct Moment {
    pub(super) log: usize,
    pub(super) stored: PartitionProgress,
    pub(super) dead: BTreeMap<Place, GivenUp>,
}

pub(super) type Place = (DestinationName, Offset);

/// The last commits that were made.
#[derive(Default)]
pub(super) struct Made {
    last: Option<Arc<Commit>>,
    /// What was settled in this ownership when the last one was made, and the one before.
    pub(super) here: BTreeSet<Place>,
    pub(super) here_before: BTreeSet<Place>,
}

pub(super) struct World {
    pub(super) settings: Settings,
    seed: u64,
    pub(super) now: Timestamp,
    pub(super) dispatcher: Dispatcher,
    pub(super) destinations: Vec<Destination>,
    pub(super) registry: Registry,
    pub(super) deleted_tenants: DeletedTenants,
    /// By ascending offset.
    pub(super) log: Vec<Arc<LoggedEvent>>,
    pub(super) end: Offset,
    /// The end that the dispatcher has heard of.
    pub(super) heard: Offset,
    pub(super) moments: Vec<Moment>,
    pub(super) stored: PartitionProgress,
    pub(super) dead: BTreeMap<Place, GivenUp>,
    /// Delivered, or stored as a dead letter, at least once.
    pub(super) settled: BTreeSet<Place>,
    /// Of those, what was settled since the partition was claimed.
    pub(super) settled_here: BTreeSet<Place>,
    /// What is wanted again and was settled, while stored progress says nothing of that yet.
    pub(super) again: BTreeSet<Place>,
    /// What was ever wanted again.
    pub(super) replayed: BTreeSet<Place>,
    pub(super) replays: Replays,
    pub(super) attempts: BTreeMap<AttemptId, (DestinationName, Vec<Attempted>, Whose)>,
    /// Those of before the partition was lost.
    pub(super) lost: BTreeSet<AttemptId>,
    pub(super) losing: Losing,
    /// What the dispatcher was told of the end of, and may let wait.
    pub(super) ending: BTreeMap<AttemptId, Vec<Outcome>>,
    /// With how many events the log had when they were asked for.
    pub(super) reads: Vec<(Output, usize)>,
    pub(super) commits: Vec<Arc<Commit>>,
    pub(super) made: Made,
    /// How many commits were stored, and of how many lanes they said something.
    pub(super) commits_stored: usize,
    pub(super) lanes_in_commits: usize,
    /// Deliveries in order of their success.
    pub(super) delivered: Vec<(Timestamp, DestinationName, Offset)>,
    pub(super) started: Vec<(Timestamp, DestinationName, Offset)>,
    pub(super) ends: Ends,
    pub(super) telling: Telling,
    pub(super) expiring: Expiring,
    /// The variant of the destinations by which everything comes to its end.
    pub(super) in_the_end: u8,
    /// How many commits of this ownership have told something.
    pub(super) histories: u64,
    pub(super) surveying: Surveying,
    pub(super) owned: bool,
    leased_until: Timestamp,
    /// The answer to the command that was given last.
    acted: Option<bool>,
}

impl World {
    pub(super) fn new(settings: Settings, seed: u64) -> Self {
        Self::with(settings, seed, destinations(0))
    }

    pub(super) fn with(settings: Settings, seed: u64, destinations: Vec<Destination>) -> Self {
        let mut world = Self {
            dispatcher: Dispatcher::new(settings.clone(), seed),
            settings,
            seed,
            now: Timestamp::from_millis(1_000_000),
            destinations,
            registry: Registry::default(),
            deleted_tenants: DeletedTenants::default(),
            log: Vec::new(),
            end: Offset::ZERO,
            heard: Offset::ZERO,
            moments: Vec::new(),
            stored: PartitionProgress::default(),
            dead: BTreeMap::new(),
            settled: BTreeSet::new(),
            settled_here: BTreeSet::new(),
            again: BTreeSet::new(),
            replayed: BTreeSet::new(),
            replays: Replays::default(),
            attempts: BTreeMap::new(),
            lost: BTreeSet::new(),
            losing: Losing::default(),
            ending: BTreeMap::new(),
            ends: Ends::default(),
            telling: Telling::default(),
            expiring: Expiring::default(),
            in_the_end: 0,
            histories: 0,
            surveying: Surveying::default(),
            reads: Vec::new(),
            commits: Vec::new(),
            made: Made::default(),
            commits_stored: 0,
            lanes_in_commits: 0,
            delivered: Vec::new(),
            started: Vec::new(),
            owned: false,
            leased_until: Timestamp::ZERO,
            acted: None,
        };
        world.start();
        world
    }

    fn start(&mut self) {
        self.seed = self.seed.wrapping_add(1);
        self.dispatcher = Dispatcher::new(self.settings.clone(), self.seed);
        self.input(Input::DeletedTenants(self.deleted_tenants.clone()));
        self.input(Input::Destinations(self.all_destinations()));
        self.claim();
    }

    pub(super) fn claim(&mut self) {
        self.ends.forget();
        self.forget_telling();
        self.forget_expired();
        self.settled_here.clear();
        self.made = Made::default();
        self.lose_unstored_replays();
        self.replays_are_claimed();
        self.owned = true;
        let progress = self.stored.clone();
        let until = self.now.after(LEASE);
        self.leased_until = until;
        let (gone, log) = (self.gone(), Offset::ZERO..self.end);
        self.input(Input::Claimed { partition: PARTITION, progress, gone, log, until });
    }

    /// Commits that were made and not answered.
    pub(super) fn commits_under_way(&self) -> usize {
        self.commits.len()
    }

    pub(super) fn at(&self, offset: Offset) -> &Arc<LoggedEvent> {
        &self.log[self.log.binary_search_by_key(&offset, |event| event.offset).unwrap()]
    }

    pub(super) fn input(&mut self, input: Input) {
        match &input {
            Input::Grew { end, .. } => self.heard = *end,
            Input::Claimed { log, .. } => self.heard = log.end,
            Input::LeaseLost(_) => self.lease_is_lost(),
            _ => {}
        }
        self.dispatcher.handle(input, self.now);
        self.note_ends();
        self.drain();
        self.losing.check();
    }

    /// Gives a command. Whether there was something to do it to.
    pub(super) fn command(&mut self, command: Command) -> bool {
        assert_eq!(self.acted, None);
        self.input(Input::Command { id: CommandId(7), command });
        self.acted.take().expect("a command is answered")
    }

    pub(super) fn drain(&mut self) {
        while let Some(output) = self.dispatcher.poll(self.now) {
            self.look_for_expired();
            match output {
                Output::Read { .. } | Output::ReadDeadLetter { .. } | Output::ReadEnd { .. } => {
                    self.note_hurry(&output);
                    self.reads.push((output, self.log.len()))
                }
                Output::Attempt { attempt, destination, events } => self.attempt(attempt, destination, events),
                Output::Abandon { attempts } => self.losing.abandoned(&attempts),
                Output::Commit { commit, .. } => {
                    self.commit_is_made(&commit);
                    self.commits.push(commit);
                }
                Output::Released(_) => {
                    // What goes to a destination that was deleted says nothing of progress, and is waited for all the same.
                    // What was begun before the partition was lost is not.
                    let at_rest = self.attempts.keys().all(|attempt| self.lost.contains(attempt));
                    assert!(at_rest && self.commits.is_empty(), "released while not at rest");
                    self.owned = false;
                    self.reads.clear();
                    self.check_released();
                    self.check_released_replays();
                    self.claim();
                }
                Output::Notice(Notice::Replay { destination, .. }) => self.lane_is_new(&destination),
                Output::CommandDone { id, acted } => {
                    assert_eq!((id, self.acted.replace(acted)), (CommandId(7), None));
                }
                Output::Notice(notice) => self.check_notice(&notice),
            }
        }
        self.look_for_expired();
        if let Some(at) = self.dispatcher.next_wakeup() {
            assert!(at > self.now, "a timer that has come was left");
        }
    }

    /// A notice about an event names it, wherever its data is at hand.
    fn check_notice(&self, notice: &Notice) {
        match notice {
            Notice::KeyBlocked { destination, key, event, .. } => {
                let Some(event) = event else { return self.may_lack_event(destination, "") };
                assert_eq!(self.lane_key(destination, event), *key);
                assert!(self.wants(destination, event), "{destination} does not want what blocks it");
            }
            Notice::GivenUp { given_up, event: Some(event), .. } => assert_eq!(event.offset, given_up.offset),
            Notice::GivenUp { given_up, event: None, .. } => {
                self.may_lack_event(&given_up.destination, &given_up.reason);
            }
            Notice::Redriven { event, failed, .. } => {
                let is_damaged = failed.as_deref() == Some(DAMAGED);
                assert!(event.is_some() != is_damaged, "what was attempted is at hand");
            }
            _ => {}
        }
    }

    /// Whether a notice about an event of that destination may come without it.
    fn may_lack_event(&self, destination: &DestinationName, reason: &str) {
        let batched = destination.as_str() == "batched";
        assert!(batched || reason.starts_with("skipped"), "what has just failed at {destination} is at hand: {reason}");
    }

    /// What the events of one destination are ordered by.
    pub(super) fn lane_key(&self, destination: &DestinationName, event: &LoggedEvent) -> LaneKey {
        // One that has left keeps its order, and may come back with it.
        let left = || destinations(0).into_iter().find(|d| d.name == *destination);
        let found =
            self.destinations.iter().find(|d| d.name == *destination).cloned().or_else(left).map(|d| d.ordering);
        let ordering = found.or_else(|| self.changing_order(destination)).unwrap_or(Ordering::Key);
        match (ordering, &event.event.tenant, &event.event.key) {
            (Ordering::Strict, ..) => LaneKey::All,
            (Ordering::Key, None, Some(key)) => LaneKey::Key(key.clone()),
            (Ordering::Key, Some(tenant), Some(key)) => LaneKey::Tenant(tenant.clone(), key.clone()),
            _ => LaneKey::Event(event.offset),
        }
    }

    pub(super) fn wants(&self, destination: &DestinationName, event: &LoggedEvent) -> bool {
        let wanted = |d: &Destination| d.name == *destination && d.filters.current.wants(&event.event);
        let wanted = self.destinations.iter().any(wanted) && !self.deleted_tenants.had(&event.event);
        wanted || self.changing_wants(destination, event)
    }

    fn commit_is_made(&mut self, commit: &Arc<Commit>) {
        // One that has failed is sent again, the same.
        if self.made.last.as_ref().is_none_or(|last| !Arc::ptr_eq(last, commit)) {
            self.check_letters(commit);
            self.check_history(commit);
            self.made.last = Some(commit.clone());
            let here = self.settled_in_commit();
            self.made.here_before = std::mem::replace(&mut self.made.here, here);
        }
    }

    fn attempt(&mut self, id: AttemptId, destination: DestinationName, events: Vec<Attempted>) {
        assert!(!events.is_empty());
        assert!(self.now < self.leased_until, "an attempt started although the lease may have run out");
        let redrive = self.dead.contains_key(&(destination.clone(), events[0].event.offset));
        let keys: BTreeSet<LaneKey> = events.iter().map(|e| self.lane_key(&destination, &e.event)).collect();
        let same = |(other, _, whose): &&(DestinationName, Vec<Attempted>, Whose)| {
            *other == destination && !matches!(whose, Whose::Nobody | Whose::Gone)
        };
        for (other, in_flight, _) in self.attempts.values().filter(same) {
            for event in in_flight {
                let key = self.lane_key(other, &event.event);
                assert!(!keys.contains(&key), "two attempts of {key} in flight at {destination}");
            }
        }
        match events[0].replay {
            Some(number) => self.replay_starts(&destination, number, &events),
            None => self.live_starts(&destination, &events),
        }
        let mut here = BTreeSet::new();
        for attempted in &events {
            let offset = attempted.event.offset;
            assert_eq!(*self.at(offset), attempted.event);
            self.check_tenant(&attempted.event);
            let wanted = attempted.redrive || self.wants(&destination, &attempted.event);
            let left = self.changing_order(&destination).is_none();
            assert!(wanted || left, "{destination} gets {offset}, which it does not want: {:?}", self.stored.cuts);
            here.insert((destination.clone(), offset));
            if !attempted.redrive {
                self.ends.started(&(destination.clone(), offset), attempted);
            }
            self.started.push((self.now, destination.clone(), offset));
            if redrive || attempted.replay.is_some() || self.settled.contains(&(destination.clone(), offset)) {
                continue;
            }
            let key = self.lane_key(&destination, &attempted.event);
            let earlier = self.log.iter().take_while(|event| event.offset < offset);
            for event in earlier.filter(|event| self.lane_key(&destination, event) == key) {
                let place = (destination.clone(), event.offset);
                let done = self.settled.contains(&place) || here.contains(&place) || !self.wants(&destination, event);
                assert!(done, "{destination}: {offset} of {key} was attempted before {}", event.offset);
            }
        }
        self.attempts.insert(id, (destination, events, Whose::Lane));
    }

    pub(super) fn step(&mut self, op: &Op) {
        if !matches!(
            op,
            Op::Append { .. }
                | Op::AppendUnheard(_)
                | Op::End { .. }
                | Op::Answer(_)
                | Op::Store { .. }
                | Op::Wait(_)
                | Op::Renew
        ) {
            self.ends.forget();
        }
        match op {
            Op::Append { key, count } => (0..*count).for_each(|n| self.append(*key, n)),
            Op::AppendUnheard(n) => self.append_unheard(n % 5, *n),
            Op::End { which, outcome } => self.end_some_attempt(*which, *outcome),
            Op::Answer(which) => {
                if !self.reads.is_empty() {
                    let (read, had) = self.reads.remove(pick(*which, self.reads.len()));
                    // The store may have answered as soon as it was asked, and the answer come late.
                    let seen = if which % 2 == 0 { self.log.len() } else { had };
                    self.answer(&read, Some(seen));
                }
            }
            Op::Store { which, answer } => self.store(*which, *answer),
            Op::Wait(millis) => self.wait(Duration::from_millis(u64::from(*millis))),
            Op::Crash => self.crash(),
            Op::Reconfigure(variant) => self.reconfigure(*variant),
            Op::RetryDeadLetter(which) => self.retry_dead_letter(*which),
            Op::Operate { which, skip } => self.operate(*which, *skip),
            Op::Release => self.input(Input::Release(PARTITION)),
            Op::Renew => self.renew(),
            Op::LoseWrites(which) => self.lose_writes(*which),
            Op::Replay { destination, from } => self.replay(*destination, *from),
            Op::BeginReplay(wish) => self.begin_replay(wish),
            Op::CancelReplay { destination, id } => self.cancel_replay(*destination, *id),
            Op::Change { which, change } => self.change(*which, *change),
            Op::Trim => self.trim_cuts(),
        }
        self.check_stored();
        self.check_stored_replays();
        self.check_status();
        if self.moments.len() == MOMENTS {
            self.moments.remove(0);
        }
        let (log, stored, dead) = (self.log.len(), self.stored.clone(), self.dead.clone());
        self.moments.push(Moment { log, stored, dead });
    }

    pub(super) fn append(&mut self, key: u8, n: u8) {
        self.append_unheard(key, n);
        let end = self.end;
        self.input(Input::Grew { partition: PARTITION, end });
    }

    fn append_unheard(&mut self, key: u8, n: u8) {
        let offset = self.end;
        self.log.push(logged(offset, key, n, self.now));
        self.end = offset.next();
    }

    /// Answers a read, when the log had so many events; `None`: it fails.
    pub(super) fn answer(&mut self, read: &Output, seen: Option<usize>) {
        let input = match read {
            Output::Read { read, .. } | Output::ReadDeadLetter { read, .. } | Output::ReadEnd { read, .. }
                if seen.is_none() =>
            {
                Input::ReadFailed(*read)
            }
            // It has to be the end of when it was asked, or a later one.
            Output::ReadEnd { read, .. } => {
                let at = seen.unwrap_or(0);
                let end = if at == self.log.len() { self.end } else { self.log[at].offset };
                Input::EndRead { read: *read, end }
            }
            Output::Read { read, from, most, .. } => {
                let log = self.log.iter().take(seen.unwrap_or(0));
                let events: Vec<_> = log.filter(|event| event.offset >= *from).take(*most).cloned().collect();
                let next = events.last().map_or(*from, |last| last.offset.next());
                Input::Read { read: *read, events, corrupt: Vec::new(), next }
            }
            Output::ReadDeadLetter { read, offset, destination, .. } => {
                let there = self.dead.contains_key(&(destination.clone(), *offset));
                if there && offset.0 % 7 == 5 {
                    Input::DeadLetterUnreadable { read: *read, why: DAMAGED.into() }
                } else {
                    let event = there.then(|| self.at(*offset).clone());
                    Input::DeadLetterRead { read: *read, event }
                }
            }
            _ => return,
        };
        self.input(input);
    }

    fn store(&mut self, which: u64, answer: u8) {
        if answer == 0 && !self.reads.is_empty() {
            let (read, _) = self.reads.remove(pick(which, self.reads.len()));
            return self.answer(&read, None);
        }
        let Some(commit) = self.commits.pop() else { return };
        // Unknown outcomes are modelled as maybe: stored, and yet reported as failed.
        if answer != 1 {
            self.apply(&commit);
        }
        let failed = answer <= 2;
        self.input(if failed { Input::CommitFailed(PARTITION) } else { Input::Committed(PARTITION) });
    }

    pub(super) fn renew(&mut self) {
        self.leased_until = self.now.after(LEASE);
        self.input(Input::LeaseRenewed { partition: PARTITION, until: self.leased_until });
    }

    fn wait(&mut self, duration: Duration) {
        let until = self.now.after(duration);
        while let Some(at) = self.dispatcher.next_wakeup().filter(|at| *at <= until) {
            self.now = at.max(self.now);
            self.drain();
        }
        self.now = until;
        self.drain();
    }

    pub(super) fn crash(&mut self) {
        self.attempts.clear();
        self.lost.clear();
        self.ending.clear();
        self.reads.clear();
        self.commits.clear();
        self.start();
    }

    fn reconfigure(&mut self, variant: u8) {
        let next = destinations(variant);
        let before = std::mem::replace(&mut self.destinations, next.clone());
        for destination in before.iter().filter(|left| next.iter().all(|d| d.name != left.name)) {
            self.lane_is_new(&destination.name);
        }
        let left = before.into_iter().map(|d| d.name).filter(|of| next.iter().all(|d| d.name != *of)).collect();
        self.input(Input::Destinations(DestinationChanges { present: next, left, ..DestinationChanges::default() }));
    }

    /// What is in flight to the destination ends some time, and says nothing to its next lane.
    fn lane_is_new(&mut self, destination: &DestinationName) {
        self.replays_are_unsure(destination);
        for (to, _, whose) in self.attempts.values_mut() {
            if to == destination && *whose == Whose::Lane {
                *whose = Whose::FormerLane;
            }
        }
    }

    fn retry_dead_letter(&mut self, which: u64) {
        if self.dead.is_empty() {
            return;
        }
        let letters: Vec<_> = self.dead.iter().collect();
        let ((destination, offset), given_up) = &letters[pick(which, letters.len())];
        let request = Redrive { destination: destination.clone(), offset: *offset, key: given_up.key.clone() };
        if !self.stored.redrives.contains(&request) {
            self.stored.redrives.push(request.clone());
        }
        self.input(Input::Redrive { partition: PARTITION, requests: vec![request] });
    }
}
