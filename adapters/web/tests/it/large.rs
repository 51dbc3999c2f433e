//! Eighty thousand destinations: a page stays small, and costs little.

use crate::{Browser, Server, named};
use http::StatusCode;
use laneway_domain::{BlockedKey, DestinationStatus, Offset, Partition, Timestamp};

const DESTINATIONS: usize = 80_000;
/// The most bytes of a page.
const MOST: usize = 200 * 1000;

/// One in eighty has a hundred blocked keys with long errors.
fn destinations(count: usize) -> Vec<DestinationStatus> {
    let key = |number: usize| BlockedKey {
        key: format!("key:order-{number}-{}", "x".repeat(200)),
        partition: Partition(0),
        head: Offset(number as u64),
        attempts: 3,
        since: Timestamp::from_millis(1),
        next_attempt: Some(Timestamp::MAX),
        last_error: "the receiver answered 503 Service Unavailable: ".to_owned() + &"it is away ".repeat(40),
    };
    let one = |number: usize| {
        let blocked: Vec<BlockedKey> = if number.is_multiple_of(80) { vec![key(number)] } else { Vec::new() };
        DestinationStatus {
            pending: number as u64,
            blocked_keys: blocked.len() as u64,
            blocked,
            ..DestinationStatus::idle(named(&format!("customer-{number:06}-webhook-endpoint")), true)
        }
    };
    (0..count).map(one).collect()
}

#[tokio::test]
async fn every_page_of_many_destinations_is_small() {
    let server = Server::open();
    server.tells(destinations(DESTINATIONS));
    let browser = Browser::new(&server);
    for path in [
        "/console",
        "/console?page=2",
        "/console?page=1600",
        "/console?need=failing",
        "/console?search=customer-07",
        "/console?search=nobody",
        "/console/destinations/customer-000080-webhook-endpoint",
    ] {
        let page = browser.get(path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        assert!(page.text.len() < MOST, "{path}: {} bytes", page.text.len());
    }
    let page = browser.get("/console").await;
    assert!(page.text.contains("Page 1 of 1,600, 80,000 destinations"));
    // What needs somebody comes first, however many others there are.
    let (first, last) = (page.text.find("customer-000080").unwrap(), page.text.rfind("failing</span>").unwrap());
    assert!(first < last);
}

#[tokio::test]
async fn a_key_that_is_blocked_a_hundred_times_over_leaves_its_page_small() {
    let server = Server::open();
    let mut one = destinations(1).remove(0);
    one.blocked = (0..100).map(|number| BlockedKey { head: Offset(number), ..one.blocked[0].clone() }).collect();
    one.blocked_keys = 5_000;
    server.tells(vec![one]);
    let page = Browser::new(&server).get("/console/destinations/customer-000000-webhook-endpoint").await;
    assert!(page.text.contains("These are 100 of 5,000"));
    assert!(page.text.len() < 2 * MOST, "{} bytes", page.text.len());
}
