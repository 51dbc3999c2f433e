//! Every type that goes over the wire has the fields, the types and the values that its schema says.

use super::*;
use crate::wire::{
    Accepted, AcceptedBatch, AttemptAnswer, AttemptLine, AttemptPage, BatchAnswer, BatchChange, BatchOfChanges,
    BatchOp, BatchResult, ChangeAnswer, Count, DeadEvent, DeadLetterPage, DeadLetterSelection, DeadLetterView,
    DestinationList, DestinationRecord, DestinationState, DestinationView, Done, Empty, EventAt, EventLine, EventPage,
    EventResult, EventView, EventWay, FoundEvents, Health, JournalLine, JournalPage, KeyChoice, LinkAsked, LinkMade,
    LinksEnded, MadeToken, Mistake, PauseChoice, PauseRecord, Place, Position, RecoveryAsked, ReplayAsked,
    ReplayChoice, ReplayCounted, ReplayList, ReplayView, Resumed, RevokedToken, RotateChoice, Status, Stored,
    TestAnswer, TokenChoice, TokenJournalLine, TokenJournalPage, TokenList, TokenRecord, WorkerTenure, WorkerTenures,
};
use boon::{Compiler, SchemaIndex, Schemas};
use laneway_domain::{
    AttributeValue, BlockedKey, BreakerStatus, DestinationName, DestinationStatus, Ended, EventId, EventType, Failure,
    Fate, Key, Offset, Origin, Partition, ProcessStatus, ReplayId, ReplayPart, ReplayState, ReplayStatus, Revision,
    Role, Roles, Selection, Tenant, Timestamp, TokenName, TypePattern, WorkerStatus,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

fn tenant() -> Tenant {
    Tenant::new("acme").unwrap()
}

/// What the document says of a schema, and what is found wrong by it.
pub(super) struct Said {
    name: &'static str,
    schema: Json,
    compiled: (Schemas, SchemaIndex),
}

impl Said {
    pub(super) fn of(name: &'static str) -> Self {
        let document = openapi();
        let schema = document["components"]["schemas"][name].clone();
        let whole = json!({ "$ref": format!("#/components/schemas/{name}"), "components": document["components"] });
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler.enable_format_assertions();
        compiler.enable_content_assertions();
        compiler.add_resource("document.json", whole).unwrap();
        let index = compiler.compile("document.json", &mut schemas).unwrap_or_else(|error| panic!("{name}: {error:#}"));
        Self { name, schema, compiled: (schemas, index) }
    }

    fn is_valid(&self, value: &Json) -> bool {
        self.compiled.0.validate(value, self.compiled.1).is_ok()
    }

    pub(super) fn fields(&self) -> BTreeSet<String> {
        self.schema.get("properties").map(fields).unwrap_or_default()
    }

    fn required(&self) -> BTreeSet<String> {
        let all = self.schema["required"].as_array().into_iter().flatten();
        all.map(|one| one.as_str().unwrap().to_owned()).collect()
    }

    #[track_caller]
    pub(super) fn takes(&self, value: &Json) {
        if let Err(wrong) = self.compiled.0.validate(value, self.compiled.1) {
            panic!("{}: {wrong:#} in {value}", self.name);
        }
    }
}

fn fields(json: &Json) -> BTreeSet<String> {
    json.as_object().unwrap().keys().cloned().collect()
}

/// A value with every field filled has exactly the fields of its schema; one with as few as possible has exactly the
/// required ones. Both are as the schema says.
#[track_caller]
pub(super) fn answers(name: &'static str, full: &impl Serialize, least: &impl Serialize) {
    let said = Said::of(name);
    let (full, least) = (serde_json::to_value(full).unwrap(), serde_json::to_value(least).unwrap());
    assert_eq!(said.fields(), fields(&full), "{name}");
    assert_eq!(said.required(), fields(&least), "{name}");
    said.takes(&full);
    said.takes(&least);
}

/// A body is read with every field of its schema and with no other; without any but the required ones; and with
/// `null` where the schema has it.
#[track_caller]
pub(super) fn bodies<T: Serialize + DeserializeOwned>(name: &'static str, full: &T) {
    let said = Said::of(name);
    let full = serde_json::to_value(full).unwrap();
    assert_eq!(said.fields(), fields(&full), "{name}");
    assert_eq!(said.schema["additionalProperties"], false, "{name}");
    said.takes(&full);
    let read = |body: &Json| serde_json::from_value::<T>(body.clone()).is_ok();
    assert!(read(&full), "{name}");
    let with = |field: &str, value: Option<Json>| {
        let mut body = full.clone();
        let entries = body.as_object_mut().unwrap();
        match value {
            Some(value) => drop(entries.insert(field.to_owned(), value)),
            None => drop(entries.remove(field)),
        }
        body
    };
    assert!(!read(&with("another", Some(json!(1)))), "{name}");
    for field in said.fields() {
        let without = with(&field, None);
        assert_eq!(read(&without), !said.required().contains(&field), "{name} without {field}");
        assert_eq!(read(&without), said.is_valid(&without), "{name} without {field}");
        let null = with(&field, Some(Json::Null));
        assert_eq!(read(&null), said.is_valid(&null), "{name} with {field} null");
    }
}

/// The values of an enumeration are all that its schema has.
#[track_caller]
fn values<T: Serialize>(place: &str, all: &[T]) {
    let document = openapi();
    let said = document["components"]["schemas"].pointer(place).unwrap_or_else(|| panic!("{place}"));
    assert_eq!(*said, serde_json::to_value(all).unwrap(), "{place}");
}

fn name() -> DestinationName {
    DestinationName::new("billing").unwrap()
}
fn id() -> EventId {
    EventId::new("e").unwrap()
}

fn text() -> String {
    "text".to_owned()
}

const WHEN: &str = "2026-01-31T12:00:00Z";

fn cuts() -> BTreeMap<Partition, Offset> {
    [(Partition(0), Offset(1))].into()
}

fn problem() -> wire::Problem {
    wire::Problem {
        type_uri: format!("{}{}", wire::PROBLEM_TYPES, Kind::Invalid.name()),
        title: text(),
        status: 422,
        detail: text(),
        field: Some(text()),
        position: Some(Position { line: 1, column: 1, byte: 0 }),
        id: Some(id()),
        events: vec![event_result()],
        reasons: vec![text()],
        mistakes: vec![Mistake { field: text(), detail: text() }],
    }
}

fn event_result() -> EventResult {
    EventResult {
        id: id(),
        stored: Stored::Yes,
        partition: Some(Partition(0)),
        offset: Some(Offset(0)),
        duplicate: Some(false),
        error: Some(text()),
    }
}

#[test]
fn problems_and_events() {
    let full = problem();
    let least = wire::Problem {
        field: None,
        position: None,
        id: None,
        events: Vec::new(),
        reasons: Vec::new(),
        mistakes: Vec::new(),
        ..full.clone()
    };
    answers("Problem", &full, &least);
    answers("Position", &full.position, &full.position);
    answers("Mistake", &full.mistakes[0], &full.mistakes[0]);
    let least = EventResult { partition: None, offset: None, duplicate: None, error: None, ..event_result() };
    answers("EventResult", &event_result(), &least);
    values("/EventResult/properties/stored/enum", &[Stored::Yes, Stored::No, Stored::Unknown]);
    let accepted = Accepted { id: id(), partition: Partition(0), offset: Offset(0), duplicate: false };
    answers("Accepted", &accepted, &accepted);
    let batch = AcceptedBatch { events: vec![accepted] };
    answers("AcceptedBatch", &batch, &batch);
}

#[test]
fn statuses() {
    let health = Health { status: "ready".into(), limitations: vec![text()] };
    answers("Health", &health, &Health { limitations: Vec::new(), ..health.clone() });
    let worker = WorkerStatus { worker: text(), partitions: vec![Partition(0)] };
    answers("WorkerStatus", &worker, &worker);
    let process = ProcessStatus { process: text(), role: "ingest".into(), release: text() };
    answers("ProcessStatus", &process, &process);
    let key = BlockedKey {
        key: "key:order-7".into(),
        partition: Partition(0),
        head: Offset(0),
        attempts: 1,
        since: Timestamp::ZERO,
        next_attempt: None,
        last_error: text(),
    };
    answers("BlockedKey", &key, &BlockedKey { next_attempt: Some(Timestamp::ZERO), ..key.clone() });
    let open = BreakerStatus::Open { since: Timestamp::ZERO, next_probe: Timestamp::ZERO };
    let takes = |breaker| Said::of("BreakerStatus").takes(&serde_json::to_value(breaker).unwrap());
    [BreakerStatus::Closed, open].into_iter().for_each(takes);
    let idle = DestinationStatus::idle(name(), true);
    let status = DestinationStatus {
        oldest_accepted_at: Some(Timestamp::ZERO),
        pending_change_per_minute: Some(-60),
        caught_up_in_seconds: Some(1),
        blocked: vec![key],
        paused: Some(text()),
        paused_since: Some(Timestamp::ZERO),
        pending_at_least: true,
        ..idle.clone()
    };
    let view = DestinationView { status, dead_letters: 1, to: Some(text()) };
    answers("DestinationView", &view, &DestinationView { status: idle, dead_letters: 0, to: None });
    let full = Status {
        at: Timestamp::ZERO,
        partitions: vec![Partition(0)],
        workers: vec![worker],
        processes: vec![process],
        incomplete: vec![text()],
        not_ready: vec![text()],
        limitations: vec![text()],
        destinations: vec![view],
        other_dead_letters: [(name(), 1)].into(),
    };
    let least = Status {
        workers: Vec::new(),
        processes: Vec::new(),
        incomplete: Vec::new(),
        not_ready: Vec::new(),
        limitations: Vec::new(),
        other_dead_letters: BTreeMap::new(),
        ..full.clone()
    };
    answers("Status", &full, &least);
}

#[test]
fn replays() {
    use ReplayState::{Asked, Done, Ending, Running, Waiting};
    values("/ReplayState/enum", &[Asked, Waiting, Running, Done, Ending]);
    let counted = ReplayCounted { dry_run: true, events: 7, is_all: true, filtered: false };
    answers("ReplayCounted", &counted, &counted);
    let part = ReplayPart {
        partition: Partition(0),
        state: Running,
        from: Offset(0),
        until: Offset(9),
        scanned: Offset(4),
        settled: 3,
        keys_behind: 1,
        number: 9,
    };
    answers("ReplayPart", &part, &part);
    let view = ReplayView::from(ReplayStatus {
        id: ReplayId::new("r").unwrap(),
        asked_at: Timestamp::ZERO,
        selection: Selection {
            tenant: Some(tenant()),
            types: vec![TypePattern::new("*").unwrap()],
            keys: [Key::new("k").unwrap()].into(),
            events: [id()].into(),
        },
        first: false,
        partitions: vec![part],
    });
    assert_eq!((view.state, view.looked_at, view.to_look_at), (Running, 4, 9));
    answers("ReplayView", &view, &ReplayView { tenant: None, ..view.clone() });
    for answer in [serde_json::to_value(&view).unwrap(), serde_json::to_value(counted).unwrap()] {
        Said::of("ReplayAnswer").takes(&answer);
    }
    let list = ReplayList { items: vec![view] };
    answers("ReplayList", &list, &list);
}

#[test]
fn dead_letters() {
    let failure = Failure::new(Timestamp::ZERO, "x").answered(Some(422));
    answers("Failure", &failure, &failure.clone().answered(None));
    let letter = DeadLetterView {
        destination: name(),
        partition: Partition(0),
        offset: Offset(0),
        event_id: id(),
        lane_key: "all".into(),
        event_type: Some(EventType::new("t").unwrap()),
        tenant: Some(tenant()),
        given_up_at: Timestamp::ZERO,
        reason: text(),
        status: Some(422),
        attempts: 1,
        first_failure: Timestamp::ZERO,
        history: vec![failure],
        retry_requested: false,
    };
    let least = DeadLetterView { event_type: None, tenant: None, status: None, ..letter.clone() };
    answers("DeadLetterView", &letter, &least);
    let page = DeadLetterPage { dead_letters: vec![letter], next: Some(text()) };
    answers("DeadLetterPage", &page, &DeadLetterPage { next: None, ..page.clone() });
    let view = EventView {
        id: id(),
        event_type: "t".into(),
        tenant: Some(tenant()),
        key: Some(Key::new("k").unwrap()),
        source: Some(text()),
        subject: Some(text()),
        time: Some(WHEN.into()),
        content_type: text(),
        attributes: [("a".to_owned(), AttributeValue::from("b")), ("n".to_owned(), AttributeValue::from(1))].into(),
        traceparent: Some(text()),
        data: Some(serde_json::value::to_raw_value(&1).unwrap()),
        data_base64: Some("AA==".into()),
    };
    let bare = EventView {
        key: None,
        tenant: None,
        source: None,
        subject: None,
        time: None,
        attributes: BTreeMap::new(),
        traceparent: None,
        data: None,
        data_base64: None,
        ..view.clone()
    };
    answers("EventView", &view, &bare);
    let event = DeadEvent {
        destination: name(),
        partition: Partition(0),
        offset: Offset(0),
        accepted_at: Timestamp::ZERO,
        event: view,
    };
    answers("DeadEvent", &event, &event);
    answers("Count", &Count { count: 1 }, &Count { count: 1 });
    let place = Place { partition: Partition(0), offset: Offset(0) };
    bodies("Place", &place);
    let selection = DeadLetterSelection {
        destination: name(),
        tenant: Some(tenant()),
        key: Some(Key::new("k").unwrap()),
        event_id: Some(id()),
        types: vec!["t.*".into()],
        statuses: vec![422],
        from: Some(WHEN.into()),
        to: Some(WHEN.into()),
        places: vec![place],
        dry_run: true,
    };
    bodies("DeadLetterSelection", &selection);
}

#[test]
fn what_was_looked_up() {
    let line = EventLine {
        id: id(),
        event_type: "t".into(),
        tenant: Some(tenant()),
        key: Some(Key::new("k").unwrap()),
        source: Some(text()),
        partition: Partition(0),
        offset: Offset(3),
        accepted_at: WHEN.into(),
        bytes: 12,
    };
    answers("EventLine", &line, &EventLine { tenant: None, key: None, source: None, ..line.clone() });
    let (next, looked_back_to) = (Some(text()), Some(WHEN.to_owned()));
    let page = EventPage { items: vec![line.clone()], next, looked_back_to, incomplete: vec![text()] };
    answers("EventPage", &page, &EventPage { next: None, looked_back_to: None, ..page.clone() });
    let answer = AttemptAnswer { headers: text(), body: text() };
    answers("AttemptAnswer", &answer, &answer);
    let attempt = AttemptLine {
        destination: name(),
        made_at: Revision(1),
        partition: Partition(0),
        offset: Offset(3),
        event_id: Some(id()),
        key: Some(Key::new("k").unwrap()),
        attempt: 2,
        redrive: false,
        at: WHEN.into(),
        took_us: 700,
        outcome: "failed".into(),
        then: "retried".into(),
        status: Some(503),
        reason: Some(text()),
        answer: Some(answer),
        request: Some(text()),
    };
    let bare = AttemptLine {
        event_id: None,
        key: None,
        status: None,
        reason: None,
        answer: None,
        request: None,
        ..attempt.clone()
    };
    answers("AttemptLine", &attempt, &bare);
    for (outcome, then) in Ended::ALL.into_iter().zip(Fate::ALL) {
        let (outcome, then) = (outcome.label().to_owned(), then.label().to_owned());
        Said::of("AttemptLine").takes(&json!(AttemptLine { outcome, then, ..bare.clone() }));
    }
    let (worker, until) = (text(), WHEN.to_owned());
    let (since, ended) = (Some(WHEN.to_owned()), Some("ran-out".to_owned()));
    let tenure = WorkerTenure { partition: Partition(0), epoch: 3, worker, since, until, ended };
    answers("WorkerTenure", &tenure, &WorkerTenure { since: None, ended: None, ..tenure.clone() });
    let handed_over = WorkerTenure { ended: Some("handed-over".into()), ..tenure.clone() };
    let tenures = WorkerTenures { items: vec![tenure, handed_over], incomplete: vec![text()] };
    answers("WorkerTenures", &tenures, &tenures);
    let (next, looked_back_to) = (Some(text()), Some(WHEN.to_owned()));
    let page = AttemptPage { items: vec![bare.clone()], next, looked_back_to, incomplete: Vec::new() };
    answers("AttemptPage", &page, &AttemptPage { next: None, looked_back_to: None, ..page.clone() });
    let at = EventAt {
        destination: name(),
        state: "waiting".into(),
        detail: text(),
        waits_for: Some(line),
        next_attempt: Some(WHEN.into()),
        attempts: vec![bare],
    };
    answers("EventAt", &at, &EventAt { waits_for: None, next_attempt: None, ..at.clone() });
    let event = EventView {
        id: id(),
        event_type: "t".into(),
        tenant: None,
        key: None,
        source: None,
        subject: None,
        time: None,
        content_type: text(),
        attributes: BTreeMap::new(),
        traceparent: None,
        data: None,
        data_base64: None,
    };
    let (partition, offset, accepted_at) = (Partition(0), Offset(3), WHEN.to_owned());
    let way = EventWay { partition, offset, accepted_at, event, destinations: vec![at], not_wanted: 3 };
    answers("EventWay", &way, &way);
    let (next, looked_back_to) = (Some(text()), Some(WHEN.to_owned()));
    let found = FoundEvents { items: vec![way], next, looked_back_to, incomplete: Vec::new() };
    answers("FoundEvents", &found, &FoundEvents { next: None, looked_back_to: None, ..found.clone() });
}

#[test]
fn destinations() {
    let record = DestinationRecord {
        name: name(),
        tenant: Some(tenant()),
        revision: Revision(7),
        made_at: Revision(1),
        origin: Origin::Api,
        state: DestinationState::Paused,
        paused: Some(PauseRecord { since: WHEN.into(), reason: text() }),
        settings: Map::new(),
    };
    answers("PauseRecord", &record.paused, &record.paused);
    answers("DestinationRecord", &record, &DestinationRecord { paused: None, tenant: None, ..record.clone() });
    values("/DestinationRecord/properties/origin/enum", &[Origin::File, Origin::Api]);
    let states = [DestinationState::Active, DestinationState::Paused, DestinationState::Left];
    values("/DestinationState/enum", &states);
    let list = DestinationList { items: vec![record], next: Some(text()), incomplete: vec![text()] };
    answers("DestinationList", &list, &DestinationList::default());
    let line = JournalLine { revision: Revision(7), at: WHEN.into(), by: text(), what: text(), cuts: cuts() };
    answers("JournalLine", &line, &line);
    let page = JournalPage { items: vec![line], next: Some(text()), incomplete: Vec::new() };
    answers("JournalPage", &page, &JournalPage { next: None, ..page.clone() });
    let test = TestAnswer {
        name: name(),
        delivered: false,
        outcome: "retry".into(),
        took_ms: 1,
        status: Some(500),
        body: Some(text()),
        reason: Some(text()),
        event_id: "e".into(),
    };
    answers("TestAnswer", &test, &TestAnswer { status: None, body: None, reason: None, ..test.clone() });
}

fn change_answer() -> ChangeAnswer {
    ChangeAnswer {
        name: name(),
        revision: Revision(7),
        cuts: cuts(),
        pending: vec![Partition(1)],
        in_flight: Some(0),
        dropped: Some(3),
        secret: Some("whsec_".into()),
    }
}

#[test]
fn changes() {
    let least = ChangeAnswer { secret: None, in_flight: None, dropped: None, ..change_answer() };
    answers("ChangeAnswer", &change_answer(), &least);
    // What had nothing of an operator's to end is only done.
    answers("Resumed", &Resumed { done: true, answer: change_answer() }, &Done { done: true });
    answers("Done", &Done { done: true }, &Done { done: true });
    let result = BatchResult {
        name: name(),
        status: 200,
        what: Some(text()),
        dropped: Some(3),
        revision: Some(Revision(7)),
        problem: Some(problem()),
    };
    let least = BatchResult { what: None, dropped: None, revision: None, problem: None, ..result.clone() };
    answers("BatchResult", &result, &least);
    let batch = BatchAnswer { results: vec![result], cuts: cuts(), pending: Vec::new(), in_flight: None };
    answers("BatchAnswer", &batch, &batch);
    let ops = [BatchOp::Put, BatchOp::Patch, BatchOp::Delete, BatchOp::Pause, BatchOp::Resume];
    values("/BatchChange/properties/op/enum", &ops);
    let change = BatchChange {
        name: name(),
        op: BatchOp::Put,
        settings: Some(Map::from_iter([("url".to_owned(), json!("console:"))])),
        reason: Some(text()),
        adopt: true,
        if_match: Some("*".into()),
        if_none_match: Some("*".into()),
    };
    bodies("BatchChange", &change);
    bodies("BatchOfChanges", &BatchOfChanges { changes: vec![change], dry_run: true });
}

#[test]
fn choices() {
    bodies("RotateChoice", &RotateChoice { keep: Some("1h".into()) });
    bodies("Empty", &Empty {});
    bodies("PauseChoice", &PauseChoice { reason: text() });
    bodies("KeyChoice", &KeyChoice { key: "all".into(), partition: Some(Partition(3)), head: Some(Offset(41)) });
    bodies("ReplayChoice", &ReplayChoice { since: "beginning".into() });
    let asked = ReplayAsked {
        from: Some("beginning".into()),
        to: Some(WHEN.into()),
        tenant: Some(tenant()),
        types: vec!["order.*".into()],
        keys: vec!["k".into()],
        events: vec!["e".into()],
        first: true,
        dry_run: true,
    };
    bodies("ReplayAsked", &asked);
    let (id, key) = (Some(ReplayId::new("r-1").unwrap()), Key::new("k").unwrap());
    let asked =
        RecoveryAsked { key, tenant: Some(tenant()), from: Some("offset:7".into()), id, partial: true, dry_run: true };
    bodies("RecoveryAsked", &asked);
}

#[test]
fn tokens() {
    let name = TokenName::new("shop").unwrap();
    bodies("TokenChoice", &TokenChoice { name: "shop".into(), roles: vec!["read".into()] });
    let (roles, revision) = (Roles::ALL, Revision(7));
    let names: Vec<&str> = Role::ALL.into_iter().map(Role::name).collect();
    values("/Role/enum", &names);
    let made = MadeToken { name: name.clone(), roles, revision, token: "lwt_a".into() };
    answers("MadeToken", &made, &made);
    let revoked = RevokedToken { name: name.clone(), revision };
    answers("RevokedToken", &revoked, &revoked);
    let record = TokenRecord {
        name: Some(name.clone()),
        roles,
        origin: Origin::Api,
        created: Some(WHEN.into()),
        created_by: Some(text()),
        revision: Some(revision),
    };
    let of_file =
        TokenRecord { name: None, created: None, created_by: None, revision: None, origin: Origin::File, roles };
    answers("TokenRecord", &record, &of_file);
    values("/TokenRecord/properties/origin/enum", &[Origin::File, Origin::Api]);
    let list = TokenList { items: vec![record], next: Some(text()), incomplete: vec![text()] };
    answers("TokenList", &list, &TokenList::default());
    let line = TokenJournalLine { revision, at: WHEN.into(), name, by: text(), what: text() };
    answers("TokenJournalLine", &line, &line);
    let page = TokenJournalPage { items: vec![line], next: Some(text()), incomplete: Vec::new() };
    answers("TokenJournalPage", &page, &TokenJournalPage { next: None, ..page.clone() });
}

#[test]
fn links() {
    let tenant = || Tenant::new("acme").unwrap();
    let roles = Some(vec!["read".to_owned()]);
    bodies("LinkAsked", &LinkAsked { tenant: Some(tenant()), roles, lasts: Some("2h".into()) });
    let url = "https://laneway.example/console/enter#lwp_a".to_owned();
    let made = LinkMade { url, tenant: tenant(), roles: Roles::ALL, expires: WHEN.into() };
    answers("LinkMade", &made, &made);
    assert!(!format!("{made:?}").contains("lwp_"), "a link does not print itself");
    let ended = LinksEnded { tenant: tenant(), ended: true };
    answers("LinksEnded", &ended, &ended);
}
