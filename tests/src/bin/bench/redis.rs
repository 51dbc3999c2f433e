//! What Redis does for Laneway, against what Redis can do.

use crate::backlog::{self, Filled};
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
    let filled = ingest(bench, section, ceiling).await?;
    functions(bench, section, &filled).await
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

async fn ingest(bench: &Bench, section: &mut Section, ceiling: f64) -> io::Result<Filled> {
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
    Ok(filled)
}

/// The CPU time that function calls have taken in Redis since its counts were reset, by its own count:
/// microseconds.
async fn calls_micros(redis: &RedisServer) -> io::Result<f64> {
    // calls=…,usec=…,usec_per_call=…
    let said = number(redis, "commandstats", "cmdstat_fcall").await?;
    let micros = said.split(',').find_map(|part| part.strip_prefix("usec=")).and_then(|n| n.parse::<f64>().ok());
    micros.ok_or_else(|| io::Error::other(format!("cmdstat_fcall is {said}")))
}

async fn reset(redis: &RedisServer) -> io::Result<()> {
    redis.command(&["CONFIG", "RESETSTAT"]).await.map(|_| ()).map_err(io::Error::other)
}

/// What functions cost: all of them, end to end, and those that are called when nothing is appended. Redis
/// does not count one by one.
async fn functions(bench: &Bench, section: &mut Section, filled: &Filled) -> io::Result<()> {
    let fresh = bench.fresh(&[bench.destination("main", "main", "")]).await?;
    let server = fresh.start().await;
    let redis = fresh.redis().ok_or_else(|| io::Error::other("no Redis"))?;
    reset(redis).await?;
    let run =
        bench.closed(fresh.address(), server.pid(), bench.scaled(EVENTS), async || fresh.settled("main").await).await?;
    let all = calls_micros(redis).await? / share(run.events, 1);
    server.kill();
    section.note("end to end", format!("{:.0}/s", run.per_second));
    section.note("CPU of Redis in all function calls (appends of single events too) an event", format!("{all:.2} µs"));
    let redis = filled.fresh.redis().ok_or_else(|| io::Error::other("no Redis"))?;
    reset(redis).await?;
    let drained = backlog::drained(bench, filled, filled.waiting).await?;
    let commits = calls_micros(redis).await? / share(filled.waiting, 1);
    section.note("backlog drained", format!("{:.0}/s", drained.sample.per_second.unwrap_or(0.0)));
    let what = "CPU of Redis in commits, leases and trims an event, while it drains";
    section.target(what, format!("{commits:.2} µs"), "under 3 µs", commits < MOST_COMMIT_MICROS);
    Ok(())
}
