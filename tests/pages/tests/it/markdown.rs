//! What the tests need of a page: its fenced blocks, its links, the anchors of its headings.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The repository's root.
pub(super) fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("tests/pages is in the repository").to_owned()
}

/// A fenced block.
#[derive(Clone, Debug)]
pub(super) struct Block {
    /// Its page and line, for messages.
    pub(super) place: String,
    /// The first word after the opening fence: `sh`, `toml`, … or nothing.
    pub(super) language: String,
    pub(super) text: String,
}

/// A line that is not in a fenced block, without its inline code.
pub(super) struct Prose {
    pub(super) number: usize,
    pub(super) raw: String,
    pub(super) text: String,
}

/// A Markdown page of the repository.
pub(super) struct Page {
    /// Its path from the root.
    pub(super) name: String,
    pub(super) blocks: Vec<Block>,
    pub(super) prose: Vec<Prose>,
}

impl Page {
    pub(super) fn read(name: &str) -> Self {
        let path = repository().join(name);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Self::parse(name, &text)
    }

    pub(super) fn parse(name: &str, text: &str) -> Self {
        let mut page = Self { name: name.to_owned(), blocks: Vec::new(), prose: Vec::new() };
        let mut open: Option<Block> = None;
        for (number, line) in (1..).zip(text.lines()) {
            match (line.trim_start().strip_prefix("```"), &mut open) {
                (Some(_), Some(_)) => page.blocks.extend(open.take()),
                (Some(info), None) => {
                    let language = info.split_whitespace().next().unwrap_or_default().to_owned();
                    open = Some(Block { place: format!("{name}:{number}"), language, text: String::new() });
                }
                (None, Some(block)) => {
                    block.text.push_str(line);
                    block.text.push('\n');
                }
                (None, None) => {
                    page.prose.push(Prose { number, raw: line.to_owned(), text: without_code(line) });
                }
            }
        }
        assert!(open.is_none(), "{name}: a fenced block has no end");
        page
    }

    /// Targets of its links and images, with their lines.
    pub(super) fn links(&self) -> impl Iterator<Item = (usize, &str)> {
        self.prose.iter().flat_map(|line| {
            line.text.match_indices("](").filter_map(|(at, _)| {
                let rest = &line.text[at + 2..];
                rest.find(')').map(|end| (line.number, rest[..end].split(' ').next().unwrap_or_default()))
            })
        })
    }

    /// The anchors that GitHub and mdBook give its headings.
    pub(super) fn anchors(&self) -> BTreeSet<String> {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let headings = self.prose.iter().filter(|line| line.raw.starts_with('#'));
        headings
            .map(|line| {
                let slug = slug(line.raw.trim_start_matches('#').trim());
                let times = seen.entry(slug.clone()).or_default();
                *times += 1;
                if *times == 1 { slug } else { format!("{slug}-{}", *times - 1) }
            })
            .collect()
    }
}

/// A line with its inline code blanked, so that nothing in it is taken for a link.
fn without_code(line: &str) -> String {
    line.split('`').enumerate().map(|(n, part)| if n % 2 == 0 { part } else { "" }).collect()
}

fn slug(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect::<String>().to_lowercase()
}

/// Every page of the repository that git knows, in order.
pub(super) fn all() -> Vec<Page> {
    let mut names = Vec::new();
    collect(&repository(), Path::new(""), &mut names);
    names.sort();
    names.iter().map(|name| Page::read(name)).collect()
}

fn collect(root: &Path, inside: &Path, names: &mut Vec<String>) {
    for entry in std::fs::read_dir(root.join(inside)).expect("the folder can be read") {
        let entry = entry.expect("the folder can be read");
        let (name, path) = (entry.file_name(), inside.join(entry.file_name()));
        let skipped = name.to_string_lossy().starts_with('.') || name == "target" || name == "book";
        if entry.file_type().expect("it has a type").is_dir() {
            if !skipped {
                collect(root, &path, names);
            }
        } else if path.extension().is_some_and(|extension| extension == "md") {
            names.push(path.to_string_lossy().into_owned());
        }
    }
}

/// The commands of a block: lines, joined where one ends with a backslash, without comments and blank
/// lines. A block with a here-document is one command.
pub(super) fn commands(block: &Block) -> Vec<String> {
    if block.text.contains("<<") {
        return vec![block.text.clone()];
    }
    let joined = block.text.replace("\\\n", " ");
    let lines = joined.lines().map(|line| match line.split_once(" #") {
        Some((command, _)) => command.trim(),
        None => line.trim(),
    });
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}
