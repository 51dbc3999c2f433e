//! Who is connected, and who goes when there is no place left.
//!
//! A connection is *idle* while no request of it is being answered; one that has yet to send its first request, or sends
//! it byte by byte, is idle too. When all places are taken and somebody comes, the longest idle connection goes, of the
//! peer that holds the most: so a peer that takes places and does nothing with them only displaces itself. If none is
//! idle, whoever comes gets one of a few places more, in which only health checks are answered.

use crate::limits::Limits;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Places beyond the limit, for health checks: several of them come at a time, and each takes a moment.
pub(crate) const HEALTH_PLACES: usize = 16;

/// Of these, the one that goes: of the peer that has the most of them, busy ones too, the longest idle. `None` if all
/// are busy. A member is a name, a peer, and for how long it was idle.
pub(crate) fn who_goes<I: Copy + Ord, P: Copy + Eq + Hash>(members: &[(I, P, Option<Duration>)]) -> Option<I> {
    let mut held: HashMap<P, usize> = HashMap::new();
    members.iter().for_each(|(_, peer, _)| *held.entry(*peer).or_default() += 1);
    let idle = members.iter().filter_map(|(name, peer, idle)| idle.map(|idle| (held.get(peer), idle, *name)));
    idle.max().map(|(_, _, name)| name)
}

/// Everybody who is connected.
pub(crate) struct Crowd {
    limit: usize,
    members: Mutex<Members>,
    /// Somebody has left.
    left: Notify,
}

#[derive(Default)]
struct Members {
    next: u64,
    all: BTreeMap<u64, (Option<IpAddr>, Arc<Activity>)>,
}

impl Crowd {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, members: Mutex::default(), left: Notify::new() })
    }

    fn lock(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until one more may come, be it for a health check only.
    pub(crate) async fn has_place(&self) {
        loop {
            let left = self.left.notified();
            if self.lock().all.len() < self.limit + HEALTH_PLACES {
                return;
            }
            left.await;
        }
    }

    /// Somebody has come. Where all places are taken, an idle one is told to go.
    pub(crate) fn enter(self: &Arc<Self>, peer: Option<IpAddr>) -> Place {
        let activity = Arc::new(Activity::default());
        let mut members = self.lock();
        let is_full = members.all.len() >= self.limit;
        let displaced = if is_full { members.idlest() } else { None };
        // It is gone in a moment; counted as gone, it is not told twice.
        if let Some((_, activity)) = displaced.and_then(|name| members.all.remove(&name)) {
            activity.go.notify_one();
        }
        let name = members.next;
        members.next += 1;
        members.all.insert(name, (peer, activity.clone()));
        Place { crowd: self.clone(), name, activity, for_health_only: is_full && displaced.is_none() }
    }
}

impl Members {
    fn idlest(&self) -> Option<u64> {
        let now = Instant::now();
        let members: Vec<_> = self.all.iter().map(|(name, (peer, one))| (*name, *peer, one.idle_for(now))).collect();
        who_goes(&members)
    }
}

/// A connection's place; left when dropped.
pub(crate) struct Place {
    crowd: Arc<Crowd>,
    name: u64,
    activity: Arc<Activity>,
    for_health_only: bool,
}

impl Place {
    pub(crate) fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }

    /// Whether it is one beyond the limit.
    pub(crate) const fn is_for_health_only(&self) -> bool {
        self.for_health_only
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.lock().all.remove(&self.name);
        self.crowd.left.notify_one();
    }
}

/// For how long a connection may do nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Without a request.
    pub(crate) idle: Duration,
    /// While nothing is taken of what is sent.
    pub(crate) stuck: Duration,
}

impl Patience {
    pub(crate) fn of(limits: &Limits) -> Self {
        Self { idle: limits.header_timeout, stuck: limits.body_timeout }
    }
}

/// What a connection does.
pub(crate) struct Activity {
    in_flight: AtomicUsize,
    /// Long answers of which a piece was given to the connection, and the next one not asked for.
    awaiting: AtomicUsize,
    moved: Mutex<Moved>,
    /// It has to make room.
    go: Notify,
}

/// When something was last done.
#[derive(Clone, Copy)]
struct Moved {
    /// Since when it has been idle, if it is.
    since: Instant,
    /// When something was last taken of what is sent.
    taken: Instant,
    /// Whether it takes nothing more now.
    is_full: bool,
}

impl Default for Activity {
    fn default() -> Self {
        let now = Instant::now();
        let moved = Mutex::new(Moved { since: now, taken: now, is_full: false });
        Self { in_flight: AtomicUsize::new(0), awaiting: AtomicUsize::new(0), moved, go: Notify::new() }
    }
}

impl Activity {
    fn moved(&self) -> MutexGuard<'_, Moved> {
        self.moved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request is being answered for as long as the guard lives.
    pub(crate) fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        InFlight { activity: self.clone(), awaits: false }
    }

    /// Something was written, or could not be because there is no room.
    pub(crate) fn wrote(&self, has_room: bool) {
        let mut moved = self.moved();
        if has_room || !moved.is_full {
            moved.taken = Instant::now();
        }
        if has_room {
            moved.since = moved.taken;
        }
        moved.is_full = !has_room;
    }

    /// For how long it has been idle; `None` while it is not.
    pub(crate) fn idle_for(&self, now: Instant) -> Option<Duration> {
        let since = self.moved().since;
        (self.in_flight.load(Ordering::Acquire) == 0).then(|| now.saturating_duration_since(since))
    }

    /// For how long nothing has been taken of what is to be sent; `None` while there is nothing, or it is not known to
    /// wait.
    fn stuck_for(&self, now: Instant) -> Option<Duration> {
        let moved = *self.moved();
        let waits = moved.is_full || self.awaiting.load(Ordering::Acquire) > 0;
        waits.then(|| now.saturating_duration_since(moved.taken))
    }

    /// How much longer it may go on like this; at most as long as either may last.
    fn rest(&self, patience: Patience) -> Duration {
        let now = Instant::now();
        match (self.stuck_for(now), self.idle_for(now)) {
            // What is on its way when all is answered may be the end of a long answer.
            (Some(stuck), _) => patience.stuck.saturating_sub(stuck),
            (None, Some(idle)) => patience.idle.saturating_sub(idle),
            (None, None) => patience.idle.min(patience.stuck),
        }
    }

    /// Resolves when it has been idle or stuck for that long, or was told to make room and is idle.
    pub(crate) async fn has_to_go(&self, patience: Patience) {
        loop {
            let rest = self.rest(patience);
            if rest.is_zero() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                () = self.go.notified() => {
                    if self.idle_for(Instant::now()).is_some() {
                        return;
                    }
                    // A request has come meanwhile; it is answered first, and then it goes.
                    self.go.notify_one();
                    tokio::task::yield_now().await;
                    if self.in_flight.load(Ordering::Acquire) > 0 {
                        tokio::time::sleep(BUSY_REST).await;
                    }
                }
            }
        }
    }
}

/// How long a connection that has to go and is busy rests before it looks again.
const BUSY_REST: Duration = Duration::from_millis(100);

/// A request under way.
pub(crate) struct InFlight {
    activity: Arc<Activity>,
    /// Whether a piece of its answer was given to the connection, and the next one not asked for.
    awaits: bool,
}

impl InFlight {
    /// Says whether it is the reader's turn: to take what the connection was given of the answer.
    pub(crate) fn awaits_reader(&mut self, awaits: bool) {
        match (self.awaits, awaits) {
            (false, true) => {
                self.activity.moved().taken = Instant::now();
                self.activity.awaiting.fetch_add(1, Ordering::AcqRel);
            }
            (true, false) => drop(self.activity.awaiting.fetch_sub(1, Ordering::AcqRel)),
            _ => {}
        }
        self.awaits = awaits;
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.awaits_reader(false);
        self.activity.moved().since = Instant::now();
        self.activity.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FOREVER: Duration = Duration::MAX;

    #[tokio::test(start_paused = true)]
    async fn a_connection_whose_reader_takes_something_stays_and_one_whose_reader_takes_nothing_goes() {
        let seconds = Duration::from_secs;
        let patience = Patience { idle: seconds(10), stuck: seconds(30) };
        let activity = Arc::new(Activity::default());
        let mut answer = activity.begin();
        let began = Instant::now();
        let reader = async {
            // Some of it every 20 seconds, also of the end of it, when the answer is no longer under way.
            for _ in 0..3 {
                answer.awaits_reader(true);
                activity.wrote(false);
                tokio::time::sleep(seconds(20)).await;
                activity.wrote(true);
                answer.awaits_reader(false);
            }
            drop(answer);
            activity.wrote(false);
            tokio::time::sleep(seconds(20)).await;
            activity.wrote(true);
            // And then nothing of another one, while it can still be written: over HTTP/2 a stream waits by itself.
            let mut answer = activity.begin();
            answer.awaits_reader(true);
            tokio::time::sleep(FOREVER).await;
        };
        tokio::select! {
            () = activity.has_to_go(patience) => {}
            () = reader => {}
        }
        assert_eq!(began.elapsed().as_secs(), 80 + 30);
    }

    #[test]
    fn the_peer_that_holds_most_loses_its_longest_idle() {
        let seconds = |n| Some(Duration::from_secs(n));
        let members =
            [(1, 'a', seconds(5)), (2, 'a', seconds(9)), (3, 'a', None), (4, 'b', seconds(100)), (5, 'b', None)];
        assert_eq!(who_goes(&members), Some(2));
        assert_eq!(who_goes(&members[2..]), Some(4), "a peer without an idle one is passed over");
        assert_eq!(who_goes(&[(1, 'a', None), (2, 'b', None)]), None);
    }

    proptest! {
        #[test]
        fn whoever_goes_is_idle_and_nobody_idle_deserves_it_more(
            members in prop::collection::vec((0_u8..5, prop::option::of(0_u64..50)), 0..30),
        ) {
            let members: Vec<_> = members
                .into_iter()
                .enumerate()
                .map(|(name, (peer, idle))| (name, peer, idle.map(Duration::from_millis)))
                .collect();
            let held = |peer: u8| members.iter().filter(|(_, other, _)| *other == peer).count();
            let goes = who_goes(&members);
            prop_assert_eq!(goes.is_some(), members.iter().any(|(_, _, idle)| idle.is_some()));
            if let Some(goes) = goes {
                let (_, peer, idle) = members[goes];
                let idle = idle.unwrap();
                for (_, other, others) in &members {
                    if let Some(others) = others {
                        prop_assert!((held(*other), *others) <= (held(peer), idle));
                    }
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_crowd_makes_room_and_only_health_checks_get_in_where_all_are_busy() {
        let crowd = Crowd::new(2);
        let peer = |n: u8| Some(IpAddr::from([10, 0, 0, n]));
        let first = crowd.enter(peer(1));
        let second = crowd.enter(peer(2));
        tokio::time::advance(Duration::from_secs(1)).await;
        let busy = second.activity().begin();
        let third = crowd.enter(peer(3));
        assert!(!third.is_for_health_only());
        // The idle one is told to go, and nobody else.
        first.activity().has_to_go(Patience { idle: FOREVER, stuck: FOREVER }).await;
        drop(first);
        let busy_too = third.activity().begin();
        assert!(crowd.enter(peer(4)).is_for_health_only());
        drop((busy, busy_too));
        assert!(!crowd.enter(peer(5)).is_for_health_only());
    }
}
