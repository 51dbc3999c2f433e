//! Destinations that change over the HTTP interface while events flow: each gets exactly what the answers say.

use laneway_tests::changes::run;
use laneway_tests::server::{Installation, Settings};
use std::cell::RefCell;

/// Changes of a run here; `LANEWAY_TEST_CHANGES` for more.
fn changes(short: usize) -> usize {
    #[allow(clippy::disallowed_methods)]
    let asked = std::env::var("LANEWAY_TEST_CHANGES").ok().and_then(|changes| changes.parse().ok());
    asked.unwrap_or(short)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_destination_gets_exactly_what_the_cuts_say_also_when_the_server_is_killed() {
    let installation = Installation::new(&Settings::destinations(&[]));
    let running = RefCell::new(Some(installation.start().await));
    let client = laneway_tests::client::Client::new(installation.address());
    let clients = vec![client.clone(); 4];
    let disturb = async |n: usize| {
        if n % 20 == 13 {
            let killed = running.borrow_mut().take();
            killed.into_iter().for_each(laneway_tests::server::Running::kill);
            let started = installation.start().await;
            running.replace(Some(started));
        }
    };
    let checked = run(&clients, client, changes(80), 7, disturb).await;
    assert!(checked.delivered > 100 && checked.unwanted > 100 && checked.complete > 0, "{checked:?}");
    println!("{checked:?}");
    running.take().into_iter().for_each(laneway_tests::server::Running::stop);
}
