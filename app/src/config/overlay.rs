//! Environment variables and flags, laid over what the file says.
//!
//! `LANEWAY_SECTION__KEY` is `section.key`: two underscores part the levels, names are in upper case.
//! A destination is named by its number in the file (from 0) or by its name, in which `-` and `.`
//! are written `_`: `LANEWAY_DESTINATION__BILLING__URL`. The number after the last one makes a new
//! destination. The tokens of `[[server.token]]` are named in the same way:
//! `LANEWAY_SERVER__TOKEN__SHOP__TOKEN`. Lists are written with commas or as in the file, tables as
//! in the file (`{ initial = "1s" }`). An empty variable counts as not set.

use super::problem::{Origin, Place, Problem};
use super::tree::{Node, Table, Value};
use super::{Overrides, Source};

/// What all variables begin with.
pub(super) const PREFIX: &str = "LANEWAY_";

/// Short names of the settings that are most often set from outside.
pub const ALIASES: [(&str, &str); 7] = [
    ("LANEWAY_LISTEN", "server.listen"),
    ("LANEWAY_TOKENS", "server.tokens"),
    ("LANEWAY_STORE", "store.url"),
    ("LANEWAY_PARTITIONS", "store.partitions"),
    ("LANEWAY_EGRESS_ALLOW", "egress.allow"),
    ("LANEWAY_LOG", "log.filter"),
    ("LANEWAY_LOG_FORMAT", "log.format"),
];
/// Variables that the command line reads by itself.
pub const COMMAND_LINE: [&str; 6] = [
    "LANEWAY_CONFIG",
    "LANEWAY_URL",
    "LANEWAY_TOKEN",
    "LANEWAY_CA",
    "LANEWAY_CLIENT_CERTIFICATE",
    "LANEWAY_CLIENT_KEY",
];

/// The names of all variables that do not follow the scheme.
pub(super) fn short_names() -> Vec<&'static str> {
    ALIASES.iter().map(|(name, _)| *name).chain(COMMAND_LINE).collect()
}

/// The variable for a dotted path.
pub(crate) fn variable_of(path: &str) -> String {
    format!("{PREFIX}{}", path.to_ascii_uppercase().replace('.', "__"))
}

/// Lays all `LANEWAY_` variables over `tree`; returns those that name no setting.
pub(super) fn variables(tree: &mut Table, source: &dyn Source, problems: &mut Vec<Problem>) -> Vec<Origin> {
    let mut strays = Vec::new();
    let mut given: Vec<(String, String)> = source.vars(PREFIX).into_iter().collect();
    // Destination 10 comes after destination 2, so that each number is there when it is needed.
    given.sort_by_cached_key(|(name, _)| {
        let numbered = |part: String| (part.parse::<u32>().ok(), part);
        path_of(name).into_iter().map(numbered).collect::<Vec<_>>()
    });
    for (name, value) in given {
        if value.is_empty() || COMMAND_LINE.contains(&name.as_str()) || is_of_kubernetes(&name) {
            continue;
        }
        let origin = Origin::Variable(name.as_str().into());
        let alias = ALIASES.iter().find(|(alias, _)| *alias == name);
        let path = match alias {
            Some((_, path)) => path.split('.').map(str::to_owned).collect(),
            None => path_of(&name),
        };
        if path.len() < 2 || path.iter().any(String::is_empty) {
            strays.push(origin);
        } else if let Err(what) = set(tree, &path, &origin, value) {
            problems.push(Problem::new(origin, Place::default(), what));
        }
    }
    strays
}

/// Lays flags over `tree`.
pub(super) fn flags(tree: &mut Table, overrides: &Overrides, problems: &mut Vec<Problem>) {
    for (flag, path, value) in overrides.given() {
        let path: Vec<String> = path.split('.').map(str::to_owned).collect();
        let origin = Origin::Flag(flag);
        if let Err(what) = set(tree, &path, &origin, value.to_owned()) {
            problems.push(Problem::new(origin, Place::default(), what));
        }
    }
}

fn path_of(name: &str) -> Vec<String> {
    let rest = name.strip_prefix(PREFIX).unwrap_or(name);
    rest.split("__").map(str::to_ascii_lowercase).collect()
}

/// Kubernetes gives every container variables about each service of its namespace. With a service
/// named `laneway` they begin as ours do, and are no mistake.
fn is_of_kubernetes(name: &str) -> bool {
    let rest = name.strip_prefix(PREFIX).unwrap_or(name);
    let port = |rest: &str| {
        let mut parts = rest.split('_');
        let number = parts.next().is_some_and(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
        number && matches!(parts.next(), Some("TCP" | "UDP" | "SCTP"))
    };
    matches!(rest, "PORT" | "SERVICE_HOST" | "SERVICE_PORT")
        || rest.starts_with("SERVICE_PORT_")
        || rest.strip_prefix("PORT_").is_some_and(port)
}

fn set(tree: &mut Table, path: &[String], origin: &Origin, value: String) -> Result<(), String> {
    let raw = Node { origin: origin.clone(), value: Value::Raw(value) };
    match path {
        [section, index, key, rest @ ..] if section == "destination" => {
            let table = one_of(tree, "destination", index, origin)?;
            put(table, key, rest, raw, &format!("destination.{index}"))
        }
        [section, list, index, key, rest @ ..] if section == "server" && list == "token" => {
            let new = || Node { origin: origin.clone(), value: Value::Table(Table::new()) };
            let Value::Table(server) = &mut tree.entry(section.clone()).or_insert_with(new).value else {
                return Err("the configuration's \"server\" is not a table".to_owned());
            };
            let table = one_of(server, "token", index, origin)?;
            put(table, key, rest, raw, &format!("server.token.{index}"))
        }
        [key, rest @ ..] => put(tree, key, rest, raw, ""),
        [] => Ok(()),
    }
}

fn put(table: &mut Table, key: &str, rest: &[String], raw: Node, above: &str) -> Result<(), String> {
    let path = if above.is_empty() { key.to_owned() } else { format!("{above}.{key}") };
    let [next, rest @ ..] = rest else {
        table.insert(key.to_owned(), raw);
        return Ok(());
    };
    let new = || Node { origin: raw.origin.clone(), value: Value::Table(Table::new()) };
    let node = table.entry(key.to_owned()).or_insert_with(new);
    if matches!(&node.value, Value::Bool(_)) {
        // `breaker = false` in the file, and one of its keys in the environment.
        node.value = Value::Table(Table::new());
    }
    match &mut node.value {
        Value::Table(table) => put(table, next, rest, raw, &path),
        other => Err(format!("{path} is {}, and has nothing named {next:?}", other.kind())),
    }
}

/// The one of the tables in the list `key` that has that number or name; the number after the last makes a new one.
fn one_of<'t>(tree: &'t mut Table, key: &str, index: &str, origin: &Origin) -> Result<&'t mut Table, String> {
    let new = || Node { origin: origin.clone(), value: Value::List(Vec::new()) };
    let node = tree.entry(key.to_owned()).or_insert_with(new);
    let Value::List(items) = &mut node.value else {
        return Err(format!("the configuration's {key:?} is not a list of tables"));
    };
    let named = |node: &Node| match &node.value {
        Value::Table(table) => match table.get("name").map(|name| &name.value) {
            Some(Value::Text(name) | Value::Raw(name)) => name.replace(['-', '.'], "_") == index,
            _ => false,
        },
        _ => false,
    };
    let at = match index.parse::<usize>() {
        Ok(number) if number <= items.len() => number,
        Ok(number) => return Err(format!("there is no {key} {number}: {}", count(items.len()))),
        Err(_) => items
            .iter()
            .position(named)
            .ok_or_else(|| format!("no {key} is named {index:?}; a new one is made by its number, {}", items.len()))?,
    };
    if at == items.len() {
        items.push(Node { origin: origin.clone(), value: Value::Table(Table::new()) });
    }
    match items.get_mut(at).map(|node| &mut node.value) {
        Some(Value::Table(table)) => Ok(table),
        _ => Err(format!("{key}.{at} is not a table")),
    }
}

fn count(items: usize) -> String {
    match items {
        0 => "none is configured, and the first is number 0".to_owned(),
        n => format!("{n} are configured, and the next is number {n}"),
    }
}
