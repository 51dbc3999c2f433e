//! Real servers that tests start and end, each on a free port of 127.0.0.1 with a data folder of its own.

pub mod mongodb;
pub mod redis;
pub mod redis_cluster;
pub mod redis_sentinel;
mod resp;
mod venv;
mod waiting;

use std::fs::{File, OpenOptions};
use std::io::Write;

/// Says that a test could not be done here: on standard output and, because a test that passes is
/// not listened to, in the file that `LANEWAY_TEST_SKIPPED` names, for `tests/run`.
pub fn skipped(test: &str, why: &str) {
    let what = format!("{test}: {why}");
    println!("SKIPPED: {what}");
    let Some(path) = std::env::var_os("LANEWAY_TEST_SKIPPED") else { return };
    let file: std::io::Result<File> = OpenOptions::new().create(true).append(true).open(path);
    let line = what.replace('\n', " ");
    if let Err(error) = file.and_then(|mut file| writeln!(file, "{line}")) {
        println!("the skipped test could not be noted: {error}");
    }
}
