//! What the fuzzing tests of all crates share: how many cases they try, the corpus in
//! `tests/corpus`, and how its inputs are changed.
//!
//! The fuzzers of the LLVM kind need a nightly compiler; these are driven by proptest, which also
//! makes a failing input small before it prints it. Such an input then belongs in the corpus, which
//! every run replays file by file.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a corpus that cannot be read fails the test, with the place"
)]

mod mutation;

pub use mutation::{Mutation, mutated};

use proptest::test_runner::Config;
use std::path::Path;

/// How many cases each target tries: `LANEWAY_FUZZ_CASES`, or `quick` without it.
///
/// # Panics
/// If the variable is set and is not a number.
#[must_use]
pub fn cases(quick: u32) -> Config {
    let cases = match std::env::var("LANEWAY_FUZZ_CASES") {
        Ok(text) => text.parse().unwrap_or_else(|e| panic!("LANEWAY_FUZZ_CASES = {text:?}: {e}")),
        Err(_) => quick,
    };
    Config {
        // Failing inputs are kept in the corpus, by hand, and not as seeds.
        failure_persistence: None,
        // What a change made into no input at all is tried again; the more cases, the more often.
        max_local_rejects: u32::MAX,
        max_global_rejects: u32::MAX,
        ..Config::with_cases(cases)
    }
}

/// One input of the corpus.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The file's name, which may say what the input is.
    pub name: String,
    /// The input.
    pub bytes: Vec<u8>,
}

/// The files of `tests/corpus/<target>`, by name.
///
/// # Panics
/// If there are none: a corpus that was lost must not pass for one that holds.
#[must_use]
pub fn corpus(target: &str) -> Vec<Sample> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(target);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut samples: Vec<Sample> = files
        .map(|file| {
            let path = file.expect("the folder can be listed").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            Sample { name, bytes }
        })
        .collect();
    assert!(!samples.is_empty(), "{} is empty", folder.display());
    samples.sort_by(|a, b| a.name.cmp(&b.name));
    samples
}

/// The lines of all files of `tests/corpus/<target>`, but for empty ones, each an input.
#[must_use]
pub fn corpus_lines(target: &str) -> Vec<Sample> {
    let lines = |sample: Sample| {
        let lines: Vec<Vec<u8>> = sample.bytes.split(|&b| b == b'\n').map(<[u8]>::to_vec).collect();
        let name = sample.name;
        lines.into_iter().zip(1..).map(move |(bytes, n)| Sample { name: format!("{name}:{n}"), bytes })
    };
    corpus(target).into_iter().flat_map(lines).filter(|line| !line.bytes.is_empty()).collect()
}
