//! Looking back through the history: the attempts of all partitions together, the latest first.
//!
//! They come by when their commit was made, then by partition, commit, and place in it. So a page can go on exactly
//! where the one before has ended, whatever is added or trimmed meanwhile.

use super::AT_ONCE;
use futures_util::{StreamExt, stream};
use laneway_domain::{DeletedTenants, Partition, Timestamp, Told};
use laneway_ports::{
    AttemptCursor, AttemptPage, AttemptQuery, FoundAttempt, HistoryPlace, HistoryRange, HistoryRecord, HistoryStore,
    LogRecord, LookupError, MAX_LOOKUP, StoreError, Stores,
};
use std::collections::VecDeque;

/// The most attempts that one look goes over: a tenth of a second of a core.
const MOST_ATTEMPTS: usize = 200_000;
/// Records that are read at once.
const PAGE: usize = 16;

/// A look back through one partition's history.
struct Track<'h> {
    history: &'h dyn HistoryStore,
    partition: Partition,
    range: HistoryRange,
    /// Records that were read and not looked at.
    records: VecDeque<HistoryRecord>,
    is_done: bool,
    /// Why it cannot be looked at any further.
    failed: Option<StoreError>,
}

impl Track<'_> {
    /// Reads on, so that the next record is known, if there is one and it can be read.
    async fn fill(&mut self) {
        match self.history.history(self.partition, self.range, PAGE).await {
            Ok(page) => {
                match page.last() {
                    Some(last) => self.range = HistoryRange::Before(last.place),
                    None => self.is_done = true,
                }
                self.records = page.into();
            }
            Err(error) => (self.is_done, self.failed) = (true, Some(error)),
        }
    }

    fn next(&self) -> Option<AttemptCursor> {
        let HistoryPlace { at, epoch, number } = self.records.front()?.place;
        Some(AttemptCursor { at, partition: self.partition, epoch, number, nth: u32::MAX })
    }
}

/// Where the look begins in a partition, so that nothing at or before the cursor's attempt is left out.
fn begin(partition: Partition, query: &AttemptQuery) -> HistoryRange {
    let behind = |at: Timestamp| {
        let at = Timestamp::from_millis(at.as_millis().saturating_add(1));
        HistoryRange::Before(HistoryPlace { at, epoch: 0, number: 0 })
    };
    match query.after {
        None => HistoryRange::Latest,
        Some(after) if partition < after.partition => behind(after.at),
        Some(after) if partition > after.partition => {
            HistoryRange::Before(HistoryPlace { at: after.at, epoch: 0, number: 0 })
        }
        Some(AttemptCursor { at, epoch, number, .. }) => {
            HistoryRange::Before(HistoryPlace { at, epoch, number: number.saturating_add(1) })
        }
    }
}

fn is_wanted(query: &AttemptQuery, told: &Told) -> bool {
    (query.tenant.is_none() || told.destination.is_of(query.tenant.as_ref()))
        && query.destination.as_ref().is_none_or(|name| *name == told.destination)
        && query.key.as_ref().is_none_or(|key| told.key.as_ref() == Some(key))
        && query.event_id.as_ref().is_none_or(|id| told.id.as_ref() == Some(id))
        && query.ended.is_none_or(|ended| ended == told.ended)
        && query.status.is_none_or(|status| told.status == Some(status))
        && query.from.is_none_or(|from| told.at >= from)
        && query.to.is_none_or(|to| told.at < to)
}

/// [`laneway_ports::Lookup::attempts`].
pub(super) async fn attempts(
    stores: &Stores,
    query: &AttemptQuery,
    deleted: &DeletedTenants,
) -> Result<AttemptPage, LookupError> {
    let partitions = stores.log.partitions();
    let only = query.key.as_ref().map(|key| Partition::of(key.as_str(), partitions));
    let all = (0..partitions).map(Partition).filter(|partition| only.is_none_or(|only| only == *partition));
    let asked = if only.is_some() { 1 } else { partitions as usize };
    let track = |partition| Track {
        history: &*stores.history,
        partition,
        range: begin(partition, query),
        records: VecDeque::new(),
        is_done: false,
        failed: None,
    };
    let mut tracks: Vec<Track<'_>> = all.map(track).collect();
    let mut page = look(&mut tracks, query).await;
    let mut failed: Vec<_> = tracks.into_iter().filter_map(|track| Some((track.partition, track.failed?))).collect();
    if failed.len() == asked
        && let Some((_, error)) = failed.pop()
    {
        return Err(error.into());
    }
    hide(stores, &mut page, deleted).await?;
    page.incomplete.extend(failed.iter().map(|(partition, error)| format!("partition {partition}: {error}")));
    Ok(page)
}

/// Takes out what is told of events of deleted tenants at the operator's destinations, as long as the log has those events:
/// the history does not say whose an event is.
async fn hide(stores: &Stores, page: &mut AttemptPage, deleted: &DeletedTenants) -> Result<(), StoreError> {
    if deleted.is_empty() {
        return Ok(()); // As nearly always.
    }
    let mut shown = Vec::new();
    for found in std::mem::take(&mut page.attempts) {
        let FoundAttempt { partition, told } = &found;
        let hidden = match told.destination.tenant() {
            Some(tenant) => deleted.has(&tenant),
            None => {
                let chunk = stores.log.read(*partition, told.offset, 1, 1).await?;
                let is_theirs = |record: &LogRecord| match record {
                    LogRecord::Event(event) => event.offset == told.offset && deleted.had(&event.event),
                    LogRecord::Corrupt { .. } => false,
                };
                chunk.records.first().is_some_and(is_theirs)
            }
        };
        if !hidden {
            shown.push(found);
        }
    }
    page.attempts = shown;
    Ok(())
}

async fn look(tracks: &mut [Track<'_>], query: &AttemptQuery) -> AttemptPage {
    let mut is_untold = false;
    let mut page = look_back(tracks, query, &mut is_untold).await;
    if is_untold {
        page.incomplete.push("attempts, perhaps of this tenant, had no room in the history".to_owned());
    }
    page
}

/// Looks back. What had no room is named, or of a tenant `is_untold`.
async fn look_back(tracks: &mut [Track<'_>], query: &AttemptQuery, is_untold: &mut bool) -> AttemptPage {
    let (mut page, mut looked_at) = (AttemptPage::default(), 0);
    loop {
        let empty = tracks.iter_mut().filter(|track| track.records.is_empty() && !track.is_done);
        stream::iter(empty).for_each_concurrent(AT_ONCE, Track::fill).await;
        let latest = tracks.iter().enumerate().filter_map(|(nth, track)| Some((track.next()?, nth))).max();
        let Some((place, nth)) = latest else { return page };
        // Nothing in a record ended after its commit was made, and those that follow were made no later.
        if query.from.is_some_and(|from| place.at < from) {
            return page;
        }
        let Some(record) = tracks[nth].records.pop_front() else { return page };
        page.looked_back_to = Some(place.at);
        let history = match record.told {
            Ok(history) => history,
            Err(why) => {
                let partition = place.partition;
                page.incomplete.push(format!("a record of the history of partition {partition} cannot be read: {why}"));
                continue;
            }
        };
        if history.untold > 0 && query.tenant.is_some() {
            // How many there were is a number of everybody's attempts, and so is how often that was so.
            *is_untold = true;
        } else if history.untold > 0 {
            let (partition, untold) = (place.partition, history.untold);
            page.incomplete.push(format!("{untold} attempts of partition {partition} had no room in the history"));
        }
        for (nth, told) in history.told.into_iter().enumerate().rev() {
            let at = AttemptCursor { nth: u32::try_from(nth).unwrap_or(u32::MAX), ..place };
            if query.after.is_some_and(|after| at >= after) {
                continue;
            }
            looked_at += 1;
            if is_wanted(query, &told) {
                page.attempts.push(FoundAttempt { partition: place.partition, told });
            }
            if page.attempts.len() >= query.limit.min(MAX_LOOKUP) || looked_at >= MOST_ATTEMPTS {
                page.next = Some(at);
                return page;
            }
        }
    }
}
