//! What a running Laneway can be asked and told: the one port that points inwards.

mod replays;

pub use replays::{BegunReplay, MAX_COUNTED, ReplayCount, ReplayPoint, ReplayRequest};

use crate::{StoreError, Stores, WorkerId, accepted_since};
use async_trait::async_trait;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use laneway_domain::{
    Command, DestinationName, Filters, Origin, Partition, Registered, ReplayId, ReplayStatus, Standing, StatusReport,
    Tenant, Timestamp,
};
use std::sync::Arc;
use thiserror::Error;

/// How many partitions are searched at once for where a replay begins: an operator waits for all of them, and
/// the store has other things to do.
const SEARCHES: usize = 16;

/// The workers that an operator speaks to: that of this process, and those that share its store.
#[async_trait]
pub trait WorkerControl: Send + Sync {
    /// A snapshot of all destinations. `None` while the worker is starting or stopping.
    async fn status(&self) -> Option<StatusReport>;

    /// Carries out a command wherever it concerns. `Ok(true)` if there was something to do it to;
    /// `Ok(false)` only if every worker that it may concern has said that there was nothing. `Err` says
    /// who could not be asked, and why it cannot be done now; a part of it may have been done.
    async fn command(&self, command: Command) -> Result<bool, String>;

    /// The worker of this process, if it has one: what a status says of it is of that moment. What it says of others
    /// may be some seconds old.
    fn own_worker(&self) -> Option<&WorkerId> {
        None
    }

    /// Where a destination sends to, for people and without what may be secret. `None` if this process does not know.
    fn target(&self, _destination: &DestinationName) -> Option<String> {
        None
    }

    /// By which filters a destination judges events. `None` if this process does not know.
    async fn filters(&self, _destination: &DestinationName) -> Option<Arc<Filters>> {
        None
    }

    /// What keeps the process from doing its work now, for people; empty if nothing does.
    async fn not_ready(&self) -> Vec<String>;

    /// What keeps it from doing a part of its work now while the rest goes on, for people; empty if nothing does.
    async fn limitations(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Why an operator's wish was not carried out.
#[derive(Debug, Error)]
pub enum OperationError {
    /// The worker is starting or stopping, or the store cannot be read: it cannot be asked now.
    #[error("the worker is starting or stopping, or the store cannot be read")]
    NotReady,
    /// The store has not done it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Something stands in the way: what, and what to do.
    #[error("{0}")]
    Conflict(String),
    /// Not every worker that it concerns has done it: which one, and why. A part of it may have been done.
    #[error("{0}")]
    Workers(String),
}

impl OperationError {
    /// What somebody is told of it. A tenant is told what to do, and nothing of workers.
    #[must_use]
    pub fn told_to(&self, tenant: Option<&Tenant>) -> String {
        match (self, tenant) {
            (Self::Workers(_), Some(_)) => UNCERTAIN.to_owned(),
            _ => self.to_string(),
        }
    }
}

/// What a tenant is told where not every worker has done something.
const UNCERTAIN: &str = "it is not certain that all of it was done: try again in a few seconds";

/// All that an operator does, for whatever shows it to people. Everything else only translates: whether
/// something may be done, and in which order its steps are, is decided here.
#[async_trait]
pub trait Operations: WorkerControl {
    /// Forgets a destination that left the configuration, so that it no longer holds the trim. `false` if
    /// nothing is stored of it.
    ///
    /// # Errors
    /// While it is configured: its worker would go on without its progress, and deliver or skip at random. If
    /// a worker could not be told: it may bring the destination back.
    async fn forget(&self, destination: &DestinationName) -> Result<bool, OperationError>;

    /// Has a destination go back to the first event that was accepted at `since` or later and is still in the
    /// log. `false` if it is in no worker's configuration.
    ///
    /// # Errors
    /// If the log cannot be searched, or a worker could not be told.
    async fn replay(&self, destination: DestinationName, since: Timestamp) -> Result<bool, OperationError>;

    /// Begins a replay, or takes it up where a partition has not heard of it. `None` if no worker has the destination.
    /// It has begun where [`ReplayStatus::partitions`] of the destination's status say so, and not before.
    ///
    /// # Errors
    /// If the id is another replay's, if a part of what is to be replayed is not stored any more (unless
    /// [`ReplayRequest::partial`]), if the log cannot be searched, or if a worker could not be told.
    async fn begin_replay(&self, request: &ReplayRequest) -> Result<Option<BegunReplay>, OperationError>;

    /// How many events a replay would deliver again now. Begins nothing.
    ///
    /// # Errors
    /// As of [`Operations::begin_replay`], but that the id may be taken.
    async fn count_replay(&self, request: &ReplayRequest) -> Result<Option<ReplayCount>, OperationError>;

    /// The replays of a destination, by their ids. `None` if no worker has the destination.
    ///
    /// # Errors
    /// If no worker can be asked.
    async fn replays(&self, destination: &DestinationName) -> Result<Option<Vec<ReplayStatus>>, OperationError>;

    /// Ends a replay and forgets it. `false` if there is none of that id.
    ///
    /// # Errors
    /// If a worker could not be told.
    async fn cancel_replay(&self, destination: &DestinationName, replay: &ReplayId) -> Result<bool, OperationError>;
}

/// The operations over workers and the store that they share.
pub struct Operator<W: ?Sized> {
    stores: Stores,
    workers: Arc<W>,
}

impl<W: WorkerControl + ?Sized> Operator<W> {
    /// Speaks to `workers`, which work on `stores`.
    pub fn new(workers: Arc<W>, stores: Stores) -> Self {
        Self { stores, workers }
    }
}

#[async_trait]
impl<W: WorkerControl + ?Sized> WorkerControl for Operator<W> {
    async fn status(&self) -> Option<StatusReport> {
        self.workers.status().await
    }

    async fn command(&self, command: Command) -> Result<bool, String> {
        self.workers.command(command).await
    }

    fn own_worker(&self) -> Option<&WorkerId> {
        self.workers.own_worker()
    }

    fn target(&self, destination: &DestinationName) -> Option<String> {
        self.workers.target(destination)
    }

    async fn filters(&self, destination: &DestinationName) -> Option<Arc<Filters>> {
        self.workers.filters(destination).await
    }

    async fn not_ready(&self) -> Vec<String> {
        self.workers.not_ready().await
    }

    async fn limitations(&self) -> Vec<String> {
        self.workers.limitations().await
    }
}

/// What is to be done before a destination can be forgotten, if anything: while it is worked on, its worker would go on
/// without its progress.
fn keeps_from_forgetting(
    destination: &DestinationName,
    record: Option<&Registered>,
    is_worked_on: bool,
) -> Option<String> {
    let what = match record {
        Some(record) if record.standing == Standing::Present => match record.origin {
            Origin::File => {
                "is in the configuration file: take it out there, send Laneway a SIGHUP, and then forget it"
            }
            Origin::Api => "was made over the HTTP interface: delete it there, which forgets it too",
        },
        _ if !is_worked_on => return None,
        Some(_) => "is still worked on, for some seconds after it has gone: try again then",
        None => "stands in while no destination is configured: it goes with the first one",
    };
    Some(format!("{destination} {what}"))
}

#[async_trait]
impl<W: WorkerControl + ?Sized> Operations for Operator<W> {
    async fn forget(&self, destination: &DestinationName) -> Result<bool, OperationError> {
        let report = self.workers.status().await.ok_or(OperationError::NotReady)?;
        // Workers may not have told of it yet, and the registry knows nothing of one that stands in.
        let record = self.stores.registry.records(std::slice::from_ref(destination)).await?.pop();
        let is_worked_on = report.destinations.iter().any(|known| known.name == *destination && known.configured);
        if let Some(why) = keeps_from_forgetting(destination, record.as_ref(), is_worked_on) {
            return Err(OperationError::Conflict(why));
        }
        // First: whoever claims a partition from here on finds nothing of it.
        let mut known = self.stores.progress.forget(destination).await?;
        // Also if the store knew nothing: an earlier call may have come no further than that.
        let told = self.workers.command(Command::Forget { destination: destination.clone() }).await;
        // Once more: a commit that a worker had prepared before it was told may have brought it back.
        known |= self.stores.progress.forget(destination).await?;
        told.map_err(|why| {
            let what = format!("the store has forgotten {destination}, but a worker may bring it back: {why}");
            OperationError::Workers(what)
        })?;
        Ok(known)
    }

    async fn replay(&self, destination: DestinationName, since: Timestamp) -> Result<bool, OperationError> {
        let log = &*self.stores.log;
        let find = async |partition| Ok::<_, StoreError>((partition, accepted_since(log, partition, since).await?));
        let found = stream::iter((0..log.partitions()).map(Partition)).map(find).buffer_unordered(SEARCHES);
        let from = found.try_collect().await?;
        self.workers.command(Command::Replay { destination, from }).await.map_err(OperationError::Workers)
    }

    async fn begin_replay(&self, request: &ReplayRequest) -> Result<Option<BegunReplay>, OperationError> {
        replays::begin(&*self.workers, &self.stores, request).await
    }

    async fn count_replay(&self, request: &ReplayRequest) -> Result<Option<ReplayCount>, OperationError> {
        replays::count(&*self.workers, &self.stores, request).await
    }

    async fn replays(&self, destination: &DestinationName) -> Result<Option<Vec<ReplayStatus>>, OperationError> {
        replays::known(&*self.workers, destination).await
    }

    async fn cancel_replay(&self, destination: &DestinationName, replay: &ReplayId) -> Result<bool, OperationError> {
        let command = Command::CancelReplay { destination: destination.clone(), replay: replay.clone() };
        self.workers.command(command).await.map_err(OperationError::Workers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use laneway_domain::{Edit, Filter, Revision};

    #[test]
    fn what_keeps_from_forgetting_is_told_by_where_a_destination_comes_from() {
        let name = DestinationName::new("billing").unwrap();
        let record = |origin, standing| {
            let (settings, filter) = ("{}".into(), Filter::default());
            let edit = Edit::Put { origin, settings, filter, moved: false, adopt: false };
            let record = Registered::edited(None, &name, edit, Revision(9), false).unwrap().unwrap();
            Registered { standing, ..record }
        };
        let why = |record: Option<Registered>, is_worked_on| {
            keeps_from_forgetting(&name, record.as_ref(), is_worked_on).unwrap_or_default()
        };
        // Also while no worker has told of it yet.
        for is_worked_on in [true, false] {
            let of_file = why(Some(record(Origin::File, Standing::Present)), is_worked_on);
            assert!(of_file.contains("in the configuration file"), "{of_file}");
            let of_api = why(Some(record(Origin::Api, Standing::Present)), is_worked_on);
            assert!(of_api.contains("delete it there") && !of_api.contains("configuration file"), "{of_api}");
        }
        for standing in [Standing::Left, Standing::Deleted] {
            assert!(why(Some(record(Origin::File, standing)), true).contains("some seconds"));
            assert_eq!(why(Some(record(Origin::File, standing)), false), "");
        }
        assert!(why(None, true).contains("stands in"));
        assert_eq!(why(None, false), "");
    }
}
