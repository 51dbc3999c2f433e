//! Which partitions a worker claims and which it hands over, so that the workers that share a
//! store have about the same number each.
//!
//! Every worker decides for itself, from two things: who is there, and what the store said of its
//! own claims. With P partitions and N workers a worker's *share* is P / N, and one more for the
//! first P mod N of them by their ids. Below its share it claims, never beyond it; above its share it
//! releases, never below it. The shares add up to P. So, once all see the same workers, everything
//! comes to rest with every worker at exactly its share, and nothing moves until the workers change;
//! and when one comes or goes, exactly the partitions move that it takes or leaves.
//!
//! Nothing here is needed for safety: that two workers never both work on a partition is what leases
//! are for.

use crate::partition::Partition;
use crate::time::Timestamp;
use std::collections::VecDeque;
use std::time::Duration;

mod presence;

#[cfg(test)]
mod tests;

pub use presence::Presence;

/// How often a worker below its share looks whether partitions have become free. With a lease of 5 s
/// a partition whose worker died is taken over in less than 7 s.
pub const CLAIM_EVERY: Duration = Duration::from_secs(1);

/// What part of all partitions a worker may hand over at a time. A partition stands still from when
/// its last attempts are waited for until another worker has claimed it, so that a worker that joins
/// stops at most this part of the work at any moment, and has its share after about ten rounds.
const HAND_OVER_PART: usize = 8;

/// What a worker is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Claim this partition, and tell [`Balancer::claimed`] or [`Balancer::not_claimed`].
    Claim(Partition),
    /// Wind this partition down, release it, and tell [`Balancer::released`].
    Release(Partition),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not ours.
    Other,
    Claiming,
    Held,
    Releasing,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    state: State,
    /// The last round in which a claim was in vain; 0 if none was.
    failed: u64,
}

/// One worker's part in spreading partitions over workers.
///
/// Tell it what happens, then [`Balancer::poll`] until there is nothing more to do, again after
/// [`Balancer::next_wakeup`].
#[derive(Clone, Debug)]
pub struct Balancer {
    partitions: Vec<Known>,
    held: usize,
    claiming: usize,
    releasing: usize,
    /// This worker's place among those that are there, and how many they are; unknown at first.
    place: Option<(u32, u32)>,
    /// For how long that may be unknown before it goes on as if it were alone.
    alone_after: Duration,
    unknown_since: Option<Timestamp>,
    /// Whether it takes itself for alone only because it has learned of nobody.
    is_blind: bool,
    stopping: bool,
    round: u64,
    next_round: Timestamp,
    /// What this round has yet to try.
    candidates: VecDeque<Partition>,
    /// How many claims this round may still begin.
    claims: usize,
    /// How many releases this round may still begin.
    releases: usize,
}

impl Balancer {
    /// A worker that holds nothing, of a store with so many partitions. `alone_after`: when those that are there must be
    /// gone, as far as a register and leases can tell, that it could not learn of from its start on.
    #[must_use]
    pub fn new(partitions: u32, alone_after: Duration) -> Self {
        Self {
            partitions: vec![Known { state: State::Other, failed: 0 }; partitions as usize],
            held: 0,
            claiming: 0,
            releasing: 0,
            place: None,
            alone_after,
            unknown_since: None,
            is_blind: false,
            stopping: false,
            round: 0,
            next_round: Timestamp::ZERO,
            candidates: VecDeque::new(),
            claims: 0,
            releases: 0,
        }
    }

    /// These workers are there. `own` is among them, whether or not they name it.
    pub fn present<W: Ord>(&mut self, own: &W, workers: &[W]) {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let before = count(workers.iter().filter(|worker| *worker < own).count());
        let others = count(workers.iter().filter(|worker| *worker != own).count());
        if std::mem::take(&mut self.is_blind) {
            self.next_round = Timestamp::ZERO;
        }
        self.set_place(before, others.saturating_add(1));
    }

    /// Who is there could not be learned: those that were there before are assumed to be. At the beginning it waits: what
    /// keeps the register from answering may have kept the others from renewing their leases, and they go on as soon as
    /// they can. When it has been so for long, the partitions must not stand still any longer; then it takes a part of them
    /// at a time, so that others who come back find some left.
    pub fn presence_unknown(&mut self, now: Timestamp) {
        if self.place.is_some() {
            return;
        }
        let since = *self.unknown_since.get_or_insert(now);
        if now.since(since) >= self.alone_after {
            self.is_blind = true;
            self.set_place(0, 1);
        }
    }

    fn set_place(&mut self, rank: u32, workers: u32) {
        let place = Some((rank, workers));
        if self.place != place {
            self.place = place;
            // What has changed is acted upon at once.
            self.next_round = Timestamp::ZERO;
        }
    }

    /// Claims and hands over nothing any more. (Whoever stops releases everything.)
    pub fn stop(&mut self) {
        self.stopping = true;
        self.candidates.clear();
    }

    /// A claim has succeeded.
    pub fn claimed(&mut self, partition: Partition) {
        self.set(partition, State::Held);
        if let Some(known) = self.partitions.get_mut(partition.0 as usize) {
            known.failed = 0;
        }
    }

    /// A claim was in vain: another worker has the partition, or the store did not answer. It is tried
    /// again in a later round, after those that were not tried for longer.
    pub fn not_claimed(&mut self, partition: Partition) {
        self.set(partition, State::Other);
        let round = self.round;
        if let Some(known) = self.partitions.get_mut(partition.0 as usize) {
            known.failed = round;
        }
    }

    /// Another worker has taken the partition over.
    pub fn lost(&mut self, partition: Partition) {
        self.not_claimed(partition);
    }

    /// A release has ended.
    pub fn released(&mut self, partition: Partition) {
        self.not_claimed(partition);
    }

    /// The partition that is to be claimed or released now, if there is one.
    pub fn poll(&mut self, now: Timestamp) -> Option<Step> {
        let share = self.share()?;
        if self.stopping {
            return None;
        }
        if now >= self.next_round {
            self.begin_round(now);
        }
        if self.held + self.claiming < share {
            self.claims = self.claims.checked_sub(1)?;
            let partition = self.candidates.pop_front()?;
            self.set(partition, State::Claiming);
            return Some(Step::Claim(partition));
        }
        if self.held > share && self.releases > 0 && self.releasing < self.at_once() {
            self.releases -= 1;
            let partition = self.by_preference(State::Held).pop()?;
            self.set(partition, State::Releasing);
            return Some(Step::Release(partition));
        }
        None
    }

    /// When to poll again, if nothing happens before. `None`: it has its share, or does not know it.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Timestamp> {
        let share = self.share()?;
        let settled = self.held == share;
        (!settled && !self.stopping).then_some(self.next_round)
    }

    /// How many partitions are this worker's share; `None` before it knows who is there.
    #[must_use]
    pub fn share(&self) -> Option<usize> {
        let (rank, workers) = self.place?;
        let partitions = u32::try_from(self.partitions.len()).unwrap_or(u32::MAX);
        Some(share_of(rank, workers, partitions) as usize)
    }

    /// How many partitions it holds and means to keep.
    #[must_use]
    pub const fn held(&self) -> usize {
        self.held
    }

    fn begin_round(&mut self, now: Timestamp) {
        self.round += 1;
        self.next_round = now.after(CLAIM_EVERY);
        self.candidates = self.by_preference(State::Other).into();
        self.claims = if self.is_blind { self.at_once() } else { self.partitions.len() };
        self.releases = self.at_once();
    }

    /// How many partitions it may hand over at a time, or claim without knowing of others.
    const fn at_once(&self) -> usize {
        self.partitions.len().div_ceil(HAND_OVER_PART)
    }

    /// The partitions in this state, best first: those that another worker has been seen to hold come
    /// last; else they go round from a place that is different for every worker, so that they do not
    /// all try the same ones.
    fn by_preference(&self, state: State) -> Vec<Partition> {
        let (rank, workers) = self.place.unwrap_or((0, 1));
        let all = self.partitions.len() as u64;
        let start = all * u64::from(rank) / u64::from(workers.max(1));
        let mut found: Vec<(u64, u64, Partition)> = (0_u32..)
            .zip(&self.partitions)
            .filter(|(_, known)| known.state == state)
            .map(|(n, known)| (known.failed, (u64::from(n) + all - start) % all, Partition(n)))
            .collect();
        found.sort_unstable();
        found.into_iter().map(|(_, _, partition)| partition).collect()
    }

    fn set(&mut self, partition: Partition, state: State) {
        let Some(known) = self.partitions.get_mut(partition.0 as usize) else { return };
        let before = std::mem::replace(&mut known.state, state);
        if let Some(count) = self.count(before) {
            *count -= 1;
        }
        if let Some(count) = self.count(state) {
            *count += 1;
        }
    }

    const fn count(&mut self, state: State) -> Option<&mut usize> {
        match state {
            State::Other => None,
            State::Claiming => Some(&mut self.claiming),
            State::Held => Some(&mut self.held),
            State::Releasing => Some(&mut self.releasing),
        }
    }
}

/// How many of the partitions are the share of the worker before which `rank` others come, by id.
fn share_of(rank: u32, workers: u32, partitions: u32) -> u32 {
    let workers = workers.max(1);
    partitions / workers + u32::from(rank < partitions % workers)
}
