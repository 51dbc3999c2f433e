//! One key fails and a great many events wait behind it: what that costs, and how it ends.

use laneway_tests::client::Client;
use laneway_tests::receiver::{Behaviour, Receiver};
use laneway_tests::server::{Installation, Running, Settings, webhook};
use laneway_tests::store::Store;
use laneway_tests::{checker, effort};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const RETRY: &str = r#"retry = { initial = "50ms", factor = 1, limit = "1h" }"#;

/// Events of the key `stuck`, with one of another key after every tenth.
async fn send(client: &Client, from: usize, to: usize) -> usize {
    let mut others = 0;
    for start in (from..to).step_by(450) {
        let mut events: Vec<Value> = Vec::new();
        for n in start..to.min(start + 450) {
            events.push(json!({"id": format!("stuck-{n}"), "type": "t", "key": "stuck", "data": n}));
            if n.is_multiple_of(10) {
                events.push(
                    json!({"id": format!("free-{n}"), "type": "t", "key": format!("free-{}", n % 70), "data": n}),
                );
                others += 1;
            }
        }
        client.accepted_all(&events).await;
    }
    others
}

/// Every other key is through, and the whole queue is one record.
async fn check_blocked(
    server: &Running,
    installation: &Installation,
    receiver: &Receiver,
    others: usize,
    queue: usize,
) {
    receiver.taken(others).await;
    // The number of those that wait is not exact while they have to be found again, but never too small.
    let counted = |s: &Value| {
        s["pending"].as_u64() >= Some(queue as u64) && (s["pending"] == queue || s["pending_exact"] == false)
    };
    let through = |s: &Value| counted(s) && s["blocked_keys"] == 1 && s["blocked"][0]["key"] == "key:stuck";
    server.client().until("main", "down to the blocked key", through).await;
    assert_eq!(receiver.record().taken.len(), others, "an event passed a failing one of its key");
    // The record is committed shortly after the status shows it.
    for _ in 0..500 {
        if Store::open(&installation.database()).behind("main") == 1 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("{} keys are recorded as behind", Store::open(&installation.database()).behind("main"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_events_behind_a_failing_one_are_one_record_and_drain_in_order() {
    let queue = effort::scaled(5_000, 1_000_000);
    let receiver = Receiver::start(Behaviour::poisoned(&["stuck"]), 1).await;
    let settings = Settings::destinations(&[webhook("main", &receiver.url(), RETRY)]).store("partitions = 2");
    let installation = Installation::new(&settings);
    let server = installation.start().await;
    let mut others = send(&server.client(), 0, queue / 2).await;
    check_blocked(&server, &installation, &receiver, others, queue / 2).await;
    server.kill();
    let server = installation.start().await;
    others += send(&server.client(), queue / 2, queue).await;
    check_blocked(&server, &installation, &receiver, others, queue).await;
    server.stop();
    let server = installation.start().await;
    receiver.behave(Behaviour::healthy());
    receiver.taken(others + queue / 4).await;
    // Once more in the middle of the catching up.
    server.kill();
    let server = installation.start().await;
    receiver.taken(others + queue).await;
    server.client().settled("main").await;
    server.stop();
    let store = Store::open(&installation.database());
    assert_eq!(store.behind("main"), 0);
    let found = checker::check(&store.events(), &receiver.record(), &BTreeSet::new(), false);
    println!("main: {found}");
    found.assert_clean("main");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_is_down_gets_everything_when_it_is_back() {
    const EVENTS: usize = 3000;
    let (up, down) = (Receiver::start(Behaviour::healthy(), 1).await, Receiver::start(Behaviour::healthy(), 2).await);
    let retry = r#"retry = { initial = "50ms", limit = "1s" }"#;
    let installation = Installation::new(&Settings::destinations(&[
        webhook("up", &up.url(), ""),
        webhook("down", &down.url(), retry),
    ]));
    let server = installation.start().await;
    let event = |n: usize| json!({"id": format!("e{n}"), "type": "t", "key": format!("k{}", n % 50), "data": n});
    let events: Vec<Value> = (0..EVENTS).map(event).collect();
    server.client().accepted_all(&events[..EVENTS / 3]).await;
    down.taken(100).await;
    down.close().await;
    server.client().accepted_all(&events[EVENTS / 3..]).await;
    up.taken(EVENTS).await;
    server.client().until("down", "seen as an outage", |s| s["breaker"]["state"] == "open").await;
    server.kill();
    let server = installation.start().await;
    down.up().await;
    down.taken(EVENTS).await;
    for (name, receiver) in [("up", &up), ("down", &down)] {
        let status = server.client().settled(name).await;
        assert_eq!((&status["dead_letters"], &status["breaker"]["state"]), (&0.into(), &"closed".into()), "{status}");
        let stored = Store::open(&installation.database()).events();
        checker::check(&stored, &receiver.record(), &BTreeSet::new(), false).assert_clean(name);
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_destination_does_not_hold_its_neighbour() {
    const EVENTS: usize = 2000;
    let fast = Receiver::start(Behaviour::healthy(), 1).await;
    let slow = Receiver::start(Behaviour::hanging(), 2).await;
    let installation = Installation::new(&Settings::destinations(&[
        webhook("fast", &fast.url(), ""),
        webhook("slow", &slow.url(), "timeout = \"60s\""),
    ]));
    let server = installation.start().await;
    let event = |n: usize| json!({"id": format!("e{n}"), "type": "t", "key": format!("k{}", n % 50), "data": n});
    server.client().accepted_all(&(0..EVENTS).map(event).collect::<Vec<_>>()).await;
    // The slow one answers nothing before the fast one has everything: only counts are looked at.
    fast.taken(EVENTS).await;
    server.client().settled("fast").await;
    let status = server.client().status("slow").await;
    assert_eq!((&status["pending"], slow.record().taken.len()), (&EVENTS.into(), 0), "{status}");
    assert!(status["in_flight"].as_u64() <= Some(64), "{status}");
}
