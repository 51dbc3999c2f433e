//! The way of an event through the destinations.

use super::AT_ONCE;
use super::room::{Gathered, leave_out};
use crate::registry::{Stored, moment};
use crate::worker::Clock;
use futures_util::{StreamExt, stream};
use laneway_domain::{
    DestinationName, EventState, Fate, HowSettled, LoggedEvent, NextAttempt, Offset, Ordering, PAUSED_IN_CONFIGURATION,
    Partition, PartitionProgress, Pause, Registered, RetryState, Standing, StateOf, TENANT_SEPARATOR, Timestamp, Told,
};
use laneway_ports::{
    Became, EventAt, EventSummary, EventWay, FindEvent, FoundEvents, HistoryPlace, HistoryRange, LogRecord, LookedBack,
    LookupError, MAX_REGISTRY_PAGE, StoreError, Stores,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The most records of the history that are looked through for the attempts at one event: some 40 MiB. (All events of
/// an answer have a bound of their own: [`Gathered`].)
const MOST_RECORDS: usize = 10_000;
/// Records that are read at once.
const PAGE: usize = 32;
/// The most attempts at one event that are told; more are the end of a long outage.
const MOST_ATTEMPTS: usize = 1_000;

/// A destination, as far as its events' states depend on it.
struct Known {
    record: Registered,
    ordering: Ordering,
    /// Whether its settings pause it.
    is_set_paused: bool,
}

impl Known {
    fn of(record: Registered) -> Self {
        let settings = Stored::of(&record).map(|stored| stored.settings).unwrap_or_default();
        let ordering = settings.get("ordering").and_then(|ordering| serde_json::from_value(ordering.clone()).ok());
        let is_set_paused = settings.get("paused").and_then(serde_json::Value::as_bool);
        Self { record, ordering: ordering.unwrap_or_default(), is_set_paused: is_set_paused.unwrap_or_default() }
    }

    fn state_of(&self) -> StateOf<'_> {
        let Registered { name, born, is_first, filters, .. } = &self.record;
        StateOf { name, born: *born, is_first: *is_first, ordering: self.ordering, filters }
    }

    /// Why nothing is attempted there, if it is paused: by an operator, by its settings, or by Laneway, after an answer
    /// that nothing more is to be sent or an outage without end.
    fn paused(&self, by_laneway: Option<&Pause>) -> Option<String> {
        let since = |at, reason: &str| {
            let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
            format!("paused since {}{why}", moment(at))
        };
        if let Some(pause) = &self.record.paused {
            return Some(since(pause.since, &pause.reason));
        }
        if self.is_set_paused {
            return Some(PAUSED_IN_CONFIGURATION.to_owned());
        }
        by_laneway.map(|pause| since(pause.since, &pause.reason))
    }

    /// Whether the event waits for an attempt here.
    fn is_waited_for(&self, event: &LoggedEvent, progress: &PartitionProgress) -> bool {
        use EventState::{BeforeDestination, NotWanted, Settled};
        !matches!(self.state_of().state(event, progress), NotWanted | BeforeDestination | Settled)
    }

    /// Whether what was told is of this destination, and not of another one of its name.
    fn has(&self, told: &Told) -> bool {
        told.destination == self.record.name && (told.born == self.record.born || self.record.takes_over)
    }
}

/// The destinations that are asked for: one, all, or all of a tenant.
async fn destinations(stores: &Stores, query: &FindEvent) -> Result<Vec<Known>, LookupError> {
    let tenant = query.tenant.as_ref();
    if let Some(name) = &query.destination {
        let found = stores.registry.records(std::slice::from_ref(name)).await?;
        let known = found.into_iter().find(|record| record.standing != Standing::Deleted);
        return Ok(vec![Known::of(known.ok_or_else(|| LookupError::UnknownDestination(name.clone()))?)]);
    }
    // Those of a tenant lie together.
    let mut after = tenant.map_or_else(String::new, |tenant| format!("{tenant}{TENANT_SEPARATOR}"));
    let mut all = Vec::new();
    loop {
        let page = stores.registry.page(&after, MAX_REGISTRY_PAGE).await?;
        let Some(last) = page.records.last() else { return Ok(all) };
        after = last.name.to_string();
        let goes_on = page.more && (tenant.is_none() || last.name.is_of(tenant));
        let records = page.records.into_iter().filter(|record| tenant.is_none() || record.name.is_of(tenant));
        all.extend(records.map(Known::of));
        if !goes_on {
            return Ok(all);
        }
    }
}

/// The way of each of these events, as far as there is room for them; the others are said to be left out.
pub(super) async fn of_all(
    stores: &Stores,
    query: &FindEvent,
    (events, looked): (Vec<EventSummary>, LookedBack),
) -> Result<FoundEvents, LookupError> {
    let mut found = FoundEvents { looked, ..FoundEvents::default() };
    let destinations = destinations(stores, query).await?;
    let mut gathered = Gathered::default();
    let mut left = events.as_slice();
    while let [next, others @ ..] = left {
        if gathered.is_too_much() {
            break;
        }
        // What was trimmed meanwhile is no longer there to be told of.
        if let Some(event) = read(stores, next.partition, next.offset).await? {
            gathered.event(&event);
            let mut incomplete = Vec::new();
            let about = (&*destinations, query.destination.is_some());
            let way = of_one(stores, event, about, (&mut gathered, &mut incomplete)).await?;
            // One at least, whatever it takes: or nobody could look at it.
            if gathered.is_too_much() && !found.events.is_empty() {
                break;
            }
            found.events.push(way);
            found.incomplete.extend(incomplete);
        }
        left = others;
    }
    found.incomplete.extend(leave_out(&mut found.looked, left, stores.log.partitions()));
    Ok(found)
}

async fn of_one(
    stores: &Stores,
    event: Arc<LoggedEvent>,
    (destinations, named): (&[Known], bool),
    (gathered, incomplete): (&mut Gathered, &mut Vec<String>),
) -> Result<EventWay, LookupError> {
    let cuts = stores.progress.cuts(event.partition).await?;
    // What does not want it is told apart before progress is asked: there may be very many.
    let judged = PartitionProgress { cuts, ..PartitionProgress::default() };
    let concerns = |known: &&Known| {
        let state = known.state_of().state(&event, &judged);
        named || !matches!(state, EventState::NotWanted | EventState::BeforeDestination)
    };
    let concerned: Vec<&Known> = destinations.iter().filter(concerns).collect();
    let names: Vec<DestinationName> = concerned.iter().map(|known| known.record.name.clone()).collect();
    let keys: Vec<_> = concerned.iter().map(|known| known.state_of().lane_key(&event)).collect();
    // First: what is told of attempts that progress does not know of yet is more than it knows, never less.
    let progress = stores.progress.standing(event.partition, &names, &keys).await?;
    gathered.destinations(concerned.len());
    let mut told = told_of(stores, &event, gathered, incomplete).await?;
    let waiting: Vec<&Known> =
        concerned.iter().filter(|known| known.is_waited_for(&event, &progress)).copied().collect();
    let pauses = pauses(stores, &waiting, incomplete).await;
    let mut ways = Vec::with_capacity(concerned.len());
    for known in &concerned {
        let own: Vec<Told> = told.remove(&known.record.name).unwrap_or_default();
        let own: Vec<Told> = own.into_iter().filter(|told| known.has(told)).collect();
        let paused = known.paused(pauses.get(&known.record.name));
        ways.push(at(stores, &event, known, &progress, paused, own).await?);
    }
    Ok(EventWay { not_wanted: (destinations.len() - concerned.len()) as u64, event, destinations: ways })
}

/// Which of these destinations Laneway has paused itself. That is stored in the partition whose attempt has met the
/// reason, and means all of them.
async fn pauses(stores: &Stores, of: &[&Known], incomplete: &mut Vec<String>) -> BTreeMap<DestinationName, Pause> {
    let names: Vec<DestinationName> = of.iter().map(|known| known.record.name.clone()).collect();
    let mut pauses = BTreeMap::new();
    if names.is_empty() {
        return pauses;
    }
    let names = &names;
    let standing = |partition| async move { (partition, stores.progress.standing(partition, names, &[]).await) };
    let partitions = (0..stores.log.partitions()).map(Partition);
    let all: Vec<_> = stream::iter(partitions).map(standing).buffered(AT_ONCE).collect().await;
    for (partition, progress) in all {
        let mut progress = match progress {
            Ok(progress) => progress,
            Err(error) => {
                incomplete.push(format!("partition {partition}, which may tell of a pause: {error}"));
                continue;
            }
        };
        for known in of {
            let lane = progress.lanes.remove(&known.record.name);
            let lane = lane.filter(|lane| lane.born == known.record.born || known.record.takes_over);
            if let Some(pause) = lane.and_then(|lane| lane.paused) {
                pauses.entry(known.record.name.clone()).or_insert(pause);
            }
        }
    }
    pauses
}

/// What is told of the attempts at an event, by destination, the earliest first.
async fn told_of(
    stores: &Stores,
    event: &LoggedEvent,
    gathered: &mut Gathered,
    incomplete: &mut Vec<String>,
) -> Result<BTreeMap<DestinationName, Vec<Told>>, StoreError> {
    let mut all: BTreeMap<DestinationName, Vec<Told>> = BTreeMap::new();
    let (mut looked_at, mut count) = (0, 0);
    // No attempt can have ended before the event was accepted.
    let since = Timestamp::from_millis(event.accepted_at.as_millis().saturating_sub(1));
    let mut range = HistoryRange::After(HistoryPlace { at: since, epoch: u64::MAX, number: u64::MAX });
    loop {
        let page = stores.history.history(event.partition, range, PAGE).await?;
        let Some(last) = page.last() else { return Ok(all) };
        range = HistoryRange::After(last.place);
        for record in page {
            looked_at += 1;
            gathered.record();
            let Ok(history) = record.told else {
                incomplete.push(format!("a record of the history of partition {} cannot be read", event.partition));
                continue;
            };
            let of_it = history.told.into_iter().filter(|told| told.offset == event.offset);
            for told in of_it.take(MOST_ATTEMPTS.saturating_sub(count)) {
                count += 1;
                gathered.told(&told);
                all.entry(told.destination.clone()).or_default().push(told);
            }
            if looked_at >= MOST_RECORDS || count >= MOST_ATTEMPTS {
                let upto = moment(record.place.at);
                incomplete.push(format!("attempts at event {} were looked for up to {upto} only", event.event.id));
                return Ok(all);
            }
        }
    }
}

/// What a destination has to do with an event.
async fn at(
    stores: &Stores,
    event: &LoggedEvent,
    known: &Known,
    progress: &PartitionProgress,
    paused: Option<String>,
    attempts: Vec<Told>,
) -> Result<EventAt, LookupError> {
    let name = &known.record.name;
    let state = known.state_of().state(event, progress);
    let (mut waits_for, mut next_attempt) = (None, None);
    let is_paused = |what: String| paused.as_ref().map_or(what.clone(), |paused| format!("{what}; {name} is {paused}"));
    let (became, what) = match state {
        EventState::NotWanted => (Became::NotWanted, "the filter that stood for it does not match it".to_owned()),
        EventState::BeforeDestination => (Became::BeforeDestination, format!("it was accepted before {name} was made")),
        EventState::Settled => settled(stores, event, name, &attempts).await?,
        EventState::Blocked(retry) => {
            next_attempt = retry.next_attempt.at();
            let (became, what) = blocked(&retry);
            (became, is_paused(what))
        }
        EventState::Next => match settled_above(&attempts) {
            Some(became) => became,
            // Whether an attempt is under way, no store knows: the worker may wait for a breaker or a limit just as
            // well.
            None => (
                Became::Waiting,
                is_paused(match paused {
                    Some(_) => "its turn has come".to_owned(),
                    None => format!("its turn has come: it is being attempted, or is when {name} takes the next one"),
                }),
            ),
        },
        EventState::Behind(offset) => {
            let first = at_offset(stores, event, offset).await?;
            let key = known.state_of().lane_key(event);
            let blocked = progress.lanes.get(name).and_then(|lane| lane.behind.get(&key)?.retry.as_ref());
            next_attempt = blocked.and_then(|retry| retry.next_attempt.at());
            let why = blocked.map_or_else(String::new, |retry| format!(", which failed: {}", retry.last_error()));
            let which =
                first.as_ref().map_or_else(|| format!("the one at offset {offset}"), |first| first.id.to_string());
            waits_for = first;
            (Became::Waiting, is_paused(format!("it waits for the event {which} before it{why}")))
        }
        EventState::ToCome(position) => match settled_above(&attempts) {
            Some(became) => became,
            None => {
                let before = position.events_until(event.offset);
                (
                    Became::Waiting,
                    is_paused(format!("{name} has yet to come to it: up to {before} events are before it")),
                )
            }
        },
        EventState::NotBegun => (Became::Waiting, is_paused(format!("no worker has begun to deliver to {name} yet"))),
    };
    // What is stored is when the backoff ends. A destination that is paused, or whose breaker is open, attempts nothing then.
    let (next_attempt, what) = match next_attempt {
        Some(_) if paused.is_some() => (None, what),
        Some(at) if at <= Clock::system().now() => {
            let due = "an attempt is due, and begins when the destination takes it: its status says whether it is down";
            (None, format!("{what}; {due}"))
        }
        next_attempt => (next_attempt, what),
    };
    Ok(EventAt { destination: name.clone(), became, what, waits_for, next_attempt, attempts })
}

/// What became of an event that the position has not come to, if something did: the commit that tells of it may be
/// older than the position, since it was above another event then.
fn settled_above(attempts: &[Told]) -> Option<(Became, String)> {
    attempts.iter().rev().find_map(|told| match told.fate {
        Fate::Delivered => Some((Became::Delivered, delivered(told))),
        Fate::Expired => Some((Became::Expired, expired(told))),
        _ => None,
    })
}

fn blocked(retry: &RetryState) -> (Became, String) {
    let why = retry.last_error();
    let since = moment(retry.first_failure);
    let failed = match retry.attempts {
        0 => format!("its attempts since {since} cost nothing so far"),
        1 => format!("its first attempt failed {since}"),
        n => format!("{n} attempts failed since {since}"),
    };
    match retry.next_attempt {
        NextAttempt::At(_) => (Became::Blocked, format!("{failed}, and it is tried again: {why}")),
        NextAttempt::Never => (Became::Held, format!("{failed}, it was given up, and its key is held: {why}")),
    }
}

/// When, with which status, and at which attempt.
fn delivered(told: &Told) -> String {
    let with = told.status.map_or_else(String::new, |status| format!(" with {status}"));
    let again = if told.redrive { ", wanted again" } else { "" };
    format!("delivered {}{with}, {}{again}", moment(told.at), at_attempt(told.attempt))
}

/// When, and after which attempt, if its last one failed then.
fn expired(told: &Told) -> String {
    let after = if told.attempt == 0 { String::new() } else { format!(", {}", at_attempt(told.attempt)) };
    format!("expired {}{after}: it had waited for as long as max_age allows", moment(told.at))
}

/// The same of a dead letter, and why it is one.
fn given_up(told: &Told) -> String {
    let why = told.reason.as_ref().map_or_else(String::new, |why| format!(": {why}"));
    let which = if told.attempt == 0 { String::new() } else { format!(", {}", at_attempt(told.attempt)) };
    format!("a dead letter since {}{which}{why}", moment(told.at))
}

fn at_attempt(number: u32) -> String {
    if number == 1 { "at the first attempt".to_owned() } else { format!("at attempt {number}") }
}

async fn settled(
    stores: &Stores,
    event: &LoggedEvent,
    name: &DestinationName,
    attempts: &[Told],
) -> Result<(Became, String), StoreError> {
    let is_letter = match stores.dead_letters.event(event.partition, event.offset, name).await {
        Ok(copy) => copy.is_some(),
        // Its copy is damaged, and there.
        Err(StoreError::Refused { .. }) => true,
        Err(error) => return Err(error),
    };
    let last = |fate| attempts.iter().rev().find(|told| told.fate == fate);
    Ok(match HowSettled::of(is_letter, attempts) {
        HowSettled::Delivered => {
            let told = last(Fate::Delivered);
            (Became::Delivered, told.map_or_else(|| "delivered".to_owned(), delivered))
        }
        HowSettled::DeadLetter => {
            let told = last(Fate::DeadLetter);
            (Became::DeadLetter, told.map_or_else(|| "it is a dead letter".to_owned(), given_up))
        }
        HowSettled::Expired => {
            let told = last(Fate::Expired);
            (Became::Expired, told.map_or_else(|| "expired".to_owned(), expired))
        }
        HowSettled::Discarded => (Became::Discarded, "it was a dead letter, and was discarded".to_owned()),
        HowSettled::Unknown => (Became::Settled, "it is settled; how is no longer known".to_owned()),
    })
}

/// The event at another offset of the same partition, if it can be read.
async fn at_offset(stores: &Stores, event: &LoggedEvent, offset: Offset) -> Result<Option<EventSummary>, StoreError> {
    Ok(read(stores, event.partition, offset).await?.map(|first| EventSummary::from(&*first)))
}

/// The event there, if it can be read.
async fn read(stores: &Stores, partition: Partition, offset: Offset) -> Result<Option<Arc<LoggedEvent>>, StoreError> {
    let chunk = stores.log.read(partition, offset, 1, 1).await?;
    Ok(chunk.records.into_iter().next().and_then(|record| match record {
        LogRecord::Event(event) if event.offset == offset => Some(event),
        _ => None,
    }))
}
