//! The rights that docs/redis.md lists: with exactly those everything works (the contract suites run with them, too),
//! and without any one of them something fails, and says which.

use crate::formats::written;
use crate::support::subject::cluster;
use crate::support::{documented_rights, new_store, permit, server};
use laneway_domain::Partition;
use laneway_ports::{ProgressStore, StoreError, WorkerId};
use laneway_redis::{RedisOptions, RedisStore, RestoreOptions, backup, restore};
use laneway_servers::redis::RedisServer;
use laneway_servers::redis_cluster::slot_of;
use std::time::Duration;

/// Rights that matter on a Cluster, or behind a Sentinel (`log/sentinel.rs`), only.
const ELSEWHERE: [&str; 3] = ["+cluster|slots", "+asking", "+role"];

async fn set_user(server: &RedisServer, rights: &[String]) {
    let mut command = vec!["ACL".to_owned(), "SETUSER".to_owned(), "laneway".to_owned(), "reset".to_owned()];
    command.extend(["on".to_owned(), ">s3cret".to_owned()]);
    command.extend_from_slice(rights);
    server.command(&command).await.unwrap();
}

fn without(right: &str) -> Vec<String> {
    let all = documented_rights();
    assert!(all.iter().any(|one| one == right), "{right} is not in docs/redis.md");
    all.into_iter().filter(|one| one != right).collect()
}

fn as_laneway(url: &str, partitions: u32) -> RedisOptions {
    RedisOptions::new(url.replace("://", "://laneway:s3cret@"), partitions)
}

/// All that a process and an operator's commands need to begin with.
async fn used(server: &RedisServer) -> Result<(), StoreError> {
    let options = as_laneway(&server.url(), 1);
    drop(RedisStore::connect(options.clone()).await?);
    let folder = tempfile::tempdir().unwrap();
    backup(options, &folder.path().join("copy"), |_| ()).await.map(|_| ())
}

#[tokio::test]
async fn each_right_is_needed_and_a_missing_one_is_named() {
    let server = server().await;
    set_user(&server, &documented_rights()).await;
    used(&server).await.unwrap();
    let one_by_one = documented_rights().into_iter().filter(|right| right.starts_with(['+', '~']));
    for right in one_by_one.filter(|right| !ELSEWHERE.contains(&right.as_str())) {
        for command in [["FLUSHALL", "SYNC"], ["FUNCTION", "FLUSH"]] {
            server.command(&command).await.unwrap();
        }
        set_user(&server, &without(&right)).await;
        let failed = used(&server).await.expect_err(&right).to_string();
        assert!(failed.contains("user `laneway`") && failed.contains(&right), "without {right}: {failed}");
        assert!(!failed.contains("s3cret"), "{failed}");
    }
}

/// Everything that there is, there and back, with a backup.
#[tokio::test]
async fn a_store_is_filled_copied_and_restored_with_these_rights() {
    let server = server().await;
    let options = RedisOptions { url: as_laneway(&server.url(), 1).url, ..written::options(&server.url()) };
    set_user(&server, &documented_rights()).await;
    let store = RedisStore::connect(options.clone()).await.unwrap();
    written::fill(&store).await.unwrap();
    let content = written::content(&store).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("copy");
    backup(options.clone(), &file, |_| ()).await.unwrap();
    drop(store);
    server.command(&["FLUSHALL"]).await.unwrap();
    restore(options.clone(), &file, RestoreOptions::default(), |_| ()).await.unwrap();
    let store = RedisStore::connect(options).await.unwrap();
    assert_eq!(written::content(&store).await.unwrap()["partitions"], content["partitions"]);
}

#[tokio::test]
async fn a_right_that_is_taken_away_meanwhile_is_told_and_nothing_is_lost() {
    let server = server().await;
    set_user(&server, &documented_rights()).await;
    let store = RedisStore::connect(as_laneway(&server.url(), 1)).await.unwrap();
    for right in ["+xadd", "+config|get"] {
        assert!(store.health().is_ok());
        set_user(&server, &without(right)).await;
        let told = async {
            loop {
                match store.health() {
                    Err(why) if why.contains(right) => return,
                    // The next inspection, which comes by itself, finds it.
                    _ => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(30), told).await.unwrap_or_else(|_| panic!("nobody misses {right}"));
        let refused = crate::support::append(&store, "a").await;
        assert!(matches!(refused, Err(StoreError::RetryLater { .. })), "{refused:?}");
        set_user(&server, &documented_rights()).await;
        let mended = async {
            while store.health().is_err() || crate::support::append(&store, right).await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), mended).await.expect("it goes on by itself");
    }
}

/// A slot is moved while the user may not say `ASKING`, and then while it may.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn on_a_cluster_two_rights_more_are_needed() {
    let cluster = cluster().await;
    let mut options = new_store(&cluster.url(), 8);
    let all = documented_rights();
    permit(cluster.nodes(), &mut options, &all).await;
    let store = RedisStore::connect(options.clone()).await.unwrap();

    let is_not = |right: &'static str| all.iter().filter(move |one| *one != right).cloned().collect::<Vec<_>>();
    let mut blind = options.clone();
    permit(cluster.nodes(), &mut blind, &is_not("+cluster|slots")).await;
    let failed = RedisStore::connect(blind).await.map(|_| ()).unwrap_err().to_string();
    assert!(failed.contains("+cluster|slots"), "{failed}");

    let slot = slot_of(&format!("{}:0", options.key_prefix));
    let moving = cluster.begin_moving(slot, None).await.unwrap();
    permit(cluster.nodes(), &mut options, &is_not("+asking")).await;
    let claim = async || store.claim(Partition(0), &WorkerId("w".into()), Duration::from_secs(60)).await;
    let failed = claim().await.unwrap_err().to_string();
    assert!(failed.contains("+asking"), "{failed}");
    permit(cluster.nodes(), &mut options, &all).await;
    let claimed = claim().await;
    cluster.end_moving(moving).await.unwrap();
    assert!(claimed.unwrap().is_some());
}
