//! A store that is in use, away, full, read-only or damaged, and a configuration with a mistake.

use laneway_servers::redis::{RedisServer, RedisSettings};
use laneway_tests::client::Answer;
use laneway_tests::receiver::{Behaviour, Receiver};
use laneway_tests::server::{Installation, Running, Settings, tail, webhook};
use laneway_tests::store::Store;
use laneway_tests::volume::Volume;
use laneway_tests::{checker, effort};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// How long the server may take to notice that there is space again.
const PATIENCE: Duration = Duration::from_secs(60);

/// It has to end by itself, unsuccessfully, and say these things.
fn refuses_to_start(installation: &Installation, says: &[&str]) {
    let status = installation.spawn(&["serve"]).end();
    let said = installation.stderr();
    assert!(!status.success(), "it ended with {status}");
    for part in says {
        assert!(said.contains(part), "{part} is not in:\n{}", tail(&said));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_the_same_store_is_kept_out() {
    let receiver = Receiver::start(Behaviour::healthy(), 1).await;
    let first = Installation::new(&Settings::destinations(&[webhook("main", &receiver.url(), "")]));
    let server = first.start().await;
    let second = Installation::new(&Settings::default());
    let (listen, path) = (second.address(), first.database());
    second.write_config(&format!("[server]\nlisten = \"{listen}\"\n[store]\nurl = \"sqlite:{}\"\n", path.display()));
    refuses_to_start(&second, &["laneway.db", "another"]);
    server.client().accepted(&json!({"type": "t", "id": "after", "data": 1})).await;
    receiver.taken(1).await;
    server.kill();
    // A lock that a crash left behind is none.
    let server = first.start().await;
    server.stop();
}

/// Machines begin in any order. Whoever looks at a process that waits for its store is to know that it is not hanging.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_waits_for_its_store_says_so_and_goes_on_when_it_is_there() {
    let mut redis = RedisServer::start(RedisSettings::default()).await.unwrap_or_else(|e| panic!("{e}"));
    redis.kill();
    let receiver = Receiver::start(Behaviour::healthy(), 1).await;
    let installation = Installation::new(&Settings::destinations(&[webhook("main", &receiver.url(), "")]));
    let config = std::fs::read_to_string(installation.config_path()).expect("the configuration");
    installation.write_config(&config.replace("sqlite:laneway.db", &redis.url()));
    let mut server = installation.begin();
    let client = server.client();
    let deadline = Instant::now() + PATIENCE;
    let alive = loop {
        match client.get("/healthz").await {
            Ok(answer) => break answer,
            // It does not listen yet.
            Err(error) => assert!(Instant::now() < deadline, "{error}\n{}", tail(&installation.stderr())),
        }
        tokio::task::yield_now().await;
    };
    assert_eq!((alive.status, &alive.json()["status"]), (200, &json!("alive")));
    let ready = client.get("/readyz").await.expect("an answer");
    assert_eq!(ready.status, 503, "{}", ready.text());
    assert!(ready.json()["reasons"][0].as_str().is_some_and(|why| why.contains("waits for its store")));
    let event = json!({"type": "t", "id": "early", "data": 1});
    let refused = client.post("/v1/events", event.to_string()).await.expect("an answer");
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert_eq!(refused.header("content-type"), "application/problem+json");
    assert!(!refused.header("retry-after").is_empty());
    assert!(installation.stderr().contains("the start waits for the store"), "{}", tail(&installation.stderr()));
    redis.restart().await.unwrap_or_else(|e| panic!("{e}"));
    server.ready().await.unwrap_or_else(|e| panic!("{e}\n{}", tail(&installation.stderr())));
    client.accepted(&event).await;
    receiver.taken(1).await;
    // One that is told to stop while it waits does so.
    server.stop();
    redis.kill();
    let server = installation.begin();
    while client.get("/healthz").await.is_err() {
        assert!(Instant::now() < deadline + PATIENCE, "{}", tail(&installation.stderr()));
        tokio::task::yield_now().await;
    }
    server.stop();
}

#[test]
fn a_mistyped_setting_is_named_with_the_nearest_right_one() {
    let installation = Installation::new(&Settings::default().server("lissten_backlog = 1\ntokns = []"));
    refuses_to_start(&installation, &["laneway.toml:4", "\"tokns\"", "did you mean \"tokens\""]);
    let checked = installation.run(&["check"]);
    assert!(!checked.status.success());
    let said = String::from_utf8_lossy(&checked.stderr).into_owned() + &String::from_utf8_lossy(&checked.stdout);
    for part in ["tokns", "tokens", "lissten_backlog"] {
        assert!(said.contains(part), "{part} is not in:\n{said}");
    }
    installation.configure(&Settings::destinations(&[
        "[[destination]]\nname = \"a\"\nurl = \"console:\"\nretry = { inital = \"1s\" }".into(),
    ]));
    refuses_to_start(&installation, &["inital", "initial"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_number_of_partitions_is_refused_with_the_reason() {
    let installation = Installation::new(&Settings::default().store("partitions = 4"));
    installation.start().await.stop();
    installation.configure(&Settings::default().store("partitions = 5"));
    refuses_to_start(&installation, &["partitions", "4", "5"]);
    installation.configure(&Settings::default().store("partitions = 4"));
    installation.start().await.stop();
}

async fn post(server: &Running, n: usize) -> Answer {
    let event = json!({"id": format!("e{n}"), "type": "t", "key": format!("k{}", n % 7), "data": "x".repeat(8000)});
    server.client().post("/v1/events", event.to_string()).await.expect("an answer")
}

/// Sends until the store says no; how many it took.
async fn fill(server: &Running) -> usize {
    for n in 0..20_000 {
        let answer = post(server, n).await;
        if answer.status == 202 {
            continue;
        }
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert!(!answer.header("retry-after").is_empty(), "{}", answer.text());
        assert!(n > 10, "there was no room from the beginning");
        return n;
    }
    panic!("the disk does not get full");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_a_503_until_there_is_space_again() {
    let volume = match Volume::mount(24) {
        Ok(volume) => volume,
        Err(why) => return effort::skipped(&format!("no file system can be mounted here: {why}")),
    };
    let receiver = Receiver::start(Behaviour::healthy(), 1).await;
    let settings = Settings::destinations(&[webhook("main", &receiver.url(), "")]).store("partitions = 2");
    let ballast = volume.ballast(16);
    let installation = Installation::inside(volume.path(), &settings);
    let server = installation.start().await;
    let accepted = fill(&server).await;
    assert_eq!(server.client().get("/healthz").await.expect("an answer").status, 200);
    std::fs::remove_file(ballast).expect("the ballast is there");
    let deadline = Instant::now() + PATIENCE;
    let mut answer = post(&server, accepted).await;
    while answer.status != 202 {
        assert!(Instant::now() < deadline, "still no after {PATIENCE:?}: {}", answer.text());
        tokio::time::sleep(Duration::from_millis(50)).await;
        answer = post(&server, accepted).await;
    }
    receiver.taken(accepted + 1).await;
    server.client().settled("main").await;
    server.stop();
    let stored = Store::open(&installation.database()).events();
    assert_eq!(stored.len(), accepted + 1);
    checker::check(&stored, &receiver.record(), &BTreeSet::new(), false).assert_clean("main");
}

/// The process has a limit of file sizes (`ulimit -f`), which the system would end it for.
#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_file_sizes_is_a_503_until_it_is_raised() {
    let receiver = Receiver::start(Behaviour::healthy(), 1).await;
    let settings = Settings::destinations(&[webhook("main", &receiver.url(), "")]).store("partitions = 2");
    let installation = Installation::new(&settings);
    // 4 MiB, in units of 512 bytes. Only the soft limit, so that it can be raised again.
    let server = installation.start_under(&["sh", "-c", "ulimit -S -f 8192; exec \"$0\" \"$@\""], &[]).await;
    let accepted = fill(&server).await;
    assert_eq!(server.client().get("/healthz").await.expect("an answer").status, 200);
    receiver.taken(accepted).await;
    let raised = std::process::Command::new("prlimit")
        .args(["--pid", &server.pid().to_string(), "--fsize=unlimited:"])
        .status()
        .expect("util-linux is everywhere");
    assert!(raised.success(), "{raised}");
    let deadline = Instant::now() + PATIENCE;
    let mut answer = post(&server, accepted).await;
    while answer.status != 202 {
        assert!(Instant::now() < deadline, "still no after {PATIENCE:?}: {}", answer.text());
        tokio::time::sleep(Duration::from_millis(50)).await;
        answer = post(&server, accepted).await;
    }
    server.client().settled("main").await;
    server.stop();
    let stored = Store::open(&installation.database()).events();
    assert_eq!(stored.len(), accepted + 1);
    checker::check(&stored, &receiver.record(), &BTreeSet::new(), false).assert_clean("main");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_disk_is_refused_at_the_start() {
    let volume = match Volume::mount(24) {
        Ok(volume) => volume,
        Err(why) => return effort::skipped(&format!("no file system can be mounted here: {why}")),
    };
    let settings = Settings::default();
    let inside = Installation::inside(volume.path(), &settings);
    inside.start().await.stop();
    volume.read_only();
    let outside = Installation::new(&settings);
    let (listen, path) = (outside.address(), inside.database());
    outside.write_config(&format!("[server]\nlisten = \"{listen}\"\n[store]\nurl = \"sqlite:{}\"\n", path.display()));
    refuses_to_start(&outside, &["laneway.db", "Read-only file system"]);
}

/// Changes a stored event past the server; its id.
fn damage(installation: &Installation) -> (String, Option<String>) {
    let victim = Store::open(&installation.database()).events().into_iter().nth(20).expect("21 events");
    let database = rusqlite::Connection::open(installation.database()).expect("the store opens");
    let sql = format!("UPDATE event_{} SET data = CAST('\"changed\"' AS BLOB) WHERE offset = ?1", victim.partition);
    let changed = database.execute(&sql, [i64::try_from(victim.offset).expect("a small offset")]);
    assert_eq!(changed, Ok(1));
    (victim.id, victim.key)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrupted_event_is_put_aside_and_the_rest_goes_on() {
    const EVENTS: usize = 60;
    let receiver = Receiver::start(Behaviour::healthy(), 1).await;
    let settings = |lines| Settings::destinations(&[webhook("main", &receiver.url(), lines)]).store("partitions = 2");
    let installation = Installation::new(&settings("paused = true"));
    let server = installation.start().await;
    let events: Vec<Value> = (0..EVENTS)
        .map(|n| json!({"id": format!("e{n}"), "type": "t", "key": format!("k{}", n % 5), "data": n}))
        .collect();
    server.client().accepted_all(&events).await;
    server.stop();
    let (id, key) = damage(&installation);
    installation.configure(&settings(""));
    let server = installation.start().await;
    receiver.taken(EVENTS - 1).await;
    server.client().settled("main").await;
    let record = receiver.record();
    assert!(!record.taken.contains_key(&id), "a corrupted event was delivered");
    let of_key = record.deliveries.iter().filter(|delivery| delivery.key == key).count();
    assert_eq!(of_key, EVENTS / 5 - 1, "the corrupted event's key did not go on");
    let reported = installation.stdout() + &installation.stderr();
    assert!(reported.contains("checksum") || reported.contains("corrupt"), "it was not reported:\n{}", tail(&reported));
    server.stop();
    let store = Store::open(&installation.database());
    assert_eq!(store.quarantined(), 1);
    let stored: Vec<_> = store.events().into_iter().filter(|event| event.id != id).collect();
    checker::check(&stored, &record, &BTreeSet::new(), false).assert_clean("main");
    // It is put aside once, not at each start.
    installation.start().await.stop();
    assert_eq!(Store::open(&installation.database()).quarantined(), 1);
}
