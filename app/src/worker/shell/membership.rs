//! Who else works on the store, and what this worker claims and hands over because of it.

use super::{Owned, Shell};
use crate::worker::calls::{Calls, Claimed};
use crate::worker::leave::LeaseEnd;
use laneway_domain::{DestinationName, Input, Step};
use laneway_ports::{StoreError, WorkerId};
use std::future::pending;
use std::sync::Arc;

impl Shell {
    /// The register has answered who is there, or has not.
    pub(super) fn announced(&mut self, answer: Result<Vec<WorkerId>, StoreError>) {
        match answer {
            Ok(workers) => self.share.present(workers, self.clock.now()),
            Err(error) => self.share.presence_unknown(&error, self.clock.now()),
        }
        self.register = self.stores.announce(self.share.id().clone(), false);
        self.rebalance();
    }

    /// Claims and hands over what is to be.
    pub(super) fn rebalance(&mut self) {
        let now = self.clock.now();
        while let Some(step) = self.share.poll(now) {
            match step {
                Step::Claim(partition) => self.calls.push(self.stores.claim(partition, self.share.id().clone())),
                Step::Release(partition) => {
                    tracing::info!(partition = partition.0, "the partition is handed over to another worker");
                    self.feed(Input::Release(partition));
                }
            }
        }
    }

    /// A partition was claimed. It is worked on once it is known what has become of the destinations that have progress
    /// there.
    pub(super) fn claimed(&mut self, claimed: Claimed) {
        if self.stopping {
            return self.calls.push(self.stores.release(claimed.lease));
        }
        if !claimed.waited && claimed.progress.cuts.revision() > *self.known.borrow() {
            return self.calls.push(self.stores.catch_up(claimed, self.known.subscribe()));
        }
        if claimed.gone.is_none() {
            let unknown = |name: &&DestinationName| !self.dispatcher.has_destination(name);
            let unknown: Vec<_> = claimed.progress.lanes.keys().filter(unknown).cloned().collect();
            if !unknown.is_empty() {
                return self.calls.push(self.stores.look_up(claimed, unknown));
            }
        }
        let Claimed { lease, progress, log, losses, until, gone, .. } = claimed;
        let (partition, end) = (lease.partition, log.end);
        self.calls.push(self.stores.renew(lease.clone(), Calls::renewal_of(until)));
        self.calls.push(self.stores.watch(lease.clone(), end, false));
        let leave = Arc::new(LeaseEnd::new(until, self.clock));
        self.owned.insert(partition, Owned { lease, leave, end });
        self.count_leases();
        self.teller.claimed(partition, &progress, &losses);
        self.feed(Input::Claimed { partition, progress, gone: gone.unwrap_or_default(), log, until });
        self.share.claimed(partition);
        self.rebalance();
    }

    /// Claims nothing more, and tells the others so, who need not wait until it has finished.
    pub(super) fn leave(&mut self) {
        self.share.stop();
        // An announcement that is on its way is given up: it must not come after this.
        self.register = self.stores.leave(self.share.id().clone());
    }

    pub(super) fn has_left(&mut self) {
        self.left = true;
        self.register = Box::pin(pending());
    }
}
