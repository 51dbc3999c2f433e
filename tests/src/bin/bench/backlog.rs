//! A backlog: how fast it is taken in, what it costs in memory and at a start, how fast it drains.

use crate::bench::{Bench, share};
use crate::clock;
use crate::disk::Disk;
use crate::plot::Chart;
use crate::process;
use crate::report::{Sample, Section, median};
use crate::sink::SLOT;
use crate::store::{Fresh, Kind};
use crate::throughput;
use std::io;
use std::time::Instant;

/// Events that wait.
const WAITING: u64 = 1_000_000;
const BATCH: u64 = 500;
/// Rounds of filling and draining; the median counts.
const ROUNDS: usize = 3;
/// Requests at once: enough that one is parsed while another is written.
const CONNECTIONS: u64 = 8;
/// MB that a million waiting events may take.
const MOST_MEMORY: f64 = 150.0;
/// How long the largest backlog may take to be written, in seconds.
const MOST_FILLING: u64 = 1200;
/// So much of a larger backlog is drained: enough to see whether the rate holds.
const DRAINED: u64 = 2_000_000;
/// What the largest backlog may cost: seconds until ready, and MB.
const MOST_STARTING: f64 = 5.0;
const MOST_MEMORY_OF_LARGEST: f64 = 200.0;
/// The first second's part of the whole drain's rate: full speed, but for connections that are made.
const FULL_SPEED: f64 = 0.8;

/// MiB in MB.
fn megabytes(mebibytes: f64) -> f64 {
    mebibytes * 1.048_576
}

/// A store in which events wait for the destination `main`, which is paused.
pub(crate) struct Filled {
    pub(crate) fresh: Fresh,
    pub(crate) waiting: u64,
    /// Events a second, as they were taken in.
    pub(crate) per_second: f64,
    /// MiB of the server that took them in: at the end, and at its highest.
    pub(crate) memory: (f64, f64),
    pub(crate) answers: [f64; 2],
}

/// Makes one; the server has ended. On SQLite it was killed, so that the start has to recover the log too.
/// On Redis it has handed its leases over: over any backlog, those of a dead one are waited for (5 s).
pub(crate) async fn filled(bench: &Bench, events: u64) -> io::Result<Filled> {
    let waiting = events / BATCH * BATCH;
    let fresh = bench.fresh(&[bench.destination("main", "main", "paused = true")]).await?;
    let server = fresh.start().await;
    let lines = [("batch", BATCH), ("connections", CONNECTIONS), ("seconds", MOST_FILLING)];
    let loaded = bench.load(fresh.address(), waiting, &lines).await?;
    let memory = process::memory(server.pid())?;
    match bench.store {
        Kind::Sqlite => server.kill(),
        Kind::Redis => server.stop(),
    }
    fresh.at_rest().await?;
    let answers = [loaded.answer_p50, loaded.answer_p99];
    Ok(Filled {
        fresh,
        waiting: loaded.accepted,
        per_second: share(loaded.accepted, 1) / loaded.seconds,
        memory,
        answers,
    })
}

/// How a start over a backlog went, and the drain.
pub(crate) struct Drained {
    /// Seconds until it was ready.
    pub(crate) starting: f64,
    /// Seconds from the start to the first delivery.
    pub(crate) first: f64,
    /// Events in the first second of the drain, if it lasted longer.
    pub(crate) first_second: Option<f64>,
    pub(crate) sample: Sample,
}

/// Starts over what waits and lets it go, at least `events` of it.
pub(crate) async fn drained(bench: &Bench, filled: &Filled, events: u64) -> io::Result<Drained> {
    bench.forget().await?;
    filled.fresh.configure(&[bench.destination("main", "main", "")])?;
    let (begin, started) = (clock::now(), Instant::now());
    let server = filled.fresh.start().await;
    let starting = started.elapsed().as_secs_f64();
    let received = bench.arrived(events.min(filled.waiting)).await?;
    let cpu = process::cpu(server.pid())?;
    let (_, memory) = process::memory(server.pid())?;
    let slots = bench.timeline().await?;
    server.kill();
    let seconds = clock::millis(received.last.saturating_sub(received.first)) / 1e3;
    let a_second = usize::try_from(1_000_000_000 / SLOT).unwrap_or(1);
    let first_second = (slots.len() > a_second).then(|| slots[..a_second].iter().map(|&n| f64::from(n)).sum());
    let some = events > 0;
    Ok(Drained {
        starting,
        first: clock::millis(received.first.saturating_sub(begin)) / 1e3,
        first_second,
        sample: Sample {
            per_second: some.then(|| share(received.events, 1) / seconds),
            cpu_micros: some.then(|| cpu.as_secs_f64() * 1e6 / share(received.events, 1)),
            memory: Some(memory),
            ..Sample::default()
        },
    })
}

/// A million events: in, waiting, out. A few times, each with the bare client right after the drain, since
/// the machine is not the same a minute later.
pub(crate) async fn measure(bench: &Bench, section: &mut Section, disk: &Disk) -> io::Result<()> {
    let (mut fills, mut drains, mut clients) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let filled = filled(bench, bench.scaled(WAITING)).await?;
        drains.push(drained(bench, &filled, filled.waiting).await?);
        clients.push(throughput::client(bench, bench.scaled(throughput::EVENTS)).await?);
        fills.push(filled);
    }
    taken_in(bench, section, disk, &fills);
    let rates = drains.iter().map(|drained| drained.sample.per_second.unwrap_or(0.0));
    let ratios = rates.clone().zip(&clients).map(|(rate, client)| rate / client);
    let (rate, ratio, client) = (median(rates.collect()), median(ratios.collect()), median(clients.clone()));
    section.note("backlog drained", format!("{rate:.0}/s"));
    section.note("bare client", format!("{client:.0}/s"));
    section.target("drain against the bare client", format!("{ratio:.2}"), "at least 0.6", ratio >= 0.6);
    let highest = drains.iter().filter_map(|drained| drained.sample.memory).fold(0.0, f64::max);
    let value = format!("{highest:.0} MiB");
    section.target("memory while it drains", value, "at most 150 MB", megabytes(highest) <= MOST_MEMORY);
    Ok(())
}

fn taken_in(bench: &Bench, section: &mut Section, disk: &Disk, fills: &[Filled]) {
    let of = |figure: fn(&Filled) -> f64| median(fills.iter().map(figure).collect());
    let (rate, batches) = (of(|filled| filled.per_second), disk.per_second * share(BATCH, 1));
    let bound = batches.min(200_000.0);
    let (p50, p99) = (of(|filled| filled.answers[0]), of(|filled| filled.answers[1]));
    let answers = format!("{rate:.0}/s (answers p50 {p50:.1} ms, p99 {p99:.1} ms)");
    if bench.store == Kind::Sqlite {
        section.target("batches of 500, accepted", answers, format!("at least {bound:.0}/s"), rate >= bound);
    } else {
        section.note("batches of 500, accepted", answers);
    }
    let waiting = bench.scaled(WAITING) / BATCH * BATCH;
    let highest = fills.iter().map(|filled| filled.memory.1).fold(0.0, f64::max);
    let value = format!("{:.0} MiB, at most {highest:.0} MiB", of(|filled| filled.memory.0));
    let what = format!("memory with {waiting} events waiting");
    section.target(&what, value, "at most 150 MB", megabytes(highest) <= MOST_MEMORY);
}

/// From none to ten million (200,000 in the quick form).
pub(crate) async fn sizes(bench: &Bench, section: &mut Section) -> io::Result<()> {
    let sizes: &[(&str, u64)] = if bench.quick {
        &[("0", 0), ("10k", 10_000), ("100k", 100_000), ("200k", 200_000)]
    } else {
        &[("0", 0), ("10k", 10_000), ("100k", 100_000), ("1M", 1_000_000), ("10M", 10_000_000)]
    };
    for (n, &(name, size)) in sizes.iter().enumerate() {
        // A load of nothing is none: one batch makes the store what it is.
        let filled = filled(bench, size.max(BATCH)).await?;
        let events = if size == 0 { 0 } else { filled.waiting.min(DRAINED) };
        let drained = drained(bench, &filled, events).await?;
        section.point("events waiting", name, drained.sample);
        section.note(
            format!("start over {name} waiting"),
            format!("{:.2} s, first delivery after {:.2} s", drained.starting, drained.first),
        );
        if n + 1 == sizes.len() {
            judge(section, name, &drained);
        }
    }
    let title = format!("Draining, against what waits ({})", section.store.name());
    section.chart = section.series.as_ref().map(|series| Chart::of(&title, series, false));
    Ok(())
}

fn judge(section: &mut Section, name: &str, drained: &Drained) {
    let value = format!("{:.2} s", drained.starting);
    section.target(&format!("start-up over {name}"), value, "at most 5 s", drained.starting <= MOST_STARTING);
    let memory = drained.sample.memory.map_or(f64::NAN, megabytes);
    let reached = memory <= MOST_MEMORY_OF_LARGEST;
    section.target(&format!("memory over {name}"), format!("{memory:.0} MB"), "at most 200 MB", reached);
    let (Some(first), Some(all)) = (drained.first_second, drained.sample.per_second) else {
        section.note("first second of the drain", "the drain was over sooner");
        return;
    };
    let value = format!("{first:.0} of {all:.0}/s");
    section.target("first second of the drain", value, "at least 0.8", first >= FULL_SPEED * all);
}
