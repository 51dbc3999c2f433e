//! A log that went back: a failover to a replica that lacked its last events, and others go on from there.

use super::{P, append, append_surely, connect, ids_from, wait_for};
use laneway_domain::{Commit, Offset};
use laneway_ports::{CommitError, EventLog, ProgressStore, StoreError, WorkerId};
use laneway_redis::RedisStore;
use laneway_servers::redis::{RedisServer, RedisSettings};
use std::time::Duration;

const LOG: &str = "{laneway:0}:log";
const LONG: Duration = Duration::from_secs(3600);

async fn start() -> (RedisServer, RedisStore) {
    let server = RedisServer::start(RedisSettings::default()).await.unwrap();
    let store = connect(&server.url(), |_| ()).await.unwrap();
    (server, store)
}

/// What is behind a connection may be another server: all of them are made anew.
async fn cut_off_everybody(server: &RedisServer) {
    server.command(&["CLIENT", "KILL", "TYPE", "normal"]).await.unwrap();
}

/// A worker that has the lease and has heard of five events, of which the watcher has fetched no more than the second:
/// nobody reads on, so that nothing is fetched for them. The last three are lost then.
async fn heard_of_what_is_lost(server: &RedisServer, ingest: RedisStore) -> (RedisStore, laneway_ports::Lease) {
    let worker = connect(&server.url(), |options| options.tail_bytes = 0).await.unwrap();
    append(&ingest, "kept0").await.unwrap();
    let lease = worker.claim(P, &WorkerId("w".into()), LONG).await.unwrap().unwrap();
    assert_eq!(worker.grown(P, Offset(0)).await.unwrap(), Offset(1));
    append(&ingest, "kept1").await.unwrap();
    assert_eq!(worker.grown(P, Offset(1)).await.unwrap(), Offset(2));
    for (id, end) in [("lost2", 3), ("lost3", 4), ("lost4", 5)] {
        append(&ingest, id).await.unwrap();
        assert_eq!(worker.grown(P, Offset(end - 1)).await.unwrap(), Offset(end));
    }
    // Nobody who knows of them appends any more.
    drop(ingest);
    server.rewind(LOG, 3).await.unwrap();
    (worker, lease)
}

/// Whoever appends next knows of nothing. All that it is told is stored has to be read.
async fn goes_on_with_all_that_comes(server: &RedisServer, worker: &RedisStore) {
    worker.claim(P, &WorkerId("w".into()), LONG).await.unwrap().unwrap();
    assert_eq!(worker.losses(P).await.unwrap(), [Offset(2)..Offset(5)]);
    let ingest = connect(&server.url(), |_| ()).await.unwrap();
    let (mut seen, mut expected) = (Offset(2), vec!["kept0".to_owned(), "kept1".to_owned()]);
    for n in 2..7 {
        let placed = append(&ingest, &format!("new{n}")).await.unwrap();
        assert!(placed.offset >= Offset(1 << 40), "{placed:?}");
        seen = worker.grown(P, seen).await.unwrap();
        assert_eq!(seen, placed.offset.next());
        expected.push(format!("new{n}"));
    }
    assert_eq!(ids_from(worker, Offset(0)).await, expected);
}

#[tokio::test]
async fn a_log_that_ends_before_where_it_was_said_to_end_is_not_read_as_if_it_had_come_there() {
    let (server, ingest) = start().await;
    let (worker, lease) = heard_of_what_is_lost(&server, ingest).await;
    let chunk = worker.read(P, Offset(0), 100, usize::MAX).await.unwrap();
    assert_eq!((chunk.records.len(), chunk.next), (2, Offset(2)));
    // Whoever were told that there is nothing up to 5 would go on from there, and skip what comes there next.
    let error = worker.read(P, Offset(2), 100, usize::MAX).await.unwrap_err();
    assert!(matches!(&error, StoreError::RetryLater { what, .. } if what.contains("lost")), "{error:?}");
    let committed = worker.commit(&lease, &Commit { scanned: Some(Offset(2)), ..Commit::default() }).await;
    assert!(matches!(committed, Err(CommitError::Fenced { .. })), "{committed:?}");
    goes_on_with_all_that_comes(&server, &worker).await;
}

#[tokio::test]
async fn whoever_watches_a_log_notices_behind_a_new_connection_that_it_ends_earlier() {
    let (server, ingest) = start().await;
    let (worker, _) = heard_of_what_is_lost(&server, ingest).await;
    let watching = async {
        // It waits for what comes behind an end that is no more.
        let _ = worker.grown(P, Offset(5)).await;
    };
    let noticed = async {
        cut_off_everybody(&server).await;
        wait_for("the loss is noticed", async || worker.losses(P).await.ok().filter(|lost| !lost.is_empty())).await
    };
    tokio::select! {
        () = watching => panic!("nothing was appended"),
        _ = noticed => {}
    }
    goes_on_with_all_that_comes(&server, &worker).await;
}

/// Whoever asks for the end is told of it, too.
#[tokio::test]
async fn an_end_that_was_asked_for_is_one_that_somebody_heard_of() {
    let (server, ingest) = start().await;
    append(&ingest, "kept").await.unwrap();
    append(&ingest, "lost").await.unwrap();
    drop(ingest);
    let asks = connect(&server.url(), |_| ()).await.unwrap();
    assert_eq!(asks.bounds(P).await.unwrap().end, Offset(2));
    server.rewind(LOG, 1).await.unwrap();
    assert_eq!(asks.bounds(P).await.unwrap().end, Offset(1));
    assert_eq!(asks.losses(P).await.unwrap(), [Offset(1)..Offset(2)]);
}

/// The next number does not tell it: others were given those of what was lost, and perhaps more.
#[tokio::test]
async fn acknowledged_events_whose_numbers_were_given_out_again_are_reported_whole() {
    for again in [1, 2, 3, 5] {
        let (server, first) = start().await;
        for n in 0..5 {
            append(&first, &format!("a{n}")).await.unwrap();
        }
        let second = connect(&server.url(), |_| ()).await.unwrap();
        server.rewind(LOG, 3).await.unwrap();
        for n in 0..again {
            let placed = append(&second, &format!("b{n}")).await.unwrap();
            assert_eq!(placed.offset, Offset(2 + n));
        }
        cut_off_everybody(&server).await;
        // It may be on its way already when its connection is made anew: then it is seen right behind it.
        append_surely(&first, "c").await;
        assert_eq!(first.losses(P).await.unwrap(), [Offset(2)..Offset(5)], "after {again}");
        let placed = append_surely(&first, "d").await;
        assert!(placed.offset >= Offset(1 << 40), "after {again}: {placed:?}");
        // A second time nothing is new.
        cut_off_everybody(&server).await;
        append_surely(&first, "e").await;
        assert_eq!(first.losses(P).await.unwrap(), [Offset(2)..Offset(5)]);
        assert_eq!(server.command(&["GET", "{laneway:0}:generation"]).await.unwrap().text(), "2");
    }
}
