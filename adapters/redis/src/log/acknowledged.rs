//! What a process that appends knows of the log behind its connection.
//!
//! Numbers alone do not tell that acknowledged events were lost: others, who know nothing of these, may have been given
//! the same numbers, and more. But nothing is lost while a connection lasts, or the next number tells it. So behind
//! each new connection it is seen, before anything is appended, whether the entry acknowledged last is still there: one
//! call for each connection and partition, and none for an append.

use super::checks::Checks;
use super::partition::PartitionLog;
use crate::connect::{Reconnects, Redis};
use crate::shared::Shared;
use laneway_domain::Offset;
use laneway_ports::StoreError;

/// The last entries of a partition that this process has acknowledged.
#[derive(Default)]
pub(super) struct Acknowledged {
    checks: Checks,
    /// The connection behind which they were found to be there.
    behind: Option<(Redis, Reconnects)>,
}

impl Acknowledged {
    /// Whether they were found to be there behind this connection, and it was not made anew since.
    pub(super) fn are_behind(&self, there: &Redis) -> bool {
        self.behind.as_ref().is_some_and(|(known, since)| known.is_over_the_link_of(there) && !since.were_some())
    }

    /// Sees whether they are there, over `redis`, of which `there` is the connection that leads to the partition. Notes
    /// and reports what is lost of them.
    pub(super) async fn look(
        &mut self,
        shared: &Shared,
        redis: &Redis,
        there: &Redis,
        log: &PartitionLog,
    ) -> Result<(), StoreError> {
        // From before it is asked on: if it leads elsewhere meanwhile, it is asked again.
        let behind = (there.clone(), Reconnects::of(there));
        if let Some(last) = self.checks.last()
            && !shared.compare(redis, log.partition, last).await?.0
        {
            if let Some(lost) = shared.lost_of(redis, log.partition, &self.checks.all()).await?
                && let Some(answer) = shared.note_lost(redis, log.partition, &lost).await?
            {
                shared.report_loss(log.partition, &answer).await;
            }
            self.checks.clear();
        }
        self.behind = Some(behind);
        Ok(())
    }

    /// These were appended over `there`, and are acknowledged; `has_lost`: it turned out that some of those
    /// before are lost.
    pub(super) async fn note(
        &mut self,
        shared: &Shared,
        redis: &Redis,
        there: &Redis,
        log: &PartitionLog,
        has_lost: bool,
        entries: Vec<(Offset, u32)>,
    ) {
        if has_lost || !self.are_behind(there) {
            // It was made anew, before the append or behind it. If before, those that were acknowledged earlier may be
            // gone, which these do not tell, or not from where on; if behind, these themselves may be, so that the next
            // append looks again.
            self.behind = None;
            if self.look(shared, redis, there, log).await.is_err() {
                return;
            }
            self.behind = None;
        }
        entries.into_iter().for_each(|(offset, check)| self.checks.note(offset, check));
    }
}
