//! A Redis Cluster whose primaries are killed under load.

use super::scene::{PARTITIONS, Producers, REPEATED, Receivers};
use laneway_servers::redis::RedisSettings;
use laneway_servers::redis_cluster::RedisCluster;
use laneway_tests::effort;
use laneway_tests::fleet::Fleet;
use laneway_tests::server::Half;

/// A slot of each third of the Cluster's 16,384: the primaries take turns.
const SLOTS: [u16; 3] = [1_000, 7_000, 13_000];

#[tokio::test(flavor = "multi_thread")]
async fn primaries_that_die_lose_nothing_that_a_replica_had_to_acknowledge() {
    let kills = effort::scaled(3, 20);
    let count = kills * 3_000;
    let mut cluster = RedisCluster::start(3, 3, RedisSettings::default()).await.unwrap_or_else(|e| panic!("{e}"));
    let receivers = Receivers::start().await;
    let fleet = Fleet::new(&cluster.url(), PARTITIONS, "replicas = 1", &receivers.destinations());
    let ingests = fleet.start(Half::Ingest, 2).await;
    let _workers = fleet.start(Half::Worker, 2).await;
    let mut producers = Producers::start(&ingests, count, 9);
    for n in 0..kills {
        producers.at(count * 8 / 10 * n / kills + 200).await;
        let slot = SLOTS[n % 3];
        let primary = cluster.primary_of(slot).await.unwrap_or_else(|e| panic!("{e}"));
        cluster.node_mut(primary).kill();
        let promoted = cluster.wait_failover(slot, primary).await.unwrap_or_else(|e| panic!("{e}"));
        println!("slot {slot}: node {primary} was killed, node {promoted} is primary");
        cluster.node_mut(primary).restart().await.unwrap_or_else(|e| panic!("{e}"));
        cluster.wait_replicated(3).await.unwrap_or_else(|e| panic!("{e}"));
    }
    let sent = producers.finish().await;
    receivers.check(&fleet, &sent, kills as u64 * u64::from(PARTITIONS) * REPEATED).await;
    for berth in ingests {
        let metrics = berth.client().get("/metrics").await.expect("an answer").text();
        let losses = metrics.lines().find(|line| line.starts_with("laneway_log_losses_total"));
        assert!(losses.is_none_or(|line| line.ends_with(" 0")), "{losses:?}\n{}", berth.installation.stderr());
    }
}
