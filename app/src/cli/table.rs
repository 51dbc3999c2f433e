//! Tables for terminals, and moments as people say them.

use super::output::clean;
use crate::config::show_duration;
use jiff::{Timestamp as Calendar, ToSpan as _};
use laneway_domain::Timestamp;
use std::time::Duration;

/// The most characters of a cell: a long error must not push the rest off the screen.
const MAX_CELL: usize = 72;

/// How a column stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// Rows under headings, in columns as wide as they have to be.
pub(super) struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(columns: &[(&'static str, Align)]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row: a cell for each column.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| cut(&clean(&cell))).collect());
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as text, each line with its end.
    pub(super) fn render(&self) -> String {
        let headings: Vec<String> = self.columns.iter().map(|(heading, _)| (*heading).to_owned()).collect();
        let lines: Vec<&Vec<String>> = std::iter::once(&headings).chain(&self.rows).collect();
        let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(|c| c.chars().count()).max();
        let widths: Vec<usize> = (0..self.columns.len()).map(|column| width(column).unwrap_or(0)).collect();
        let mut text = String::new();
        for line in lines {
            let cells = line.iter().zip(&widths).zip(&self.columns).map(|((cell, width), (_, align))| match align {
                Align::Left => format!("{cell:<width$}"),
                Align::Right => format!("{cell:>width$}"),
            });
            text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
            text.push('\n');
        }
        text
    }
}

fn cut(cell: &str) -> String {
    if cell.chars().count() <= MAX_CELL {
        return cell.to_owned();
    }
    cell.chars().take(MAX_CELL - 1).chain(['…']).collect()
}

/// How long ago `then` was, in at most two units.
pub(super) fn ago(now: Timestamp, then: Timestamp) -> String {
    format!("{} ago", brief(now.since(then)))
}

/// How soon `then` comes.
pub(super) fn until(now: Timestamp, then: Timestamp) -> String {
    if then <= now { "now".to_owned() } else { format!("in {}", brief(then.since(now))) }
}

/// A duration in whole seconds and at most two units: `3d4h`, `1m5s`.
fn brief(duration: Duration) -> String {
    const DAY: u64 = 86_400;
    let seconds = duration.as_secs();
    let step = match seconds {
        0..3600 => 1,
        3600..DAY => 60,
        _ => 3600,
    };
    show_duration(Duration::from_secs(seconds - seconds % step))
}

/// A moment as RFC 3339, in UTC.
pub(super) fn moment(at: Timestamp) -> String {
    let millis = i64::try_from(at.as_millis()).ok();
    let calendar = millis.and_then(|millis| Calendar::UNIX_EPOCH.checked_add(millis.milliseconds()).ok());
    calendar.map_or_else(|| "never".to_owned(), |at| format!("{at:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&[("NAME", Align::Left), ("N", Align::Right), ("ERROR", Align::Left)]);
        table.row(["billing", "7", "x\u{1b}[2J\ny"].map(str::to_owned));
        table.row(["日本".to_owned(), "12345".to_owned(), "e".repeat(100)]);
        let expected = format!(
            "NAME         N  ERROR\nbilling      7  x\u{fffd}[2J\u{fffd}y\n日本       12345  {}…\n",
            "e".repeat(MAX_CELL - 1)
        );
        assert_eq!(table.render(), expected);
    }

    #[test]
    fn moments_are_said_briefly() {
        let at = |seconds: u64| Timestamp::from_millis(seconds * 1000);
        assert_eq!(ago(at(100), at(100)), "0s ago");
        assert_eq!(ago(at(3599), at(0)), "59m59s ago");
        assert_eq!(ago(at(90_061), at(0)), "1d1h ago");
        assert_eq!(until(at(5), at(70)), "in 1m5s");
        assert_eq!(until(at(5), at(4)), "now");
        assert_eq!(moment(Timestamp::from_millis(1_700_000_000_123)), "2023-11-14T22:13:20.123Z");
        assert_eq!(moment(Timestamp::MAX), "never");
    }
}
