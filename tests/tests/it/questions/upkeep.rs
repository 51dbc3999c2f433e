//! Backups, upgrades, maintenance, and who may do what.

use super::{Desk, GLANCE, TWICE, becomes, page, says, send, shop::Shop, tables};
use laneway_tests::server::{Installation, Settings};
use serde_json::json;
use std::fs;
use std::path::Path;

#[tokio::test(flavor = "multi_thread")]
async fn how_is_it_backed_up_while_it_runs_and_restored_elsewhere() {
    let shop = Shop::open().await;
    let here = Desk::with(&shop, &[("billing", TWICE)]);
    let server = here.installation.start().await;
    let client = server.client();
    send(&client, "evt_1", "order.paid", "order-7").await;
    becomes(&client, "evt_1", "billing", "delivered").await;
    shop.answer("order-8", 503, "");
    send(&client, "evt_2", "order.paid", "order-8").await;
    becomes(&client, "evt_2", "billing", "blocked").await;
    let [backup, restore] = page::commands(13);
    let elsewhere = Desk::with(&shop, &[("billing", TWICE)]);
    let backups = tempfile::tempdir().expect("a folder");
    let put = |command: &str| command.replace("/backups", &backups.path().to_string_lossy());
    says(&here.ask(&put(&backup)), &["2 events in 8 partitions"]);
    // It runs on, and what comes now is not in the copy.
    send(&client, "evt_3", "order.paid", "order-7").await;
    becomes(&client, "evt_3", "billing", "delivered").await;
    server.stop();

    says(&elsewhere.ask(&put(&restore)), &["is as it was at", "new events begin at offset"]);
    shop.mend();
    let before = shop.taken().len();
    let server = elsewhere.installation.start().await;
    let client = server.client();
    // What was settled is settled, with its history; what waited is delivered; what came later is not known.
    becomes(&client, "evt_2", "billing", "delivered").await;
    says(&elsewhere.ask("laneway why billing evt_1"), &["billing: DELIVERED", "with 200, at the first attempt"]);
    assert_eq!(shop.taken()[before..], ["evt_2"]);
    assert_eq!(client.get("/v1/events/evt_3").await.expect("an answer").status, 404);
    send(&client, "evt_4", "order.paid", "order-8").await;
    becomes(&client, "evt_4", "billing", "delivered").await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_an_upgrade_promise() {
    let [check] = page::commands(14);
    // A store that an earlier release has written, as a crash has left it. (Its damage is for other tests.)
    let old = Path::new(env!("CARGO_MANIFEST_DIR")).join("formats/sqlite-5");
    let desk = Desk::at(Installation::new(&Settings::default().store("partitions = 2")));
    for name in ["killed.db", "killed.db-wal"] {
        let new = name.replace("killed", "laneway");
        fs::copy(old.join(name), desk.installation.folder().join(new)).expect("a copy");
    }
    let (_, said) = desk.type_in(&check);
    says(
        &said,
        &[
            "upgrade the store has format 5, and this Laneway 0.1.0 writes format 8",
            "brings it there when it starts, in one step for each format, and nothing is lost",
            "An earlier release does not open it any more then",
            "laneway backup FILE",
        ],
    );
    let format = || {
        let store = rusqlite::Connection::open(desk.installation.database()).expect("it opens");
        let sql = "SELECT value FROM meta WHERE name = 'schema'";
        store.query_row(sql, [], |row| row.get::<_, String>(0)).expect("a row")
    };
    assert_eq!(format(), "5", "a check changes nothing");

    // What was promised.
    let server = desk.installation.start().await;
    server.stop();
    assert_eq!(format(), "8");
    let (_, said) = desk.type_in(&check);
    says(&said, &["upgrade none: the store has the format of this Laneway 0.1.0, which is 8"]);

    // What nobody can promise: a store of a later release is not touched.
    let store = rusqlite::Connection::open(desk.installation.database()).expect("it opens");
    let later = "UPDATE meta SET value = CASE name WHEN 'schema' THEN '99' ELSE '9.1.0' END \
                 WHERE name IN ('schema', 'needs_release')";
    assert_eq!(store.execute(later, []).expect("it can be written"), 2);
    let (succeeded, said) = desk.type_in(&check);
    assert!(!succeeded);
    says(&said, &["needs Laneway 9.1.0 or later", "restore a backup that was made before it"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn how_is_it_taken_down_for_maintenance_without_a_loss() {
    const EVENTS: usize = 4000;
    let shop = Shop::open().await;
    let desk = Desk::with(&shop, &[("billing", "")]);
    let server = desk.installation.start().await;
    let event = |n: usize| json!({"id": format!("e{n}"), "type": "t", "key": format!("k{}", n % 20), "data": n});
    let file: String = (0..EVENTS).map(|n| format!("{}\n", event(n))).collect();
    fs::write(desk.installation.folder().join("events.ndjson"), file).expect("it can be written");
    let producer = desk.installation.spawn(&["send", "events.ndjson", "--batch", "20"]);
    shop.until("deliveries are under way", |seen| seen.len() > EVENTS / 20).await;
    let [stop, start] = page::commands(15);
    assert_eq!((stop.as_str(), start.as_str()), ("systemctl stop laneway", "systemctl start laneway"));
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/systemd/laneway.service");
    let unit = fs::read_to_string(unit).expect("the unit is there");
    assert!(!unit.contains("KillSignal"), "systemd stops it with SIGTERM");
    // What it does: SIGTERM, and it ends well.
    server.stop();
    assert!(desk.installation.stderr().contains("stopped"));
    let down = shop.requests().len();
    assert!(down < EVENTS, "the stop came too late to show anything");
    for _ in 0..10 {
        tokio::time::sleep(GLANCE).await;
    }
    assert_eq!(shop.requests().len(), down, "nothing is sent while it is down");
    let server = desk.installation.start().await;
    assert!(producer.end().success(), "the producer's command waits and goes on by itself");
    shop.until("everything is there", |seen| seen.len() >= EVENTS).await;
    server.client().settled("billing").await;
    server.stop();
    // Nothing is lost, nothing came twice, and every key in its order.
    let mut last = [None; 20];
    let taken = shop.taken();
    for id in &taken {
        let n: usize = id[1..].parse().expect("a number");
        assert!(last[n % 20].is_none_or(|last| last < n), "{id} came after e{:?}", last[n % 20]);
        last[n % 20] = Some(n);
    }
    assert_eq!(taken.len(), EVENTS);
}

#[tokio::test(flavor = "multi_thread")]
async fn how_does_a_team_get_access_to_publish_and_to_nothing_else() {
    const BOSS: &str = "a-token-of-the-file-for-everything";
    let shop = Shop::open().await;
    let rest = format!("[[server.token]]\nname = \"boss\"\ntoken = \"{BOSS}\"\nroles = [\"admin\", \"read\"]\n");
    let rest = [rest, tables(&shop, &[("billing", "")]).concat()].concat();
    let desk = Desk::at(Installation::new(&Settings { rest, ..Settings::default() }));
    let server = desk.installation.start().await;
    let [create] = page::commands(16);
    let said = desk.ask(&format!("LANEWAY_TOKEN={BOSS} {create}"));
    says(&said, &["shop can publish", "its token is told this once"]);
    let token = said.lines().find(|line| line.starts_with("lwt_")).expect("a token").to_owned();
    let client = server.client();
    let authorization = format!("Bearer {token}");
    let headers = [("content-type", "application/json"), ("authorization", authorization.as_str())];
    let ask = async |method: http::Method, path: &str, body: &'static str| {
        client.send(method, path, &headers, body).await.expect("an answer").status
    };
    assert_eq!(ask(http::Method::POST, "/v1/events", r#"{"id":"evt_1","type":"t"}"#).await, 202);
    shop.until("it is delivered", |seen| seen.len() == 1).await;
    for (method, path, body) in [
        (http::Method::GET, "/v1/status", ""),
        (http::Method::GET, "/v1/events/evt_1", ""),
        (http::Method::GET, "/v1/attempts", ""),
        (http::Method::GET, "/v1/dead-letters", ""),
        (http::Method::GET, "/v1/workers", ""),
        (http::Method::GET, "/metrics", ""),
        (http::Method::GET, "/v1/destinations", ""),
        (http::Method::POST, "/v1/destinations/billing/pause", "{}"),
        (http::Method::DELETE, "/v1/destinations/billing", ""),
        (http::Method::POST, "/v1/tokens", r#"{"name":"more","roles":["admin"]}"#),
    ] {
        assert_eq!(ask(method.clone(), path, body).await, 403, "{method} {path}");
    }
    assert!(desk.ask(&format!("LANEWAY_TOKEN={BOSS} laneway tokens list")).contains("publish"));
    server.stop();
}
