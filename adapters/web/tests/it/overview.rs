//! What the overview and a destination's page tell at a glance.

use crate::{Browser, Server, named};
use laneway_domain::DestinationStatus;

#[tokio::test]
async fn failed_attempts_are_told_of_all_and_of_each() {
    let server = Server::open();
    let of = |name: &str, failed_recently: u64| DestinationStatus {
        failed_recently,
        ..DestinationStatus::idle(named(name), true)
    };
    server.tells(vec![of("archive", 0), of("billing", 25), of("shop", 100)]);
    let browser = Browser::new(&server);
    let overview = browser.get("/console").await.text;
    assert!(overview.contains("<dt>Failed</dt><dd>12/s<small>attempts</small></dd>"), "{overview}");
    for (rate, nothing) in [("0/s", " nothing"), ("2.5/s", ""), ("10/s", "")] {
        let cell = format!("<td class=\"number{nothing}\" data-name=\"Failures\">{rate}</td>");
        assert!(overview.contains(&cell), "no {cell} in {overview}");
    }
    // What fails most is where it may begin, though all are well.
    let at = |name: &str| overview.find(&format!(">{name}</a>")).unwrap();
    assert!(at("shop") < at("billing") && at("billing") < at("archive"), "{overview}");
    let billing = browser.get("/console/destinations/billing").await.text;
    assert!(billing.contains("<dt>Failed</dt><dd>2.5/s<small>attempts, over the last 10 s</small></dd>"), "{billing}");
}
