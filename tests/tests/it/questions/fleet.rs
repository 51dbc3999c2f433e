//! Who worked on what, and where one event went.

use super::{Desk, GLANCE, GLANCES, OFFSET, ROUNDED, becomes, millis, moment_after, page, says, shop::Shop, tables};
use crate::fleet::scene::{self, PARTITIONS};
use laneway_tests::collector::Collector;
use laneway_tests::fleet::Fleet;
use laneway_tests::server::{Half, Installation, Settings};
use serde_json::json;
use std::collections::BTreeSet;
use std::time::SystemTime;

/// `0-2, 5`, one by one.
fn numbers(ranges: &str) -> BTreeSet<u32> {
    let number = |text: &str| text.trim().parse::<u32>().expect("a number");
    let range = |text: &str| match text.split_once('-') {
        Some((first, last)) => number(first)..=number(last),
        None => number(text)..=number(text),
    };
    ranges.split(',').flat_map(range).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_worked_on_what_when_a_worker_died() {
    let redis = scene::redis().await;
    let shop = Shop::open().await;
    let fleet = Fleet::new(&redis.url(), PARTITIONS, "", &tables(&shop, &[("billing", "")]).concat());
    let ingests = fleet.start(Half::Ingest, 1).await;
    let mut workers = fleet.start(Half::Worker, 2).await;
    let marks = [scene::mark_of(&workers[0]), scene::mark_of(&workers[1])];
    let of = |leases: &[Option<(String, u64)>], mark: &str| -> BTreeSet<u32> {
        let its = |lease: &Option<(String, u64)>| lease.as_ref().is_some_and(|(worker, _)| worker.contains(mark));
        (0..).zip(leases).filter(|(_, lease)| its(lease)).map(|(partition, _)| partition).collect()
    };
    // Both have their share before one of them dies.
    let mut before = scene::leases(&redis).await;
    for _ in 0..GLANCES {
        if marks.iter().all(|mark| of(&before, mark).len() == PARTITIONS as usize / 2) {
            break;
        }
        tokio::time::sleep(GLANCE).await;
        before = scene::leases(&redis).await;
    }
    let (its, others) = (of(&before, &marks[0]), of(&before, &marks[1]));
    assert_eq!((its.len(), others.len()), (PARTITIONS as usize / 2, PARTITIONS as usize / 2), "{before:?}");
    let name = |mark: &str| before.iter().flatten().find(|(worker, _)| worker.contains(mark)).unwrap().0.clone();
    let (dead, alive) = (name(&marks[0]), name(&marks[1]));
    let died = SystemTime::now();
    workers[0].kill();
    scene::taken_over(&redis, &before, &marks[0]).await;

    // Asked of an ingest, which works on nothing.
    let [workers_asked] = page::commands(10);
    let desk = Desk::at(Installation::new(&Settings::default()));
    let url = format!("LANEWAY_URL=http://{}", ingests[0].installation.address());
    let said = desk.ask(&format!("{url} {workers_asked}"));
    let of_dead = said.split_once(&format!("{dead} had partition")).unwrap_or_else(|| panic!("{dead}:\n{said}")).1;
    let of_dead = of_dead.split("\n\n").next().unwrap();
    let which = of_dead.lines().next().unwrap().trim_start_matches('s');
    assert_eq!(numbers(which), its, "{said}");
    says(of_dead, &["LOST", &format!("taken over by {alive}")]);
    // Its lease was renewed before it died, and ran out afterwards.
    let (from, until) = (moment_after(of_dead, "from"), moment_after(of_dead, "until"));
    assert!(from <= died && until >= died && until <= SystemTime::now(), "{said}");
    // The other one has everything now.
    let has = said.split_once(&format!("{alive} has partition")).unwrap_or_else(|| panic!("{alive}:\n{said}")).1;
    assert_eq!(numbers(has.lines().next().unwrap().trim_start_matches('s')), (0..PARTITIONS).collect(), "{said}");
    workers[1].stop();
    // What was handed over is told from what was lost.
    let said = desk.ask(&format!("{url} {workers_asked}"));
    let handed = said.split_once(&format!("{alive} had partition")).expect("it is told").1;
    says(handed.split("\n\n").next().unwrap(), &["handed over", "nobody has taken"]);
    assert_eq!(said.matches("LOST").count(), 1, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_did_one_event_go_from_its_producer_to_its_receiver() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let collector = Collector::start().await;
    let shop = Shop::open().await;
    let telemetry = format!("[telemetry]\notlp = {:?}\n[log]\nformat = \"json\"", collector.url());
    let retry = r#"retry = { initial = "50ms", factor = 1, jitter = 0, limit = "1h" }"#;
    let all = [vec![telemetry], tables(&shop, &[("billing", retry)])].concat();
    let desk = Desk::at(Installation::new(&Settings::destinations(&all)));
    let server = desk.installation.start().await;
    let client = server.client();
    shop.answer_times("order-7", 503, "", 1);
    let traceparent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let headers = [("content-type", "application/json"), ("traceparent", traceparent.as_str())];
    let body = json!({"id": "evt_1", "type": "order.paid", "key": "order-7"}).to_string();
    let sent_at = SystemTime::now();
    let answer = client.send(http::Method::POST, "/v1/events", &headers, body).await.expect("an answer");
    assert_eq!(answer.status, 202, "{}", answer.text());
    becomes(&client, "evt_1", "billing", "delivered").await;
    let [show] = page::commands(18);
    let said = desk.ask(&show);
    // In Laneway: accepted, stored, attempted twice, delivered.
    says(
        &said,
        &["traceparent", TRACE, "stored at partition", "failed with 503", "delivered with 200", "at attempt 2", OFFSET],
    );
    let (accepted, delivered) = (moment_after(&said, "accepted"), moment_after(&said, "delivered"));
    let taken = shop.of("evt_1").pop().expect("it came");
    assert!(millis(sent_at) <= millis(accepted) + ROUNDED && millis(taken.at) <= millis(delivered) + ROUNDED, "{said}");
    // In the traces, under the name that the answer has: every span of its way, and the receiver has the last one's.
    let spans = collector.until("commit", |spans| spans.iter().any(|span| span.name == "commit")).await;
    let named = |name: &str| spans.iter().filter(|span| span.name == name && span.trace == TRACE).count();
    assert_eq!(["ingest", "append", "waiting", "attempt", "commit"].map(named), [1, 1, 1, 2, 1], "{spans:#?}");
    let last = spans.iter().filter(|span| span.name == "attempt").max_by_key(|span| span.time).expect("an attempt");
    assert_eq!(taken.header("traceparent"), format!("00-{TRACE}-{}-01", last.id));
    server.stop();
    // And in the log.
    let lines: Vec<String> =
        desk.installation.stderr().lines().filter(|line| line.contains(TRACE)).map(Into::into).collect();
    assert!(lines.iter().any(|line| line.contains("\"event_id\":\"evt_1\"") && line.contains("billing")), "{lines:?}");
}
