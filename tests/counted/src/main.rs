//! Fixed runs of Laneway's hot paths, whose instructions `tests/instructions` counts.
//!
//! ```sh
//! counted --list                 the runs: name, whose cost is taken off, with how many events
//! counted deciding-1 20000       one of them, with so many events
//! ```
//!
//! A run does the same each time: everything is made here, nothing waits for anything outside of the process, and
//! nothing is decided by a clock or by chance. It does all of its work on one thread, but for the SQLite store, which
//! has threads of its own. A run that has not done what it should ends with an error, so that nobody counts the
//! instructions of nothing.

// It has no tests, and the file that `codec` borrows has some that belong elsewhere.
#![cfg(not(test))]
#![allow(clippy::expect_used, reason = "everything that is expected here is made here")]

mod codec;
mod deciding;
mod delivering;
mod ingesting;
mod sample;
mod storing;

use std::process::ExitCode;

/// The allocator of the shipped programs. It comes with the program, so that the figures do not depend on the C
/// library's either.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A run, which is counted with `events` and with twice as many: the difference is what so many events cost, without
/// the process's start and everything else that is done once.
struct Counted {
    name: &'static str,
    /// The run that does the same but for what is meant, whose cost is taken off; `-` of those that are only there for
    /// that.
    without: &'static str,
    events: usize,
    /// With so many events; how many of them went all the way.
    run: fn(usize) -> usize,
}

const fn counted(name: &'static str, without: &'static str, events: usize, run: fn(usize) -> usize) -> Counted {
    Counted { name, without, events, run }
}

/// With so many events that chance (what seeds hash maps, where threads meet) is far below a hundredth, and so few that
/// all of it takes less than a minute.
const RUNS: [Counted; 16] = [
    counted("events", "-", 8000, sample::run),
    counted("bodies", "-", 8000, |events| ingesting::written(&ingesting::JSON, events)),
    counted("deciding-1", "events", 4000, |events| deciding::run(deciding::plain(1), events)),
    counted("deciding-4", "events", 2000, |events| deciding::run(deciding::plain(4), events)),
    counted("deciding-24-kinds", "events", 1000, |events| deciding::run(deciding::every_kind(), events)),
    counted("deciding-retrying", "events", 8000, |events| deciding::run(deciding::retrying(), events)),
    counted("deciding-blocked", "events", 4000, |events| deciding::run(deciding::blocked(), events)),
    counted("ingest", "bodies", 2000, |events| ingesting::run(&ingesting::JSON, events)),
    counted("ingest-cloudevent", "bodies", 2000, |events| ingesting::run(&ingesting::CLOUDEVENT, events)),
    counted("ingest-batch", "bodies", 4000, |events| ingesting::run(&ingesting::BATCH, events)),
    counted("delivery", "events", 2000, |events| delivering::run(&delivering::PLAIN, events)),
    counted("delivery-further", "delivery", 2000, |events| delivering::run(&delivering::TWICE, events)),
    counted("delivery-batch", "events", 4000, |events| delivering::run(&delivering::BATCH, events)),
    counted("signing", "delivery", 2000, |events| delivering::run(&delivering::SIGNED, events)),
    counted("codec-redis", "events", 8000, codec::run),
    counted("sqlite", "events", 2000, storing::run),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["--list"] => {
            RUNS.iter().for_each(|Counted { name, without, events, .. }| println!("{name} {without} {events}"));
            ExitCode::SUCCESS
        }
        [name, events] => match (RUNS.iter().find(|counted| counted.name == name), events.parse()) {
            (Some(counted), Ok(events)) => ended(name, events, (counted.run)(events)),
            (None, _) => usage(&format!("there is no run {name:?}")),
            (_, Err(error)) => usage(&format!("{events:?} is no number of events: {error}")),
        },
        _ => usage("a run and a number of events, or --list"),
    }
}

fn ended(name: &str, events: usize, done: usize) -> ExitCode {
    if done == events {
        return ExitCode::SUCCESS;
    }
    eprintln!("{name}: {done} of {events} events went all the way");
    ExitCode::FAILURE
}

fn usage(problem: &str) -> ExitCode {
    eprintln!("counted: {problem}");
    ExitCode::from(2)
}
