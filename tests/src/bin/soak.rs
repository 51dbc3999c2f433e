//! The soak of 24 hours, in pieces. See `tests/soak`.

use clap::{Parser, ValueEnum};
use laneway_app::config::parse_duration;
use laneway_tests::soak::day::Day;
use laneway_tests::soak::piece::{self, Outcome, Plan, Until};
use laneway_tests::soak::report;
use laneway_tests::soak::site::Store;
use laneway_tests::soak::state::{Choice, State};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Runs a piece of the soak, and goes on where the last one ended.
#[derive(Parser)]
struct Arguments {
    /// How long this piece goes on, such as 90s, 40m or 2h.
    #[arg(long = "for", default_value = "40m", value_parser = parse_duration)]
    length: Duration,
    /// On which store; both go on side by side.
    #[arg(long, value_enum, default_value = "both")]
    store: Stores,
    /// Where the state is, a folder per store. The last one counts: the script names the first.
    #[arg(long, default_value = "target/soak", overrides_with = "state")]
    state: PathBuf,
    /// Decides what chance decides, if this is the first piece.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Prints how far the soak has come, and runs nothing.
    #[arg(long)]
    status: bool,
    /// Begins anew, with an empty store.
    #[arg(long, conflicts_with = "go_on")]
    fresh: bool,
    /// Goes on after a piece that was killed, with its store and a new ledger.
    #[arg(long)]
    go_on: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Stores {
    Sqlite,
    Redis,
    Both,
}

impl Stores {
    fn all(self) -> &'static [Store] {
        match self {
            Self::Sqlite => &[Store::Sqlite],
            Self::Redis => &[Store::Redis],
            Self::Both => &[Store::Sqlite, Store::Redis],
        }
    }
}

/// Becomes true when somebody wants the piece to end early.
fn interrupted() -> Result<watch::Receiver<bool>, String> {
    let (tell, told) = watch::channel(false);
    let listen = |kind| signal(kind).map_err(|error| error.to_string());
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    tokio::spawn(async move {
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        println!("the piece ends as soon as its ledger is balanced");
        tell.send_replace(true);
        std::future::pending::<()>().await;
    });
    Ok(told)
}

fn print_status(folder: &Path, store: Store) -> Result<(), String> {
    let state = State::read(&folder.join(store.name()))?;
    println!("{}", report::status(store.name(), &state)?);
    Ok(())
}

fn tell(store: Store, outcome: &Result<Outcome, String>) -> bool {
    let name = store.name();
    match outcome {
        Ok(outcome) => {
            let (events, balanced) = (outcome.events, outcome.balanced);
            println!("{name}: {events} events so far, balanced {balanced} times; {}", outcome.verdict.text());
            outcome.findings.iter().for_each(|finding| println!("{name}: FAILED: {finding}"));
            outcome.is_good()
        }
        Err(why) => {
            println!("{name}: FAILED: {why}");
            false
        }
    }
}

/// Runs a piece on a runtime of its own: what ends one piece leaves that on the other store alone.
fn run_piece(plan: Plan, interrupted: watch::Receiver<bool>) -> Result<Outcome, String> {
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    let outcome = runtime.block_on(piece::run(plan, interrupted));
    runtime.shutdown_background();
    outcome
}

async fn run(arguments: &Arguments) -> Result<bool, String> {
    let interrupted = interrupted()?;
    let choice = match (arguments.fresh, arguments.go_on) {
        (true, _) => Choice::Fresh,
        (_, true) => Choice::GoOn,
        _ => Choice::Refuse,
    };
    let mut pieces = Vec::new();
    for store in arguments.store.all() {
        let plan = Plan {
            store: *store,
            folder: arguments.state.join(store.name()),
            until: Until::Time(arguments.length),
            day: Day::of_the_soak(),
            seed: arguments.seed,
            choice,
        };
        let interrupted = interrupted.clone();
        pieces.push((*store, std::thread::spawn(move || run_piece(plan, interrupted))));
    }
    let mut good = true;
    for (store, piece) in pieces {
        let ended = tokio::task::block_in_place(|| piece.join());
        let outcome = ended.unwrap_or_else(|_| Err("the piece could not go on, see above".to_owned()));
        good &= tell(store, &outcome);
    }
    Ok(good)
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let shown = || arguments.store.all().iter().try_for_each(|store| print_status(&arguments.state, *store));
    let done = if arguments.status {
        shown().map(|()| true)
    } else {
        let done = run(&arguments).await;
        println!();
        done.and_then(|good| shown().map(|()| good))
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}
