//! Replays over a large log: of one key with very many events, and of the few of a type. What they take, and what others
//! notice of them.

use crate::bench::{Bench, share};
use crate::process;
use crate::report::{Section, median};
use crate::sink::Received;
use crate::store::Fresh;
use http::Method;
use laneway_tests::client::Client;
use laneway_tests::server::Running;
use serde_json::{Value, json};
use std::io;
use std::time::{Duration, Instant};

const EVENTS: u64 = 10_000_000;
/// One event in so many is of the one key.
const OF_KEY: u64 = 10;
/// One event in so many, about, is of the one type.
const TYPES: u64 = 100;
const BATCH: u64 = 500;
/// How long the log may take to be written, in seconds.
const MOST_FILLING: u64 = 1200;
/// The open loop beside the replays.
const RATE: u64 = 1_000;
const WARM_SECONDS: u64 = 2;
const OPEN_SECONDS: u64 = 10;
const ROUNDS: usize = 3;
/// MiB that the server may take while it replays: as over any backlog.
const MOST_MEMORY: f64 = 190.0;
/// How long the destination may take to settle the log, and a replay to be done.
const PATIENCE: Duration = Duration::from_secs(1200);
const GLANCE: Duration = Duration::from_millis(200);

/// A server over a log whose events `done` has settled, and `main`, which gets what is new.
struct Subject {
    fresh: Fresh,
    server: Running,
    client: Client,
}

/// A replay that is done.
struct Replayed {
    settled: u64,
    seconds: f64,
}

pub(crate) async fn measure(bench: &Bench, section: &mut Section) -> io::Result<()> {
    let events = bench.scaled(EVENTS) / BATCH * BATCH;
    let subject = filled(bench, events).await?;
    let rounds = if bench.quick { 1 } else { ROUNDS };
    let (mut without, mut of_type, mut of_key) = (Vec::new(), Vec::new(), Vec::new());
    let mut types = Vec::new();
    for round in 0..rounds {
        without.push(beside(bench, &subject).await?);
        let name = format!("type-{round}");
        let began = begin(&subject, &name, &json!({"types": ["bench.00000"]})).await?;
        of_type.push(beside(bench, &subject).await?);
        types.push(done(&subject, &name, began).await?);
    }
    let began = begin(&subject, "key", &json!({"keys": ["kpoison"]})).await?;
    for _ in 0..rounds {
        of_key.push(beside(bench, &subject).await?);
    }
    let key = done(&subject, "key", began).await?;
    let memory = process::memory(subject.server.pid())?.1;
    subject.server.kill();

    section.note("the log", format!("{events} events, all of them settled"));
    let p99 = |runs: &[Received]| median(runs.iter().map(|run| run.p99).collect());
    section.note(format!("p99 of another destination at {RATE} a second"), format!("{:.2} ms", p99(&without)));
    for (runs, what) in [(&of_type, "events of a type"), (&of_key, "one key")] {
        let ratio = p99(runs) / p99(&without);
        let what = format!("the same beside a replay of {what}: times");
        section.target(&what, format!("{ratio:.2}"), "at most 1.3", ratio <= 1.3);
    }
    let seconds = median(types.iter().map(|replayed| replayed.seconds).collect());
    let settled = types.first().map_or(0, |replayed| replayed.settled);
    let value =
        format!("{settled} events, {seconds:.0} s: {:.0} records looked at a second", share(events, 1) / seconds);
    section.note(format!("a replay of one type of {TYPES}"), value);
    let rate = share(key.settled, 1) / key.seconds;
    section.note("a replay of one key", format!("{} events, {:.0} s: {rate:.0} a second", key.settled, key.seconds));
    let whole = key.settled == events / OF_KEY;
    section.target("events of the key", key.settled.to_string(), format!("{}", events / OF_KEY), whole);
    section.target(
        "memory of the server, at most",
        format!("{memory:.0} MiB"),
        "at most 190 MiB",
        memory <= MOST_MEMORY,
    );
    Ok(())
}

/// Writes the log while `done` takes it in batches, and starts the server anew.
async fn filled(bench: &Bench, events: u64) -> io::Result<Subject> {
    let batch = "types = [\"bench.*\"]\nbatch = { max_events = 500 }";
    let fresh = bench.fresh(&[bench.destination("done", "other?all", batch)]).await?;
    let server = fresh.start().await;
    let client = Client::new(fresh.address());
    let lines = [
        ("batch", BATCH),
        ("connections", 4),
        ("seconds", MOST_FILLING),
        ("poison", OF_KEY),
        ("types", TYPES),
        ("warm", events),
    ];
    bench.load(fresh.address(), events, &lines).await?;
    let deadline = Instant::now() + PATIENCE;
    while client.status("done").await["pending"] != 0 {
        if Instant::now() > deadline {
            return Err(io::Error::other("the log is not settled"));
        }
        tokio::time::sleep(GLANCE).await;
    }
    server.stop();
    // What is new is for another one, and what is replayed comes event by event.
    let done = bench.destination("done", "other?all", "types = [\"nothing\"]");
    fresh.configure(&[done, bench.destination("main", "main", "types = [\"bench.*\"]")])?;
    let server = fresh.start().await;
    client.settled("main").await;
    Ok(Subject { fresh, server, client })
}

/// Begins a replay to `done`.
async fn begin(subject: &Subject, id: &str, what: &Value) -> io::Result<Instant> {
    let path = format!("/v1/destinations/done/replays/{id}");
    let headers = [("content-type", "application/json")];
    let began = Instant::now();
    let answer = subject.client.send(Method::PUT, &path, &headers, what.to_string()).await.map_err(io::Error::other)?;
    let good = (200..300).contains(&answer.status);
    if good { Ok(began) } else { Err(io::Error::other(format!("{path}: {} {}", answer.status, answer.text()))) }
}

/// Waits until it is done.
async fn done(subject: &Subject, id: &str, began: Instant) -> io::Result<Replayed> {
    let path = format!("/v1/destinations/done/replays/{id}");
    loop {
        let replay = subject.client.get(&path).await.map_err(io::Error::other)?.json();
        if replay["state"] == "done" {
            let parts = replay["partitions"].as_array().cloned().unwrap_or_default();
            let settled = parts.iter().filter_map(|part| part["settled"].as_u64()).sum();
            return Ok(Replayed { settled, seconds: began.elapsed().as_secs_f64() });
        }
        if began.elapsed() > PATIENCE {
            return Err(io::Error::other(format!("the replay is not done: {replay}")));
        }
        tokio::time::sleep(GLANCE).await;
    }
}

/// What comes in at `main` while the rest goes on.
async fn beside(bench: &Bench, subject: &Subject) -> io::Result<Received> {
    bench.forget().await?;
    let lines = [("rate", RATE), ("connections", 128), ("warm", RATE * WARM_SECONDS)];
    let loaded = bench.load(subject.fresh.address(), RATE * (OPEN_SECONDS + WARM_SECONDS), &lines).await?;
    bench.arrived(loaded.accepted).await
}
