//! How far `laneway send` has come: a bar on a terminal, now and then a line elsewhere.

use crate::cli::output;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

/// How often a line is written where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(10);
const BAR: &str = "{bar:30} {bytes}/{total_bytes} · {msg} · {eta} left";
const SPINNER: &str = "{spinner} {bytes} read · {msg}";

/// What became of the events so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Stored now.
    pub(super) accepted: u64,
    /// Stored before, by id.
    pub(super) duplicates: u64,
    /// Never to be stored.
    pub(super) refused: u64,
}

impl Tally {
    /// The last word: `3 accepted, 1 duplicate, 2 refused`.
    pub(super) fn describe(&self) -> String {
        let duplicates = if self.duplicates == 1 { "duplicate" } else { "duplicates" };
        format!("{} accepted, {} {duplicates}, {} refused", self.accepted, self.duplicates, self.refused)
    }
}

pub(super) struct Progress {
    bar: Option<ProgressBar>,
    began: Instant,
    said: Instant,
}

impl Progress {
    /// Shows progress through so many bytes, if their number is known.
    pub(super) fn new(bytes: Option<u64>) -> Self {
        let now = Instant::now();
        Self { bar: std::io::stderr().is_terminal().then(|| bar(bytes)), began: now, said: now }
    }

    /// So much more was read, and this is what became of the events.
    pub(super) fn advance(&mut self, read: u64, tally: &Tally) {
        let done = tally.accepted + tally.duplicates;
        #[allow(clippy::cast_precision_loss)]
        let per_second = done as f64 / self.began.elapsed().as_secs_f64().max(0.001);
        let text = format!("{}, {per_second:.0}/s", tally.describe());
        match &self.bar {
            Some(bar) => {
                bar.inc(read);
                bar.set_message(text);
            }
            None if self.said.elapsed() >= LINE_INTERVAL => {
                self.said = Instant::now();
                output::note(&text);
            }
            None => {}
        }
    }

    /// Says something beside the progress.
    pub(super) fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| output::note(text)),
            None => output::note(text),
        }
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(bytes: Option<u64>) -> ProgressBar {
    let (bar, template) = match bytes {
        Some(bytes) => (ProgressBar::new(bytes), BAR),
        None => (ProgressBar::new_spinner(), SPINNER),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        // The plain style shows less, but is no reason not to send.
        Err(_) => bar,
    }
}
