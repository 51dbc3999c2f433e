//! The document has every route, every error, and every field that goes over the wire.

use super::*;
use crate::wire;
use laneway_domain::{
    AttributeValue, DestinationName, EventId, Failure, Key, Offset, Origin, Partition, Revision, Roles, Timestamp,
    TokenName,
};
use serde::Serialize;
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

#[test]
fn every_error_is_in_it() {
    let document = openapi();
    let types = document["components"]["schemas"]["ProblemType"]["oneOf"].as_array().unwrap();
    let named: BTreeSet<&str> = types.iter().map(|one| one["const"].as_str().unwrap()).collect();
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

fn name() -> DestinationName {
    DestinationName::new("billing").unwrap()
}

/// A value with every field filled has exactly the fields of its schema, and those that are there always are required.
#[track_caller]
fn holds(schema: &str, full: &impl Serialize, least: &impl Serialize) {
    let document = openapi();
    let said = &document["components"]["schemas"][schema];
    let fields = |json: &Json| -> BTreeSet<String> { json.as_object().unwrap().keys().cloned().collect() };
    let full = serde_json::to_value(full).unwrap();
    assert_eq!(fields(&said["properties"]), fields(&full), "{schema}");
    let least = fields(&serde_json::to_value(least).unwrap());
    let required: BTreeSet<String> = said["required"]
        .as_array()
        .map(|all| all.iter().map(|one| one.as_str().unwrap().to_owned()).collect())
        .unwrap_or_default();
    assert!(required.is_subset(&least), "{schema}: {required:?} is not always there ({least:?})");
}

#[test]
fn answers_have_the_fields_that_it_says() {
    let cuts: BTreeMap<Partition, Offset> = [(Partition(0), Offset(1))].into();
    let answer = wire::ChangeAnswer {
        name: name(),
        revision: Revision(7),
        cuts: cuts.clone(),
        pending: Vec::new(),
        in_flight: Some(0),
        secret: Some("whsec_".into()),
    };
    let without = wire::ChangeAnswer { secret: None, in_flight: None, ..answer.clone() };
    holds("ChangeAnswer", &answer, &without);
    holds("Resumed", &wire::Resumed { done: true, answer }, &wire::Done { done: true });
    let settings: Map<String, Json> = Map::new();
    let record = wire::DestinationRecord {
        name: name(),
        revision: Revision(7),
        made_at: Revision(1),
        origin: Origin::Api,
        state: wire::DestinationState::Paused,
        paused: Some(wire::PauseRecord { since: String::new(), reason: String::new() }),
        settings,
    };
    holds("PauseRecord", &record.paused, &record.paused);
    holds("DestinationRecord", &record, &wire::DestinationRecord { paused: None, ..record.clone() });
    let list = wire::DestinationList { items: vec![record], next: Some(String::new()), incomplete: Vec::new() };
    holds("DestinationList", &list, &wire::DestinationList::default());
    let line =
        wire::JournalLine { revision: Revision(7), at: String::new(), by: String::new(), what: String::new(), cuts };
    holds("JournalLine", &line, &line);
    let page = wire::JournalPage { items: vec![line], next: Some(String::new()), incomplete: Vec::new() };
    holds("JournalPage", &page, &wire::JournalPage { next: None, ..page.clone() });
    let result = wire::BatchResult {
        name: name(),
        status: 200,
        what: Some(String::new()),
        revision: Some(Revision(7)),
        problem: Some(problem()),
    };
    holds("BatchResult", &result, &wire::BatchResult { what: None, revision: None, problem: None, ..result.clone() });
    let batch =
        wire::BatchAnswer { results: vec![result], cuts: BTreeMap::new(), pending: Vec::new(), in_flight: None };
    holds("BatchAnswer", &batch, &batch);
    let test = wire::TestAnswer {
        name: name(),
        delivered: false,
        outcome: String::new(),
        took_ms: 1,
        reason: Some(String::new()),
        event_id: String::new(),
    };
    holds("TestAnswer", &test, &wire::TestAnswer { reason: None, ..test.clone() });
}

#[test]
fn tokens_have_the_fields_that_it_says() {
    let name = TokenName::new("shop").unwrap();
    let choice = wire::TokenChoice { name: "shop".into(), roles: vec!["read".into()] };
    holds("TokenChoice", &choice, &choice);
    let (roles, revision) = (Roles::ALL, Revision(7));
    let made = wire::MadeToken { name: name.clone(), roles, revision, token: String::new() };
    holds("MadeToken", &made, &made);
    let revoked = wire::RevokedToken { name: name.clone(), revision };
    holds("RevokedToken", &revoked, &revoked);
    let record = wire::TokenRecord {
        name: Some(name.clone()),
        roles,
        origin: Origin::Api,
        created: Some(String::new()),
        created_by: Some(String::new()),
        revision: Some(revision),
    };
    let of_file =
        wire::TokenRecord { name: None, created: None, created_by: None, revision: None, origin: Origin::File, roles };
    holds("TokenRecord", &record, &of_file);
    let list = wire::TokenList { items: vec![record], next: Some(String::new()), incomplete: Vec::new() };
    holds("TokenList", &list, &wire::TokenList::default());
    let line = wire::TokenJournalLine { revision, at: String::new(), name, by: String::new(), what: String::new() };
    holds("TokenJournalLine", &line, &line);
    let page = wire::TokenJournalPage { items: vec![line], next: Some(String::new()), incomplete: Vec::new() };
    holds("TokenJournalPage", &page, &wire::TokenJournalPage { next: None, ..page.clone() });
}

fn problem() -> wire::Problem {
    let id = EventId::new("e").unwrap();
    let event = wire::EventResult {
        id: id.clone(),
        stored: wire::Stored::Yes,
        partition: Some(Partition(0)),
        offset: Some(Offset(0)),
        duplicate: Some(false),
        error: Some(String::new()),
    };
    wire::Problem {
        field: Some(String::new()),
        position: Some(wire::Position { line: 1, column: 1, byte: 0 }),
        id: Some(id),
        events: vec![event],
        reasons: vec![String::new()],
        mistakes: vec![wire::Mistake { field: String::new(), detail: String::new() }],
        ..wire::Problem::default()
    }
}

#[test]
fn problems_and_events_have_the_fields_that_it_says() {
    let problem = problem();
    holds("Problem", &problem, &wire::Problem::default());
    holds("Position", &problem.position, &problem.position);
    holds("Mistake", &problem.mistakes[0], &problem.mistakes[0]);
    let event = &problem.events[0];
    let unsaid = wire::EventResult { partition: None, offset: None, duplicate: None, error: None, ..event.clone() };
    holds("EventResult", event, &unsaid);
    let accepted =
        wire::Accepted { id: event.id.clone(), partition: Partition(0), offset: Offset(0), duplicate: false };
    holds("Accepted", &accepted, &accepted);
    let health = wire::Health { status: "ready".into(), limitations: vec![String::new()] };
    holds("Health", &health, &wire::Health { limitations: Vec::new(), ..health.clone() });
    holds("Count", &wire::Count { count: 1 }, &wire::Count { count: 1 });
    let failure = Failure::new(Timestamp::ZERO, "x");
    holds("Failure", &failure, &failure);
    let view = wire::EventView {
        id: event.id.clone(),
        event_type: "t".into(),
        key: Some(Key::new("k").unwrap()),
        source: Some(String::new()),
        subject: Some(String::new()),
        time: Some(String::new()),
        content_type: String::new(),
        attributes: [("a".to_owned(), AttributeValue::from("b"))].into(),
        traceparent: Some(String::new()),
        data: Some(serde_json::value::to_raw_value(&1).unwrap()),
        data_base64: Some(String::new()),
    };
    let bare = wire::EventView {
        key: None,
        source: None,
        subject: None,
        time: None,
        attributes: BTreeMap::new(),
        traceparent: None,
        data: None,
        data_base64: None,
        ..view.clone()
    };
    holds("EventView", &view, &bare);
}

#[test]
fn bodies_have_the_fields_that_it_says() {
    let selection = wire::DeadLetterSelection {
        destination: name(),
        key: Some(Key::new("k").unwrap()),
        event_id: Some(EventId::new("e").unwrap()),
    };
    holds(
        "DeadLetterSelection",
        &selection,
        &wire::DeadLetterSelection { key: None, event_id: None, ..selection.clone() },
    );
    let change = wire::BatchChange {
        name: name(),
        op: wire::BatchOp::Put,
        settings: Some(Map::new()),
        reason: Some(String::new()),
        adopt: true,
        if_match: Some(String::new()),
        if_none_match: Some(String::new()),
    };
    let bare = wire::BatchChange {
        settings: None,
        reason: None,
        adopt: false,
        if_match: None,
        if_none_match: None,
        ..change.clone()
    };
    holds("BatchChange", &change, &bare);
    let batch = wire::BatchOfChanges { changes: Vec::new(), dry_run: true };
    holds("BatchOfChanges", &batch, &wire::BatchOfChanges { dry_run: false, ..batch.clone() });
    let rotate = wire::RotateChoice { keep: Some("1h".into()) };
    holds("RotateChoice", &rotate, &wire::RotateChoice::default());
    let pause = wire::PauseChoice::default();
    holds("PauseChoice", &pause, &pause);
    let key = wire::KeyChoice { key: String::new() };
    holds("KeyChoice", &key, &key);
    let replay = wire::ReplayChoice { since: String::new() };
    holds("ReplayChoice", &replay, &replay);
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
