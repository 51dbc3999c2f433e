//! Everything that a store holds, there and back.

use super::{back_up, everything, file, put_back, refused};
use crate::formats::written;
use crate::support::subject::Clustered;
use crate::support::{event, open, server};
use laneway_domain::{
    Commit, DestinationName, Expiry, History, LaneChange, NewEvent, Offset, Partition, Position, Revision, Role, Roles,
    Stamp, Timestamp, TokenBook, TokenDigest, TokenName,
};
use laneway_ports::contract::Subject;
use laneway_ports::{EventLog, HistoryStore, ProgressStore, Registry, TokenStore, WorkerId};
use laneway_redis::{RedisOptions, RedisStore, RestoreOptions, restore};
use std::time::Duration;

async fn add_token(store: &RedisStore) -> TokenBook {
    let seen = store.tokens(Revision(1)).await.unwrap();
    let mut book = seen.book.unwrap();
    let revision = seen.revision.next(seen.clock);
    let stamp = Stamp { revision, at: Timestamp::from_millis(revision.0 / 1000), by: "boss".into() };
    book.create(&TokenName::new("t").unwrap(), TokenDigest([7; 32]), Roles::of([Role::Read]), &stamp).unwrap();
    assert!(store.write_tokens(seen.revision, &book).await.unwrap());
    book
}

/// Some records of history, more than one page.
async fn tell_of_attempts(store: &RedisStore) {
    let lease = store.claim(Partition(1), &WorkerId("w".into()), Duration::from_secs(60)).await.unwrap().unwrap();
    for number in 1..=150 {
        let at = Timestamp::from_millis(1_700_000_000_000 + number / 2);
        let history = History { number, at, told: Vec::new(), untold: number };
        store.commit(&lease, &Commit { history: Some(history.into()), ..Commit::default() }).await.unwrap();
    }
}

/// What the old server had and the new one has is the same, key for key, but for what a restore decides.
#[tokio::test]
async fn every_key_and_every_record_comes_back_and_the_damaged_ones_are_told() {
    let (old, new) = (server().await, server().await);
    let store = RedisStore::connect(written::options(&old.url())).await.unwrap();
    written::fill(&store).await.unwrap();
    written::damage(&old).await.unwrap();
    old.command(&["HSET", "{laneway:1}:lost", "1", "3:5"]).await.unwrap();
    add_token(&store).await;
    tell_of_attempts(&store).await;
    let (_folder, to) = file();
    let report = back_up(&written::options(&old.url()), &to).await.unwrap();
    // Four entries are damaged, and one is gone.
    assert_eq!((report.partitions, report.findings.len()), (2, 5), "{:?}", report.findings);
    assert!(report.findings.iter().any(|what| what.contains("partition 1 has no events from offset")));
    let content = written::content(&store).await.unwrap();

    let made = put_back(&written::options(&new.url()), &to).await.unwrap();
    assert_eq!(made.revoked_tokens, 1);
    let (mut before, mut after) = (everything(&old).await, everything(&new).await);
    let [stored, restored] = [&mut before, &mut after].map(|all| all.remove("{laneway}:store").unwrap().join(" "));
    assert!(stored.contains("format:entry") && restored.contains("format:entry"), "{restored}");
    for partition in 0..2 {
        assert_eq!(after.remove(&format!("{{laneway:{partition}}}:generation")), Some(vec!["2".to_owned()]));
        // Counted anew; who writes is found out by the last change.
        for all in [&mut before, &mut after] {
            all.get_mut(&format!("{{laneway:{partition}}}:progress"))
                .unwrap()
                .retain(|field| !field.contains("commits"));
        }
    }
    before.get_mut("{laneway:registry}:head").unwrap().retain(|field| !field.contains("write"));
    assert_ne!(before.remove("{laneway:tokens}:book"), after.remove("{laneway:tokens}:book"));
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    for (key, value) in before {
        assert_eq!(after[&key], value, "{key}");
    }

    let again = RedisStore::connect(written::options(&new.url())).await.unwrap();
    let mut found = written::content(&again).await.unwrap();
    // `deleted` ones may be forgotten as before.
    let expected = content;
    found["registry"]["last"] = expected["registry"]["last"].clone();
    assert_eq!(found, expected);
    let told = store.history_size(Partition(1)).await.unwrap();
    assert_eq!((told.records, again.history_size(Partition(1)).await.unwrap()), (150, told));
    assert_eq!(again.changed_since(Revision::ORIGIN).await.unwrap().forgotten, Revision::ORIGIN);
    assert!(again.tokens(Revision(1)).await.unwrap().book.unwrap().tokens().is_empty());
}

#[tokio::test]
async fn tokens_are_kept_if_that_is_said() {
    let (old, new) = (server().await, server().await);
    let store = RedisStore::connect(written::options(&old.url())).await.unwrap();
    let book = add_token(&store).await;
    let (_folder, to) = file();
    back_up(&written::options(&old.url()), &to).await.unwrap();
    let keep = RestoreOptions { keep_tokens: true };
    let made = restore(written::options(&new.url()), &to, keep, |_| ()).await.unwrap();
    assert_eq!(made.revoked_tokens, 0);
    let again = RedisStore::connect(written::options(&new.url())).await.unwrap();
    assert_eq!(again.tokens(Revision(1)).await.unwrap().book, Some(book));
}

/// On a Cluster, where the partitions lie on different nodes, and into a store beside the first one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_on_a_cluster_comes_back_under_another_prefix_and_the_first_goes_on() {
    let subject = Clustered::create(2).await;
    let (store, from) = (subject.store(), subject.options());
    written::fill(store).await.unwrap();
    // Enough that every node has some.
    let ids: Vec<NewEvent> =
        (0..300).map(|n| NewEvent { id_given: true, ..event(&format!("id-{n}"), &format!("k{n}")) }).collect();
    assert!(store.append(ids.clone()).await.iter().all(Result::is_ok));
    let (_folder, to) = file();
    let report = back_up(from, &to).await.unwrap();
    assert_eq!((report.findings, report.events), (Vec::new(), 300 + 44));
    let expected = written::content(store).await.unwrap();

    let into = subject.beside(2).await;
    put_back(&into, &to).await.unwrap();
    let restored = open(&into).await;
    assert_eq!(written::content(&restored).await.unwrap(), expected);
    let again = restored.append(ids).await;
    assert!(again.iter().all(|placed| placed.as_ref().unwrap().duplicate));
    // The first one is as it was, and knows nothing of the other.
    assert_eq!(written::content(store).await.unwrap(), expected);
    assert!(store.append(vec![event("more", "k")]).await.remove(0).unwrap().offset < Offset(1 << 40));
    let why = refused(put_back(&into, &to).await);
    assert!(why.contains("there is a store at"), "{why}");
}

#[tokio::test]
async fn an_id_is_known_for_as_long_as_it_still_was_when_the_backup_was_made() {
    let (old, new) = (server().await, server().await);
    let options = RedisOptions { duplicate_window: Duration::from_secs(600), ..RedisOptions::new(old.url(), 1) };
    let store = open(&options).await;
    let given = |id: &str| vec![NewEvent { id_given: true, ..event(id, "k") }];
    let first = store.append(given("given")).await.remove(0).unwrap();
    let (_folder, to) = file();
    back_up(&options, &to).await.unwrap();
    // Not in the backup, although its id would be found in the store.
    store.append(given("later")).await.remove(0).unwrap();
    let options = RedisOptions { url: new.url(), ..options };
    put_back(&options, &to).await.unwrap();
    let store = open(&options).await;
    let again = store.append(given("given")).await.remove(0).unwrap();
    assert!(again.duplicate && again.offset == first.offset, "{again:?}");
    assert!(!store.append(given("later")).await.remove(0).unwrap().duplicate);
    let keys = new.command(&["KEYS", "*:id:*"]).await.unwrap();
    assert_eq!(keys.items().len(), 2);
    for key in keys.items() {
        let left = new.command(&["PTTL", &key.text()]).await.unwrap().number().unwrap();
        assert!((500_000..=600_000).contains(&left), "{left}");
    }
}

/// Neither what is empty, nor what was trimmed to the last event, gives a number twice.
#[tokio::test]
async fn a_log_that_is_empty_stays_where_it_ended() {
    let (old, new) = (server().await, server().await);
    let options = RedisOptions::new(old.url(), 2);
    let store = open(&options).await;
    let placed = store.append((0..5).map(|n| event(&format!("e{n}"), "k")).collect()).await.remove(0).unwrap();
    let p = placed.partition;
    let lease = store.claim(p, &WorkerId("w".into()), Duration::from_secs(60)).await.unwrap().unwrap();
    let lane = LaneChange { position: Some(Position::Shared), ..LaneChange::default() };
    let lanes = [(DestinationName::new("a").unwrap(), lane)].into();
    store.commit(&lease, &Commit { scanned: Some(Offset(5)), lanes, ..Commit::default() }).await.unwrap();
    assert_eq!(store.trim(p, Timestamp::MAX, 100).await.unwrap(), 5);
    let (_folder, to) = file();
    back_up(&options, &to).await.unwrap();
    let options = RedisOptions { url: new.url(), ..options };
    let made = put_back(&options, &to).await.unwrap();
    let store = open(&options).await;
    for partition in [0, 1].map(Partition) {
        let bounds = store.bounds(partition).await.unwrap();
        let end = if partition == p { Offset(5) } else { Offset::ZERO };
        assert_eq!((bounds.start, bounds.end), (end, end), "{partition}");
    }
    assert_eq!(store.append(vec![event("new", "k")]).await.remove(0).unwrap().offset, made.goes_on_at);
    assert_eq!(store.load(p).await.unwrap().scanned, Offset(5));
}

/// What was replayed waits from when that was asked for; what is not in the backup was never there.
#[tokio::test]
async fn what_has_expired_and_from_when_on_waiting_counts_comes_back() {
    let (old, new) = (server().await, server().await);
    let options = RedisOptions::new(old.url(), 1);
    let store = open(&options).await;
    let p = store.append((0..5).map(|n| event(&format!("e{n}"), "k")).collect()).await.remove(0).unwrap().partition;
    let lease = store.claim(p, &WorkerId("w".into()), Duration::from_secs(60)).await.unwrap().unwrap();
    let again_since = Timestamp::from_millis(1_700_000_000_000);
    let expiry = |expired, below| Expiry { expired, again_below: Offset(below), again_since };
    let lanes: Vec<_> =
        (0..1100).map(|n| (DestinationName::new(&format!("d{n}")).unwrap(), expiry(n, n % 6))).collect();
    let lane = |expiry| LaneChange { position: Some(Position::Shared), expiry: Some(expiry), ..LaneChange::default() };
    let changes = lanes.iter().map(|(name, expiry)| (name.clone(), lane(*expiry))).collect();
    store.commit(&lease, &Commit { scanned: Some(Offset(5)), lanes: changes, ..Commit::default() }).await.unwrap();
    let (_folder, to) = file();
    back_up(&options, &to).await.unwrap();
    let options = RedisOptions { url: new.url(), ..options };
    put_back(&options, &to).await.unwrap();
    let progress = open(&options).await.load(p).await.unwrap();
    for (name, expiry) in lanes {
        assert_eq!(progress.lanes[&name].expiry, expiry, "{name}");
    }
}
