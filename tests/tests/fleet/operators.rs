//! What operators tell one process and another must do.

use crate::scene::{PARTITIONS, redis};
use laneway_tests::fleet::Fleet;
use laneway_tests::receiver::{Behaviour, Receiver};
use laneway_tests::server::{Half, tail, webhook};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_retried_and_skipped_through_an_ingest() {
    let redis = redis().await;
    let receiver = Receiver::start(Behaviour::poisoned(&["order-7", "order-8"]), 1).await;
    // Nothing is attempted again by itself while the test runs.
    let lines = "from = \"beginning\"\nretry = { initial = \"1h\", limit = \"4h\" }";
    let fleet = Fleet::new(&redis.url(), PARTITIONS, "", &webhook("main", &receiver.url(), lines));
    let ingests = fleet.start(Half::Ingest, 1).await;
    let _workers = fleet.start(Half::Worker, 2).await;
    let client = ingests[0].client();
    for key in ["order-7", "order-8"] {
        client.accepted(&json!({"id": format!("e-{key}"), "type": "t", "key": key})).await;
    }
    client.until("main", "blocked", |status| status["blocked_keys"] == 2).await;
    receiver.behave(Behaviour::healthy());
    let operator = fleet.berth(Half::Both, "operator").installation;
    let url = format!("http://{}", ingests[0].installation.address());
    let run = |arguments: &[&str]| {
        let output = operator.run_with(arguments, &[("LANEWAY_URL", &url)]);
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (done, said) = run(&["keys", "skip", "main", "order-8"]);
    assert!(done, "{said}");
    let (done, said) = run(&["keys", "retry", "main", "order-7"]);
    assert!(done, "{said}\n{}", tail(&ingests[0].installation.stderr()));
    receiver.taken(1).await;
    client.settled("main").await;
    assert_eq!(fleet.dead_letters("main").await, ["e-order-8".to_owned()].into());
    assert_eq!(receiver.record().taken.len(), 1);
    let (done, said) = run(&["keys", "retry", "main", "order-7"]);
    assert!(!done && said.contains("no key"), "{said}");
}
