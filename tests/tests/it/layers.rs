//! The modules of each crate stand in layers: none needs, by whatever way round, what needs it. A circle shows that
//! something is in the wrong place.
//!
//! A module is a file. It may use what its own children have, and a child may use what its parent has: that is how a
//! large module is cut into files. Tests are left aside.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Where the sources of a crate are, from the repository's root.
fn crates() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let inside = |folder: &str| std::fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let all = ["domain", "ports", "app"].map(|name| root.join(name)).into_iter().chain(inside("adapters"));
    let mut all: Vec<PathBuf> = all.map(|folder| folder.join("src")).filter(|source| source.is_dir()).collect();
    all.sort();
    all
}

/// A crate's modules, by their paths in it (`log::append`; the root is empty), with their code.
type Modules = BTreeMap<String, String>;

fn modules(source: &Path) -> Modules {
    let (mut found, mut folders) = (Modules::new(), vec![source.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let inside = path.strip_prefix(source).unwrap().with_extension("");
            let mut parts: Vec<&str> = inside.iter().map(|part| part.to_str().unwrap()).collect();
            if parts.contains(&"tests") || parts[0] == "bin" {
                continue;
            } else if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                if matches!(parts[..], [.., "mod"] | ["lib" | "main"]) {
                    parts.pop();
                }
                found.insert(parts.join("::"), code(&std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found
}

/// Without comments, and without the tests at the end.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// Every path in the code that begins with one of these words, groups of `use` taken apart.
fn paths(code: &str, begin: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for word in begin {
        let from = format!("{word}::");
        for (at, _) in code.match_indices(&from) {
            let before = code[..at].chars().next_back();
            if !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                take(&code[at + from.len()..], word, &mut found);
            }
        }
    }
    found
}

/// Takes the path that begins here, behind `prefix`, and returns what stands behind it.
fn take<'a>(text: &'a str, prefix: &str, found: &mut Vec<String>) -> &'a str {
    let mut text = text.trim_start();
    if let Some(group) = text.strip_prefix('{') {
        text = group;
        loop {
            text = take(text, prefix, found).trim_start();
            match text.strip_prefix(',') {
                Some(more) if more.trim_start().starts_with('}') => return &more.trim_start()[1..],
                Some(more) => text = more,
                None => return text.strip_prefix('}').unwrap_or(text),
            }
        }
    }
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let path = if name.is_empty() { prefix.to_owned() } else { format!("{prefix}::{name}") };
    if let Some(deeper) = rest.strip_prefix("::") {
        return take(deeper, &path, found);
    }
    found.push(path);
    // `… as other` in a group.
    match rest.trim_start().strip_prefix("as ") {
        Some(other) => other.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_'),
        None => rest,
    }
}

/// What a path means in a module: the module that it leads to, and the name in it, if one is left.
fn target(modules: &Modules, module: &str, path: &str) -> (String, Option<String>) {
    let mut base: Vec<&str> = module.split("::").filter(|part| !part.is_empty()).collect();
    let mut parts = path.split("::").peekable();
    match parts.next() {
        Some("crate") => base.clear(),
        Some("super") => {
            base.pop();
            while parts.next_if_eq(&"super").is_some() {
                base.pop();
            }
        }
        _ => {} // `self`
    }
    while let Some(part) = parts.next_if(|part| {
        let deeper = base.iter().chain([part]).copied().collect::<Vec<_>>().join("::");
        modules.contains_key(&deeper)
    }) {
        base.push(part);
    }
    (base.join("::"), parts.next().map(str::to_owned))
}

/// Names that a module hands on (`pub use`), with the module that has them.
fn handed_on(modules: &Modules) -> BTreeMap<(String, String), String> {
    let mut names = BTreeMap::new();
    for (module, code) in modules {
        for (at, _) in code.match_indices("use ") {
            let line = code[..at].rsplit('\n').next().unwrap_or_default().trim();
            let declared = code[at + 4..].split(';').next().unwrap_or_default();
            if !line.starts_with("pub") {
                continue;
            }
            let mut paths = Vec::new();
            take(declared, "self", &mut paths);
            for path in paths {
                let path = path.replacen("self::self::", "self::", 1).replacen("self::crate::", "crate::", 1);
                if let (of, Some(name)) = target(modules, module, &path.replacen("self::super::", "super::", 1)) {
                    names.insert((module.clone(), name), of);
                }
            }
        }
    }
    names
}

/// Which modules each module names, its own children aside.
fn needs(modules: &Modules) -> BTreeMap<String, BTreeSet<String>> {
    let handed_on = handed_on(modules);
    let mut needs = BTreeMap::new();
    for (module, code) in modules {
        let named = paths(code, &["crate", "super", "self"]).into_iter().map(|path| {
            let (mut of, name) = target(modules, module, &path);
            // A few steps: nothing is handed on in a ring, but through several hands.
            for _ in 0..4 {
                let Some(from) = name.as_ref().and_then(|name| handed_on.get(&(of.clone(), name.clone()))) else {
                    break;
                };
                of.clone_from(from);
            }
            of
        });
        let inside = format!("{module}::");
        let others =
            named.filter(|of| of != module && !of.starts_with(&inside) && !module.is_empty() && !of.is_empty());
        needs.insert(module.clone(), others.collect());
    }
    needs
}

/// Modules that need each other, whichever is removed first.
fn circles(mut needs: BTreeMap<String, BTreeSet<String>>) -> BTreeMap<String, BTreeSet<String>> {
    loop {
        let needed: BTreeSet<String> = needs.values().flatten().cloned().collect();
        let ends: Vec<String> = needs
            .iter()
            .filter(|(name, of)| of.is_empty() || !needed.contains(*name))
            .map(|(name, _)| name.clone())
            .collect();
        if ends.is_empty() {
            return needs;
        }
        for end in ends {
            needs.remove(&end);
            for of in needs.values_mut() {
                of.remove(&end);
            }
        }
    }
}

#[test]
fn no_module_of_any_crate_needs_what_needs_it() {
    let mut found = BTreeMap::new();
    for source in crates() {
        let modules = modules(&source);
        let circles = circles(needs(&modules));
        if !circles.is_empty() {
            found.insert(source, circles);
        }
    }
    assert!(found.is_empty(), "modules that need each other: {found:#?}");
}

#[test]
fn what_a_module_names_is_found() {
    let modules: Modules = [
        ("", "pub use a::Thing;"),
        ("a", "use crate::b::{self, deep::{One, Two as Other}, Three};"),
        ("a::inner", "use super::Thing; fn f() { super::super::c::go() }"),
        ("b", "pub(crate) use deep::One; mod deep;"),
        ("b::deep", "use crate::Thing;"),
        ("c", "fn go() { crate::b::One::new(); }"),
    ]
    .map(|(name, code)| (name.to_owned(), code.to_owned()))
    .into();
    let needs = needs(&modules);
    let of = |module: &str| needs[module].iter().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(of("a"), ["b", "b::deep"]);
    assert_eq!(of("a::inner"), ["a", "c"]);
    assert_eq!(of("b::deep"), ["a"]);
    assert_eq!(of("c"), ["b::deep"]);
    assert_eq!(circles(needs).into_keys().collect::<Vec<_>>(), ["a", "b::deep"]);
}

#[test]
fn there_are_crates_and_modules_to_look_at() {
    assert!(crates().len() >= 10, "{:?}", crates());
    let all: usize = crates().iter().map(|source| modules(source).len()).sum();
    assert!(all > 200, "{all}");
}
