//! The OpenAPI document says of a destination's settings what the reader of them knows.

use super::super::*;
use super::example::known_paths_of;
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;

fn schema() -> Json {
    laneway_http::openapi()["components"]["schemas"]["DestinationSettings"].clone()
}

/// The paths of the properties of a schema, and of those that a table in it has.
fn paths(schema: &Json, within: &str, found: &mut BTreeSet<String>) {
    let alternatives = schema["oneOf"].as_array().into_iter().flatten();
    for schema in alternatives.chain([schema]) {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{within}{name}");
            paths(property, &format!("{path}."), found);
            found.insert(path);
        }
    }
}

#[test]
fn it_has_every_setting_and_no_other() {
    let mut said = BTreeSet::new();
    paths(&schema(), "", &mut said);
    // A signing secret is written as a text; what it is shown as is no setting.
    said.retain(|path| !path.starts_with("secrets."));
    let known = known_paths_of(super::example::EXAMPLE);
    let known = known.iter().filter_map(|path| path.strip_prefix("destination."));
    // Destinations are counted in paths: destination.0.url.
    let known: BTreeSet<String> =
        known.map(|path| path.split_once('.').map_or(path, |(_, rest)| rest).to_owned()).collect();
    assert_eq!(said, known);
}

/// What is one beyond a bound of the schema is refused by the reader, and the bound itself is not.
#[test]
fn its_bounds_are_the_readers() {
    let name = laneway_domain::DestinationName::new("a").unwrap();
    let egress = EgressPolicy::default();
    let mistakes = |pointer: &str, value: Json| -> Vec<String> {
        let mut settings = json!({ "url": "https://h.example/" });
        let mut place = &mut settings;
        for key in pointer.split('.') {
            place = &mut place[key];
        }
        *place = value;
        let Json::Object(settings) = settings else { unreachable!("it is an object") };
        let read = read_settings(&name, settings, References::Refused, &egress);
        read.problems.iter().map(|problem| problem.pointer()).collect()
    };
    let mut tried = 0;
    let mut check = |pointer: &str, good: Json, bad: Json| {
        let place = format!("/{}", pointer.replace('.', "/"));
        let of_it = |found: Vec<String>| found.iter().any(|found| found.starts_with(&place));
        assert!(!of_it(mistakes(pointer, good.clone())), "{pointer}: {good} is refused");
        assert!(of_it(mistakes(pointer, bad.clone())), "{pointer}: {bad} is taken");
        tried += 1;
    };
    let mut all = BTreeSet::new();
    paths(&schema(), "", &mut all);
    for path in all.iter().filter(|path| !path.starts_with("secrets.")) {
        let mut said = schema();
        for key in path.split('.') {
            let tables = said["oneOf"].as_array().cloned().unwrap_or_default();
            let inner = tables.iter().chain([&said]).map(|table| table["properties"][key].clone());
            let inner = inner.into_iter().find(|it| !it.is_null()).unwrap();
            said = inner;
        }
        let one_less =
            |bound: &Json| bound.as_i64().map_or_else(|| json!(bound.as_f64().unwrap() - 0.5), |it| json!(it - 1));
        let one_more =
            |bound: &Json| bound.as_i64().map_or_else(|| json!(bound.as_f64().unwrap() + 0.5), |it| json!(it + 1));
        if let Some(least) = said.get("minimum") {
            check(path, least.clone(), one_less(least));
        }
        if let Some(most) = said.get("maximum") {
            check(path, most.clone(), one_more(most));
        }
        let bounded = &said["items"];
        if let (Some(least), Some(most)) = (bounded.get("minimum"), bounded.get("maximum")) {
            check(path, json!([least]), json!([one_less(least)]));
            check(path, json!([most]), json!([one_more(most)]));
        }
        for word in said["enum"].as_array().into_iter().flatten() {
            if path != "mode" {
                check(path, word.clone(), json!("no-such-word"));
            }
        }
        if said["minItems"] == 1 {
            check(path, json!(["x"]), json!([]));
        }
    }
    assert!(tried > 20, "{tried}");
}
