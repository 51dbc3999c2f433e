//! The first minutes with the real binary: start it, send one event, see it; and stop it again.

use laneway_tests::checker;
use laneway_tests::receiver::{Behaviour, Receiver};
use laneway_tests::server::{Installation, Settings, tail, webhook};
use laneway_tests::store::Store;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// The console's line is promised within a second of the answer; a busy machine gets some more.
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn without_any_configuration_an_event_is_on_the_console() {
    let installation = Installation::bare();
    let listen = installation.address().to_string();
    let mut server = installation.spawn(&["--listen", &listen]);
    server.ready().await.unwrap_or_else(|e| panic!("{e}: {}", tail(&installation.stderr())));
    let event = json!({"id": "evt_first", "type": "order.paid", "key": "order-7", "data": {"total": 42}});
    let answer = server.client().accepted(&event).await;
    assert_eq!(answer["id"], "evt_first");
    assert_eq!(answer["duplicate"], false);
    assert!(answer["partition"].is_u64() && answer["offset"].is_u64(), "{answer}");
    let deadline = Instant::now() + PATIENCE;
    let line = loop {
        let stdout = installation.stdout();
        if let Some(line) = stdout.lines().find(|line| line.contains("evt_first")) {
            break line.to_owned();
        }
        assert!(Instant::now() < deadline, "nothing of the event after {PATIENCE:?} in:\n{stdout}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    for part in ["order.paid", "order-7", r#"{"total":42}"#] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
    server.stop();
}

#[test]
fn help_names_every_command() {
    let installation = Installation::bare();
    let help = installation.run(&["--help"]);
    assert!(help.status.success());
    let text = String::from_utf8_lossy(&help.stdout);
    for command in ["serve", "send", "status", "check", "dead-letters"] {
        assert!(text.contains(command), "{command} is not in:\n{text}");
        let help = installation.run(&[command, "--help"]);
        assert!(help.status.success() && !help.stdout.is_empty(), "{command} --help");
    }
    assert!(installation.run(&["--version"]).status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graceful_stop_loses_nothing_and_repeats_nothing() {
    const EVENTS: usize = 2000;
    let receiver = Receiver::start(Behaviour::slow(Duration::from_millis(2)), 1).await;
    let settings = Settings::destinations(&[webhook("main", &receiver.url(), "")]).store("partitions = 4");
    let installation = Installation::new(&settings);
    let events: Vec<Value> = (0..EVENTS)
        .map(|n| json!({"id": format!("e{n}"), "type": "t", "key": format!("k{}", n % 97), "data": n}))
        .collect();
    let server = installation.start().await;
    server.client().accepted_all(&events).await;
    receiver.taken(EVENTS / 10).await;
    server.stop();
    let between = receiver.record().taken.len();
    assert!(between < EVENTS, "everything was delivered before the stop: the test shows nothing");
    let server = installation.start().await;
    receiver.taken(EVENTS).await;
    server.client().settled("main").await;
    server.stop();
    let stored = Store::open(&installation.database()).events();
    assert_eq!(stored.len(), EVENTS);
    let found = checker::check(&stored, &receiver.record(), &BTreeSet::new(), false);
    found.assert_clean("main");
    assert_eq!(found.duplicates, 0, "a graceful stop made {} duplicates", found.duplicates);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_sent_again_is_stored_once_also_after_a_crash() {
    let receiver = Receiver::start(Behaviour::healthy(), 1).await;
    let installation = Installation::new(&Settings::destinations(&[webhook("main", &receiver.url(), "")]));
    let event = json!({"id": "once", "type": "t", "key": "k", "data": 1});
    let server = installation.start().await;
    let first = server.client().accepted(&event).await;
    server.kill();
    let server = installation.start().await;
    let again = server.client().accepted(&event).await;
    assert_eq!(again["duplicate"], true);
    assert_eq!((&again["partition"], &again["offset"]), (&first["partition"], &first["offset"]));
    server.client().settled("main").await;
    server.stop();
    assert_eq!(Store::open(&installation.database()).events().len(), 1);
}
