//! How far the soak has come, for people.

use super::flat::{Sample, judge};
use super::state::{Left, State};
use std::fmt::Write as _;

const HOUR: f64 = 3600.0;

/// All that is known of the soak in this state, as text.
///
/// # Errors
/// If the samples cannot be read.
pub fn status(name: &str, state: &State) -> Result<String, String> {
    let progress = &state.progress;
    let mut text = format!("## {name}\n\n");
    let (hours, pieces, balanced) = (progress.seconds / HOUR, progress.pieces, progress.balanced);
    let _ = writeln!(
        text,
        "{hours:.2} h in {pieces} pieces, seed {}; the ledger was balanced {balanced} times",
        progress.seed
    );
    match state.left() {
        Left::Killed => text.push_str("a piece runs, or was killed in the middle\n"),
        Left::Failed => text.push_str("the soak has FAILED:\n"),
        Left::Nothing | Left::Everything => {}
    }
    progress.ledger.findings().iter().for_each(|finding| text.push_str(&format!("  {finding}\n")));
    text.push_str(&deliveries(state));
    text.push_str(&troubles(state));
    let samples = state.samples()?;
    text.push_str(&by_hour(&samples));
    let _ = writeln!(text, "{}", judge(&samples).text());
    Ok(text)
}

fn deliveries(state: &State) -> String {
    let ledger = &state.progress.ledger;
    let mut text = String::from(
        "\n| destination | acknowledged | delivered | dead | pending | out of order | duplicates | retried |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for (name, account) in ledger.accounts() {
        let figures = ledger.figures(name);
        let (order, duplicates, retried) = (account.out_of_order, account.duplicates, account.retried);
        let _ = writeln!(
            text,
            "| {name} | {} | {} | {} | {} | {order} | {duplicates} | {retried} |",
            figures.acknowledged, figures.delivered, figures.dead, figures.pending
        );
    }
    text
}

fn troubles(state: &State) -> String {
    let mut text = String::from("\n| trouble | times | worst event (s) |\n| --- | ---: | ---: |\n");
    for (name, cost) in &state.progress.troubles {
        let _ = writeln!(text, "| {name} | {} | {:.1} |", cost.times, cost.worst / 1000.0);
    }
    text
}

fn by_hour(samples: &[Sample]) -> String {
    let mut text = String::from(
        "\n| hour | events/s | memory (MiB) | Redis (MiB) | disk (MiB) | its log (MiB) | p99 (ms) | worst (ms) |\n\
         | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    let hours = samples.chunk_by(|a, b| (a.at / HOUR).floor() == (b.at / HOUR).floor());
    for hour in hours {
        let count = hour.len() as f64;
        let mean = |of: fn(&Sample) -> f64| hour.iter().map(of).sum::<f64>() / count;
        let most = |of: fn(&Sample) -> u64| hour.iter().map(of).max().unwrap_or_default() as f64 / f64::from(1 << 20);
        let worst = |of: fn(&Sample) -> f64| hour.iter().map(of).fold(0.0, f64::max);
        let _ = writeln!(
            text,
            "| {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {:.1} | {:.0} |",
            (hour[0].at / HOUR).floor(),
            mean(|sample| sample.rate),
            most(|sample| sample.memory),
            most(|sample| sample.redis),
            most(|sample| sample.disk),
            most(|sample| sample.log),
            mean(|sample| sample.p99),
            worst(|sample| sample.worst),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soak::state::{Choice, Cost, add_sample};

    #[test]
    fn it_tells_hours_deliveries_troubles_and_what_must_not_be() {
        let folder = tempfile::tempdir().unwrap();
        let mut state = State::read(folder.path()).unwrap();
        state.begin(Choice::Refuse, 7, &["steady"]).unwrap();
        state.progress.seconds = 1800.0;
        state.progress.ledger.acknowledge("k", 1);
        state.progress.ledger.violation("an event is lost".to_owned());
        state.progress.troubles.insert("kill -9".to_owned(), Cost { times: 2, worst: 1500.0 });
        for at in [10.0, 20.0, 3610.0] {
            let sample = Sample { at, rate: at, memory: 3 << 20, ..Sample::default() };
            add_sample(&state.samples_path(), &sample).unwrap();
        }
        state.end().unwrap();
        let told = status("sqlite", &state).unwrap();
        for part in [
            "0.50 h in 1 pieces, seed 7",
            "has FAILED:\n  an event is lost",
            "| steady | 1 | 0 | 0 | 1 | 0 | 0 | 0 |",
            "| kill -9 | 2 | 1.5 |",
            "| 0 | 15 | 3 | 0 | 0 | 0 | 0.0 | 0 |\n| 1 | 3610 |",
        ] {
            assert!(told.contains(part), "{part} is not in\n{told}");
        }
    }
}
