//! The real binary against receivers that misbehave in every way at once: each attempt ends in time,
//! memory stays where it was, and a healthy neighbour gets everything.

use crate::hostile_receivers::{Enemy, enemies};
use laneway_tests::client::Client;
use laneway_tests::effort;
use laneway_tests::hostile::{Hostile, Manner, Names, Reply};
use laneway_tests::receiver::{Behaviour, Receiver};
use laneway_tests::server::{Installation, Running, Settings, webhook};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The deadline of an attempt at a hostile receiver, as `LINES` have it, and one second. That is a
/// bound of a bucket of `laneway_delivery_seconds`, so that the metric says what ended in time.
const IN_TIME: Duration = Duration::from_millis(2500);
const BUCKET: &str = "le=\"2.5\"";
/// How much memory may grow over all attempts, in KiB.
const MOST_GROWTH: u64 = 50 * 1024;
/// Keys, and with them attempts in flight, of each hostile destination.
const KEYS: usize = 12;
/// Events of the healthy destination, before and during the storm.
const CALM: usize = 400;
/// Every attempt fails, and the event is tried again shortly after, for ever.
const LINES: &str = "types = [\"storm\"]\ntimeout = \"1500ms\"\nbreaker = false\n\
                     retry = { initial = \"300ms\", factor = 1, limit = \"2s\", jitter = 0 }";
const PATIENCE: Duration = Duration::from_secs(300);

/// The sum of a metric's lines that contain all of these.
fn sum(metrics: &str, name: &str, labels: &[&str]) -> u64 {
    let lines = metrics.lines().filter(|line| line.starts_with(name) && labels.iter().all(|l| line.contains(l)));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

async fn metrics(client: &Client) -> String {
    client.get("/metrics").await.expect("an answer").text()
}

/// The resident memory of a process, in KiB.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("Linux says so");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

/// Waits for so many attempts at hostile receivers, and so many at each of them; the most memory
/// that was seen meanwhile, in KiB.
async fn until_attempts(server: &Running, enemies: &[Enemy], wanted: u64, each: u64) -> u64 {
    let (client, deadline) = (server.client(), Instant::now() + PATIENCE);
    let mut most = 0;
    loop {
        let page = metrics(&client).await;
        let of = |enemy: &Enemy| sum(&page, "laneway_deliveries_total", &[&format!("\"{}\"", enemy.name)]);
        let made: Vec<u64> = enemies.iter().map(of).collect();
        most = most.max(resident(server.pid()));
        if made.iter().sum::<u64>() >= wanted && made.iter().all(|made| *made >= each) {
            return most;
        }
        assert!(Instant::now() < deadline, "after {PATIENCE:?} only {made:?} attempts of {wanted}, {each} each");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn events(kind: &str, round: &str, count: usize, keys: usize) -> Vec<Value> {
    let event = |n| json!({"id": format!("{round}-{n}"), "type": kind, "key": format!("k{}", n % keys), "data": n});
    (0..count).map(event).collect()
}

/// Sends the healthy destination a round of events; how long it took until it had them all.
async fn calm(client: &Client, healthy: &Receiver, round: usize) -> Duration {
    let begun = Instant::now();
    client.accepted_all(&events("calm", &format!("calm{round}"), CALM, 50)).await;
    healthy.taken(CALM * (round + 1)).await;
    begun.elapsed()
}

fn settings(enemies: &[Enemy], healthy: &Receiver, gone: &Hostile) -> Settings {
    let mut tables = vec![webhook("healthy", &healthy.url(), "types = [\"calm\"]")];
    tables.push(webhook("gone", &format!("http://{}/", gone.address()), LINES));
    tables.extend(enemies.iter().map(|enemy| {
        let tls = if enemy.url.starts_with("https") { "tls = { ca = \"file:ca.pem\" }" } else { "" };
        webhook(enemy.name, &enemy.url, &format!("{LINES}\nmax_in_flight = {KEYS}\n{tls}"))
    }));
    Settings::destinations(&tables).store("partitions = 2")
}

/// What the status, the metrics and the receiver itself say of one hostile destination.
async fn check(enemy: &Enemy, client: &Client, metrics: &str) -> Vec<String> {
    let (name, label) = (enemy.name, format!("destination=\"{}\"", enemy.name));
    let mut wrong = Vec::new();
    let status = client.status(name).await;
    let reasons: Vec<&str> =
        status["blocked"].as_array().expect("a list").iter().filter_map(|b| b["last_error"].as_str()).collect();
    if reasons.is_empty() || !reasons.iter().all(|reason| enemy.says.iter().any(|part| reason.contains(part))) {
        wrong.push(format!("{name} says {reasons:?}, not {:?}", enemy.says));
    }
    let ended = sum(metrics, "laneway_delivery_seconds_count", &[&label]);
    let in_time = sum(metrics, "laneway_delivery_seconds_bucket", &[&label, BUCKET]);
    if ended < KEYS as u64 || in_time != ended {
        wrong.push(format!("{name}: {in_time} of {ended} attempts ended within {IN_TIME:?}"));
    }
    if sum(metrics, "laneway_deliveries_total", &[&label, "\"delivered\""]) > 0 {
        wrong.push(format!("{name} was said to have taken something"));
    }
    let Some(receiver) = &enemy.receiver else { return wrong };
    let seen = receiver.seen();
    if enemy.hangs_up && seen.longest > IN_TIME {
        wrong.push(format!("{name} was held on to for {:?}", seen.longest));
    }
    if seen.connections == 0 {
        wrong.push(format!("{name} was never connected to"));
    }
    wrong
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_receivers_cost_their_own_attempts_and_nothing_else() {
    let healthy = Receiver::start(Behaviour::healthy(), 1).await;
    let gone = Hostile::start(Manner::Answers(vec!["HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n".into()])).await;
    let (enemies, trap, ca) = enemies().await;
    let installation = Installation::new(&settings(&enemies, &healthy, &gone));
    std::fs::write(installation.folder().join("ca.pem"), ca).expect("it can be written");
    let server = installation.start().await;
    let client = server.client();
    let alone = calm(&client, &healthy, 0).await;

    client.accepted_all(&events("storm", "storm", KEYS, KEYS)).await;
    let wanted = effort::scaled(1_500, 10_000) as u64;
    until_attempts(&server, &enemies, wanted / 5, KEYS as u64).await;
    let before = resident(server.pid());
    let beside = calm(&client, &healthy, 1).await;
    let each = (KEYS * effort::scaled(3, 10)) as u64;
    let most = until_attempts(&server, &enemies, wanted, each).await;
    println!("{wanted} attempts; healthy: {alone:?} alone, {beside:?} beside; {before} KiB, at most {most} KiB");

    let page = metrics(&client).await;
    let mut wrong = Vec::new();
    for enemy in &enemies {
        wrong.extend(check(enemy, &client, &page).await);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let paused = client.status("gone").await;
    assert!(paused.to_string().contains("410"), "{paused}");
    assert_eq!(gone.seen().requests.min(KEYS), gone.seen().requests, "after a 410 nothing more is attempted");
    assert_eq!(trap.seen().connections, 0, "a redirect was followed");
    assert!(most < before + MOST_GROWTH, "memory grew from {before} to {most} KiB");
    // Generous: the machine is shared, and it is the order of magnitude that isolation is about.
    assert!(beside < alone * 20 + Duration::from_secs(5), "{beside:?} beside the storm, {alone:?} alone");
    assert_eq!(sum(&page, "laneway_deliveries_total", &["\"healthy\"", "\"retry\""]), 0);
    let record = healthy.record();
    assert_eq!((record.deliveries.len(), record.taken.len()), (2 * CALM, 2 * CALM), "the healthy one was disturbed");
    server.stop();
}

/// The times between the attempts of each event at this receiver.
fn waits(receiver: &Hostile) -> Vec<Duration> {
    let times = receiver.seen().times;
    let mut waits = Vec::new();
    for (n, (id, at)) in times.iter().enumerate() {
        let next = times[n + 1..].iter().find(|(other, _)| other == id);
        waits.extend(next.map(|(_, later)| *later - *at));
    }
    waits
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_asks_for_time_gets_it_within_the_limit() {
    let answers = |value: &str| {
        Manner::Answers(vec![format!("HTTP/1.1 429 Later\r\nretry-after: {value}\r\ncontent-length: 0\r\n\r\n")])
    };
    // What they ask for, and the least that they then get. The delay itself is 300 ms, the limit 2 s.
    let cases = [
        ("seconds", "1", Duration::from_secs(1)),
        ("much", "86400", Duration::from_secs(2)),
        ("beyond-u64", "99999999999999999999999", Duration::from_secs(2)),
        ("year-9999", "Fri, 31 Dec 9999 23:59:59 GMT", Duration::from_secs(2)),
        ("past", "Sun, 06 Nov 1994 08:49:37 GMT", Duration::from_millis(300)),
        ("junk", "soon", Duration::from_millis(300)),
        ("negative", "-5", Duration::from_millis(300)),
        ("empty", "", Duration::from_millis(300)),
    ];
    let mut receivers = Vec::new();
    for (name, value, least) in cases {
        receivers.push((name, Hostile::start(answers(value)).await, least));
    }
    let tables: Vec<String> =
        receivers.iter().map(|(name, r, _)| webhook(name, &format!("http://{}/", r.address()), LINES)).collect();
    let installation = Installation::new(&Settings::destinations(&tables));
    let server = installation.start().await;
    server.client().accepted_all(&events("storm", "e", 3, 3)).await;
    for (name, receiver, least) in &receivers {
        // Without the limit, some of them would not come again in our time.
        server.client().until(name, "attempted three times", |s| s["blocked"][0]["attempts"].as_u64() >= Some(3)).await;
        let waits = waits(receiver);
        // A timer's millisecond, and the clock's.
        let short: Vec<_> = waits.iter().filter(|wait| **wait + Duration::from_millis(5) < *least).collect();
        assert!(!waits.is_empty() && short.is_empty(), "{name}: {short:?} is less than {least:?}");
    }
    server.stop();
}

/// Why the names of a process cannot be ours here, if so.
fn own_names() -> Result<(), String> {
    let tried = std::process::Command::new("unshare").args(["--mount", "true"]).output();
    match tried.map_err(|e| e.to_string())? {
        output if output.status.success() => Ok(()),
        output => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_fail_are_slow_or_change_cost_their_own_attempts() {
    const SERVER: &str = "127.0.0.77:53";
    let (here, private) = ([127, 0, 0, 1].into(), [10, 0, 0, 1].into());
    let replies = [
        ("good.test", Reply::Addresses(vec![here])),
        ("none.test", Reply::NoSuchName),
        ("failing.test", Reply::Failure),
        ("slow.test", Reply::Silence),
        ("private.test", Reply::Addresses(vec![private])),
        ("changes.test", Reply::Addresses(vec![here, private, here])),
    ];
    let replies = replies.map(|(name, reply)| (name.to_owned(), reply));
    let started = Names::start(SERVER.parse().expect("an address"), replies.into()).await.map_err(|e| e.to_string());
    let names = match started.and_then(|names| own_names().map(|()| names)) {
        Ok(names) => names,
        Err(why) => return effort::skipped(&format!("e2e_hostile: names of its own for a process take root: {why}")),
    };
    let healthy = Receiver::start(Behaviour::healthy(), 1).await;
    let close = |status| format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    let changing = Hostile::start(Manner::Answers(vec![close(500), close(200)])).await;
    let at = |name: &str, port: u16| webhook(name, &format!("http://{name}.test:{port}/hook"), LINES);
    let good = at("good", healthy.address().port()).replace("storm", "calm");
    let tables = ["none", "failing", "slow", "private"].map(|name| at(name, 80));
    // Slowly, so that each of its errors can be seen.
    let changes = at("changes", changing.address().port()).replace("300ms", "2s");
    let tables = [tables.as_slice(), &[good, changes]].concat();
    let installation = Installation::new(&Settings::destinations(&tables));
    let resolver = format!("nameserver {}\n", &SERVER[..SERVER.len() - 3]);
    std::fs::write(installation.folder().join("resolv.conf"), resolver).expect("it can be written");
    let mount = r#"mount --bind resolv.conf /etc/resolv.conf && exec "$0" "$@""#;
    let server = installation.start_under(&["unshare", "--mount", "sh", "-c", mount], &[]).await;
    let client = server.client();
    client.accepted_all(&events("storm", "storm", 1, 1)).await;
    for (name, says) in [
        ("none", "the name none.test could not be looked up"),
        ("failing", "the name failing.test could not be looked up"),
        ("slow", "still looking up slow.test"),
        ("changes", "changes.test resolves to an address that is not permitted: 10.0.0.1 may not be connected to"),
        ("private", "10.0.0.1 may not be connected to: it is a private address"),
    ] {
        let said = |s: &Value| s["blocked"][0]["last_error"].as_str().is_some_and(|error| error.contains(says));
        client.until(name, says, said).await;
    }
    calm(&client, &healthy, 0).await;
    // 500, then an address that it may not go to, then 200.
    client.settled("changes").await;
    assert_eq!((changing.seen().requests, names.asked("changes.test")), (2, 3));
    let page = metrics(&client).await;
    let ended = sum(&page, "laneway_delivery_seconds_count", &[]);
    assert_eq!(sum(&page, "laneway_delivery_seconds_bucket", &[BUCKET]), ended, "{page}");
    assert_eq!(healthy.record().deliveries.len(), CALM);
    // A look-up that does not end must not hold the shutdown.
    server.stop();
}
