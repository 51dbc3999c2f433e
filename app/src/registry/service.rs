//! Changes of destinations, as they are asked for over the HTTP interface.

mod changing;
mod shown;
mod taking;

use super::read::Reader;
use super::settings::Means;
use super::stored::moment;
use crate::config::CurrentTenantBounds;
use crate::telemetry::metrics as metrics_names;
use crate::tenants::KnownTenants;
use async_trait::async_trait;
use bytes::Bytes;
use changing::{Asked, Purpose};
use laneway_domain::{
    Attempted, DestinationName, Event, EventId, EventType, LoggedEvent, OWN_SOURCE, Offset, Outcome, Partition,
    Registered, Revision, Standing, TENANT_SEPARATOR, TEST_TYPE, Timestamp,
};
use laneway_ports::{
    AdminError, Change, ChangeRequest, Changed, ChangesDone, DestinationAdmin, DestinationList, DestinationRecord,
    JournalEntry, JournalLine, ListQuery, MAX_JOURNAL, MAX_LIST, Stores, TestAnswer, TestReport, WorkerControl,
};
use metrics::counter;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use taking::KnownCuts;
use tokio::time::Instant;

/// How long an answer waits for all partitions to have taken a change over. Workers do within a second; longer than
/// this only those that are starting or in trouble.
pub const TAKEN_WITHIN: Duration = Duration::from_secs(10);

/// The service that changes destinations.
pub struct Destinations {
    stores: Stores,
    workers: Arc<dyn WorkerControl>,
    reader: Arc<Reader>,
    tenants: CurrentTenantBounds,
    known_tenants: Option<Arc<KnownTenants>>,
    patience: Duration,
}

impl Destinations {
    /// A service over this store, whose workers can be asked there.
    #[must_use]
    pub fn new(stores: Stores, workers: Arc<dyn WorkerControl>, reader: Arc<Reader>) -> Self {
        let tenants = CurrentTenantBounds::default();
        Self { stores, workers, reader, tenants, known_tenants: None, patience: TAKEN_WITHIN }
    }

    /// The same, with other bounds of what tenants' destinations may be.
    #[must_use]
    pub fn bounding(self, tenants: CurrentTenantBounds) -> Self {
        Self { tenants, ..self }
    }

    /// The same, for a process that knows what each tenant may, and which were deleted.
    #[must_use]
    pub fn knowing(self, tenants: Arc<KnownTenants>) -> Self {
        Self { known_tenants: Some(tenants), ..self }
    }

    /// The same, with answers that wait for at most `patience`.
    #[must_use]
    pub fn patient_for(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    fn means(&self) -> Means<'_> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
        Means { egress: self.reader.egress(), tenants: &self.tenants, keys: self.reader.keys(), now }
    }

    fn partitions(&self) -> Vec<Partition> {
        (0..self.stores.log.partitions()).map(Partition).collect()
    }

    /// About how many events wait for the destinations that are to be deleted, as far as the workers say so.
    async fn waiting_for_deleted(&self, changes: &[ChangeRequest]) -> BTreeMap<DestinationName, u64> {
        let deletes = |change: &&ChangeRequest| matches!(change.change, Change::Delete);
        let names: BTreeSet<_> = changes.iter().filter(deletes).map(|change| &change.name).collect();
        if names.is_empty() {
            return BTreeMap::new();
        }
        let Some(status) = self.workers.status().await else { return BTreeMap::new() };
        let of = status.destinations.into_iter().filter(|known| names.contains(&known.name));
        of.map(|known| (known.name, known.pending)).collect()
    }

    async fn record(&self, name: &DestinationName) -> Result<Registered, AdminError> {
        let found = self.stores.registry.records(std::slice::from_ref(name)).await?;
        let there = found.into_iter().find(|record| record.standing != Standing::Deleted);
        there.ok_or_else(|| AdminError::Unknown(name.clone()))
    }
}

#[async_trait]
impl DestinationAdmin for Destinations {
    async fn change(&self, by: &str, changes: Vec<ChangeRequest>) -> ChangesDone {
        let until = Instant::now() + self.patience;
        let settles = changing::must_settle(&changes);
        let waiting = self.waiting_for_deleted(&changes).await;
        let results = self.make(Asked { purpose: Purpose::Change { by }, waiting: &waiting }, changes).await;
        tell_of_deletions(by, &results);
        let made: Vec<_> = results.iter().filter_map(|result| result.as_ref().ok()).collect();
        let Some(revision) = made.iter().map(|changed| changed.revision).max() else {
            return ChangesDone { results, taken: laneway_ports::TakenOver::default() };
        };
        let settling =
            made.iter().map(|changed| &changed.name).filter(|name| settles.contains(*name)).cloned().collect();
        let taken = self.await_taken(revision, settling, until).await;
        ChangesDone { results, taken }
    }

    async fn preview(&self, changes: Vec<ChangeRequest>) -> Vec<Result<Changed, AdminError>> {
        let waiting = self.waiting_for_deleted(&changes).await;
        self.make(Asked { purpose: Purpose::Preview, waiting: &waiting }, changes).await
    }

    async fn show(&self, name: &DestinationName) -> Result<DestinationRecord, AdminError> {
        Ok(shown::record(&self.record(name).await?))
    }

    async fn list(&self, query: &ListQuery) -> Result<DestinationList, AdminError> {
        let most = query.limit.clamp(1, MAX_LIST);
        // Those of a tenant lie together.
        let begin = query.tenant.as_ref().map_or_else(String::new, |tenant| format!("{tenant}{TENANT_SEPARATOR}"));
        let mut after = query.after.as_ref().map_or_else(String::new, ToString::to_string).max(begin);
        let mut items = Vec::new();
        // A state that few are in would otherwise take a look at every destination that there is.
        for _ in 0..shown::PAGES_LOOKED_AT {
            let page = self.stores.registry.page(&after, most).await?;
            for record in &page.records {
                if query.tenant.is_some() && !record.name.is_of(query.tenant.as_ref()) {
                    return Ok(DestinationList { items, next: None, incomplete: Vec::new() });
                }
                after = record.name.to_string();
                let shown = shown::record(record);
                if query.state.is_none_or(|state| state == shown.state) {
                    items.push(shown);
                }
                if items.len() == most {
                    let last = page.records.last().is_some_and(|last| last.name == record.name);
                    let next = if last && !page.more { None } else { Some(after) };
                    return Ok(DestinationList { items, next, incomplete: Vec::new() });
                }
            }
            if !page.more {
                return Ok(DestinationList { items, next: None, incomplete: Vec::new() });
            }
        }
        Ok(DestinationList { items, next: Some(after), incomplete: Vec::new() })
    }

    async fn note(&self, by: &str, name: &DestinationName, what: &str) -> Result<(), AdminError> {
        self.make_note(by, name, what).await
    }

    async fn changes(
        &self,
        name: &DestinationName,
        before: Option<Revision>,
        limit: usize,
    ) -> Result<Vec<JournalLine>, AdminError> {
        let entries = self.stores.registry.journal(name, before, limit.clamp(1, MAX_JOURNAL)).await?;
        if entries.is_empty() && before.is_none() {
            return Err(AdminError::Unknown(name.clone()));
        }
        let mut known = Vec::new();
        for partition in self.partitions() {
            known.push((partition, self.cuts(partition).await?));
        }
        let line = |entry: JournalEntry| {
            let of = |(partition, cuts): &(Partition, KnownCuts)| Some((*partition, cuts.of(entry.revision)?));
            let (by, what) = (entry.by.into(), entry.what.into());
            let cuts = known.iter().filter_map(of).collect();
            JournalLine { revision: entry.revision, at: moment(entry.at), by, what, cuts }
        };
        Ok(entries.into_iter().map(line).collect())
    }

    async fn test(&self, name: &DestinationName) -> Result<TestAnswer, AdminError> {
        let record = self.record(name).await?;
        let conflict = |what: String| AdminError::Conflict { field: None, what };
        let sink = self.reader.read(&record).sink.map_err(conflict)?;
        let event = test_event(name, self.means().now).map_err(conflict)?;
        let event_id = event.event.id.as_str().to_owned();
        // A receiver that remembers sequences must not take this one for a place in the order.
        let attempted = Attempted { event: Arc::new(event), attempt: 1, redrive: true, replay: None, fresh: false };
        let begun = Instant::now();
        let TestReport { outcome, answer } = sink.test(attempted).await;
        let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (status, body) = answer.map(|answer| (answer.status, answer.body)).unzip();
        let body = body.filter(|body| !body.is_empty());
        let label = outcome.label().to_owned();
        let (delivered, reason) = match outcome {
            Outcome::Delivered => (true, None),
            Outcome::Retry { reason, .. } | Outcome::Rejected { reason } | Outcome::Gone { reason } => {
                (false, Some(reason))
            }
            Outcome::NotTried => (false, Some("the sink did not try".to_owned())),
        };
        Ok(TestAnswer { name: name.clone(), delivered, outcome: label, took_ms, status, body, reason, event_id })
    }
}

/// What is gone with a destination is told in the log and in a metric: nothing else remembers it.
fn tell_of_deletions(by: &str, results: &[Result<Changed, AdminError>]) {
    for Changed { name, dropped, .. } in results.iter().flatten() {
        if let Some(dropped) = *dropped {
            counter!(metrics_names::DROPPED_EVENTS).increment(dropped);
            tracing::info!(destination = %name, by, dropped, "a destination was deleted, and what waited for it");
        }
    }
}

/// What is sent as a test.
fn test_event(name: &DestinationName, now: Timestamp) -> Result<LoggedEvent, String> {
    let id = EventId::new(&format!("test_{:032x}", rand::random::<u128>())).map_err(|error| error.to_string())?;
    let event_type = EventType::new(TEST_TYPE).map_err(|error| error.to_string())?;
    let data = serde_json::json!({ "test": true, "destination": name.as_str() }).to_string();
    let event = Event { source: Some(OWN_SOURCE.into()), ..Event::new(id, event_type, Bytes::from(data)) };
    Ok(LoggedEvent { partition: Partition(0), offset: Offset::ZERO, accepted_at: now, event })
}
