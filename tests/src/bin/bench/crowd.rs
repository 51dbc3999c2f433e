//! Many of which some fail: a million keys of which a thousand do, ten thousand destinations of which
//! a hundred do. What the others notice, in one run with and one without.

use crate::bench::{Bench, share};
use crate::curves;
use crate::process;
use crate::report::{Section, median};
use crate::sink::Received;
use std::io;
use std::net::SocketAddr;

/// Keys, each seen before it is measured. The quick form has fewer, and as many failing ones less.
const KEYS: u64 = 1_000_000;
/// So many of a thousand keys fail for the whole run.
const FAILING: u32 = 1;
const BATCH: u64 = 500;
const DESTINATIONS: u32 = 10_000;
const DEAD: u32 = 100;
/// Events a second of the open loops: a quarter or so of what is possible, so that queueing hides nothing.
const RATE: u64 = 4000;
/// The same where each destination has connections of its own.
const RATE_OF_MANY: u64 = 2000;
/// How long an open loop runs before it counts, in seconds.
const WARM_SECONDS: u64 = 3;
/// How long it runs then.
const OPEN_SECONDS: u64 = 60;
/// With and without trouble in turn, as often as this.
const ROUNDS: usize = 3;

/// One run of a crowd.
struct Crowd {
    received: Received,
    /// CPU time of the server an event.
    cpu_micros: f64,
    memory: f64,
    store: f64,
    behind: u64,
}

async fn open(
    bench: &Bench,
    address: SocketAddr,
    pid: u32,
    rate: u64,
    lines: &[(&str, u64)],
) -> io::Result<(Received, f64)> {
    bench.forget().await?;
    let cpu = process::cpu(pid)?;
    let seconds = bench.scaled(OPEN_SECONDS).max(4);
    let open = [("rate", rate), ("connections", 128), ("warm", rate * WARM_SECONDS)];
    let loaded = bench.load(address, rate * (seconds + WARM_SECONDS), &[&open, lines].concat()).await?;
    let received = bench.arrived(loaded.accepted - loaded.failing).await?;
    let used = process::cpu(pid)?.saturating_sub(cpu);
    Ok((received, used.as_secs_f64() * 1e6 / share(loaded.accepted, 1)))
}

fn middle(runs: &[Crowd], of: impl Fn(&Crowd) -> f64) -> f64 {
    median(runs.iter().map(of).collect())
}

/// The p99 of all other keys without and with failing ones.
pub(crate) async fn keys(bench: &Bench, section: &mut Section) -> io::Result<()> {
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..if bench.quick { 1 } else { ROUNDS } {
        without.push(of_keys(bench, 0).await?);
        with.push(of_keys(bench, FAILING).await?);
    }
    let keys = bench.scaled(KEYS);
    let failing = keys * u64::from(FAILING) / 1000;
    let p99 = |runs: &[Crowd]| middle(runs, |run| run.received.p99);
    let ratio = p99(&with) / p99(&without);
    section.note(format!("p99 of {keys} keys, none failing"), format!("{:.2} ms", p99(&without)));
    section.note(format!("p99 of the others while {failing} fail"), format!("{:.2} ms", p99(&with)));
    section.target("p99 with against without", format!("{ratio:.2}"), "at most 1.2", ratio <= 1.2);
    let behind = with.iter().map(|run| run.behind).max().unwrap_or(0);
    section.target("keys that are recorded as behind", behind.to_string(), format!("{failing}"), behind == failing);
    for (what, of) in [
        ("memory, MiB", (|run| run.memory) as fn(&Crowd) -> f64),
        ("store on disk, MiB", |run| run.store),
        ("CPU of the server an event, µs", |run| run.cpu_micros),
    ] {
        section
            .note(format!("{what}: without, with"), format!("{:.1}, {:.1}", middle(&without, of), middle(&with, of)));
    }
    Ok(())
}

/// Every key has had an event before it begins, so that those that fail have failed.
async fn of_keys(bench: &Bench, failing: u32) -> io::Result<Crowd> {
    let fresh = bench.fresh(&[curves::failing(bench, failing)]).await?;
    let server = fresh.start().await;
    let keys = bench.scaled(KEYS) / BATCH * BATCH;
    let lines = [("keys", keys), ("failing", failing.into())];
    bench.forget().await?;
    let first = [("in-turn", 1), ("batch", BATCH), ("connections", 4)];
    let loaded = bench.load(fresh.address(), keys, &[&lines[..], &first].concat()).await?;
    bench.arrived(loaded.accepted - loaded.failing).await?;
    let (received, cpu_micros) = open(bench, fresh.address(), server.pid(), RATE, &lines).await?;
    let memory = process::memory(server.pid())?.1;
    let crowd = Crowd {
        received,
        cpu_micros,
        memory,
        store: share(fresh.disk_bytes()?, 1 << 20),
        behind: fresh.behind("main").await?,
    };
    server.kill();
    Ok(crowd)
}

/// The p99 of healthy destinations without and with dead ones among them.
pub(crate) async fn destinations(bench: &Bench, section: &mut Section) -> io::Result<()> {
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..if bench.quick { 1 } else { ROUNDS } {
        without.push(of_destinations(bench, 0).await?);
        with.push(of_destinations(bench, DEAD).await?);
    }
    let p99 = |runs: &[Crowd]| middle(runs, |run| run.received.p99);
    let ratio = p99(&with) / p99(&without);
    section.note(format!("p99 of {DESTINATIONS} destinations, all healthy"), format!("{:.2} ms", p99(&without)));
    section.note(format!("p99 of the others while {DEAD} are dead"), format!("{:.2} ms", p99(&with)));
    section.target("p99 with against without", format!("{ratio:.2}"), "at most 1.5", ratio <= 1.5);
    let both = |of: fn(&Crowd) -> f64| format!("{:.1}, {:.1}", middle(&without, of), middle(&with, of));
    section.note("memory, MiB: without, with", both(|run| run.memory));
    section.note("CPU of the server an event, µs: without, with", both(|run| run.cpu_micros));
    Ok(())
}

async fn of_destinations(bench: &Bench, dead: u32) -> io::Result<Crowd> {
    let nowhere = format!("http://{}/", laneway_tests::ports::free());
    let fresh = bench.fresh(&curves::destinations_by_type(bench, DESTINATIONS, dead, &nowhere)).await?;
    let server = fresh.start().await;
    let lines = [("types", u64::from(DESTINATIONS)), ("dead", u64::from(dead))];
    let (received, cpu_micros) = open(bench, fresh.address(), server.pid(), RATE_OF_MANY, &lines).await?;
    let memory = process::memory(server.pid())?.1;
    let store = share(fresh.disk_bytes()?, 1 << 20);
    server.kill();
    Ok(Crowd { received, cpu_micros, memory, store, behind: 0 })
}
