//! The settings of a destination as the fields of a form, and back. Nothing here knows of pages.
//!
//! The settings that most destinations have are fields of their own. All others stand in one field, as JSON: so there is
//! none that the form could not show or set, also of a kind that is yet to come.

use crate::form::Form;
use serde_json::{Map, Value, json};

/// How a field is filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A text.
    Text,
    /// A number, or nothing.
    Number,
    /// A list, separated by commas or lines.
    List,
    /// One of these; the first is the default.
    Choice(&'static [&'static str]),
}

/// A field of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    /// The setting, and the name of the field.
    pub(crate) name: &'static str,
    pub(crate) label: &'static str,
    pub(crate) help: &'static str,
    pub(crate) kind: Kind,
}

/// The fields of their own, in their order.
pub(crate) const FIELDS: [Field; 8] = [
    Field { name: "url", label: "URL", help: "https://…, or mongodb://…/db/collection", kind: Kind::Text },
    Field { name: "types", label: "Types", help: "order.*, invoice.paid; all if it is empty", kind: Kind::List },
    Field {
        name: "ordering",
        label: "Ordering",
        help: "key: per key; strict: all in one order; none. Cannot be changed later",
        kind: Kind::Choice(&["key", "strict", "none"]),
    },
    Field { name: "max_in_flight", label: "Most in flight", help: "attempts at the same time", kind: Kind::Number },
    Field { name: "rate", label: "Rate", help: "attempts a second at most", kind: Kind::Number },
    Field { name: "timeout", label: "Timeout", help: "of a whole exchange, such as 15s", kind: Kind::Text },
    Field { name: "max_age", label: "Waits at most", help: "such as 7d; for ever if it is empty", kind: Kind::Text },
    Field {
        name: "on_give_up",
        label: "When retries are used up",
        help: "dead-letter: the key goes on; hold: the key waits for you",
        kind: Kind::Choice(&["dead-letter", "hold"]),
    },
];

/// The name of the field with all others.
pub(crate) const OTHERS: &str = "others";

/// What stands in a field that has this value.
fn written(field: &Field, value: &Value) -> Option<String> {
    match (field.kind, value) {
        (Kind::Text, Value::String(text)) => Some(text.clone()),
        (Kind::Number, Value::Number(number)) => Some(number.to_string()),
        (Kind::Choice(all), Value::String(text)) => all.contains(&&**text).then(|| text.clone()),
        (Kind::List, Value::Array(items)) => {
            let texts: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
            let texts = texts?;
            // What would be cut apart when it is read again stands with the others.
            let plain =
                texts.iter().all(|text| !text.is_empty() && !text.contains([',', '\n', '\r']) && text.trim() == *text);
            plain.then(|| texts.join(", "))
        }
        _ => None,
    }
}

/// The form that has these settings: each field with its text, the others last.
pub(crate) fn form_of(settings: &Map<String, Value>) -> Form {
    let mut others = settings.clone();
    let mut fields: Vec<(String, String)> = Vec::new();
    for field in &FIELDS {
        if let Some(text) = settings.get(field.name).and_then(|value| written(field, value)) {
            others.remove(field.name);
            fields.push((field.name.to_owned(), text));
        }
    }
    if !others.is_empty() {
        let text = serde_json::to_string_pretty(&others).unwrap_or_default();
        fields.push((OTHERS.to_owned(), text));
    }
    Form::new(fields)
}

/// The settings of a form; or what is wrong with it, field by field.
pub(crate) fn settings_of(form: &Form) -> Result<Map<String, Value>, Vec<(String, String)>> {
    let mut wrong = Vec::new();
    let others = form.get(OTHERS).trim();
    let read = if others.is_empty() { Ok(Map::new()) } else { serde_json::from_str::<Map<String, Value>>(others) };
    let mut settings = read.unwrap_or_else(|error| {
        wrong.push((OTHERS.to_owned(), format!("this is no JSON object: {error}")));
        Map::new()
    });
    for field in &FIELDS {
        let text = form.get(field.name).trim();
        if text.is_empty() {
            continue;
        }
        if settings.contains_key(field.name) {
            wrong.push((
                OTHERS.to_owned(),
                format!("{:?} is a field of its own, and is filled in there too", field.name),
            ));
            continue;
        }
        let value = match field.kind {
            Kind::Text => json!(text),
            Kind::Choice(all) if Some(&text) == all.first() => continue,
            Kind::Choice(_) => json!(text),
            Kind::List => {
                json!(text.split([',', '\n']).map(str::trim).filter(|part| !part.is_empty()).collect::<Vec<_>>())
            }
            Kind::Number => match text.parse::<serde_json::Number>() {
                Ok(number) => Value::Number(number),
                Err(_) => {
                    wrong.push((field.name.to_owned(), format!("{text:?} is no number")));
                    continue;
                }
            },
        };
        settings.insert(field.name.to_owned(), value);
    }
    if wrong.is_empty() { Ok(settings) } else { Err(wrong) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(value: Value) -> Map<String, Value> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn settings_become_fields_and_fields_become_settings() {
        let settings =
            of(json!({"url": "https://a.example", "types": ["order.*", "x"], "rate": 5, "on_give_up": "hold",
            "retry": {"initial": "1s"}, "secrets": [{"id": "sec_1"}]}));
        let form = form_of(&settings);
        assert_eq!((form.get("url"), form.get("types"), form.get("rate")), ("https://a.example", "order.*, x", "5"));
        assert!(form.get(OTHERS).contains("\"retry\"") && !form.get(OTHERS).contains("url"));
        assert_eq!(settings_of(&form).unwrap(), settings);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_field() {
        let form =
            |pairs: &[(&str, &str)]| Form::new(pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect());
        let wrong = |pairs: &[(&str, &str)]| settings_of(&form(pairs)).unwrap_err().remove(0).0;
        assert_eq!(wrong(&[("rate", "many")]), "rate");
        assert_eq!(wrong(&[(OTHERS, "{")]), OTHERS);
        assert_eq!(wrong(&[(OTHERS, "[1]")]), OTHERS);
        assert_eq!(wrong(&[("url", "https://a"), (OTHERS, r#"{"url":"https://b"}"#)]), OTHERS);
        // The default need not be said, and nothing is nothing.
        assert_eq!(
            settings_of(&form(&[("ordering", "key"), ("types", " , \n"), ("rate", " ")])).unwrap(),
            of(json!({"types": []}))
        );
    }

    proptest! {
        /// Whatever the interface shows can be edited, and is the same if nothing is changed.
        #[test]
        fn no_setting_gets_lost(
            url in "[^\\p{Cc}]{0,30}", types in proptest::collection::vec("[^\\p{Cc}]{0,10}", 0..4), number in any::<i64>(),
            ordering in "key|strict|none|other", name in "[a-z]{1,8}",
        ) {
            let settings = of(json!({"url": url, "types": types, "rate": number, name: {"a": [number]}, "ordering": ordering}));
            let read = settings_of(&form_of(&settings)).unwrap();
            let mut expected = settings;
            // What stands for the default is the default.
            for (name, default) in [("ordering", json!("key")), ("types", json!([])), ("url", json!(""))] {
                if expected.get(name) == Some(&default) { expected.remove(name); }
            }
            // A text has no room around it.
            if let Some(Value::String(url)) = expected.get("url") {
                let trimmed = url.trim().to_owned();
                if trimmed.is_empty() { expected.remove("url"); } else { expected.insert("url".into(), json!(trimmed)); }
            }
            prop_assert_eq!(read, expected);
        }
    }
}
