//! What becomes of destinations by an operator's hand.

use super::{Desk, becomes, page, says, send, shop::Shop};
use serde_json::Value;

#[tokio::test(flavor = "multi_thread")]
async fn how_is_a_destination_paused_now_and_resumed_later() {
    let shop = Shop::open().await;
    let desk = Desk::with(&shop, &[("billing", ""), ("archive", "")]);
    let server = desk.installation.start().await;
    let client = server.client();
    let [pause, resume] = page::commands(4);
    assert_eq!(desk.ask(&pause).trim(), "billing is paused; its events wait");
    for id in ["evt_1", "evt_2"] {
        send(&client, id, "order.paid", "order-7").await;
    }
    // The other one has them; billing was not even asked.
    becomes(&client, "evt_2", "archive", "delivered").await;
    assert_eq!(shop.taken(), ["evt_1", "evt_2"]);
    says(&desk.ask("laneway why billing evt_1"), &["billing: WAITING", "billing is paused since"]);
    says(&desk.ask("laneway status"), &["paused", "by an operator: they move house"]);
    says(&desk.ask(&resume), &["billing goes on"]);
    for id in ["evt_1", "evt_2"] {
        becomes(&client, id, "billing", "delivered").await;
    }
    assert_eq!(shop.taken()[2..], ["evt_1", "evt_2"], "in order");
    let changes = desk.ask("laneway destinations changes billing");
    says(&changes, &["paused: they move house", "resumed", "+05:30"]);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn how_is_a_destination_added_pointed_elsewhere_given_a_new_secret_and_removed() {
    let (shop, other) = (Shop::open().await, Shop::open().await);
    let desk = Desk::with(&shop, &[("archive", "")]);
    let server = desk.installation.start().await;
    let client = server.client();
    let [add, point, rotate, remove] = page::commands(5);
    let (billing, new) = ("https://billing.example/hooks", "https://new.billing.example/hooks");
    assert!(add.contains(billing) && point.contains(new), "{add}\n{point}");

    let made = desk.ask(&add.replace(billing, shop.url()));
    let made: Value = serde_json::from_str(&made).unwrap_or_else(|error| panic!("{error}: {made}"));
    assert_eq!((&made["name"], &made["pending"]), (&Value::from("billing"), &Value::from(Vec::<u32>::new())), "{made}");
    send(&client, "evt_1", "invoice.paid", "order-7").await;
    send(&client, "evt_2", "order.paid", "order-7").await;
    becomes(&client, "evt_1", "billing", "delivered").await;
    becomes(&client, "evt_2", "billing", "not-wanted").await;

    // It goes elsewhere from now on, what waits included.
    shop.answer("order-8", 503, "");
    send(&client, "evt_3", "invoice.paid", "order-8").await;
    becomes(&client, "evt_3", "billing", "blocked").await;
    let pointed = desk.ask(&point.replace(new, other.url()));
    assert!(pointed.contains("\"revision\""), "{pointed}");
    becomes(&client, "evt_3", "billing", "delivered").await;
    assert_eq!(other.taken(), ["evt_3"]);

    // Signed with both while the old one still counts.
    let secret = desk.ask(&rotate);
    let secret = secret.lines().find(|line| line.starts_with("whsec_")).expect("a secret").to_owned();
    assert!(secret.len() > 40, "{secret}");
    send(&client, "evt_4", "invoice.paid", "order-7").await;
    becomes(&client, "evt_4", "billing", "delivered").await;
    let delivery = other.of("evt_4").remove(0);
    let signer = standardwebhooks::Webhook::new(&secret).expect("a secret");
    signer.verify(&delivery.body, &delivery.headers).expect("it is signed with the new secret");

    assert!(desk.ask(&remove).contains("billing is deleted"));
    let found = client.get("/v1/destinations/billing").await.expect("an answer");
    assert_eq!(found.status, 404, "{}", found.text());
    send(&client, "evt_5", "invoice.paid", "order-7").await;
    becomes(&client, "evt_5", "archive", "delivered").await;
    assert_eq!(other.taken(), ["evt_3", "evt_4"]);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn does_a_destination_take_a_test_event() {
    let shop = Shop::open().await;
    let desk = Desk::with(&shop, &[("billing", ""), ("archive", "")]);
    let server = desk.installation.start().await;
    let [test] = page::commands(6);
    let said = desk.ask(&test);
    says(&said, &["billing took the test event", "status 200"]);
    let seen = shop.requests();
    // One, to that one, and none that is stored.
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].header("ce-type"), "laneway.test");
    says(&said, &[seen[0].id()]);
    assert_eq!(desk.ask("laneway events list").trim(), "no event that is still stored is meant");

    shop.answer("", 401, r#"{"error":"unknown signature"}"#);
    let (succeeded, said) = desk.type_in(&test);
    assert!(!succeeded);
    says(&said, &["billing did not take the test event", "status 401", r#"{"error":"unknown signature"}"#]);
    server.stop();
}
