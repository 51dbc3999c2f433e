//! What an operator sees: a snapshot of every destination, as plain data.

use crate::destination::DestinationName;
use crate::lane_key::LaneKey;
use crate::partition::{Offset, Partition};
use crate::replay::{ReplayId, ReplayOrder, ReplayStatus};
use crate::tenant::Tenant;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

mod need;
mod pending;
#[cfg(test)]
mod tests;

pub use need::{Need, Urgency};
pub use pending::PendingIs;

/// The most blocked keys that a report lists per destination; their number is always exact.
pub const MAX_LISTED_KEYS: usize = 100;

/// What [`DestinationStatus::paused`] says of a destination that the configuration pauses.
pub const PAUSED_IN_CONFIGURATION: &str = "paused in the configuration";

/// How [`DestinationStatus::paused`] begins of a destination that an operator pauses.
pub const PAUSED_BY_OPERATOR: &str = "paused by an operator";

/// How a pause begins that not all workers know of.
const ON_WORKER: &str = "on worker ";

/// Who pauses a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PausedBy {
    /// Its settings.
    Configuration,
    /// An operator.
    Operator,
    /// Laneway itself: the receiver is gone, say, or an outage took too long.
    Laneway,
}

/// Every destination of one worker process, or of all that share a store. Moments are in milliseconds since the Unix
/// epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusReport {
    /// When the snapshot was taken.
    pub at: Timestamp,
    /// The partitions that are worked on.
    pub partitions: Vec<Partition>,
    /// The destinations, by name.
    pub destinations: Vec<DestinationStatus>,
    /// In a report on all workers that share a store: who works on what, by their ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workers: Vec<WorkerStatus>,
    /// Which processes have the store open, if processes can share it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub processes: Vec<ProcessStatus>,
    /// What is missing here, and why: for people. Empty if this is all that there is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub incomplete: Vec<String>,
    /// Whether numbers are missing too: of a worker, a partition or a destination. Where only lists of blocked keys
    /// were cut, all of them are there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lacks_numbers: bool,
}

/// What one worker process works on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerStatus {
    /// Its id.
    pub worker: String,
    /// Its partitions.
    pub partitions: Vec<Partition>,
}

/// A process that has the store open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessStatus {
    /// Its name; that of a worker is its id.
    pub process: String,
    /// What it is there for: `ingest`, `worker`, `serve`, or `tool`.
    pub role: String,
    /// The release of Laneway that it runs.
    pub release: String,
}

/// One destination, over all partitions that the report is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DestinationStatus {
    /// Its name.
    pub name: DestinationName,
    /// Events not settled yet. One that is given up is among them until its dead letter is stored.
    pub pending: u64,
    /// Events settled without being delivered, since they had waited for as long as they may
    /// ([`crate::Destination::max_age`]); as far as the destination's progress reaches back. 0 also of a worker of a
    /// release that does not tell it.
    #[serde(default)]
    pub expired: u64,
    /// Whether `pending` is exact. While a lane reads behind the others, it counts every event
    /// that it has yet to look at, wanted or not.
    pub pending_exact: bool,
    /// Whether more may wait than `pending` says: data of the store was lost, or it was put back from a backup, while
    /// events waited, and it is not known how many there were before that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pending_at_least: bool,
    /// No event that waits was accepted before this moment. `None` if none waits, or if it was not found out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_accepted_at: Option<Timestamp>,
    /// Where in each partition the first unsettled event is, or where the lane has yet to look. Only within the
    /// process: what was accepted there is [`DestinationStatus::oldest_accepted_at`].
    #[serde(skip)]
    pub waiting_from: Vec<(Partition, Offset)>,
    /// How many more events wait than a minute ago, by what has changed over the last one or two: deliveries minus
    /// arrivals, the other way round. `None` if nothing waits, or it is too early to tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_change_per_minute: Option<i64>,
    /// When nothing will wait any more, if it goes on like this. `None` if it does not become fewer, or is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caught_up_in_seconds: Option<u64>,
    /// Attempts in flight now.
    pub in_flight: u64,
    /// Events delivered within about the last [`crate::RECENTLY`] (10 s).
    #[serde(default)]
    pub delivered_recently: u64,
    /// Attempts that failed within the same time, whatever their events' retries have come to since: each event that
    /// was tried and not delivered counts once an attempt. 0 also of a worker of a release that does not tell it.
    #[serde(default)]
    pub failed_recently: u64,
    /// Keys that are recorded as behind: they failed, take long, or have much waiting.
    pub keys_behind: u64,
    /// Those of them whose first unsettled event failed.
    pub blocked_keys: u64,
    /// Some of them, at most [`MAX_LISTED_KEYS`].
    pub blocked: Vec<BlockedKey>,
    /// The breaker.
    pub breaker: BreakerStatus,
    /// Why it is paused, if it is.
    pub paused: Option<String>,
    /// Since when it is paused. `None` also where nobody wrote it down: the configuration pauses it, say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_since: Option<Timestamp>,
    /// Whether it is in the configuration. One that left it keeps its progress.
    pub configured: bool,
    /// What is delivered to it once more, and what was, by their ids. `pending` counts nothing of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replays: Vec<ReplayStatus>,
}

/// What the breaker of a destination lets through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "state")]
pub enum BreakerStatus {
    /// Everything.
    Closed,
    /// One probe at a time.
    Open {
        /// Since when.
        since: Timestamp,
        /// When the next probe is due.
        next_probe: Timestamp,
    },
}

/// A key that waits for its first unsettled event to be delivered or given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockedKey {
    /// The key, as [`LaneKey`] writes itself: `key:…`, `event:…` or `all`.
    pub key: String,
    /// The partition it is in.
    pub partition: Partition,
    /// The failed event.
    pub head: Offset,
    /// Attempts at it so far.
    pub attempts: u32,
    /// When the first of them failed.
    pub since: Timestamp,
    /// When the next one is due, at the earliest: not before the next probe while the breaker is open. `None` when the
    /// key is held.
    pub next_attempt: Option<Timestamp>,
    /// What went wrong last.
    pub last_error: String,
}

impl StatusReport {
    /// The report on all workers that share a store, from what each says of itself. Pending events,
    /// keys behind and attempts add up; of a breaker the worst is told, and a destination is paused
    /// if any worker has paused it. Where not all say the same, the worker is named that says why.
    #[must_use]
    pub fn of_all(reports: impl IntoIterator<Item = (String, Self)>) -> Self {
        let mut all = Self::default();
        let mut destinations: BTreeMap<DestinationName, DestinationStatus> = BTreeMap::new();
        let mut workers = BTreeMap::new();
        let mut pauses: BTreeMap<DestinationName, Vec<(String, String)>> = BTreeMap::new();
        for (worker, report) in reports {
            all.at = all.at.max(report.at);
            all.partitions.extend(&report.partitions);
            all.lacks_numbers |= report.lacks_numbers;
            all.incomplete.extend(report.incomplete.into_iter().map(|what| format!("worker {worker}: {what}")));
            for status in &report.destinations {
                if let Some(why) = &status.paused {
                    pauses.entry(status.name.clone()).or_default().push((worker.clone(), why.clone()));
                }
            }
            workers.insert(worker, report.partitions);
            for status in report.destinations {
                match destinations.get_mut(&status.name) {
                    Some(known) => known.add(status),
                    None => drop(destinations.insert(status.name.clone(), status)),
                }
            }
        }
        for (name, whys) in pauses {
            let (worker, why) = &whys[0];
            let all_agree = whys.len() == workers.len() && whys.iter().all(|(_, other)| other == why);
            if let Some(status) = destinations.get_mut(&name).filter(|_| !all_agree) {
                status.paused = Some(format!("{ON_WORKER}{worker}: {why}"));
            }
        }
        all.partitions.sort_unstable();
        all.partitions.dedup();
        all.workers = workers.into_iter().map(|(worker, partitions)| WorkerStatus { worker, partitions }).collect();
        all.destinations = destinations.into_values().collect();
        all
    }

    /// What a tenant sees of a report that has these destinations: its own. Who works on what, who does not answer, and
    /// what is missing because of that, is the operator's business.
    #[must_use]
    pub fn of_tenant<'a>(
        tenant: &Tenant,
        at: Timestamp,
        destinations: impl IntoIterator<Item = &'a DestinationStatus>,
    ) -> Self {
        let own = destinations.into_iter().filter(|status| status.name.is_of(Some(tenant)));
        Self { at, destinations: own.map(DestinationStatus::without_workers).collect(), ..Self::default() }
    }

    /// Lists at most `most` blocked keys per destination. The numbers stay exact.
    pub fn shorten(&mut self, most: usize) {
        for destination in &mut self.destinations {
            destination.blocked.truncate(most);
        }
    }
}

impl DestinationStatus {
    /// A destination where nothing waits, nothing is under way and nothing has failed.
    #[must_use]
    pub const fn idle(name: DestinationName, configured: bool) -> Self {
        Self {
            name,
            pending: 0,
            expired: 0,
            pending_exact: true,
            pending_at_least: false,
            oldest_accepted_at: None,
            pending_change_per_minute: None,
            caught_up_in_seconds: None,
            waiting_from: Vec::new(),
            in_flight: 0,
            delivered_recently: 0,
            failed_recently: 0,
            keys_behind: 0,
            blocked_keys: 0,
            blocked: Vec::new(),
            breaker: BreakerStatus::Closed,
            paused: None,
            paused_since: None,
            configured,
            replays: Vec::new(),
        }
    }

    /// Why it is paused, without the worker that says so: one is named where not all of them say the same.
    fn why_paused(&self) -> Option<&str> {
        let paused = self.paused.as_deref()?;
        Some(paused.strip_prefix(ON_WORKER).and_then(|rest| rest.split_once(": ")).map_or(paused, |(_, why)| why))
    }

    /// The same for somebody who is to learn nothing of workers.
    fn without_workers(&self) -> Self {
        Self { paused: self.why_paused().map(str::to_owned), ..self.clone() }
    }

    /// Who pauses it, if anybody does.
    #[must_use]
    pub fn paused_by(&self) -> Option<PausedBy> {
        Some(match self.why_paused()? {
            PAUSED_IN_CONFIGURATION => PausedBy::Configuration,
            why if why.starts_with(PAUSED_BY_OPERATOR) => PausedBy::Operator,
            _ => PausedBy::Laneway,
        })
    }

    /// What waits changes by so many events a minute.
    pub(crate) fn set_pending_change(&mut self, a_minute: i64) {
        self.pending_change_per_minute = Some(a_minute);
        let falls_by = u64::try_from(a_minute.saturating_neg()).ok().filter(|falls| *falls > 0);
        self.caught_up_in_seconds = falls_by.map(|falls| self.pending.saturating_mul(60).div_ceil(falls));
    }

    /// Of the partition whose log ends at `end`, everything below `from` is settled.
    pub(crate) fn waits_from(&mut self, partition: Partition, from: Offset, end: Offset) {
        if from < end {
            self.waiting_from.push((partition, from));
        }
    }

    /// Adds where a replay is in some partitions.
    pub(crate) fn add_replay(&mut self, replay: ReplayStatus) {
        match self.replays.binary_search_by(|known| known.id.cmp(&replay.id)) {
            Ok(at) => self.replays[at].add(replay),
            Err(at) => self.replays.insert(at, replay),
        }
    }

    /// While the breaker is open nothing is attempted before its next probe, whatever the keys' own backoffs say.
    pub(crate) fn wait_for_probe(&mut self, next_probe: Timestamp) {
        for key in &mut self.blocked {
            key.next_attempt = key.next_attempt.map(|at| at.max(next_probe));
        }
    }

    /// Adds what another worker says of the same destination.
    fn add(&mut self, other: Self) {
        let waits = |status: &Self| status.pending > 0;
        // Of a worker where nothing waits nothing changes, as far as it is about the others.
        let change = match (self.pending_change_per_minute, other.pending_change_per_minute) {
            (Some(a), Some(b)) => Some(a.saturating_add(b)),
            (Some(a), None) if !waits(&other) => Some(a),
            (None, Some(b)) if !waits(self) => Some(b),
            _ => None,
        };
        self.pending = self.pending.saturating_add(other.pending);
        (self.pending_change_per_minute, self.caught_up_in_seconds) = (None, None);
        if let Some(change) = change {
            self.set_pending_change(change);
        }
        self.pending_exact &= other.pending_exact;
        self.pending_at_least |= other.pending_at_least;
        self.expired = self.expired.saturating_add(other.expired);
        self.oldest_accepted_at = self.oldest_accepted_at.into_iter().chain(other.oldest_accepted_at).min();
        self.waiting_from.extend(other.waiting_from);
        self.in_flight = self.in_flight.saturating_add(other.in_flight);
        self.delivered_recently = self.delivered_recently.saturating_add(other.delivered_recently);
        self.failed_recently = self.failed_recently.saturating_add(other.failed_recently);
        self.keys_behind = self.keys_behind.saturating_add(other.keys_behind);
        self.blocked_keys = self.blocked_keys.saturating_add(other.blocked_keys);
        self.blocked.extend(other.blocked);
        self.blocked.sort_by(|a, b| (a.since, a.partition, &a.key).cmp(&(b.since, b.partition, &b.key)));
        self.blocked.truncate(MAX_LISTED_KEYS);
        self.breaker = std::mem::replace(&mut self.breaker, BreakerStatus::Closed).worse_of(other.breaker);
        if self.paused.is_none() {
            (self.paused, self.paused_since) = (other.paused, other.paused_since);
        } else if self.paused == other.paused {
            self.paused_since = self.paused_since.into_iter().chain(other.paused_since).min();
        }
        self.configured |= other.configured;
        for replay in other.replays {
            self.add_replay(replay);
        }
    }
}

impl BreakerStatus {
    /// Open is worse than closed, and open for longer is worse; the next probe is the first of any.
    fn worse_of(self, other: Self) -> Self {
        match (self, other) {
            (Self::Open { since: a, next_probe: x }, Self::Open { since: b, next_probe: y }) => {
                Self::Open { since: a.min(b), next_probe: x.min(y) }
            }
            (open @ Self::Open { .. }, Self::Closed) | (Self::Closed, open) => open,
        }
    }
}

/// A key at which a destination is blocked, as an operator means it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyAt {
    /// The key. Of events that have none it is unique in its partition only: each has an event 17, and a strict
    /// destination is blocked at `all` in each of them.
    pub key: LaneKey,
    /// In which partition; `None`: in whichever.
    pub partition: Option<Partition>,
    /// Only while this is the failed event: the key may have gone on since the operator looked at it.
    pub head: Option<Offset>,
}

impl KeyAt {
    /// Whether it names one key of a store with so many partitions.
    #[must_use]
    pub const fn is_one_key(&self, partitions: u32) -> bool {
        partitions <= 1 || self.partition.is_some() || self.key.key().is_some()
    }
}

impl From<LaneKey> for KeyAt {
    /// Wherever it is.
    fn from(key: LaneKey) -> Self {
        Self { key, partition: None, head: None }
    }
}

impl std::fmt::Display for KeyAt {
    /// As an operator would say it: `event:17 at 3:17`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.key)?;
        match (self.partition, self.head) {
            (None, None) => Ok(()),
            (Some(partition), None) => write!(f, " in partition {partition}"),
            (None, Some(head)) => write!(f, " while it is blocked at the event {head}"),
            (Some(partition), Some(head)) => write!(f, " at {partition}:{head}"),
        }
    }
}

/// What an operator can tell a worker to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Attempt a key's failed event now, whatever its backoff says; also releases a held key. If an attempt is under
    /// way and fails, another one follows at once.
    RetryKey {
        /// At which destination.
        destination: DestinationName,
        /// Which key; where it names no place, wherever the key is blocked.
        key: KeyAt,
    },
    /// Give a key's failed event up now: it becomes a dead letter, and the key goes on. If an attempt is under way,
    /// that happens when it fails; if it delivers, there is nothing to give up. One event, and no more: where the key
    /// is blocked at several, the one that is not of a replay.
    SkipKey {
        /// At which destination.
        destination: DestinationName,
        /// Which key.
        key: KeyAt,
    },
    /// End a pause that Laneway itself has made (the receiver was gone, an outage too long), and
    /// close the breaker.
    Resume {
        /// Which destination.
        destination: DestinationName,
    },
    /// Let go of a destination that left the configuration, once the store has forgotten it.
    Forget {
        /// Which destination.
        destination: DestinationName,
    },
    /// Deliver again, in order, what the destination wants from here on.
    Replay {
        /// Which destination.
        destination: DestinationName,
        /// From where on, in each of these partitions.
        from: BTreeMap<Partition, Offset>,
    },
    /// Deliver events once more that were settled, in the order of their keys.
    BeginReplay {
        /// To which destination.
        destination: DestinationName,
        /// What it is called.
        replay: ReplayId,
        /// Which events.
        order: Box<ReplayOrder>,
    },
    /// Deliver no more of a replay, and forget it.
    CancelReplay {
        /// Of which destination.
        destination: DestinationName,
        /// Which.
        replay: ReplayId,
    },
}

impl std::fmt::Display for Command {
    /// As an operator would say it: `retry the key key:order-7 at billing`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::RetryKey { destination, key } => write!(f, "retry the key {key} at {destination}"),
            Self::SkipKey { destination, key } => write!(f, "skip the failed event of the key {key} at {destination}"),
            Self::Resume { destination } => write!(f, "resume {destination}"),
            Self::Forget { destination } => write!(f, "forget {destination}"),
            Self::BeginReplay { destination, replay, .. } => write!(f, "begin the replay {replay} to {destination}"),
            Self::CancelReplay { destination, replay } => write!(f, "cancel the replay {replay} to {destination}"),
            Self::Replay { destination, from } => {
                write!(f, "replay to {destination}, from")?;
                let mut between = " ";
                for (partition, offset) in from {
                    write!(f, "{between}{partition}:{offset}")?;
                    between = ", ";
                }
                Ok(())
            }
        }
    }
}
