//! A file that another one names is there. Commands that run only on demand would otherwise be found broken by whoever
//! needs them: a script that reads a source, a page that says where something stands.

use std::path::{Path, PathBuf};

/// Where what is named begins, from the repository's root.
const FOLDERS: &[&str] = &["adapters/", "app/", "deploy/", "docs/", "domain/", "ports/", "tests/"];
const ENDINGS: &[&str] = &["json", "lua", "md", "py", "rs", "sh", "svg", "toml", "txt", "yaml", "yml"];
/// What no clone has.
const LEFT_OUT: &[&str] = &[".git", "node_modules", "target"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if LEFT_OUT.contains(&name) || name == "__pycache__" {
            continue;
        }
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

/// The files that a text names by their paths from the root.
fn named(text: &str) -> impl Iterator<Item = &str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    let words = text.split(move |c| !is_part(c)).map(|word| word.trim_end_matches('.'));
    words.filter(|word| {
        let ending = word.rsplit_once('.').map(|(_, ending)| ending);
        FOLDERS.iter().any(|folder| word.starts_with(folder)) && ending.is_some_and(|it| ENDINGS.contains(&it))
    })
}

#[test]
fn every_file_that_is_named_is_there() {
    let root = root();
    let mut all = Vec::new();
    files(&root, &mut all);
    let (mut count, mut missing) = (0, Vec::new());
    for file in all {
        // What is no text names nothing.
        let Ok(text) = std::fs::read_to_string(&file) else { continue };
        for name in named(&text) {
            count += 1;
            let beside = file.parent().map(|folder| folder.join(name));
            if !root.join(name).is_file() && !beside.is_some_and(|path| path.is_file()) {
                missing.push(format!("{} names {name}", file.strip_prefix(&root).unwrap().display()));
            }
        }
    }
    assert!(missing.is_empty(), "not there:\n{}", missing.join("\n"));
    assert!(count > 100, "only {count} were found: this looks at nothing");
}

/// What `--help` is asked of must not begin to build, install or start anything.
#[test]
fn every_script_says_at_once_what_it_is() {
    for script in ["bench", "compose", "faults", "instructions", "mutants", "packages", "run", "soak", "upgrade"] {
        let script = format!("tests/{script}");
        let mut asked = std::process::Command::new("timeout");
        let asked =
            asked.args(["30", &script, "--help"]).current_dir(root()).output().expect("the test needs coreutils");
        let said = String::from_utf8_lossy(&asked.stdout);
        assert!(asked.status.success(), "{script} --help: {asked:?}");
        assert!(said.contains(&script), "{script} --help says nothing of how it is called:\n{said}");
    }
}

#[test]
fn names_are_found_in_any_text() {
    let text =
        "see (tests/run, docs/start.md). `adapters/redis/lua/dead.lua` /tests/a.rs tests/Cargo.toml: no/tests/c.rs";
    assert_eq!(named(text).collect::<Vec<_>>(), ["docs/start.md", "adapters/redis/lua/dead.lua", "tests/Cargo.toml"]);
}
