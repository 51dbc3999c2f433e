//! What Redis does for Laneway, against what Redis can do.

use crate::backlog;
use crate::bench::{Bench, share};
use crate::report::Section;
use crate::store::{self, Kind};
use laneway_servers::redis::RedisServer;
use std::io;
use std::process::Command;

/// Events of a run.
const EVENTS: u64 = 400_000;
/// Bytes of an event as it is sent.
const BYTES: u64 = 512;
/// Commands in flight on one connection, as many as a batch of Laneway's has events.
const PIPELINED: u64 = 500;
/// As many connections as the batches come in on.
const CONNECTIONS: u64 = 8;
/// The parts and bounds that are to be reached.
const LEAST_INGEST: f64 = 0.6;
const MOST_COMMIT_MICROS: f64 = 3.0;
const MOST_MEMORY: f64 = 1.4;

pub(crate) async fn measure(bench: &Bench, section: &mut Section) -> io::Result<()> {
    if bench.store != Kind::Redis {
        section.note("redis", "only with --store redis");
        return Ok(());
    }
    let ceiling = ceiling(bench).await?;
    section.note("redis-benchmark, pipelined XADD of 512 bytes, fsync always", format!("{ceiling:.0}/s"));
    ingest(bench, section, ceiling).await?;
    commits(bench, section).await
}

/// What `redis-benchmark` reaches on a server of the same settings.
async fn ceiling(bench: &Bench) -> io::Result<f64> {
    let folder = tempfile::Builder::new().prefix("bench-").tempdir_in(&bench.folder)?;
    let redis = store::redis_in(folder.path()).await?;
    let data = "x".repeat(usize::try_from(BYTES).unwrap_or(0));
    let numbers =
        [redis.address().port().into(), bench.scaled(EVENTS), PIPELINED, CONNECTIONS].map(|n: u64| n.to_string());
    let [port, events, pipelined, connections] = &numbers;
    let mut command = Command::new("redis-benchmark");
    command.args(["-p", port, "-n", events, "-P", pipelined, "-c", connections, "--csv"]);
    command.args(["XADD", "ceiling", "*", "e", &data]);
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let text = String::from_utf8_lossy(&output.stdout);
    // "test","rps",… and then one line, whose name is the command.
    let rate = text.lines().last().and_then(|line| line.split("\",\"").nth(1)).and_then(|rate| rate.parse().ok());
    rate.ok_or_else(|| {
        io::Error::other(format!("redis-benchmark said {:?}", text.chars().take(300).collect::<String>()))
    })
}

async fn number(redis: &RedisServer, section: &str, field: &str) -> io::Result<String> {
    let info = redis.command(&["INFO", section]).await.map_err(io::Error::other)?;
    info.field(field).ok_or_else(|| io::Error::other(format!("INFO {section} has no {field}")))
}

async fn memory(redis: &RedisServer) -> io::Result<f64> {
    number(redis, "memory", "used_memory").await?.parse().map_err(io::Error::other)
}

async fn ingest(bench: &Bench, section: &mut Section, ceiling: f64) -> io::Result<()> {
    let empty = {
        let fresh = bench.fresh(&[bench.destination("main", "main", "paused = true")]).await?;
        let server = fresh.start().await;
        let redis = fresh.redis().ok_or_else(|| io::Error::other("no Redis"))?;
        let used = memory(redis).await?;
        server.kill();
        used
    };
    let filled = backlog::filled(bench, bench.scaled(EVENTS)).await?;
    let redis = filled.fresh.redis().ok_or_else(|| io::Error::other("no Redis"))?;
    let ratio = filled.per_second / ceiling;
    section.note("batches of 500, accepted", format!("{:.0}/s", filled.per_second));
    let reached = ratio >= LEAST_INGEST;
    section.target("batch ingest against redis-benchmark", format!("{ratio:.2}"), "at least 0.6", reached);
    let an_event = (memory(redis).await? - empty) / share(filled.waiting, 1);
    let ratio = an_event / share(BYTES, 1);
    let value = format!("{an_event:.0} bytes, {ratio:.2} of them");
    section.target("memory of Redis for a waiting 512-byte event", value, "at most 1.4", ratio <= MOST_MEMORY);
    Ok(())
}

/// The CPU time that functions take in Redis, by its own count.
async fn commits(bench: &Bench, section: &mut Section) -> io::Result<()> {
    let fresh = bench.fresh(&[bench.destination("main", "main", "")]).await?;
    let server = fresh.start().await;
    let redis = fresh.redis().ok_or_else(|| io::Error::other("no Redis"))?;
    redis.command(&["CONFIG", "RESETSTAT"]).await.map_err(io::Error::other)?;
    let run =
        bench.closed(fresh.address(), server.pid(), bench.scaled(EVENTS), async || fresh.settled("main").await).await?;
    // calls=…,usec=…,usec_per_call=…
    let said = number(redis, "commandstats", "cmdstat_fcall").await?;
    let micros = said.split(',').find_map(|part| part.strip_prefix("usec=")).and_then(|n| n.parse::<f64>().ok());
    let micros = micros.ok_or_else(|| io::Error::other(format!("cmdstat_fcall is {said}")))? / share(run.events, 1);
    server.kill();
    section.note("end to end at that load", format!("{:.0}/s", run.per_second));
    let what = "CPU of Redis in function calls (commits, leases, trims) an event";
    section.target(what, format!("{micros:.2} µs"), "under 3 µs", micros < MOST_COMMIT_MICROS);
    Ok(())
}
