//! Appending: the hot path. One task per partition sends everything that waits for it in one call,
//! so that many events share a round trip and an fsync, and has one call under way at a time, so
//! that offsets rise in the order in which events came.

use super::acknowledged::Acknowledged;
use super::partition::PartitionLog;
use super::stored::Stored;
use crate::codec;
use crate::connect::{MAX_TRIES, Reconnects, Redis};
use crate::failure::{Effect, later};
use crate::library::{CallError, Called, slot};
use crate::numbers::Numbers;
use crate::shared::Shared;
use bytes::Bytes;
use fred::types::{ClusterHash, Value};
use laneway_domain::{NewEvent, Offset, Partition, Timestamp};
use laneway_ports::{Appended, StoreError};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, oneshot};

/// The most events of one call of Redis: a millisecond or two of its time, in which it does nothing else.
const MAX_GROUP_EVENTS: usize = 512;
/// The most bytes of one such call, by weight; a single event may have more.
const MAX_GROUP_BYTES: usize = 4 << 20;

type Placed = Vec<Result<Appended, StoreError>>;

/// An event as it is sent.
struct Prepared {
    entry: Bytes,
    /// What its id is remembered under.
    id_key: Option<String>,
}

/// Events of one call and partition.
pub(crate) struct Request {
    events: Vec<Prepared>,
    weight: usize,
    answer: oneshot::Sender<Placed>,
}

/// The way to the tasks that send.
pub(crate) struct Appender {
    shared: Arc<Shared>,
    queues: Vec<mpsc::UnboundedSender<Request>>,
}

impl Appender {
    /// Starts the tasks. They end, when what waits is done, after this is dropped.
    pub(crate) async fn start(shared: &Arc<Shared>) -> Result<Self, StoreError> {
        // A connection of its own: with replicas, it is held by WAIT. One (to each node), because calls that are sent
        // together cost fewer system calls; more of them made batches no faster, and single events slower.
        let redis = shared.redis.another(&shared.options).await?;
        let mut queues = Vec::with_capacity(shared.logs.len());
        for index in 0..shared.logs.len() {
            let (sender, requests) = mpsc::unbounded_channel();
            queues.push(sender);
            let sender = Sender { shared: shared.clone(), index, redis: redis.clone() };
            tokio::spawn(sender.run(requests));
        }
        Ok(Self { shared: shared.clone(), queues })
    }

    pub(crate) async fn append(&self, events: Vec<NewEvent>) -> Placed {
        let count = events.len();
        let mut placed: Vec<Option<Result<Appended, StoreError>>> = (0..count).map(|_| None).collect();
        let (parts, weight) = self.prepare(events, &mut placed);
        let queued = parts.values().flatten().map(|part| part.events.len()).sum();
        if let Err(error) = self.shared.take_room(queued, weight) {
            return vec![Err(error); count];
        }
        // Everything is queued before anything is awaited: that is the order of the calls.
        let parts =
            parts.into_iter().flat_map(|(partition, parts)| parts.into_iter().map(move |part| (partition, part)));
        let answers: Vec<_> = parts.map(|(partition, part)| self.enqueue(partition, part)).collect();
        for (places, answered) in answers {
            let lost = || vec![Err(StoreError::unknown("the store is closing")); places.len()];
            let results = answered.await.unwrap_or_else(|_| lost());
            for (place, result) in places.into_iter().zip(results) {
                if let Some(slot) = placed.get_mut(place) {
                    *slot = Some(result);
                }
            }
        }
        let missing = || Err(StoreError::unknown("the store did not answer for the event"));
        placed.into_iter().map(|placed| placed.unwrap_or_else(missing)).collect()
    }

    /// The events by partition, in parts that one call of Redis can take, with their places in the call, and their weight.
    fn prepare(
        &self,
        events: Vec<NewEvent>,
        placed: &mut [Option<Result<Appended, StoreError>>],
    ) -> (BTreeMap<Partition, Vec<Part>>, usize) {
        let (now, newest) = (now(), self.shared.processes.writes_entries());
        let mut parts: BTreeMap<Partition, Vec<Part>> = BTreeMap::new();
        let mut weight = 0;
        for (place, (new, placed)) in events.into_iter().zip(placed).enumerate() {
            let partition = Partition::of(new.event.ordered_by(), self.shared.options.partitions);
            let entry = match codec::encode(partition, now, &new.event, newest) {
                Ok(entry) => entry,
                Err(error) => {
                    *placed = Some(Err(error));
                    continue;
                }
            };
            let id_key = new.remembered_as().map(|id| self.shared.keys.id(partition, &id));
            weight += new.event.weight();
            let of_partition = parts.entry(partition).or_default();
            let prepared = Prepared { entry, id_key };
            match of_partition.last_mut().filter(|part| fits(part.events.len() + 1, part.weight + new.event.weight())) {
                Some(part) => part.add(place, prepared, new.event.weight()),
                None => of_partition.push(Part::of(place, prepared, new.event.weight())),
            }
        }
        (parts, weight)
    }

    fn enqueue(&self, partition: Partition, part: Part) -> (Vec<usize>, oneshot::Receiver<Placed>) {
        let (answer, answered) = oneshot::channel();
        let (count, weight) = (part.events.len(), part.weight);
        let request = Request { events: part.events, weight, answer };
        let sent = self.queues.get(partition.0 as usize).is_some_and(|queue| queue.send(request).is_ok());
        if !sent {
            self.shared.waiting.give_back(count, weight);
        }
        (part.places, answered)
    }
}

/// Events of one call and partition that go to Redis together, with their places in the call.
struct Part {
    places: Vec<usize>,
    events: Vec<Prepared>,
    weight: usize,
}

impl Part {
    fn of(place: usize, event: Prepared, weight: usize) -> Self {
        Self { places: vec![place], events: vec![event], weight }
    }

    fn add(&mut self, place: usize, event: Prepared, weight: usize) {
        self.places.push(place);
        self.events.push(event);
        self.weight += weight;
    }
}

/// Whether so many events of so many bytes may go to Redis in one call.
fn fits(events: usize, bytes: usize) -> bool {
    events <= MAX_GROUP_EVENTS && bytes <= MAX_GROUP_BYTES
}

impl Shared {
    /// Takes room in the queue, at once or not at all.
    fn take_room(&self, count: usize, weight: usize) -> Result<(), StoreError> {
        let (most_events, most_bytes) = (self.options.queue_events, self.options.queue_bytes);
        if self.waiting.take_room(count, weight, most_events, most_bytes) {
            return Ok(());
        }
        Err(StoreError::retry_later(format!(
            "more events wait for Redis at {} than may wait ({most_events} events or {most_bytes} bytes): it does not \
             keep up",
            self.redis.place()
        )))
    }
}

/// What sends the events of one partition.
struct Sender {
    shared: Arc<Shared>,
    index: usize,
    redis: Redis,
}

impl Sender {
    async fn run(self, mut requests: mpsc::UnboundedReceiver<Request>) {
        let Some(log) = self.shared.logs.get(self.index) else { return };
        let (mut next, mut acknowledged) = (None, Acknowledged::default());
        loop {
            let first = match next.take() {
                Some(request) => request,
                None => match requests.recv().await {
                    Some(request) => request,
                    None => return,
                },
            };
            let mut group = vec![first];
            next = fill(&mut group, &mut requests);
            let events: usize = group.iter().map(|request| request.events.len()).sum();
            let weight = group.iter().map(|request| request.weight).sum();
            let stored = self.store(log, &group, &mut acknowledged).await;
            self.shared.waiting.give_back(events, weight);
            answer(group, &stored, log.partition, self.shared.keys.numbers());
        }
    }

    /// Stores a group.
    async fn store(
        &self,
        log: &PartitionLog,
        group: &[Request],
        before: &mut Acknowledged,
    ) -> Result<Stored, StoreError> {
        let options = &self.shared.options;
        let mut keys = self.shared.log_keys(log.partition);
        let mut arguments = vec![
            Bytes::from(log.acknowledged().0.to_string()),
            Bytes::from(options.duplicate_window.as_millis().to_string()),
            Bytes::from_static(if options.replicas > 0 { b"1" } else { b"0" }),
        ];
        let events = || group.iter().flat_map(|request| &request.events);
        arguments.push(events().map(|event| if event.id_key.is_some() { b'1' } else { b'0' }).collect());
        arguments.extend(events().map(|event| event.entry.clone()));
        keys.extend(events().filter_map(|event| event.id_key.clone()));
        let at = slot(&keys);
        for _ in 0..MAX_TRIES {
            // One connection for both: WAIT speaks of its own.
            let there = self.redis.held(&at).await?;
            self.shared.inspector.admit(&there).await.map_err(not_stored)?;
            if !before.are_behind(&there) {
                before.look(&self.shared, &self.redis, &there, log).await.map_err(not_stored)?;
            }
            let reconnects = (options.replicas > 0).then(|| Reconnects::of(&there));
            let append = there.call_once("laneway_append", Effect::Writes, &keys, &arguments);
            // Polled in this order, and so sent in it.
            let (called, along, acknowledged) = tokio::join!(
                biased;
                append,
                self.shared.inspector.look_along(&there),
                self.wait_for_replicas(&there, at.clone()),
            );
            match called {
                Ok(Called::Answered(answer)) => {
                    let answer = answer.into_array();
                    self.shared.report_loss(log.partition, &answer).await;
                    self.enough_replicas(acknowledged, reconnects)?;
                    self.shared.inspector.confirm(&there, along).await?;
                    let stored = self.stored(log, &answer)?;
                    let numbers = self.shared.keys.numbers();
                    let new = events().zip(stored.places(log.partition)).filter(|(_, place)| !place.duplicate);
                    let new = new.map(|(event, place)| (numbers.shown(place.offset), codec::check_of(&event.entry)));
                    let new: Vec<_> = new.collect();
                    let has_lost = answer.get(1).is_some_and(|from| from.as_u64().is_some());
                    before.note(&self.shared, &self.redis, &there, log, has_lost, new).await;
                    return Ok(stored);
                }
                Ok(again) => there.prepare_again(&again, at.clone()).await.map_err(not_stored)?,
                // The event is not the reason: a right, or a password, was taken away.
                Err(CallError::Store(StoreError::Refused { what })) => return Err(later(what)),
                Err(CallError::Store(error)) => return Err(error),
                Err(CallError::Refused(refusal)) => return Err(StoreError::refused(refusal.to_string())),
            }
        }
        Err(self.redis.never_took("laneway_append"))
    }

    fn stored(&self, log: &PartitionLog, answer: &[Value]) -> Result<Stored, StoreError> {
        let stored = Stored::of(answer).ok_or_else(|| {
            StoreError::unknown(format!("Redis at {} answers laneway_append with something else", self.redis.place()))
        })?;
        if stored.count > 0 {
            log.note_acknowledged(Offset(stored.first.0 + stored.count));
        }
        Ok(stored)
    }

    /// How many replicas have what was written on the same connection before.
    async fn wait_for_replicas(&self, there: &Redis, at: ClusterHash) -> Result<u32, StoreError> {
        let options = &self.shared.options;
        if options.replicas == 0 {
            return Ok(0);
        }
        let longest = i64::try_from(options.replica_timeout.as_millis()).unwrap_or(i64::MAX).max(1);
        let arguments = vec![i64::from(options.replicas).into(), longest.into()];
        let answer = there.command("WAIT", at, arguments, Effect::Writes).await?;
        Ok(answer.as_i64().and_then(|count| u32::try_from(count).ok()).unwrap_or(0))
    }

    fn enough_replicas(
        &self,
        acknowledged: Result<u32, StoreError>,
        reconnects: Option<Reconnects>,
    ) -> Result<(), StoreError> {
        // Only asked after if there are replicas to wait for.
        let Some(reconnects) = reconnects else { return Ok(()) };
        let options = &self.shared.options;
        let unclear = |why: String| {
            Err(StoreError::unknown(format!(
                "Redis at {} has the event, but {why}, so that it might be lost with the primary",
                self.redis.place()
            )))
        };
        match acknowledged {
            Err(error) => unclear(format!("it is not known how many replicas have it ({error})")),
            Ok(_) if reconnects.were_some() => unclear("the connection was lost while its replicas were asked".into()),
            Ok(count) if count < options.replicas => unclear(format!(
                "{count} of {} replicas have acknowledged it within {:?} (store.replicas)",
                options.replicas, options.replica_timeout
            )),
            Ok(_) => Ok(()),
        }
    }
}

/// A call that did not come to run has stored nothing, whatever keeps it from being tried again.
fn not_stored(error: StoreError) -> StoreError {
    match error {
        StoreError::Unknown { what } => StoreError::retry_later(what),
        error => error,
    }
}

/// Moves what waits into the group, and returns what no longer fits.
fn fill(group: &mut Vec<Request>, requests: &mut mpsc::UnboundedReceiver<Request>) -> Option<Request> {
    let size = |request: &Request| (request.events.len(), request.weight);
    let (mut events, mut bytes) = group.iter().map(size).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    while let Ok(request) = requests.try_recv() {
        let (more, weight) = size(&request);
        if !fits(events + more, bytes + weight) {
            return Some(request);
        }
        (events, bytes) = (events + more, bytes + weight);
        group.push(request);
    }
    None
}

fn answer(group: Vec<Request>, stored: &Result<Stored, StoreError>, partition: Partition, numbers: &Numbers) {
    let places = stored.as_ref().map(|stored| stored.places(partition));
    let mut places = places.map(|places| places.map(|place| Appended { offset: numbers.shown(place.offset), ..place }));
    for request in group {
        let placed = request.events.iter().map(|_| match &mut places {
            Ok(places) => places.next().ok_or_else(|| StoreError::unknown("Redis did not say where the event went")),
            Err(error) => Err((*error).clone()),
        });
        // Nobody waits any more if the call was given up.
        let _ = request.answer.send(placed.collect());
    }
}

pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
