//! What operators ask and tell.

use crate::{JSON, PARTITIONS, Server, Setup};
use async_trait::async_trait;
use axum::body::Body;
use http::Request;
use laneway_domain::{
    BreakerStatus, Command, Commit, DestinationName, DestinationStatus, Failure, GivenUp, Key, KeyAt, LaneChange,
    LaneKey, NewEvent, NextAttempt, Offset, Partition, Position, RetryState, StatusReport, Timestamp,
};
use laneway_http::wire::{Count, DeadEvent, DeadLetterPage, DeadLetterView, Done, Health, Status};
use laneway_http::{Api, Limits, router};
use laneway_memory::MemoryStore;
use laneway_ports::{Bounds, DeadLetters, EventLog, Lease, ProgressStore, WorkerControl, WorkerId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

fn name(name: &str) -> DestinationName {
    DestinationName::new(name).unwrap()
}

fn destination(called: &str, configured: bool) -> DestinationStatus {
    DestinationStatus {
        pending: 3,
        in_flight: 1,
        breaker: BreakerStatus::Open { since: Timestamp::from_millis(1), next_probe: Timestamp::from_millis(2) },
        ..DestinationStatus::idle(name(called), configured)
    }
}

impl Server {
    fn reports(&self, destinations: Vec<DestinationStatus>) {
        let report = StatusReport {
            at: Timestamp::from_millis(5),
            partitions: vec![Partition(0)],
            destinations,
            ..StatusReport::default()
        };
        *self.worker.report.lock().unwrap() = Some(report);
    }

    /// Stores the body's event as a dead letter of `destination`, and says where it is.
    async fn bury(&self, destination: &str, body: &str) -> (Partition, Offset) {
        let accepted = self.post("/v1/events", JSON, body.to_owned()).await.accepted();
        let worker = WorkerId("w".into());
        let lease = self.store.claim(accepted.partition, &worker, Duration::from_secs(5)).await.unwrap().unwrap();
        let at = Timestamp::from_millis(9);
        let given_up = GivenUp {
            destination: name(destination),
            offset: accepted.offset,
            key: LaneKey::Key(Key::new("k").unwrap()),
            at,
            reason: "rejected with 422".into(),
            retry: RetryState {
                attempts: 1,
                first_failure: at,
                next_attempt: NextAttempt::At(at),
                history: vec![Failure::new(at, "422").answered(Some(422))],
            },
        };
        let commit = Commit { dead_letters: vec![given_up], ..Commit::default() };
        self.store.commit(&lease, &commit).await.unwrap();
        (accepted.partition, accepted.offset)
    }
}

#[tokio::test]
async fn health_and_readiness_are_told_apart() {
    let server = Server::new();
    assert_eq!(server.get("/healthz").await.read::<Health>().status, "alive");
    assert_eq!(server.get("/readyz").await.read::<Health>().status, "ready");
    server.worker.not_ready.lock().unwrap().extend(["the store is read-only".into(), "no lease".into()]);
    let problem = server.get("/readyz").await.problem(503, "not-ready");
    assert_eq!(problem.reasons, ["the store is read-only", "no lease"]);
    assert_eq!(server.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn the_status_is_the_workers_report_and_the_dead_letters() {
    let server = Server::new();
    server.get("/v1/status").await.problem(503, "not-ready");
    server.reports(vec![destination("billing", true), destination("crm", true)]);
    server.bury("billing", r#"{"type":"a","key":"k"}"#).await;
    server.bury("billing", r#"{"type":"a","key":"k"}"#).await;
    server.bury("gone", r#"{"type":"a","key":"k"}"#).await;
    let answer = server.get("/v1/status").await;
    let status: Status = answer.read();
    assert_eq!(status.destinations.iter().map(|d| d.dead_letters).collect::<Vec<_>>(), [2, 0]);
    assert_eq!(status.destinations[0].status, destination("billing", true));
    assert_eq!(status.other_dead_letters, [(name("gone"), 1)].into());
    let raw: serde_json::Value = answer.read();
    assert_eq!(raw["destinations"][0]["name"], "billing");
    assert_eq!(raw["destinations"][0]["breaker"]["state"], "open");
    assert!(raw.get("not_ready").is_none(), "{raw}");
}

#[tokio::test]
async fn the_status_says_what_keeps_the_process_from_its_work() {
    let server = Server::new();
    server.reports(vec![destination("billing", true)]);
    server.worker.not_ready.lock().unwrap().push("the store takes no events: the disk is full".into());
    let status: Status = server.get("/v1/status").await.read();
    assert_eq!(status.not_ready, ["the store takes no events: the disk is full"]);
}

#[tokio::test]
async fn a_process_that_takes_no_events_in_says_where_they_go() {
    let server = Server::with(Setup { no_ingest: true, ..Setup::default() });
    let answer = server.post("/v1/events", JSON, r#"{"type":"a"}"#).await;
    let problem = answer.problem(404, "not-found");
    assert!(problem.detail.contains("takes no events in: send them to an ingest"), "{}", problem.detail);
    assert!(server.stored().await.is_empty());
}

#[tokio::test]
async fn a_process_without_a_worker_says_so() {
    let server = Server::with(Setup { no_worker: true, ..Setup::default() });
    assert_eq!(server.get("/readyz").await.status, 200);
    server.get("/v1/status").await.problem(501, "no-worker");
    server.post("/v1/destinations/a/resume", JSON, "").await.problem(501, "no-worker");
    let forget = Request::delete("/v1/destinations/a/progress").body(Body::empty()).unwrap();
    server.send(forget).await.problem(501, "no-worker");
    assert_eq!(server.get("/v1/dead-letters").await.status, 200);
}

#[tokio::test]
async fn dead_letters_are_listed_page_by_page() {
    let server = Server::new();
    for n in 0..5 {
        server.bury("billing", &format!(r#"{{"id":"e{n}","type":"a","key":"k"}}"#)).await;
    }
    server.bury("crm", r#"{"id":"other","type":"a","key":"k2"}"#).await;
    let mut found = Vec::new();
    let mut path = "/v1/dead-letters?destination=billing&limit=2".to_owned();
    for _ in 0..5 {
        let page: DeadLetterPage = server.get(&path).await.read();
        found.extend(page.dead_letters.iter().map(|letter| letter.event_id.to_string()));
        let Some(next) = page.next else { break };
        path = format!("/v1/dead-letters?destination=billing&limit=2&after={next}");
    }
    assert_eq!(found, ["e0", "e1", "e2", "e3", "e4"]);
    let page: DeadLetterPage = server.get("/v1/dead-letters").await.read();
    assert_eq!((page.dead_letters.len(), page.next), (6, None));
    let page: DeadLetterPage = server.get("/v1/dead-letters?event_id=other&key=k2").await.read();
    let letter = &page.dead_letters[0];
    assert_eq!(
        (page.dead_letters.len(), letter.lane_key.as_str(), letter.reason.as_str()),
        (1, "key:k", "rejected with 422")
    );
    assert_eq!((letter.attempts, letter.history.len(), letter.retry_requested), (1, 1, false));
}

#[tokio::test]
async fn a_wrong_question_is_answered_with_what_is_wrong() {
    let server = Server::new();
    for (query, field) in [
        ("destination=No%20Name", Some("destination")),
        ("key=", Some("key")),
        ("event_id=a%0Ab", Some("event_id")),
        ("limit=0", Some("limit")),
        ("limit=1001", Some("limit")),
        ("after=zzz", Some("after")),
        ("status=99", Some("status")),
        ("type=", Some("type")),
        ("from=monday", Some("from")),
        ("to=10:00", Some("to")),
        ("limit=many", None),
        ("status=many", None),
        ("dest=a", None),
    ] {
        let problem = server.get(&format!("/v1/dead-letters?{query}")).await.problem(422, "invalid");
        assert_eq!(problem.field.as_deref(), field, "{query}");
    }
    server.get("/v1/dead-letters/billing/x/0").await.invalid("partition");
    server.get("/v1/dead-letters/billing/0/-1").await.invalid("offset");
    server.get("/v1/dead-letters/billing/0/7").await.problem(404, "not-found");
    server.get("/v1/dead-letters/billing/651554/7").await.problem(404, "not-found");
    server.get("/v1/dead-letters/billing/%ff/0").await.problem(422, "invalid");
    server.post("/v1/destinations/%ff/resume", JSON, "").await.problem(422, "invalid");
}

#[tokio::test]
async fn a_dead_letters_event_comes_with_its_payload() {
    let server = Server::new();
    let body = r#"{"id":"e","type":"a","key":"k","data":{ "sum": 1.50},"attributes":{"tenant":"acme"}}"#;
    let (partition, offset) = server.bury("billing", body).await;
    let dead: DeadEvent = server.get(&format!("/v1/dead-letters/billing/{partition}/{offset}")).await.read();
    assert_eq!((dead.event.id.as_str(), dead.event.data.unwrap().get()), ("e", "{ \"sum\": 1.50}"));
    assert_eq!(dead.event.attributes["tenant"], "acme".into());
    assert_eq!((dead.event.data_base64, dead.partition, dead.offset), (None, partition, offset));
}

#[tokio::test]
async fn what_is_selected_is_retried_or_discarded() {
    let server = Server::new();
    for key in ["k1", "k1", "k2"] {
        server.bury("billing", &format!(r#"{{"type":"a","key":"{key}"}}"#)).await;
    }
    let tell =
        |what: &str, body: &'static str| server.send(crate::post(&format!("/v1/dead-letters/{what}"), JSON, body));
    let count: Count = tell("retry", r#"{"destination":"billing","key":"k1"}"#).await.read();
    assert_eq!(count.count, 2);
    let partition = Partition::of("k1", server.store.partitions());
    assert_eq!(server.store.retry_requested(partition, None, 10).await.unwrap().len(), 2);
    let count: Count = tell("discard", r#"{"destination":"billing","key":"k2"}"#).await.read();
    assert_eq!(count.count, 1);
    let page: DeadLetterPage = server.get("/v1/dead-letters").await.read();
    assert!(page.dead_letters.iter().all(|letter| letter.retry_requested) && page.dead_letters.len() == 2);

    for body in ["{}", r#"{"destination":"billing","keys":"k"}"#, r#"{"destination":"B"}"#, r#"{"destination":7}"#] {
        tell("discard", body).await.problem(422, "invalid");
    }
    for (body, field) in [
        (r#"{"destination":"billing","types":["a",""]}"#, "/types/1"),
        (r#"{"destination":"billing","statuses":[1000]}"#, "/statuses/0"),
        (r#"{"destination":"billing","from":"monday"}"#, "/from"),
        (r#"{"destination":"billing","to":"10:00"}"#, "/to"),
    ] {
        tell("discard", body).await.invalid(field);
    }
    let problem = tell("discard", "{\n\"destination\": oops}").await.problem(400, "malformed");
    assert_eq!(problem.position.unwrap().line, 2);
    // What a foreign page in a browser could send.
    let body = r#"{"destination":"billing"}"#;
    server.post("/v1/dead-letters/discard", "text/plain", body).await.problem(415, "unsupported-media-type");
    assert_eq!(server.store.counts().await.unwrap()[0].count, 2);
}

#[tokio::test]
async fn dead_letters_are_chosen_by_type_status_and_time_and_counted_first() {
    let server = Server::new();
    for event_type in ["order.paid", "order.sent", "x"] {
        server.bury("billing", &format!(r#"{{"type":"{event_type}","key":"k"}}"#)).await;
    }
    let types = async |query: &str| {
        let page: DeadLetterPage = server.get(&format!("/v1/dead-letters?{query}")).await.read();
        let of = |letter: DeadLetterView| (letter.event_type.unwrap().as_str().to_owned(), letter.status);
        page.dead_letters.into_iter().map(of).collect::<Vec<_>>()
    };
    let answered = |event_type: &str| (event_type.to_owned(), Some(422));
    let orders = [answered("order.paid"), answered("order.sent")];
    assert_eq!(types("type=order.*").await, orders);
    assert_eq!(types("status=422&type=x").await, [answered("x")]);
    assert_eq!(types("status=500").await, []);
    // They were given up nine milliseconds after 1970 had begun.
    assert_eq!(types("from=1970-01-01T00:00:00.010Z").await, []);
    assert_eq!(types("from=1970-01-01T00:00:00.009Z&to=1970-01-01T00:00:00.010Z").await.len(), 3);

    let tell =
        |what: &str, body: &'static str| server.send(crate::post(&format!("/v1/dead-letters/{what}"), JSON, body));
    for what in ["retry", "discard"] {
        let body = r#"{"destination":"billing","types":["order.*"],"statuses":[422,500],"dry_run":true}"#;
        assert_eq!(tell(what, body).await.read::<Count>().count, 2, "{what}");
    }
    let page: DeadLetterPage = server.get("/v1/dead-letters").await.read();
    assert!(page.dead_letters.iter().all(|letter| !letter.retry_requested) && page.dead_letters.len() == 3);
    let body = r#"{"destination":"billing","statuses":[422],"to":"1970-01-01T00:00:01Z","types":["x"]}"#;
    assert_eq!(tell("discard", body).await.read::<Count>().count, 1);
    assert_eq!(types("").await, orders);
    let body = r#"{"destination":"billing","types":["order.sent","y"],"from":"1970-01-01T00:00:00Z"}"#;
    assert_eq!(tell("retry", body).await.read::<Count>().count, 1);
}

#[tokio::test]
async fn commands_reach_the_worker() {
    let server = Server::new();
    let body = r#"{"key":"key:order-7"}"#;
    assert!(server.post("/v1/destinations/crm/keys/retry", JSON, body).await.read::<Done>().done);
    let skip = "/v1/destinations/crm/keys/skip";
    // There is such an event in each partition.
    for key in ["event:41", "all"] {
        server.post(skip, JSON, format!(r#"{{"key":"{key}"}}"#)).await.invalid("/partition");
    }
    let body = r#"{"key":"event:41","partition":1,"head":41}"#;
    assert!(server.post(skip, JSON, body).await.read::<Done>().done);
    assert!(server.post("/v1/destinations/crm/resume", JSON, "").await.read::<Done>().done);
    let destination = name("crm");
    let told = server.worker.told.lock().unwrap().clone();
    let expected = [
        Command::RetryKey { destination: destination.clone(), key: LaneKey::Key(Key::new("order-7").unwrap()).into() },
        Command::SkipKey {
            destination: destination.clone(),
            key: KeyAt { key: LaneKey::Event(Offset(41)), partition: Some(Partition(1)), head: Some(Offset(41)) },
        },
        Command::Resume { destination },
    ];
    assert_eq!(told, expected);
}

/// The disk's clock is tokio's, and shows 2023-11-14T22:13:20Z in the beginning.
#[tokio::test(start_paused = true)]
async fn a_replay_begins_where_a_moment_is() {
    let server = Server::new();
    let bounds = async |of: fn(Bounds) -> Offset| {
        let mut found = BTreeMap::new();
        for partition in (0..PARTITIONS).map(Partition) {
            found.insert(partition, of(server.store.bounds(partition).await.unwrap()));
        }
        found
    };
    let ten_more = async |first: usize| {
        for n in first..first + 10 {
            server.post("/v1/events", JSON, format!(r#"{{"type":"t","key":"k{n}"}}"#)).await.accepted();
        }
        bounds(|bounds| bounds.end).await
    };
    let starts = bounds(|bounds| bounds.start).await;
    let middle = ten_more(0).await;
    tokio::time::advance(Duration::from_secs(2)).await;
    let ends = ten_more(10).await;
    assert!(starts != middle && middle != ends);

    let replay = async |since: &str| {
        let body = format!(r#"{{"since":"{since}"}}"#);
        server.post("/v1/destinations/crm/replay", JSON, body).await
    };
    for (since, expected) in [
        ("beginning", &starts),
        ("2001-02-03T04:05:06+07:00", &starts),
        ("2023-11-14T22:13:20Z", &starts),
        ("2023-11-14T22:13:20.001Z", &middle),
        ("2023-11-15T00:13:22+02:00", &middle),
        ("2023-11-14T22:13:22.001Z", &ends),
        ("9999-01-01T00:00:00Z", &ends),
    ] {
        assert!(replay(since).await.read::<Done>().done);
        let told = server.worker.told.lock().unwrap().pop();
        let expected = Command::Replay { destination: name("crm"), from: expected.clone() };
        assert_eq!(told, Some(expected), "since {since}");
    }

    replay("yesterday").await.invalid("/since");
    server.post("/v1/destinations/crm/replay", JSON, "{}").await.problem(422, "invalid");
    *server.worker.answer.lock().unwrap() = Some(Ok(false));
    replay("beginning").await.problem(404, "not-found");
}

#[tokio::test]
async fn a_command_that_cannot_be_done_says_why() {
    let server = Server::new();
    let path = "/v1/destinations/crm/keys/retry";
    server.post(path, JSON, r#"{"key":"order-7"}"#).await.invalid("/key");
    server.post(path, JSON, r#"{"key":"all","x":1}"#).await.problem(422, "invalid");
    server.post("/v1/destinations/C%20R/resume", JSON, "").await.invalid("destination");
    assert!(server.worker.told.lock().unwrap().is_empty());
    *server.worker.answer.lock().unwrap() = Some(Ok(false));
    server.post(path, JSON, r#"{"key":"all"}"#).await.problem(404, "not-found");
    *server.worker.answer.lock().unwrap() = Some(Err("another worker has the partition".into()));
    let problem = server.post(path, JSON, r#"{"key":"all"}"#).await.problem(409, "conflict");
    assert_eq!(problem.detail, "another worker has the partition");
}

#[tokio::test]
async fn only_a_destination_that_left_the_configuration_is_forgotten() {
    let server = Server::new();
    server.reports(vec![destination("billing", true), destination("gone", false)]);
    server.bury("billing", r#"{"type":"a","key":"k"}"#).await;
    server.bury("gone", r#"{"type":"a","key":"k"}"#).await;
    let forget = |called: &str| {
        let request = Request::delete(format!("/v1/destinations/{called}/progress")).body(Body::empty()).unwrap();
        server.send(request)
    };
    forget("billing").await.problem(409, "conflict");
    assert!(server.worker.told.lock().unwrap().is_empty());
    assert!(forget("gone").await.read::<Done>().done);
    assert_eq!(*server.worker.told.lock().unwrap(), [Command::Forget { destination: name("gone") }]);
    forget("gone").await.problem(404, "not-found");
    let left: Vec<_> = server.store.counts().await.unwrap().into_iter().map(|count| count.destination).collect();
    assert_eq!(left, [name("billing")]);
}

/// A worker that has a commit on its way when it is told to forget.
struct Late {
    store: Arc<MemoryStore>,
    lease: Lease,
}

#[async_trait]
impl WorkerControl for Late {
    async fn status(&self) -> Option<StatusReport> {
        Some(StatusReport::default())
    }

    async fn command(&self, _: Command) -> Result<bool, String> {
        let change = LaneChange { position: Some(Position::At(Offset(0))), ..LaneChange::default() };
        let commit = Commit { lanes: [(name("gone"), change)].into(), ..Commit::default() };
        self.store.commit(&self.lease, &commit).await.map_err(|error| error.to_string())?;
        Ok(true)
    }

    async fn not_ready(&self) -> Vec<String> {
        Vec::new()
    }
}

#[tokio::test]
async fn a_commit_on_its_way_does_not_bring_a_forgotten_destination_back() {
    let Server { store, worker, .. } = Server::new();
    let lease = store.claim(Partition(0), &WorkerId("w".into()), Duration::from_secs(5)).await.unwrap().unwrap();
    let late = crate::operations(Arc::new(Late { store: store.clone(), lease }), &store);
    let api = Api {
        log: None,
        dead_letters: store.clone(),
        lookup: None,
        operations: Some(late),
        destinations: None,
        token_admin: None,
        tenant_admin: None,
        tenant_door: None,
        metrics: Arc::new(String::new),
        spans: None,
        limits: Limits::default().into(),
        tokens: laneway_http::Tokens::default(),
        tenants: laneway_http::CurrentActBounds::default(),
        hosts: laneway_http::Hosts::default(),
    };
    let server = Server { router: router(api), store, worker };
    let forget = Request::delete("/v1/destinations/gone/progress").body(Body::empty()).unwrap();
    assert!(server.send(forget).await.read::<Done>().done);
    assert!(server.store.load(Partition(0)).await.unwrap().lanes.is_empty());
}

#[tokio::test]
async fn forgetting_is_not_done_while_a_worker_may_bring_it_back() {
    let server = Server::new();
    server.bury("gone", r#"{"type":"a","key":"k"}"#).await;
    let forget = || server.send(Request::delete("/v1/destinations/gone/progress").body(Body::empty()).unwrap());
    *server.worker.report.lock().unwrap() = Some(StatusReport::default());
    *server.worker.answer.lock().unwrap() = Some(Err("worker w1 has not answered".into()));
    let problem = forget().await.problem(409, "conflict");
    assert!(problem.detail.contains("worker w1 has not answered"), "{}", problem.detail);
    *server.worker.answer.lock().unwrap() = Some(Ok(true));
    forget().await.problem(404, "not-found");
    assert_eq!(server.worker.told.lock().unwrap().len(), 2, "the workers are told again all the same");
}

#[tokio::test]
async fn a_replay_that_would_end_before_it_begins_is_refused() {
    let server = Server::new();
    server.reports(vec![destination("billing", true)]);
    for body in [
        r#"{"from":"2026-01-31T10:00:00Z","to":"2026-01-31T09:00:00Z"}"#,
        r#"{"from":"2026-01-31T10:00:00Z","to":"2026-01-31T10:00:00Z","dry_run":true}"#,
        r#"{"to":"beginning"}"#,
    ] {
        let begin = Request::put("/v1/destinations/billing/replays/r").header("content-type", JSON);
        let problem = server.send(begin.body(Body::from(body)).unwrap()).await.problem(422, "invalid");
        assert_eq!(problem.field.as_deref(), Some("/to"), "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_replay_that_is_still_there_has_not_ended() {
    let server = Server::new();
    let replay = r#"{"id":"r","asked_at":1,"selection":{},"first":false,"partitions":[]}"#;
    let replay = serde_json::from_str(replay).unwrap();
    let destination = DestinationStatus { replays: vec![replay], ..DestinationStatus::idle(name("a"), true) };
    let report = StatusReport { destinations: vec![destination], ..StatusReport::default() };
    *server.worker.report.lock().unwrap() = Some(report);
    let end = || Request::delete("/v1/destinations/a/replays/r").body(Body::empty()).unwrap();
    let answer = server.send(end()).await;
    assert_eq!((answer.status.as_u16(), answer.read::<Done>().done), (202, false), "no partition has stored its end");
    let gone = DestinationStatus::idle(name("a"), true);
    let report = StatusReport { destinations: vec![gone], ..StatusReport::default() };
    *server.worker.report.lock().unwrap() = Some(report);
    let answer = server.send(end()).await;
    assert_eq!((answer.status.as_u16(), answer.read::<Done>().done), (200, true));
}

#[tokio::test]
async fn a_payload_that_is_not_json_is_shown_in_base64() {
    let server = Server::new();
    let body = r#"{"specversion":"1.0","id":"1","source":"s","type":"t","datacontenttype":"text/plain","data":"hi"}"#;
    let accepted = server.post("/v1/events", crate::CLOUDEVENT, body).await.accepted();
    let event = server.only().await;
    let again = NewEvent { event, id_given: true };
    assert!(server.store.append(vec![again]).await[0].as_ref().unwrap().duplicate);
    let worker = WorkerId("w".into());
    let lease = server.store.claim(accepted.partition, &worker, Duration::from_secs(5)).await.unwrap().unwrap();
    let retry =
        RetryState { attempts: 1, first_failure: Timestamp::ZERO, next_attempt: NextAttempt::Never, history: vec![] };
    let given_up = GivenUp {
        destination: name("a"),
        offset: accepted.offset,
        key: LaneKey::Event(accepted.offset),
        at: Timestamp::ZERO,
        reason: "x".into(),
        retry,
    };
    server.store.commit(&lease, &Commit { dead_letters: vec![given_up], ..Commit::default() }).await.unwrap();
    let path = format!("/v1/dead-letters/a/{}/{}", accepted.partition, accepted.offset);
    let dead: DeadEvent = server.get(&path).await.read();
    assert_eq!((dead.event.data_base64.as_deref(), dead.event.data.is_none()), (Some("aGk="), true));
}

#[tokio::test]
async fn a_destination_that_does_not_exist_is_said_not_to_exist_wherever_it_is_named() {
    let server = Server::new();
    server.reports(vec![destination("billing", true)]);
    server.bury("left-over", r#"{"type":"a","key":"k"}"#).await;
    *server.worker.answer.lock().unwrap() = Some(Ok(false));
    let key = r#"{"key":"key:k"}"#;
    for (method, path, body) in [
        ("GET", "/v1/status?destination=NAME", ""),
        ("GET", "/v1/dead-letters?destination=NAME", ""),
        ("GET", "/v1/dead-letters?destination=NAME&key=k&event_id=e", ""),
        ("POST", "/v1/dead-letters/retry", r#"{"destination":"NAME"}"#),
        ("POST", "/v1/dead-letters/discard", r#"{"destination":"NAME","key":"other"}"#),
        ("POST", "/v1/dead-letters/discard", r#"{"destination":"NAME","statuses":[422],"dry_run":true}"#),
        ("POST", "/v1/destinations/NAME/keys/retry", key),
        ("POST", "/v1/destinations/NAME/keys/skip", key),
        ("POST", "/v1/destinations/NAME/resume", "{}"),
        ("POST", "/v1/destinations/NAME/replay", r#"{"since":"beginning"}"#),
        ("DELETE", "/v1/destinations/NAME/progress", ""),
    ] {
        let ask = |name: &str| {
            let request = Request::builder().method(method).uri(path.replace("NAME", name));
            let request = request.header("content-type", JSON);
            server.send(request.body(Body::from(body.replace("NAME", name))).unwrap())
        };
        let problem = ask("biling").await.problem(404, "not-found");
        assert_eq!(problem.detail, "there is no destination biling", "{method} {path}");
        assert_eq!(problem.field.as_deref(), Some("destination"), "{method} {path}");
        // Those that a worker knows, and those of which only dead letters are left, exist.
        for known in ["billing", "left-over"] {
            let text = String::from_utf8(ask(known).await.body.to_vec()).unwrap();
            let forgotten = method == "DELETE" && known == "left-over";
            assert!(forgotten || !text.contains("there is no destination"), "{method} {path} of {known}: {text}");
        }
    }
}

#[tokio::test]
async fn the_status_of_one_destination_is_of_it_alone() {
    let server = Server::new();
    server.reports(vec![destination("billing", true), destination("crm", true)]);
    server.bury("billing", r#"{"type":"a","key":"k"}"#).await;
    server.bury("gone", r#"{"type":"a","key":"k"}"#).await;
    let of = async |name: &str| server.get(&format!("/v1/status?destination={name}")).await.read::<Status>();
    let billing = of("billing").await;
    assert_eq!(
        billing.destinations.iter().map(|d| (d.status.name.as_str(), d.dead_letters)).collect::<Vec<_>>(),
        [("billing", 1)]
    );
    assert!(billing.other_dead_letters.is_empty());
    assert_eq!(of("gone").await.other_dead_letters, [(name("gone"), 1)].into());
    server.get("/v1/status?destination=B").await.invalid("destination");
    server.get("/v1/status?destinaton=billing").await.problem(422, "invalid");
}

#[tokio::test]
async fn what_resume_cannot_end_is_said() {
    let server = Server::new();
    let paused = DestinationStatus {
        paused: Some(laneway_domain::PAUSED_IN_CONFIGURATION.to_owned()),
        ..destination("paused", true)
    };
    server.reports(vec![destination("running", true), paused]);
    for (acted, name, expected) in [
        (false, "running", "running is not paused and its breaker is closed: there is nothing to resume"),
        (false, "paused", "paused is paused in the configuration; set paused = false in its settings"),
        // It also had a pause of Laneway's own, which has ended.
        (true, "paused", "paused is paused in the configuration; set paused = false in its settings"),
    ] {
        *server.worker.answer.lock().unwrap() = Some(Ok(acted));
        let answer = server.post(&format!("/v1/destinations/{name}/resume"), JSON, "{}").await;
        assert_eq!(answer.problem(409, "conflict").detail, expected);
    }
}

#[tokio::test]
async fn of_dead_letters_that_share_an_id_those_of_the_tenant_or_place_are_meant() {
    let server = Server::new();
    let event = |tenant: &str| format!(r#"{{{tenant}"id":"e","key":"k","type":"t","source":"s","data":1}}"#);
    let (_, _) = server.bury("billing", &event("")).await;
    let (partition, offset) = server.bury("billing", &event(r#""tenant":"acme","#)).await;
    server.bury("billing", &event(r#""tenant":"globex","#)).await;
    let page: DeadLetterPage = server.get("/v1/dead-letters?tenant=acme&key=k").await.read();
    let found: Vec<_> = page.dead_letters.iter().map(|letter| (letter.partition, letter.offset)).collect();
    assert_eq!(found, [(partition, offset)]);
    assert_eq!(page.dead_letters[0].tenant.as_ref().map(ToString::to_string).as_deref(), Some("acme"));
    let discard = async |body: String| server.post("/v1/dead-letters/discard", JSON, body).await;
    let place = format!(r#"{{"partition":{partition},"offset":{offset}}}"#);
    let other = format!(r#"{{"destination":"billing","tenant":"globex","event_id":"e","places":[{place}]}}"#);
    assert_eq!(discard(other).await.read::<Count>().count, 0);
    let body = format!(r#"{{"destination":"billing","event_id":"e","places":[{place}]}}"#);
    assert_eq!(discard(body).await.read::<Count>().count, 1);
    let of_globex = r#"{"destination":"billing","tenant":"globex","event_id":"e"}"#;
    assert_eq!(discard(of_globex.to_owned()).await.read::<Count>().count, 1);
    let page: DeadLetterPage = server.get("/v1/dead-letters").await.read();
    assert_eq!(page.dead_letters.iter().map(|letter| &letter.tenant).collect::<Vec<_>>(), [&None]);
    let many = vec![place; 101].join(",");
    discard(format!(r#"{{"destination":"billing","places":[{many}]}}"#)).await.invalid("/places");
    discard(r#"{"destination":"acme:x","tenant":"globex"}"#.to_owned()).await.problem(409, "conflict");
}
