//! What goes wrong on the way to MongoDB and in it, against a real server of the test's own.

use crate::events::{COLLECTION, LONG, WATCHFUL, deliver, event, places, retry_reason, sink, sink_at};
use crate::proxy::{Loss, between};
use laneway_domain::{Doing, End, Outcome};
use laneway_mongodb::Mode;
use laneway_ports::Attempted;
use laneway_servers::mongodb::{MongoOptions, MongoServer};
use mongodb::bson::{Document, doc};
use std::sync::Arc;
use std::time::{Duration, Instant};

const MODES: [Mode; 2] = [Mode::Insert, Mode::Upsert];
/// A deadline for attempts that are to miss it.
const SHORT: Duration = Duration::from_secs(1);
/// How much later than its deadline an attempt may end.
const GRACE: Duration = Duration::from_secs(1);
/// What has to come about does within this time, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is tried.
const GLANCE: Duration = Duration::from_millis(20);

async fn own(test: &str) -> Option<MongoServer> {
    MongoServer::own_or_skip(test, MongoOptions { collections: &[COLLECTION], ..MongoOptions::default() }).await
}

fn batch(from: u64) -> Vec<Attempted> {
    (from..from + 20).map(|n| event(&format!("e{n:03}"), &format!("k{}", n % 6), n)).collect()
}

/// The first event of each key is to be tried again, for one reason; the others were not tried.
fn reason(outcomes: &[Outcome]) -> &str {
    let reason = retry_reason(&outcomes[0]);
    for (n, outcome) in outcomes.iter().enumerate() {
        if n < 6 { assert_eq!(retry_reason(outcome), reason) } else { assert_eq!(*outcome, Outcome::NotTried) }
    }
    reason
}

fn all_delivered(outcomes: &[Outcome]) -> bool {
    outcomes.iter().all(|outcome| *outcome == Outcome::Delivered)
}

/// Delivers against a failing server, and then again, after which everything has to be there once.
async fn fails_once(server: &MongoServer, mode: Mode, how: Document, said: &[&str]) {
    let sink = sink(server, mode);
    // Connects, so that what is to fail is the write.
    assert!(all_delivered(&deliver(&sink, &[event("before", "before", 1)]).await));
    server.fail(&["insert", "update"], 1, how).await.unwrap();
    let events = batch(10);
    let outcomes = deliver(&sink, &events).await;
    let reason = reason(&outcomes);
    assert!(said.iter().all(|said| reason.contains(said)), "{reason}");
    assert!(all_delivered(&deliver(&sink, &events).await));
    let expected = if mode == Mode::Insert { 21 } else { 7 };
    assert_eq!(places(server).await.len(), expected);
}

async fn both_modes(test: &str, how: Document, said: &[&str]) {
    for mode in MODES {
        let Some(server) = own(test).await else { return };
        fails_once(&server, mode, how.clone(), said).await;
    }
}

#[tokio::test]
async fn a_primary_that_steps_down_is_a_retry() {
    for mode in MODES {
        for (code, name) in [
            (10107, "NotWritablePrimary"),
            (189, "PrimarySteppedDown"),
            (11600, "InterruptedAtShutdown"),
            (91, "ShutdownInProgress"),
        ] {
            let Some(server) = own("step-down").await else { return };
            fails_once(&server, mode, doc! { "errorCode": code }, &["no primary", name, &code.to_string()]).await;
        }
    }
}

#[tokio::test]
async fn a_write_concern_error_is_a_retry_although_everything_was_written() {
    let error = doc! { "writeConcernError": { "code": 64, "errmsg": "waiting for replication timed out" } };
    both_modes("write concern", error, &["could not confirm", "(write concern error 64)", "timed out"]).await;
}

#[tokio::test]
async fn a_connection_that_breaks_is_a_retry() {
    both_modes("network", doc! { "closeConnection": true }, &["the connection to MongoDB broke", "not known"]).await;
}

#[tokio::test]
async fn an_error_that_is_not_known_to_be_the_events_is_a_retry() {
    both_modes("other errors", doc! { "errorCode": 8000 }, &["MongoDB answered", "(8000)"]).await;
    // Of one write these are the document's fault; of a whole command the server says them of itself.
    for code in [2, 9, 14, 61] {
        both_modes("errors of commands", doc! { "errorCode": code }, &["MongoDB answered", &format!("({code})")]).await;
    }
}

#[tokio::test]
async fn a_user_without_the_right_is_told_which() {
    both_modes("rights", doc! { "errorCode": 13 }, &["may not insert, update and find in", "needs the role readWrite"])
        .await;
}

#[tokio::test]
async fn an_error_of_the_look_at_what_is_there_is_a_retry() {
    for mode in MODES {
        let Some(server) = own("find").await else { return };
        let sink = sink(&server, mode);
        let events = batch(10);
        assert!(all_delivered(&deliver(&sink, &events).await));
        server.fail(&["find"], 1, doc! { "errorCode": 11600 }).await.unwrap();
        assert!(reason(&deliver(&sink, &events).await).contains("no primary"));
        assert!(all_delivered(&deliver(&sink, &events).await));
    }
}

#[tokio::test]
async fn a_document_that_spoils_a_command_is_found_and_rejected_alone() {
    for mode in MODES {
        let Some(server) = own("spoiled commands").await else { return };
        let sink = sink(&server, mode);
        let events = [event("a", "1", 1), event("b", "2", 2), event("c", "3", 3)];
        // The whole command, and then the first of the commands with one document each.
        server.fail(&["insert", "update"], 2, doc! { "errorCode": 10334 }).await.unwrap();
        let outcomes = deliver(&sink, &events).await;
        assert!(crate::events::rejection(&outcomes[0]).contains("(10334)"), "{outcomes:?}");
        assert_eq!(outcomes[1..], [Outcome::Delivered, Outcome::Delivered]);
        assert_eq!(places(&server).await.len(), 2);
    }
}

#[tokio::test]
async fn an_answer_that_is_lost_is_a_retry_and_the_event_is_there_once() {
    for loss in [Loss::Answer, Loss::Connection, Loss::Request] {
        for mode in MODES {
            let Some(server) = own("lost answers").await else { return };
            let events = [event("a", "1", 1), event("b", "2", 2), event("c", "1", 3)];
            let lost = if mode == Mode::Insert { "b" } else { "2" };
            let url = between(&server, COLLECTION, Arc::new(vec![(crate::proxy::id(lost), loss)])).await;
            let lossy = sink_at(&url, mode, SHORT * 2);
            let outcomes = deliver(&lossy, &events).await;
            retry_reason(&outcomes[0]);
            retry_reason(&outcomes[1]);
            assert_eq!(outcomes[2], Outcome::NotTried);
            assert!(all_delivered(&deliver(&sink(&server, mode), &events).await));
            assert_eq!(places(&server).await.len(), if mode == Mode::Insert { 3 } else { 2 });
        }
    }
}

#[tokio::test]
async fn a_server_that_hangs_ends_no_attempt_late() {
    let Some(server) = own("hanging servers").await else { return };
    for mode in MODES {
        let connected = sink_at(&server.url(COLLECTION, WATCHFUL), mode, SHORT * 2);
        assert!(all_delivered(&deliver(&connected, &batch(10)).await));
        let fresh = sink_at(&server.url(COLLECTION, WATCHFUL), mode, SHORT);
        server.signal("STOP").unwrap();
        for (sink, deadline) in [(&connected, SHORT * 2), (&fresh, SHORT), (&connected, SHORT * 2)] {
            let begun = Instant::now();
            let outcomes = deliver(sink, &batch(40)).await;
            let took = begun.elapsed();
            assert!(took < deadline + GRACE, "took {took:?}");
            reason(&outcomes);
        }
        server.signal("CONT").unwrap();
        assert!(all_delivered(&deliver(&sink(&server, mode), &batch(40)).await));
    }
}

#[tokio::test]
async fn a_server_that_is_away_keeps_nothing_from_starting_and_is_found_when_it_is_back() {
    let Some(mut server) = own("servers that are away").await else { return };
    server.kill().await;
    let sink = sink_at(&server.url(COLLECTION, WATCHFUL), Mode::Insert, SHORT * 5);
    let impatient = sink_at(&server.url(COLLECTION, WATCHFUL), Mode::Insert, SHORT);
    let begun = Instant::now();
    let outcomes = deliver(&impatient, &batch(0)).await;
    assert!(begun.elapsed() < SHORT + GRACE);
    assert!(reason(&outcomes).contains("no MongoDB server can be used"), "{outcomes:?}");
    server.restart().await.unwrap();
    assert!(all_delivered(&deliver(&sink, &batch(0)).await));
    server.restart().await.unwrap();
    // The connections are gone, which the first attempt may notice.
    deliver(&sink, &batch(20)).await;
    assert!(all_delivered(&deliver(&sink, &batch(20)).await));
    assert_eq!(places(&server).await.len(), 40);
}

/// Attempts that wait for a connection end when the driver gives all of them up; whatever their error is called, they
/// failed by the network.
#[tokio::test]
async fn whatever_breaks_between_here_and_the_server_is_the_networks_doing() {
    let Some(mut server) = own("cleared pools").await else { return };
    let sink = sink_at(&server.url(COLLECTION, &format!("{WATCHFUL}&maxPoolSize=4")), Mode::Insert, SHORT * 5);
    let (mut n, mut cleared) = (0, false);
    let until = Instant::now() + PATIENCE;
    while !cleared {
        assert!(Instant::now() < until, "no attempt met a cleared pool in {PATIENCE:?}");
        while !all_delivered(&deliver(&sink, &batch(n * 20)).await) {
            assert!(Instant::now() < until, "the server is not found again in {PATIENCE:?}");
            tokio::time::sleep(GLANCE).await;
        }
        // Four have a connection, the others wait for one; those four break.
        let batches: Vec<_> = (n + 1..n + 41).map(|n| batch(n * 20)).collect();
        n += 41;
        let attempts = futures_util::future::join_all(batches.iter().map(|events| deliver(&sink, events)));
        let (all, ()) = tokio::join!(attempts, server.kill());
        // Some were through before.
        for outcomes in all.iter().filter(|outcomes| !outcomes.contains(&Outcome::Delivered)) {
            let ends = outcomes.iter().filter(|outcome| outcome.end() != End::NotTried);
            for end in ends.map(Outcome::end) {
                assert_eq!(end.meaning().doing, Doing::Network, "{outcomes:?}");
            }
            cleared |= reason(outcomes).contains("were given up before this was sent");
        }
        server.restart().await.unwrap();
    }
}

#[tokio::test]
async fn kill_9_of_the_server_in_the_middle_of_writes_loses_nothing_and_doubles_nothing() {
    for mode in MODES {
        let Some(mut server) = own("killed servers").await else { return };
        let sink = sink_at(&server.url(COLLECTION, WATCHFUL), mode, SHORT * 5);
        let writing = async {
            for n in 0..60 {
                let events = batch(n * 20);
                let until = Instant::now() + PATIENCE;
                while !all_delivered(&deliver(&sink, &events).await) {
                    assert!(Instant::now() < until, "batch {n} does not get through in {PATIENCE:?}");
                    // While nobody listens, tries end at once: as many as there are while a server starts.
                    tokio::time::sleep(GLANCE).await;
                }
            }
        };
        let killing = async {
            for pause in [150, 210, 90] {
                tokio::time::sleep(Duration::from_millis(pause)).await;
                server.restart().await.unwrap();
            }
        };
        tokio::join!(writing, killing);
        let found = places(&server).await;
        if mode == Mode::Insert {
            let expected: Vec<_> = (0..1200).map(|n| (format!("e{n:03}"), n)).collect();
            let mut found = found;
            found.sort_by_key(|place| place.1);
            assert_eq!(found, expected);
        } else {
            let expected: Vec<_> = (0..6_i64).map(|k| (format!("k{k}"), 1194 + k)).collect();
            assert_eq!(found, expected);
        }
    }
}

#[tokio::test]
async fn a_replica_set_without_a_majority_is_no_delivery() {
    let Some(server) = own("no majority").await else { return };
    let sink = sink_at(&server.url(COLLECTION, "wtimeoutMS=50"), Mode::Insert, LONG);
    let error = doc! { "writeConcernError": { "code": 100, "errmsg": "Not enough data-bearing nodes" } };
    server.fail(&["insert"], 3, error).await.unwrap();
    for _ in 0..3 {
        // From the second on the documents are there, but that says nothing of a majority.
        assert!(reason(&deliver(&sink, &batch(0)).await).contains("write concern error 100"));
    }
    assert!(all_delivered(&deliver(&sink, &batch(0)).await));
}
