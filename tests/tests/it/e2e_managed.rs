//! What a script does with destinations from the command line: what goes to standard output is what it needs.

use laneway_tests::receiver::{Behaviour, Receiver};
use laneway_tests::server::{Installation, Settings, webhook};
use serde_json::Value;
use std::fs;

/// What a command has printed, its words for people apart, and whether it succeeded.
fn run(installation: &Installation, arguments: &[&str]) -> (String, String, bool) {
    let output = installation.run(&[&["destinations"], arguments].concat());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    (text(&output.stdout), text(&output.stderr), output.status.success())
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn tests_secrets_and_deletions_can_be_read_by_scripts() {
    let receiver = Receiver::start(Behaviour::healthy(), 1).await;
    let installation = Installation::new(&Settings::default());
    let server = installation.start().await;
    let table = webhook("billing", &receiver.url(), "paused = true");
    fs::write(installation.folder().join("made.toml"), table).expect("it can be written");
    assert!(run(&installation, &["apply", "made.toml"]).2);

    // A test goes to a paused one, too.
    let (out, _, good) = run(&installation, &["test", "billing"]);
    assert!(good && out.starts_with("billing took the test event") && out.contains("status 2"), "{out}");
    let (out, _, good) = run(&installation, &["test", "billing", "--json"]);
    assert!(good && json(&out)["delivered"] == true, "{out}");
    receiver.behave(Behaviour::answering(503));
    let (out, err, good) = run(&installation, &["test", "billing", "--json"]);
    assert!(!good && json(&out)["delivered"] == false && err.contains("billing did not take"), "{out} {err}");
    assert!(json(&out)["status"].as_u64().is_some_and(|status| status >= 400), "{out}");

    let (secret, said, good) = run(&installation, &["rotate-secret", "billing"]);
    assert!(good && secret.starts_with("whsec_") && secret.lines().count() == 1, "{secret} {said}");
    let (out, _, good) = run(&installation, &["rotate-secret", "billing", "--keep", "1h", "--json"]);
    let next = json(&out)["secret"].as_str().map(str::to_owned);
    assert!(good && next.is_some_and(|next| next.starts_with("whsec_") && next != secret), "{out}");

    for n in 0..3 {
        server.client().accepted(&serde_json::json!({"type": "t", "key": "k", "data": n})).await;
    }
    server.client().until("billing", "waiting", |status| status["pending"] == 3).await;
    let (out, _, good) = run(&installation, &["delete", "billing", "--yes"]);
    assert_eq!((out.as_str(), good), ("billing is deleted, and about 3 events with it that waited", true));
    let page = server.client().get("/metrics").await.expect("an answer").text();
    assert!(page.contains("laneway_dropped_events_total 3"), "{page}");
    server.stop();
}
