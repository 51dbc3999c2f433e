//! Text for people in lines that fit the terminal.

use super::output::clean;
use super::table::Look;
use super::wrap::wrapped;
use std::fmt::Write as _;
use unicode_width::UnicodeWidthStr as _;

/// How far to the right a broken line goes on, at most: behind a long beginning there would be little room.
const MOST_INDENT: usize = 14;

/// Lines that are collected, none of them wider than the terminal.
pub(super) struct Prose {
    text: String,
    look: Look,
}

impl Prose {
    pub(super) const fn new(look: Look) -> Self {
        Self { text: String::new(), look }
    }

    /// Adds a line that begins with `head`. Where it has to be broken, the rest stands below the end of `head`, or below
    /// its beginning if that is far to the right.
    pub(super) fn line(&mut self, head: &str, text: &str) {
        let text = clean(text);
        let blanks = head.width() - head.trim_start().width();
        let indent = if head.width() <= MOST_INDENT { head.width() } else { blanks + 2 };
        let lines = match self.look.width {
            Some(width) => wrapped(&text, width.saturating_sub(head.width()), width.saturating_sub(indent)),
            None => vec![text],
        };
        for (n, line) in lines.iter().enumerate() {
            let before = if n == 0 { head.to_owned() } else { " ".repeat(indent) };
            let _ = writeln!(self.text, "{}", format_args!("{before}{line}").to_string().trim_end());
        }
    }

    /// Adds an empty line.
    pub(super) fn gap(&mut self) {
        self.text.push('\n');
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_broken_goes_on_below_its_beginning() {
        let mut prose = Prose::new(Look { width: Some(24), colour: false });
        prose.line("  1  ", "one two three four\u{1b}five six");
        prose.gap();
        assert_eq!(prose.into_text(), "  1  one two three\n     four\u{fffd}five six\n\n");
        let mut prose = Prose::new(Look { width: Some(40), colour: false });
        prose.line("  a-long-name: ", "one two three four five six");
        assert_eq!(prose.into_text(), "  a-long-name: one two three four five\n    six\n");
    }
}
