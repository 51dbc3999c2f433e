//! What survives a crash, and what waits to become durable.

use crate::growth::Growth;
use crate::partition::{Dead, Shard};
use crate::records::Records;
use laneway_domain::{DestinationName, MAX_PARTITIONS, Offset, Partition, TenantBook, Timestamp, TokenBook};
use laneway_ports::{Lease, Register, WorkerId};
use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// What a disk's clock shows when it is made: 2023-11-14T22:13:20Z.
const BEGIN: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// A write on its way to the disk.
pub(crate) type Write = Box<dyn FnOnce(&mut Durable, Timestamp) + Send>;

/// What is durable.
pub(crate) struct Durable {
    pub(crate) shards: Vec<Shard>,
    pub(crate) registry: Records,
    pub(crate) tokens: TokenBook,
    pub(crate) tenants: TenantBook,
}

/// Names a store among all that have the disk open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoreNumber(u64);

/// A write that waits to become durable.
struct Waiting {
    ticket: u64,
    of: StoreNumber,
    write: Write,
}

/// A simulated disk. It holds what is durable; writes wait in front of it until they are synced.
pub struct Disk {
    inner: Mutex<Inner>,
    register: Mutex<Register>,
    ends: Vec<Growth>,
    registry_moved: Growth,
    clock: Box<dyn Fn() -> Duration + Send + Sync>,
}

/// What a replica has of a partition.
#[derive(Clone, Debug)]
pub struct Replica(Shard);

/// What a replica has of the registry of destinations.
#[derive(Clone, Debug)]
pub struct RegistryReplica(Records);

/// What a replica has of the tokens that are made over the HTTP interface.
#[derive(Clone, Debug)]
pub struct TokensReplica(TokenBook);

struct Inner {
    durable: Durable,
    waiting: VecDeque<Waiting>,
    last_ticket: u64,
    /// How many stores have opened it.
    stores: u64,
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").field("partitions", &self.ends.len()).field("waiting", &self.waiting()).finish()
    }
}

impl Disk {
    /// An empty disk for that many partitions, from 1 to [`MAX_PARTITIONS`] (others are brought to
    /// the nearest of these). Its clock is tokio's, so make it within the runtime that uses it.
    #[must_use]
    pub fn new(partitions: u32) -> Arc<Self> {
        let made = Instant::now();
        Self::with_clock(partitions, move || made.elapsed())
    }

    /// The same with another clock, for processes that do not share one runtime: `elapsed` says how
    /// long ago the disk was made, and never goes back.
    #[must_use]
    pub fn with_clock(partitions: u32, elapsed: impl Fn() -> Duration + Send + Sync + 'static) -> Arc<Self> {
        let numbers = || (0..partitions.clamp(1, MAX_PARTITIONS)).map(Partition);
        let shards = numbers().map(Shard::new).collect();
        Arc::new(Self {
            inner: Mutex::new(Inner {
                durable: Durable {
                    shards,
                    registry: Records::default(),
                    tokens: TokenBook::default(),
                    tenants: TenantBook::default(),
                },
                waiting: VecDeque::new(),
                last_ticket: 0,
                stores: 0,
            }),
            register: Mutex::default(),
            ends: numbers().map(|_| Growth::default()).collect(),
            registry_moved: Growth::default(),
            clock: Box::new(elapsed),
        })
    }

    /// What time it is: a fixed beginning, and what has passed since by its clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        BEGIN.after((self.clock)())
    }

    /// How many writes wait to become durable. An append has one for each of its events, a
    /// commit is one.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.lock().waiting.len()
    }

    /// The lease that is valid now, and who has it. Of a partition that nobody works on, nothing.
    #[must_use]
    pub fn lease(&self, partition: Partition) -> Option<Lease> {
        let now = self.now();
        self.lock().durable.shards.get(partition.0 as usize)?.lease(now)
    }

    /// What a replica of the partition has that has all there is. From now on it lags behind.
    #[must_use]
    pub fn replica(&self, partition: Partition) -> Option<Replica> {
        self.lock().durable.shards.get(partition.0 as usize).cloned().map(Replica)
    }

    /// The partition fails over to that replica: what it lacks is lost, the log goes on in a new generation, and
    /// whoever had the lease has it no more, without having been told. Returns the offsets that are lost.
    pub fn fail_over(&self, replica: Replica) -> Range<Offset> {
        let mut inner = self.lock();
        let Some(shard) = inner.durable.shards.get_mut(replica.0.number().0 as usize) else {
            return Offset::ZERO..Offset::ZERO;
        };
        let lost = shard.fail_over(replica.0);
        self.announce(&inner.durable);
        lost
    }

    /// What a replica of the registry has that has all there is. From now on it lags behind.
    #[must_use]
    pub fn registry_replica(&self) -> RegistryReplica {
        RegistryReplica(self.lock().durable.registry.clone())
    }

    /// The registry fails over to that replica: the changes that it lacks are lost.
    pub fn fail_over_registry(&self, replica: RegistryReplica) {
        let mut inner = self.lock();
        inner.durable.registry = replica.0;
        self.announce(&inner.durable);
    }

    /// What a replica of the tokens has that has all there is. From now on it lags behind.
    #[must_use]
    pub fn tokens_replica(&self) -> TokensReplica {
        TokensReplica(self.lock().durable.tokens.clone())
    }

    /// The tokens fail over to that replica: the changes that it lacks are lost.
    pub fn fail_over_tokens(&self, replica: TokensReplica) {
        self.lock().durable.tokens = replica.0;
    }

    /// The worker's last lease that ended with a failover, for as long as it may not have heard of that.
    #[must_use]
    pub fn lost_lease(&self, partition: Partition, worker: &WorkerId) -> Option<Lease> {
        let now = self.now();
        self.lock().durable.shards.get(partition.0 as usize)?.lost_lease(worker, now)
    }

    /// A dead letter is damaged: what became of it cannot be read any more. `false` if there is none.
    pub fn damage_dead_letter(&self, partition: Partition, offset: Offset, destination: &DestinationName) -> bool {
        self.dead_letter(partition, offset, destination, |dead| dead.is_damaged = true)
    }

    /// The copy that a dead letter keeps of its event is damaged. `false` if there is none.
    pub fn damage_copy(&self, partition: Partition, offset: Offset, destination: &DestinationName) -> bool {
        self.dead_letter(partition, offset, destination, |dead| dead.has_damaged_copy = true)
    }

    fn dead_letter(
        &self,
        partition: Partition,
        offset: Offset,
        destination: &DestinationName,
        change: impl FnOnce(&mut Dead),
    ) -> bool {
        let mut inner = self.lock();
        let shard = inner.durable.shards.get_mut(partition.0 as usize);
        shard.and_then(|shard| shard.dead.get_mut(&(offset, destination.clone()))).map(change).is_some()
    }

    /// The records that commits have put aside, with the reasons.
    #[must_use]
    pub fn quarantined(&self, partition: Partition) -> Vec<(Offset, String)> {
        let inner = self.lock();
        let shard = inner.durable.shards.get(partition.0 as usize);
        shard.map(|shard| shard.quarantined().map(|(at, why)| (at, why.to_owned())).collect()).unwrap_or_default()
    }

    pub(crate) fn partitions(&self) -> u32 {
        u32::try_from(self.ends.len()).unwrap_or(MAX_PARTITIONS)
    }

    pub(crate) fn end_of(&self, partition: Partition) -> Option<&Growth> {
        self.ends.get(partition.0 as usize)
    }

    pub(crate) const fn registry_moved(&self) -> &Growth {
        &self.registry_moved
    }

    /// Looks at what is durable.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Durable) -> T) -> T {
        look(&self.lock().durable)
    }

    /// A number for a store that opens it.
    pub(crate) fn open(&self) -> StoreNumber {
        let mut inner = self.lock();
        inner.stores += 1;
        StoreNumber(inner.stores)
    }

    pub(crate) fn registered<T>(&self, act: impl FnOnce(&mut Register) -> T) -> T {
        act(&mut self.register.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many writes of one store wait.
    pub(crate) fn waiting_of(&self, store: StoreNumber) -> usize {
        self.lock().waiting.iter().filter(|waiting| waiting.of == store).count()
    }

    /// Queues writes of a store, and returns the ticket of the last.
    pub(crate) fn queue(&self, of: StoreNumber, writes: impl IntoIterator<Item = Write>) -> u64 {
        let mut inner = self.lock();
        for write in writes {
            inner.last_ticket += 1;
            let ticket = inner.last_ticket;
            inner.waiting.push_back(Waiting { ticket, of, write });
        }
        inner.last_ticket
    }

    /// Makes durable what waits up to `ticket`, in order.
    pub(crate) fn sync(&self, ticket: u64) {
        let now = self.now();
        let mut inner = self.lock();
        while let Some(waiting) = inner.waiting.pop_front_if(|waiting| waiting.ticket <= ticket) {
            (waiting.write)(&mut inner.durable, now);
        }
        self.announce(&inner.durable);
    }

    /// The process ends: of what waits of it, the first `keep` writes happen to reach the disk, the
    /// rest is lost. `lose_since`: what a disk that was never synced loses besides.
    pub(crate) fn crash(&self, of: StoreNumber, keep: usize, lose_since: Option<Timestamp>) {
        let now = self.now();
        let mut inner = self.lock();
        let (ended, others): (VecDeque<_>, _) =
            std::mem::take(&mut inner.waiting).into_iter().partition(|waiting| waiting.of == of);
        inner.waiting = others;
        for waiting in ended.into_iter().take(keep) {
            (waiting.write)(&mut inner.durable, now);
        }
        if let Some(moment) = lose_since {
            inner.durable.shards.iter_mut().for_each(|shard| shard.lose_since(moment));
        }
        self.announce(&inner.durable);
        // Whoever waits for growth must see that its store is gone.
        self.ends.iter().for_each(Growth::interrupt);
        self.registry_moved.interrupt();
    }

    fn announce(&self, durable: &Durable) {
        for (end, shard) in self.ends.iter().zip(&durable.shards) {
            end.announce(shard.end);
        }
        self.registry_moved.announce(Offset(durable.registry.last.0));
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
