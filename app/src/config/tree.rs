//! A configuration as it was written, each value with where it was written.

use super::problem::{Origin, Place, Problem};
use std::collections::BTreeMap;
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The deepest nesting that is read. Nothing in a configuration lies deeper than four.
const MAX_DEPTH: usize = 16;
/// The most dots in one line outside of anything: each is a level of nesting that the parser
/// would follow, and no line of a sensible file has as many.
const MAX_DOTS_IN_A_LINE: usize = 1000;

/// Entries by key.
pub(super) type Table = BTreeMap<String, Node>;

/// A value and where it comes from. (No `Debug`: it may be a secret.)
pub(super) struct Node {
    pub(super) origin: Origin,
    pub(super) value: Value,
}

/// A value that nobody has given a meaning yet.
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    Moment,
    List(Vec<Node>),
    Table(Table),
    /// From a variable or a flag: text that is to be read as whatever the setting is.
    Raw(String),
}

impl Value {
    /// What kind of value it is, for "expected …, found …".
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) | Self::Raw(_) => "text",
            Self::Integer(_) => "a whole number",
            Self::Float(_) => "a number",
            Self::Bool(_) => "true or false",
            Self::Moment => "a date or time",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

/// What the parser says where a key comes a second time.
const DUPLICATE: &str = "duplicate key";

/// Whether this is a key of TOML, and nothing but one: of what else the parser points to, nothing is shown.
fn is_key(text: &str) -> bool {
    let bare = text.trim_matches('"');
    !bare.is_empty() && bare.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

/// Reads a file's text. Mistakes of syntax go to `problems`; what could be read is returned.
pub(super) fn parse(text: &str, name: &str, problems: &mut Vec<Problem>) -> Table {
    let file = File { name: name.into(), line_starts: line_starts(text) };
    if let Some(line) = text.lines().position(|line| line.matches('.').count() > MAX_DOTS_IN_A_LINE) {
        let origin = Origin::File { name: file.name, line: line + 1 };
        let what = format!("the line has more than {MAX_DOTS_IN_A_LINE} dots");
        problems.push(Problem::new(origin, Place::default(), what));
        return Table::new();
    }
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let origin = error.span().map_or(Origin::Nowhere, |span| file.origin(span.start));
        // Only the message: the parser's own rendering quotes the line, which may hold a secret. A key does not.
        let mut what = error.message().replace('\n', ", ");
        if what == DUPLICATE
            && let Some(key) = error.span().and_then(|span| text.get(span)).filter(|key| is_key(key))
        {
            what = format!("{what} {key}: it stands there more than once");
        }
        problems.push(Problem::new(origin, Place::default(), what));
    }
    file.table(table.into_inner(), 0, problems)
}

/// The same from JSON. What is `null` counts as absent.
pub(super) fn of_json(entries: serde_json::Map<String, serde_json::Value>) -> Table {
    use serde_json::Value as Json;
    let node = |value| Node { origin: Origin::Json, value };
    fn value(json: Json) -> Value {
        match json {
            Json::Null => Value::Moment,
            Json::Bool(yes) => Value::Bool(yes),
            Json::Number(number) => match number.as_i64() {
                Some(number) => Value::Integer(number),
                None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => Value::Text(text),
            Json::Array(items) => {
                Value::List(items.into_iter().map(|item| Node { origin: Origin::Json, value: value(item) }).collect())
            }
            Json::Object(entries) => Value::Table(of_json(entries)),
        }
    }
    entries.into_iter().filter(|(_, json)| !json.is_null()).map(|(key, json)| (key, node(value(json)))).collect()
}

/// Reads a value as it is written behind `=` in a file: for lists and tables from variables.
pub(super) fn parse_value(text: &str, origin: &Origin) -> Result<Value, String> {
    let not_a_value =
        |e: &toml::de::Error| format!("cannot be read as a TOML value: {}", e.message().replace('\n', ", "));
    if text.matches('.').count() > MAX_DOTS_IN_A_LINE {
        return Err(format!("has more than {MAX_DOTS_IN_A_LINE} dots"));
    }
    let value = DeValue::parse(text).map_err(|e| not_a_value(&e))?;
    let mut problems = Vec::new();
    let reader = File { name: Arc::from(""), line_starts: vec![0] };
    let mut node = reader.node(value, origin.clone(), 0, &mut problems);
    set_origin(&mut node, origin);
    if problems.is_empty() { Ok(node.value) } else { Err("is nested too deeply".to_owned()) }
}

fn set_origin(node: &mut Node, origin: &Origin) {
    node.origin = origin.clone();
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(|item| set_origin(item, origin)),
        Value::Table(table) => table.values_mut().for_each(|item| set_origin(item, origin)),
        _ => {}
    }
}

/// What turns positions into lines.
struct File {
    name: Arc<str>,
    line_starts: Vec<usize>,
}

fn line_starts(text: &str) -> Vec<usize> {
    std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect()
}

impl File {
    fn origin(&self, position: usize) -> Origin {
        let line = self.line_starts.partition_point(|start| *start <= position);
        Origin::File { name: Arc::clone(&self.name), line }
    }

    fn table(&self, table: DeTable<'_>, depth: usize, problems: &mut Vec<Problem>) -> Table {
        let entries = table.into_iter().map(|(key, value)| {
            let origin = self.origin(key.span().start);
            (key.into_inner().into_owned(), self.node(value, origin, depth, problems))
        });
        entries.collect()
    }

    fn node(&self, value: Spanned<DeValue<'_>>, origin: Origin, depth: usize, problems: &mut Vec<Problem>) -> Node {
        if depth > MAX_DEPTH {
            problems.push(Problem::new(origin.clone(), Place::default(), "this is nested too deeply"));
            return Node { origin, value: Value::Moment };
        }
        let value = match value.into_inner() {
            DeValue::String(text) => Value::Text(text.into_owned()),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Value::Integer(number),
                Err(_) => Value::Float(f64::INFINITY),
            },
            DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(yes) => Value::Bool(yes),
            DeValue::Datetime(_) => Value::Moment,
            DeValue::Array(items) => {
                let node = |item: Spanned<DeValue<'_>>| {
                    let origin = self.origin(item.span().start);
                    self.node(item, origin, depth + 1, problems)
                };
                Value::List(items.into_iter().map(node).collect())
            }
            DeValue::Table(table) => Value::Table(self.table(table, depth + 1, problems)),
        };
        Node { origin, value }
    }
}
