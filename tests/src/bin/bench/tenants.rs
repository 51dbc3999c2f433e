//! Many tenants: what the others notice of one in trouble, and what many of few destinations cost.

use crate::bench::{Bench, share};
use crate::changes::changed;
use crate::process;
use crate::report::{Section, median};
use crate::store::{Fleet, Fresh, Kind};
use laneway_tests::client::Client;
use laneway_tests::server::{Running, webhook};
use serde_json::{Value, json};
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

/// The tenants beside the one in trouble, and what each of them sends in a second.
const OTHERS: u64 = 25;
const RATE_OF_EACH: u64 = 50;
/// What the one in trouble sends, as a part of what the server could take and deliver.
const NOISE: f64 = 0.1;
/// Its endpoints that are dead, each with a type of its own: one half answers nothing, the other is a closed port.
const DEAD: u32 = 2_000;
/// What waits for those before it is measured, and how many events of it come in a request.
const WAITING: u64 = 1_000_000;
const BATCH: u64 = 500;
/// With and without trouble in turn, as often as this.
const PAIRS: usize = 7;
/// How long an open loop runs before it counts, and then, in seconds.
const WARM_SECONDS: u64 = 5;
const OPEN_SECONDS: u64 = 20;
/// Processes that deliver, on a store that can be shared.
const WORKERS: usize = 3;

/// Tenants of which each has so many destinations.
const TENANTS: u64 = 10_000;
const EACH: u64 = 8;
/// The destinations that get the events, one of a tenant each.
const ACTIVE: u64 = 64;
/// Destinations that are made by one request.
const TOGETHER: u64 = 1_000;
/// Closed loops on either server, and starts of it.
const LOOPS: usize = 11;
const STARTS: usize = 5;
const EVENTS: u64 = 50_000;
const WARM_EVENTS: u64 = 25_000;
/// How long it may take until what is dead is known to be so.
const PATIENCE: Duration = Duration::from_secs(300);

/// The name of a tenant, as the load generator writes it.
fn tenant(n: u64) -> String {
    format!("t{n:05}")
}

/// The p99 of the others' events without and with a tenant in trouble, which sends the same in either case.
pub(crate) async fn noisy(bench: &Bench, section: &mut Section, saturated: f64) -> io::Result<()> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate of some thousands")]
    let noise = (saturated * NOISE) as u64;
    let silent = Silent::start().await?;
    let quiet = Scene::start(bench, noise, None).await?;
    let troubled = Scene::start(bench, noise, Some(silent.address)).await?;
    let waiting = troubled.fill(bench).await?;
    let (mut pairs, mut cpu) = (Vec::new(), Vec::new());
    for _ in 0..if bench.quick { 1 } else { PAIRS } {
        let (without, with) = (quiet.round(bench).await?, troubled.round(bench).await?);
        pairs.push((without.p99, with.p99));
        cpu.push((without.cpu_micros, with.cpu_micros));
    }
    let all = |of: &[(f64, f64)], with: bool| {
        of.iter().map(|pair| format!("{:.1}", if with { pair.1 } else { pair.0 })).collect::<Vec<_>>().join(" ")
    };
    section.note(
        "one tenant's events, a tenth of what is possible; the others', each",
        format!("{noise}, {RATE_OF_EACH} a second"),
    );
    section.note("its endpoints that are dead, and what waits for them", format!("{DEAD}, {waiting} events"));
    section.note("p99 of the others, all well, ms", all(&pairs, false));
    section.note("p99 of the others beside its trouble, ms", all(&pairs, true));
    section.note("CPU of an event: all well, beside its trouble, µs", {
        let middle = |with: bool| median(cpu.iter().map(|pair| if with { pair.1 } else { pair.0 }).collect());
        format!("{:.1}, {:.1}", middle(false), middle(true))
    });
    let ratio = median(pairs.iter().map(|(without, with)| with / without).collect());
    let what = format!("p99 beside it, times that without (median of {} pairs)", pairs.len());
    section.target(&what, format!("{ratio:.2}"), "at most 1.3", ratio <= 1.3);
    Ok(())
}

/// Every tenant has a destination that works. The first one has dead ones too, where something listens that never answers.
fn destinations(bench: &Bench, silent: Option<SocketAddr>) -> Vec<String> {
    let well =
        |n: u64| bench.destination(&format!("{}:hook", tenant(n)), if n == 0 { "other?all" } else { "main" }, "");
    let mut all: Vec<String> = (0..=OTHERS).map(well).collect();
    if let Some(silent) = silent {
        let closed = laneway_tests::ports::free();
        all.extend((0..DEAD).map(|n| {
            let (name, lines) = (format!("{}:dead-{n}", tenant(0)), format!("types = [\"bench.{n:05}\"]"));
            webhook(&name, &format!("http://{}/", if n % 2 == 0 { silent } else { closed }), &lines)
        }));
    }
    all
}

/// A listener that takes connections and never answers.
struct Silent {
    address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Silent {
    async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let hold = async move {
            let mut held = tokio::task::JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                held.spawn(async move { tokio::io::copy(&mut stream, &mut tokio::io::sink()).await });
                while held.try_join_next().is_some() {}
            }
        };
        Ok(Self { address, task: tokio::spawn(hold) })
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A Laneway with tenants.
struct Scene {
    fresh: Fresh,
    fleet: Fleet,
    noise: u64,
}

struct Round {
    p99: f64,
    cpu_micros: f64,
}

impl Scene {
    async fn start(bench: &Bench, noise: u64, silent: Option<SocketAddr>) -> io::Result<Self> {
        let fresh = bench.fresh(&destinations(bench, silent)).await?;
        let fleet = fresh.start_fleet(if bench.store == Kind::Redis { WORKERS } else { 1 }).await?;
        Ok(Self { fresh, fleet, noise })
    }

    /// Puts the events behind the dead endpoints, and waits until it is known that these are dead. Returns how many events.
    async fn fill(&self, bench: &Bench) -> io::Result<u64> {
        bench.forget().await?;
        let lines = [("tenants", 1), ("types", DEAD.into()), ("batch", BATCH), ("connections", 4)];
        let loaded = bench.load(self.fresh.address(), bench.scaled(WAITING), &lines).await?;
        // Its endpoint that works has had them all before it is measured.
        bench.arrived_at_other(loaded.accepted).await?;
        let (client, deadline) = (Client::new(self.fresh.address()), Instant::now() + PATIENCE);
        loop {
            let status = client.get("/v1/status").await.map_err(io::Error::other)?.json();
            let all = status["destinations"].as_array().cloned().unwrap_or_default();
            let down = all.iter().filter(|view| view["breaker"]["state"] == "open").count();
            if down == DEAD as usize {
                return Ok(loaded.accepted);
            }
            if Instant::now() > deadline {
                return Err(io::Error::other(format!("{down} of {DEAD} dead endpoints are known to be so")));
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// All send for a while.
    async fn round(&self, bench: &Bench) -> io::Result<Round> {
        self.fresh.at_rest().await?;
        bench.forget().await?;
        let before = self.fleet.cpu()?;
        let seconds = bench.scaled(OPEN_SECONDS).max(5) + WARM_SECONDS;
        let rate = OTHERS * RATE_OF_EACH;
        let others = [
            ("tenants", OTHERS),
            ("first-tenant", 1),
            ("rate", rate),
            ("connections", 64),
            ("warm", rate * WARM_SECONDS),
        ];
        let own = [("tenants", 1), ("types", DEAD.into()), ("rate", self.noise), ("connections", 64)];
        let (others, own) = tokio::join!(
            bench.load(self.fresh.address(), rate * seconds, &others),
            bench.load(self.fresh.address(), self.noise * seconds, &own)
        );
        let (others, own) = (others?, own?);
        let received = bench.arrived(others.accepted).await?;
        bench.arrived_at_other(own.accepted).await?;
        let used = self.fleet.cpu()?.saturating_sub(before);
        Ok(Round { p99: received.p99, cpu_micros: used.as_secs_f64() * 1e6 / share(others.accepted + own.accepted, 1) })
    }
}

/// A server with 80,000 destinations, and how the load finds those that get its events.
struct Made {
    fresh: Fresh,
    server: Option<Running>,
    lines: [(&'static str, u64); 1],
}

/// 10,000 tenants with 8 destinations each, against as many destinations of nobody: the start, memory, and CPU an event.
pub(crate) async fn many(bench: &Bench, section: &mut Section) -> io::Result<()> {
    let tenants = bench.scaled(TENANTS);
    let (mut without, mut with) = (made(bench, tenants, false).await?, made(bench, tenants, true).await?);
    let (mut starts, mut memory) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let one = restarted(&mut without).await?;
        let other = restarted(&mut with).await?;
        starts.push((one.0, other.0));
        memory.push((one.1, other.1));
    }
    compare(section, "the start", "s", &starts);
    compare(section, "memory after the start", "MiB", &memory);
    for made in [&without, &with] {
        loaded(bench, made, WARM_EVENTS).await?;
    }
    let mut pairs = Vec::new();
    for _ in 0..if bench.quick { 1 } else { LOOPS } {
        let one = loaded(bench, &without, bench.scaled(EVENTS)).await?;
        pairs.push((one, loaded(bench, &with, bench.scaled(EVENTS)).await?));
    }
    compare(section, "CPU of an event", "µs", &pairs);
    section.note("tenants, with as many destinations each", format!("{tenants}, {EACH}"));
    Ok(())
}

/// The second of each pair may be little more than the first.
fn compare(section: &mut Section, what: &str, unit: &str, pairs: &[(f64, f64)]) {
    let middle = |of: fn(&(f64, f64)) -> f64| median(pairs.iter().map(of).collect());
    let value = format!("{:.1}, {:.1} {unit}", middle(|pair| pair.0), middle(|pair| pair.1));
    section.note(format!("{what}: without tenants, with"), value);
    let ratio = middle(|pair| pair.1 / pair.0);
    section.target(&format!("{what}: the ratio"), format!("{ratio:.2}"), "at most 1.1", ratio <= 1.1);
}

async fn made(bench: &Bench, tenants: u64, with_tenants: bool) -> io::Result<Made> {
    let bounds = "[tenants]\nschemes = [\"https\", \"http\"]".to_owned();
    let nobody = bench.destination("nobody", "other", "types = [\"nothing\"]");
    let fresh = bench.fresh(&[nobody, bounds]).await?;
    let server = fresh.start().await;
    let client = Client::new(fresh.address());
    let count = tenants * EACH;
    for from in (0..count).step_by(usize::try_from(TOGETHER).unwrap_or(1)) {
        let changes: Vec<Value> = (from..count.min(from + TOGETHER)).map(|n| change(bench, n, with_tenants)).collect();
        changed(&client, http::Method::POST, "/v1/destinations", &json!({ "changes": changes })).await?;
    }
    let lines = if with_tenants { [("tenants", ACTIVE)] } else { [("types", ACTIVE)] };
    Ok(Made { fresh, server: Some(server), lines })
}

/// The first destination of each tenant gets its events, of which only the first tenants send any; the others want nothing
/// that is sent. Without tenants the same by type.
fn change(bench: &Bench, n: u64, with_tenants: bool) -> Value {
    let (of, nth) = (n / EACH, n % EACH);
    let (name, types) = match (with_tenants, nth) {
        (true, 0) => (format!("{}:d-0", tenant(of)), "bench.*".to_owned()),
        (true, _) => (format!("{}:d-{nth}", tenant(of)), format!("other.{nth}")),
        (false, 0) => (format!("{}-d-0", tenant(of)), format!("bench.{of:05}")),
        (false, _) => (format!("{}-d-{nth}", tenant(of)), format!("other.{of}.{nth}")),
    };
    json!({"op": "put", "name": name, "settings": {"url": bench.url("main"), "types": [types]}})
}

/// Seconds until it serves again, and its memory then, in MiB.
async fn restarted(made: &mut Made) -> io::Result<(f64, f64)> {
    if let Some(server) = made.server.take() {
        server.kill();
    }
    let began = Instant::now();
    let server = made.server.insert(made.fresh.start().await);
    Ok((began.elapsed().as_secs_f64(), process::memory(server.pid())?.0))
}

/// Microseconds of CPU time an event.
async fn loaded(bench: &Bench, made: &Made, events: u64) -> io::Result<f64> {
    let Some(server) = &made.server else { return Err(io::Error::other("the server is not there")) };
    let before = process::cpu(server.pid())?;
    bench.forget().await?;
    let loaded = bench.load(made.fresh.address(), events, &made.lines).await?;
    bench.arrived(loaded.accepted).await?;
    let used = process::cpu(server.pid())?.saturating_sub(before);
    Ok(used.as_secs_f64() * 1e6 / share(loaded.accepted, 1))
}
