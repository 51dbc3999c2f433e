//! The pages are true: their links lead somewhere, their configurations are valid, and their commands do what they say.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod journeys;
mod markdown;
mod servers;
mod session;

use markdown::{Page, all, commands, repository};
use session::{NOT_RUN, Session, is_not_run};
use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

/// Pages whose commands a test of `journeys` runs, each to its end.
const FOLLOWED: &[&str] = &[
    "README.md",
    "docs/start.md",
    "docs/events.md",
    "docs/operating.md",
    "docs/configuration.md",
    "docs/redis.md",
    "docs/destinations.md",
    "docs/tokens.md",
    "docs/tenants.md",
];
/// Pages whose commands a test elsewhere takes from the page and runs, each in a situation of its own.
const RUN_ELSEWHERE: &[(&str, &str)] = &[("docs/questions.md", "tests/tests/it/questions")];
/// The languages that a fenced block may name. A shell's commands are `sh`, and nothing else, so that none escapes.
const LANGUAGES: &[&str] = &["", "sh", "toml", "python", "json", "rust", "text", "http", "ini", "sql", "yaml"];
/// The longest line of prose. Tables and links that fill a line may be longer.
const COLUMNS: usize = 120;

fn report(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} places:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_link_leads_somewhere() {
    let mut wrong = Vec::new();
    for page in all() {
        let folder = Path::new(&page.name).parent().expect("a file is in a folder").to_owned();
        for (line, target) in page.links() {
            let elsewhere = ["https://", "http://", "mailto:"].iter().any(|scheme| target.starts_with(scheme));
            let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
            let path = if file.is_empty() { PathBuf::from(&page.name) } else { plain(&folder.join(file)) };
            if elsewhere {
                continue;
            }
            if !repository().join(&path).exists() {
                wrong.push(format!("{}:{line}: {target}: there is no {}", page.name, path.display()));
            } else if let Some(anchor) = anchor
                && path.extension().is_some_and(|extension| extension == "md")
                && !Page::read(&path.to_string_lossy()).anchors().contains(anchor)
            {
                wrong.push(format!("{}:{line}: {target}: {} has no such heading", page.name, path.display()));
            }
        }
    }
    report(&wrong);
}

/// A path without `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => assert!(plain.pop(), "{} leads out of the repository", path.display()),
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}

#[test]
fn every_page_of_docs_is_reached_from_the_readme() {
    let pages = all();
    let (mut reached, mut next) = (BTreeSet::new(), vec!["README.md".to_owned()]);
    while let Some(name) = next.pop() {
        let Some(page) = pages.iter().find(|page| page.name == name) else { continue };
        if reached.insert(name.clone()) {
            let folder = Path::new(&name).parent().expect("a file is in a folder");
            let files = page.links().map(|(_, target)| target.split('#').next().unwrap_or_default());
            let local = files.filter(|file| !file.is_empty() && !file.contains("://"));
            next.extend(local.map(|file| plain(&folder.join(file)).to_string_lossy().into_owned()));
        }
    }
    let lost = pages.iter().filter(|page| page.name.starts_with("docs/") && page.name != "docs/SUMMARY.md");
    let lost = lost.filter(|page| !reached.contains(&page.name)).map(|page| page.name.clone());
    report(&lost.map(|name| format!("no chain of links leads from README.md to {name}")).collect::<Vec<_>>());
}

#[test]
fn every_metric_of_the_app_is_in_the_page_of_operating() {
    let source = repository().join("app/src/telemetry/metrics.rs");
    let source = std::fs::read_to_string(&source).unwrap_or_else(|e| panic!("{}: {e}", source.display()));
    let names = source.lines().filter_map(|line| line.strip_prefix("pub const ")?.split('"').nth(1));
    let names: Vec<&str> = names.filter(|name| name.starts_with("laneway_")).collect();
    assert!(names.len() >= 15, "only {names:?} were found in metrics.rs: does it look otherwise now?");
    let page = Page::read("docs/operating.md");
    let shown = |name: &&str| page.prose.iter().any(|line| line.raw.contains(&format!("`{name}`")));
    let missing = names.into_iter().filter(|name| !shown(name));
    report(&missing.map(|name| format!("docs/operating.md does not explain the metric {name}")).collect::<Vec<_>>());
}

#[test]
fn the_site_has_every_page() {
    let summary = Page::read("docs/SUMMARY.md");
    let listed: BTreeSet<_> = summary.links().map(|(_, target)| plain(&Path::new("docs").join(target))).collect();
    let pages = all().into_iter().map(|page| page.name).filter(|name| name != "docs/SUMMARY.md");
    let pages = pages.filter(|name| name.starts_with("docs/") || !name.contains('/'));
    let missing = pages.filter(|name| !listed.contains(Path::new(name)));
    report(&missing.map(|name| format!("docs/SUMMARY.md does not list {name}")).collect::<Vec<_>>());
}

#[test]
fn the_readme_is_short_and_lines_fit_a_window() {
    let text = std::fs::read_to_string(repository().join("README.md")).expect("README.md is there");
    assert!(text.lines().count() < 150, "README.md has {} lines", text.lines().count());
    let mut wrong = Vec::new();
    for page in all() {
        // One line an entry, so that branches merge; and what `tests/bench --docs` writes.
        if ["CHANGELOG.md", "docs/BENCHMARKS.md"].contains(&page.name.as_str()) {
            continue;
        }
        let mut generated = false;
        for line in &page.prose {
            generated = (generated || line.raw.contains(": begin -->")) && !line.raw.contains(": end -->");
            if generated {
                continue;
            }
            let long = line.raw.chars().count() > COLUMNS;
            let table = line.raw.trim_start().starts_with('|');
            let unbreakable = line.raw.trim().split(' ').count() < 4;
            if long && !table && !unbreakable {
                wrong.push(format!("{}:{}: {} characters", page.name, line.number, line.raw.chars().count()));
            }
        }
    }
    report(&wrong);
}

#[test]
fn every_command_is_run_by_a_test_or_it_is_said_why_not() {
    let mut wrong = Vec::new();
    for page in all() {
        for block in &page.blocks {
            if !LANGUAGES.contains(&block.language.as_str()) {
                wrong.push(format!("{}: a block in `{}`: take one of {LANGUAGES:?}", block.place, block.language));
            }
            let elsewhere = RUN_ELSEWHERE.iter().any(|(name, _)| *name == page.name);
            if block.language != "sh" || elsewhere || FOLLOWED.contains(&page.name.as_str()) {
                continue;
            }
            let unknown = commands(block).into_iter().filter(|command| !is_not_run(command));
            wrong.extend(unknown.map(|command| {
                format!(
                    "{}: no test runs `{command}`: add the page to FOLLOWED, or the command to NOT_RUN",
                    block.place
                )
            }));
        }
    }
    report(&wrong);
    assert!(NOT_RUN.iter().all(|(_, why)| !why.is_empty()));
    assert!(RUN_ELSEWHERE.iter().all(|(_, folder)| repository().join(folder).is_dir()));
}

#[test]
fn every_configuration_is_valid() {
    let mut found = 0;
    for page in all() {
        for block in page.blocks.iter().filter(|block| block.language == "toml") {
            // Without the store, which `check` would look for at its URL: docs/redis.md has a test of its own.
            let text =
                block.text.replace("url = \"redis://", "# url = \"redis://").replace("replicas = ", "# replicas = ");
            let session = Session::new();
            session.write("laneway.toml", &text);
            let secrets = "export BILLING_SECRET=whsec_dHJ5LWl0LW91dC1zZWNyZXQtb2YtdGhlLXN0YWNr \
                           ARCHIVE_URL=mongodb://user:password@host/database/events \
                           SHOP_TOKEN=0123456789abcdef0123456789abcdef BOSS_TOKEN=0123456789abcdef0123456789abcde0";
            let (success, said) = session.command(&format!("{secrets}\nlaneway check"));
            assert!(success, "{}: {said}\n{}", block.place, block.text);
            found += 1;
        }
    }
    assert!(found >= 3, "only {found} configurations were found in the pages");
}
