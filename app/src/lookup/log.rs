//! Looking back through the log: all partitions together, the latest event first.

use super::AT_ONCE;
use futures_util::{StreamExt, stream};
use laneway_domain::{DeletedTenants, EventId, LoggedEvent, Offset, Partition, Timestamp, remembered_as};
use laneway_ports::{
    EventLog, EventPage, EventQuery, EventSummary, FindEvent, LogCursor, LogRecord, LookedBack, LookupError,
    MAX_LOOKUP, StoreError, accepted_since,
};
use std::collections::VecDeque;
use std::time::Duration;

/// The most records that one look reads: some tenths of a second of a core.
const MOST_RECORDS: usize = 50_000;
/// The most bytes of events that one look reads.
const MOST_BYTES: usize = 128 << 20;
/// The most bytes of what was found that one look keeps: a page takes a part of it, and the rest was found in
/// partitions that have earlier events than those that are told.
const MOST_KEPT_BYTES: usize = 16 << 20;
/// How many offsets one step goes back at once, at the most.
const STEP: u64 = 512;
/// By how much each step of a partition is longer than the one before; the first goes back by one offset. So a look
/// that goes on where another one has found something, and given out nothing, has that again at once, and what it may
/// read is left for the other partitions.
const STEPS_GROW: u64 = 8;
/// The most bytes that one read brings into memory.
const READ_BYTES: usize = 4 << 20;
/// By how much an id that tells its time may be ahead of when its event was accepted, or behind: clocks differ, and a
/// producer may have made it a while before.
const CLOCKS_DIFFER: Duration = Duration::from_secs(10);
/// The most events that are given before the log is looked through: `next` names each of them, and stands in a URL.
/// Where there are more, the log is looked through from the first answer on.
const MOST_GIVEN: usize = 16;

/// A look back through one partition.
struct Track<'l> {
    log: &'l dyn EventLog,
    partition: Partition,
    /// Nothing below is looked at.
    floor: Offset,
    /// Everything from here on was looked at.
    at: Offset,
    /// How many offsets the next step goes back.
    step: u64,
    /// What was found and not given out, the latest first.
    found: VecDeque<EventSummary>,
    /// Why it cannot be looked at any further.
    failed: Option<StoreError>,
}

/// What looks may still read, and what they have met.
struct Budget {
    records: usize,
    bytes: usize,
    /// Bytes of what was found that may still be kept.
    kept: usize,
    unreadable: u64,
    /// The earliest moment of acceptance that was looked at, of each partition the latest of these counts.
    seen: Vec<Option<Timestamp>>,
}

impl Budget {
    const fn is_spent(&self) -> bool {
        self.records == 0 || self.bytes == 0 || self.kept == 0
    }
}

impl Track<'_> {
    fn is_done(&self) -> bool {
        self.failed.is_some() || self.at <= self.floor
    }

    /// Goes one step back, and remembers it if that cannot be.
    async fn go_back(&mut self, budget: &mut Budget, wanted: &(dyn Fn(&LoggedEvent) -> bool + Sync)) {
        self.failed = self.step(budget, wanted).await.err();
    }

    /// Goes one step back, and keeps what is wanted.
    async fn step(
        &mut self,
        budget: &mut Budget,
        wanted: &(dyn Fn(&LoggedEvent) -> bool + Sync),
    ) -> Result<(), StoreError> {
        let from = Offset(self.at.0.saturating_sub(self.step).max(self.floor.0));
        self.step = self.step.saturating_mul(STEPS_GROW).min(STEP);
        let (mut next, mut found, mut any) = (from, Vec::new(), false);
        while next < self.at {
            let most = usize::try_from(self.at.0 - next.0).unwrap_or(usize::MAX);
            let chunk = self.log.read(self.partition, next, most, READ_BYTES).await?;
            let below = |record: &&LogRecord| record.offset() < self.at;
            for record in chunk.records.iter().take_while(below) {
                budget.records = budget.records.saturating_sub(1);
                any = true;
                match record {
                    LogRecord::Event(event) => {
                        budget.bytes = budget.bytes.saturating_sub(event.event.weight());
                        let seen = &mut budget.seen[self.partition.0 as usize];
                        *seen = Some(seen.map_or(event.accepted_at, |seen| seen.min(event.accepted_at)));
                        if wanted(event) {
                            let summary = EventSummary::from(&**event);
                            budget.kept = budget.kept.saturating_sub(summary.weight());
                            found.push(summary);
                        }
                    }
                    LogRecord::Corrupt { .. } => budget.unreadable += 1,
                }
            }
            if chunk.records.is_empty() || chunk.next <= next {
                break; // What was there is trimmed, or is a gap between generations.
            }
            next = chunk.next;
        }
        self.at = if any { from } else { self.behind_the_last_below(from, budget).await? };
        self.found.extend(found.into_iter().rev());
        Ok(())
    }

    /// Where a look goes on below a gap: behind the last record below `gap`. What was trimmed is a small one; between
    /// two generations of offsets (after a restore, or a failover that lost something) there are 2^40 and more.
    async fn behind_the_last_below(&self, gap: Offset, budget: &mut Budget) -> Result<Offset, StoreError> {
        let (mut last, mut low, mut high) = (None, self.floor, gap);
        // The last record below `high` is at `low` or above, if there is one; none is between `high` and `gap`.
        while low < high {
            budget.records = budget.records.saturating_sub(1);
            let middle = Offset(low.0 + (high.0 - low.0) / 2);
            let at = self.log.read(self.partition, middle, 1, READ_BYTES).await?.records.first().map(LogRecord::offset);
            match at.filter(|at| *at < gap) {
                Some(at) => {
                    last = Some(at);
                    low = at.next();
                }
                None => high = middle,
            }
        }
        Ok(last.map_or(self.floor, Offset::next))
    }
}

/// What is to be looked at.
#[derive(Clone, Copy)]
struct Span<'q> {
    /// This partition alone.
    only: Option<Partition>,
    /// From this moment on, and before that one.
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    /// Where the look before has ended.
    after: Option<&'q LogCursor>,
}

impl Span<'_> {
    /// Where a look back at the partition begins, and where it ends.
    async fn ends(&self, log: &dyn EventLog, partition: Partition) -> Result<(Offset, Offset), StoreError> {
        let bounds = log.bounds(partition).await?;
        let meant = self.only.is_none_or(|only| only == partition);
        let floor = match self.from {
            Some(from) if meant => accepted_since(log, partition, from).await?,
            _ => bounds.start,
        };
        let at = match (self.after, self.to) {
            (Some(after), _) => after.below[partition.0 as usize].min(bounds.end),
            (None, Some(to)) if meant => accepted_since(log, partition, to).await?,
            (None, _) => bounds.end,
        };
        Ok((if meant { at } else { floor }, floor))
    }
}

/// Begins a look back at each partition: at its end, or where the look before has ended.
///
/// # Errors
/// If the cursor is another store's.
async fn tracks<'l>(log: &'l dyn EventLog, span: Span<'_>) -> Result<Vec<Track<'l>>, LookupError> {
    let partitions = log.partitions();
    if span.after.is_some_and(|after| after.below.len() != partitions as usize) {
        return Err(LookupError::Cursor);
    }
    let begin = |partition| async move {
        let (at, floor, failed) = match span.ends(log, partition).await {
            Ok((at, floor)) => (at, floor, None),
            // The next look begins where this one would have.
            Err(error) => {
                let at = span.after.map_or(Offset(u64::MAX), |after| after.below[partition.0 as usize]);
                (at, Offset::ZERO, Some(error))
            }
        };
        Track { log, partition, floor, at, step: 1, found: VecDeque::new(), failed }
    };
    let all = (0..partitions).map(Partition);
    Ok(stream::iter(all).map(begin).buffered(AT_ONCE).collect().await)
}

/// Whether something could be looked at of what was meant.
///
/// # Errors
/// If not.
fn is_answered(tracks: Vec<Track<'_>>, only: Option<Partition>) -> Result<(), StoreError> {
    let meant = tracks.into_iter().filter(|track| only.is_none_or(|only| only == track.partition));
    let mut why = Ok(());
    for track in meant {
        match track.failed {
            Some(error) => why = Err(error),
            None => return Ok(()),
        }
    }
    why
}

/// Where the latest event stands that was found and not given out; `None` while one of the partitions that are not
/// through has found none: what it has may be later.
fn latest(tracks: &[Track<'_>]) -> Option<usize> {
    if tracks.iter().any(|track| track.found.is_empty() && !track.is_done()) {
        return None;
    }
    let first = |track: &Track<'_>| track.found.front().map(|event| (event.accepted_at, event.partition, event.offset));
    let all = tracks.iter().enumerate().filter_map(|(nth, track)| Some((first(track)?, nth)));
    all.max().map(|(_, nth)| nth)
}

/// Looks back until `most` are found or the budget is spent.
async fn look(
    tracks: &mut [Track<'_>],
    most: usize,
    wanted: &(dyn Fn(&LoggedEvent) -> bool + Sync),
) -> (Vec<EventSummary>, LookedBack) {
    let seen = vec![None; tracks.len()];
    let mut budget = Budget { records: MOST_RECORDS, bytes: MOST_BYTES, kept: MOST_KEPT_BYTES, unreadable: 0, seen };
    let mut events = Vec::new();
    while events.len() < most {
        if let Some(nth) = latest(tracks) {
            events.extend(tracks[nth].found.pop_front());
            continue;
        }
        let behind = tracks.iter_mut().find(|track| track.found.is_empty() && !track.is_done());
        match behind {
            Some(track) if !budget.is_spent() => track.go_back(&mut budget, wanted).await,
            _ => break,
        }
    }
    // What was found and not given out is looked at again.
    let place = |track: &Track<'_>| track.found.front().map_or(track.at, |event| event.offset.next());
    let more = tracks.iter().any(|track| !track.found.is_empty() || !track.is_done());
    let next = more.then(|| tracks.iter().map(place).collect::<Vec<_>>().into());
    let of = |track: &Track<'_>| match track.found.front() {
        Some(event) => Some(event.accepted_at),
        None if track.is_done() => None,
        None => budget.seen[track.partition.0 as usize].or(Some(Timestamp::MAX)),
    };
    let to = tracks.iter().filter_map(of).max();
    let to = to.or_else(|| budget.seen.iter().flatten().min().copied()).filter(|to| *to != Timestamp::MAX);
    let why = |track: &Track<'_>| Some(format!("partition {}: {}", track.partition, track.failed.as_ref()?));
    let not_asked = tracks.iter().filter_map(why).collect();
    (events, LookedBack { next, to, unreadable: budget.unreadable, not_asked })
}

/// [`laneway_ports::Lookup::events`].
pub(super) async fn events(
    log: &dyn EventLog,
    query: &EventQuery,
    deleted: &DeletedTenants,
) -> Result<EventPage, LookupError> {
    // Only events without a key are spread; those of a key are where that is.
    let only = query.key.as_ref().map(|key| Partition::of(key.as_str(), log.partitions()));
    let span = Span { only, from: query.from, to: query.to, after: query.after.as_ref() };
    let mut tracks = tracks(log, span).await?;
    let wanted = |event: &LoggedEvent| {
        let accepted = event.accepted_at;
        (query.tenant.is_none() || query.tenant == event.event.tenant)
            && !deleted.had(&event.event)
            && query.key.as_ref().is_none_or(|key| event.event.key.as_ref() == Some(key))
            && query.event_type.as_ref().is_none_or(|pattern| pattern.matches(event.event.event_type.as_str()))
            && query.from.is_none_or(|from| accepted >= from)
            && query.to.is_none_or(|to| accepted < to)
    };
    let (events, looked) = look(&mut tracks, query.limit.min(MAX_LOOKUP), &wanted).await;
    is_answered(tracks, only)?;
    Ok(EventPage { events, looked })
}

/// The events of an id, without their data: where it is remembered, where its time says, and then wherever it is.
pub(super) async fn find(
    log: &dyn EventLog,
    query: &FindEvent,
    deleted: &DeletedTenants,
) -> Result<(Vec<EventSummary>, LookedBack), LookupError> {
    let is_it = |event: &LoggedEvent| {
        let source = event.event.source.as_deref().unwrap_or_default();
        event.event.id == query.id
            && (query.tenant.is_none() || query.tenant == event.event.tenant)
            && !deleted.had(&event.event)
            && query.source.as_deref().is_none_or(|meant| meant == source)
    };
    if let Some(place) = query.at {
        let event = there(log, place, &is_it).await?;
        return Ok((event.into_iter().collect(), LookedBack::default()));
    }
    let given = match &query.after {
        Some(after) => &*after.given,
        None => match at_once(log, query, &is_it).await? {
            Some(found) => return Ok(found),
            None => &[],
        },
    };
    let wanted = |event: &LoggedEvent| is_it(event) && !given.contains(&(event.partition, event.offset));
    let all = Span { only: None, from: None, to: None, after: query.after.as_ref() };
    let mut tracks = tracks(log, all).await?;
    let (events, mut looked) = look(&mut tracks, MAX_LOOKUP, &wanted).await;
    is_answered(tracks, None)?;
    if let Some(next) = &mut looked.next {
        let is_to_come = |at: &&(Partition, Offset)| next.below.get(at.0.0 as usize).is_some_and(|below| at.1 < *below);
        next.given = given.iter().filter(is_to_come).copied().collect();
    }
    Ok((events, looked))
}

/// What is found without looking through the log, if something is.
///
/// It is all there is only where tenant and source are said. Otherwise others of this id may be anywhere: whoever wants
/// them looks on, and whoever wanted this one need not.
async fn at_once(
    log: &dyn EventLog,
    query: &FindEvent,
    is_it: &(dyn Fn(&LoggedEvent) -> bool + Sync),
) -> Result<Option<(Vec<EventSummary>, LookedBack)>, LookupError> {
    // What cannot be asked now is named by the look that follows.
    let remembered = remembered(log, query, is_it).await.unwrap_or_default();
    let (events, looked) = match made_at(&query.id) {
        None => (remembered, LookedBack::default()),
        Some(_) if !remembered.is_empty() => (remembered, LookedBack::default()),
        Some(made) => {
            let (from, to) = (Some(made.before(CLOCKS_DIFFER)), Some(made.after(CLOCKS_DIFFER)));
            let span = Span { only: None, from, to, after: None };
            let (events, looked) = look(&mut tracks(log, span).await?, MAX_LOOKUP, is_it).await;
            // That was all of this time, unless there are more than one look gives out.
            let next = looked.next.filter(|_| events.len() >= MAX_LOOKUP);
            (events, LookedBack { next, ..looked })
        }
    };
    if events.is_empty() {
        return Ok(None);
    }
    if query.tenant.is_some() && query.source.is_some() {
        return Ok(Some((events, looked)));
    }
    if events.len() > MOST_GIVEN {
        return Ok(None);
    }
    let given = events.iter().map(|event| (event.partition, event.offset)).collect();
    let next = LogCursor { below: vec![Offset(u64::MAX); log.partitions() as usize], given };
    // Nothing but a moment was looked at.
    Ok(Some((events, LookedBack { next: Some(next), to: None, ..looked })))
}

/// The events that the store remembers under this id, and under tenant and source as far as they are said.
async fn remembered(
    log: &dyn EventLog,
    query: &FindEvent,
    is_it: &(dyn Fn(&LoggedEvent) -> bool + Sync),
) -> Result<Vec<EventSummary>, StoreError> {
    let source = query.source.as_deref().filter(|source| !source.is_empty());
    let named = remembered_as(query.tenant.as_ref(), source, query.id.as_str());
    let mut events = Vec::new();
    for place in log.remembered(&named).await? {
        events.extend(there(log, place, is_it).await?);
    }
    Ok(events)
}

/// The event that stands there, if it is meant.
async fn there(
    log: &dyn EventLog,
    (partition, offset): (Partition, Offset),
    is_it: &(dyn Fn(&LoggedEvent) -> bool + Sync),
) -> Result<Option<EventSummary>, StoreError> {
    if partition.0 >= log.partitions() {
        return Ok(None);
    }
    let chunk = log.read(partition, offset, 1, 1).await?;
    Ok(chunk.records.into_iter().find_map(|record| match record {
        LogRecord::Event(event) if event.offset == offset && is_it(&event) => Some(EventSummary::from(&*event)),
        _ => None, // It was trimmed, or cannot be read.
    }))
}

/// When an id was made, if it is one that says so: a UUID of version 7 (RFC 9562), as Laneway makes them.
fn made_at(id: &EventId) -> Option<Timestamp> {
    let uuid = uuid::Uuid::try_parse(id.as_str()).ok().filter(|uuid| uuid.get_version_num() == 7)?;
    let (seconds, nanos) = uuid.get_timestamp()?.to_unix();
    Some(Timestamp::from_millis(seconds.checked_mul(1000)?.checked_add(u64::from(nanos) / 1_000_000)?))
}
