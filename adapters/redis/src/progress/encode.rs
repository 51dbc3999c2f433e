//! A commit as the keys and arguments of one function call, in the order that `lua/commit.lua` and
//! `lua/progress.lua` take them.

use super::names::Names;
use super::text::{self, MAX_OFFSET};
use crate::dead_letters::letter;
use bytes::Bytes;
use laneway_domain::{
    Behind, Commit, DestinationName, GivenUp, LaneChange, LaneKey, Offset, Quarantined, Redriven, ReplayChange,
    ReplayId, ReplayMark,
};
use laneway_ports::{Lease, MAX_REVISION, StoreError, encoded_history};
use std::collections::BTreeMap;

/// What becomes of a dead letter that was retried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// It was delivered, and goes.
    Delivered,
    /// It is not there any more.
    Gone,
    /// It stays, with the failure added: what [`letter::rest`] gives.
    Failed(String),
}

/// What the position of no change, and a retry that was delivered, are in the call.
const NOTHING: &str = "";
/// The end of a replay.
const GONE: &str = "-";
/// The end of a pause.
const NO_PAUSE: &str = "-";

/// Keys and arguments of a call.
#[derive(Debug, Default)]
pub(super) struct Call {
    pub(super) keys: Vec<String>,
    pub(super) args: Vec<Bytes>,
}

impl Call {
    pub(super) fn arg(&mut self, arg: impl Into<String>) {
        self.args.push(Bytes::from(arg.into()));
    }

    fn number(&mut self, number: usize) {
        self.arg(number.to_string());
    }
}

/// Refuses offsets and revisions that Redis would round.
pub(super) fn check_numbers(names: &Names<'_>, commit: &Commit) -> Result<(), StoreError> {
    let born = commit.lanes.values().filter_map(|change| change.born);
    if let Some(last) = born.chain(commit.cut.map(|cut| cut.revision)).max().filter(|last| *last > MAX_REVISION) {
        let what = format!("revision {last} cannot be stored in Redis: {MAX_REVISION} is the last one");
        return Err(StoreError::refused(what));
    }
    let behind = commit.lanes.values().flat_map(|change| change.behind.values().flatten()).map(|behind| behind.offset);
    let dead = commit.dead_letters.iter().map(|given_up| given_up.offset);
    let replays = commit.lanes.values().flat_map(|change| change.replays.values().flatten());
    let numbers = replays.clone().filter_map(|replay| replay.mark).map(|mark| Offset(mark.number));
    let replayed = replays.flat_map(|replay| replay.behind.values().flatten()).map(|behind| behind.offset);
    let again = commit.lanes.values().filter_map(|change| change.expiry).map(|expiry| expiry.again_below);
    let highest = behind.chain(dead).chain(numbers).chain(replayed).chain(again).fold(commit.highest(), Offset::max);
    if names.stored(highest) <= MAX_OFFSET {
        return Ok(());
    }
    Err(StoreError::refused(format!(
        "offset {highest} cannot be stored in Redis: {} is the last one",
        names.numbers().shown(MAX_OFFSET)
    )))
}

/// The position that the log must have reached.
fn highest(commit: &Commit) -> Offset {
    commit.dead_letters.iter().map(|given_up| given_up.offset.next()).fold(commit.highest(), Offset::max)
}

impl Call {
    /// What fences the commit, and where it must not go beyond. `witness`: the event that was read
    /// last, and its check.
    pub(super) fn new(names: &Names<'_>, lease: &Lease, witness: Option<(Offset, u32)>, commit: &Commit) -> Self {
        let mut call = Self::default();
        call.keys.extend([names.log(), names.lease(), names.progress(), names.lowest()]);
        call.keys.extend(names.all_dead());
        call.keys.extend([names.quarantine(), names.cuts()]);
        call.conditions(names, lease, witness, commit);
        call
    }

    fn conditions(&mut self, names: &Names<'_>, lease: &Lease, witness: Option<(Offset, u32)>, commit: &Commit) {
        self.arg(lease.epoch.to_string());
        self.arg(lease.worker.0.as_str());
        let (offset, check) =
            witness.map_or_else(Default::default, |(offset, check)| (stored(names, offset), check.to_string()));
        self.arg(offset);
        self.arg(check);
        self.arg(stored(names, highest(commit)));
    }

    /// One step of dropping the dead letters of a destination that the commit drops.
    pub(super) fn dropping(
        names: &Names<'_>,
        lease: &Lease,
        witness: Option<(Offset, u32)>,
        commit: &Commit,
        name: &DestinationName,
    ) -> Self {
        let mut call = Self { keys: vec![names.log(), names.lease(), names.dead_of(name)], args: Vec::new() };
        call.keys.extend(names.all_dead());
        call.conditions(names, lease, witness, commit);
        call.arg(name.as_str());
        call
    }

    /// One step of taking away the keys behind of a replay that the commit ends or begins anew.
    pub(super) fn clearing(
        names: &Names<'_>,
        lease: &Lease,
        witness: Option<(Offset, u32)>,
        commit: &Commit,
        (name, id): (&DestinationName, &ReplayId),
        cursor: &str,
    ) -> Self {
        let mut call = Self { keys: vec![names.log(), names.lease(), names.progress()], args: Vec::new() };
        call.keys.extend(names.replays(name));
        call.conditions(names, lease, witness, commit);
        call.arg(id.as_str());
        call.arg(cursor);
        call
    }

    /// What the commit says. `rests` has one for each of `commit.redriven`.
    pub(super) fn add_commit(&mut self, names: &Names<'_>, commit: &Commit, rests: &[Rest]) {
        let redriven: Vec<(&Redriven, &Rest)> =
            commit.redriven.iter().zip(rests).filter(|(_, rest)| **rest != Rest::Gone).collect();
        self.arg(commit.scanned.map_or_else(String::new, |offset| stored(names, offset)));
        self.number(commit.lanes.len());
        self.number(redriven.len());
        self.number(commit.dead_letters.len());
        self.number(commit.quarantined.len());
        let (revision, at) =
            commit.cut.map_or_else(Default::default, |cut| (cut.revision.to_string(), stored(names, cut.at)));
        self.arg(revision);
        self.arg(at);
        self.number(commit.dropped.len());
        for name in &commit.dropped {
            self.keys.extend([names.behind(name), names.retry(name), names.dead_of(name)]);
            self.arg(name.as_str());
        }
        for (name, change) in &commit.lanes {
            self.keys.extend([names.behind(name), names.retry(name)]);
            self.arg(change.born.map_or_else(String::new, |born| born.to_string()));
            self.arg(name.as_str());
            add_change(self, names, change);
        }
        for (redriven, rest) in redriven {
            self.keys.push(names.dead_of(&redriven.destination));
            add_redriven(self, names, redriven, rest);
        }
        for given_up in &commit.dead_letters {
            self.keys.push(names.dead_of(&given_up.destination));
            add_given_up(self, names, given_up);
        }
        for quarantined in &commit.quarantined {
            add_quarantined(self, names, quarantined);
        }
        self.add_replays(names, commit);
        self.add_expiry(names, commit);
    }

    /// What the commit says of what has expired.
    fn add_expiry(&mut self, names: &Names<'_>, commit: &Commit) {
        self.keys.push(names.expiry());
        self.number(commit.dropped.len());
        for name in &commit.dropped {
            self.arg(name.as_str());
        }
        let changed = commit.lanes.iter().filter(|(_, change)| change.expiry.is_some() || change.born.is_some());
        let changed: Vec<_> = changed.collect();
        self.number(changed.len());
        for (name, change) in changed {
            self.arg(name.as_str());
            self.arg(change.expiry.map_or_else(String::new, |expiry| text::expiry(names.numbers(), expiry)));
        }
    }

    /// What the commit says of replays.
    fn add_replays(&mut self, names: &Names<'_>, commit: &Commit) {
        self.number(commit.dropped.len());
        for name in &commit.dropped {
            self.keys.push(names.replaying());
            self.keys.extend(names.replays(name));
            self.arg(name.as_str());
        }
        let changed = commit.lanes.iter().filter(|(_, change)| !change.replays.is_empty());
        let changed: Vec<_> = changed.collect();
        self.number(changed.len());
        for (name, change) in changed {
            self.keys.push(names.replaying());
            self.keys.extend(names.replays(name));
            self.arg(name.as_str());
            self.number(change.replays.len());
            for (id, replay) in &change.replays {
                add_replay(self, names, id, replay.as_ref());
            }
        }
    }

    /// What the commit tells of attempts, if anything. `epoch`: that of its lease.
    pub(super) fn add_history(&mut self, names: &Names<'_>, epoch: u64, commit: &Commit) {
        let Some(told) = &commit.history else { return };
        self.keys.extend(names.history());
        self.arg(told.at.as_millis().to_string());
        self.arg(text::place(epoch, told.number));
        self.args.push(encoded_history(told).into());
    }
}

fn add_replay(call: &mut Call, names: &Names<'_>, id: &ReplayId, change: Option<&ReplayChange>) {
    call.arg(id.as_str());
    let made = change.and_then(|change| change.made.as_ref());
    match (change, made) {
        (None, _) => [GONE, NOTHING].map(|text| call.arg(text)),
        (Some(_), None) => [NOTHING, NOTHING].map(|text| call.arg(text)),
        (Some(_), Some(spec)) => [letter::json(spec), stored(names, spec.until)].map(|text| call.arg(text)),
    };
    // One that begins stands at its beginning.
    let begins = made.map(|spec| ReplayMark { number: 0, scanned: spec.from, settled: 0 });
    call.arg(
        change
            .and_then(|change| change.mark)
            .or(begins)
            .map_or_else(String::new, |mark| text::mark(names.numbers(), mark)),
    );
    let behind = change.map(|change| &change.behind);
    call.number(behind.map_or(0, BTreeMap::len));
    for (key, behind) in behind.into_iter().flatten() {
        call.arg(key.to_string());
        call.arg(behind.as_ref().map_or_else(String::new, |behind| stored(names, behind.offset)));
        let retry = behind.as_ref().and_then(|behind| behind.retry.as_ref());
        call.arg(retry.map_or_else(String::new, letter::json));
    }
}

fn stored(names: &Names<'_>, offset: Offset) -> String {
    names.stored(offset).to_string()
}

fn add_change(call: &mut Call, names: &Names<'_>, change: &LaneChange) {
    call.arg(change.position.map_or_else(String::new, |position| text::position(names.numbers(), position)));
    call.arg(match &change.paused {
        None => NOTHING.to_owned(),
        Some(None) => NO_PAUSE.to_owned(),
        Some(Some(pause)) => text::pause(pause),
    });
    let behind: Vec<(&LaneKey, &Behind)> =
        change.behind.iter().filter_map(|(key, behind)| Some((key, behind.as_ref()?))).collect();
    call.number(behind.len() * 2);
    for (key, behind) in &behind {
        call.arg(stored(names, behind.offset));
        call.arg(key.to_string());
    }
    let failed: Vec<(&LaneKey, String)> =
        behind.iter().filter_map(|(key, behind)| Some((*key, letter::json(behind.retry.as_ref()?)))).collect();
    call.number(failed.len() * 2);
    for (key, retry) in failed {
        call.arg(key.to_string());
        call.arg(retry);
    }
    let unfailed = behind.iter().filter(|(_, behind)| behind.retry.is_none()).map(|(key, _)| *key);
    let caught_up = change.behind.iter().filter(|(_, behind)| behind.is_none()).map(|(key, _)| key);
    let caught_up: Vec<&LaneKey> = caught_up.collect();
    let without_retry: Vec<&LaneKey> = unfailed.chain(caught_up.iter().copied()).collect();
    call.number(without_retry.len());
    for key in without_retry {
        call.arg(key.to_string());
    }
    call.number(caught_up.len());
}

fn add_redriven(call: &mut Call, names: &Names<'_>, redriven: &Redriven, rest: &Rest) {
    call.arg(redriven.destination.as_str());
    call.arg(letter::name(names.numbers(), redriven.offset, &redriven.destination));
    call.arg(match rest {
        Rest::Failed(rest) => rest,
        Rest::Delivered | Rest::Gone => NOTHING,
    });
}

fn add_given_up(call: &mut Call, names: &Names<'_>, given_up: &GivenUp) {
    call.arg(given_up.destination.as_str());
    call.arg(stored(names, given_up.offset));
    call.arg(letter::name(names.numbers(), given_up.offset, &given_up.destination));
    call.arg(letter::rest(given_up));
}

fn add_quarantined(call: &mut Call, names: &Names<'_>, quarantined: &Quarantined) {
    call.arg(stored(names, quarantined.offset));
    call.arg(quarantined.reason.as_ref());
}
