//! One partition, as plain maps: what each port promises about it, written down as directly as it
//! can be.

use crate::Sabotage;
use crate::histories::Histories;
use laneway_domain::{
    Age, Ages, Backoff, Commit, Cuts, DeadLetter, DestinationName, GivenUp, LoggedEvent, NewEvent, Offset, Oldest,
    Partition, PartitionProgress, Redrive, Timestamp,
};
use laneway_ports::{
    Appended, CommitError, Lease, MAX_DEAD_LETTER_PAGE, MAX_TENURES, Selection, StoreError, Tenure, TenureEnd, WorkerId,
};
use std::collections::{BTreeMap, VecDeque};
use std::ops::{Bound, Range};
use std::sync::Arc;
use std::time::Duration;

/// A partition's data.
#[derive(Clone, Debug)]
pub(crate) struct Shard {
    number: Partition,
    /// Everything below was trimmed.
    pub(crate) start: Offset,
    pub(crate) end: Offset,
    events: BTreeMap<Offset, Arc<LoggedEvent>>,
    /// Given ids, by [`NewEvent::remembered_as`].
    ids: BTreeMap<String, (Offset, Timestamp)>,
    epoch: u64,
    holder: Option<(WorkerId, Timestamp)>,
    /// Who has it and who had it, the latest first. Of the present one [`Shard::holder`] says until when.
    tenures: VecDeque<Tenure>,
    /// Leases that failovers have ended, and until when their holders may take themselves for it still.
    unaware: Vec<(Lease, Timestamp)>,
    /// Without requests for retries, which are flags of the dead letters.
    progress: PartitionProgress,
    pub(crate) dead: BTreeMap<(Offset, DestinationName), Dead>,
    quarantined: BTreeMap<Offset, Box<str>>,
    /// What failovers have lost.
    pub(crate) losses: Vec<Range<Offset>>,
    pub(crate) histories: Histories,
}

/// A dead letter with the copy of its event.
#[derive(Clone, Debug)]
pub(crate) struct Dead {
    given_up: GivenUp,
    pub(crate) event: Arc<LoggedEvent>,
    pub(crate) retry_requested: bool,
    /// Whether what became of it cannot be read any more.
    pub(crate) is_damaged: bool,
    /// The same of the copy of its event.
    pub(crate) has_damaged_copy: bool,
}

impl Dead {
    pub(crate) fn is_of(&self, selection: &Selection) -> bool {
        let event = &self.event.event;
        selection.destination.as_ref().is_none_or(|name| *name == self.given_up.destination)
            && selection.key.as_ref().is_none_or(|key| event.key.as_ref() == Some(key))
            && selection.event_id.as_ref().is_none_or(|id| *id == event.id)
            && (selection.is_plain() || !self.is_damaged && selection.picks(&self.letter()))
    }

    pub(crate) fn letter(&self) -> DeadLetter {
        DeadLetter {
            partition: self.event.partition,
            given_up: self.given_up.clone(),
            event_id: self.event.event.id.clone(),
            event_type: Some(self.event.event.event_type.clone()),
            tenant: self.event.event.tenant.clone(),
            retry_requested: self.retry_requested,
        }
    }
}

impl Shard {
    pub(crate) fn new(number: Partition) -> Self {
        Self {
            number,
            start: Offset::ZERO,
            end: Offset::ZERO,
            events: BTreeMap::new(),
            ids: BTreeMap::new(),
            epoch: 0,
            holder: None,
            tenures: VecDeque::new(),
            unaware: Vec::new(),
            progress: PartitionProgress::default(),
            dead: BTreeMap::new(),
            quarantined: BTreeMap::new(),
            losses: Vec::new(),
            histories: Histories::default(),
        }
    }

    pub(crate) fn append(&mut self, new: NewEvent, now: Timestamp, window: Duration) -> Appended {
        let remembered = new.remembered_as();
        let known = remembered.as_ref().and_then(|id| self.ids.get(id.as_ref()));
        if let Some((offset, _)) = known.filter(|(_, at)| now.since(*at) < window) {
            return Appended { partition: self.number, offset: *offset, duplicate: true };
        }
        let (partition, offset) = (self.number, self.end);
        self.end = offset.next();
        if let Some(id) = remembered.filter(|_| !window.is_zero()) {
            self.ids.insert(id.into_owned(), (offset, now));
        }
        let logged = LoggedEvent { partition, offset, accepted_at: now, event: new.event };
        self.events.insert(offset, Arc::new(logged));
        Appended { partition, offset, duplicate: false }
    }

    pub(crate) fn remembered(&self, id: &str) -> Option<Offset> {
        self.ids.get(id).map(|(offset, _)| *offset)
    }

    pub(crate) fn read_from(&self, from: Offset) -> impl Iterator<Item = &Arc<LoggedEvent>> {
        self.events.range(from..).map(|(_, event)| event)
    }

    /// Whether the event is there, or was until it was trimmed.
    pub(crate) fn has(&self, offset: Offset) -> bool {
        offset < self.start || self.events.contains_key(&offset)
    }

    pub(crate) fn trim(&mut self, ages: Ages, most: usize, sabotage: Option<Sabotage>) -> usize {
        let settled = if sabotage == Some(Sabotage::TrimAnything) { self.end } else { self.progress.settled_below() };
        let age = |event: &LoggedEvent| ages.of(event.accepted_at);
        let mut oldest = Oldest::default();
        for (offset, event) in self.events.range(..settled).take(most) {
            if !oldest.add(offset.0, age(event)) {
                break;
            }
        }
        let mut last = oldest.may_go;
        if let Some(ahead) = oldest.may_follow {
            let mut behind = self.events.range(Offset(ahead).next()..settled.max(Offset(ahead).next()));
            if behind.find_map(|(_, event)| Some(age(event)).filter(|age| *age != Age::Ahead)) == Some(Age::Old) {
                last = Some(ahead);
            }
        }
        let upto = last.map_or(Offset::ZERO, |last| Offset(last).next());
        let gone: Vec<Offset> = self.events.range(..upto).map(|(offset, _)| *offset).collect();
        for offset in &gone {
            self.events.remove(offset);
            self.start = offset.next();
        }
        if !gone.is_empty() {
            self.progress.cuts.trim(self.start);
        }
        gone.len()
    }

    /// Loses the events accepted since `moment`, as a disk does that was never synced.
    pub(crate) fn lose_since(&mut self, moment: Timestamp) {
        while let Some(last) = self.events.last_entry()
            && last.get().accepted_at >= moment
        {
            self.end = *last.key();
            self.ids.retain(|_, (offset, _)| *offset != self.end);
            last.remove();
        }
    }

    pub(crate) const fn number(&self) -> Partition {
        self.number
    }

    /// Becomes what a replica had of it: what came since is lost, numbers are given out of a new
    /// generation, and whoever had the lease has it no more.
    pub(crate) fn fail_over(&mut self, replica: Self) -> Range<Offset> {
        let lost = replica.end..self.end;
        let mut unaware = std::mem::take(&mut self.unaware);
        let (partition, epoch) = (self.number, self.epoch);
        unaware.extend(self.holder.take().map(|(worker, until)| (Lease { partition, epoch, worker }, until)));
        let (end, epoch) = (Offset::in_generation(self.end.generation() + 1, 0), self.epoch + 1);
        let mut losses = std::mem::take(&mut self.losses);
        losses.extend(Some(lost.clone()).filter(|lost| !lost.is_empty()));
        *self = Self { end, epoch, holder: None, unaware, losses, ..replica };
        lost
    }

    /// What its events and its history weigh.
    pub(crate) fn bytes(&self) -> u64 {
        let events: usize = self.events.values().map(|event| event.event.weight()).sum();
        events as u64 + self.histories.size().bytes
    }

    pub(crate) fn lost_lease(&self, worker: &WorkerId, now: Timestamp) -> Option<Lease> {
        let mut latest_first = self.unaware.iter().rev();
        let its = latest_first.find(|(lease, until)| lease.worker == *worker && *until > now);
        its.map(|(lease, _)| lease.clone())
    }

    pub(crate) fn claim(&mut self, worker: &WorkerId, now: Timestamp, ttl: Duration) -> Option<Lease> {
        if self.holder.as_ref().is_some_and(|(holder, until)| holder != worker && *until > now) {
            return None;
        }
        if let Some((_, until)) = self.holder.take() {
            let ended = if until > now { TenureEnd::HandedOver } else { TenureEnd::RanOut };
            self.end_tenure(until.min(now), ended);
        }
        self.epoch += 1;
        let until = now.after(ttl);
        self.holder = Some((worker.clone(), until));
        let tenure = Tenure { epoch: self.epoch, worker: worker.clone(), since: Some(now), until, ended: None };
        self.tenures.push_front(tenure);
        self.tenures.truncate(MAX_TENURES);
        Some(Lease { partition: self.number, epoch: self.epoch, worker: worker.clone() })
    }

    pub(crate) fn lease(&self, now: Timestamp) -> Option<Lease> {
        let (worker, _) = self.holder.as_ref().filter(|(_, until)| *until > now)?;
        Some(Lease { partition: self.number, epoch: self.epoch, worker: worker.clone() })
    }

    pub(crate) fn renew(&mut self, lease: &Lease, until: Timestamp) -> Result<(), CommitError> {
        self.check(lease)?;
        self.holder = Some((lease.worker.clone(), until));
        Ok(())
    }

    pub(crate) fn release(&mut self, lease: &Lease, now: Timestamp) -> Result<(), CommitError> {
        self.check(lease)?;
        self.holder = None;
        self.end_tenure(now, TenureEnd::HandedOver);
        Ok(())
    }

    /// The present tenure ends, unless a failover has lost that there was one.
    fn end_tenure(&mut self, until: Timestamp, ended: TenureEnd) {
        if let Some(tenure) = self.tenures.front_mut().filter(|tenure| tenure.ended.is_none()) {
            (tenure.until, tenure.ended) = (until, Some(ended));
        }
    }

    pub(crate) fn tenures(&self) -> Vec<Tenure> {
        let mut all: Vec<Tenure> = self.tenures.iter().cloned().collect();
        if let (Some(tenure), Some((_, until))) = (all.first_mut(), &self.holder) {
            tenure.until = *until;
        }
        all
    }

    fn check(&self, lease: &Lease) -> Result<(), CommitError> {
        if lease.epoch == self.epoch && self.holder.is_some() {
            return Ok(());
        }
        Err(CommitError::Fenced { partition: self.number, epoch: lease.epoch })
    }

    pub(crate) fn load(&self, sabotage: Option<Sabotage>) -> PartitionProgress {
        let mut progress = self.progress.clone();
        progress.redrives = self.retry_requested(None, MAX_DEAD_LETTER_PAGE);
        if sabotage == Some(Sabotage::ForgetBehind) {
            progress.lanes.values_mut().for_each(|lane| lane.behind.clear());
        }
        progress
    }

    pub(crate) fn commit(
        &mut self,
        lease: &Lease,
        commit: &Commit,
        sabotage: Option<Sabotage>,
    ) -> Result<(), CommitError> {
        if sabotage != Some(Sabotage::NoFence) {
            self.check(lease)?;
        }
        let beyond = commit.dead_letters.iter().any(|given_up| given_up.offset >= self.end);
        if commit.highest() > self.end || beyond {
            let what = format!("a commit for partition {} is beyond its end, {}", self.number, self.end);
            return Err(StoreError::refused(what).into());
        }
        self.dead.retain(|(_, name), _| !commit.dropped.contains(name));
        for redriven in &commit.redriven {
            let at = (redriven.offset, redriven.destination.clone());
            match &redriven.failed {
                None => drop(self.dead.remove(&at)),
                Some(failure) => {
                    if let Some(dead) = self.dead.get_mut(&at).filter(|dead| dead.retry_requested) {
                        let before = dead.given_up.retry.clone();
                        dead.given_up.retry = Backoff::note(Some(before), failure.clone());
                        dead.retry_requested = false;
                    }
                }
            }
        }
        for given_up in &commit.dead_letters {
            // An event that was trimmed has been settled, so that this commit has come before.
            let Some(event) = self.events.get(&given_up.offset) else { continue };
            let dead = Dead {
                given_up: given_up.clone(),
                event: event.clone(),
                retry_requested: false,
                is_damaged: false,
                has_damaged_copy: false,
            };
            self.dead.entry((given_up.offset, given_up.destination.clone())).or_insert(dead);
        }
        self.quarantined.extend(commit.quarantined.iter().map(|q| (q.offset, q.reason.clone())));
        if let Some(history) = &commit.history {
            self.histories.add(lease.epoch, history);
        }
        self.progress.apply(commit);
        Ok(())
    }

    pub(crate) const fn cuts(&self) -> &Cuts {
        &self.progress.cuts
    }

    pub(crate) fn forget(&mut self, destination: &DestinationName) -> bool {
        let dead = self.dead.len();
        self.dead.retain(|(_, name), _| name != destination);
        self.progress.lanes.remove(destination).is_some() || self.dead.len() < dead
    }

    pub(crate) fn retry_requested(&self, after: Option<&(Offset, DestinationName)>, most: usize) -> Vec<Redrive> {
        let behind = (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        let requested = self.dead.range(behind).filter(|(_, dead)| dead.retry_requested && !dead.is_damaged);
        let redrive = |((offset, destination), dead): (&(Offset, DestinationName), &Dead)| Redrive {
            destination: destination.clone(),
            offset: *offset,
            key: dead.given_up.key.clone(),
        };
        requested.take(most).map(redrive).collect()
    }

    pub(crate) fn quarantined(&self) -> impl Iterator<Item = (Offset, &str)> {
        self.quarantined.iter().map(|(offset, reason)| (*offset, reason.as_ref()))
    }
}
