//! A process that has a [`Disk`] open.

use crate::disk::{Durable, StoreNumber, Write};
use crate::partition::{Dead, Shard};
use crate::{Call, Disk, Fault, Faults, Sabotage};
use async_trait::async_trait;
use laneway_domain::{
    Ages, Commit, Cut, Cuts, DeadLetter, DestinationName, LoggedEvent, NewEvent, Offset, Partition, PartitionProgress,
    Redrive, Timestamp,
};
use laneway_ports::{
    Appended, Bounds, Chunk, CommitError, DeadLetterCount, DeadLetterQuery, DeadLetters, EventLog, Extent, Lease,
    LogRecord, MAX_DEAD_LETTER_PAGE, ProgressStore, Selection, StoreError, StoreExtent, StoreHealth, StorePart, Tenure,
    WorkerId,
};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// How a [`MemoryStore`] behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// For how long a given id is remembered.
    pub duplicate_window: Duration,
    /// What goes wrong, and how long a write takes.
    pub faults: Option<Arc<dyn Faults>>,
    /// A promise to break.
    pub sabotage: Option<Sabotage>,
    /// How much a crash loses under [`Sabotage::NoSync`].
    pub unsynced: Duration,
}

impl Default for Settings {
    /// A day's memory of ids, no faults, writes that are durable at once.
    fn default() -> Self {
        Self {
            duplicate_window: Duration::from_secs(24 * 3600),
            faults: None,
            sabotage: None,
            unsynced: Duration::from_millis(20),
        }
    }
}

/// The reference store.
#[derive(Debug)]
pub struct MemoryStore {
    disk: Arc<Disk>,
    number: StoreNumber,
    settings: Settings,
    crashed: AtomicBool,
    /// The furthest event that was read of each partition since it was claimed.
    witnesses: Mutex<BTreeMap<Partition, Offset>>,
}

impl MemoryStore {
    /// Opens `disk`. More than one store may have it open, as several processes may share a server.
    #[must_use]
    pub fn open(disk: Arc<Disk>, settings: Settings) -> Self {
        let (crashed, witnesses) = (AtomicBool::new(false), Mutex::default());
        Self { number: disk.open(), disk, settings, crashed, witnesses }
    }

    /// The disk.
    #[must_use]
    pub fn disk(&self) -> &Arc<Disk> {
        &self.disk
    }

    /// How many writes of this process wait to become durable.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.disk.waiting_of(self.number)
    }

    /// Ends this process. Of its writes that wait to become durable ([`MemoryStore::waiting`]) the
    /// first `keep` reach the disk, as some do in a real crash; nobody learns which. Calls that
    /// wait, and all later ones, are answered with [`StoreError::Unknown`].
    pub fn crash(&self, keep: usize) {
        self.crashed.store(true, Ordering::SeqCst);
        let unsynced = u64::try_from(self.settings.unsynced.as_millis()).unwrap_or(u64::MAX);
        let since = Timestamp::from_millis(self.disk.now().as_millis().saturating_sub(unsynced));
        self.disk.crash(self.number, keep, self.sabotaged(Sabotage::NoSync).then_some(since));
    }

    fn sabotaged(&self, by: Sabotage) -> bool {
        self.settings.sabotage == Some(by)
    }

    pub(crate) fn alive(&self) -> Result<(), StoreError> {
        if self.crashed.load(Ordering::SeqCst) { Err(crashed()) } else { Ok(()) }
    }

    fn fault(&self, call: Call) -> Option<Fault> {
        self.settings.faults.as_ref().and_then(|faults| faults.fault(call))
    }

    fn witnesses(&self) -> MutexGuard<'_, BTreeMap<Partition, Offset>> {
        self.witnesses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whoever has read what a failover has lost reads nothing more before it has claimed the partition again:
    /// numbers and progress are not those that it knows.
    fn same_log(&self, partition: Partition, shard: &Shard) -> Result<(), StoreError> {
        match self.witnesses().get(&partition) {
            Some(witness) if !shard.has(*witness) => Err(StoreError::retry_later(format!(
                "the log of partition {partition} lost events that had been read; it must be claimed again"
            ))),
            _ => Ok(()),
        }
    }

    /// Begins a call that changes nothing.
    pub(crate) fn begin(&self, call: Call) -> Result<(), StoreError> {
        self.alive()?;
        self.fault(call).map_or(Ok(()), |fault| Err(fault.error()))
    }

    pub(crate) fn index(&self, partition: Partition) -> Result<usize, StoreError> {
        if partition.0 < self.disk.partitions() {
            return Ok(partition.0 as usize);
        }
        let last = self.disk.partitions() - 1;
        Err(StoreError::refused(format!("there is no partition {partition}: this store has 0 to {last}")))
    }

    /// Performs writes one after the other, and resolves with their results when they are durable.
    async fn write<T: Send + 'static>(
        &self,
        call: Call,
        writes: impl IntoIterator<Item = impl FnOnce(&mut Durable, Timestamp) -> T + Send + 'static>,
    ) -> Result<Vec<T>, StoreError> {
        self.alive()?;
        let fault = self.fault(call);
        match fault {
            None | Some(Fault::Unknown { happened: true }) => {}
            Some(fault) => return Err(fault.error()),
        }
        let mut answers = Vec::new();
        let ticket = self.disk.queue(
            self.number,
            writes.into_iter().map(|write| {
                let (answer, answered) = oneshot::channel();
                answers.push(answered);
                let boxed: Write = Box::new(move |durable, now| {
                    // Nobody waits for the answer when the call was cancelled.
                    let _ = answer.send(write(durable, now));
                });
                boxed
            }),
        );
        if !self.sabotaged(Sabotage::NoSync) {
            let delay = self.settings.faults.as_ref().map_or(Duration::ZERO, |faults| faults.sync_delay());
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
        }
        self.disk.sync(ticket);
        let mut results = Vec::with_capacity(answers.len());
        for answered in answers {
            results.push(answered.await.map_err(|_| crashed())?);
        }
        self.alive()?;
        fault.map_or(Ok(results), |fault| Err(fault.error()))
    }

    /// One such write.
    pub(crate) async fn write_one<T: Send + 'static>(
        &self,
        call: Call,
        write: impl FnOnce(&mut Durable, Timestamp) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        self.write(call, [write]).await?.pop().ok_or_else(crashed)
    }

    /// A change of the dead letters that `selection` means.
    async fn change(
        &self,
        selection: &Selection,
        change: fn(&mut Shard, &Selection) -> usize,
    ) -> Result<u64, StoreError> {
        if selection.destination.is_none() {
            return Err(StoreError::refused("name the destination whose dead letters you mean"));
        }
        let selection = selection.clone();
        let all = move |durable: &mut Durable, _| {
            durable.shards.iter_mut().map(|shard| change(shard, &selection)).sum::<usize>()
        };
        Ok(self.write_one(Call::Operate, all).await? as u64)
    }
}

fn crashed() -> StoreError {
    StoreError::unknown("the store has crashed")
}

#[async_trait]
impl EventLog for MemoryStore {
    fn partitions(&self) -> u32 {
        self.disk.partitions()
    }

    async fn append(&self, events: Vec<NewEvent>) -> Vec<Result<Appended, StoreError>> {
        let count = events.len();
        let partitions = self.partitions();
        let window = if self.sabotaged(Sabotage::NoDedupe) { Duration::ZERO } else { self.settings.duplicate_window };
        let writes = events.into_iter().map(move |new| {
            move |durable: &mut Durable, now| {
                let partition = Partition::of(new.event.ordered_by(), partitions);
                durable.shards[partition.0 as usize].append(new, now, window)
            }
        });
        match self.write(Call::Append { events: count }, writes).await {
            Ok(placed) => placed.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error); count],
        }
    }

    async fn read(
        &self,
        partition: Partition,
        from: Offset,
        max_events: usize,
        max_bytes: usize,
    ) -> Result<Chunk, StoreError> {
        let index = self.index(partition)?;
        self.begin(Call::Read(partition))?;
        self.disk.look(|Durable { shards, .. }| {
            self.same_log(partition, &shards[index])?;
            let mut records = Vec::new();
            let mut bytes = 0_usize;
            for event in shards[index].read_from(from).take(max_events) {
                bytes = bytes.saturating_add(event.event.weight());
                if bytes > max_bytes && !records.is_empty() {
                    break;
                }
                records.push(LogRecord::Event(event.clone()));
            }
            let last = records.last().map(LogRecord::offset);
            if let Some(last) = last {
                self.witnesses()
                    .entry(partition)
                    .and_modify(|furthest| *furthest = last.max(*furthest))
                    .or_insert(last);
            }
            let next = last.map_or(from.min(shards[index].end), Offset::next);
            Ok(Chunk { records, next })
        })
    }

    async fn grown(&self, partition: Partition, seen: Offset) -> Result<Offset, StoreError> {
        self.index(partition)?;
        self.disk.end_of(partition).ok_or_else(crashed)?.beyond(seen, || self.alive()).await
    }

    async fn bounds(&self, partition: Partition) -> Result<Bounds, StoreError> {
        let index = self.index(partition)?;
        self.alive()?;
        Ok(self.disk.look(|Durable { shards, .. }| Bounds { start: shards[index].start, end: shards[index].end }))
    }

    async fn losses(&self, partition: Partition) -> Result<Vec<Range<Offset>>, StoreError> {
        let index = self.index(partition)?;
        self.alive()?;
        Ok(self.disk.look(|Durable { shards, .. }| shards[index].losses.clone()))
    }

    async fn remembered(&self, id: &str) -> Result<Vec<(Partition, Offset)>, StoreError> {
        self.begin(Call::Operate)?;
        Ok(self.disk.look(|Durable { shards, .. }| {
            shards.iter().filter_map(|shard| Some((shard.number(), shard.remembered(id)?))).collect()
        }))
    }

    async fn trim(&self, partition: Partition, accepted_before: Timestamp, most: usize) -> Result<usize, StoreError> {
        let index = self.index(partition)?;
        let sabotage = self.settings.sabotage;
        let trim = move |durable: &mut Durable, now| {
            durable.shards[index].trim(Ages::new(accepted_before, now), most, sabotage)
        };
        self.write_one(Call::Trim(partition), trim).await
    }
}

#[async_trait]
impl ProgressStore for MemoryStore {
    async fn claim(&self, partition: Partition, worker: &WorkerId, ttl: Duration) -> Result<Option<Lease>, StoreError> {
        let index = self.index(partition)?;
        self.witnesses().remove(&partition);
        let worker = worker.clone();
        let claim = move |durable: &mut Durable, now| durable.shards[index].claim(&worker, now, ttl);
        self.write_one(Call::Lease(partition), claim).await
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<(), CommitError> {
        let index = self.index(lease.partition)?;
        let lease = lease.clone();
        let call = Call::Lease(lease.partition);
        let renew = move |durable: &mut Durable, now: Timestamp| durable.shards[index].renew(&lease, now.after(ttl));
        self.write_one(call, renew).await?
    }

    async fn release(&self, lease: &Lease) -> Result<(), CommitError> {
        let index = self.index(lease.partition)?;
        let lease = lease.clone();
        let call = Call::Lease(lease.partition);
        self.write_one(call, move |durable: &mut Durable, now| durable.shards[index].release(&lease, now)).await?
    }

    async fn tenures(&self, partition: Partition) -> Result<Vec<Tenure>, StoreError> {
        let index = self.index(partition)?;
        self.begin(Call::Load(partition))?;
        Ok(self.disk.look(|Durable { shards, .. }| shards[index].tenures()))
    }

    async fn load(&self, partition: Partition) -> Result<PartitionProgress, StoreError> {
        let index = self.index(partition)?;
        self.begin(Call::Load(partition))?;
        Ok(self.disk.look(|Durable { shards, .. }| shards[index].load(self.settings.sabotage)))
    }

    async fn commit(&self, lease: &Lease, commit: &Commit) -> Result<(), CommitError> {
        let index = self.index(lease.partition)?;
        let (lease, commit, sabotage) = (lease.clone(), commit.clone(), self.settings.sabotage);
        let call = Call::Commit(lease.partition);
        self.write_one(call, move |durable: &mut Durable, _| durable.shards[index].commit(&lease, &commit, sabotage))
            .await?
    }

    async fn taken(&self, partitions: &[Partition]) -> Result<Vec<Option<Cut>>, StoreError> {
        let mut taken = Vec::with_capacity(partitions.len());
        for partition in partitions {
            taken.push(self.cuts(*partition).await?.last());
        }
        Ok(taken)
    }

    async fn cuts(&self, partition: Partition) -> Result<Cuts, StoreError> {
        let index = self.index(partition)?;
        self.begin(Call::Load(partition))?;
        Ok(self.disk.look(|Durable { shards, .. }| shards[index].cuts().clone()))
    }

    async fn forget(&self, destination: &DestinationName) -> Result<bool, StoreError> {
        let name = destination.clone();
        // Every partition, not only up to the first that knew it.
        let forget = move |durable: &mut Durable, _| {
            durable.shards.iter_mut().filter_map(|s| s.forget(&name).then_some(())).count()
        };
        Ok(self.write_one(Call::Operate, forget).await? > 0)
    }
}

impl StoreHealth for MemoryStore {
    fn health(&self) -> Result<(), String> {
        self.alive().map_err(|error| error.to_string())
    }
}

#[async_trait]
impl StoreExtent for MemoryStore {
    async fn extent(&self) -> Extent {
        let bytes = self.disk.look(|Durable { shards, .. }| shards.iter().map(Shard::bytes).sum());
        Extent { parts: vec![StorePart { name: "memory".to_owned(), bytes, most: None }], not_asked: Vec::new() }
    }
}

#[async_trait]
impl DeadLetters for MemoryStore {
    async fn list(&self, query: &DeadLetterQuery) -> Result<Vec<DeadLetter>, StoreError> {
        self.begin(Call::Operate)?;
        let after = |dead: &DeadLetter| {
            let at = (dead.partition, dead.given_up.offset, &dead.given_up.destination);
            query.after.as_ref().is_none_or(|(partition, offset, name)| at > (*partition, *offset, name))
        };
        Ok(self.disk.look(|Durable { shards, .. }| {
            let all = shards.iter().flat_map(|shard| shard.dead.values());
            let selected = all.filter(|dead| !dead.is_damaged && dead.is_of(&query.selection));
            let selected = selected.map(Dead::letter).filter(after);
            selected.take(query.most.min(MAX_DEAD_LETTER_PAGE)).collect()
        }))
    }

    async fn counts(&self) -> Result<Vec<DeadLetterCount>, StoreError> {
        self.begin(Call::Operate)?;
        let mut counts = BTreeMap::new();
        self.disk.look(|Durable { shards, .. }| {
            for (_, destination) in shards.iter().flat_map(|shard| shard.dead.keys()) {
                *counts.entry(destination.clone()).or_insert(0) += 1;
            }
        });
        Ok(counts.into_iter().map(|(destination, count)| DeadLetterCount { destination, count }).collect())
    }

    async fn event(
        &self,
        partition: Partition,
        offset: Offset,
        destination: &DestinationName,
    ) -> Result<Option<LoggedEvent>, StoreError> {
        let index = self.index(partition)?;
        self.begin(Call::Operate)?;
        let at = (offset, destination.clone());
        let read = |dead: &Dead| {
            if dead.has_damaged_copy {
                return Err(StoreError::refused(format!(
                    "the copy of the event at {offset} of {partition} is damaged"
                )));
            }
            Ok(dead.event.as_ref().clone())
        };
        self.disk.look(|Durable { shards, .. }| shards[index].dead.get(&at).map(read).transpose())
    }

    async fn retry(&self, selection: &Selection) -> Result<u64, StoreError> {
        self.change(selection, |shard, selection| {
            let selected = shard.dead.values_mut().filter(|dead| dead.is_of(selection));
            selected.map(|dead| dead.retry_requested = true).count()
        })
        .await
    }

    async fn discard(&self, selection: &Selection) -> Result<u64, StoreError> {
        self.change(selection, |shard, selection| {
            let before = shard.dead.len();
            shard.dead.retain(|_, dead| !dead.is_of(selection));
            before - shard.dead.len()
        })
        .await
    }

    async fn retry_requested(
        &self,
        partition: Partition,
        after: Option<&(Offset, DestinationName)>,
        most: usize,
    ) -> Result<Vec<Redrive>, StoreError> {
        let index = self.index(partition)?;
        self.begin(Call::Operate)?;
        Ok(self.disk.look(|Durable { shards, .. }| shards[index].retry_requested(after, most)))
    }
}
