//! What is in the collection after deliveries, in both modes, against a real server.

use crate::events::{COLLECTION, collection, deliver, documents, event, places, rejection, sink, too_large, with};
use laneway_domain::{Outcome, Partition, Tenant, Timestamp};
use laneway_mongodb::Mode;
use laneway_ports::Attempted;
use laneway_servers::mongodb::MongoServer;
use mongodb::IndexModel;
use mongodb::bson::doc;
use mongodb::options::IndexOptions;

fn numbered(count: u64, keys: u64) -> Vec<Attempted> {
    (0..count).map(|n| event(&format!("e{n:04}"), &format!("k{}", n % keys), n)).collect()
}

fn all_delivered(outcomes: &[Outcome]) -> bool {
    outcomes.iter().all(|outcome| *outcome == Outcome::Delivered)
}

#[tokio::test]
async fn every_event_becomes_a_document_and_a_redelivered_one_no_second() {
    let Some(server) = MongoServer::or_skip("insert and redelivery").await else { return };
    let sink = sink(&server, Mode::Insert);
    let events = numbered(250, 7);
    assert!(all_delivered(&deliver(&sink, &events[..100]).await));
    // A part of the batch is there already, as after a crash.
    assert!(all_delivered(&deliver(&sink, &events[50..200]).await));
    assert!(all_delivered(&deliver(&sink, &events).await));
    assert!(all_delivered(&deliver(&sink, &events).await));
    let expected: Vec<_> = (0..250).map(|n| (format!("e{n:04}"), n)).collect();
    assert_eq!(places(&server).await, expected);
    assert_eq!(documents(&server).await[7].get_document("data").unwrap(), &doc! { "offset": 7 });
}

#[tokio::test]
async fn holes_in_what_is_there_are_filled() {
    let Some(server) = MongoServer::or_skip("insert with holes").await else { return };
    let sink = sink(&server, Mode::Insert);
    let events = numbered(60, 60);
    let some: Vec<_> = events.iter().step_by(3).cloned().collect();
    assert!(all_delivered(&deliver(&sink, &some).await));
    assert!(all_delivered(&deliver(&sink, &events).await));
    assert_eq!(places(&server).await.len(), 60);
}

#[tokio::test]
async fn the_same_id_of_another_event_is_rejected_with_both_named_and_nothing_is_written_over() {
    let Some(server) = MongoServer::or_skip("ids that clash").await else { return };
    let sink = sink(&server, Mode::Insert);
    let first = with(&event("e", "a", 1), |logged| logged.event.source = Some("/shop".into()));
    assert!(all_delivered(&deliver(&sink, std::slice::from_ref(&first)).await));
    let before = documents(&server).await;
    let other_source = with(&first, |logged| logged.event.source = Some("/mail".into()));
    let other_offset = event("e", "a", 2);
    let other_partition = with(&first, |logged| logged.partition = Partition(4));
    for other in [other_source, other_offset, other_partition] {
        let outcomes = deliver(&sink, &[event("x", "b", 7), other, event("later", "a", 8), event("y", "c", 9)]).await;
        let reason = rejection(&outcomes[1]);
        assert!(reason.contains("the _id \"e\" is taken"), "{reason}");
        assert!(reason.contains("partition 3, offset 1, from the source \"/shop\""), "{reason}");
        assert_eq!([&outcomes[0], &outcomes[3]], [&Outcome::Delivered; 2]);
        assert_eq!(outcomes[2], Outcome::NotTried);
    }
    let after = documents(&server).await;
    assert_eq!(after[0], before[0]);
    assert_eq!(after.len(), 3, "{after:?}");
}

#[tokio::test]
async fn two_events_of_one_id_in_a_batch_are_not_taken_for_one() {
    let Some(server) = MongoServer::or_skip("one id twice in a batch").await else { return };
    let sink = sink(&server, Mode::Insert);
    let outcomes = deliver(&sink, &[event("e", "a", 1), event("e", "b", 2)]).await;
    assert_eq!(outcomes[0], Outcome::Delivered);
    assert!(rejection(&outcomes[1]).contains("offset 1"));
}

#[tokio::test]
async fn a_foreign_document_is_not_taken_for_the_event() {
    let Some(server) = MongoServer::or_skip("foreign documents").await else { return };
    collection(&server).await.insert_one(doc! { "_id": "e", "name": "Ada" }).await.unwrap();
    for mode in [Mode::Insert, Mode::Upsert] {
        let outcomes = deliver(&sink(&server, mode), &[event("e", "", 1)]).await;
        assert!(rejection(&outcomes[0]).contains("a document that Laneway did not write"), "{outcomes:?}");
    }
    assert_eq!(documents(&server).await, [doc! { "_id": "e", "name": "Ada" }]);
}

#[tokio::test]
async fn what_a_validator_or_another_index_refuses_is_rejected_and_stops_its_key_only() {
    let Some(server) = MongoServer::or_skip("validators and unique indexes").await else { return };
    let database = server.database().await.unwrap();
    let validator = doc! { "type": { "$ne": "bad" } };
    database.create_collection(COLLECTION).validator(validator).await.unwrap();
    let unique = IndexOptions::builder().unique(true).sparse(true).build();
    let index = IndexModel::builder().keys(doc! { "data.email": 1 }).options(unique).build();
    collection(&server).await.create_index(index).await.unwrap();
    let email = |event: &Attempted| with(event, |logged| logged.event.data = "{\"email\":\"a@b\"}".into());
    let bad = |event: &Attempted| {
        with(event, |logged| logged.event.event_type = laneway_domain::EventType::new("bad").unwrap())
    };
    for (mode, name) in [(Mode::Insert, "i"), (Mode::Upsert, "u")] {
        collection(&server).await.delete_many(doc! {}).await.unwrap();
        let key = |key: &str| format!("{name}{key}");
        let events = [
            email(&event("1", &key("a"), 1)),
            bad(&event("2", &key("b"), 2)),
            email(&event("3", &key("c"), 3)),
            event("4", &key("d"), 4),
        ];
        let outcomes = deliver(&sink(&server, mode), &events).await;
        assert_eq!([&outcomes[0], &outcomes[3]], [&Outcome::Delivered; 2], "{mode:?}: {outcomes:?}");
        assert!(rejection(&outcomes[1]).contains("(121)"), "{mode:?}: {outcomes:?}");
        assert!(rejection(&outcomes[2]).contains("(11000)"), "{mode:?}: {outcomes:?}");
        let outcomes = deliver(&sink(&server, Mode::Insert), &[bad(&event("5", "e", 5)), event("6", "e", 6)]).await;
        assert!(rejection(&outcomes[0]).contains("(121)"));
        assert_eq!(outcomes[1], Outcome::NotTried);
    }
}

#[tokio::test]
async fn an_event_that_is_too_large_is_rejected_and_others_go_on() {
    let Some(server) = MongoServer::or_skip("large documents").await else { return };
    for mode in [Mode::Insert, Mode::Upsert] {
        collection(&server).await.delete_many(doc! {}).await.unwrap();
        let events = [event("1", "a", 1), too_large("2", "a", 2), event("3", "a", 3), event("4", "b", 4)];
        let outcomes = deliver(&sink(&server, mode), &events).await;
        assert_eq!([&outcomes[0], &outcomes[3]], [&Outcome::Delivered; 2], "{mode:?}: {outcomes:?}");
        if mode == Mode::Insert {
            assert!(rejection(&outcomes[1]).contains("at most 16777216"), "{outcomes:?}");
            assert_eq!(outcomes[2], Outcome::NotTried);
        } else {
            // The last event of the key is all that is written of it.
            assert_eq!(outcomes[1..3], [Outcome::Delivered, Outcome::Delivered]);
            let outcomes = deliver(&sink(&server, mode), &[event("5", "a", 5), too_large("6", "a", 6)]).await;
            assert_eq!(outcomes[0], Outcome::Delivered);
            assert!(rejection(&outcomes[1]).contains("at most 16777216"), "{outcomes:?}");
            assert_eq!(places(&server).await, [("a".to_owned(), 5), ("b".to_owned(), 4)]);
        }
    }
}

#[tokio::test]
async fn a_batch_larger_than_a_command_may_be_is_written_whole() {
    let Some(server) = MongoServer::or_skip("large batches").await else { return };
    let large = |n: u64| {
        with(&event(&format!("e{n}"), &format!("k{}", n % 3), n), |logged| {
            logged.event.content_type = "text/plain".into();
            logged.event.data = "x".repeat(5 << 20).into();
        })
    };
    let events: Vec<_> = (0..6).map(large).collect();
    for mode in [Mode::Insert, Mode::Upsert] {
        collection(&server).await.delete_many(doc! {}).await.unwrap();
        assert!(all_delivered(&deliver(&sink(&server, mode), &events).await));
        assert_eq!(places(&server).await.len(), if mode == Mode::Insert { 6 } else { 3 });
    }
}

#[tokio::test]
async fn a_key_has_one_document_that_only_a_later_event_replaces() {
    let Some(server) = MongoServer::or_skip("upsert").await else { return };
    let sink = sink(&server, Mode::Upsert);
    let place = |key: &str, offset| (key.to_owned(), offset);
    assert!(all_delivered(&deliver(&sink, &numbered(100, 4)).await));
    assert_eq!(places(&server).await, [place("k0", 96), place("k1", 97), place("k2", 98), place("k3", 99)]);
    // Redelivery of everything, and of something old by a worker that is behind.
    assert!(all_delivered(&deliver(&sink, &numbered(100, 4)).await));
    assert!(all_delivered(&deliver(&sink, &numbered(50, 4)).await));
    assert!(all_delivered(&deliver(&sink, &[event("e0005", "k1", 5)]).await));
    assert_eq!(places(&server).await, [place("k0", 96), place("k1", 97), place("k2", 98), place("k3", 99)]);
    assert!(all_delivered(&deliver(&sink, &[event("new", "k1", 100), event("old", "k2", 42)]).await));
    assert_eq!(places(&server).await, [place("k0", 96), place("k1", 100), place("k2", 98), place("k3", 99)]);
    assert_eq!(documents(&server).await[1].get_str("id").unwrap(), "new");
}

/// Everything that tells events apart is there: a redelivery is recognised by all of it.
#[tokio::test]
async fn whatever_an_event_has_it_is_recognised_when_it_comes_again() {
    let Some(server) = MongoServer::or_skip("redelivery of events that have everything").await else { return };
    for mode in [Mode::Insert, Mode::Upsert] {
        collection(&server).await.delete_many(doc! {}).await.unwrap();
        let sink = sink(&server, mode);
        let mut events = Vec::new();
        for (n, key) in ["k", ""].into_iter().enumerate() {
            for (m, tenant) in [None, Some("acme")].into_iter().enumerate() {
                for (o, source) in [None, Some("/shop")].into_iter().enumerate() {
                    let number = n * 4 + m * 2 + o;
                    // The key is the same: each tenant has its own.
                    let plain = event(&format!("e{number}"), key, number as u64);
                    events.push(with(&plain, |logged| {
                        logged.event.tenant = tenant.map(|name| Tenant::new(name).unwrap());
                        logged.event.source = source.map(Into::into);
                    }));
                }
            }
        }
        for round in 0..3 {
            let outcomes = deliver(&sink, &events).await;
            assert!(all_delivered(&outcomes), "{mode:?}, delivered for the {round}th time: {outcomes:?}");
        }
    }
}

#[tokio::test]
async fn without_a_key_every_event_has_its_document() {
    let Some(server) = MongoServer::or_skip("upsert without keys").await else { return };
    let sink = sink(&server, Mode::Upsert);
    assert!(all_delivered(&deliver(&sink, &[event("a", "", 1), event("b", "", 2), event("c", "k", 3)]).await));
    assert!(all_delivered(&deliver(&sink, &[event("a", "", 1)]).await));
    let ids: Vec<String> = places(&server).await.into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, ["a", "b", "k"]);
    // A key that is spelled as an id is another thing, even in one batch.
    let outcomes =
        deliver(&sink, &[event("x", "a", 4), event("k", "", 5), event("y", "z", 6), event("z", "", 7)]).await;
    assert!(rejection(&outcomes[0]).contains("is taken"), "{outcomes:?}");
    assert!(rejection(&outcomes[1]).contains("is taken"), "{outcomes:?}");
    assert_eq!(outcomes[2], Outcome::Delivered);
    assert!(rejection(&outcomes[3]).contains("is taken"), "{outcomes:?}");
    let other_source = with(&event("a", "", 9), |logged| logged.event.source = Some("/other".into()));
    assert!(rejection(&deliver(&sink, &[other_source]).await[0]).contains("without a source"));
}

#[tokio::test]
async fn a_log_that_was_made_anew_is_not_taken_for_an_old_one() {
    let Some(server) = MongoServer::or_skip("logs made anew").await else { return };
    let sink = sink(&server, Mode::Upsert);
    assert!(all_delivered(&deliver(&sink, &[event("a", "k", 9_000)]).await));
    let a_day_later = with(&event("b", "k", 2), |logged| {
        logged.accepted_at = Timestamp::from_millis(logged.accepted_at.as_millis() + 86_400_000);
    });
    let outcomes = deliver(&sink, &[a_day_later]).await;
    assert!(rejection(&outcomes[0]).contains("logs that were made anew"), "{outcomes:?}");
    assert_eq!(places(&server).await, [("k".to_owned(), 9_000)]);
}

#[tokio::test]
async fn hundreds_of_batches_side_by_side_lose_nothing() {
    let Some(server) = MongoServer::or_skip("many batches").await else { return };
    let inserts = sink(&server, Mode::Insert);
    let tasks = (0..8_u64).map(|task| {
        let inserts = &inserts;
        async move {
            for batch in 0..40_u64 {
                let event = |n: u64| event(&format!("{task}-{batch}-{n}"), &format!("{task}-{n}"), batch * 25 + n);
                let events: Vec<_> = (0..25).map(event).collect();
                assert!(all_delivered(&deliver(inserts, &events).await));
            }
        }
    });
    let work: Vec<_> = tasks.collect();
    futures_util::future::join_all(work).await;
    assert_eq!(collection(&server).await.count_documents(doc! {}).await.unwrap(), 8 * 40 * 25);
}
