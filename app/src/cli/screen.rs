//! The terminal: how wide it is, whether colours are wanted, and a screen that is redrawn until `q` is pressed.

use super::Failure;
use super::output;
use clap::ValueEnum;
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use std::io::{self, IsTerminal as _, Read as _};
use tokio::sync::mpsc;

/// Whether to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Colour {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Also into files and pipes.
    Always,
    /// Not at all.
    Never,
}

impl Colour {
    /// Whether standard output is coloured.
    pub(super) fn is_on(self) -> bool {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => {
                let dumb = set("TERM").is_some_and(|term| term == "dumb");
                io::stdout().is_terminal() && set("NO_COLOR").is_none() && !dumb
            }
        }
    }
}

/// Rows and columns of the terminal that standard output is; `None` if it is none.
pub(super) fn size() -> Option<(usize, usize)> {
    let size = tcgetwinsize(io::stdout()).ok()?;
    // Some terminals do not know their size.
    (size.ws_row > 0 && size.ws_col > 0).then_some((size.ws_row.into(), size.ws_col.into()))
}

/// The terminal's other screen, without a cursor, and keys as they are pressed. What was on the terminal before
/// comes back when it is dropped.
pub(super) struct Screen {
    /// How the keyboard was set, if there is one.
    before: Option<Termios>,
    keys: mpsc::Receiver<u8>,
}

const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
const HOME: &str = "\x1b[H";
const NEXT_LINE: &str = "\x1b[K\r\n";
const CLEAR_BELOW: &str = "\x1b[J";

impl Screen {
    /// Takes the terminal over.
    pub(super) fn enter() -> Result<Self, Failure> {
        output::print(ENTER)?;
        let before = keys_at_once();
        let (pressed, keys) = mpsc::channel(16);
        if before.is_some() {
            // It ends with the process: a read of a terminal cannot be called off.
            std::thread::spawn(move || {
                let mut key = [0];
                while io::stdin().lock().read_exact(&mut key).is_ok() && pressed.blocking_send(key[0]).is_ok() {}
            });
        }
        Ok(Self { before, keys })
    }

    /// Shows the lines, as many as there is room for. The first ones stay, and the last line says how many are missing.
    pub(super) fn show(&self, text: &str) -> Result<(), Failure> {
        let rows = size().map_or(usize::MAX, |(rows, _)| rows);
        output::print(&format!("{HOME}{}{CLEAR_BELOW}", fitted(text, rows).join(NEXT_LINE)))
    }

    /// Resolves when the operator has seen enough.
    pub(super) async fn quit(&mut self) {
        while let Some(key) = self.keys.recv().await {
            if matches!(key, b'q' | b'Q') {
                return;
            }
        }
        std::future::pending().await
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // What can still fail here cannot be mended.
        if let Some(before) = &self.before {
            let _ = tcsetattr(io::stdin(), OptionalActions::Flush, before);
        }
        let _ = output::print(LEAVE);
    }
}

/// Gives keys out when they are pressed, and does not show them; how it was before. Ctrl-C stays what it is.
fn keys_at_once() -> Option<Termios> {
    let before = tcgetattr(io::stdin()).ok()?;
    let mut wanted = before.clone();
    wanted.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
    wanted.special_codes[SpecialCodeIndex::VMIN] = 1;
    wanted.special_codes[SpecialCodeIndex::VTIME] = 0;
    tcsetattr(io::stdin(), OptionalActions::Flush, &wanted).ok()?;
    Some(before)
}

/// The lines that fit.
fn fitted(text: &str, rows: usize) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    if lines.len() <= rows {
        return lines.into_iter().map(str::to_owned).collect();
    }
    let shown = rows.saturating_sub(1);
    let missing = lines.len() - shown;
    let note = format!("… and {missing} more lines; --destination NAME shows one");
    lines.into_iter().take(shown).map(str::to_owned).chain([note]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_counted_in_the_last_row() {
        assert_eq!(fitted("a\nb\nc\n", 3), ["a", "b", "c"]);
        assert_eq!(fitted("a\nb\nc\nd\n", 3), ["a", "b", "… and 2 more lines; --destination NAME shows one"]);
    }

    #[test]
    fn colours_can_be_told() {
        assert!(Colour::Always.is_on());
        assert!(!Colour::Never.is_on());
    }
}
