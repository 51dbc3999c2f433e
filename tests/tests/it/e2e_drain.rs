//! `laneway drain`: nothing comes in, what waits goes out, and it is said when nothing is left.

use laneway_tests::receiver::{Behaviour, Receiver};
use laneway_tests::server::{Installation, Settings, webhook};
use serde_json::json;

const PATIENT_RETRY: &str = r#"retry = { initial = "1h", limit = "2h" }"#;

/// What a command wrote to both streams, and its exit code.
fn run(installation: &Installation, arguments: &[&str]) -> (String, Option<i32>) {
    let output = installation.run(arguments);
    let text = [output.stdout, output.stderr].concat();
    (String::from_utf8_lossy(&text).into_owned(), output.status.code())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_goes_out_and_nothing_comes_in() {
    let receiver = Receiver::start(Behaviour::poisoned(&["bad"]), 1).await;
    let installation = Installation::new(&Settings::destinations(&[webhook("main", &receiver.url(), PATIENT_RETRY)]));
    let server = installation.start().await;
    let event = |id: &str, key: &str| json!({"id": id, "type": "t", "key": key});
    server.client().accepted(&event("good", "good")).await;
    server.client().accepted(&event("bad", "bad")).await;
    server.client().until("main", "blocked", |s| s["pending"] == 1 && s["blocked_keys"] == 1).await;

    // What a blocked key has does not go: that is said, in time.
    let (said, code) = run(&installation, &["drain", "--reason", "the store moves", "--timeout", "1s"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("something is left: main 1") && said.contains("laneway drain --end"), "{said}");

    let refused = server.client().post("/v1/events", event("late", "good").to_string()).await.expect("an answer");
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.text().contains("the store moves"), "{}", refused.text());
    let (said, code) = run(&installation, &["ready"]);
    assert_eq!((code, said.contains("the store moves")), (Some(1), true), "{said}");

    let (said, code) = run(&installation, &["keys", "skip", "main", "bad"]);
    assert_eq!(code, Some(0), "{said}");
    let (said, code) = run(&installation, &["drain", "--timeout", "1m"]);
    assert_eq!((code, said.contains("nothing is left")), (Some(0), true), "{said}");
    let (said, code) = run(&installation, &["drain", "--end"]);
    assert_eq!((code, said.contains("events are taken in again")), (Some(0), true), "{said}");
    server.client().accepted(&event("late", "good")).await;
    receiver.taken(2).await;
}
