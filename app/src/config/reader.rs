//! Reads the settings of one table after another, and remembers every mistake on the way, so that
//! all of them are reported at once.

use super::problem::{ConfigError, Origin, Place, Problem, nearest, suggestion};
use super::setting::Setting;
use super::tree::{self, Node, Table, Value};
use super::written::Written;
use super::{Source, overlay};
use serde_json::{Map, Value as Json};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::rc::Rc;

/// What reading a configuration has found out so far.
pub(super) struct Findings<'s> {
    pub(super) source: &'s dyn Source,
    problems: RefCell<Vec<Problem>>,
    /// Every path that some table was asked for: what unknown variables are compared with. `None` without variables.
    paths: Option<RefCell<Vec<String>>>,
    /// Variables that lead to no setting.
    strays: RefCell<Vec<Origin>>,
}

impl<'s> Findings<'s> {
    pub(super) fn new(source: &'s dyn Source, problems: Vec<Problem>, strays: Vec<Origin>) -> Self {
        let (problems, strays) = (RefCell::new(problems), RefCell::new(strays));
        // With 80,000 destinations these are millions of paths.
        let paths = (!source.vars(overlay::PREFIX).is_empty()).then(RefCell::default);
        Self { source, problems, paths, strays }
    }

    pub(super) fn problem(&self, origin: Origin, place: Place, what: impl Into<String>) {
        self.problems.borrow_mut().push(Problem::new(origin, place, what));
    }

    /// The mistakes.
    pub(super) fn take(&self) -> Vec<Problem> {
        self.problems.take()
    }

    /// Every path that some table was asked for.
    #[cfg(test)]
    pub(super) fn paths(&self) -> Vec<String> {
        self.paths.as_ref().map(|paths| paths.borrow().clone()).unwrap_or_default()
    }

    /// What was read, unless there were mistakes.
    pub(super) fn conclude<T>(&self, read: T) -> Result<T, ConfigError> {
        let mut problems = self.problems.take();
        self.judge_strays(&mut problems);
        if problems.is_empty() { Ok(read) } else { Err(ConfigError::of(problems)) }
    }

    /// Variables without a setting get their suggestions last, when all settings are known.
    fn judge_strays(&self, problems: &mut Vec<Problem>) {
        let mut strays = self.strays.take();
        // Without variables no path was noted.
        let Some(paths) = self.paths.as_ref().filter(|_| !strays.is_empty()) else { return };
        let names: Vec<String> = paths.borrow().iter().map(|path| overlay::variable_of(path)).collect();
        let known = || names.iter().map(String::as_str).chain(overlay::short_names());
        strays.sort_by_key(ToString::to_string);
        strays.dedup();
        for origin in strays {
            let name = origin.to_string();
            // All begin alike, which must not count as likeness.
            let rest = |name: &'_ str| name.len().min(overlay::PREFIX.len());
            let tails = known().map(|name| &name[rest(name)..]);
            let meant = match nearest(&name[rest(&name)..], tails) {
                Some(meant) => format!("; did you mean {}{meant}?", overlay::PREFIX),
                None => "; settings are LANEWAY_SECTION__KEY (see laneway.example.toml)".to_owned(),
            };
            problems.push(Problem::new(origin, Place::default(), format!("no setting has this variable{meant}")));
        }
    }
}

/// One table: its entries are asked for by name, and what is left in the end is unknown.
pub(super) struct Section<'f, 's> {
    pub(super) findings: &'f Findings<'s>,
    pub(super) place: Place,
    pub(super) origin: Origin,
    table: Table,
    asked: Vec<(&'static str, Origin)>,
    /// What was read of the outermost table, and where in it this one is.
    written: Rc<RefCell<Written>>,
    within: Vec<&'static str>,
}

impl<'f, 's> Section<'f, 's> {
    pub(super) fn new(findings: &'f Findings<'s>, place: Place, origin: Origin, table: Table) -> Self {
        Self { findings, place, origin, table, asked: Vec::new(), written: Rc::default(), within: Vec::new() }
    }

    /// A table in this one.
    fn inner(&self, key: &'static str, origin: Origin, table: Table) -> Section<'f, 's> {
        let within = self.within.iter().copied().chain([key]).collect();
        let (place, written) = (self.place.child(key), Rc::clone(&self.written));
        Section { written, within, ..Section::new(self.findings, place, origin, table) }
    }

    /// What was read of the table so far, and of those in it.
    pub(super) fn written(&self) -> Written {
        self.written.borrow().clone()
    }

    fn note(&self, key: &str, shown: Json, hidden: Option<Json>) {
        self.written.borrow_mut().note(&self.within, key, shown, hidden);
    }

    fn note_setting(&self, key: &str, setting: &impl Setting) {
        self.note(key, setting.json(), setting.hidden());
    }

    /// Whether the table says anything about `key` (before or after it was read).
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key) || self.asked.iter().any(|(k, origin)| *k == key && *origin != Origin::Nowhere)
    }

    /// Whether something was found to be wrong with the setting `key`.
    pub(super) fn has_mistakes(&self, key: &str) -> bool {
        let place = self.place.child(key.to_owned());
        self.findings.problems.borrow().iter().any(|problem| problem.is_within(&place))
    }

    /// Text that is needed before its turn (a destination's name), without taking it.
    pub(super) fn peek_text(&self, key: &str) -> Option<&str> {
        match &self.table.get(key)?.value {
            Value::Text(text) | Value::Raw(text) => Some(text),
            _ => None,
        }
    }

    fn take(&mut self, key: &'static str) -> Option<Node> {
        if let Some(paths) = &self.findings.paths {
            paths.borrow_mut().push(self.place.child(key).dotted());
        }
        let node = self.table.remove(key);
        let origin = node.as_ref().map_or(Origin::Nowhere, |node| node.origin.clone());
        self.asked.push((key, origin));
        node
    }

    /// Takes the setting `key` as it is: it is known, and whether it makes sense is not asked.
    pub(super) fn set_aside(&mut self, key: &'static str) {
        self.take(key);
    }

    /// Whether it comes from somebody who must not read this machine's environment.
    #[cfg(feature = "mongodb")]
    pub(super) fn refuses_references(&self) -> bool {
        self.findings.source.references() == super::References::Refused
    }

    /// Notes a mistake in the setting `key`.
    pub(super) fn problem(&self, key: &str, what: impl Into<String>) {
        let asked = self.asked.iter().find(|(k, _)| *k == key).map(|(_, origin)| origin.clone());
        let origin = asked.filter(|origin| *origin != Origin::Nowhere).unwrap_or_else(|| self.origin.clone());
        self.findings.problem(origin, self.place.child(key.to_owned()), what);
    }

    /// Notes a mistake in the entry `index` (from 0, as variables count) of the list `key`.
    pub(super) fn problem_in(&self, key: &str, index: usize, what: impl Into<String>) {
        let asked = self.asked.iter().find(|(k, _)| *k == key).map(|(_, origin)| origin.clone());
        let origin = asked.filter(|origin| *origin != Origin::Nowhere).unwrap_or_else(|| self.origin.clone());
        self.findings.problem(origin, self.place.child(key.to_owned()).child(index.to_string()), what);
    }

    /// Notes that the table says nothing about `key`, but must.
    pub(super) fn missing(&self, key: &str, what: &str) {
        self.findings.problem(self.origin.clone(), self.place.clone(), format!("{key} {what}"));
    }

    /// The setting `key`, if it was made and makes sense.
    pub(super) fn get<T: Setting>(&mut self, key: &'static str) -> Option<T> {
        let node = self.take(key)?;
        let read = self.read(&node, self.place.child(key))?;
        self.note_setting(key, &read);
        Some(read)
    }

    /// The setting `key`, or `default`.
    pub(super) fn or<T: Setting>(&mut self, key: &'static str, default: T) -> T {
        self.get(key).unwrap_or(default)
    }

    /// The setting `key` if it lies within `range`, or `default`.
    pub(super) fn within<T: Setting + PartialOrd>(
        &mut self,
        key: &'static str,
        default: T,
        range: RangeInclusive<T>,
    ) -> T {
        match self.get::<T>(key) {
            Some(value) if !range.contains(&value) => {
                let (low, high) = (range.start().show(), range.end().show());
                self.problem(key, format!("{} is out of bounds; use {low} to {high}", value.show()));
                default
            }
            found => found.unwrap_or(default),
        }
    }

    /// The setting `key` as one of a few words, or `default`.
    pub(super) fn choice<T: Copy>(&mut self, key: &'static str, default: T, words: &[(&str, T)]) -> T {
        let Some(word) = self.get::<String>(key) else { return default };
        if let Some((_, choice)) = words.iter().find(|(known, _)| *known == word) {
            return *choice;
        }
        let all: Vec<String> = words.iter().map(|(known, _)| format!("{known:?}")).collect();
        let meant = nearest(&word, words.iter().map(|(known, _)| *known));
        let meant = meant.map(|meant| format!("; did you mean {meant:?}?")).unwrap_or_default();
        self.problem(key, format!("{word:?} is none of {}{meant}", all.join(", ")));
        default
    }

    /// The items of the list `key` that make sense; none if it is absent.
    pub(super) fn list<T: Setting>(&mut self, key: &'static str) -> Vec<T> {
        self.numbered_list(key).into_iter().map(|(_, item)| item).collect()
    }

    /// The same, each with its place in the list as it was written (from 0).
    pub(super) fn numbered_list<T: Setting>(&mut self, key: &'static str) -> Vec<(usize, T)> {
        let Some(node) = self.take(key) else { return Vec::new() };
        let items = match node.value {
            Value::List(items) => items,
            Value::Raw(text) if text.trim_start().starts_with('[') => match tree::parse_value(&text, &node.origin) {
                Ok(Value::List(items)) => items,
                Ok(_) => Vec::new(),
                Err(what) => {
                    self.problem(key, what);
                    return Vec::new();
                }
            },
            Value::Raw(text) => separated(&text, &node.origin),
            other => {
                self.problem(key, format!("expected a list, found {}", other.kind()));
                return Vec::new();
            }
        };
        let read = |(n, item): (usize, &Node)| Some((n, self.read(item, self.place.child(key).child(n.to_string()))?));
        let read: Vec<(usize, T)> = items.iter().enumerate().filter_map(read).collect();
        let shown = read.iter().map(|(_, item)| item.json()).collect();
        let hidden = read.iter().any(|(_, item)| item.hidden().is_some());
        let all = hidden.then(|| read.iter().map(|(_, item)| item.hidden().unwrap_or_else(|| item.json())).collect());
        self.note(key, shown, all);
        read
    }

    /// The items of the list `key`, which may also be one item without a list around it.
    pub(super) fn one_or_more<T: Setting>(&mut self, key: &'static str) -> Vec<T> {
        if let Some(Value::Text(_)) = self.table.get(key).map(|node| &node.value) {
            return self.get(key).into_iter().collect();
        }
        self.list(key)
    }

    /// The entries of the table `key`, whose names are the operator's own.
    pub(super) fn map<T: Setting>(&mut self, key: &'static str) -> BTreeMap<String, T> {
        let Some(table) = self.take(key).and_then(|node| self.table_of(key, node)) else { return BTreeMap::new() };
        let place = self.place.child(key);
        let read = |(name, node): (String, Node)| Some((self.read(&node, place.child(name.clone()))?, name));
        let read: BTreeMap<String, T> = table.1.into_iter().filter_map(read).map(|(v, name)| (name, v)).collect();
        let shown: Map<String, Json> = read.iter().map(|(name, value)| (name.clone(), value.json())).collect();
        let hidden = |(name, value): (&String, &T)| Some((name.clone(), value.hidden()?));
        let hidden: Map<String, Json> = read.iter().filter_map(hidden).collect();
        self.note(key, shown.into(), (!hidden.is_empty()).then(|| hidden.into()));
        read
    }

    /// The table `key`; without an entry if it is absent.
    pub(super) fn section(&mut self, key: &'static str) -> Section<'f, 's> {
        let found = self.take(key).and_then(|node| self.table_of(key, node));
        let (origin, table) = found.unwrap_or((Origin::Nowhere, Table::new()));
        self.inner(key, origin, table)
    }

    /// The table `key`, `Some(None)` if it is `false`, and `None` if it is absent (or is wrong).
    pub(super) fn section_or_false(&mut self, key: &'static str) -> Option<Option<Section<'f, 's>>> {
        let node = self.take(key)?;
        let no = || {
            self.note(key, Json::from(false), None);
            Some(None)
        };
        match &node.value {
            Value::Bool(false) => no(),
            Value::Raw(text) if text == "false" => no(),
            Value::Bool(true) => None,
            Value::Table(_) | Value::Raw(_) => {
                let (origin, table) = self.table_of(key, node)?;
                Some(Some(self.inner(key, origin, table)))
            }
            other => {
                self.problem(key, format!("expected a table or false, found {}", other.kind()));
                None
            }
        }
    }

    /// The tables of the list `key`.
    pub(super) fn tables(&mut self, key: &'static str) -> Vec<(Origin, Table)> {
        let Some(node) = self.take(key) else { return Vec::new() };
        match node.value {
            Value::List(items) => items.into_iter().filter_map(|item| self.table_of(key, item)).collect(),
            other => {
                let expected = format!("expected tables, written [[{key}]], found {}", other.kind());
                self.problem(key, expected);
                Vec::new()
            }
        }
    }

    fn table_of(&self, key: &str, node: Node) -> Option<(Origin, Table)> {
        let value = match node.value {
            Value::Raw(text) => match tree::parse_value(&text, &node.origin) {
                Ok(value) => value,
                Err(what) => {
                    self.problem(key, what);
                    return None;
                }
            },
            other => other,
        };
        match value {
            Value::Table(table) => Some((node.origin, table)),
            other => {
                self.problem(key, format!("expected a table, found {}", other.kind()));
                None
            }
        }
    }

    fn read<T: Setting>(&self, node: &Node, place: Place) -> Option<T> {
        let read = T::read(&node.value, self.findings.source);
        read.map_err(|what| self.findings.problem(node.origin.clone(), place, what)).ok()
    }

    /// Reports whatever nobody asked for.
    pub(super) fn finish(self) {
        let known: Vec<&str> = self.asked.iter().map(|(key, _)| *key).collect();
        for (key, node) in &self.table {
            if matches!(node.origin, Origin::Variable(_)) {
                self.findings.strays.borrow_mut().push(node.origin.clone());
                continue;
            }
            let what = format!("unknown key {key:?}{}", suggestion(key, &known));
            // JSON has no lines by which a key would be found.
            let place = if node.origin == Origin::Json { self.place.child(key.clone()) } else { self.place.clone() };
            self.findings.problem(node.origin.clone(), place, what);
        }
    }
}

/// The items of a list written with commas between them, as in a variable.
fn separated(text: &str, origin: &Origin) -> Vec<Node> {
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    items.map(|item| Node { origin: origin.clone(), value: Value::Raw(item.to_owned()) }).collect()
}
