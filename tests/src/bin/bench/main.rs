//! The benchmark: what Laneway does on this machine against what the machine could do without its
//! promises, all in one run. `tests/bench` builds and starts it.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line program")]

mod backlog;
mod bench;
mod ceiling;
mod clock;
mod disk;
mod load;
mod neighbours;
mod process;
mod report;
mod sink;
mod throughput;
mod wire;

use bench::Bench;
use clap::{Args, Parser, Subcommand};
use process::Part;
use report::Report;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

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
    /// Writes the figures to this file too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Where stores are made; decides which disk is measured.
    #[arg(long, value_name = "FOLDER", default_value_os_t = std::env::temp_dir())]
    folder: PathBuf,
    /// Only these measurements.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Measurement>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Measurement {
    Throughput,
    Latency,
    Backlog,
    Destinations,
    Isolation,
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
            None => measure(command.all).await,
        }
    })
}

async fn measure(all: All) -> io::Result<()> {
    let bench = Bench { sink: Part::serve("sink", &[]).await?, folder: all.folder, quick: all.quick };
    let mut report = Report::new(all.quick);
    let wanted = |measurement| all.only.is_empty() || all.only.contains(&measurement);
    let disk = disk::measure(&bench.folder, Duration::from_secs(bench.scaled(16)))?;
    report.disk(&disk);
    let through = [Measurement::Throughput, Measurement::Latency, Measurement::Backlog];
    if through.into_iter().any(wanted) {
        let found = throughput::measure(&bench, &mut report).await?;
        if wanted(Measurement::Latency) {
            throughput::latency(&bench, &mut report, found.saturated).await?;
        }
        if wanted(Measurement::Backlog) {
            backlog::measure(&bench, &mut report, &disk, found.client).await?;
        }
    }
    if wanted(Measurement::Destinations) {
        neighbours::uninterested(&bench, &mut report).await?;
    }
    if wanted(Measurement::Isolation) {
        neighbours::failing(&bench, &mut report).await?;
    }
    println!("{}", report.table());
    if let Some(file) = all.json {
        std::fs::write(file, serde_json::to_string_pretty(&report)?)?;
    }
    match report.failed() {
        0 => Ok(()),
        missed => Err(io::Error::other(format!("{missed} figures were missed"))),
    }
}
