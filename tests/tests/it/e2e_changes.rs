//! Destinations that change over the HTTP interface while events flow: each gets exactly what the answers say.

use laneway_servers::redis::{RedisServer, RedisSettings};
use laneway_tests::changes::run;
use laneway_tests::client::Client;
use laneway_tests::fleet::{Berth, Fleet};
use laneway_tests::receiver::{Behaviour, Receiver};
use laneway_tests::server::{Half, Installation, Settings, webhook};
use std::cell::RefCell;

/// Changes of a run here; `LANEWAY_TEST_CHANGES` for more.
fn changes(short: usize) -> usize {
    #[allow(clippy::disallowed_methods)]
    let asked = std::env::var("LANEWAY_TEST_CHANGES").ok().and_then(|changes| changes.parse().ok());
    asked.unwrap_or(short)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_destination_gets_exactly_what_the_cuts_say_also_when_the_server_is_killed() {
    // One that never changes: who comes after it begins at a cut.
    let steady = Receiver::start(Behaviour::healthy(), 1).await;
    let installation = Installation::new(&Settings::destinations(&[webhook("steady", &steady.url(), "")]));
    let running = RefCell::new(Some(installation.start().await));
    let client = Client::new(installation.address());
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

#[tokio::test(flavor = "multi_thread")]
async fn three_workers_on_redis_follow_the_same_changes_also_when_they_and_redis_are_killed() {
    let mut redis = RedisServer::start(RedisSettings::default()).await.unwrap_or_else(|e| panic!("{e}"));
    let steady = Receiver::start(Behaviour::healthy(), 1).await;
    let fleet = Fleet::new(&redis.url(), 8, "", &webhook("steady", &steady.url(), ""));
    let ingests = fleet.start(Half::Ingest, 2).await;
    let mut workers = fleet.start(Half::Worker, 3).await;
    let clients: Vec<Client> = ingests.iter().map(Berth::client).collect();
    let disturb = async |n: usize| match n % 20 {
        7 => {
            workers[n / 20 % 3].kill();
            workers[n / 20 % 3].begin();
        }
        17 => {
            redis.kill();
            redis.restart().await.unwrap_or_else(|e| panic!("{e}"));
        }
        _ => {}
    };
    let checked = run(&clients, clients[1].clone(), changes(40), 11, disturb).await;
    println!("{checked:?}");
    assert!(checked.delivered > 100 && checked.unwanted > 100 && checked.complete > 0, "{checked:?}");
}
