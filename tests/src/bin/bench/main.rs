//! The benchmark: what Laneway does on this machine against what the machine could do without its
//! promises, all in one run. `tests/bench` builds and starts it.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line program")]

mod backlog;
mod bench;
mod ceiling;
mod changes;
mod clock;
mod crowd;
mod curves;
mod disk;
mod docs;
mod load;
mod neighbours;
mod plot;
mod process;
mod profile;
mod redis;
mod reference;
mod replays;
mod report;
mod sink;
mod store;
mod summary;
mod tenants;
mod throughput;
mod wire;

use bench::Bench;
use clap::{Args, Parser, Subcommand, ValueEnum};
use disk::Disk;
use process::Part;
use report::Section;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long a measurement may take before it is given up, with a figure that says so.
const MOST_TIME: Duration = Duration::from_secs(45 * 60);
const MOST_TIME_QUICK: Duration = Duration::from_secs(8 * 60);

// The same allocator as the server's, so that the relay is its equal.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(about, args_conflicts_with_subcommands = true)]
struct Command {
    #[command(flatten)]
    all: All,
    #[command(subcommand)]
    part: Option<PartCommand>,
}

#[derive(Args)]
struct All {
    /// A short form: the same measurements with an eighth of the events.
    #[arg(long)]
    quick: bool,
    /// The store that Laneway is measured on.
    #[arg(long, value_enum, default_value = "sqlite")]
    store: store::Kind,
    /// Writes the figures to this file too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Puts the figures into this folder's page, with pictures, in place of earlier ones.
    #[arg(long, value_name = "FOLDER")]
    docs: Option<PathBuf>,
    /// Where stores are made; decides which disk is measured.
    #[arg(long, value_name = "FOLDER", default_value_os_t = std::env::temp_dir())]
    folder: PathBuf,
    /// Only these measurements.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Measurement>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Measurement {
    /// Ingest, drain and end to end, side by side.
    Summary,
    /// Closed loops against a bare relay and a bare client.
    Throughput,
    /// Open loops at half of the saturated rate, against the relay.
    Latency,
    /// A million waiting events.
    Backlog,
    /// Backlogs of all sizes: the start, the drain, memory.
    Sizes,
    /// Beside the usual design.
    Reference,
    /// Cost against the number of keys.
    Keys,
    /// Cost against the share of keys that fail.
    Failures,
    /// A million keys of which a thousand fail.
    CrowdOfKeys,
    /// Cost against the number of destinations.
    Destinations,
    /// Ten thousand destinations of which a hundred are dead.
    CrowdOfDestinations,
    /// A healthy destination beside a dead one and a failing key.
    Isolation,
    /// Cost against the size of an event.
    Payload,
    /// What Redis can do, and what it does for Laneway; with `--store redis`.
    Redis,
    /// Destinations that do not want an event.
    Disinterest,
    /// 80,000 destinations made over HTTP.
    ManyDestinations,
    /// A wrong URL with events behind it, and its mending.
    WrongUrl,
    /// Replays over a log of ten million events.
    Replays,
    /// Others beside a tenant in trouble.
    Tenants,
    /// 10,000 tenants with 8 destinations each.
    ManyTenants,
    /// Where the CPU time goes, by `perf`.
    Profile,
}

/// The parts of the benchmark that run in processes of their own.
#[derive(Subcommand)]
#[command(hide = true)]
enum PartCommand {
    Load(load::Load),
    Sink {
        #[arg(long)]
        listen: SocketAddr,
    },
    Relay {
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long)]
        to: http::Uri,
    },
    Client {
        #[arg(long)]
        to: http::Uri,
        #[arg(long)]
        events: u64,
    },
    /// The usual design.
    Naive {
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long)]
        database: PathBuf,
        #[arg(long, required = true)]
        to: Vec<http::Uri>,
    },
}

fn main() -> io::Result<()> {
    let command = Command::parse();
    let light = matches!(command.part, Some(PartCommand::Load(_) | PartCommand::Sink { .. }));
    let mut builder =
        if light { tokio::runtime::Builder::new_current_thread() } else { tokio::runtime::Builder::new_multi_thread() };
    let runtime = builder.enable_all().build()?;
    runtime.block_on(async {
        match command.part {
            Some(PartCommand::Load(load)) => {
                println!("{}", serde_json::to_string(&load::run(load).await?)?);
                Ok(())
            }
            Some(PartCommand::Sink { listen }) => sink::run(listen).await,
            Some(PartCommand::Relay { listen, to }) => ceiling::relay(listen, to).await,
            Some(PartCommand::Client { to, events }) => throughput::run_client(to, events).await,
            Some(PartCommand::Naive { listen, database, to }) => {
                laneway_tests::naive::serve(listen, database, to).await
            }
            None => measure_all(command.all).await,
        }
    })
}

async fn measure_all(all: All) -> io::Result<()> {
    let All { quick, store, folder, .. } = all;
    let bench = Bench { sink: Part::serve("sink", &[]).await?, folder, quick, store };
    let mut shared = Shared::default();
    let mut sections: Vec<Section> = Vec::new();
    for &measurement in Measurement::value_variants() {
        let wanted = if all.only.is_empty() {
            measurement != Measurement::Redis || store == store::Kind::Redis
        } else {
            all.only.contains(&measurement)
        };
        if !wanted {
            continue;
        }
        sections.push(section(&bench, measurement, &mut shared).await);
        // After each, so that a run that is stopped has what it found.
        if let Some(file) = &all.json {
            std::fs::write(file, serde_json::to_string_pretty(&sections)?)?;
        }
        if let Some(folder) = &all.docs {
            docs::write(folder, &sections)?;
        }
    }
    println!("{}", report::all(&sections));
    match sections.iter().map(Section::missed).sum() {
        0 => Ok(()),
        missed => Err(io::Error::other(format!("{missed} figures were missed"))),
    }
}

/// What more than one measurement compares itself with.
#[derive(Default)]
struct Shared {
    /// Laneway's events a second.
    saturated: Option<f64>,
}

/// One measurement, in bounded time. What keeps it from ending is one of its figures, and a missed one.
async fn section(bench: &Bench, measurement: Measurement, shared: &mut Shared) -> Section {
    let name = measurement.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    eprintln!("{name}");
    let mut section = Section::new(&name, bench.store, bench.quick);
    let started = Instant::now();
    let most = if bench.quick { MOST_TIME_QUICK } else { MOST_TIME };
    let failed = match tokio::time::timeout(most, measure(bench, measurement, &mut section, shared)).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some(format!("not ended after {} minutes", most.as_secs() / 60)),
    };
    if let Some(what) = failed {
        section.target("the measurement", what, "to its end", false);
    }
    section.seconds = started.elapsed().as_secs_f64();
    section
}

async fn measure(
    bench: &Bench,
    measurement: Measurement,
    section: &mut Section,
    shared: &mut Shared,
) -> io::Result<()> {
    match measurement {
        Measurement::Summary => summary::measure(bench, section).await,
        Measurement::Throughput => {
            probe(bench, section).await?;
            shared.saturated = Some(throughput::measure(bench, section).await?);
            Ok(())
        }
        Measurement::Latency => {
            let saturated = saturated(bench, shared).await?;
            throughput::latency(bench, section, saturated).await
        }
        Measurement::Backlog => {
            let disk = probe(bench, section).await?;
            backlog::measure(bench, section, &disk).await
        }
        Measurement::Sizes => backlog::sizes(bench, section).await,
        Measurement::Reference => reference::measure(bench, section).await,
        Measurement::Keys => curves::keys(bench, section).await,
        Measurement::Failures => curves::failures(bench, section).await,
        Measurement::CrowdOfKeys => crowd::keys(bench, section).await,
        Measurement::Destinations => curves::destinations(bench, section).await,
        Measurement::CrowdOfDestinations => crowd::destinations(bench, section).await,
        Measurement::Isolation => neighbours::failing(bench, section).await,
        Measurement::Payload => curves::payload(bench, section).await,
        Measurement::Redis => redis::measure(bench, section).await,
        Measurement::Disinterest => neighbours::uninterested(bench, section).await,
        Measurement::ManyDestinations => changes::many(bench, section).await,
        Measurement::WrongUrl => changes::mended(bench, section).await,
        Measurement::Replays => replays::measure(bench, section).await,
        Measurement::Tenants => {
            let saturated = saturated(bench, shared).await?;
            tenants::noisy(bench, section, saturated).await
        }
        Measurement::ManyTenants => tenants::many(bench, section).await,
        Measurement::Profile => profile::measure(bench, section).await,
    }
}

/// What the disk can do now.
async fn probe(bench: &Bench, section: &mut Section) -> io::Result<Disk> {
    let (folder, time) = (bench.folder.clone(), Duration::from_secs(bench.scaled(16)));
    let disk = tokio::task::spawn_blocking(move || disk::measure(&folder, time)).await??;
    section.disk(&disk);
    Ok(disk)
}

/// Laneway's events a second in this run; measured now if they were not.
async fn saturated(bench: &Bench, shared: &mut Shared) -> io::Result<f64> {
    if let Some(known) = shared.saturated {
        return Ok(known);
    }
    let mut aside = Section::new("throughput", bench.store, bench.quick);
    let measured = throughput::measure(bench, &mut aside).await?;
    shared.saturated = Some(measured);
    Ok(measured)
}
