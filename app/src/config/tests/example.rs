//! `laneway.example.toml` says what is true.

use super::super::*;

pub(super) const EXAMPLE: &str = include_str!("../../../../laneway.example.toml");

/// A commented line with a default: `#key = value`. (Examples have a space behind the `#`.)
fn default_of(line: &str) -> Option<&str> {
    line.strip_prefix('#').filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()))
}

fn uncommented() -> String {
    EXAMPLE.lines().map(|line| default_of(line).unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_example_is_a_configuration() {
    let config = Config::from_toml(EXAMPLE).unwrap();
    assert_eq!(config.destinations[0].destination.name.as_str(), "billing");
}

#[test]
fn what_it_calls_a_default_is_the_default() {
    assert!(EXAMPLE.lines().filter_map(default_of).count() > 40);
    let shown = |text: &str| format!("{:#?}", Config::from_toml(text).unwrap_or_else(|e| panic!("{e}")));
    assert_eq!(shown(&uncommented()), shown(EXAMPLE));
}

#[test]
fn it_knows_every_key() {
    let mentioned = |path: &str| {
        let key = path.rsplit('.').next().unwrap_or(path);
        let names = |line: &str| {
            let line = line.trim_start_matches(['#', ' ']);
            line.split('=').next().is_some_and(|name| name.trim() == key)
                || line.trim_matches(['[', ']']).split('.').next_back() == Some(key)
        };
        EXAMPLE.lines().any(names)
    };
    let missing: Vec<String> = known_paths_of(EXAMPLE).into_iter().filter(|path| !mentioned(path)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// The paths of all settings that the reader of this configuration asks for.
pub(crate) fn known_paths_of(text: &str) -> Vec<String> {
    // Paths are noted only where there are variables to compare with them.
    let source = Given::default().with_file(DEFAULT_FILE, text).with_var("LANEWAY_LOG__FILTER", "info");
    let (_, findings, root) = gather(&source, None, &Overrides::default()).unwrap();
    read(&findings, root);
    let paths = findings.paths();
    assert!(paths.len() > 50, "{paths:?}");
    paths
}
