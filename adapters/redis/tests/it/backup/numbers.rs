//! The numbers that events get after a restore: none twice, whatever came between, and reading goes over the leaps.

use super::{back_up, file, put_back, refused};
use crate::support::{PATIENCE, event, open, server};
use laneway_domain::{Commit, Cut, DestinationName, LaneChange, LaneKey, Offset, Partition, Position, Revision};
use laneway_ports::{EventLog, LogRecord, ProgressStore, WorkerId};
use laneway_redis::{RedisOptions, RedisStore};
use laneway_servers::redis::{RedisServer, Reply};
use std::time::Duration;

const P: Partition = Partition(0);

async fn append(store: &RedisStore, name: &str, count: usize) -> Vec<u64> {
    let events = (0..count).map(|n| event(&format!("{name}-{n}"), "k")).collect();
    store.append(events).await.into_iter().map(|placed| placed.unwrap().offset.0).collect()
}

async fn all(store: &RedisStore) -> Vec<u64> {
    let (mut found, mut from) = (Vec::new(), Offset::ZERO);
    while from < store.bounds(P).await.unwrap().end {
        let chunk = store.read(P, from, 3, usize::MAX).await.unwrap();
        assert!(chunk.next > from, "reading stands still at {from}");
        for record in &chunk.records {
            assert!(matches!(record, LogRecord::Event(_)), "{record:?}");
            found.push(record.offset().0);
        }
        from = chunk.next;
    }
    found
}

fn settled(offset: u64) -> Commit {
    let lane = LaneChange { position: Some(Position::Shared), ..LaneChange::default() };
    let lanes = [(DestinationName::new("a").unwrap(), lane)].into();
    Commit { scanned: Some(Offset(offset)), lanes, ..Commit::default() }
}

async fn restored(options: &RedisOptions, from: &std::path::Path) -> (RedisServer, RedisOptions, RedisStore, u64) {
    let server = server().await;
    let options = RedisOptions { url: server.url(), ..options.clone() };
    let made = put_back(&options, from).await.unwrap();
    let store = open(&options).await;
    (server, options, store, made.goes_on_at.0)
}

/// The same, of a store that held so many events.
async fn restored_with(name: &str, count: usize) -> (RedisServer, RedisOptions, RedisStore, u64) {
    let first = server().await;
    let options = RedisOptions::new(first.url(), 1);
    append(&open(&options).await, name, count).await;
    let (_folder, to) = file();
    back_up(&options, &to).await.unwrap();
    restored(&options, &to).await
}

#[tokio::test]
async fn no_offset_is_given_twice_over_restores_of_one_backup_and_of_what_they_made() {
    let first = server().await;
    let options = RedisOptions::new(first.url(), 1);
    let store = open(&options).await;
    let kept = append(&store, "kept", 4).await;
    let (folder, to) = file();
    back_up(&options, &to).await.unwrap();
    let mut given_out = append(&store, "lost", 3).await;
    let mut servers = Vec::new();
    for round in 0..2 {
        let (server, of, store, goes_on_at) = restored(&options, &to).await;
        assert_eq!(all(&store).await, kept);
        let new = append(&store, &format!("new-{round}"), 5).await;
        assert_eq!(new, (0..5).map(|n| goes_on_at + n).collect::<Vec<_>>());
        assert!(goes_on_at > *given_out.iter().max().unwrap(), "round {round}: {new:?} after {given_out:?}");
        assert_eq!(all(&store).await, [&kept[..], &new].concat());
        given_out.extend(&new);
        // A backup of what was restored, and what that becomes.
        let second = folder.path().join(format!("second-{round}"));
        assert_eq!(back_up(&of, &second).await.unwrap().findings, Vec::<String>::new());
        let (other, _, again, later) = restored(&of, &second).await;
        assert!(later > *given_out.iter().max().unwrap());
        let newer = append(&again, &format!("newer-{round}"), 2).await;
        assert_eq!(all(&again).await, [&kept[..], &new, &newer].concat());
        assert_eq!(newer[0], later);
        given_out.extend(&newer);
        servers.extend([server, other]);
    }
}

/// A failover that loses events, in a store that was restored: the next generation is above, and below the next second's.
#[tokio::test]
async fn a_loss_after_a_restore_goes_on_above_it_and_is_told_in_the_numbers_that_are_shown() {
    let (server, options, store, goes_on_at) = restored_with("kept", 2).await;
    let before = append(&store, "before", 5).await;
    // What a replica had that was promoted: the log without the last three, and their numbers free again.
    server.rewind("{laneway:0}:log", 3).await.unwrap();
    let after = append(&store, "after", 2).await;
    assert!(after[0] > before[4] && after[0] == goes_on_at + (1 << 32), "{before:?}, {after:?}");
    assert_eq!(after[1], after[0] + 1);
    assert_eq!(all(&store).await, [&[0, 1], &before[..2], &after].concat());
    let (_folder, to) = file();
    back_up(&options, &to).await.unwrap();
    let (_server, _, again, later) = restored(&options, &to).await;
    assert!(later > after[1]);
    assert_eq!(all(&again).await, [&[0, 1], &before[..2], &after].concat());
}

/// More events than the numbers outside have room for in a generation of the clock: the next one begins, and whoever
/// reads, commits, and keeps up notices nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_generation_that_is_full_goes_on_in_the_next_one() {
    let (server, _, store, goes_on_at) = restored_with("kept", 1).await;
    append(&store, "x", 1).await;
    let nearly_full = (1_u64 << 32) - 4096 - 3;
    server.command(&["XSETID", "{laneway:0}:log", &format!("2-{}", nearly_full - 1)]).await.unwrap();
    let lease = store.claim(P, &WorkerId("w".into()), Duration::from_secs(60)).await.unwrap().unwrap();
    let mut seen = store.bounds(P).await.unwrap().end;
    let (mut given_out, mut read) = (Vec::new(), Vec::new());
    for round in 0..8 {
        given_out.extend(append(&store, &format!("r{round}"), 2).await);
        // The tail has it.
        store.grown(P, seen).await.unwrap();
        while read.len() < given_out.len() {
            let chunk = store.read(P, seen, 10, usize::MAX).await.unwrap();
            read.extend(chunk.records.iter().map(|record| record.offset().0));
            seen = chunk.next;
        }
        store.commit(&lease, &settled(seen.0)).await.unwrap();
    }
    assert_eq!(read, given_out);
    assert!(given_out.is_sorted_by(|a, b| a < b), "{given_out:?}");
    let (before, after): (Vec<u64>, Vec<u64>) = given_out.iter().partition(|at| **at < goes_on_at + (1 << 32));
    assert_eq!(before.first(), Some(&(goes_on_at + nearly_full)));
    assert_eq!(after.first(), Some(&(goes_on_at + (1 << 32))), "{given_out:?}");
    assert!(before.len() >= 4 && after.len() >= 8, "{given_out:?}");
    assert_eq!(server.command(&["EXISTS", "{laneway:0}:lost"]).await.unwrap().number(), Some(0));
    assert_eq!(store.load(P).await.unwrap().scanned.0, given_out.last().unwrap() + 1);
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("waited in vain until {what}"));
}

/// Whoever has the store open puts back what it was made with: the next process calls the same event the same.
#[tokio::test]
async fn what_a_restored_store_calls_its_offsets_is_put_back_where_it_gets_lost() {
    for lost in [&["FLUSHALL"][..], &["DEL", "{laneway}:store"]] {
        let (server, options, store, goes_on_at) = restored_with("kept", 2).await;
        append(&store, "before", 2).await;
        let made = ["HMGET", "{laneway}:store", "partitions", "schema", "needs", "numbers"];
        let expected = server.command(&made).await.unwrap().items().to_vec();
        server.command(lost).await.unwrap();
        until("it is put back", async || server.command(&made).await.unwrap().items() == expected).await;

        let other_number = RedisOptions { partitions: 2, ..options.clone() };
        assert!(refused(RedisStore::connect(other_number).await).contains("made with 1 partitions"));
        let second = open(&options).await;
        let placed = [append(&store, "one", 1).await, append(&second, "two", 1).await].concat();
        assert!(placed[0] >= goes_on_at && placed[1] == placed[0] + 1, "{placed:?}");
        assert_eq!(all(&store).await, all(&second).await);
    }
}

/// Another store in its place is not one that a process goes on with, which has opened the first one.
#[tokio::test]
async fn a_process_says_that_the_store_it_has_opened_is_another_one_now() {
    let server = server().await;
    let options = RedisOptions::new(server.url(), 1);
    let store = open(&options).await;
    for (field, value) in [("partitions", "3"), ("schema", "2"), ("numbers", "2=60000000")] {
        let before = server.command(&["HGET", "{laneway}:store", field]).await.unwrap();
        server.command(&["HSET", "{laneway}:store", field, value]).await.unwrap();
        until("it says so", async || store.health().is_err_and(|why| why.contains(field) && why.contains(value))).await;
        match before {
            Reply::Bulk(Some(before)) => {
                let back = [b"HSET".as_slice(), b"{laneway}:store", field.as_bytes(), &before];
                server.command(&back).await
            }
            _ => server.command(&["HDEL", "{laneway}:store", field]).await,
        }
        .unwrap();
        until("it goes on", async || store.health().is_ok()).await;
    }
}

/// Positions, cuts, keys behind, dead letters and trims of both generations are in the numbers that are shown.
#[tokio::test]
async fn progress_goes_on_over_the_leap_and_is_trimmed_up_to_it() {
    let first = server().await;
    let options = RedisOptions::new(first.url(), 1);
    let store = open(&options).await;
    append(&store, "kept", 4).await;
    let lease = store.claim(P, &WorkerId("w".into()), Duration::from_secs(60)).await.unwrap().unwrap();
    store.commit(&lease, &settled(3)).await.unwrap();
    let (_folder, to) = file();
    back_up(&options, &to).await.unwrap();
    let (_server, _, store, goes_on_at) = restored(&options, &to).await;
    append(&store, "new", 6).await;
    let at = |n: u64| Offset(goes_on_at + n);
    let lease = store.claim(P, &WorkerId("w".into()), Duration::from_secs(60)).await.unwrap().unwrap();
    assert_eq!(store.load(P).await.unwrap().scanned, Offset(3));
    let mut commit = settled(at(5).0);
    let cut = Cut { revision: Revision(1_800_000_000_000_000), at: at(1) };
    commit.cut = Some(cut);
    let behind = laneway_domain::Behind { offset: at(2), retry: None };
    let a = DestinationName::new("a").unwrap();
    commit.lanes.get_mut(&a).unwrap().behind = [(LaneKey::Event(at(2)), Some(behind.clone()))].into();
    commit.lanes.insert(
        DestinationName::new("b").unwrap(),
        LaneChange { position: Some(Position::At(at(3))), ..LaneChange::default() },
    );
    store.commit(&lease, &commit).await.unwrap();
    let loaded = store.load(P).await.unwrap();
    assert_eq!(loaded.lanes[&a].behind, [(LaneKey::Event(at(2)), behind)].into());
    assert_eq!(loaded.lanes[&DestinationName::new("b").unwrap()].position, Position::At(at(3)));
    assert_eq!((loaded.cuts.last(), store.taken(&[P]).await.unwrap()), (Some(cut), vec![Some(cut)]));
    // The key that is behind holds the trim.
    // A step ends at the leap.
    for removed in [4, 2, 0] {
        assert_eq!(store.trim(P, laneway_domain::Timestamp::MAX, 100).await.unwrap(), removed);
    }
    assert_eq!(store.bounds(P).await.unwrap().start, at(2));
}
