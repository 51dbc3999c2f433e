//! The modules of the domain stand in layers: none of them needs, by whatever way round, what needs it.

#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // Reads the crate's own source, which is there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

type Needs = BTreeMap<String, BTreeSet<String>>;

/// Which modules of the crate's top level each of them names, its tests aside.
fn needs() -> Needs {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut needs = Needs::new();
    let mut folders = vec![source.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let inside = path.strip_prefix(&source).unwrap().with_extension("");
            let is_test = inside.iter().any(|part| part == "tests");
            if path.is_dir() && !is_test {
                folders.push(path);
            } else if path.is_file() && !is_test && inside.as_os_str() != "lib" {
                let module = inside.iter().next().unwrap().to_string_lossy().into_owned();
                let text = std::fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
                let named = code
                    .split("crate::")
                    .skip(1)
                    .map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next());
                let named = named.flatten().filter(|named| **named != *module).map(str::to_owned).collect::<Vec<_>>();
                needs.entry(module).or_default().extend(named);
            }
        }
    }
    let modules: BTreeSet<String> = needs.keys().cloned().collect();
    for (module, named) in &mut needs {
        // Links in documentation lead anywhere; in code, a module is named.
        named.retain(|named| modules.contains(named));
        assert!(!named.contains(module));
    }
    needs
}

/// Modules that need each other, whichever is removed first.
fn circles(mut needs: Needs) -> Needs {
    loop {
        let bottom: Vec<String> =
            needs.iter().filter(|(_, of)| of.is_empty()).map(|(module, _)| module.clone()).collect();
        if bottom.is_empty() {
            return needs;
        }
        for module in bottom {
            needs.remove(&module);
            for of in needs.values_mut() {
                of.remove(&module);
            }
        }
    }
}

#[test]
fn no_module_needs_what_needs_it() {
    let needs = needs();
    assert!(needs["dispatcher"].contains("lane") && needs["lane"].contains("timers"), "{needs:#?}");
    assert_eq!(circles(needs), Needs::new());
}

#[test]
fn a_circle_would_be_found() {
    let needs = [("a", "b"), ("b", "c"), ("c", "b")].map(|(a, b)| (a.to_owned(), BTreeSet::from([b.to_owned()])));
    assert!(circles(Needs::from(needs)).contains_key("b"));
}

#[test]
fn things_are_imported_from_the_module_that_has_them() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let roots: Vec<_> = std::fs::read_dir(&source).unwrap().map(|entry| entry.unwrap().path()).collect();
    for path in roots.into_iter().filter(|path| path.is_file()) {
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let around = |line: &&str| {
            let named = line.strip_prefix("use crate::");
            named.is_some_and(|named| named.starts_with(|c: char| c == '{' || c.is_ascii_uppercase()))
        };
        let around = code.lines().filter(|_| path.file_name().is_some_and(|name| name != "lib.rs")).find(around);
        assert_eq!(around, None, "{}: name the module", path.display());
    }
}
