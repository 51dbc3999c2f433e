//! Ingest, drain and end to end side by side: throughput, latency, CPU, memory.

use crate::backlog;
use crate::bench::{Bench, share};
use crate::plot::Chart;
use crate::process;
use crate::report::{Sample, Section};
use std::io;

/// Events that are drained.
const WAITING: u64 = 1_000_000;
/// How long a loop runs, in seconds.
const SECONDS: u64 = 16;
/// The most events of a loop of batches.
const MOST_EVENTS: u64 = 4_000_000;

pub(crate) async fn measure(bench: &Bench, section: &mut Section) -> io::Result<()> {
    for (name, batch) in [("ingest by 1", 1), ("by 10", 10), ("by 100", 100), ("by 500", 500)] {
        let sample = ingest(bench, batch).await?;
        section.point("what", name, sample);
    }
    let filled = backlog::filled(bench, bench.scaled(WAITING)).await?;
    let drained = backlog::drained(bench, &filled, filled.waiting).await?;
    section.point("what", "drain", drained.sample);
    drop(filled);
    let fresh = bench.fresh(&[bench.destination("main", "main", "")]).await?;
    let server = fresh.start().await;
    let sample = bench.sample(&fresh, &server, u64::from(u32::MAX), &[]).await?;
    server.kill();
    section.point("what", "end to end", sample);
    section.note("latency of ingest", "from when a request was due to its 202, at half of the rate before it");
    section.note("latency end to end", "from when an event was due to its arrival at the receiver");
    let title = format!("Taking in, draining, and both at once ({})", section.store.name());
    section.chart = section.series.as_ref().map(|series| Chart::of(&title, series, true));
    Ok(())
}

/// Taking in while the destination is paused.
async fn ingest(bench: &Bench, batch: u64) -> io::Result<Sample> {
    let fresh = bench.fresh(&[bench.destination("main", "main", "paused = true")]).await?;
    let server = fresh.start().await;
    let seconds = bench.scaled(SECONDS);
    let connections = if batch == 1 { 64 } else { 8 };
    let lines = [("batch", batch), ("connections", connections), ("seconds", seconds)];
    let cpu = process::cpu(server.pid())?;
    let loaded = bench.load(fresh.address(), bench.scaled(MOST_EVENTS), &lines).await?;
    let used = process::cpu(server.pid())?.saturating_sub(cpu);
    let per_second = share(loaded.accepted, 1) / loaded.seconds;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate of some thousands")]
    let rate = (per_second / 2.0) as u64;
    let open = [("batch", batch), ("connections", 64), ("rate", rate.max(batch))];
    let timed = bench.load(fresh.address(), rate.max(batch) * seconds, &open).await?;
    let memory = process::memory(server.pid())?.1;
    server.kill();
    Ok(Sample {
        per_second: Some(per_second),
        cpu_micros: Some(used.as_secs_f64() * 1e6 / share(loaded.accepted, 1)),
        memory: Some(memory),
        p50: Some(timed.answer_p50),
        p99: Some(timed.answer_p99),
        p999: Some(timed.answer_p999),
        rate: Some(share(rate, 1)),
    })
}
