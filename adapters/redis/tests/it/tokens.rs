//! The tokens that are made over the HTTP interface, as far as they are this store's own.

use crate::support::wire::{Answers, Wire};
use crate::support::{new_store, open, server};
use laneway_domain::{Revision, Role, Roles, Stamp, Timestamp, TokenBook, TokenDigest, TokenName};
use laneway_ports::{StoreError, TokenStore};
use laneway_redis::{RedisOptions, RedisStore};
use laneway_servers::redis::RedisSettings;
use laneway_servers::redis_cluster::{RedisCluster, slot_of};
use std::time::Duration;

fn with(book: &TokenBook, name: &str, revision: Revision) -> TokenBook {
    let mut book = book.clone();
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&revision.0.to_le_bytes());
    digest[8] = name.as_bytes()[0];
    let stamp = Stamp { revision, at: Timestamp::from_millis(revision.0 / 1000), by: "the token boss".into() };
    book.create(&TokenName::new(name).unwrap(), TokenDigest(digest), Roles::of([Role::Read]), &stamp).unwrap();
    book
}

/// The tokens that there are, and one more.
async fn one_more(store: &RedisStore, name: &str) -> (Revision, TokenBook) {
    let seen = store.tokens(Revision(1)).await.unwrap();
    (seen.revision, with(&seen.book.unwrap(), name, seen.revision.next(seen.clock)))
}

/// Writes until there is an answer; says whether it was written.
async fn written_in_the_end(store: &RedisStore, last: Revision, book: &TokenBook) -> bool {
    for _ in 0..600 {
        match store.write_tokens(last, book).await {
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
async fn tokens_without_an_answer_are_unknown_and_the_same_again_is_right_either_way() {
    for (answers, happens) in [(Answers::Lost, true), (Answers::NeverAsked, false)] {
        let server = server().await;
        let wire = Wire::to(server.address()).await;
        let options = new_store(&server.url(), 1);
        let direct = open(&options).await;
        let through_wire = open(&RedisOptions { url: wire.url(), ..options }).await;
        let (last, book) = one_more(&through_wire, "a").await;
        wire.cut_at("laneway_tokens_write", answers);
        let (written, ()) = tokio::join!(through_wire.write_tokens(last, &book), wire.was_cut());
        assert!(matches!(written, Err(StoreError::Unknown { .. })), "{written:?}");
        assert_eq!(direct.tokens(last).await.unwrap().book.is_some(), happens, "{answers:?}");
        assert!(written_in_the_end(&through_wire, last, &book).await, "{answers:?}");
        assert_eq!(direct.tokens(last).await.unwrap().book, Some(book), "{answers:?}");
        // Somebody else was faster: then the answer is no.
        let (last, late) = one_more(&through_wire, "b").await;
        let (_, early) = one_more(&direct, "c").await;
        assert!(direct.write_tokens(last, &early).await.unwrap());
        assert!(!written_in_the_end(&through_wire, last, &late).await);
    }
}

/// Also when it is there already from a try before.
#[tokio::test]
async fn tokens_that_no_replica_has_are_not_acknowledged() {
    let cluster = RedisCluster::start(3, 3, RedisSettings::default()).await.unwrap();
    let options = RedisOptions { replicas: 1, ..new_store(&cluster.url(), 1) };
    let store = open(&options).await;
    let (last, book) = one_more(&store, "a").await;
    assert!(store.write_tokens(last, &book).await.unwrap());
    let nodes = cluster.nodes_of(slot_of(&format!("{}:tokens", options.key_prefix))).await.unwrap();
    let replica = &cluster.nodes()[nodes[1]];
    let (last, next) = one_more(&store, "b").await;
    replica.stop().unwrap();
    for _ in 0..2 {
        let result = store.write_tokens(last, &next).await;
        assert!(matches!(&result, Err(StoreError::Unknown { what }) if what.contains("replicas")), "{result:?}");
    }
    replica.cont().unwrap();
    cluster.wait_healthy().await.unwrap();
    assert!(written_in_the_end(&store, last, &next).await);
    assert_eq!(store.tokens(last).await.unwrap().book, Some(next));
}

#[tokio::test]
async fn tokens_that_were_changed_by_hand_are_an_error_that_names_the_key() {
    let server = server().await;
    let options = new_store(&server.url(), 1);
    let store = open(&options).await;
    let (last, book) = one_more(&store, "a").await;
    assert!(store.write_tokens(last, &book).await.unwrap());
    let key = format!("{{{}:tokens}}:book", options.key_prefix);
    let whole = server.command(&["HGET", &key, "book"]).await.unwrap().text().to_owned();
    let larger = book.revision().next(0).to_string();
    let own = book.revision().to_string();
    for (field, value) in [
        ("book", whole.replace("read", "admin").as_str()),
        ("book", ""),
        ("book", "2 x"),
        ("book", "\u{0}"),
        ("revision", larger.as_str()),
    ] {
        server.command(&["HSET", &key, "revision", &own, "book", &whole]).await.unwrap();
        server.command(&["HSET", &key, field, value]).await.unwrap();
        let Err(StoreError::Refused { what }) = store.tokens(Revision::ORIGIN).await else { panic!("{field} {value}") };
        assert!(what.contains(&key) && what.contains("redis-cli"), "{what}");
    }
    // What it says to do helps.
    server.command(&["DEL", &key]).await.unwrap();
    assert_eq!(store.tokens(Revision(1)).await.unwrap().book, Some(TokenBook::default()));
    let (last, book) = one_more(&store, "b").await;
    assert!(store.write_tokens(last, &book).await.unwrap());
}

#[tokio::test]
async fn a_full_redis_takes_tokens() {
    let server = server().await;
    let options = new_store(&server.url(), 1);
    let store = open(&options).await;
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).await.unwrap();
    let (last, book) = one_more(&store, "a").await;
    assert!(store.write_tokens(last, &book).await.unwrap());
}
