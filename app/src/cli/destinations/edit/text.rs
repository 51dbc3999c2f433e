//! A destination's settings as `laneway.toml` has them, and back.

use super::super::super::Failure;
use laneway_domain::DestinationName;
use serde_json::{Map, Value as Json};
use std::fmt::Write as _;
use toml::Value as Toml;

/// What stands above the text: what it is, and what was wrong with it.
pub(super) fn heading(name: &DestinationName, mistakes: &[String]) -> String {
    let mut heading = String::new();
    if !mistakes.is_empty() {
        heading.push_str("# This could not be done:\n");
        for line in mistakes.iter().flat_map(|mistake| mistake.lines()) {
            _ = writeln!(heading, "#   {line}");
        }
        heading.push_str("#\n");
    }
    _ = write!(
        heading,
        "# The settings of {name}, as laneway.toml has them. Save and leave the editor to change them; an empty file\n\
         # changes nothing. … stands for what is not shown; where it stays, that stays.\n"
    );
    heading
}

/// The settings as a table of `[[destination]]`.
pub(super) fn of(name: &DestinationName, settings: &Map<String, Json>) -> Result<String, Failure> {
    let unwritable = |e: toml::ser::Error| Failure::new(format!("the settings of {name} cannot be written: {e}"));
    let (mut text, mut tables) = (format!("[[destination]]\nname = \"{name}\"\n"), String::new());
    for (key, value) in settings {
        match value {
            Json::Object(table) => {
                _ = writeln!(tables, "\n[destination.{}]", written_key(key).map_err(unwritable)?);
                for (key, value) in table {
                    let value = Toml::try_from(value).map_err(unwritable)?;
                    _ = writeln!(tables, "{} = {value}", written_key(key).map_err(unwritable)?);
                }
            }
            other => {
                let value = Toml::try_from(other).map_err(unwritable)?;
                _ = writeln!(text, "{} = {value}", written_key(key).map_err(unwritable)?);
            }
        }
    }
    Ok(text + &tables)
}

/// A key as TOML has it. It has several kinds of quotes, and not all are for keys: its own writer knows.
fn written_key(key: &str) -> Result<String, toml::ser::Error> {
    let line = toml::to_string(&toml::Table::from_iter([(key.to_owned(), Toml::Boolean(true))]))?;
    Ok(line.trim_end().trim_end_matches(" = true").to_owned())
}

/// The settings in a text, with the name.
pub(super) fn read(text: &str) -> Result<Map<String, Json>, String> {
    let mut root: toml::Table = toml::from_str(text).map_err(|e| e.to_string())?;
    let destinations = root.remove("destination");
    if let Some(other) = root.keys().next() {
        return Err(format!("{other} is no part of a destination: there is [[destination]] here, and nothing else"));
    }
    let mut tables = match destinations {
        Some(Toml::Array(tables)) => tables,
        Some(table @ Toml::Table(_)) => vec![table],
        _ => Vec::new(),
    };
    match (tables.pop(), tables.is_empty()) {
        (Some(Toml::Table(table)), true) => Ok(table.into_iter().map(|(key, value)| (key, json(value))).collect()),
        (None, _) => Err("there is no [[destination]]; delete it with laneway destinations delete".to_owned()),
        _ => Err("there has to be one [[destination]]; laneway destinations apply takes many".to_owned()),
    }
}

/// Dates are texts in JSON.
fn json(value: Toml) -> Json {
    match value {
        Toml::String(text) => text.into(),
        Toml::Integer(number) => number.into(),
        Toml::Float(number) => number.into(),
        Toml::Boolean(yes) => yes.into(),
        Toml::Datetime(moment) => moment.to_string().into(),
        Toml::Array(items) => items.into_iter().map(json).collect(),
        Toml::Table(table) => Json::Object(table.into_iter().map(|(key, value)| (key, json(value))).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn name() -> DestinationName {
        DestinationName::new("billing").unwrap()
    }

    #[test]
    fn settings_are_written_as_in_the_configuration_file() {
        let settings = json!({
            "url": "https://billing.example/…", "types": ["invoice.*"], "rate": 50, "breaker": false,
            "secrets": [{"id": "sec_1", "created": "2026-01-31T12:00:00Z"}],
            "headers": {"x-team": "…", "x.y": "a \"quote\""}, "retry": {"factor": 1.5}
        });
        let Json::Object(settings) = settings else { unreachable!("it is an object") };
        let text = of(&name(), &settings).unwrap();
        let expected = r#"[[destination]]
name = "billing"
breaker = false
rate = 50
secrets = [{ created = "2026-01-31T12:00:00Z", id = "sec_1" }]
types = ["invoice.*"]
url = "https://billing.example/…"

[destination.headers]
x-team = "…"
"x.y" = 'a "quote"'

[destination.retry]
factor = 1.5
"#;
        assert_eq!(text, expected);
        let read = read(&format!("{}{text}", heading(&name(), &["wrong\nhere".to_owned()]))).unwrap();
        assert_eq!(read, super::super::with_name(&name(), &settings));
    }

    #[test]
    fn what_is_no_destination_is_refused() {
        for (text, why) in [
            ("# only a comment", "there is no [[destination]]"),
            ("[[destination]]\nname = 'a'\n[[destination]]\nname = 'b'", "one [[destination]]"),
            ("[server]\nlisten = 'x'\n[[destination]]\nname = 'a'", "server is no part"),
            ("destination = 3", "there is no [[destination]]"),
            ("[[destination]\n", "TOML parse error at line 1"),
        ] {
            let said = read(text).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
    }

    fn value() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            any::<String>().prop_map(Json::from)
        ];
        leaf.prop_recursive(2, 8, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
                prop::collection::btree_map(any::<String>(), inner, 0..4)
                    .prop_map(|map| Json::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_it_was(settings in prop::collection::btree_map("[a-z_]{1,8}", value(), 0..6)) {
            let mut settings: Map<String, Json> = settings.into_iter().collect();
            settings.remove("name");
            let text = of(&name(), &settings).unwrap();
            prop_assert_eq!(read(&text), Ok(super::super::with_name(&name(), &settings)));
        }
    }
}
