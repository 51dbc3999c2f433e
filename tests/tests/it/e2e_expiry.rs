//! The limit on waiting: an endpoint that is away for good holds neither the log nor anybody else, and what that costs is
//! counted, told, and to be found.

use laneway_tests::client::Client;
use laneway_tests::receiver::{Behaviour, Receiver};
use laneway_tests::server::{Installation, Settings, webhook};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const EVENTS: usize = 40;
const RETRY: &str = r#"retry = { initial = "100ms", factor = 1, jitter = 0, limit = "1h" }"#;

/// Events of five keys, and some of none.
async fn send(client: &Client, from: usize, count: usize) {
    let event = |n: usize| match n % 6 {
        5 => json!({"id": format!("evt_{n}"), "type": "order.paid"}),
        key => json!({"id": format!("evt_{n}"), "type": "order.paid", "key": format!("k{key}")}),
    };
    client.accepted_all(&(from..from + count).map(event).collect::<Vec<_>>()).await;
}

/// The numbers of a destination that add up to what was accepted.
fn sum(status: &Value) -> [u64; 3] {
    ["expired", "pending", "dead_letters"].map(|field| status[field].as_u64().unwrap())
}

/// The numbers of destinations are taken from time to time.
async fn until_metrics_say(client: &Client, line: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let metrics = client.get("/metrics").await.unwrap().text();
        if metrics.contains(line) {
            return;
        }
        assert!(Instant::now() < deadline, "{line}: {metrics}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_away_for_good_holds_nothing_and_what_expires_is_counted_and_told() {
    let (healthy, chat) =
        (Receiver::start(Behaviour::healthy(), 1).await, Receiver::start(Behaviour::healthy(), 2).await);
    let (dead, paused) = (Receiver::down(Behaviour::healthy(), 3), Receiver::start(Behaviour::healthy(), 4).await);
    let installation = Installation::new(
        &Settings::destinations(&[
            webhook("healthy", &healthy.url(), "types = [\"order.*\"]"),
            webhook("chat", &chat.url(), "types = [\"laneway.*\"]"),
            webhook("dead", &dead.url(), &format!("types = [\"order.*\"]\nmax_age = \"2s\"\n{RETRY}")),
            webhook("paused", &paused.url(), "types = [\"order.*\"]\nmax_age = \"3s\"\npaused = true"),
            webhook("patient", &dead.url(), &format!("types = [\"patient.*\"]\nmax_age = \"1h\"\n{RETRY}")),
        ])
        .store("partitions = 2\nretain = \"1s\""),
    );
    let server = installation.start().await;
    let client = server.client();
    let began = Instant::now();
    send(&client, 0, EVENTS).await;
    healthy.taken(EVENTS).await;

    // Nothing expires before its time, and then all of it does.
    let mut last = 0;
    loop {
        let status = client.status("dead").await;
        let [expired, pending, dead_letters] = sum(&status);
        assert!(expired == 0 || began.elapsed() >= Duration::from_secs(2), "too young: {status}");
        assert_eq!((expired + pending, dead_letters), (EVENTS as u64, 0), "{status}");
        assert!(expired >= last, "it is counted once: {status}");
        last = expired;
        if pending == 0 {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{status}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let all_expired = |status: &Value| status["expired"] == EVENTS && status["pending"] == 0;
    client.until("paused", "empty", all_expired).await;

    // A crash forgets no count.
    server.kill();
    let server = installation.start().await;
    let client = server.client();
    for name in ["dead", "paused"] {
        client.until(name, "as it was", all_expired).await;
    }
    send(&client, EVENTS, 3).await;
    let more = |status: &Value| status["expired"] == EVENTS + 3 && status["pending"] == 0;
    client.until("dead", "empty again", more).await;
    client.until("paused", "empty again", more).await;

    // It is told, and found.
    for name in ["dead", "paused"] {
        chat.until(&format!("the telling of {name}"), |record| {
            record.deliveries.iter().any(|delivery| {
                let said: Value = serde_json::from_slice(&delivery.body).unwrap();
                let count = said["count"].as_u64().unwrap_or(0);
                delivery.id.starts_with("expired/") && said["destination"] == name && count > 0
            })
        })
        .await;
    }
    let found = client.get("/v1/events/evt_0").await.unwrap().json();
    for at in found["items"][0]["destinations"].as_array().into_iter().flatten() {
        let expected = match at["destination"].as_str().unwrap() {
            "healthy" => "delivered",
            "dead" | "paused" => "expired",
            _ => "not-wanted",
        };
        assert_eq!(at["state"], expected, "{at}");
    }
    let said = installation.run(&["status"]);
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains("43 events expired"), "{said}");
    until_metrics_say(&client, "laneway_expired_events{destination=\"dead\"} 43").await;
    assert_eq!(paused.record().deliveries.len(), 0);

    // Nothing holds the log: all that was sent first is trimmed.
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let found = client.get("/v1/events/evt_0").await.unwrap();
        if found.status == 404 || found.json()["items"] == json!([]) {
            break;
        }
        assert!(Instant::now() < deadline, "evt_0 is in the log still: {}", found.text());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    server.stop();
}

/// What comes while an endpoint is away for a while is delivered when it is back, but for what is too old by then.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_comes_back_gets_what_is_young_enough_in_order_and_no_more() {
    let receiver = Receiver::down(Behaviour::healthy(), 1);
    let lines = format!("max_age = \"3s\"\nbreaker = false\n{RETRY}");
    let installation = Installation::new(&Settings::destinations(&[webhook("main", &receiver.url(), &lines)]));
    let server = installation.start().await;
    let client = server.client();
    send(&client, 0, 10).await;
    client.until("main", "empty", |status| status["expired"] == 10 && status["pending"] == 0).await;
    send(&client, 10, 10).await;
    receiver.up().await;
    receiver.taken(10).await;
    let status = client.settled("main").await;
    assert_eq!(sum(&status), [10, 0, 0], "{status}");
    let record = receiver.record();
    assert!(record.taken.keys().all(|id| id.trim_start_matches("evt_").parse::<u32>().unwrap() >= 10), "{record:?}");
    server.stop();
}
