//! How much a test does: little in every run, much when asked for.

use std::io::Write;

/// Whether the long forms were asked for (`tests/run --long`, which sets `LANEWAY_TEST_LONG`).
#[must_use]
pub fn long() -> bool {
    std::env::var_os("LANEWAY_TEST_LONG").is_some_and(|value| !value.is_empty() && value != "0")
}

/// `short`, or `long` when the long forms were asked for.
#[must_use]
pub fn scaled(short: usize, much: usize) -> usize {
    if long() { much } else { short }
}

/// Says that a test, or a part of it, could not be done here: on standard output and, because a test
/// that passes is not listened to, in the file that `LANEWAY_TEST_SKIPPED` names, for `tests/run`.
pub fn skipped(what: &str) {
    println!("SKIPPED: {what}");
    let Some(path) = std::env::var_os("LANEWAY_TEST_SKIPPED") else { return };
    let file = std::fs::OpenOptions::new().create(true).append(true).open(&path);
    let written = file.and_then(|mut file| writeln!(file, "{what}"));
    written.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}
