//! This worker's share of the partitions: who else is there, and what is claimed and handed over
//! because of it. The decisions are [`Balancer`]'s; the shell carries them out.

use super::{ANNOUNCE_EVERY, LEASE, PRESENT_FOR};
use laneway_domain::{Balancer, Partition, Presence, Step, Timestamp};
use laneway_ports::{StoreError, WorkerId};
use std::collections::BTreeMap;
use std::time::Duration;

/// When a worker that could not learn from its start on who else is there goes on as if it were alone: nobody has announced
/// itself since, and the leases of all who could not renew them have run out.
const ALONE_AFTER: Duration = PRESENT_FOR.saturating_add(LEASE);

/// What is decided, and what people are to know of it.
pub(super) struct Share {
    id: WorkerId,
    balancer: Balancer,
    presence: Presence<WorkerId>,
    partitions: u32,
    /// Why partitions are not held that were claimed, or are another's.
    missing: BTreeMap<Partition, String>,
    /// Who was there when the register was read last, and why it cannot be read now.
    present: Vec<WorkerId>,
    unread: Option<String>,
}

impl Share {
    pub(super) fn new(id: WorkerId, partitions: u32) -> Self {
        let (missing, present) = (BTreeMap::new(), Vec::new());
        // One announcement at least has failed, or took long.
        let presence = Presence::new(ANNOUNCE_EVERY * 2, PRESENT_FOR);
        let balancer = Balancer::new(partitions, ALONE_AFTER);
        Self { id, balancer, presence, partitions, missing, present, unread: None }
    }

    pub(super) const fn id(&self) -> &WorkerId {
        &self.id
    }

    /// What is to be claimed or handed over now.
    pub(super) fn poll(&mut self, now: Timestamp) -> Option<Step> {
        self.balancer.poll(now)
    }

    /// Nothing is claimed any more.
    pub(super) fn stop(&mut self) {
        self.balancer.stop();
    }

    pub(super) fn present(&mut self, said: Vec<WorkerId>, now: Timestamp) {
        let workers = self.presence.heard(said, now);
        if self.unread.take().is_some() {
            tracing::info!("the register of workers can be read again");
        }
        let Some(workers) = workers else { return };
        self.balancer.present(&self.id, &workers);
        if self.present != workers {
            let (others, share) = (workers.iter().filter(|id| **id != self.id).count(), self.balancer.share());
            // A worker that finds itself alone at its start has nothing to tell: most never share their store.
            if !self.present.is_empty() || others > 0 {
                tracing::info!(
                    others,
                    share,
                    partitions = self.partitions,
                    "the workers that share this store have changed"
                );
            }
            self.present = workers;
        }
    }

    pub(super) fn presence_unknown(&mut self, error: &StoreError, now: Timestamp) {
        let before = self.balancer.share();
        self.presence.missed();
        self.balancer.presence_unknown(now);
        if before.is_none() && self.balancer.share().is_some() {
            tracing::warn!(
                "it cannot be learned who else works on this store; partitions that nobody has are claimed, a part of them \
                 at a time"
            );
        }
        let why = error.to_string();
        if self.unread.replace(why).is_none() {
            tracing::warn!(%error, "the register of workers could not be read; trying again, and deliveries go on");
        }
    }

    pub(super) fn next_wakeup(&self) -> Option<Timestamp> {
        self.balancer.next_wakeup()
    }

    pub(super) fn claimed(&mut self, partition: Partition) {
        self.missing.remove(&partition);
        self.balancer.claimed(partition);
    }

    pub(super) fn not_claimed(&mut self, partition: Partition, error: Option<StoreError>) {
        self.balancer.not_claimed(partition);
        match error {
            None => drop(self.missing.insert(partition, "another worker has it".to_owned())),
            Some(error) => {
                let why = error.to_string();
                if self.missing.insert(partition, why.clone()).as_ref() != Some(&why) {
                    tracing::info!(partition = partition.0, reason = %why, "a partition could not be claimed; trying again");
                }
            }
        }
    }

    pub(super) fn lost(&mut self, partition: Partition) {
        self.missing.insert(partition, "another worker has it".to_owned());
        self.balancer.lost(partition);
    }

    pub(super) fn released(&mut self, partition: Partition) {
        self.balancer.released(partition);
    }

    /// What keeps it from having its share; nothing if it has it.
    pub(super) fn not_ready(&self) -> Vec<String> {
        let Some(share) = self.balancer.share() else {
            return vec!["it is not known yet who else works on this store".to_owned()];
        };
        let short = share.saturating_sub(self.balancer.held());
        if short == 0 {
            return Vec::new();
        }
        let mut reasons = vec![format!("{short} of this worker's {share} partitions have not been claimed yet")];
        let missing = self.missing.iter().map(|(partition, why)| format!("partition {partition}: {why}"));
        reasons.extend(missing.take(short));
        reasons
    }
}
