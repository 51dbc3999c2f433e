//! The power goes, at random moments while events flow. Each file goes back to its last completed
//! fsync, or to whatever else the disk may have written of what came after it.

use laneway_tests::faults::scenarios;

#[tokio::test(flavor = "multi_thread")]
async fn power_cuts_lose_no_acknowledged_event_and_leave_a_sound_store() {
    let row = scenarios::named("power-cut").expect("there is one").run().await;
    println!("{row:?}");
    row.assert_clean();
    assert!(row.events > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_relaxed_durability_the_same_cut_does_take_acknowledged_events() {
    let lost = scenarios::relaxed_power_cut_losses().await;
    assert!(lost > 0, "nothing was lost: the test of power cuts could not fail");
}

#[tokio::test(flavor = "multi_thread")]
async fn power_cuts_of_redis_lose_no_acknowledged_event() {
    let row = scenarios::named("power-cut-redis").expect("there is one").run().await;
    println!("{row:?}");
    row.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn where_redis_fsyncs_once_a_second_the_same_cut_does_take_acknowledged_events() {
    // A cut right after the second's fsync takes nothing: then another one.
    for _ in 0..5 {
        match scenarios::everysec_power_cut_losses().await {
            Some(0) => {}
            Some(lost) => return println!("{lost} events lost"),
            None => return,
        }
    }
    panic!("nothing was lost: the test of power cuts could not fail");
}
