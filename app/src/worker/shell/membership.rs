//! Who else works on the store, and what this worker claims and hands over because of it.

use super::Shell;
use laneway_domain::{Input, Step};
use laneway_ports::{StoreError, WorkerId};
use std::future::pending;

impl Shell {
    /// The register has answered who is there, or has not.
    pub(super) fn announced(&mut self, answer: Result<Vec<WorkerId>, StoreError>) {
        match answer {
            Ok(workers) => self.share.present(workers),
            Err(error) => self.share.presence_unknown(&error),
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
