//! The document has every route, every error, and every field that goes over the wire.

mod complete;
mod fields;
mod store;
mod tenants;

use super::*;
use crate::wire;
use std::collections::BTreeSet;

fn said() -> BTreeMap<String, Said> {
    serde_json::from_str(OPERATIONS).unwrap()
}

#[test]
fn every_route_is_said_something_of_and_nothing_else_is() {
    let said = said();
    let named: BTreeSet<String> = said.keys().cloned().collect();
    let there: BTreeSet<String> = routes().map(|route| format!("{} {}", route.method, route.path)).collect();
    assert_eq!(named, there);
    let ids: BTreeSet<&str> = said.values().map(|said| said.id.as_str()).collect();
    assert_eq!(ids.len(), said.len(), "an id stands twice");
    let document = openapi();
    for route in routes() {
        let operation = &document["paths"][route.path][route.method.to_ascii_lowercase()];
        assert_eq!(operation["x-laneway-role"].as_str(), route.role.map(laneway_domain::Role::name), "{route:?}");
    }
}

/// Where a name stands in a path, no route of the same method has a word: it would hide what is called like it. (Of
/// another method it hides it too; `operator::by_its_own_path` finds the one that there is.)
#[test]
fn no_word_of_a_path_stands_where_a_name_can() {
    let parts = |route: Route| std::iter::once(route.method).chain(route.path.split('/')).collect();
    let all: Vec<Vec<&str>> = routes().map(parts).collect();
    let is_name = |part: &&str| part.starts_with('{');
    for (one, other) in all.iter().flat_map(|one| all.iter().map(move |other| (one, other))) {
        let alike = |(a, b): (&&str, &&str)| a == b || is_name(a) || is_name(b);
        if one.len() == other.len() && one.iter().zip(other).all(alike) {
            let hidden = one.iter().zip(other).find(|(a, b)| is_name(a) != is_name(b));
            assert_eq!(hidden, None, "{} and {}", one.join("/"), other.join("/"));
        }
    }
}

#[test]
fn every_error_is_in_it() {
    let document = openapi();
    let types = &document["components"]["schemas"]["ProblemType"];
    let named: BTreeSet<&str> = types["examples"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
    for kind in Kind::ALL {
        let status = kind.title_and_status().1.as_u16();
        assert_eq!(types["x-laneway-problems"][kind.name()]["status"], status, "{kind:?}");
    }
    let there: Vec<String> = Kind::ALL.iter().map(|kind| format!("{}{}", wire::PROBLEM_TYPES, kind.name())).collect();
    assert_eq!(named, there.iter().map(String::as_str).collect());
}

#[test]
fn every_reference_leads_somewhere_and_every_schema_is_used() {
    fn references<'j>(json: &'j Json, found: &mut BTreeSet<&'j str>) {
        match json {
            Json::Object(entries) => entries.iter().for_each(|(key, value)| match value {
                Json::String(to) if key == "$ref" => drop(found.insert(to.as_str())),
                other => references(other, found),
            }),
            Json::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    let document = openapi();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    for to in &found {
        assert!(document.pointer(to.strip_prefix('#').unwrap()).is_some(), "{to}");
    }
    for schema in document["components"]["schemas"].as_object().unwrap().keys() {
        assert!(found.contains(format!("#/components/schemas/{schema}").as_str()), "nothing refers to {schema}");
    }
}

/// Every kind of problem can be met somewhere, and what the files name is one. (405 is what no operation answers.)
#[test]
fn every_kind_of_problem_is_some_operations() {
    let known: BTreeSet<&str> = Kind::ALL.iter().map(|kind| kind.name()).chain(["store"]).collect();
    let mut met = BTreeSet::from([Kind::MethodNotAllowed.name()]);
    for (operation, said) in &said() {
        let route = routes().find(|route| format!("{} {}", route.method, route.path) == *operation).unwrap();
        met.extend(problems(&route, said).iter().map(|kind| kind.name()));
        for name in &said.problems {
            assert!(known.contains(name.as_str()), "{operation}: {name}");
        }
        for (example, Example { media, status, .. }) in &said.examples {
            let media = media.as_deref().unwrap_or("application/json");
            assert!(said.body.contains_key(media), "{operation}, {example}: {media}");
            let answered = said.answers.contains_key(&status.to_string())
                || problems(&route, said).iter().any(|kind| kind.statuses().any(|known| known.as_u16() == *status));
            assert!(answered, "{operation}, {example}: {status}");
        }
    }
    assert_eq!(met, Kind::ALL.iter().map(|kind| kind.name()).collect());
}

/// `UPDATE_OPENAPI=1 cargo nextest run -E 'test(kept_in_the_documentation)'` writes it anew.
#[test]
fn what_is_kept_in_the_documentation_is_this_document() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
    let Ok(kept) = std::fs::read_to_string(path) else {
        // A published package comes without the documentation.
        assert!(
            !std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs")).exists(),
            "{path} is missing"
        );
        return;
    };
    let document = openapi();
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(path, serde_json::to_string_pretty(&document).unwrap() + "\n").unwrap();
        return;
    }
    let kept: Json = serde_json::from_str(&kept).unwrap();
    assert!(kept == document, "docs/openapi.json is not current: see this test");
}
