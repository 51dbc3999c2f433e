//! A destination with a wrong URL: its backlog waits, costs its neighbour nothing of its order, and is delivered in
//! order when the URL is mended, also across a kill.

use laneway_tests::receiver::{Behaviour, Receiver};
use laneway_tests::server::{Installation, Settings, webhook};
use laneway_tests::store::Store;
use laneway_tests::{checker, effort, ports};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const KEYS: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_url_is_mended_and_what_waited_comes_in_order() {
    let count = effort::scaled(5_000, 100_000);
    let (right, neighbour) =
        (Receiver::start(Behaviour::healthy(), 1).await, Receiver::start(Behaviour::healthy(), 2).await);
    let installation = Installation::new(&Settings::destinations(&[webhook("neighbour", &neighbour.url(), "")]));
    let server = installation.start().await;
    let change = async |client: &laneway_tests::client::Client, method: http::Method, settings: Value| {
        let headers = [("content-type", "application/json")];
        let answer = client.send(method, "/v1/destinations/wrong", &headers, settings.to_string()).await;
        let answer = answer.expect("an answer");
        assert!(answer.status < 300, "{}", answer.text());
    };
    // Nobody listens there: every attempt fails, the breaker opens, and nothing of it becomes a dead letter.
    let nowhere = format!("http://{}/", ports::free());
    let settings = json!({"url": nowhere, "retry": {"limit": "24h"}});
    change(&server.client(), http::Method::PUT, settings).await;
    let event = |n: usize| json!({"id": format!("e{n}"), "type": "t", "key": format!("k{}", n % KEYS), "data": n});
    for first in (0..count).step_by(500) {
        let events: Vec<Value> = (first..count.min(first + 500)).map(event).collect();
        server.client().accepted_all(&events).await;
    }
    neighbour.taken(count).await;
    let waits = |s: &Value| s["pending"].as_u64() >= Some(count as u64) && s["breaker"]["state"] == "open";
    server.client().until("wrong", "down with everything waiting", waits).await;

    change(&server.client(), http::Method::PATCH, json!({ "url": right.url() })).await;
    right.until("some of it delivered", |record| record.taken.len() > count / 10).await;
    server.kill();
    let server = installation.start().await;
    right.taken(count).await;
    server.client().settled("wrong").await;
    server.stop();
    let stored = Store::open(&installation.database()).events();
    for (name, receiver) in [("wrong", &right), ("neighbour", &neighbour)] {
        let found = checker::check(&stored, &receiver.record(), &BTreeSet::new(), false);
        found.assert_clean(name);
        assert_eq!(found.taken, count, "{name}");
    }
    let again = checker::check(&stored, &neighbour.record(), &BTreeSet::new(), false).duplicates;
    assert_eq!(again, 0, "the kill repeats nothing of a destination that was done");
}
