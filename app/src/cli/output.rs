//! Standard output, that may be closed at any time (`laneway status | head`), and questions.

use super::failure::{EXIT_OK, Failure};
use super::wrap::for_terminals;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

/// Writes text as it is. When nobody reads any more, the command ends well, without a word.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|e| match e.kind() {
        io::ErrorKind::BrokenPipe => Failure::silent(EXIT_OK),
        _ => Failure::new(format!("standard output cannot be written: {e}")),
    })
}

/// Writes something that may be read by a program, and a line break.
pub(super) fn line(text: &str) -> Result<(), Failure> {
    print(&format!("{text}\n"))
}

/// Writes a sentence for people and a line break: on a terminal in lines that fit.
pub(super) fn say(text: &str) -> Result<(), Failure> {
    if io::stdout().is_terminal() { line(&for_terminals(text)) } else { line(text) }
}

/// Writes a note for people to standard error; if that is closed, they do not want it.
pub(super) fn note(text: &str) {
    let text = if io::stderr().is_terminal() { for_terminals(text) } else { text.to_owned() };
    let _ = writeln!(io::stderr(), "{text}");
}

/// Asks before something that cannot be undone. Where nobody can answer, `--yes` has to.
pub(super) fn confirm(question: &str, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::new(format!("{question} Nobody can be asked here.")).advising("say --yes if it is meant"));
    }
    let _ = write!(io::stderr(), "{} ", for_terminals(&format!("{question} [y/N]")));
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    if read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes") {
        return Ok(());
    }
    Err(Failure::new("nothing was changed"))
}

/// Resolves when the process is told to end: by Ctrl-C, by a signal, or because its terminal was closed.
pub(super) async fn told_to_end() {
    use tokio::signal::unix::{SignalKind, signal};
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    // A signal that cannot be listened for ends the process by itself.
    let mut signals: Vec<_> = kinds.into_iter().filter_map(|kind| signal(kind).ok()).collect();
    let received = signals.iter_mut().map(|signal| Box::pin(signal.recv()));
    futures_util::future::select_all(received).await;
}

/// Text from outside, without what would move a terminal's cursor or change its colours.
pub(super) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
