//! Replays as operators ask for them: from words and moments to offsets of partitions.

use super::{OperationError, SEARCHES, WorkerControl};
use crate::{DeadLetterQuery, EventLog, LogRecord, Selection as Letters, StoreError, Stores, accepted_since};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use laneway_domain::{
    Command, Cuts, DeadLetter, DestinationName, Filters, LaneKey, LaneProgress, LoggedEvent, Offset, Partition,
    ReplayId, ReplayOrder, ReplayStatus, Selection, Timestamp,
};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// The most records that are looked at to count what a replay would deliver: about ten seconds of a store's time.
pub const MAX_COUNTED: u64 = 1_000_000;
/// Records, and bytes, of one read that counts.
const READ_EVENTS: usize = 1_000;
const READ_BYTES: usize = 4 << 20;
/// Dead letters of one read that looks for the first of a key.
const LETTERS_AT_ONCE: usize = 100;

/// Where a replay begins or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayPoint {
    /// With the first event of the log.
    Beginning,
    /// With the first event that was accepted then or later.
    Moment(Timestamp),
    /// With this offset, of the partition of the one key that is chosen.
    Offset(Offset),
    /// With the first dead letter of the one key that is chosen.
    DeadLetter,
    /// Behind all that there is.
    End,
}

/// What somebody wants replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayRequest {
    /// To which destination.
    pub destination: DestinationName,
    /// What it is to be called.
    pub id: ReplayId,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// From where on.
    pub from: ReplayPoint,
    /// Up to there, without what is there.
    pub to: ReplayPoint,
    /// Which events.
    pub selection: Selection,
    /// Whether nothing else goes to the destination before.
    pub first: bool,
    /// Whether what is still stored is enough, if a part of it is not. Only where `from` is an offset or a dead letter can
    /// that be known.
    pub partial: bool,
}

impl ReplayRequest {
    /// Whether it ends before it begins, so that there is no event between the two, whatever the log has.
    #[must_use]
    pub fn ends_before_it_begins(&self) -> bool {
        match (self.from, self.to) {
            (ReplayPoint::Moment(from), ReplayPoint::Moment(to)) => to <= from,
            (ReplayPoint::Beginning, ReplayPoint::Moment(to)) => to == Timestamp::ZERO,
            (_, ReplayPoint::Beginning) => true,
            _ => false,
        }
    }
}

/// A replay that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BegunReplay {
    /// The partitions that it is about.
    pub partitions: Vec<Partition>,
    /// Whether it was there already.
    pub was_there: bool,
}

/// What a replay would deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayCount {
    /// How many events.
    pub events: u64,
    /// Whether that is all: after [`MAX_COUNTED`] records it is looked no further, and there may be more.
    pub is_all: bool,
    /// Whether the destination's filters were known where it was counted; else it may want fewer.
    pub filtered: bool,
}

/// The replays of a destination.
pub(super) async fn known<W: WorkerControl + ?Sized>(
    workers: &W,
    destination: &DestinationName,
) -> Result<Option<Vec<ReplayStatus>>, OperationError> {
    let report = workers.status().await.ok_or(OperationError::NotReady)?;
    let of = report.destinations.into_iter().find(|known| known.name == *destination && known.configured);
    Ok(of.map(|status| status.replays))
}

pub(super) async fn begin<W: WorkerControl + ?Sized>(
    workers: &W,
    stores: &Stores,
    request: &ReplayRequest,
) -> Result<Option<BegunReplay>, OperationError> {
    if let Some(why) = stores.progress.refuses_replays() {
        return Err(OperationError::Conflict(why));
    }
    let ReplayRequest { destination, id, .. } = request;
    let Some(known) = known(workers, destination).await? else { return Ok(None) };
    let known = known.into_iter().find(|known| known.id == *id);
    if let Some(known) = &known
        && (known.selection != request.selection || known.first != request.first)
    {
        let what =
            format!("{destination} has a replay {id} of other events: give this one another id, or delete that one");
        return Err(OperationError::Conflict(what));
    }
    let mut ranges = ranges(stores, request).await?;
    let partitions = ranges.keys().copied().collect();
    let was_there = known.is_some();
    let mut asked_at = request.asked_at;
    if let Some(known) = known {
        // Where it has not been heard of yet, it is the same replay.
        asked_at = known.asked_at;
        ranges.retain(|partition, _| !known.partitions.iter().any(|part| part.partition == *partition));
    }
    if !ranges.is_empty() {
        let (selection, first) = (request.selection.clone(), request.first);
        let order = Box::new(ReplayOrder { asked_at, ranges, selection, first });
        let command = Command::BeginReplay { destination: destination.clone(), replay: id.clone(), order };
        if !workers.command(command).await.map_err(OperationError::Workers)? {
            let what = format!(
                "the replay {id} could not begin in every partition of {destination}: it has as many replays as it may, \
                 or a partition is being handed over. Try again in a moment"
            );
            return Err(OperationError::Conflict(what));
        }
    }
    Ok(Some(BegunReplay { partitions, was_there }))
}

/// Of which offsets, in each partition that the replay is about.
async fn ranges(
    stores: &Stores,
    request: &ReplayRequest,
) -> Result<BTreeMap<Partition, Range<Offset>>, OperationError> {
    let all = stores.log.partitions();
    let mut partitions: Vec<Partition> = (0..all).map(Partition).collect();
    if !request.selection.keys.is_empty() {
        let of_keys: Vec<_> = request.selection.keys.iter().map(|key| Partition::of(key.as_str(), all)).collect();
        partitions.retain(|partition| of_keys.contains(partition));
    }
    let find = async |partition| {
        let from = find(stores, request, request.from, partition).await?;
        let to = find(stores, request, request.to, partition).await?;
        Ok::<_, OperationError>((partition, from..to.max(from)))
    };
    stream::iter(partitions).map(find).buffer_unordered(SEARCHES).try_collect().await
}

async fn find(
    stores: &Stores,
    request: &ReplayRequest,
    point: ReplayPoint,
    partition: Partition,
) -> Result<Offset, OperationError> {
    let log = &*stores.log;
    let at = match point {
        ReplayPoint::Beginning => return Ok(log.bounds(partition).await?.start),
        ReplayPoint::Moment(since) => return Ok(accepted_since(log, partition, since).await?),
        ReplayPoint::End => return Ok(Offset(u64::MAX)),
        ReplayPoint::Offset(at) => at,
        ReplayPoint::DeadLetter => first_dead_letter(stores, request).await?,
    };
    let start = log.bounds(partition).await?.start;
    if at < start && !request.partial {
        return Err(OperationError::Conflict(format!(
            "the events of partition {partition} from offset {at} to {start} are no longer stored (retain): what is \
             left can be replayed with \"partial\": true"
        )));
    }
    Ok(at.max(start))
}

/// Where the first dead letter is of the one key that is chosen.
async fn first_dead_letter(stores: &Stores, request: &ReplayRequest) -> Result<Offset, OperationError> {
    let destination = &request.destination;
    let key = request.selection.keys.first().cloned();
    let selection = Letters { key: key.clone(), ..Letters::of(destination.clone()) };
    let lane_key = key.as_ref().map(|key| LaneKey::of(request.selection.tenant.as_ref(), key));
    // One without order says of no tenant whose it is; what is not the tenant's is not delivered again in any case.
    let is_its = |letter: &&DeadLetter| match &letter.given_up.key {
        LaneKey::Event(_) | LaneKey::All => true,
        other => lane_key.as_ref().is_none_or(|key| key == other),
    };
    let mut query = DeadLetterQuery { selection, after: None, most: LETTERS_AT_ONCE };
    loop {
        let letters = stores.dead_letters.list(&query).await?;
        if let Some(first) = letters.iter().find(is_its) {
            return Ok(first.given_up.offset);
        }
        // Other tenants have events of this key, too.
        let Some(last) = letters.last().filter(|_| letters.len() == query.most) else { break };
        query.after = Some((last.partition, last.given_up.offset, destination.clone()));
    }
    let key = key.map(|key| format!(" of the key {}", key.as_str())).unwrap_or_default();
    let what = format!("{destination} has no dead letter{key}: say from which moment or offset on");
    Err(OperationError::Conflict(what))
}

pub(super) async fn count<W: WorkerControl + ?Sized>(
    workers: &W,
    stores: &Stores,
    request: &ReplayRequest,
) -> Result<Option<ReplayCount>, OperationError> {
    if known(workers, &request.destination).await?.is_none() {
        return Ok(None);
    }
    let filters = workers.filters(&request.destination).await;
    let mut counted = ReplayCount { events: 0, is_all: true, filtered: filters.is_some() };
    let mut left = MAX_COUNTED;
    for (partition, range) in ranges(stores, request).await? {
        let progress = stores.progress.load(partition).await?;
        // What has no progress there has settled nothing.
        let Some(lane) = progress.lanes.get(&request.destination) else { continue };
        let judge = Judge { filters: filters.as_ref(), cuts: &progress.cuts, lane, scanned: progress.scanned };
        count_in(&*stores.log, partition, range, (request, &judge), (&mut counted, &mut left)).await?;
    }
    Ok(Some(counted))
}

/// What says whether an event would be delivered again.
struct Judge<'a> {
    filters: Option<&'a Arc<Filters>>,
    cuts: &'a Cuts,
    lane: &'a LaneProgress,
    scanned: Offset,
}

impl Judge<'_> {
    fn picks(&self, selection: &Selection, event: &LoggedEvent) -> bool {
        let wanted = self.filters.is_none_or(|filters| filters.wanted(self.cuts, event));
        wanted && selection.picks(&event.event) && self.lane.has_settled(event, self.scanned)
    }
}

async fn count_in(
    log: &dyn EventLog,
    partition: Partition,
    range: Range<Offset>,
    (request, judge): (&ReplayRequest, &Judge<'_>),
    (counted, left): (&mut ReplayCount, &mut u64),
) -> Result<(), StoreError> {
    let until = range.end.min(judge.lane.position.offset(judge.scanned));
    let mut at = range.start;
    while at < until {
        if *left == 0 {
            counted.is_all = false;
            return Ok(());
        }
        let most = READ_EVENTS.min(usize::try_from(*left).unwrap_or(READ_EVENTS));
        let chunk = log.read(partition, at, most, READ_BYTES).await?;
        *left = left.saturating_sub(chunk.records.len() as u64);
        let picked = chunk.records.iter().filter(|record| match record {
            LogRecord::Event(event) => event.offset < until && judge.picks(&request.selection, event),
            LogRecord::Corrupt { .. } => false,
        });
        counted.events += picked.count() as u64;
        if chunk.next <= at {
            break;
        }
        at = chunk.next;
    }
    Ok(())
}
