//! Faults of the nodes of a Redis Cluster, and of those behind a Sentinel.

use crate::faults::cluster::{ClusterFleet, SentinelFleet};
use crate::faults::table::Row;
use laneway_servers::redis_cluster::NODE_TIMEOUT;
use laneway_servers::redis_sentinel::DOWN_AFTER;
use rand::RngExt;
use std::time::Duration;

/// The longest that a node stands still: several times what makes the others replace it.
const LONGEST_STANDSTILL: Duration = Duration::from_millis(3 * NODE_TIMEOUT.as_millis() as u64);

/// What is done to a Cluster cannot be sent to another thread, so it gets one.
async fn on_its_own(scenario: impl AsyncFnOnce() -> Row + Send + 'static) -> Row {
    let run = || {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime starts");
        runtime.block_on(scenario())
    };
    tokio::task::spawn_blocking(run).await.unwrap_or_else(|ended| std::panic::resume_unwind(ended.into_panic()))
}

fn not_done(fault: &str) -> Row {
    Row { fault: fault.into(), note: "not done: there is no redis-server here".into(), ..Row::default() }
}

/// `kill -9` of a primary, which one of its replicas replaces; it comes back as that one's replica.
pub(super) async fn primary_killed(times: usize) -> Row {
    let fault = "kill -9 of a Cluster primary (Redis, `replicas = 1`)";
    on_its_own(async move || {
        let Some(mut fleet) = ClusterFleet::start().await else { return not_done(fault) };
        let mut load = fleet.load();
        for n in 0..times {
            fleet.a_while(&mut load).await;
            let (slot, primary) = fleet.primary(n).await;
            fleet.servers.node_mut(primary).kill();
            fleet.servers.wait_failover(slot, primary).await.expect("a replica is promoted");
            fleet.servers.node_mut(primary).restart().await.expect("the node starts again");
            fleet.at_rest().await;
        }
        let sending = load.stop().await;
        let mut row = fleet.finish(fault, times, sending).await;
        row.note = format!("replaced after {NODE_TIMEOUT:?} and an election; restarted then");
        row
    })
    .await
}

/// A replica whose settings would lose what it acknowledges is promoted; when they were mended, it is killed and started
/// again.
pub(super) async fn wrong_replica_promoted(times: usize) -> Row {
    let fault = "promoted replica with `appendonly no`, mended, and `kill -9` then (Redis Cluster, `replicas = 1`)";
    on_its_own(async move || {
        let Some(mut fleet) = ClusterFleet::start().await else { return not_done(fault) };
        let mut load = fleet.load();
        for n in 0..times {
            fleet.a_while(&mut load).await;
            let (slot, primary) = fleet.primary(n).await;
            let replica = fleet.servers.nodes_of(slot).await.expect("the Cluster knows")[1];
            let set = async |fleet: &ClusterFleet, value| {
                let set = ["CONFIG", "SET", "appendonly", value];
                fleet.servers.nodes()[replica].command(&set).await.expect("it may be set");
            };
            set(&fleet, "no").await;
            fleet.servers.node_mut(primary).kill();
            let promoted = fleet.servers.wait_failover(slot, primary).await.expect("a replica is promoted");
            assert_eq!(promoted, replica, "there is one replica");
            fleet.ingests_tell("appendonly = no", true).await;
            set(&fleet, "yes").await;
            fleet.ingests_tell("no event is accepted", false).await;
            // So that there is a replica to acknowledge what it takes from now on; and then its file has to be there.
            fleet.servers.node_mut(primary).restart().await.expect("the node starts again");
            fleet.at_rest().await;
            fleet.a_while(&mut load).await;
            fleet.servers.node_mut(promoted).kill();
            fleet.servers.node_mut(promoted).restart().await.expect("the node starts again");
            fleet.at_rest().await;
        }
        let sending = load.stop().await;
        let mut row = fleet.finish(fault, times, sending).await;
        row.note = "its partitions get 503 until it is mended, the others go on".into();
        row
    })
    .await
}

/// A primary that stands still, for so short that nobody notices, or for so long that it was
/// replaced when it goes on.
pub(super) async fn primary_paused(times: usize) -> Row {
    let fault = "SIGSTOP and SIGCONT of a Cluster primary (Redis, `replicas = 1`)";
    on_its_own(async move || {
        let Some(mut fleet) = ClusterFleet::start().await else { return not_done(fault) };
        let mut load = fleet.load();
        for n in 0..times {
            fleet.a_while(&mut load).await;
            let (_, primary) = fleet.primary(n).await;
            let still = fleet.random.random_range(Duration::from_millis(200)..LONGEST_STANDSTILL);
            fleet.servers.nodes()[primary].stop().expect("it runs");
            tokio::time::sleep(still).await;
            fleet.servers.nodes()[primary].cont().expect("it runs");
            fleet.at_rest().await;
        }
        let sending = load.stop().await;
        let mut row = fleet.finish(fault, times, sending).await;
        row.note = format!("stopped for 0.2 s to {LONGEST_STANDSTILL:?}; replaced after {NODE_TIMEOUT:?}");
        row
    })
    .await
}

/// A slot of the store moves to another node, with all that is in it, as an operator spreads a Cluster anew.
pub(super) async fn resharded(times: usize) -> Row {
    let fault = "a used slot moved to another node (Redis Cluster, `replicas = 1`)";
    on_its_own(async move || {
        let Some(mut fleet) = ClusterFleet::start().await else { return not_done(fault) };
        let mut load = fleet.load();
        for _ in 0..times {
            fleet.a_while(&mut load).await;
            let slot = fleet.used_slot();
            let moving = fleet.servers.begin_moving(slot, None).await.expect("it may be moved");
            // While it is on its way, the others go on.
            fleet.delivering().await;
            fleet.servers.end_moving(moving).await.expect("it may be moved");
            fleet.at_rest().await;
        }
        // Also what waited for a slot.
        load.more(200).await;
        let sending = load.stop().await;
        let mut row = fleet.finish(fault, times, sending).await;
        row.note = "503 for its partition while it is on its way; the others go on".into();
        row
    })
    .await
}

/// `kill -9` of the primary that a Sentinel watches; it comes back as the other one's replica.
pub(super) async fn sentinel_primary_killed(times: usize) -> Row {
    let fault = "kill -9 of the primary (Redis Sentinel, `replicas = 1`)";
    on_its_own(async move || {
        let Some(mut fleet) = SentinelFleet::start().await else { return not_done(fault) };
        let mut load = fleet.load();
        for _ in 0..times {
            fleet.a_while(&mut load).await;
            let primary = fleet.servers.primary().await.expect("the Sentinel knows");
            fleet.servers.server_mut(primary).kill();
            fleet.servers.wait_failover(primary).await.expect("the replica is promoted");
            fleet.servers.server_mut(primary).restart().await.expect("the server starts again");
            fleet.at_rest().await;
        }
        let sending = load.stop().await;
        let mut row = fleet.finish(fault, times, sending).await;
        row.note = format!("replaced after {DOWN_AFTER:?} and an election; restarted then");
        row
    })
    .await
}
