//! What is wrong with a configuration: where it was said, which setting it is, what would be right.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// How alike two names must be (Jaro-Winkler, 0 to 1) for one to be suggested for the other. Below
/// this, suggestions are more often wrong than right.
const ALIKE: f64 = 0.8;
/// A name that is so short (in characters) that one edit would count for too much.
const SHORT_NAME: usize = 3;
/// The most names that are listed where nothing is near; more would bury the message.
const MAX_LISTED_NAMES: usize = 40;

/// Where a setting was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In a line of a configuration file (lines count from 1).
    File {
        /// The file's path as it was given.
        name: Arc<str>,
        /// The line.
        line: usize,
    },
    /// In an environment variable of this name.
    Variable(Arc<str>),
    /// By a flag such as `--listen`.
    Flag(&'static str),
    /// A file as a whole, by its path: it cannot be read, or is no text.
    Whole(Arc<str>),
    /// In JSON: the body of a request, or what the store keeps of it.
    Json,
    /// Nowhere: it is a default, or missing.
    Nowhere,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { name, line } => write!(f, "{name}:{line}"),
            Self::Variable(name) | Self::Whole(name) => f.write_str(name),
            Self::Flag(flag) => f.write_str(flag),
            Self::Json => f.write_str("settings"),
            Self::Nowhere => f.write_str("configuration"),
        }
    }
}

/// Which table of the configuration is meant: a destination, and the path within it (or within
/// the file, outside of destinations).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    destination: Option<Arc<str>>,
    path: Vec<Cow<'static, str>>,
}

impl Place {
    /// The destination with that index and, if it has one, that name.
    pub(super) fn destination(index: usize, name: Option<&str>) -> Self {
        let destination = match name {
            Some(name) => format!("destination.{index} ({name:?})"),
            None => format!("destination.{index}"),
        };
        Self { destination: Some(destination.into()), path: Vec::new() }
    }

    /// The entry `key` of this table.
    pub(super) fn child(&self, key: impl Into<Cow<'static, str>>) -> Self {
        let path = self.path.iter().cloned().chain([key.into()]).collect();
        Self { destination: self.destination.clone(), path }
    }

    /// The path as the environment scheme spells it: `destination.0.retry`.
    pub(super) fn dotted(&self) -> String {
        let destination = self.destination.as_deref().map(|d| d.split(' ').next().unwrap_or(d));
        let parts = destination.into_iter().chain(self.path.iter().map(AsRef::as_ref));
        parts.collect::<Vec<_>>().join(".")
    }

    /// The path as JSON has it (RFC 6901); empty for all of the body.
    fn pointer(&self) -> String {
        self.path.iter().map(|part| format!("/{}", part.replace('~', "~0").replace('/', "~1"))).collect()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.destination {
            Some(destination) if self.path.is_empty() => f.write_str(destination),
            Some(destination) => write!(f, "{destination}: {}", self.path.join(".")),
            None => f.write_str(&self.path.join(".")),
        }
    }
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    origin: Origin,
    place: Place,
    what: String,
}

impl Problem {
    pub(super) fn new(origin: Origin, place: Place, what: impl Into<String>) -> Self {
        Self { origin, place, what: what.into() }
    }

    /// Whether it is about that place or one in it.
    pub(super) fn is_within(&self, place: &Place) -> bool {
        self.place.destination == place.destination && self.place.path.starts_with(&place.path)
    }

    /// Where in a JSON body it is: a JSON pointer (RFC 6901).
    #[must_use]
    pub fn pointer(&self) -> String {
        self.place.pointer()
    }

    /// What is wrong, without the place.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }

    /// For the order in which mistakes are listed: the file's from top to bottom, then the others.
    fn rank(&self) -> (usize, String) {
        match &self.origin {
            Origin::File { line, .. } => (*line, String::new()),
            other => (usize::MAX, other.to_string()),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        if self.place != Place::default() {
            write!(f, "{}: ", self.place)?;
        }
        f.write_str(&self.what)
    }
}

/// Everything that is wrong with a configuration; never empty. It shows one mistake a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    problems: Vec<Problem>,
}

impl ConfigError {
    pub(super) fn of(mut problems: Vec<Problem>) -> Self {
        problems.sort_by_cached_key(Problem::rank);
        Self { problems }
    }

    /// The file itself is the problem.
    pub(super) fn unreadable(path: &std::path::Path, what: &str) -> Self {
        let origin = Origin::Whole(path.display().to_string().into());
        Self { problems: vec![Problem::new(origin, Place::default(), what)] }
    }

    /// The mistakes, in the order of the file; those made elsewhere follow.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.problems.iter().enumerate() {
            let line_break = if n == 0 { "" } else { "\n" };
            write!(f, "{line_break}{problem}")?;
        }
        Ok(())
    }
}

/// The one of `names` that `wrong` was probably meant to be.
pub(crate) fn nearest<'n>(wrong: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let likeness = |name: &str| strsim::jaro_winkler(wrong, name).max(1.0 - distance(wrong, name));
    let scored = names.into_iter().map(|name| (likeness(name), name));
    scored.filter(|(score, _)| *score >= ALIKE).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name)
}

/// Edits (also of swapped neighbours) per character, a third more forgiving than `ALIKE`: "retyr"
/// is one swap from "retry".
fn distance(wrong: &str, name: &str) -> f64 {
    let edits = strsim::damerau_levenshtein(wrong, name);
    let longest = wrong.chars().count().max(name.chars().count()).max(1);
    // "ulr": one slip in a name of three letters is as near as one in a longer name.
    if edits == 1 && longest == SHORT_NAME {
        return 1.0 - ALIKE;
    }
    #[allow(clippy::cast_precision_loss)]
    let share = edits as f64 / longest as f64;
    share * 0.75
}

/// `; did you mean …?` or, where nothing is near, what could have been written.
pub(super) fn suggestion(wrong: &str, names: &[&str]) -> String {
    match nearest(wrong, names.iter().copied()) {
        Some(name) => format!("; did you mean {name:?}?"),
        None if names.is_empty() || names.len() > MAX_LISTED_NAMES => String::new(),
        None => format!("; known here: {}", names.join(", ")),
    }
}

/// The one of `keys` that a message begins with, so that it can be put in its place.
pub(super) fn first_word<'k>(message: &str, keys: &[&'k str]) -> &'k str {
    let word = message.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default();
    keys.iter().find(|key| **key == word).copied().unwrap_or(keys[0])
}
