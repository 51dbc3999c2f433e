//! The registry of destinations, as far as it is this store's own.

use crate::support::wire::{Answers, Wire};
use crate::support::{new_store, open, server};
use laneway_domain::{DestinationName, Filters, Origin, Registered, Revision, Standing, Timestamp};
use laneway_ports::{JournalEntry, Registry, RegistryWrite, StoreError};
use laneway_redis::{RedisOptions, RedisStore};
use laneway_servers::redis::RedisSettings;
use laneway_servers::redis_cluster::{RedisCluster, slot_of};
use std::time::Duration;

fn record(name: &str, revision: Revision, standing: Standing) -> Registered {
    Registered {
        name: DestinationName::new(name).unwrap(),
        born: revision,
        revision,
        origin: Origin::Api,
        standing,
        paused: None,
        settings: "{\"url\":\"https://h/\"}".into(),
        filters: Filters::default(),
        target_since: revision,
        is_first: false,
        takes_over: false,
    }
}

async fn change(store: &RedisStore, name: &str, standing: Standing) -> RegistryWrite {
    let head = store.head().await.unwrap();
    let revision = head.next();
    let said = JournalEntry {
        name: DestinationName::new(name).unwrap(),
        revision,
        at: Timestamp::from_millis(head.clock / 1000),
        by: "test".into(),
        what: "url".into(),
    };
    RegistryWrite { last: head.last, revision, records: vec![record(name, revision, standing)], journal: vec![said] }
}

/// Writes until there is an answer; says whether it was written.
async fn written_in_the_end(store: &RedisStore, write: &RegistryWrite) -> bool {
    for _ in 0..600 {
        match store.write(write).await {
            Ok(written) => return written,
            // The client connects again by itself, and says only by working that it has.
            Err(StoreError::RetryLater { .. } | StoreError::Unknown { .. }) => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    panic!("the connection does not come back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_without_an_answer_is_unknown_and_the_same_again_is_right_either_way() {
    for (answers, happens) in [(Answers::Lost, true), (Answers::NeverAsked, false)] {
        let server = server().await;
        let wire = Wire::to(server.address()).await;
        let options = new_store(&server.url(), 1);
        let direct = open(&options).await;
        let through_wire = open(&RedisOptions { url: wire.url(), ..options }).await;
        let write = change(&through_wire, "a", Standing::Present).await;
        wire.cut_at("laneway_registry_write", answers);
        let (written, ()) = tokio::join!(through_wire.write(&write), wire.was_cut());
        assert!(matches!(written, Err(StoreError::Unknown { .. })), "{written:?}");
        assert_eq!(direct.head().await.unwrap().last == write.revision, happens, "{answers:?}");
        assert!(written_in_the_end(&through_wire, &write).await, "{answers:?}");
        let name = DestinationName::new("a").unwrap();
        assert_eq!(direct.journal(&name, None, 10).await.unwrap(), write.journal, "{answers:?}");
        // Somebody else was faster: then the answer is no, and what it was can be read.
        let late = change(&through_wire, "b", Standing::Present).await;
        assert!(direct.write(&change(&direct, "c", Standing::Present).await).await.unwrap());
        assert!(!written_in_the_end(&through_wire, &late).await);
    }
}

/// Also when it is there already from a try before.
#[tokio::test]
async fn a_change_that_no_replica_has_is_not_acknowledged() {
    let cluster = RedisCluster::start(3, 3, RedisSettings::default()).await.unwrap();
    let options = RedisOptions { replicas: 1, ..new_store(&cluster.url(), 1) };
    let store = open(&options).await;
    assert!(store.write(&change(&store, "a", Standing::Present).await).await.unwrap());
    let slot = slot_of(&format!("{}:registry", options.key_prefix));
    let nodes = cluster.nodes_of(slot).await.unwrap();
    let replica = &cluster.nodes()[nodes[1]];
    let write = change(&store, "b", Standing::Present).await;
    replica.stop().unwrap();
    for _ in 0..2 {
        let result = store.write(&write).await;
        assert!(matches!(&result, Err(StoreError::Unknown { what }) if what.contains("replicas")), "{result:?}");
    }
    replica.cont().unwrap();
    cluster.wait_healthy().await.unwrap();
    assert!(written_in_the_end(&store, &write).await);
    assert_eq!(store.head().await.unwrap().last, write.revision);
}

#[tokio::test]
async fn a_full_redis_takes_the_change_that_makes_room() {
    let server = server().await;
    let store = open(&new_store(&server.url(), 1)).await;
    assert!(store.write(&change(&store, "a", Standing::Present).await).await.unwrap());
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).await.unwrap();
    assert!(store.write(&change(&store, "a", Standing::Deleted).await).await.unwrap());
    assert_eq!(store.forget_deleted(store.head().await.unwrap().last, 10).await.unwrap(), 1);
}

#[tokio::test]
async fn what_is_no_record_is_an_error_that_names_it() {
    let server = server().await;
    let options = new_store(&server.url(), 1);
    let store = open(&options).await;
    assert!(store.write(&change(&store, "a", Standing::Present).await).await.unwrap());
    let key = format!("{{{}:registry}}:records", options.key_prefix);
    for json in ["{", ""] {
        server.command(&["HSET", &key, "a", json]).await.unwrap();
        let Err(StoreError::Refused { what }) = store.changed_since(Revision::ORIGIN).await else { panic!("{json}") };
        assert!(what.contains("\"a\"") && what.contains(&key), "{what}");
    }
    server.command(&["HDEL", &key, "a"]).await.unwrap();
    assert!(store.changed_since(Revision::ORIGIN).await.unwrap_err().to_string().contains("\"a\""));
}
