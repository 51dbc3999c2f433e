//! A registry that is lost whole: somebody has deleted its keys, or the store came back without them.

use super::{PARTITIONS, Process, Setup, name, of_file, work};
use laneway_app::registry::{Follower, KEY_BYTES, Keyring, Reader, Targets, all};
use laneway_app::worker::Clock;
use laneway_egress::EgressPolicy;
use laneway_memory::Disk;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

const FILE: &str = "[[destination]]\nname = 'of-the-file'\nurl = 'console:'\npaused = true";
const EVENTS: u64 = 7;
/// Longer than a worker takes to look, or to claim its partitions.
const PATIENCE: Duration = Duration::from_secs(30);

async fn process(disk: &Arc<Disk>) -> Process {
    Process::with(Setup { file: of_file(FILE), disk: Some(disk.clone()), ..Setup::default() }).await
}

fn paused() -> Json {
    json!({"url": "console:", "paused": true})
}

/// Waits until the status says this of a destination.
async fn until(process: &Process, name: &str, what: impl Fn(&Json) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status = process.get("/v1/status").await.is(200).json;
        let found = status["destinations"].as_array().unwrap().iter().find(|one| one["name"] == name).cloned();
        if found.as_ref().is_some_and(&what) {
            return;
        }
        assert!(Instant::now() < deadline, "{name}: {status}");
        sleep(Duration::from_millis(20)).await;
    }
}

fn waits(one: &Json) -> bool {
    one["pending"] == EVENTS && one["configured"] == true
}

#[tokio::test]
async fn destinations_that_are_made_again_go_on_where_they_were() {
    let disk = Disk::new(PARTITIONS);
    let empty = disk.registry_replica();
    let before = process(&disk).await;
    before.put("made", &paused()).await.is(201);
    for n in 0..EVENTS {
        let event = json!({"type": "order.paid", "key": format!("k{n}"), "data": {"n": n}});
        before.post("/v1/events", &event).await.is(202);
    }
    for name in ["of-the-file", "made"] {
        until(&before, name, waits).await;
    }
    drop(before);
    disk.fail_over_registry(empty);

    let after = process(&disk).await;
    until(&after, "of-the-file", waits).await;
    // Nobody has said that what waits for the other may go: it is kept until it is made again, or forgotten.
    until(&after, "made", |one| one["pending"] == EVENTS && one["configured"] == false).await;
    after.put("made", &paused()).await.is(201);
    until(&after, "made", waits).await;
    after.patch("made", &json!({"paused": false})).await.is(200);
    until(&after, "made", |one| one["pending"] == 0).await;
    // One that is deleted, and made again, has nothing of before.
    after.patch("made", &paused()).await.is(200);
    let event = json!({"type": "order.paid", "key": "k", "data": {}});
    after.post("/v1/events", &event).await.is(202);
    until(&after, "made", |one| one["pending"] == 1).await;
    let deleted = after.delete("made").await.is(200).json;
    assert_eq!(deleted["dropped"], 1, "{deleted}");
    let changes = after.get("/v1/destinations/made/changes").await.is(200).json;
    assert_eq!(changes["items"][0]["what"], "deleted, and about 1 event with it that waited");
    after.put("made", &paused()).await.is(201);
    until(&after, "made", |one| one["pending"] == 0).await;
}

#[tokio::test]
async fn a_worker_that_runs_writes_back_all_that_it_knows() {
    let disk = Disk::new(PARTITIONS);
    let empty = disk.registry_replica();
    let process = process(&disk).await;
    process.put("made", &paused()).await.is(201);
    process.put("gone", &paused()).await.is(201);
    process.delete("gone").await.is(200);
    let last = process.last().await;
    disk.fail_over_registry(empty);
    let deadline = Instant::now() + PATIENCE;
    while process.last().await <= last {
        assert!(Instant::now() < deadline, "nobody wrote anything back");
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(process.settings("made").await["paused"], true);
    let names = process.get("/v1/destinations").await.is(200).json;
    let names: Vec<_> = names["items"].as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
    assert_eq!(names, ["made", "of-the-file"]);
    process.get("/v1/destinations/gone").await.is(404);
}

/// What was deleted and forgotten while a process was away is no loss to it.
#[tokio::test]
async fn a_follower_that_was_away_for_too_long_brings_nothing_back() {
    let disk = Disk::new(PARTITIONS);
    let process = process(&disk).await;
    process.put("gone", &paused()).await.is(201);
    let (stores, mut tasks) = (process.stores.clone(), Vec::new());
    let keys = Arc::new(Keyring::of(&[[7; KEY_BYTES]]).unwrap());
    let reader = Arc::new(Reader::new(EgressPolicy::default(), keys, Vec::new()));
    let targets = Arc::new(Targets::default());
    let (_, heard) = all(&*stores.registry, &reader, &targets).await.unwrap();
    let worker = work(&stores, &reader, Clock::starting_at(disk.now()), &mut tasks).await;
    let away = Follower::new(stores.registry.clone(), reader, targets, worker, heard);
    process.delete("gone").await.is(200);
    let last = process.last().await;
    // Nobody and nothing is left that would tell whoever was away of the deletion.
    tasks.iter().for_each(JoinHandle::abort);
    drop(process);
    assert_eq!(stores.registry.forget_deleted(last, 10).await.unwrap(), 1);
    sleep(Duration::from_millis(2_100)).await;
    away.run().await;
    assert_eq!(stores.registry.records(&[name("gone")]).await.unwrap(), []);
}
