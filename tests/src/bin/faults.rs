//! The fault matrix: injects each fault into real processes and prints what it cost. See `tests/faults`.

#![allow(clippy::expect_used, reason = "a harness that cannot go on says where")]

use clap::Parser;
use laneway_tests::effort;
use laneway_tests::faults::scenarios::{self, Scenario};
use laneway_tests::faults::table::{Row, markdown};
use std::process::ExitCode;

/// Where the table goes in the page.
const BEGIN: &str = "<!-- the table of tests/faults: begin -->\n";
const END: &str = "<!-- the table of tests/faults: end -->";

/// Injects faults while events flow, and prints what they cost.
#[derive(Parser)]
struct Arguments {
    /// Which ones; all of them without a name.
    names: Vec<String>,
    /// The page whose table is written anew.
    #[arg(long)]
    page: Option<std::path::PathBuf>,
    /// What to say above the table: the command, the day, the machine.
    #[arg(long, default_value = "")]
    above: String,
    /// Lists the names.
    #[arg(long)]
    list: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.list {
        scenarios::ALL.iter().for_each(|scenario| println!("{}", scenario.name));
        return ExitCode::SUCCESS;
    }
    let named = |name: &String| scenarios::named(name).ok_or_else(|| format!("there is no fault {name}; see --list"));
    let chosen: Result<Vec<Scenario>, String> = match arguments.names.as_slice() {
        [] => Ok(scenarios::ALL.to_vec()),
        names => names.iter().map(named).collect(),
    };
    let chosen = match chosen {
        Ok(chosen) => chosen,
        Err(what) => {
            eprintln!("{what}");
            return ExitCode::from(2);
        }
    };
    let mut rows = Vec::new();
    for scenario in chosen {
        let row = run(scenario).await;
        eprintln!("{row:?}");
        rows.push(row);
    }
    let form = if effort::long() { "the long form" } else { "the short form" };
    let table = format!("{} ({form})\n\n{}", arguments.above, markdown(&rows));
    println!("{table}");
    if let Some(page) = arguments.page {
        write(&page, &table);
    }
    if rows.iter().all(Row::clean) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// In a task of its own, so that one that cannot go on is a row, and the others follow.
async fn run(scenario: Scenario) -> Row {
    match tokio::spawn(async move { scenario.run().await }).await {
        Ok(row) => row,
        Err(ended) => {
            let wrong = match ended.try_into_panic() {
                Ok(panic) => panic.downcast::<String>().map_or_else(|_| "it panicked".to_owned(), |text| *text),
                Err(other) => other.to_string(),
            };
            let wrong = vec![wrong.replace('\n', " ")];
            Row { fault: scenario.name.to_owned(), wrong, ..Row::default() }
        }
    }
}

fn write(page: &std::path::Path, table: &str) {
    let text = std::fs::read_to_string(page).expect("the page can be read");
    let (before, rest) = text.split_once(BEGIN).expect("the page has a place for the table");
    let (_, after) = rest.split_once(END).expect("the place ends");
    std::fs::write(page, format!("{before}{BEGIN}{table}{END}{after}")).expect("the page can be written");
}
