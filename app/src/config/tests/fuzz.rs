//! Texts that are nearly a configuration: read into one that holds together, or refused.

use super::super::*;
use laneway_fuzz::{Sample, cases, corpus, mutated};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// Cases of a quick run.
const QUICK: u32 = 400;

const EXAMPLE: &str = include_str!("../../../../laneway.example.toml");

/// What configurations are made of.
const PIECES: &[&[u8]] = &[
    b"[server]\n",
    b"[store]\n",
    b"[worker]\n",
    b"[[destination]]\n",
    b"[destination.retry]\n",
    b"name = \"a\"\n",
    b"url = \"console:\"\n",
    b"listen = \":80\"\n",
    b"partitions = ",
    b"retry = ",
    b"types = [",
    b"= ",
    b"{ ",
    b" }",
    b"[",
    b"]",
    b"\"",
    b"'",
    b"\"\"\"",
    b"\n",
    b"#",
    b".",
    b",",
    b"0",
    b"-1",
    b"1e999",
    b"nan",
    b"0x7fffffffffffffff",
    b"\"1s\"",
    b"\"8MiB\"",
    b"true",
    b"1979-05-27",
    b"env:A",
    b"\xff",
    b"\\u0000",
    b"\xe2\x80\xae",
    b"http://127.0.0.1/",
];

/// Reads it, and checks whatever comes of it.
fn read(bytes: &[u8]) {
    let source = Given { files: [(DEFAULT_FILE.into(), bytes.to_vec())].into(), ..Given::default() };
    let load = || Config::load(&source, None, &Overrides::default());
    let config = match load() {
        Ok(config) => config,
        Err(error) => {
            assert!(!error.problems().is_empty());
            let text = error.to_string();
            assert!(!text.trim().is_empty() && text == load().unwrap_err().to_string(), "{text}");
            return;
        }
    };
    assert!((1..=laneway_domain::MAX_PARTITIONS).contains(&config.store.partitions));
    assert!(config.server.listen.ip().is_loopback() || !config.server.tokens.is_empty());
    assert!(!config.destinations.is_empty());
    let names: BTreeSet<&str> = config.destinations.iter().map(|d| d.destination.name.as_str()).collect();
    assert_eq!(names.len(), config.destinations.len());
}

#[test]
fn every_text_of_the_corpus_is_a_configuration_or_refused() {
    for Sample { name, bytes } in corpus("config") {
        println!("{name}");
        read(&bytes);
    }
}

fn texts() -> impl Strategy<Value = Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = corpus("config").into_iter().map(|sample| sample.bytes).collect();
    seeds.push(EXAMPLE.into());
    mutated(seeds, PIECES).prop_map(|(_, text)| text)
}

proptest! {
    #![proptest_config(cases(QUICK))]

    #[test]
    fn a_changed_text_is_a_configuration_that_holds_together_or_refused(text in texts()) {
        read(&text);
    }
}
