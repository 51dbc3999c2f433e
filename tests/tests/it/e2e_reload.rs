//! SIGHUP: what the configuration file says of destinations, tokens and limits is in force, without a restart.

use laneway_tests::client::Client;
use laneway_tests::receiver::{Behaviour, Receiver};
use laneway_tests::server::{Installation, Running, Settings, webhook};
use serde_json::json;
use std::time::Duration;

const OLD: &str = "a-token-that-there-was";
const NEW: &str = "a-token-that-came-later";
/// How often the log is looked at, and how often at most.
const GLANCE: Duration = Duration::from_millis(10);
const GLANCES: usize = 6_000;

/// Writes the file, sends SIGHUP, and waits until the process says what has come of it: its words from then on.
async fn reloaded(installation: &Installation, server: &Running, settings: &Settings) -> String {
    let before = installation.stderr().len();
    installation.configure(settings);
    server.signal("HUP");
    for _ in 0..GLANCES {
        let said = installation.stderr().split_off(before);
        if said.contains("the configuration has been reloaded") || said.contains("the configuration was not reloaded") {
            return said;
        }
        tokio::time::sleep(GLANCE).await;
    }
    panic!("nothing was said of the reload:\n{}", installation.stderr());
}

/// The status that an event of so many bytes gets with this token.
async fn sent(client: &Client, token: &str, bytes: usize) -> u16 {
    let event = json!({"type": "t", "key": "k", "data": "x".repeat(bytes)}).to_string();
    let token = format!("Bearer {token}");
    let headers = [("content-type", "application/json"), ("authorization", token.as_str())];
    client.send(http::Method::POST, "/v1/events", &headers, event).await.expect("an answer").status
}

fn settings(tables: &[String], token: &str, limits: &str) -> Settings {
    let settings = Settings::destinations(tables).server(&format!("tokens = [\"{token}\"]"));
    Settings { rest: format!("{limits}\n{}", settings.rest), ..settings }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_is_read_again_while_events_flow() {
    let (first, second) =
        (Receiver::start(Behaviour::healthy(), 1).await, Receiver::start(Behaviour::healthy(), 2).await);
    let table = |name: &str, receiver: &Receiver, lines: &str| webhook(name, &receiver.url(), lines);
    let installation = Installation::new(&settings(&[table("a", &first, "")], OLD, ""));
    let server = installation.start().await;
    let client = server.client();
    assert_eq!(sent(&client, OLD, 2_000).await, 202);
    first.taken(1).await;

    // Everything that can change, at once.
    let tables = [table("a", &second, ""), table("b", &first, "types = [\"t\"]")];
    let limits = "[server.limits]\nevent_bytes = \"1KiB\"";
    let said = reloaded(&installation, &server, &settings(&tables, NEW, limits)).await;
    assert!(said.contains("\"limits_changed\":true") && !said.contains("cannot change while Laneway runs"), "{said}");
    assert_eq!(
        [sent(&client, OLD, 0).await, sent(&client, NEW, 2_000).await, sent(&client, NEW, 0).await],
        [401, 413, 202]
    );
    second.taken(1).await;
    first.taken(2).await;

    // A mistake changes nothing, also of what stands beside it.
    let tables = [table("a", &first, "rat = 7")];
    let said = reloaded(&installation, &server, &settings(&tables, OLD, "")).await;
    assert!(said.contains("not reloaded") && said.contains("did you mean"), "{said}");
    assert_eq!(
        [sent(&client, OLD, 0).await, sent(&client, NEW, 2_000).await, sent(&client, NEW, 0).await],
        [401, 413, 202]
    );
    second.taken(2).await;

    // What cannot change is named, each time; the rest is applied. A destination that the file no longer has gets
    // nothing.
    let tables = [table("a", &second, "")];
    let limits = "[server.limits]\nconnections = 100\n[worker]\ngrace = \"3s\"\n[log]\nformat = \"json\"";
    for _ in 0..2 {
        let said = reloaded(&installation, &server, &settings(&tables, NEW, limits)).await;
        assert!(said.contains("server.limits.connections, worker, log"), "{said}");
    }
    assert_eq!([sent(&client, NEW, 2_000).await, sent(&client, OLD, 0).await], [202, 401]);
    second.taken(3).await;
    assert_eq!(first.record().deliveries.len(), 3, "the one before, and two of the destination that left");

    // Tokens that lock everybody out of changes are taken, and warned of.
    assert!(!installation.stderr().contains("no token has the role admin"), "{}", installation.stderr());
    let without = "[[server.token]]\nname = \"shop\"\nroles = [\"publish\"]\ntoken = \"a-token-of-the-shop\"";
    let plain = Settings::destinations(&tables);
    let rest = format!("{without}\n{}", plain.rest);
    let said = reloaded(&installation, &server, &Settings { rest, ..plain }).await;
    assert!(said.contains("no token has the role admin any more"), "{said}");
    server.stop();
}
