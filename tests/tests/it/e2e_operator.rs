//! What an operator does from the command line, against a running server.

use laneway_tests::checker;
use laneway_tests::receiver::{Behaviour, Receiver};
use laneway_tests::server::{Installation, Running, Settings, webhook};
use laneway_tests::store::Store;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const QUICK_RETRY: &str = r#"retry = { initial = "20ms", limit = "40ms" }"#;
/// Long enough that nothing is tried again while the test looks.
const PATIENT_RETRY: &str = r#"retry = { initial = "1h", limit = "2h" }"#;

/// Runs a command that has to succeed; what it printed.
fn said(installation: &Installation, arguments: &[&str]) -> String {
    let output = installation.run(arguments);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "laneway {}: {}\n{out}{err}", arguments.join(" "), output.status);
    out.into_owned()
}

fn dead_letters(installation: &Installation) -> Vec<Value> {
    let listed = said(installation, &["dead-letters", "list", "--destination", "main", "--json"]);
    listed.lines().map(|line| serde_json::from_str(line).expect("one JSON object a line")).collect()
}

/// What the history of `main` says was done there, the latest first.
fn history(installation: &Installation) -> Vec<String> {
    let listed = said(installation, &["destinations", "changes", "main", "--json"]);
    let lines = listed.lines().map(|line| serde_json::from_str::<Value>(line).expect("one JSON object a line"));
    let by = "the interface without tokens";
    lines.filter(|line| line["by"] == by).map(|line| line["what"].as_str().expect("text").to_owned()).collect()
}

fn ids(letters: &[Value]) -> BTreeSet<&str> {
    letters.iter().filter_map(|letter| letter["event_id"].as_str()).collect()
}

/// Three events of the key `bad`, which the receiver refuses, and one of the key `good`.
async fn three_dead_letters(receiver: &Receiver) -> (Installation, Running) {
    let installation = Installation::new(&Settings::destinations(&[webhook("main", &receiver.url(), QUICK_RETRY)]));
    let server = installation.start().await;
    for n in 0..3 {
        server.client().accepted(&json!({"id": format!("bad-{n}"), "type": "t", "key": "bad", "data": n})).await;
    }
    server.client().accepted(&json!({"id": "good", "type": "t", "key": "good", "data": 0})).await;
    let given_up = |s: &Value| s["pending"] == 0 && s["dead_letters"] == 3 && s["blocked_keys"] == 0;
    server.client().until("main", "through with three dead letters", given_up).await;
    (installation, server)
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_retried_and_discarded() {
    let receiver = Receiver::start(Behaviour::poisoned(&["bad"]), 1).await;
    let (installation, server) = three_dead_letters(&receiver).await;
    let letters = dead_letters(&installation);
    assert_eq!(ids(&letters), BTreeSet::from(["bad-0", "bad-1", "bad-2"]));
    for letter in &letters {
        assert_eq!((&letter["lane_key"], &letter["attempts"]), (&"key:bad".into(), &3.into()), "{letter}");
        assert!(
            letter["history"]
                .as_array()
                .is_some_and(|h| h.len() == 3 && h[0]["reason"].as_str().unwrap().contains("500"))
        );
    }
    assert!(said(&installation, &["dead-letters", "list"]).contains("bad-1"));
    let shown = said(&installation, &["dead-letters", "show", "main", "bad-1", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&shown).expect("JSON")["event"]["data"], 1);

    // By what was answered, by type and time: counted first, and nothing is changed by that.
    let counted = |more: &[&str]| {
        said(&installation, &[&["dead-letters", "discard", "--destination", "main", "--dry-run"], more].concat())
    };
    assert_eq!(
        counted(&["--status", "500", "--type", "t"]),
        "main has 3 dead letters of the type t answered with 500\n"
    );
    assert_eq!(counted(&["--since", "1h"]).split(" given up since ").next(), Some("main has 3 dead letters"));
    for none in [["--status", "422"], ["--type", "x.*"], ["--until", "1h"]] {
        let arguments = [&["dead-letters", "retry", "--destination", "main"], &none[..]].concat();
        let output = installation.run(&arguments);
        assert!(!output.status.success(), "{none:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("main has no dead letters"), "{none:?}");
        assert_eq!(said(&installation, &[&["dead-letters", "list", "--json"], &none[..]].concat()), "", "{none:?}");
    }
    assert_eq!(said(&installation, &["dead-letters", "list", "--status", "500", "--json"]).lines().count(), 3);

    // Retried while the receiver still refuses: it stays one.
    said(&installation, &["dead-letters", "retry", "--destination", "main", "--event", "bad-0"]);
    receiver.until("bad-0 attempted once more", |r| r.deliveries.iter().filter(|d| d.id == "bad-0").count() > 3).await;
    server.client().until("main", "ended", |s| s["in_flight"] == 0 && s["dead_letters"] == 3).await;

    let refused = installation.run(&["dead-letters", "discard", "--destination", "main", "--event", "bad-2"]);
    assert!(!refused.status.success(), "it discarded without --yes");
    said(&installation, &["dead-letters", "discard", "--destination", "main", "--event", "bad-2", "--yes"]);
    assert_eq!(ids(&dead_letters(&installation)), BTreeSet::from(["bad-0", "bad-1"]));

    receiver.behave(Behaviour::healthy());
    said(&installation, &["dead-letters", "retry", "--destination", "main"]);
    receiver.taken(3).await;
    server.client().until("main", "without dead letters", |s| s["dead_letters"] == 0).await;
    assert!(dead_letters(&installation).is_empty());
    let taken: Vec<String> = receiver.record().deliveries.into_iter().filter(|d| d.taken).map(|d| d.id).collect();
    assert_eq!(taken, ["good", "bad-0", "bad-1"], "retried dead letters keep their key's order");
    assert!(!installation.run(&["dead-letters", "retry", "--destination", "main"]).status.success());
    assert_eq!(
        history(&installation),
        [
            "retried 2 dead letters",
            "discarded 1 dead letter of the event bad-2",
            "retried 1 dead letter of the event bad-0"
        ]
    );
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_that_was_asked_for_survives_a_crash() {
    let receiver = Receiver::start(Behaviour::poisoned(&["bad"]), 1).await;
    let (installation, server) = three_dead_letters(&receiver).await;
    receiver.behave(Behaviour::healthy());
    let answer = server.client().post("/v1/dead-letters/retry", r#"{"destination":"main"}"#).await.expect("an answer");
    assert_eq!((answer.status, &answer.json()["count"]), (200, &3.into()));
    server.kill();
    let server = installation.start().await;
    receiver.taken(4).await;
    server.client().until("main", "without dead letters", |s| s["dead_letters"] == 0).await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_key_is_shown_retried_and_skipped() {
    let receiver = Receiver::start(Behaviour::poisoned(&["stuck"]), 1).await;
    let installation = Installation::new(&Settings::destinations(&[webhook("main", &receiver.url(), PATIENT_RETRY)]));
    let server = installation.start().await;
    for n in 0..3 {
        server.client().accepted(&json!({"id": format!("stuck-{n}"), "type": "t", "key": "stuck", "data": n})).await;
    }
    let attempts = |n: u64| move |s: &Value| s["blocked"][0]["attempts"] == n;
    server.client().until("main", "blocked", attempts(1)).await;
    let shown = said(&installation, &["status", "--keys"]);
    assert!(shown.contains("main") && shown.contains("stuck") && shown.contains("500"), "{shown}");
    let shown: Value = serde_json::from_str(&said(&installation, &["status", "--json"])).expect("JSON");
    assert_eq!(shown["destinations"][0]["pending"], 3);

    said(&installation, &["keys", "retry", "main", "stuck"]);
    server.client().until("main", "attempted again", attempts(2)).await;
    said(&installation, &["keys", "skip", "main", "stuck"]);
    server.client().until("main", "one further", |s| s["dead_letters"] == 1 && s["pending"] == 2).await;
    receiver.behave(Behaviour::healthy());
    server.client().until("main", "at the next event", attempts(1)).await;
    said(&installation, &["keys", "retry", "main", "key:stuck"]);
    server.client().settled("main").await;
    assert!(!installation.run(&["keys", "retry", "main", "stuck"]).status.success(), "there is no such key any more");
    let skipped = "skipped the failed event of key:stuck";
    assert_eq!(history(&installation), ["retried key:stuck", skipped, "retried key:stuck"]);
    server.stop();
    let store = Store::open(&installation.database());
    let dead = store.dead_letters("main");
    assert_eq!(dead, BTreeSet::from(["stuck-0".to_owned()]));
    checker::check(&store.events(), &receiver.record(), &dead, false).assert_clean("main");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_sent_in_order_and_only_once_however_often_it_is_sent() {
    const EVENTS: usize = 2345;
    let receiver = Receiver::start(Behaviour::healthy(), 1).await;
    let installation = Installation::new(&Settings::destinations(&[webhook("main", &receiver.url(), "")]));
    let server = installation.start().await;
    let line = |n: usize| json!({"type": "t", "key": format!("k{}", n % 11), "data": {"n": n}}).to_string();
    let lines: Vec<String> = (0..EVENTS).map(line).collect();
    std::fs::write(installation.folder().join("events.ndjson"), lines.join("\n")).expect("it can be written");
    said(&installation, &["send", "events.ndjson", "--run", "import"]);
    said(&installation, &["send", "events.ndjson", "--run", "import"]);
    server.client().settled("main").await;
    server.stop();
    let stored = Store::open(&installation.database()).events();
    assert_eq!(stored.len(), EVENTS);
    checker::check(&stored, &receiver.record(), &BTreeSet::new(), false).assert_clean("main");
    let numbers = |key: &str| -> Vec<u64> {
        let of_key = stored.iter().filter(|event| event.key.as_deref() == Some(key));
        of_key
            .map(|event| serde_json::from_slice::<Value>(&event.data).expect("JSON")["n"].as_u64().expect("n"))
            .collect()
    };
    assert!((0..11).all(|k| numbers(&format!("k{k}")).is_sorted()), "the file's order was not kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_says_what_would_run_and_starts_nothing() {
    let installation = Installation::new(&Settings::destinations(&[webhook("main", "http://127.0.0.1:9/", "")]));
    let shown = said(&installation, &["check"]);
    assert!(shown.contains("main"), "{shown}");
    assert!(!installation.database().exists(), "check made a store");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_what_was_accepted_and_delivered() {
    let receiver = Receiver::start(Behaviour::healthy(), 1).await;
    let installation = Installation::new(&Settings::destinations(&[webhook("main", &receiver.url(), "")]));
    let server = installation.start().await;
    for n in 0..7 {
        server.client().accepted(&json!({"type": "t", "data": n})).await;
    }
    server.client().settled("main").await;
    let metrics = server.client().get("/metrics").await.expect("an answer").text();
    let value = |name: &str, label: &str| {
        let lines = metrics.lines().filter(|l| l.starts_with(name) && l.contains(label));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>()
    };
    assert_eq!(value("laneway_events_accepted_total", ""), 7.0, "{metrics}");
    assert_eq!(value("laneway_deliveries_total", "outcome=\"delivered\""), 7.0, "{metrics}");
    assert_eq!(value("laneway_pending_events", ""), 0.0, "{metrics}");
    for name in
        ["laneway_delivery_seconds", "laneway_end_to_end_seconds", "laneway_blocked_keys", "laneway_commit_seconds"]
    {
        assert!(metrics.contains(name), "{name} is not in:\n{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_delivers_again_in_order_and_survives_a_crash() {
    let (receiver, other) =
        (Receiver::start(Behaviour::healthy(), 1).await, Receiver::start(Behaviour::healthy(), 2).await);
    let destinations = [webhook("main", &receiver.url(), QUICK_RETRY), webhook("other", &other.url(), QUICK_RETRY)];
    let installation = Installation::new(&Settings::destinations(&destinations));
    let server = installation.start().await;
    let event = |n: u32| json!({"id": format!("e{n}"), "type": "t", "key": format!("k{}", n % 5), "data": n});
    server.client().accepted_all(&(0..40).map(event).collect::<Vec<_>>()).await;
    for destination in ["main", "other"] {
        server.client().settled(destination).await;
    }
    let first = receiver.record().deliveries.len();

    for (arguments, why) in [
        (&["main", "--since", "1h"][..], "--yes"),
        (&["mian", "--since", "1h", "--yes"][..], "there is no destination mian"),
        (&["main", "--since", "the day before", "--yes"][..], "is no moment"),
    ] {
        let refused = installation.run(&[&["destinations", "replay"], arguments].concat());
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains(why), "{arguments:?}: {said}");
    }

    // Nothing comes through until its progress has gone back for good.
    receiver.behave(Behaviour::hanging());
    said(&installation, &["destinations", "replay", "main", "--since", "1h", "--yes"]);
    assert!(history(&installation)[0].starts_with("replayed from 20"), "{:?}", history(&installation));
    let gone_back = |_: &Value| !Store::open(&installation.database()).committed("main");
    server.client().until("main", "set back in the store", gone_back).await;
    server.kill();
    receiver.behave(Behaviour::healthy());
    let server = installation.start().await;
    receiver.until("everything again", |r| r.taken.len() == 40 && r.taken.values().all(|times| *times == 2)).await;
    server.client().settled("main").await;
    server.stop();

    let record = receiver.record();
    let again = record.deliveries.iter().skip(first).filter(|delivery| delivery.taken);
    let mut last = BTreeMap::new();
    for delivery in again {
        let before = last.insert(delivery.key.clone(), delivery.sequence);
        assert!(
            before.is_none_or(|before| before < delivery.sequence),
            "{:?} came after {before:?}",
            delivery.sequence
        );
    }
    assert!(other.record().taken.values().all(|times| *times == 1), "another destination got something again");
}
