//! Asking and telling a running worker.

use async_trait::async_trait;
use laneway_domain::{
    ChangedDestination, Command, DeletedTenants, DestinationChanges, DestinationName, Filters, Offset, Partition,
    Redrive, StatusReport,
};
use laneway_ports::{Sink, WorkerControl, WorkerId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// Requests that may wait. They are rare, and taken in within a turn of the worker.
const REQUESTS: usize = 64;
/// How long an answer is waited for. A worker that takes longer is in trouble, and that is the answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// What has come of a command that a worker was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    /// Whether there was something to do it to.
    pub(super) acted: bool,
    /// The partitions that the worker had then: of no other can it have known anything.
    pub(super) partitions: Vec<Partition>,
}

/// Whether a status lists blocked keys, which takes about as long as all the rest of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listing {
    Keys,
    NoKeys,
}

/// What a worker can be asked.
pub(super) enum Request {
    /// Of all that was accepted before the question.
    Status(oneshot::Sender<StatusReport>),
    /// Of what the worker has heard of, at once.
    Report(Listing, oneshot::Sender<StatusReport>),
    Command(Command, oneshot::Sender<Told>),
    /// By which filters a destination judges events.
    Filters(DestinationName, oneshot::Sender<Option<Arc<Filters>>>),
    NotReady(oneshot::Sender<Vec<String>>),
    Partitions(oneshot::Sender<Vec<Partition>>),
    Redrive(Partition, Vec<Redrive>),
    Trimmed(Partition, Offset),
    /// All that were deleted.
    DeletedTenants(DeletedTenants),
    /// Answered when nothing starts any more that the change forbids.
    Change(Change, oneshot::Sender<()>),
    Stop,
}

/// A change of the destinations, as a worker is told of it.
#[derive(Default)]
pub struct Change {
    /// What has changed.
    pub destinations: DestinationChanges,
    /// Where those that were made or changed send to now.
    pub sinks: BTreeMap<DestinationName, Arc<dyn Sink>>,
    /// The records that say so, for whoever is to be told of a change.
    pub told: Vec<ChangedDestination>,
}

/// A way to ask and tell a worker.
#[derive(Clone, Debug)]
pub struct Handle {
    id: WorkerId,
    requests: mpsc::Sender<Request>,
}

pub(super) fn channel(id: WorkerId) -> (Handle, mpsc::Receiver<Request>) {
    let (sender, requests) = mpsc::channel(REQUESTS);
    (Handle { id, requests: sender }, requests)
}

impl Handle {
    /// Which worker it is.
    #[must_use]
    pub fn id(&self) -> &WorkerId {
        &self.id
    }

    /// Tells the worker to finish what is in flight, commit, release its leases, and end.
    pub async fn stop(&self) {
        // A worker that has ended needs no telling.
        let _ = self.requests.send(Request::Stop).await;
    }

    /// Whether it still answers, however badly it goes.
    pub async fn answers(&self) -> bool {
        self.ask(Request::NotReady).await.is_some()
    }

    /// Tells the worker which dead letters of a partition someone wants retried.
    pub(super) async fn redrive(&self, partition: Partition, requests: Vec<Redrive>) {
        let _ = self.requests.send(Request::Redrive(partition, requests)).await;
    }

    /// Tells the worker that destinations have come, changed or gone. `false` if it has ended.
    pub async fn change(&self, change: Change) -> bool {
        let (answer, answered) = oneshot::channel();
        self.requests.send(Request::Change(change, answer)).await.is_ok() && answered.await.is_ok()
    }

    /// Tells the worker where the log of a partition begins now.
    pub(super) async fn trimmed(&self, partition: Partition, start: Offset) {
        let _ = self.requests.send(Request::Trimmed(partition, start)).await;
    }

    /// Tells the worker which tenants were deleted: all of them.
    pub async fn delete_tenants(&self, deleted: DeletedTenants) {
        // A worker that has ended delivers nothing to anybody.
        let _ = self.requests.send(Request::DeletedTenants(deleted)).await;
    }

    /// The partitions that the worker works on now.
    pub(super) async fn partitions(&self) -> Option<Vec<Partition>> {
        self.ask(Request::Partitions).await
    }

    /// What the worker knows, without asking the store whether there is more.
    pub(super) async fn report(&self, listing: Listing) -> Option<StatusReport> {
        self.ask(|answer| Request::Report(listing, answer)).await
    }

    /// Carries out a command, and says of which partitions the answer speaks.
    pub(super) async fn tell(&self, command: Command) -> Result<Told, String> {
        let answer = self.ask(|answer| Request::Command(command, answer)).await;
        answer.ok_or_else(|| "the worker is starting, stopping or stuck; try again in a moment".to_owned())
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        let asked = async {
            self.requests.send(request(answer)).await.ok()?;
            answered.await.ok()
        };
        timeout(ANSWER_WITHIN, asked).await.ok().flatten()
    }
}

#[async_trait]
impl WorkerControl for Handle {
    async fn status(&self) -> Option<StatusReport> {
        self.ask(Request::Status).await
    }

    async fn command(&self, command: Command) -> Result<bool, String> {
        self.tell(command).await.map(|told| told.acted)
    }

    fn own_worker(&self) -> Option<&WorkerId> {
        Some(&self.id)
    }

    async fn filters(&self, destination: &DestinationName) -> Option<Arc<Filters>> {
        self.ask(|answer| Request::Filters(destination.clone(), answer)).await.flatten()
    }

    async fn not_ready(&self) -> Vec<String> {
        let answer = self.ask(Request::NotReady).await;
        answer.unwrap_or_else(|| vec!["the worker is starting, stopping or stuck".to_owned()])
    }
}
