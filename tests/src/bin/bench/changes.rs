//! Destinations that are made and changed over HTTP while the server runs: very many of them, and one with a wrong URL.

use crate::bench::{Bench, share};
use crate::process;
use crate::report::{Section, median};
use crate::sink::Received;
use crate::store::Fresh;
use laneway_tests::client::Client;
use laneway_tests::ports;
use laneway_tests::server::Running;
use serde_json::{Value, json};
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const FEW: u64 = 10;
const MANY: u64 = 80_000;
/// Destinations a request.
const TOGETHER: u64 = 1_000;
/// One destination is changed so often; the median counts.
const CHANGES: u64 = 21;
const ROUNDS: usize = 3;
/// Closed loops on either server.
const PAIRS: usize = 11;
/// Events of a closed loop, and those before the first.
const EVENTS: u64 = 50_000;
const WARM_EVENTS: u64 = 25_000;
/// The events that wait for the wrong URL.
const WAITING: u64 = 100_000;
/// The open loop's rate: generator, receiver and server take a quarter of two cores for it, so that a drain finds room.
const RATE: u64 = 1_000;
const WARM_SECONDS: u64 = 2;
/// How long an open loop runs then: longer than the slow drain beside it takes.
const OPEN_SECONDS: u64 = 24;
/// What a drain that leaves the machine room is held to, in events a second.
const SLOWLY: u64 = 5_000;
/// How long a drain may take.
const PATIENCE: Duration = Duration::from_secs(300);
const GLANCE: Duration = Duration::from_millis(10);

/// A server with so many destinations.
struct Made {
    fresh: Fresh,
    server: Running,
    client: Client,
    made_per_second: f64,
}

/// A change that has to succeed, and to be taken over by all partitions when it is answered.
pub(crate) async fn changed(client: &Client, method: http::Method, name: &str, body: &Value) -> io::Result<()> {
    let headers = [("content-type", "application/json")];
    let answer = client.send(method, name, &headers, body.to_string()).await.map_err(io::Error::other)?;
    let good = (200..=201).contains(&answer.status);
    if good { Ok(()) } else { Err(io::Error::other(format!("{name}: {} {}", answer.status, answer.text()))) }
}

/// Making 80,000 destinations, and what events and changes cost with them: two servers, one after the other under the
/// same load, again and again, so that what else the machine does meets both.
pub(crate) async fn many(bench: &Bench, section: &mut Section) -> io::Result<()> {
    let (few, many) = (made(bench, FEW).await?, made(bench, bench.scaled(MANY)).await?);
    let count = bench.scaled(MANY);
    let what = format!("{count} destinations made over HTTP, {TOGETHER} a request");
    let rate = many.made_per_second;
    section.target(&what, format!("{rate:.0} a second"), "at least 1000 a second", rate >= 1000.0);
    for server in [&few, &many] {
        loaded(bench, server, WARM_EVENTS).await?;
    }
    let mut pairs = Vec::new();
    for _ in 0..if bench.quick { 1 } else { PAIRS } {
        let with_few = loaded(bench, &few, bench.scaled(EVENTS)).await?;
        pairs.push((with_few, loaded(bench, &many, bench.scaled(EVENTS)).await?));
    }
    let (with_few, with_many) = middle(&pairs);
    section
        .note(format!("CPU an event, {FEW} and {count} not wanting it"), format!("{with_few:.1}, {with_many:.1} µs"));
    let ratio = ratio_of(&pairs);
    let what = format!("the ratio, of {} pairs of {} events", pairs.len(), bench.scaled(EVENTS));
    section.target(&what, format!("{ratio:.2}"), "at most 1.1", ratio <= 1.1);
    let mut pairs = Vec::new();
    for n in 0..CHANGES {
        let with_few = change_millis(&few, n).await?;
        pairs.push((with_few, change_millis(&many, n).await?));
    }
    let (with_few, with_many) = middle(&pairs);
    section.note(format!("one changed, until all follow: {FEW}, {count}"), format!("{with_few:.1}, {with_many:.1} ms"));
    let ratio = ratio_of(&pairs);
    section.target("the ratio of those", format!("{ratio:.2}"), "at most 2", ratio <= 2.0);
    let memory = [process::memory(few.server.pid())?.1, process::memory(many.server.pid())?.1];
    section.note(format!("memory: {FEW}, {count}"), format!("{:.0}, {:.0} MiB", memory[0], memory[1]));
    few.server.kill();
    many.server.kill();
    Ok(())
}

/// The medians of either side.
fn middle(pairs: &[(f64, f64)]) -> (f64, f64) {
    (median(pairs.iter().map(|pair| pair.0).collect()), median(pairs.iter().map(|pair| pair.1).collect()))
}

/// The median of how many times the first of a pair the second is.
fn ratio_of(pairs: &[(f64, f64)]) -> f64 {
    median(pairs.iter().map(|(one, other)| other / one).collect())
}

async fn made(bench: &Bench, others: u64) -> io::Result<Made> {
    let fresh = bench.fresh(&[bench.destination("main", "main", "types = [\"bench.*\"]")]).await?;
    let server = fresh.start().await;
    let client = Client::new(fresh.address());
    let began = Instant::now();
    for from in (0..others).step_by(usize::try_from(TOGETHER).unwrap_or(1)) {
        let one = |n: u64| {
            let settings = json!({"url": bench.url("other"), "types": [format!("other.{n}")]});
            json!({"op": "put", "name": format!("other-{n}"), "settings": settings})
        };
        let changes: Vec<Value> = (from..others.min(from + TOGETHER)).map(one).collect();
        changed(&client, http::Method::POST, "/v1/destinations", &json!({ "changes": changes })).await?;
    }
    let made_per_second = share(others, 1) / began.elapsed().as_secs_f64();
    Ok(Made { fresh, server, client, made_per_second })
}

/// Microseconds of CPU time an event.
async fn loaded(bench: &Bench, made: &Made, events: u64) -> io::Result<f64> {
    let ended = async || made.fresh.settled("main").await;
    Ok(bench.closed(made.fresh.address(), made.server.pid(), events, ended).await?.cpu_micros)
}

/// How long a change takes until all partitions follow it, in milliseconds.
async fn change_millis(made: &Made, n: u64) -> io::Result<f64> {
    let began = Instant::now();
    changed(&made.client, http::Method::PATCH, "/v1/destinations/other-3", &json!({"rate": n + 1})).await?;
    Ok(began.elapsed().as_secs_f64() * 1e3)
}

/// How an open loop's events came in at the healthy destination, and the CPU time of the server meanwhile.
struct Beside {
    received: Received,
    cpu: Duration,
    events: f64,
    /// The drain beside it.
    drain: Option<Drain>,
}

/// How a drain went.
#[derive(Clone, Copy)]
struct Drain {
    seconds: f64,
    /// What share of the machine's CPU time nobody used meanwhile.
    idle: f64,
}

/// What the healthy destination notices of a wrong URL that events wait behind, and of its being mended.
pub(crate) async fn mended(bench: &Bench, section: &mut Section) -> io::Result<()> {
    let rounds = if bench.quick { 1 } else { ROUNDS };
    let (mut without, mut waiting, mut slowly, mut draining) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut alone = Vec::new();
    for _ in 0..rounds {
        without.push(round(bench, Trouble::None).await?);
        waiting.push(round(bench, Trouble::Waits).await?);
        slowly.push(round(bench, Trouble::Mended { rate: Some(SLOWLY) }).await?);
        draining.push(round(bench, Trouble::Mended { rate: None }).await?);
        alone.push(drain_alone(bench).await?);
    }
    let p99 = |runs: &[Beside]| median(runs.iter().map(|run| run.received.p99).collect());
    let count = bench.scaled(WAITING);
    section.note(format!("p99 of a healthy destination at {RATE} a second"), format!("{:.2} ms", p99(&without)));
    for (runs, what) in [
        (&waiting, format!("the same while {count} events wait for a wrong URL: times")),
        (&slowly, format!("the same while they are drained at the mended URL, {SLOWLY} a second: times")),
        (&draining, "the same while they are drained as fast as they come: times".to_owned()),
    ] {
        let ratio = p99(runs) / p99(&without);
        section.target(&what, format!("{ratio:.2}"), "at most 1.3", ratio <= 1.3);
    }
    let of = |runs: &[Beside]| runs.iter().filter_map(|run| run.drain).collect::<Vec<Drain>>();
    let rate = |drains: &[Drain]| share(count, 1) / median(drains.iter().map(|drain| drain.seconds).collect());
    let idle = |drains: &[Drain]| 100.0 * median(drains.iter().map(|drain| drain.idle).collect());
    for (what, drains) in [
        ("the drain alone", alone),
        ("the slow drain beside that load", of(&slowly)),
        ("the fast drain beside that load", of(&draining)),
    ] {
        let value = format!("{:.0} a second; {:.0} %", rate(&drains), idle(&drains));
        section.note(format!("{what}; CPU time that nobody used meanwhile"), value);
    }
    let micros = |runs: &[Beside]| median(runs.iter().map(|run| run.cpu.as_secs_f64() * 1e6 / run.events).collect());
    let (with_none, with_waiting) = (micros(&without), micros(&waiting));
    section
        .note("CPU of an event of the healthy one: without, waiting", format!("{with_none:.1}, {with_waiting:.1} µs"));
    let ratio = with_waiting / with_none;
    section.target("the ratio", format!("{ratio:.2}"), "at most 1.1", ratio <= 1.1);
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Trouble {
    None,
    Waits,
    /// Drained, at this rate at most.
    Mended {
        rate: Option<u64>,
    },
}

/// Puts the events behind the wrong URL. What comes later is not for it.
async fn fill(bench: &Bench, address: SocketAddr, client: &Client) -> io::Result<()> {
    let wrong = format!("http://{}/", ports::free());
    let settings = json!({"url": wrong, "types": ["bench.*"]});
    changed(client, http::Method::PUT, "/v1/destinations/wrong", &settings).await?;
    bench.load(address, bench.scaled(WAITING), &[("batch", 500), ("connections", 4)]).await?;
    changed(client, http::Method::PATCH, "/v1/destinations/wrong", &json!({"types": ["nothing"]})).await
}

/// Mends the URL and waits until everything has come in.
async fn mend(bench: &Bench, client: &Client, rate: Option<u64>) -> io::Result<Drain> {
    let (began, before) = (Instant::now(), process::machine()?);
    let mut settings = json!({"url": bench.url("other")});
    if let Some(rate) = rate {
        settings["rate"] = rate.into();
    }
    changed(client, http::Method::PATCH, "/v1/destinations/wrong", &settings).await?;
    loop {
        let [_, other] = bench.received().await?;
        if other.events >= bench.scaled(WAITING) {
            return Ok(Drain { seconds: began.elapsed().as_secs_f64(), idle: process::machine()?.idle_since(before) });
        }
        if began.elapsed() > PATIENCE {
            return Err(io::Error::other(format!("only {} of the waiting events came in", other.events)));
        }
        tokio::time::sleep(GLANCE).await;
    }
}

async fn round(bench: &Bench, trouble: Trouble) -> io::Result<Beside> {
    let fresh = bench.fresh(&[bench.destination("idle", "other", "types = [\"nothing\"]")]).await?;
    let server = fresh.start().await;
    let client = Client::new(fresh.address());
    if trouble != Trouble::None {
        fill(bench, fresh.address(), &client).await?;
    }
    // It begins here: what waits is not for it.
    let main = json!({"url": bench.url("main"), "types": ["bench.*"], "from": "end"});
    changed(&client, http::Method::PUT, "/v1/destinations/main", &main).await?;
    bench.forget().await?;
    let seconds = bench.scaled(OPEN_SECONDS).max(4) + WARM_SECONDS;
    let lines = [("rate", RATE), ("connections", 128), ("warm", RATE * WARM_SECONDS)];
    let before = process::cpu(server.pid())?;
    let mending = async {
        let Trouble::Mended { rate } = trouble else { return Ok(None) };
        tokio::time::sleep(Duration::from_secs(WARM_SECONDS)).await;
        mend(bench, &client, rate).await.map(Some)
    };
    let (loaded, mended) = tokio::join!(bench.load(fresh.address(), RATE * seconds, &lines), mending);
    let (loaded, drain) = (loaded?, mended?);
    let received = bench.arrived(loaded.accepted).await?;
    let cpu = process::cpu(server.pid())?.saturating_sub(before);
    server.kill();
    Ok(Beside { received, cpu, events: share(loaded.accepted, 1), drain })
}

/// The drain with nothing beside it.
async fn drain_alone(bench: &Bench) -> io::Result<Drain> {
    let fresh = bench.fresh(&[bench.destination("idle", "other", "types = [\"nothing\"]")]).await?;
    let server = fresh.start().await;
    let client = Client::new(fresh.address());
    fill(bench, fresh.address(), &client).await?;
    bench.forget().await?;
    let drain = mend(bench, &client, None).await?;
    server.kill();
    Ok(drain)
}
