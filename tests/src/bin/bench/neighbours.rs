//! What others cost: destinations that want nothing, and ones that fail.

use crate::bench::{Bench, share};
use crate::process;
use crate::report::{Section, median};
use laneway_tests::server::webhook;
use std::io;

/// Events of one closed loop.
const EVENTS: u64 = 100_000;
const ROUNDS: usize = 3;
/// Events before the counted ones: as many as take longer than what a start does once for each
/// destination, which would be counted as a cost of events otherwise.
const WARM_EVENTS: u64 = 25_000;
/// One event in this many is poisoned at the destination that fails them.
const POISON: u64 = 100;
/// The open loop's rate: a quarter or so of what is possible, so that queueing hides nothing.
const RATE: u64 = 4_000;
/// How long an open loop runs before it counts, in seconds.
const WARM_SECONDS: u64 = 3;
/// How long it runs then.
const OPEN_SECONDS: u64 = 60;

/// CPU per event with few and with many destinations that do not want it, and what starting with
/// them takes.
pub(crate) async fn uninterested(bench: &Bench, report: &mut Section) -> io::Result<()> {
    let (mut few, mut many) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        few.push(cpu_with(bench, 10).await?);
        many.push(cpu_with(bench, 10_000).await?);
    }
    let cpu = |runs: &[(f64, f64)]| median(runs.iter().map(|run| run.0).collect());
    let start = |runs: &[(f64, f64)]| median(runs.iter().map(|run| run.1).collect());
    report.note("CPU of the start, 10 destinations", format!("{:.0} ms", start(&few)));
    report.note("CPU of the start, 10,000 destinations", format!("{:.0} ms", start(&many)));
    let (few, many) = (cpu(&few), cpu(&many));
    report.note("CPU an event, 10 destinations not wanting it", format!("{few:.1} µs"));
    report.note("CPU an event, 10,000 destinations not wanting it", format!("{many:.1} µs"));
    let ratio = many / few;
    report.target("10,000 against 10 destinations", format!("{ratio:.2}"), "at most 1.2", ratio <= 1.2);
    Ok(())
}

/// Microseconds an event, and milliseconds of the start: of all before the counted events, what these
/// do not explain.
async fn cpu_with(bench: &Bench, others: usize) -> io::Result<(f64, f64)> {
    let other = |n: usize| bench.destination(&format!("other-{n}"), "other", &format!("types = [\"other.{n}\"]"));
    let mut destinations: Vec<String> = (0..others).map(other).collect();
    destinations.push(bench.destination("main", "main", "types = [\"bench.*\"]"));
    let fresh = bench.fresh(&destinations).await?;
    let server = fresh.start().await;
    let events = bench.scaled(EVENTS);
    let ended = async || fresh.settled("main").await;
    bench.closed(fresh.address(), server.pid(), WARM_EVENTS, ended).await?;
    let before = process::cpu(server.pid())?;
    let run = bench.closed(fresh.address(), server.pid(), events, ended).await?;
    server.kill();
    let warm = share(WARM_EVENTS, 1000) * run.cpu_micros;
    Ok((run.cpu_micros, (before.as_secs_f64() * 1e3 - warm).max(0.0)))
}

/// The others' p99 without and with a dead destination and a failing key.
pub(crate) async fn failing(bench: &Bench, report: &mut Section) -> io::Result<()> {
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        without.push(p99(bench, false).await?);
        with.push(p99(bench, true).await?);
    }
    let (without, with) = (median(without), median(with));
    let ratio = with / without;
    report.note("p99 of a healthy destination, all healthy", format!("{without:.2} ms"));
    report.note("the same beside a dead one and a failing key", format!("{with:.2} ms"));
    report.target("p99 with against without", format!("{ratio:.2}"), "at most 1.2", ratio <= 1.2);
    Ok(())
}

/// Both times two destinations take everything. With trouble, the second fails one key for ever,
/// and a third, which wants everything too, is a closed port.
async fn p99(bench: &Bench, trouble: bool) -> io::Result<f64> {
    let mut destinations = vec![bench.destination("main", "main", ""), bench.destination("other", "other", "")];
    if trouble {
        let closed = laneway_tests::ports::free();
        destinations.push(webhook("dead", &format!("http://{closed}/"), ""));
    }
    let fresh = bench.fresh(&destinations).await?;
    let server = fresh.start().await;
    let poison = if trouble { POISON } else { 0 };
    let lines = [("rate", RATE), ("connections", 256), ("poison", poison), ("warm", RATE * WARM_SECONDS)];
    bench.forget().await?;
    let events = RATE * (bench.scaled(OPEN_SECONDS).max(5) + WARM_SECONDS);
    let loaded = bench.load(fresh.address(), events, &lines).await?;
    let received = bench.arrived(loaded.accepted).await?;
    let [_, other] = bench.received().await?;
    if trouble == (other.failed == 0) {
        return Err(io::Error::other(format!("the failing key failed {} times", other.failed)));
    }
    server.kill();
    Ok(received.p99)
}
