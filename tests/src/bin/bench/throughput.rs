//! Events a second from end to end, CPU per event, and latency at half of the saturated rate.

use crate::bench::{Bench, Run};
use crate::ceiling;
use crate::disk::{self, Disk};
use crate::process::{self, Part};
use crate::report::{Section, median};
use crate::sink::Received;
use crate::store::Kind;
use std::io;
use std::time::Duration;

/// Events of one closed loop.
pub(crate) const EVENTS: u64 = 200_000;
/// Each side is measured this often, in turn, and its median counts.
const ROUNDS: usize = 3;
/// How long an open loop runs, in seconds.
const OPEN_SECONDS: u64 = 20;
/// For how long the disk is measured in each round.
const DISK_TIME: Duration = Duration::from_secs(2);
/// How long an open loop runs before it counts, in seconds: connections are made, files have grown.
const WARM_SECONDS: u64 = 3;
/// Fsyncs that durability may add to the relay's latency.
const FSYNCS: f64 = 4.0;

/// Closed loops: relay and Laneway in turn. Laneway's events a second.
pub(crate) async fn measure(bench: &Bench, report: &mut Section) -> io::Result<f64> {
    let events = bench.scaled(EVENTS);
    let (mut relays, mut laneways, mut clients) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        relays.push(relay(bench, events).await?);
        laneways.push(laneway(bench, events).await?);
        clients.push(client(bench, events).await?);
    }
    let rate = |runs: &[Run]| median(runs.iter().map(|run| run.per_second).collect());
    let cpu = |runs: &[Run]| median(runs.iter().map(|run| run.cpu_micros).collect());
    let (relay, laneway, client) = (rate(&relays), rate(&laneways), median(clients));
    report.note("bare relay, end to end", format!("{relay:.0}/s, {:.1} µs CPU an event", cpu(&relays)));
    report.note("bare client", format!("{client:.0}/s"));
    report.note("laneway, end to end", format!("{laneway:.0}/s, {:.1} µs CPU an event", cpu(&laneways)));
    let ratio = laneway / relay;
    let aim = if bench.store == Kind::Redis { 0.35 } else { 0.5 };
    let value = format!("{ratio:.2}");
    report.target("events a second against the relay", value, format!("at least {aim}"), ratio >= aim);
    let ratio = cpu(&laneways) / cpu(&relays);
    report.target("CPU of the server an event against the relay", format!("{ratio:.2}"), "at most 2", ratio <= 2.0);
    Ok(laneway)
}

async fn start_relay(bench: &Bench) -> io::Result<Part> {
    Part::serve("relay", &["--to", &bench.url("main")]).await
}

async fn relay(bench: &Bench, events: u64) -> io::Result<Run> {
    let relay = start_relay(bench).await?;
    bench.closed(relay.address, relay.pid(), events, async || Ok(())).await
}

async fn laneway(bench: &Bench, events: u64) -> io::Result<Run> {
    let fresh = bench.fresh(&[bench.destination("main", "main", "")]).await?;
    let server = fresh.start().await;
    let run = bench.closed(fresh.address(), server.pid(), events, async || fresh.settled("main").await).await?;
    server.kill();
    Ok(run)
}

/// Events a second that the bare client brings to the receiver.
pub(crate) async fn client(bench: &Bench, events: u64) -> io::Result<f64> {
    let arguments = ["--to".into(), bench.url("main"), "--events".into(), events.to_string()];
    let seconds: f64 = process::run("client", arguments.into()).await?.trim().parse().map_err(io::Error::other)?;
    #[allow(clippy::cast_precision_loss, reason = "a figure for people")]
    Ok(events as f64 / seconds)
}

/// The bare client, as a process's main function.
pub(crate) async fn run_client(to: http::Uri, events: u64) -> io::Result<()> {
    println!("{}", ceiling::client(to, events, 512, 64).await?);
    Ok(())
}

/// Open loops at half of the saturated rate. The disk is measured in each round anew: what else the
/// machine writes changes from minute to minute.
pub(crate) async fn latency(bench: &Bench, report: &mut Section, saturated: f64) -> io::Result<()> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate of some thousands")]
    let rate = (saturated / 2.0) as u64;
    let (mut relays, mut laneways, mut disks) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        disks.push(disk::measure(&bench.folder, DISK_TIME)?);
        let relay = start_relay(bench).await?;
        relays.push(open(bench, relay.address, rate).await?);
        drop(relay);
        let fresh = bench.fresh(&[bench.destination("main", "main", "")]).await?;
        let server = fresh.start().await;
        laneways.push(open(bench, fresh.address(), rate).await?);
        server.kill();
    }
    let p50 = |runs: &[Received]| median(runs.iter().map(|run| run.p50).collect());
    let p99 = |runs: &[Received]| median(runs.iter().map(|run| run.p99).collect());
    let fsync = |of: fn(&Disk) -> f64| median(disks.iter().map(of).collect());
    let quantiles = [
        ("p50", p50(&relays), p50(&laneways), fsync(|disk| disk.p50)),
        ("p99", p99(&relays), p99(&laneways), fsync(|disk| disk.p99)),
    ];
    for (name, relay, laneway, fsync) in quantiles {
        let bound = relay + FSYNCS * fsync;
        let what = format!("end to end {name} at {rate}/s");
        let target = format!("at most {bound:.2} ms (relay {relay:.2} + 4 × {fsync:.2})");
        report.target(&what, format!("{laneway:.2} ms"), target, laneway <= bound);
    }
    Ok(())
}

/// From when events were due until they were received.
async fn open(bench: &Bench, target: std::net::SocketAddr, rate: u64) -> io::Result<Received> {
    let events = rate * (bench.scaled(OPEN_SECONDS).max(5) + WARM_SECONDS);
    bench.forget().await?;
    let lines = [("rate", rate), ("connections", 256), ("warm", rate * WARM_SECONDS)];
    let loaded = bench.load(target, events, &lines).await?;
    bench.arrived(loaded.accepted).await
}
