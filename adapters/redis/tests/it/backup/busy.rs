//! Backups that are made while events come, are delivered, fail, are given up, and are replayed.

use super::{back_up, file, put_back};
use crate::support::{event, open, server};
use laneway_domain::{
    Backoff, Behind, Commit, DestinationName, Failure, GivenUp, Key, LaneChange, LaneKey, Offset, Partition, Position,
    RetryState, Timestamp,
};
use laneway_ports::{
    DeadLetterQuery, DeadLetters, EventLog, Lease, LogRecord, MAX_DEAD_LETTER_PAGE, ProgressStore, WorkerId,
};
use laneway_redis::{RedisOptions, RedisStore};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const P: Partition = Partition(0);
/// So many that their records are read in many steps, between which they change.
const KEYS: u64 = 3000;
const EVENTS: u64 = 12_000;
/// How many are made.
const BACKUPS: u64 = 12;
/// Commits between two replays.
const REPLAY_EVERY: u64 = 10;

/// What a worker has settled, and would say of it. Event n has the key n modulo [`KEYS`].
#[derive(Default)]
struct Worker {
    position: u64,
    behind: BTreeMap<u64, u64>,
    /// How far each key ever was, and how far since the backup was begun that is being made.
    furthest: BTreeMap<u64, u64>,
    since: BTreeMap<u64, u64>,
    /// Where each was before the last commit.
    last: BTreeMap<u64, u64>,
    /// What was given up when it was attempted for the first time.
    given_up: BTreeSet<u64>,
    seed: u64,
}

impl Worker {
    fn any(&mut self, below: u64) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) % below.max(1)
    }

    fn at(&self, key: u64) -> u64 {
        self.behind.get(&key).copied().unwrap_or(self.position)
    }

    /// A backup is begun. (The last commit may be on its way: then the key stands where it was before.)
    fn begin(&mut self) {
        self.since = self.last.clone();
        for key in 0..KEYS {
            let at = self.at(key);
            let since = self.since.entry(key).or_default();
            *since = at.max(*since);
        }
    }

    /// Some hundred keys fail, go on, catch up, or have an event given up; now and then the lane goes back.
    fn step(&mut self, nth: u64) -> Commit {
        self.last = (0..KEYS).map(|key| (key, self.at(key))).collect();
        let mut change = LaneChange::default();
        let mut letters = Vec::new();
        if nth % REPLAY_EVERY == REPLAY_EVERY - 1 {
            let to = self.position - self.any(self.position / 6);
            self.position = to;
            let beyond: Vec<u64> = self.behind.iter().filter(|(_, at)| **at > to).map(|(key, _)| *key).collect();
            for key in beyond {
                self.behind.remove(&key);
                change.behind.insert(lane_key(key), None);
            }
        } else {
            let before = self.position;
            self.position = (before + 1 + self.any(EVENTS / 30)).min(EVENTS);
            for _ in 0..1000 {
                let (key, turn) = (self.any(KEYS), self.any(40));
                let next = first_from(key, self.at(key));
                match (self.behind.get(&key).copied(), turn) {
                    // It has failed at its first event since, if that was in what the lane has passed.
                    (None, _) if first_from(key, before) < self.position => {
                        self.behind.insert(key, first_from(key, before));
                    }
                    (None, _) => continue,
                    (Some(_), 0) => {
                        self.behind.remove(&key);
                    }
                    (Some(at), 1) if at < self.position => {
                        letters.push(given_up(key, at));
                        // What was settled before, and then replayed, may be settled in the copy without it.
                        if at >= self.furthest.get(&key).copied().unwrap_or_default() {
                            self.given_up.insert(at);
                        }
                        self.go_on_behind(key, at + 1);
                    }
                    (Some(_), 2) => self.go_on_behind(key, next + 1),
                    // It has failed once more.
                    (Some(_), _) => continue,
                }
                let behind = self.behind.get(&key).map(|at| Behind { offset: Offset(*at), retry: retry(*at) });
                change.behind.insert(lane_key(key), behind);
            }
        }
        for key in 0..KEYS {
            let at = self.at(key);
            for furthest in [self.furthest.entry(key).or_default(), self.since.entry(key).or_default()] {
                *furthest = at.max(*furthest);
            }
        }
        change.position = Some(Position::At(Offset(self.position)));
        let lanes = [(name(), change)].into();
        Commit { scanned: Some(Offset(self.position)), lanes, dead_letters: letters, ..Commit::default() }
    }

    fn go_on_behind(&mut self, key: u64, from: u64) {
        let next = first_from(key, from);
        if next < self.position {
            self.behind.insert(key, next);
        } else {
            self.behind.remove(&key);
        }
    }
}

fn name() -> DestinationName {
    DestinationName::new("a").unwrap()
}

fn lane_key(key: u64) -> LaneKey {
    LaneKey::Key(Key::new(&format!("k{key}")).unwrap())
}

/// The first event of the key at or behind an offset.
fn first_from(key: u64, from: u64) -> u64 {
    key + (from.saturating_sub(key)).div_ceil(KEYS) * KEYS
}

fn retry(at: u64) -> Option<RetryState> {
    at.is_multiple_of(2).then(|| Backoff::note(None, Failure::new(Timestamp::from_millis(at), "503")))
}

fn given_up(key: u64, at: u64) -> GivenUp {
    let retry = Backoff::note(None, Failure::new(Timestamp::from_millis(at), "503"));
    GivenUp {
        destination: name(),
        offset: Offset(at),
        key: lane_key(key),
        at: Timestamp::from_millis(at),
        reason: "gave up".into(),
        retry,
    }
}

async fn letters(store: &RedisStore) -> BTreeSet<u64> {
    let mut query = DeadLetterQuery { most: MAX_DEAD_LETTER_PAGE, ..DeadLetterQuery::default() };
    let mut found = BTreeSet::new();
    loop {
        let page = store.list(&query).await.unwrap();
        let Some(last) = page.last() else { return found };
        query.after = Some((last.partition, last.given_up.offset, last.given_up.destination.clone()));
        found.extend(page.iter().map(|letter| letter.given_up.offset.0));
    }
}

/// What the copy calls settled was settled, whenever each step of it was made, and what was given up is a dead letter.
async fn check(store: &RedisStore, furthest: &BTreeMap<u64, u64>, given_up: &BTreeSet<u64>) -> (usize, usize) {
    let progress = store.load(P).await.unwrap();
    let lane = &progress.lanes[&name()];
    let letters = letters(store).await;
    let mut settled_letters = 0;
    for key in 0..KEYS {
        let stands =
            lane.behind.get(&lane_key(key)).map_or(lane.position.offset(progress.scanned), |behind| behind.offset);
        assert!(stands.0 <= furthest[&key], "key {key} stands at {stands}, and was never beyond {}", furthest[&key]);
        for at in (key..EVENTS).step_by(usize::try_from(KEYS).unwrap()) {
            if at < stands.0 && given_up.contains(&at) {
                assert!(letters.contains(&at), "{at} was given up, and is settled in the copy, and no dead letter");
                settled_letters += 1;
            }
        }
    }
    (settled_letters, lane.behind.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_copy_calls_settled_was_settled_however_much_changes_while_it_is_made() {
    let old = server().await;
    let options = RedisOptions { tail_bytes: 0, ..RedisOptions::new(old.url(), 1) };
    let store = Arc::new(open(&options).await);
    for n in (0..EVENTS).step_by(500) {
        let events = (n..n + 500).map(|n| event(&format!("e{n}"), &format!("k{}", n % KEYS))).collect();
        assert!(store.append(events).await.iter().all(Result::is_ok));
    }
    let lease = store.claim(P, &WorkerId("w".into()), Duration::from_secs(3600)).await.unwrap().unwrap();
    let worker = Worker { seed: 7, ..Worker::default() };
    let (worker, commits) = (Arc::new(Mutex::new(worker)), Arc::new(AtomicU64::default()));
    let stop = Arc::new(AtomicBool::default());
    let working = tokio::spawn(work(store.clone(), lease, worker.clone(), commits.clone(), stop.clone()));
    while commits.load(Ordering::SeqCst) < 60 {
        tokio::task::yield_now().await;
    }
    let (folder, _) = file();
    let mut made = Vec::new();
    for n in 0..BACKUPS {
        let before = commits.load(Ordering::SeqCst);
        worker.lock().unwrap().begin();
        let to = folder.path().join(format!("{n}"));
        back_up(&options, &to).await.unwrap();
        let worker = worker.lock().unwrap();
        made.push((to, worker.since.clone(), worker.given_up.clone()));
        assert!(commits.load(Ordering::SeqCst) > before + 2, "nothing has changed meanwhile");
    }
    stop.store(true, Ordering::SeqCst);
    working.await.unwrap();
    let (mut letters, mut behind) = (0, 0);
    for (from, furthest, given_up) in made {
        let new = server().await;
        let into = RedisOptions { url: new.url(), ..options.clone() };
        put_back(&into, &from).await.unwrap();
        let found = check(&open(&into).await, &furthest, &given_up).await;
        (letters, behind) = (letters + found.0, behind + found.1);
    }
    assert!(letters > 100 && behind > 4000, "{letters}, {behind}");
}

async fn work(
    store: Arc<RedisStore>,
    lease: Lease,
    worker: Arc<Mutex<Worker>>,
    commits: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
) {
    while !stop.load(Ordering::SeqCst) {
        let commit = worker.lock().unwrap().step(commits.load(Ordering::SeqCst));
        store.commit(&lease, &commit).await.unwrap();
        commits.fetch_add(1, Ordering::SeqCst);
    }
}

/// Events come, and old ones that everybody has settled are trimmed: the copy has all that was acknowledged before it was
/// begun, or what is settled of it, nothing of what came later is missing in between, and nothing is told as damage.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_has_all_that_was_acknowledged_before_while_events_come_and_others_are_trimmed() {
    let old = server().await;
    let options = RedisOptions { tail_bytes: 0, ..RedisOptions::new(old.url(), 1) };
    let store = Arc::new(open(&options).await);
    let append = async |store: &RedisStore, from: u64| {
        let events = (from..from + 250).map(|n| event(&format!("e{n}"), "k")).collect();
        assert!(store.append(events).await.iter().all(Result::is_ok));
        from + 250
    };
    let mut there = 0;
    for _ in 0..40 {
        there = append(&store, there).await;
    }
    let lease = store.claim(P, &WorkerId("w".into()), Duration::from_secs(3600)).await.unwrap().unwrap();
    let (stop, appended) = (Arc::new(AtomicBool::default()), Arc::new(AtomicU64::new(there)));
    let coming = tokio::spawn({
        let (store, stop, appended) = (store.clone(), stop.clone(), appended.clone());
        async move {
            let mut settled = 0;
            while !stop.load(Ordering::SeqCst) {
                let there = append(&store, appended.load(Ordering::SeqCst)).await;
                appended.store(there, Ordering::SeqCst);
                settled = (settled + 400).min(there - 9000);
                let lane = LaneChange { position: Some(Position::Shared), ..LaneChange::default() };
                let lanes = [(name(), lane)].into();
                let commit = Commit { scanned: Some(Offset(settled)), lanes, ..Commit::default() };
                store.commit(&lease, &commit).await.unwrap();
                store.trim(P, Timestamp::MAX, 500).await.unwrap();
            }
        }
    });
    let (folder, _) = file();
    let mut made = Vec::new();
    for n in 0..4 {
        let to = folder.path().join(format!("{n}"));
        let before = appended.load(Ordering::SeqCst);
        let report = back_up(&options, &to).await.unwrap();
        assert_eq!(report.findings, Vec::<String>::new());
        made.push((to, before));
    }
    stop.store(true, Ordering::SeqCst);
    coming.await.unwrap();
    for (from, before) in made {
        let new = server().await;
        let into = RedisOptions { url: new.url(), ..options.clone() };
        put_back(&into, &from).await.unwrap();
        let store = open(&into).await;
        let (bounds, progress) = (store.bounds(P).await.unwrap(), store.load(P).await.unwrap());
        assert!(bounds.end.0 >= before && progress.scanned <= bounds.end, "{bounds:?}, {before}");
        assert!(bounds.start <= progress.scanned, "{bounds:?}, {}", progress.scanned);
        let (mut next, mut from) = (bounds.start.0, bounds.start);
        while from < bounds.end {
            let chunk = store.read(P, from, 1000, usize::MAX).await.unwrap();
            for record in &chunk.records {
                let LogRecord::Event(event) = record else { panic!("{record:?}") };
                assert_eq!((event.offset.0, event.event.id.as_str()), (next, &*format!("e{next}")));
                next += 1;
            }
            from = chunk.next;
        }
        assert_eq!(next, bounds.end.0);
    }
}
