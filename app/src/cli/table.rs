//! Tables for terminals, and moments as people say them.

use super::output::clean;
use super::screen;
use super::wrap::wrapped;
use crate::config::show_duration;
use anstyle::{AnsiColor, Style};
use laneway_domain::Timestamp;
use std::time::Duration;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// The most columns of a cell: a long error must not push the rest off the screen.
const MAX_CELL: usize = 72;
/// What a cell that may be cut keeps at least.
const LEAST_CELL: usize = 8;
/// The most lines of what stands below a row.
const MAX_DETAIL_LINES: usize = 4;
/// Between two columns.
const GAP: usize = 2;

/// Headings.
const HEADING: Style = Style::new().bold();
/// What is well.
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
/// What wants to be looked at.
pub(super) const CAUTION: Style = AnsiColor::Yellow.on_default();
/// What is wrong.
pub(super) const BAD: Style = AnsiColor::Red.on_default();
/// What matters less.
pub(super) const FAINT: Style = Style::new().dimmed();

/// How a column stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    /// Left, whole.
    Left,
    /// Right, whole.
    Right,
    /// Left, and cut where the terminal is too narrow.
    Text,
}

/// What stands in a place of a table.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    text: String,
    style: Style,
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self { text: cut(&clean(&text), MAX_CELL), style: Style::new() }
    }
}

impl Cell {
    /// A text that is not cut, however long: what a receiver answered is its end.
    pub(super) fn whole(text: &str) -> Self {
        Self { text: clean(text), style: Style::new() }
    }

    /// The same, coloured.
    pub(super) fn styled(self, style: Style) -> Self {
        Self { style, ..self }
    }
}

enum Row {
    Cells(Vec<Cell>),
    /// A line of its own below a row.
    Detail(Cell),
}

/// Rows under headings, in columns as wide as they have to be.
pub(super) struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Row>,
}

/// How a table is written.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Look {
    /// How many columns the terminal has; `None` where nothing has to fit.
    pub(super) width: Option<usize>,
    /// Whether to colour.
    pub(super) colour: bool,
}

impl Look {
    /// As wide as the terminal, without colours.
    pub(super) fn plain() -> Self {
        Self { width: screen::size().map(|(_, columns)| columns), colour: false }
    }
}

impl Table {
    pub(super) fn new(columns: &[(&'static str, Align)]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row: a cell for each column.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = impl Into<Cell>>) {
        self.rows.push(Row::Cells(cells.into_iter().map(Into::into).collect()));
    }

    /// Adds a line below the last row.
    pub(super) fn detail(&mut self, text: &str) {
        let cell = Cell { text: clean(text), style: FAINT };
        self.rows.push(Row::Detail(cell));
    }

    /// Adds lines below the last row: one for all parts if that fits, else one for each.
    pub(super) fn details(&mut self, parts: &[String], between: &str, look: Look) {
        let joined = clean(&parts.join(between));
        let fits = look.width.is_none_or(|width| GAP + joined.width() <= width);
        match parts {
            [] => {}
            _ if fits => self.detail(&joined),
            parts => parts.iter().for_each(|part| self.detail(part)),
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How wide it would be if nothing were cut.
    pub(super) fn natural_width(&self) -> usize {
        total(&self.natural_widths())
    }

    /// The table as text, each line with its end, cut so that it fits if that is possible.
    pub(super) fn fitted(&self, look: Look) -> String {
        let mut widths = self.natural_widths();
        if let Some(most) = look.width {
            self.shrink(&mut widths, most);
        }
        let headings = self.columns.iter().map(|(heading, _)| Cell::from((*heading).to_owned()).styled(HEADING));
        let mut text = String::new();
        self.write_cells(&headings.collect::<Vec<_>>(), &widths, look.colour, &mut text);
        for row in &self.rows {
            match row {
                Row::Cells(cells) => self.write_cells(cells, &widths, look.colour, &mut text),
                Row::Detail(cell) => {
                    for (n, line) in detail_lines(&cell.text, look).into_iter().enumerate() {
                        let cell = Cell { text: line, style: cell.style };
                        text.push_str(&" ".repeat(if n == 0 { GAP } else { 2 * GAP }));
                        write_cell(&cell, 0, false, look.colour, &mut text);
                        text.push('\n');
                    }
                }
            }
        }
        text
    }

    fn natural_widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self.columns.iter().map(|(heading, _)| heading.width()).collect();
        for row in &self.rows {
            let Row::Cells(cells) = row else { continue };
            for (width, cell) in widths.iter_mut().zip(cells) {
                *width = cell.text.width().max(*width);
            }
        }
        widths
    }

    /// Takes from the widest column that may be cut until all fit.
    fn shrink(&self, widths: &mut [usize], most: usize) {
        while total(widths) > most {
            let may_be_cut = widths
                .iter_mut()
                .zip(&self.columns)
                .filter(|(width, (heading, align))| *align == Align::Text && **width > LEAST_CELL.max(heading.width()));
            let Some((widest, _)) = may_be_cut.max_by_key(|(width, _)| **width) else { return };
            *widest -= 1;
        }
    }

    fn write_cells(&self, cells: &[Cell], widths: &[usize], colour: bool, text: &mut String) {
        let last = self.columns.len().saturating_sub(1);
        let begins = text.len();
        for (index, ((cell, width), (_, align))) in cells.iter().zip(widths).zip(&self.columns).enumerate() {
            if index > 0 {
                text.push_str(&" ".repeat(GAP));
            }
            let cell = Cell { text: cut(&cell.text, *width), style: cell.style };
            let width = if index == last && *align != Align::Right { 0 } else { *width };
            write_cell(&cell, width, *align == Align::Right, colour, text);
        }
        let ends = text[begins..].trim_end().len();
        text.truncate(begins + ends);
        text.push('\n');
    }
}

/// A table whose last columns (`below` of them) may be long. Where the terminal is too narrow, they stand in a line of
/// their own below each row, so that the columns before them (keys and ids, which are typed into other commands) are
/// cut last.
pub(super) fn rows_with_text(
    columns: &[(&'static str, Align)],
    below: usize,
    rows: Vec<Vec<String>>,
    look: Look,
) -> String {
    let above = columns.len().saturating_sub(below);
    let mut wide = Table::new(columns);
    for row in &rows {
        let cell = |(n, text): (usize, &String)| if n < above { Cell::from(text.clone()) } else { Cell::whole(text) };
        wide.row(row.iter().enumerate().map(cell));
    }
    if look.width.is_none_or(|width| wide.natural_width() <= width) {
        return wide.fitted(look);
    }
    let (columns, headings) = columns.split_at(above);
    let mut narrow = Table::new(columns);
    for mut row in rows {
        let texts = row.split_off(above.min(row.len()));
        let named =
            headings.iter().zip(texts).map(|((heading, _), text)| format!("{}: {text}", heading.to_lowercase()));
        let named: Vec<String> = named.collect();
        narrow.row(row);
        narrow.details(&named, " · ", look);
    }
    narrow.fitted(look)
}

/// A sentence above a table, in as many lines as it takes.
pub(super) fn lines(text: &str, style: Style, look: Look) -> String {
    let text = clean(text);
    let lines = match look.width {
        Some(width) => wrapped(&text, width, width.saturating_sub(GAP)),
        None => vec![text],
    };
    let mut written = String::new();
    for (n, line) in lines.into_iter().enumerate() {
        written.push_str(&" ".repeat(if n == 0 { 0 } else { GAP }));
        write_cell(&Cell { text: line, style }, 0, false, look.colour, &mut written);
        written.push('\n');
    }
    written
}

/// A line below a row, in as many lines as it takes: what a receiver answered is the end of it. Of an endless one the
/// rest is left out.
fn detail_lines(text: &str, look: Look) -> Vec<String> {
    let Some(width) = look.width else { return vec![text.to_owned()] };
    let room = width.saturating_sub(GAP);
    let mut lines = wrapped(text, room, room.saturating_sub(GAP));
    if lines.len() > MAX_DETAIL_LINES {
        lines.truncate(MAX_DETAIL_LINES);
        if let Some(last) = lines.last_mut() {
            *last = cut(&format!("{last} …"), room.saturating_sub(GAP));
        }
    }
    lines
}

fn total(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1)
}

fn write_cell(cell: &Cell, width: usize, right: bool, colour: bool, to: &mut String) {
    let space = " ".repeat(width.saturating_sub(cell.text.width()));
    let styled = if colour && !cell.text.is_empty() && cell.style != Style::new() {
        format!("{}{}{}", cell.style.render(), cell.text, cell.style.render_reset())
    } else {
        cell.text.clone()
    };
    let (before, after) = if right { (space.as_str(), "") } else { ("", space.as_str()) };
    to.push_str(before);
    to.push_str(&styled);
    to.push_str(after);
}

/// The text in at most `most` columns, with a sign where something is missing.
fn cut(text: &str, most: usize) -> String {
    if text.width() <= most {
        return text.to_owned();
    }
    let (mut kept, mut width) = (String::new(), 0);
    for c in text.chars() {
        width += c.width().unwrap_or(0);
        if width >= most {
            break;
        }
        kept.push(c);
    }
    kept.push('…');
    kept
}

/// How long ago `then` was, in at most two units.
pub(super) fn ago(now: Timestamp, then: Timestamp) -> String {
    format!("{} ago", age(now, then))
}

/// The same without the word.
pub(super) fn age(now: Timestamp, then: Timestamp) -> String {
    brief(now.since(then))
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

/// How much that is: `12 B`, `1.4 KiB`.
#[allow(clippy::cast_precision_loss, reason = "it is shown with two digits")]
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut size = bytes as f64 / 1024.0;
    let mut unit = UNITS[0];
    for larger in &UNITS[1..] {
        if size < 1023.95 {
            break;
        }
        size /= 1024.0;
        unit = larger;
    }
    format!("{size:.1} {unit}")
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
            "NAME         N  ERROR\nbilling      7  x\u{fffd}[2J\u{fffd}y\n日本     12345  {}…\n",
            "e".repeat(MAX_CELL - 1)
        );
        assert_eq!(table.fitted(Look::default()), expected);
    }

    #[test]
    fn what_may_be_cut_is_cut_until_the_table_fits() {
        let mut table = Table::new(&[("NAME", Align::Text), ("N", Align::Right), ("ERROR", Align::Text)]);
        table.row(["a-long-destination".to_owned(), "1".to_owned(), "日本語のとても長いエラーメッセージ".to_owned()]);
        table.detail(&"d".repeat(60));
        for width in [24, 30, 40, 60] {
            let text = table.fitted(Look { width: Some(width), colour: false });
            assert!(text.lines().all(|line| line.width() <= width), "{width}:\n{text}");
        }
        // Numbers are never cut: a wrong number is worse than a wide table.
        assert!(table.fitted(Look { width: Some(3), colour: false }).contains(" 1 "));
    }

    #[test]
    fn what_is_typed_into_other_commands_is_cut_last() {
        let columns = [("KEY", Align::Text), ("N", Align::Right), ("SINCE", Align::Left), ("LAST ERROR", Align::Text)];
        let row = ["a-key-of-an-order", "1", "5s ago", "the receiver answered 500"].map(str::to_owned).to_vec();
        let text = |width| rows_with_text(&columns, 2, vec![row.clone()], Look { width, colour: false });
        let wide = "\
KEY                N  SINCE   LAST ERROR
a-key-of-an-order  1  5s ago  the receiver answered 500
";
        assert_eq!(text(None), wide);
        assert_eq!(text(Some(55)), wide);
        let below = "\
KEY                N
a-key-of-an-order  1
  since: 5s ago
  last error: the receiver answered 500
";
        assert_eq!(text(Some(54)), below);
        let apart = "\
KEY               N
a-key-of-an-ord…  1
  since: 5s ago
  last error: the
    receiver
    answered 500
";
        assert_eq!(text(Some(19)), apart);
    }

    #[test]
    fn colours_do_not_move_anything() {
        let mut table = Table::new(&[("NAME", Align::Left), ("STATE", Align::Left)]);
        table.row([Cell::from("a".to_owned()), Cell::from("ok".to_owned()).styled(GOOD)]);
        let coloured = table.fitted(Look { width: None, colour: true });
        assert_eq!(coloured, "\u{1b}[1mNAME\u{1b}[0m  \u{1b}[1mSTATE\u{1b}[0m\na     \u{1b}[32mok\u{1b}[0m\n");
        assert_eq!(table.fitted(Look::default()), "NAME  STATE\na     ok\n");
    }

    #[test]
    fn moments_are_said_briefly() {
        let at = |seconds: u64| Timestamp::from_millis(seconds * 1000);
        assert_eq!(ago(at(100), at(100)), "0s ago");
        assert_eq!(ago(at(3599), at(0)), "59m59s ago");
        assert_eq!(ago(at(90_061), at(0)), "1d1h ago");
        assert_eq!(until(at(5), at(70)), "in 1m5s");
        assert_eq!(until(at(5), at(4)), "now");
    }

    #[test]
    fn sizes_have_a_unit() {
        let sizes = [0, 1023, 1024, 1434, 1_048_575, 1 << 20, 5 << 40].map(size);
        assert_eq!(sizes, ["0 B", "1023 B", "1.0 KiB", "1.4 KiB", "1.0 MiB", "1.0 MiB", "5.0 TiB"]);
    }
}
