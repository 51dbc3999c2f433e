//! What was settled, once more.

use super::{Desk, becomes, in_the_past, page, send, shop::Shop, zone_where_it_is};
use serde_json::Value;
use std::time::Duration;

/// When of the day the page asks for events since: 10:00.
const TEN: i64 = 10 * 3600;

impl Desk {
    /// Asks for a replay, and waits until it is done.
    async fn replay(&self, command: &str) {
        let begun = self.ask(command);
        let id = begun.split_whitespace().skip_while(|word| *word != "replay").nth(1).expect("it has an id").to_owned();
        for _ in 0..super::GLANCES {
            let shown = self.ask(&format!("laneway replay show billing {id} --json"));
            let shown: Value = serde_json::from_str(&shown).unwrap_or_else(|error| panic!("{error}: {shown}"));
            if shown["state"] == "done" {
                return;
            }
            tokio::time::sleep(super::GLANCE).await;
        }
        panic!("{command}: it is never done");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn how_is_one_event_replayed_one_key_since_ten_and_one_type() {
    let shop = Shop::open().await;
    let mut desk = Desk::with(&shop, &[("billing", "")]);
    let past = in_the_past(&desk.installation, Duration::from_secs(2 * 3600)).await;
    for (id, event_type, key) in [("evt_1", "order.placed", "order-7"), ("evt_2", "invoice.made", "order-8")] {
        send(&past.client(), id, event_type, key).await;
        becomes(&past.client(), id, "billing", "delivered").await;
    }
    past.stop();
    // There those came at about eight, and what comes now at some moments past ten.
    desk.zone = zone_where_it_is(TEN + 60);
    let server = desk.installation.start().await;
    for (id, event_type, key) in
        [("evt_3", "order.paid", "order-7"), ("evt_4", "invoice.paid", "order-8"), ("evt_5", "order.sent", "order-7")]
    {
        send(&server.client(), id, event_type, key).await;
        becomes(&server.client(), id, "billing", "delivered").await;
    }
    let all = shop.taken().len();
    let [event, key, types] = page::commands(7);
    let mut seen = all;
    for (command, again) in [(event, vec!["evt_1"]), (key, vec!["evt_3", "evt_5"]), (types, vec!["evt_2", "evt_4"])] {
        let counted = desk.ask(&format!("{command} --dry-run"));
        let events = if again.len() == 1 { "1 event".to_owned() } else { format!("{} events", again.len()) };
        assert_eq!(counted.trim(), format!("{events} would be delivered to billing again"));
        assert_eq!(shop.taken().len(), seen, "a dry run delivers nothing");
        desk.replay(&command).await;
        let requests = shop.requests();
        let new: Vec<&str> = requests[seen..].iter().map(|request| request.id()).collect();
        assert_eq!(new, again, "{command}");
        for request in &requests[seen..] {
            assert_eq!(
                (request.header("laneway-redrive"), request.header("laneway-replay").is_empty()),
                ("true", false)
            );
        }
        seen = requests.len();
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn how_are_yesterdays_dead_letters_with_422_retried_and_the_rest_discarded() {
    let shop = Shop::open().await;
    let mut desk = Desk::with(&shop, &[("billing", "reject = [400, 422]")]);
    for (key, status) in [("order-7", 422), ("order-8", 400)] {
        shop.answer(key, status, r#"{"error":"no"}"#);
    }
    let past = in_the_past(&desk.installation, Duration::from_secs(2 * 3600)).await;
    for (id, key) in [("evt_1", "order-7"), ("evt_2", "order-8"), ("evt_3", "order-7")] {
        send(&past.client(), id, "order.paid", key).await;
        becomes(&past.client(), id, "billing", "dead-letter").await;
    }
    past.stop();
    // An hour after midnight: those were given up yesterday, and what comes now is today's.
    desk.zone = zone_where_it_is(3600);
    let server = desk.installation.start().await;
    let client = server.client();
    for (id, key) in [("evt_4", "order-7"), ("evt_5", "order-8")] {
        send(&client, id, "order.paid", key).await;
        becomes(&client, id, "billing", "dead-letter").await;
    }
    shop.mend();
    let seen = shop.requests().len();
    let [retry, discard] = page::commands(8);
    let counted = desk.ask(&format!("{retry} --dry-run"));
    assert!(counted.contains("2 dead letters") && counted.contains("422"), "{counted}");
    assert_eq!(shop.requests().len(), seen, "a dry run attempts nothing");
    let said = desk.ask(&retry);
    assert!(said.contains("2 dead letters of billing will be attempted once more"), "{said}");
    for id in ["evt_1", "evt_3"] {
        becomes(&client, id, "billing", "delivered").await;
    }
    let said = desk.ask(&discard);
    assert!(said.contains("1 dead letter of billing is gone"), "{said}");
    becomes(&client, "evt_2", "billing", "discarded").await;
    // Today's are as they were.
    for id in ["evt_4", "evt_5"] {
        becomes(&client, id, "billing", "dead-letter").await;
    }
    assert_eq!(shop.taken(), ["evt_1", "evt_3"]);
    server.stop();
}
