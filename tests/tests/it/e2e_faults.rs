//! The fault matrix in its short form; `tests/faults` runs the long one and prints the table.

use laneway_tests::faults::scenarios;

/// Runs a scenario, and expects that no guarantee was broken.
async fn survives(name: &str) {
    let row = scenarios::named(name).expect("there is one").run().await;
    println!("{row:?}");
    row.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9() {
    survives("kill").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_beside_a_slow_destination() {
    survives("kill-beside-slow").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_beside_a_destination_that_hangs() {
    survives("kill-beside-hanging").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_stands_still() {
    survives("pause").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_fsync_that_fails_ends_all_acknowledgements() {
    survives("fsync").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_for_a_moment() {
    survives("full-disk").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_few_files_for_all_connections() {
    survives("few-files").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_on_a_full_disk() {
    survives("full-disk-restart").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_byte_in_a_page() {
    survives("page").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_to_the_receiver_that_are_cut() {
    survives("receiver-cut").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_way_to_the_receiver() {
    survives("receiver-slow").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_way_to_the_receiver() {
    survives("receiver-half-open").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps() {
    survives("clock").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_of_an_ingest() {
    survives("kill-ingest").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_of_a_worker() {
    survives("kill-worker").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_of_redis() {
    survives("kill-redis").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stands_still_beyond_its_lease() {
    survives("pause-worker").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_full_for_a_moment() {
    survives("full-redis").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_to_redis_that_are_cut() {
    survives("redis-cut").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_way_to_redis() {
    survives("redis-slow").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_way_to_redis() {
    survives("redis-half-open").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_of_a_primary_of_a_cluster() {
    survives("kill-primary").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_of_a_cluster_that_stands_still() {
    survives("pause-primary").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_of_redis_that_change_while_it_runs() {
    survives("redis-settings").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_replica_that_would_not_keep_events() {
    survives("promoted-replica").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_of_a_cluster_that_move() {
    survives("reshard").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_of_the_primary_behind_a_sentinel() {
    survives("kill-sentinel-primary").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_of_valkey() {
    survives("kill-valkey").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mongodb_whose_primary_steps_down() {
    survives("mongodb-step-down").await;
}

#[test]
fn every_scenario_is_a_test_here() {
    let here = include_str!("e2e_faults.rs").to_owned() + include_str!("e2e_power_cut.rs");
    for scenario in scenarios::ALL {
        let called = [format!("survives(\"{}\")", scenario.name), format!("named(\"{}\")", scenario.name)];
        assert!(called.iter().any(|call| here.contains(call)), "{} has no test", scenario.name);
    }
}
