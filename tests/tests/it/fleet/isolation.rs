//! A node of a Cluster that is down, without a replica: the others' partitions go on, in and out.

use super::scene::{PARTITIONS, REPEATED, Receivers};
use laneway_domain::Partition;
use laneway_servers::redis::RedisSettings;
use laneway_servers::redis_cluster::RedisCluster;
use laneway_tests::client::Client;
use laneway_tests::fleet::Fleet;
use laneway_tests::producer::Sent;
use laneway_tests::server::{Half, tail};
use serde_json::json;
use std::time::{Duration, Instant};

/// For how long the node is down: beyond the leases of its partitions, and all limits of time.
const DOWN: Duration = Duration::from_secs(12);
/// How often a producer tries again that was told to.
const AGAIN: Duration = Duration::from_millis(50);
/// How long it does.
const PATIENCE: Duration = Duration::from_secs(60);

/// The node that has the slot of a key.
async fn owner(cluster: &RedisCluster, key: &str) -> usize {
    let slot = cluster.nodes()[0].command(&["CLUSTER", "KEYSLOT", key]).await.expect("an answer").text();
    cluster.primary_of(slot.parse().expect("a slot")).await.unwrap_or_else(|e| panic!("{e}"))
}

/// A key of each partition: of those that the node has, and of the others.
async fn keys(cluster: &RedisCluster, node: usize) -> (Vec<String>, Vec<String>) {
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for partition in (0..PARTITIONS).map(Partition) {
        let has = owner(cluster, &format!("{{laneway:{partition}}}:log")).await == node;
        let key = (0..).map(|n| format!("k{n}")).find(|key| Partition::of(key, PARTITIONS) == partition);
        if has { &mut with } else { &mut without }.extend(key);
    }
    assert!(!with.is_empty() && !without.is_empty(), "{with:?} {without:?}");
    (with, without)
}

fn event(id: &str, key: &str) -> String {
    json!({"id": id, "type": "t", "key": key, "data": id}).to_string()
}

/// Sends an event until it is taken, as a producer does that is told to come later.
async fn surely(client: &Client, id: &str, key: &str) {
    let began = Instant::now();
    loop {
        let answer = client.post("/v1/events", event(id, key)).await.expect("an answer");
        match answer.status {
            202 => return,
            503 => assert!(began.elapsed() < PATIENCE, "{}", answer.text()),
            _ => panic!("{}", answer.text()),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// How a node goes down: its connections stay and say nothing, or are closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Down {
    Stopped,
    Killed,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stands_still_holds_up_no_other_partition() {
    holds_up_no_other(Down::Stopped).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_killed_holds_up_no_other_partition() {
    holds_up_no_other(Down::Killed).await;
}

async fn holds_up_no_other(how: Down) {
    let settings = RedisSettings::default().with("cluster-require-full-coverage", "no");
    let mut cluster = RedisCluster::start(3, 0, settings).await.unwrap_or_else(|e| panic!("{e}"));
    let receivers = Receivers::start().await;
    let fleet = Fleet::new(&cluster.url(), PARTITIONS, "", &receivers.destinations());
    let ingests = fleet.start(Half::Ingest, 1).await;
    let workers = fleet.start(Half::Worker, 2).await;
    // The worst one: it has the register of workers, too.
    let node = owner(&cluster, "{laneway}:workers").await;
    let (held, others) = keys(&cluster, node).await;
    let mut sent = Sent::default();
    match how {
        Down::Stopped => cluster.nodes()[node].stop().unwrap_or_else(|e| panic!("{e}")),
        Down::Killed => cluster.node_mut(node).kill(),
    }
    let waiting: Vec<_> = held
        .iter()
        .map(|key| {
            let (client, key, id) = (ingests[0].client(), key.clone(), format!("held-{key}"));
            sent.accepted.push(id.clone());
            tokio::spawn(async move { surely(&client, &id, &key).await })
        })
        .collect();
    let began = Instant::now();
    let mut round = 0;
    while began.elapsed() < DOWN {
        for key in &others {
            let id = format!("during-{round}-{key}");
            let answer = ingests[0].client().post("/v1/events", event(&id, key)).await.expect("an answer");
            let said = || tail(&ingests[0].installation.stderr());
            assert_eq!(answer.status, 202, "round {round}, after {:?}: {}\n{}", began.elapsed(), answer.text(), said());
            sent.accepted.push(id);
        }
        round += 1;
        // Each of them is delivered while the node is still down.
        receivers.healthy.taken(round * others.len()).await;
    }
    println!(
        "{how:?}: {round} rounds of {} events in {:?}, {} partitions waited",
        others.len(),
        began.elapsed(),
        held.len()
    );
    let ready = ingests[0].client().get("/readyz").await.expect("an answer");
    assert_eq!(ready.status, 200, "{}", ready.text());
    assert!(waiting.iter().all(|waiting| !waiting.is_finished()), "the node was not down");
    match how {
        Down::Stopped => cluster.nodes()[node].cont(),
        Down::Killed => cluster.node_mut(node).restart().await,
    }
    .unwrap_or_else(|e| panic!("{e}"));
    for waiting in waiting {
        waiting.await.expect("it is taken in the end");
    }
    receivers.check(&fleet, &[sent], u64::from(PARTITIONS) * REPEATED).await;
    drop(workers);
}
