//! The command line: `laneway serve` and the commands that talk to a running server.

mod args;
mod backup;
mod check;
mod client;
mod client_tls;
mod dead_letters;
mod destinations;
mod drain;
mod failure;
mod lookup;
mod manual;
mod output;
mod pages;
mod prose;
mod ready;
mod replays;
mod screen;
mod send;
mod serve;
mod status;
mod store;
mod suggest;
mod table;
mod tenants;
mod tokens;
mod when;
mod workers;
mod wrap;

pub use crate::compose::EXIT_TOLD_TWICE;
pub use args::Cli;
pub use failure::{EXIT_CONFIG, EXIT_FAILED, EXIT_OK, EXIT_REFUSED, Failure};

use crate::compose::Role;
use crate::config::{Process, Source};
use args::{ClientArgs, Command, IngestCli, WorkerCli};
use clap::Parser;
use client::Client;
use laneway_egress::MAX_LOOK_UPS;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Runs the command that the process was started with, and says how it ended.
#[must_use]
pub fn main() -> ExitCode {
    to_the_end(run(parsed(), &Process))
}

/// Runs `ingest`, and says how it ended.
#[must_use]
pub fn ingest() -> ExitCode {
    let cli: IngestCli = parsed();
    to_the_end(serve::run(cli.serve, Role::Ingest, &Process))
}

/// Runs `worker`, and says how it ended.
#[must_use]
pub fn worker() -> ExitCode {
    let cli: WorkerCli = parsed();
    to_the_end(serve::run(cli.serve, Role::Worker, &Process))
}

/// What the process was started with.
fn parsed<C: Parser>() -> C {
    // Help and version are no mistakes, and come with the right code and stream.
    let words = args::flags_behind_the_command(std::env::args_os());
    C::try_parse_from(words).unwrap_or_else(|asked| asked.exit())
}

/// Threads of the runtime for what blocks, besides those that look names up: reads of the store, files. As many as
/// tokio has by itself.
const BLOCKING_BESIDE_LOOK_UPS: usize = 512;

/// How long the end of a command waits for threads that block. What a store is at (a read, the last group of writes)
/// takes less, and one that is cut off there has lost nothing: what it acknowledged is written. A name that is looked
/// up at a name server which does not answer takes up to 30 s, and nobody is there to use the answer.
const BLOCKED_AT_MOST: Duration = Duration::from_secs(3);

fn to_the_end(command: impl Future<Output = Result<(), Failure>>) -> ExitCode {
    crate::memory::in_small_pages();
    let blocking = MAX_LOOK_UPS + BLOCKING_BESIDE_LOOK_UPS;
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().max_blocking_threads(blocking).build()
    {
        Ok(runtime) => runtime,
        Err(e) => return failure::report(&Failure::new(format!("the async runtime could not be started: {e}"))),
    };
    let command = async {
        // Before anything is written, whatever the command is.
        crate::files::survive_large_files();
        command.await
    };
    let code = match runtime.block_on(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure::report(&failure),
    };
    // Tasks end here, and with them what they hold: a store ends its threads. Dropped, the runtime would wait for as
    // long as it takes, and no signal would be heard any more.
    runtime.shutdown_timeout(BLOCKED_AT_MOST);
    code
}

/// Carries a command out.
///
/// # Errors
/// With what went wrong, what to do, and the exit code.
pub async fn run(cli: Cli, source: &dyn Source) -> Result<(), Failure> {
    match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(args) => serve::run(args, Role::Both, source).await,
        Command::Ingest(args) => serve::run(args, Role::Ingest, source).await,
        Command::Worker(args) => serve::run(args, Role::Worker, source).await,
        Command::Check(args) => check::run(args, source).await,
        Command::Backup(args) => backup::backup(args, source).await,
        Command::Restore(args) => backup::restore(args, source).await,
        Command::Send(args) => send::run(&connect(&args.client, source)?, &args).await,
        Command::Status(args) => status::run(&connect(&args.client, source)?, &args).await,
        Command::Drain(args) => drain::run(&connect(&args.client, source)?, &args).await,
        Command::Ready(args) => ready::run(&connect(&args.client, source)?).await,
        Command::Why(args) => lookup::why(&connect(&args.client, source)?, args).await,
        Command::Events(args) => lookup::events(&connect(&args.client, source)?, args.command).await,
        Command::Attempts(args) => lookup::attempts(&connect(&args.client, source)?, args).await,
        Command::DeadLetters(args) => dead_letters::run(&connect(&args.client, source)?, args.command).await,
        Command::Completions { shell } => manual::completions(shell),
        Command::Man { dir } => manual::pages(dir.as_deref()),
        Command::Keys(args) => destinations::key(&connect(&args.client, source)?, args.command).await,
        Command::Replay(args) => replays::run(&connect(&args.client, source)?, args.command).await,
        Command::Destinations(args) => {
            destinations::destination(&connect(&args.client, source)?, args.command, source).await
        }
        Command::Store(args) => store::run(&connect(&args.client, source)?, &args).await,
        Command::Workers(args) => workers::run(&connect(&args.client, source)?, &args).await,
        Command::Tenants(args) => tenants::run(&connect(&args.client, source)?, args.command).await,
        Command::Tokens(args) => tokens::run(&connect(&args.client, source)?, args.command).await,
    }
}

/// The file that a flag or `LANEWAY_CONFIG` names.
fn config_file(flag: Option<PathBuf>, source: &dyn Source) -> Option<PathBuf> {
    let variable = || source.var("LANEWAY_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from);
    flag.or_else(variable)
}

/// A client for the server that flags, variables or the configuration name.
fn connect(args: &ClientArgs, source: &dyn Source) -> Result<Client, Failure> {
    let set = |name: &str| source.var(name).filter(|value| !value.is_empty());
    let url = args.server.clone().or_else(|| set("LANEWAY_URL"));
    let token = args.token.clone().or_else(|| set("LANEWAY_TOKEN"));
    let mut tls = args.tls(&set)?;
    if let Some(url) = url {
        // Somewhere else: the tokens of this machine's configuration are not for it.
        return Client::new(&url, token.as_deref(), &tls);
    }
    let file = config_file(args.config.clone(), source);
    let server = crate::config::load_server(source, file.as_deref()).map_err(|e| Failure::config(&e))?;
    if token.is_none() {
        server.token_note.iter().for_each(|note| output::note(note));
    }
    let token = token.or_else(|| server.token.map(|token| token.expose().to_owned()));
    let scheme = if server.tls.is_some() { "https" } else { "http" };
    tls.own_server = server.tls.flatten();
    Client::new(&format!("{scheme}://{}", reachable(server.listen)), token.as_deref(), &tls)
}

/// Where a server that listens there is reached from its own machine.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests;
