//! What a fault has cost, as a row of a table.

use std::fmt::Write as _;
use std::time::Duration;

/// One kind of fault, injected some times while events flowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// What was done, and to what.
    pub fault: String,
    /// How many times.
    pub injected: usize,
    /// Events that had their 202.
    pub events: usize,
    /// Of these, how many are not in the store, or not delivered when all had come to rest.
    pub lost: usize,
    /// Attempts at an event before every earlier event of its key was settled.
    pub out_of_order: usize,
    /// Deliveries beyond the first of an event that the receiver had taken.
    pub duplicates: u64,
    /// The longest time in which nothing new was delivered, of any key, although events were waiting.
    pub worst_gap: Duration,
    /// What else was wrong, for people; empty if nothing.
    pub wrong: Vec<String>,
    /// What to know about the figures.
    pub note: String,
}

impl Row {
    /// A fault that cannot be injected here, and why.
    #[must_use]
    pub fn not_done(fault: &str, why: &str) -> Self {
        crate::effort::skipped(&format!("{fault}: {why}"));
        Self { fault: fault.to_owned(), note: format!("not done: {why}"), ..Self::default() }
    }

    /// Whether every guarantee was kept.
    #[must_use]
    pub fn clean(&self) -> bool {
        self.lost == 0 && self.out_of_order == 0 && self.wrong.is_empty()
    }

    /// # Panics
    /// If a guarantee was broken.
    pub fn assert_clean(&self) {
        assert!(self.clean(), "{self:#?}");
    }

    fn cells(&self) -> [String; 8] {
        [
            self.fault.clone(),
            self.injected.to_string(),
            self.events.to_string(),
            self.lost.to_string(),
            self.out_of_order.to_string(),
            self.duplicates.to_string(),
            format!("{:.1} s", self.worst_gap.as_secs_f64()),
            if self.wrong.is_empty() { self.note.clone() } else { format!("**{}**", self.wrong.join("; ")) },
        ]
    }
}

const HEAD: [&str; 8] = ["fault", "injected", "events", "lost", "out of order", "duplicates", "worst gap", "what else"];

/// The rows as a table in Markdown, with columns that line up where it is read as it is.
#[must_use]
pub fn markdown(rows: &[Row]) -> String {
    let lines: Vec<[String; 8]> = std::iter::once(HEAD.map(str::to_owned)).chain(rows.iter().map(Row::cells)).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..HEAD.len()).map(width).collect();
    let mut text = String::new();
    for (n, line) in lines.iter().enumerate() {
        for (column, cell) in line.iter().enumerate() {
            let wide = if column + 1 == HEAD.len() { 0 } else { widths[column] };
            let numeric = (1..=6).contains(&column);
            let cell = if numeric { format!("{cell:>wide$}") } else { format!("{cell:<wide$}") };
            let _ = write!(text, "| {cell} ");
        }
        text.push_str("|\n");
        if n == 0 {
            let rules = (0..HEAD.len()).map(|column| if (1..=6).contains(&column) { "---:" } else { "---" });
            let _ = writeln!(text, "| {} |", rules.collect::<Vec<_>>().join(" | "));
        }
    }
    text
}
