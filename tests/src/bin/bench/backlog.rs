//! A backlog: how fast it is taken in, what it costs in memory, how fast it drains.

use crate::bench::Bench;
use crate::disk::Disk;
use crate::process;
use crate::report::Report;
use laneway_tests::server::Settings;
use std::io;

/// Events that wait.
const WAITING: u64 = 1_000_000;
const BATCH: u64 = 500;
/// Requests at once: enough that one is parsed while another is written.
const CONNECTIONS: u64 = 8;
/// MiB that a million waiting events may take.
const MOST_MEMORY: f64 = 150.0;

/// Fills a store while its destination is paused, then lets it go.
pub(crate) async fn measure(bench: &Bench, report: &mut Report, disk: &Disk, client: f64) -> io::Result<()> {
    let waiting = bench.scaled(WAITING) / BATCH * BATCH;
    let (installation, _folder) = bench.installation(&[bench.destination("main", "main", "paused = true")])?;
    let server = installation.start().await;
    let lines = [("batch", BATCH), ("connections", CONNECTIONS)];
    let loaded = bench.load(installation.address(), waiting, &lines).await?;
    #[allow(clippy::cast_precision_loss, reason = "a figure for people")]
    let (rate, batches) = (loaded.accepted as f64 / loaded.seconds, disk.per_second * BATCH as f64);
    let bound = batches.min(200_000.0);
    let answers = format!("{rate:.0}/s (answers p50 {:.1} ms, p99 {:.1} ms)", loaded.answer_p50, loaded.answer_p99);
    report.target("batches of 500, accepted", answers, format!("at least {bound:.0}/s"), rate >= bound);
    let (now, highest) = process::memory(server.pid())?;
    let what = format!("memory with {waiting} events waiting");
    let value = format!("{now:.0} MiB, at most {highest:.0} MiB");
    report.target(&what, value, "at most 150 MB", highest * 1.048_576 <= MOST_MEMORY);
    server.kill();
    drain(bench, report, &installation, waiting, client).await
}

async fn drain(
    bench: &Bench,
    report: &mut Report,
    installation: &laneway_tests::server::Installation,
    waiting: u64,
    client: f64,
) -> io::Result<()> {
    bench.forget().await?;
    installation.configure(&Settings::destinations(&[bench.destination("main", "main", "")]));
    let server = installation.start().await;
    let received = bench.arrived(waiting).await?;
    #[allow(clippy::cast_precision_loss, reason = "a figure for people")]
    let rate = waiting as f64 / ((received.last - received.first) as f64 / 1e9);
    report.note("backlog drained", format!("{rate:.0}/s"));
    let ratio = rate / client;
    report.target("drain against the bare client", format!("{ratio:.2}"), "at least 0.6", ratio >= 0.6);
    let (_, highest) = process::memory(server.pid())?;
    let value = format!("{highest:.0} MiB");
    report.target("memory while it drains", value, "at most 150 MB", highest * 1.048_576 <= MOST_MEMORY);
    server.kill();
    Ok(())
}
