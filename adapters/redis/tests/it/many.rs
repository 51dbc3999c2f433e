//! Many keys behind and many dead letters: more than one call takes, and nothing is left out.

use crate::support::{new_store, open, server};
use laneway_domain::{
    Backoff, Behind, Commit, DestinationName, Failure, GivenUp, Key, LaneChange, LaneKey, Offset, Partition,
    PartitionProgress, Position, ReplayChange, ReplayId, ReplaySpec, Timestamp,
};
use laneway_ports::{DeadLetterCount, DeadLetterQuery, DeadLetters, EventLog, ProgressStore, Selection, WorkerId};
use laneway_redis::RedisStore;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::sync::Notify;

const P: Partition = Partition(0);
const LONG: Duration = Duration::from_secs(3600);
/// More than any page, and not a multiple of one.
const MANY: u64 = 3333;

fn name(name: &str) -> DestinationName {
    DestinationName::new(name).unwrap()
}

async fn filled(store: &RedisStore, count: u64) {
    for from in (0..count).step_by(500) {
        let batch =
            (from..count.min(from + 500)).map(|n| crate::support::event(&format!("e{n}"), &format!("k{}", n % 2)));
        assert!(store.append(batch.collect()).await.iter().all(Result::is_ok));
    }
}

fn behind(n: u64) -> Behind {
    let failure = || Failure::new(Timestamp::from_millis(u64::MAX - n), "no \"answer\"\n");
    Behind { offset: Offset(n), retry: n.is_multiple_of(3).then(|| Backoff::note(None, failure())) }
}

/// In one commit, as at a shutdown, when what is still on track is recorded key by key.
#[tokio::test]
async fn any_number_of_keys_falls_behind_moves_and_catches_up_in_one_commit() {
    let server = server().await;
    let options = new_store(&server.url(), 1);
    let store = open(&options).await;
    filled(&store, MANY).await;
    let lease = store.claim(P, &WorkerId("w".into()), LONG).await.unwrap().unwrap();
    let key = |n| LaneKey::Key(Key::new(&format!("customer-{n}")).unwrap());
    let mut expected: BTreeMap<LaneKey, Behind> = (0..MANY).map(|n| (key(n), behind(n))).collect();
    let change = |changes: BTreeMap<LaneKey, Option<Behind>>| Commit {
        lanes: [(name("a"), LaneChange { behind: changes, ..LaneChange::default() })].into(),
        ..Commit::default()
    };
    let all = expected.iter().map(|(key, behind)| (key.clone(), Some(behind.clone()))).collect();
    store.commit(&lease, &change(all)).await.unwrap();
    assert_eq!(store.load(P).await.unwrap().lanes[&name("a")].behind, expected);

    // Every second one catches up; the others move, and now fail or no longer do.
    let moved = (0..MANY).map(|n| (key(n), (n % 2 == 1).then(|| behind(MANY - 1 - n))));
    store.commit(&lease, &change(moved.collect())).await.unwrap();
    expected = (0..MANY).filter(|n| n % 2 == 1).map(|n| (key(n), behind(MANY - 1 - n))).collect();
    assert_eq!(store.load(P).await.unwrap().lanes[&name("a")].behind, expected);
}

/// Read in pages while commits go on: it is the progress of one moment, or there is none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_onlooker_never_sees_the_progress_of_two_moments() {
    let server = server().await;
    let options = new_store(&server.url(), 1);
    let (store, onlooker) = (open(&options).await, open(&options).await);
    filled(&store, 2).await;
    let lease = store.claim(P, &WorkerId("w".into()), LONG).await.unwrap().unwrap();
    // All keys stand at the same offset, at any moment.
    let all_at = |offset: u64| {
        let behind = Behind { offset: Offset(offset), retry: None };
        let key = |n| LaneKey::Key(Key::new(&format!("customer-{n}")).unwrap());
        let keys = (0..MANY).map(|n| (key(n), Some(behind.clone()))).collect();
        let change = LaneChange { behind: keys, ..LaneChange::default() };
        Commit { lanes: [(name("a"), change)].into(), ..Commit::default() }
    };
    let commits = [all_at(0), all_at(1)];
    store.commit(&lease, &commits[0]).await.unwrap();
    let looked = Notify::new();
    let committing = async {
        for (nth, commit) in commits.iter().cycle().take(60).enumerate() {
            store.commit(&lease, commit).await.unwrap();
            // Now and then the onlooker gets its turn: some looks meet a commit, and some do not.
            if nth % 4 == 3 {
                looked.notified().await;
            }
        }
    };
    let mut committing = std::pin::pin!(committing);
    let mut seen = 0;
    loop {
        tokio::select! {
            () = &mut committing => break,
            loaded = onlooker.load(P) => {
                // It may have given up: there was a commit each time.
                if let Ok(progress) = loaded {
                    one_moment(&progress);
                    seen += 1;
                }
                looked.notify_one();
            }
        }
    }
    assert!(seen > 0, "no look came to its end while commits went on");
    one_moment(&onlooker.load(P).await.unwrap());
}

fn one_moment(progress: &PartitionProgress) {
    let behind = &progress.lanes[&name("a")].behind;
    let offsets: BTreeSet<Offset> = behind.values().map(|behind| behind.offset).collect();
    assert_eq!((behind.len() as u64, offsets.len()), (MANY, 1));
}

#[tokio::test]
async fn any_number_of_dead_letters_is_listed_retried_discarded_and_forgotten() {
    let server = server().await;
    let options = new_store(&server.url(), 2);
    let store = open(&options).await;
    for partition in [0, 1] {
        let key = (0..).map(|n| format!("k{n}")).find(|key| Partition::of(key, 2) == Partition(partition)).unwrap();
        for from in (0..MANY).step_by(500) {
            let batch = (from..MANY.min(from + 500)).map(|n| crate::support::event(&format!("e{n}"), &key));
            assert!(store.append(batch.collect()).await.iter().all(Result::is_ok));
        }
        let lease = store.claim(Partition(partition), &WorkerId("w".into()), LONG).await.unwrap().unwrap();
        for destination in ["a", "b"] {
            let dead_letters = (0..MANY).map(|n| given_up(destination, n)).collect();
            store.commit(&lease, &Commit { dead_letters, ..Commit::default() }).await.unwrap();
        }
    }
    let counted = |destination, count| DeadLetterCount { destination: name(destination), count };
    assert_eq!(store.counts().await.unwrap(), [counted("a", 2 * MANY), counted("b", 2 * MANY)]);
    assert_eq!(all(&store, Selection::default()).await, 4 * MANY);
    let one = laneway_domain::EventId::new(&format!("e{}", MANY - 1)).unwrap();
    assert_eq!(all(&store, Selection { event_id: Some(one), ..Selection::default() }).await, 4);

    let of_a = Selection { destination: Some(name("a")), ..Selection::default() };
    assert_eq!(store.retry(&of_a).await.unwrap(), 2 * MANY);
    let requested = store.retry_requested(Partition(1), None, usize::MAX).await.unwrap();
    assert!(!requested.is_empty() && requested.is_sorted_by_key(|request| request.offset));
    assert_eq!(store.discard(&of_a).await.unwrap(), 2 * MANY);
    assert_eq!(store.counts().await.unwrap(), [counted("b", 2 * MANY)]);
    assert!(store.forget(&name("b")).await.unwrap());
    assert_eq!(store.counts().await.unwrap(), []);
    assert_eq!(all(&store, Selection::default()).await, 0);
    assert!(!store.forget(&name("b")).await.unwrap());
    // Nothing of them is left, under whatever name.
    let left = server.command(&["KEYS", &format!("{{{}:*dead*", options.key_prefix)]).await.unwrap();
    assert_eq!(left.items(), []);
}

/// A commit drops them in steps, each of them short; the lane's keys go beside what else Redis does.
#[tokio::test]
async fn a_destination_with_any_number_of_dead_letters_and_keys_is_dropped_in_bounded_steps() {
    let server = server().await;
    let store = open(&new_store(&server.url(), 1)).await;
    filled(&store, MANY).await;
    let lease = store.claim(P, &WorkerId("w".into()), LONG).await.unwrap().unwrap();
    let key = |n| LaneKey::Key(Key::new(&format!("customer-{n}")).unwrap());
    for destination in ["a", "b"] {
        let keys = (0..MANY).map(|n| (key(n), Some(behind(n)))).collect();
        let lanes = [(name(destination), LaneChange { behind: keys, ..LaneChange::default() })].into();
        let dead_letters = (0..MANY).map(|n| given_up(destination, n)).collect();
        store.commit(&lease, &Commit { lanes, dead_letters, ..Commit::default() }).await.unwrap();
    }
    server.command(&["CONFIG", "RESETSTAT"]).await.unwrap();
    let commit = Commit { dropped: [name("a")].into(), scanned: Some(Offset(7)), ..Commit::default() };
    store.commit(&lease, &commit).await.unwrap();
    let stats = server.command(&["INFO", "commandstats"]).await.unwrap().text();
    let calls = stats.split("cmdstat_fcall:calls=").nth(1).unwrap().split(',').next().unwrap();
    // Each takes 500 at most; the commit is tried before them, and made behind them.
    assert_eq!(calls.parse::<u64>().unwrap(), MANY / 500 + 1 + 2);
    let progress = store.load(P).await.unwrap();
    assert_eq!(progress.lanes.keys().collect::<Vec<_>>(), [&name("b")]);
    assert_eq!((progress.lanes[&name("b")].behind.len() as u64, progress.scanned), (MANY, Offset(7)));
    let left = store.counts().await.unwrap();
    assert_eq!(left, [DeadLetterCount { destination: name("b"), count: MANY }]);
}

fn replays(destination: &str, changes: impl IntoIterator<Item = (&'static str, Option<ReplayChange>)>) -> Commit {
    let changes = changes.into_iter().map(|(id, change)| (ReplayId::new(id).unwrap(), change)).collect();
    let lane = LaneChange { position: Some(Position::Shared), replays: changes, ..LaneChange::default() };
    Commit { lanes: [(name(destination), lane)].into(), ..Commit::default() }
}

/// A replay that begins, with so many keys behind.
fn begins(keys: u64) -> Option<ReplayChange> {
    let (asked_at, selection) = (Timestamp::from_millis(7), laneway_domain::Selection::default());
    let spec = ReplaySpec { asked_at, from: Offset(0), until: Offset(MANY), selection, first: false };
    let key = |n| LaneKey::Key(Key::new(&format!("customer-{n}")).unwrap());
    let behind = (0..keys).map(|n| (key(n), Some(behind(n)))).collect();
    Some(ReplayChange { made: Some(spec), mark: None, behind })
}

/// How often each command was called since the statistics were reset.
async fn calls_of(server: &laneway_servers::redis::RedisServer, command: &str) -> u64 {
    let stats = server.command(&["INFO", "commandstats"]).await.unwrap().text();
    let calls = stats.split(&format!("cmdstat_{command}:calls=")).nth(1).map(|rest| rest.split(',').next().unwrap());
    calls.map_or(0, |calls| calls.parse().unwrap())
}

#[tokio::test]
async fn a_replay_with_any_number_of_keys_beside_another_ends_in_bounded_steps() {
    let server = server().await;
    let store = open(&new_store(&server.url(), 1)).await;
    filled(&store, MANY).await;
    let lease = store.claim(P, &WorkerId("w".into()), LONG).await.unwrap().unwrap();
    let all = [("ends", begins(MANY)), ("goes-on", begins(MANY)), ("anew", begins(MANY)), ("small", begins(0))];
    store.commit(&lease, &replays("a", all)).await.unwrap();
    let left = async || {
        let progress = store.load(P).await.unwrap();
        let of = &progress.lanes[&name("a")].replays;
        of.iter().map(|(id, replay)| (id.as_str().to_owned(), replay.behind.len() as u64)).collect::<Vec<_>>()
    };
    let of = |left: &[(&str, u64)]| left.iter().map(|(id, keys)| ((*id).to_owned(), *keys)).collect::<Vec<_>>();
    // One that is cancelled, one that begins anew, and one that comes to its end: all others' keys stay.
    for (change, goes, expected) in [
        (("ends", None), MANY, of(&[("anew", MANY), ("goes-on", MANY), ("small", 0)])),
        (("anew", begins(1)), MANY, of(&[("anew", 1), ("goes-on", MANY), ("small", 0)])),
        (("small", None), 0, of(&[("anew", 1), ("goes-on", MANY)])),
    ] {
        server.command(&["CONFIG", "RESETSTAT"]).await.unwrap();
        store.commit(&lease, &replays("a", [change])).await.unwrap();
        let (steps, removals) = (calls_of(&server, "fcall").await, calls_of(&server, "zrem").await);
        // A step looks at 500 keys, or a few more where the table has several in one place. (One walk of a commit over all
        // keys would be one call, and as many removals as there are keys.)
        assert!(steps > MANY / 500 && removals <= steps + 2, "{steps} steps and {removals} removals of {goes} keys");
        assert_eq!(left().await, expected);
    }
    // The last ones: with the only replay that is left, all of its keys go at once.
    store.commit(&lease, &replays("a", [("anew", None)])).await.unwrap();
    server.command(&["CONFIG", "RESETSTAT"]).await.unwrap();
    store.commit(&lease, &replays("a", [("goes-on", None)])).await.unwrap();
    assert_eq!((calls_of(&server, "hdel").await, left().await), (1, Vec::new()));
}

/// A worker that has taken a part of a replay's keys away and then ended: whoever is next must not take what is left
/// for all that was behind.
#[tokio::test]
async fn a_replay_whose_keys_were_taken_away_in_part_begins_anew() {
    let server = server().await;
    let options = new_store(&server.url(), 1);
    let store = open(&options).await;
    filled(&store, MANY).await;
    let lease = store.claim(P, &WorkerId("w".into()), LONG).await.unwrap().unwrap();
    let mut all = begins(MANY);
    all.as_mut().unwrap().mark = Some(laneway_domain::ReplayMark { number: 7, scanned: Offset(MANY), settled: 1 });
    store.commit(&lease, &replays("a", [("cancelled", all), ("other", begins(MANY))])).await.unwrap();
    let at = |what: &str| format!("{{{}:0}}:{what}", options.key_prefix);
    let own = ["log", "lease", "progress", "replays:a", "replays:a:behind", "replays:a:retry"].map(at);
    let (count, epoch) = (own.len().to_string(), lease.epoch.to_string());
    let step = ["FCALL", "laneway_clear_replay", &count].into_iter().chain(own.iter().map(String::as_str));
    let step: Vec<&str> = step.chain([&epoch, "w", "", "", "0", "cancelled", "0"]).collect();
    assert_ne!(server.command(&step).await.unwrap().text(), "0");

    let progress = store.load(P).await.unwrap();
    let replay = &progress.lanes[&name("a")].replays[&ReplayId::new("cancelled").unwrap()];
    assert!((1..MANY as usize).contains(&replay.behind.len()), "{}", replay.behind.len());
    assert_eq!((replay.mark.scanned, replay.mark.number), (Offset::ZERO, 0));
    // Nobody else may do that.
    let step: Vec<&str> = step.iter().map(|part| if *part == "w" { "other" } else { part }).collect();
    assert!(server.command(&step).await.unwrap_err().contains("LANEWAY_FENCED"));
}

/// They are read side by side, as lanes are, and each gets its own.
#[tokio::test]
async fn the_replays_of_many_destinations_are_all_loaded() {
    let server = server().await;
    let store = open(&new_store(&server.url(), 1)).await;
    filled(&store, 9).await;
    let lease = store.claim(P, &WorkerId("w".into()), LONG).await.unwrap().unwrap();
    let names: Vec<String> = (0..100).map(|n| format!("d{n}")).collect();
    let mut commit = Commit::default();
    for (keys, name) in names.iter().enumerate() {
        commit.lanes.extend(replays(name, [("r", begins(keys as u64 % 5))]).lanes);
    }
    store.commit(&lease, &commit).await.unwrap();
    let progress = store.load(P).await.unwrap();
    let found: Vec<usize> =
        names.iter().map(|of| progress.lanes[&name(of)].replays.values().map(|r| r.behind.len()).sum()).collect();
    assert_eq!(found, (0..100).map(|n| n % 5).collect::<Vec<_>>());
}

fn given_up(destination: &str, offset: u64) -> GivenUp {
    GivenUp {
        destination: name(destination),
        offset: Offset(offset),
        key: LaneKey::Event(Offset(offset)),
        at: Timestamp::from_millis(7),
        reason: "rejected".into(),
        retry: Backoff::note(None, Failure::new(Timestamp::from_millis(7), "answered 400")),
    }
}

/// How many there are, page by page, each once and in order.
async fn all(store: &RedisStore, selection: Selection) -> u64 {
    let (mut count, mut after) = (0, None);
    loop {
        let query = DeadLetterQuery { selection: selection.clone(), after: after.clone(), most: 700 };
        let page = store.list(&query).await.unwrap();
        for letter in &page {
            let place = (letter.partition, letter.given_up.offset, letter.given_up.destination.clone());
            assert!(after.as_ref().is_none_or(|after| *after < place), "{after:?} before {place:?}");
            after = Some(place);
        }
        count += page.len() as u64;
        if page.is_empty() {
            return count;
        }
    }
}
