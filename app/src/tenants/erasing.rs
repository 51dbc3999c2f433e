//! What is left of deleted tenants at the operator's destinations, and when nothing of them is left anywhere.

use super::service::Tenants;
use laneway_domain::{Age, Ages, DeadLetter, DeletedTenants, Offset, Partition, Timestamp};
use laneway_ports::{
    DeadLetterQuery, EventLog, LogRecord, MAX_DEAD_LETTER_PAGE, Selection, StoreError, TenantAdminError,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// How often it is looked after deleted tenants: what is in flight when a tenant is deleted may become a dead letter
/// within minutes, and that their names become free is nothing that anybody waits for.
const EVERY: Duration = Duration::from_secs(60);
/// How long after a deletion a process may have taken an event of the tenant, and an attempt have ended, with what clocks
/// differ by: a look every quarter of a second, and a request and an attempt take minutes at most.
const MARGIN: Duration = Duration::from_secs(900);

impl Tenants {
    /// Discards the dead letters with these tenants' events at the operator's destinations; returns how many. (Those of their
    /// own destinations go with them.)
    pub(super) async fn discard_dead_letters(&self, of: &DeletedTenants) -> Result<u64, StoreError> {
        let mut discarded = 0;
        if of.is_empty() {
            return Ok(discarded);
        }
        let counts = self.stores.dead_letters.counts().await?;
        for count in counts.into_iter().filter(|count| count.destination.tenant().is_none()) {
            let mut query = DeadLetterQuery {
                selection: Selection::of(count.destination),
                after: None,
                most: MAX_DEAD_LETTER_PAGE,
            };
            loop {
                let page = self.stores.dead_letters.list(&query).await?;
                let places = self.places(of, &page).await?;
                if !places.is_empty() {
                    let selection = Selection { places, ..query.selection.clone() };
                    discarded += self.stores.dead_letters.discard(&selection).await?;
                }
                let Some(last) = page.last().filter(|_| page.len() == MAX_DEAD_LETTER_PAGE) else { break };
                query.after = Some((last.partition, last.given_up.offset, last.given_up.destination.clone()));
            }
        }
        Ok(discarded)
    }

    /// Where those of the letters are that have an event of these tenants.
    async fn places(
        &self,
        of: &DeletedTenants,
        letters: &[DeadLetter],
    ) -> Result<BTreeSet<(Partition, Offset)>, StoreError> {
        let mut places = BTreeSet::new();
        for DeadLetter { partition, given_up, .. } in letters {
            let is_theirs = match of.have(&given_up.key) {
                Some(is_theirs) => is_theirs,
                // Only the event says.
                None => {
                    match self.stores.dead_letters.event(*partition, given_up.offset, &given_up.destination).await {
                        Ok(event) => event.is_some_and(|event| of.had(&event.event)),
                        // It must not keep the others from being looked at.
                        Err(StoreError::Refused { what }) => {
                            tracing::warn!(
                                destination = %given_up.destination, %partition, offset = given_up.offset.0, why = %what,
                                "it cannot be told whose a dead letter is, so that it stays also if its tenant was deleted"
                            );
                            false
                        }
                        Err(error) => return Err(error),
                    }
                }
            };
            if is_theirs {
                places.insert((*partition, given_up.offset));
            }
        }
        Ok(places)
    }

    /// A process that had not heard of a deletion may have made a destination or a token of that tenant: it would be the next
    /// one's that has the name.
    async fn delete_late(&self, of: &DeletedTenants) -> Result<(), TenantAdminError> {
        let by = "laneway, since the tenant was deleted";
        for tenant in of.names() {
            let deleted = self.delete_destinations(by, tenant).await? + self.revoke_tokens(by, tenant).await?;
            if deleted > 0 {
                tracing::info!(
                    %tenant, deleted,
                    "a process that did not know of a tenant's deletion had made things for it: they were deleted"
                );
            }
        }
        Ok(())
    }

    /// Nobody comes in by a link to whoever has the name next.
    async fn end_links(&self, of: &DeletedTenants) -> Result<(), TenantAdminError> {
        let by = "laneway, since the tenant was deleted";
        for tenant in of.names() {
            self.everything.tokens.end_links(by, tenant).await.map_err(TenantAdminError::Tokens)?;
        }
        Ok(())
    }

    /// Looks once after deleted tenants. `kept`: see [`forget_deleted`].
    async fn look_after_deleted(&self, kept: Duration) -> Result<(), TenantAdminError> {
        let now = self.look_at_clock().await?;
        let book = self.known.book();
        if book.deleted().is_empty() {
            return Ok(()); // As nearly always.
        }
        // What was in flight may have become a dead letter since the last look; once more before nobody knows of them.
        let lately = book.deleted_since(now.before(MARGIN));
        let mut discarded = self.discard_dead_letters(&lately).await?;
        self.delete_late(&lately).await?;
        let gone = book.gone(oldest(&*self.stores.log, now).await?, kept, MARGIN, now);
        discarded += self.discard_dead_letters(&gone).await?;
        self.delete_late(&gone).await?;
        self.end_links(&gone).await?;
        if discarded > 0 {
            tracing::info!(discarded, "dead letters of deleted tenants were discarded");
        }
        if !gone.is_empty() {
            let by = "laneway, since nothing of them is left";
            self.change(by, |book, stamp| {
                book.forget(&gone, stamp);
                Ok(())
            })
            .await?;
            tracing::info!("nothing is left of deleted tenants: their names are free");
        }
        Ok(())
    }
}

/// When the oldest event was accepted that the log has, over all partitions; `None` if it has none.
async fn oldest(log: &dyn EventLog, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
    let ages = Ages::new(Timestamp::ZERO, now);
    let mut oldest = None;
    for partition in (0..log.partitions()).map(Partition) {
        let start = log.bounds(partition).await?.start;
        let first = log.read(partition, start, 1, 1).await?.records.into_iter().next();
        let at = match first {
            Some(LogRecord::Event(event)) if ages.of(event.accepted_at) != Age::Ahead => event.accepted_at,
            // How old it is, nobody can tell: it cannot be read, or the clock was wrong when it was accepted.
            Some(LogRecord::Event(_) | LogRecord::Corrupt { .. }) => Timestamp::ZERO,
            None => continue,
        };
        oldest = Some(oldest.map_or(at, |oldest: Timestamp| oldest.min(at)));
    }
    Ok(oldest)
}

/// Looks after deleted tenants for as long as it is polled. `kept`: how long ids of events are remembered, and what was
/// told of attempts.
pub async fn forget_deleted(tenants: Arc<Tenants>, kept: Duration) {
    loop {
        sleep(EVERY).await;
        if let Err(error) = tenants.look_after_deleted(kept).await {
            tracing::warn!(%error, "what is left of deleted tenants could not be looked after; trying again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use laneway_domain::{Event, EventId, EventType, NewEvent};
    use laneway_memory::{Disk, MemoryStore, Settings};

    #[tokio::test]
    async fn an_event_whose_time_lies_ahead_does_not_say_how_old_those_behind_it_are() {
        let disk = Disk::new(1);
        let store = MemoryStore::open(disk.clone(), Settings::default());
        assert_eq!(oldest(&store, disk.now()).await.unwrap(), None);
        let event = Event::new(EventId::new("e").unwrap(), EventType::new("t").unwrap(), Bytes::new());
        store.append(vec![NewEvent { event, id_given: true }]).await.remove(0).unwrap();
        let found = oldest(&store, disk.now()).await.unwrap().unwrap();
        assert!(found > Timestamp::ZERO);
        // By the clock of whoever looks, it will be accepted in two minutes.
        let now = found.before(Duration::from_secs(120));
        assert_eq!(oldest(&store, now).await.unwrap(), Some(Timestamp::ZERO));
    }
}
