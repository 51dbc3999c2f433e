//! What each change answers, and what it leaves behind.

use super::*;
use laneway_domain::{Event, EventId, EventType, NewEvent, Partition};
use std::collections::BTreeSet;

#[tokio::test(start_paused = true)]
async fn a_change_says_from_which_offsets_on_it_judges() {
    let process = Process::new().await;
    let id = |n: u32| NewEvent {
        event: Event::new(EventId::new(&format!("e{n}")).unwrap(), EventType::new("t").unwrap(), "1".into()),
        id_given: true,
    };
    for result in process.stores.log.append((0..40).map(id).collect()).await {
        result.unwrap();
    }
    let mut ends = serde_json::Map::new();
    for partition in (0..PARTITIONS).map(Partition) {
        let end = process.stores.log.bounds(partition).await.unwrap().end;
        ends.insert(partition.to_string(), json!(end.0));
    }
    let made = process.put("billing", &console()).await.is(201);
    assert_eq!(made.json["cuts"], Json::Object(ends), "{made:?}");
    assert_eq!((&made.json["pending"], &made.json["in_flight"]), (&json!([]), &json!(0)));
    assert_eq!((&made.json["name"], made.tag()), (&json!("billing"), format!("\"{}\"", made.revision())));
    // The same again changes nothing; something else is another revision.
    let same = process.put("billing", &console()).await.is(200);
    assert_eq!(same.revision(), made.revision());
    let other = process.patch("billing", &json!({"rate": 5})).await.is(200);
    assert!(other.revision() > made.revision());
    let shown = process.get("/v1/destinations/billing").await.is(200);
    assert_eq!(shown.tag(), other.tag());
    assert_eq!(
        shown.json,
        json!({"name": "billing", "revision": other.revision(), "made_at": made.revision(), "origin": "api",
            "state": "active", "settings": {"url": "console:", "rate": 5}})
    );
    let unchanged = process.send("GET", "/v1/destinations/billing", &[("if-none-match", &shown.tag())], "").await;
    assert_eq!(unchanged.is(304).tag(), shown.tag());
    // What changed it, with the same cuts as then.
    let changes = process.get("/v1/destinations/billing/changes").await.is(200);
    let items = changes.json["items"].as_array().unwrap();
    assert_eq!(items.iter().map(|item| &item["what"]).collect::<Vec<_>>(), ["changed rate", "made"]);
    assert_eq!(items[1]["cuts"], made.json["cuts"]);
    assert!(items.iter().all(|item| item["by"] == "the interface without tokens"));
    assert!(items[0]["at"].as_str().unwrap().ends_with('Z'));
}

#[tokio::test(start_paused = true)]
async fn a_merge_patch_changes_what_it_names_and_nothing_else() {
    let process = Process::new().await;
    let settings =
        json!({"url": "https://h.example/x", "types": ["a.*"], "retry": {"initial": "2s", "limit": "1h"}, "rate": 5});
    process.put("a", &settings).await.is(201);
    let table = [
        (
            json!({}),
            json!({"url": "https://h.example/…", "types": ["a.*"], "retry": {"initial": "2s", "limit": "1h"}, "rate": 5}),
        ),
        (
            json!({"rate": null}),
            json!({"url": "https://h.example/…", "types": ["a.*"], "retry": {"initial": "2s", "limit": "1h"}}),
        ),
        (
            json!({"retry": {"limit": "2h"}}),
            json!({"url": "https://h.example/…", "types": ["a.*"], "retry": {"initial": "2s", "limit": "2h"}}),
        ),
        (
            json!({"retry": {"limit": null}, "types": ["b"]}),
            json!({"url": "https://h.example/…", "types": ["b"], "retry": {"initial": "2s"}}),
        ),
        (
            json!({"breaker": false}),
            json!({"url": "https://h.example/…", "types": ["b"], "retry": {"initial": "2s"}, "breaker": false}),
        ),
        (
            json!({"breaker": {"failures": 3}}),
            json!({"url": "https://h.example/…", "types": ["b"], "retry": {"initial": "2s"}, "breaker": {"failures": 3}}),
        ),
    ];
    for (patch, expected) in table {
        process.patch("a", &patch).await.is(200);
        assert_eq!(process.settings("a").await, expected, "{patch}");
    }
    let patch = [("content-type", "application/merge-patch+json")];
    process.send("PATCH", "/v1/destinations/a", &patch, r#"{"rate":1}"#).await.is(200);
    process.patch("b", &json!({"rate": 1})).await.problem(404, "not-found");
}

#[tokio::test(start_paused = true)]
async fn two_writers_do_not_undo_each_other() {
    let process = Process::new().await;
    let send = async |method: &str, header: (&str, &str), body: &str| {
        process.send(method, "/v1/destinations/a", &[header], body.to_owned()).await
    };
    let console = console().to_string();
    send("PUT", ("if-match", "*"), &console).await.problem(412, "precondition-failed");
    let made = send("PUT", ("if-none-match", "*"), &console).await.is(201);
    let refused = send("PUT", ("if-none-match", "*"), &console).await.problem(412, "precondition-failed");
    assert!(refused["detail"].as_str().unwrap().contains(&made.revision().to_string()), "{refused}");
    let tag = made.tag();
    let (one, other) = tokio::join!(
        send("PATCH", ("if-match", &tag), r#"{"rate":1}"#),
        send("PATCH", ("if-match", &tag), r#"{"rate":2}"#)
    );
    let mut both = [one.status.as_u16(), other.status.as_u16()];
    both.sort_unstable();
    assert_eq!(both, [200, 412], "{one:?} {other:?}");
    send("DELETE", ("if-match", &tag), "").await.problem(412, "precondition-failed");
    // Without a condition each finds its gap.
    let (rate, in_flight) = (json!({"rate": 3}), json!({"max_in_flight": 4}));
    let (one, other) = tokio::join!(process.patch("a", &rate), process.patch("a", &in_flight));
    assert_eq!((one.status, other.status), (StatusCode::OK, StatusCode::OK));
    assert_eq!(process.settings("a").await, json!({"url": "console:", "rate": 3, "max_in_flight": 4}));
}

#[tokio::test(start_paused = true)]
async fn what_is_deleted_is_gone_and_made_again_it_is_another() {
    let process = Process::new().await;
    process.delete("a").await.problem(404, "not-found");
    let first = process.put("a", &console()).await.is(201);
    let gone = process.delete("a").await.is(200);
    assert_eq!((&gone.json["pending"], &gone.json["in_flight"]), (&json!([]), &json!(0)));
    for path in ["/v1/destinations/a", "/v1/destinations/b"] {
        assert_eq!(process.get(path).await.problem(404, "not-found")["field"], "destination");
    }
    process.delete("a").await.problem(404, "not-found");
    let items = process.get("/v1/destinations/a/changes").await.is(200).json["items"].clone();
    assert_eq!(
        items.as_array().unwrap().iter().map(|item| &item["what"]).collect::<Vec<_>>(),
        ["deleted; no event waited for it", "made"]
    );
    let second = process.put("a", &console()).await.is(201);
    assert!(second.revision() > first.revision());
    assert_eq!(process.get("/v1/destinations/a").await.json["made_at"], second.revision());
}

#[tokio::test(start_paused = true)]
async fn a_pause_lasts_until_it_is_ended() {
    let process =
        Process::with(Setup { file: of_file("[[destination]]\nname = 'f'\nurl = 'console:'"), ..Setup::default() })
            .await;
    process.put("a", &console()).await.is(201);
    for name in ["a", "f"] {
        let path = format!("/v1/destinations/{name}");
        let paused = process.post(&format!("{path}/pause"), &json!({"reason": "they move house"})).await.is(200);
        assert_eq!(paused.json["in_flight"], 0);
        let shown = process.get(&path).await.json;
        assert_eq!((&shown["state"], &shown["paused"]["reason"]), (&json!("paused"), &json!("they move house")));
        let status = process.get(&format!("/v1/status?destination={name}")).await.is(200).json;
        let told = status["destinations"][0]["paused"].as_str().unwrap_or_default().to_owned();
        assert!(told.contains("they move house"), "{status}");
        // Who paused it first, and why, stays.
        let again = process.send("POST", &format!("{path}/pause"), &[], "").await.is(200);
        assert_eq!(again.revision(), paused.revision());
        let resumed = process.post(&format!("{path}/resume"), &json!({})).await.is(200);
        assert_eq!(resumed.json["done"], true);
        assert_eq!(process.get(&path).await.json["state"], "active");
        process.post(&format!("{path}/resume"), &json!({})).await.problem(409, "conflict");
    }
    process.post("/v1/destinations/nobody/pause", &json!({})).await.problem(404, "not-found");
}

#[tokio::test(start_paused = true)]
async fn what_the_file_defines_is_changed_in_the_file() {
    let process =
        Process::with(Setup { file: of_file("[[destination]]\nname = 'f'\nurl = 'console:'"), ..Setup::default() })
            .await;
    let before = process.last().await;
    for answer in
        [process.put("f", &console()).await, process.patch("f", &json!({"rate": 1})).await, process.delete("f").await]
    {
        let problem = answer.problem(409, "conflict");
        assert!(problem["detail"].as_str().unwrap().contains("configuration file"), "{problem}");
    }
    assert_eq!(process.last().await, before);
    assert_eq!(process.get("/v1/destinations/f").await.json["origin"], "file");
    let adopted = process.send("PUT", "/v1/destinations/f?adopt=true", &[], console().to_string()).await.is(200);
    let shown = process.get("/v1/destinations/f").await.json;
    assert_eq!((&shown["origin"], &shown["made_at"]), (&json!("api"), &json!(0)), "{adopted:?}");
    process.delete("f").await.is(200);
}

#[tokio::test(start_paused = true)]
async fn a_list_has_pages_and_states() {
    let process = Process::new().await;
    let changes: Vec<Json> =
        (0..7).map(|n| json!({"op": "put", "name": format!("d{n}"), "settings": console()})).collect();
    process.post("/v1/destinations", &json!({ "changes": changes })).await.is(200);
    process.post("/v1/destinations/d3/pause", &json!({})).await.is(200);
    let names = |list: &Json| -> Vec<String> {
        list["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
    };
    let (mut seen, mut path) = (Vec::new(), "/v1/destinations?limit=3".to_owned());
    loop {
        let list = process.get(&path).await.is(200).json;
        assert_eq!(list["incomplete"], json!([]));
        seen.extend(names(&list));
        let Some(next) = list["next"].as_str() else { break };
        path = format!("/v1/destinations?limit=3&after={next}");
    }
    assert_eq!(seen, (0..7).map(|n| format!("d{n}")).collect::<Vec<_>>());
    assert_eq!(names(&process.get("/v1/destinations?state=paused").await.is(200).json), ["d3"]);
    assert_eq!(names(&process.get("/v1/destinations?state=active&limit=3&after=d1").await.json), ["d2", "d4", "d5"]);
    for query in ["limit=0", "limit=1001", "limit=x", "state=bad", "after=%20", "page=2"] {
        process.get(&format!("/v1/destinations?{query}")).await.problem(422, "invalid");
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_makes_each_change_by_itself() {
    let process = Process::new().await;
    process.put("old", &console()).await.is(201);
    let changes = json!({"changes": [
        {"op": "put", "name": "a", "settings": {"url": "console:"}},
        {"op": "put", "name": "bad", "settings": {"url": "console:", "rat": 1}},
        {"op": "patch", "name": "old", "settings": {"rate": 3}},
        {"op": "patch", "name": "nobody", "settings": {}},
        {"op": "put", "name": "old2", "settings": {"url": "console:"}, "if_match": "*"},
        {"op": "put", "name": "a", "settings": {"url": "console:", "rate": 9}},
        {"op": "pause", "name": "old3", "reason": "x"},
    ]});
    let mut asked = changes.clone();
    asked["dry_run"] = json!(true);
    let (before, kept) = (process.last().await, process.kept().await);
    let preview = process.post("/v1/destinations", &asked).await.is(200);
    assert_eq!((process.last().await, process.kept().await), (before, kept), "nothing is changed");
    let answer = process.post("/v1/destinations/batch", &changes).await.is(200);
    let told = |answer: &Answer| {
        let results = answer.json["results"].as_array().unwrap().iter();
        results.map(|result| (result["status"].clone(), result["what"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(told(&preview), told(&answer));
    assert_eq!((&told(&answer)[0].1, &told(&answer)[2].1), (&json!("made"), &json!("changed rate")));
    let again = json!({"changes": [{"op": "patch", "name": "old", "settings": {"rate": 3}}], "dry_run": true});
    let again = process.post("/v1/destinations", &again).await.is(200);
    assert_eq!(told(&again), [(json!(200), Json::Null)], "it is so already");
    let results = answer.json["results"].as_array().unwrap();
    let statuses: Vec<u64> = results.iter().map(|result| result["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [201, 422, 200, 404, 412, 409, 404], "{answer:?}");
    assert_eq!(results[1]["problem"]["field"], "/rat");
    assert_eq!(answer.json["cuts"].as_object().unwrap().len(), PARTITIONS as usize);
    assert_eq!(process.settings("a").await, console());
    assert_eq!(process.settings("old").await["rate"], 3);
    let too_many: Vec<Json> = (0..1001).map(|n| json!({"op": "delete", "name": format!("d{n}")})).collect();
    process.post("/v1/destinations", &json!({ "changes": too_many })).await.problem(413, "batch-too-large");
    for (change, field) in [
        (json!({"op": "put", "name": "x"}), "/changes/0/settings"),
        (json!({"op": "delete", "name": "x", "settings": {}}), "/changes/0/settings"),
    ] {
        let problem = process.post("/v1/destinations", &json!({ "changes": [change] })).await.problem(422, "invalid");
        assert_eq!(problem["field"], field);
    }
}

/// Each word of a path is tried as a name: no route may hide a destination that is called like it.
#[tokio::test(start_paused = true)]
async fn no_name_is_taken_by_a_route() {
    let words: BTreeSet<&str> = laneway_http::routes()
        .flat_map(|route| route.path.split('/'))
        .filter(|word| DestinationName::new(word).is_ok())
        .chain(["batch"])
        .collect();
    assert!(words.len() > 10, "{words:?}");
    let process = Process::new().await;
    for word in words {
        process.put(word, &console()).await.is(201);
        process.patch(word, &json!({"rate": 3})).await.is(200);
        assert_eq!(process.settings(word).await["rate"], 3, "{word}");
        let path = format!("/v1/destinations/{word}");
        process.get(&format!("{path}/changes")).await.is(200);
        process.post(&format!("{path}/pause"), &json!({})).await.is(200);
        process.post(&format!("{path}/resume"), &json!({})).await.is(200);
        let put = json!({"op": "put", "name": word, "settings": console()});
        process.post("/v1/destinations", &json!({ "changes": [put] })).await.is(200);
        process.send("DELETE", &path, &[], "").await.is(200);
    }
}

#[tokio::test(start_paused = true)]
async fn what_nobody_takes_over_is_told_as_pending() {
    let process = Process::with(Setup { works: false, ..Setup::default() }).await;
    let answer = process.put("a", &console()).await.is(202);
    assert_eq!(answer.json["pending"], json!([0, 1, 2, 3]));
    assert_eq!((&answer.json["cuts"], &answer.json["in_flight"]), (&json!({}), &json!(0)));
    // It stands all the same, and whether something is in flight is not known.
    assert_eq!(process.settings("a").await, console());
    assert_eq!(process.post("/v1/destinations/a/pause", &json!({})).await.is(202).json["in_flight"], Json::Null);
}

#[tokio::test]
async fn a_pause_tells_what_is_still_in_flight() {
    // Takes connections, and never answers.
    let receiver = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", receiver.local_addr().unwrap());
    let egress = EgressPolicy { allow: vec!["127.0.0.0/8".parse().unwrap()], ..EgressPolicy::default() };
    let process = Process::with(Setup { egress, patience: Duration::from_secs(2), ..Setup::default() }).await;
    process.put("a", &json!({"url": url, "timeout": "60s"})).await.is(201);
    process.post("/v1/events", &json!({"type": "t", "key": "k"})).await.is(202);
    let (_held, _) = receiver.accept().await.unwrap();
    let answer = process.post("/v1/destinations/a/pause", &json!({})).await.is(202);
    assert_eq!((&answer.json["pending"], &answer.json["in_flight"]), (&json!([]), &json!(1)));
}

/// A tenant that could use what the operator opens for itself could look at every port there.
#[tokio::test]
async fn what_the_operator_opens_for_itself_is_not_open_to_tenants() {
    // Takes connections, and says nothing.
    let receiver = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, taken) = (receiver.local_addr().unwrap().port(), async || receiver.accept().await.unwrap());
    let allow = || vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
    let open = || EgressPolicy { allow: allow(), ..EgressPolicy::default() };
    let process = Process::with(Setup { egress: open(), ..Setup::default() }).await;
    process.put("a", &json!({"url": format!("http://127.0.0.1:{port}/")})).await.is(201);
    process.post("/v1/events", &json!({"type": "t", "key": "k"})).await.is(202);
    drop(taken().await);
    let by_address = json!({"url": format!("https://127.0.0.1:{port}/")});
    let refused = process.put("acme:a", &by_address).await.problem(422, "invalid");
    assert!(refused.to_string().contains("tenants.egress_allow = "), "{refused}");
    // What a name leads to is known when it is connected to.
    let by_name = json!({"url": format!("https://localhost:{port}/")});
    process.put("acme:a", &by_name).await.is(201);
    let told = process.post("/v1/destinations/acme:a/test", &json!({})).await.is(200).json;
    assert_eq!(told["delivered"], false, "{told}");
    let said = told.to_string();
    assert!(said.contains("localhost is not permitted"), "{said}");
    assert!(!said.contains("127.0.0.1") && !said.contains("::1"), "it tells an address: {said}");
    // If tenants are to reach it, that is said for them.
    let setup = Setup { egress: EgressPolicy::default(), egress_of_tenants: allow(), ..Setup::default() };
    let process = Process::with(setup).await;
    for settings in [by_address, by_name] {
        let there = process.put("acme:a", &settings).await;
        assert!(there.status.is_success(), "{there:?}");
        let nothing = json!({});
        let test = process.post("/v1/destinations/acme:a/test", &nothing);
        let (told, ()) = tokio::join!(test, async { drop(taken().await) });
        assert!(!told.is(200).json.to_string().contains("not permitted"));
    }
    let own = json!({"url": format!("http://127.0.0.1:{port}/")});
    assert!(process.put("a", &own).await.problem(422, "invalid").to_string().contains(" egress.allow = "));
}

#[tokio::test(start_paused = true)]
async fn a_test_goes_through_the_real_sink() {
    let process = Process::new().await;
    process.put("a", &console()).await.is(201);
    let answer = process.post("/v1/destinations/a/test", &json!({})).await.is(200).json;
    assert_eq!(
        (&answer["name"], &answer["delivered"], &answer["outcome"]),
        (&json!("a"), &json!(true), &json!("delivered"))
    );
    assert!(answer["event_id"].as_str().unwrap().starts_with("test_"));
    process.post("/v1/destinations/b/test", &json!({})).await.problem(404, "not-found");
}

#[tokio::test(start_paused = true)]
async fn the_journal_names_the_token() {
    let token = |text: &str| Token::new(text).unwrap();
    let tokens = vec![
        token("one-for-everything"),
        token("the-one-of-the-shop").named("shop", Roles::of([Role::Admin, Role::Read])),
    ];
    let process = Process::with(Setup { tokens, ..Setup::default() }).await;
    for (secret, by) in [("the-one-of-the-shop", "the token shop"), ("one-for-everything", "a token of server.tokens")]
    {
        let authorization = format!("Bearer {secret}");
        let headers = [("authorization", authorization.as_str())];
        let body = json!({"url": "console:", "rate": secret.len()}).to_string();
        assert!(process.send("PUT", "/v1/destinations/a", &headers, body).await.status.is_success());
        let changes = process.send("GET", "/v1/destinations/a/changes", &headers, "").await.is(200).json;
        assert_eq!(changes["items"][0]["by"], by);
    }
}

/// An event of this type in each partition, as far as so many ids reach them all.
async fn events_everywhere(process: &Process, event_type: &str) {
    let id = |n: u32| NewEvent {
        event: Event::new(
            EventId::new(&format!("{event_type}-{n}")).unwrap(),
            EventType::new(event_type).unwrap(),
            "1".into(),
        ),
        id_given: true,
    };
    for result in process.stores.log.append((0..40).map(id).collect()).await {
        result.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn filters_of_before_are_kept_for_as_long_as_there_are_events_that_they_judge() {
    let process = Process::new().await;
    let types = |n: usize| json!({"url": "console:", "types": [format!("t{n}")]});
    process.put("a", &types(0)).await.is(201);
    process.post("/v1/destinations/a/pause", &json!({})).await.is(200);
    let former = async || {
        let name = DestinationName::new("a").unwrap();
        let found = process.stores.registry.records(&[name]).await.unwrap();
        found[0].filters.former.iter().map(|former| former.filter.clone()).collect::<Vec<_>>()
    };
    let trim = async || {
        let mut left = 0;
        for partition in (0..PARTITIONS).map(Partition) {
            process
                .stores
                .log
                .trim(partition, laneway_domain::Timestamp::from_millis(u64::MAX / 4), 10_000)
                .await
                .unwrap();
            let bounds = process.stores.log.bounds(partition).await.unwrap();
            left += bounds.end.0 - bounds.start.0;
        }
        left
    };
    for n in 1..30 {
        events_everywhere(&process, &format!("t{}", n - 1)).await;
        process.patch("a", &json!({"types": [format!("t{n}")]})).await.is(200);
    }
    // Everything waits for it: each of its filters judges some of that.
    assert_eq!(trim().await, 29 * 40);
    process.patch("a", &json!({"types": ["t30"]})).await.is(200);
    let kept = former().await;
    assert_eq!(kept.len(), 30);
    // All is settled and trimmed: none but the last judges anything that could still be asked for.
    process.post("/v1/destinations/a/resume", &json!({})).await.is(200);
    while trim().await > 0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    process.patch("a", &json!({"types": ["t31"]})).await.is(200);
    assert_eq!(
        former().await,
        [laneway_domain::Filter {
            types: vec![laneway_domain::TypePattern::new("t30").unwrap()],
            ..Default::default()
        }]
    );
}

/// Whoever resumes says what they have seen, as whoever pauses does.
#[tokio::test(start_paused = true)]
async fn a_destination_is_resumed_only_in_the_state_that_is_expected() {
    let process = Process::new().await;
    let made = process.put("a", &console()).await.is(201);
    let resume = async |tag: &str| process.send("POST", "/v1/destinations/a/resume", &[("if-match", tag)], "{}").await;
    // Nobody has paused it, and it is at another revision than somebody believes.
    resume("\"1000\"").await.problem(412, "precondition-failed");
    let tag = made.tag();
    let paused = process.send("POST", "/v1/destinations/a/pause", &[("if-match", &tag)], "{}").await.is(200);
    resume(&tag).await.problem(412, "precondition-failed");
    assert!(process.get("/v1/destinations/a").await.json["paused"].is_object(), "it is still paused");
    let resumed = resume(&paused.tag()).await.is(200);
    assert!(resumed.revision() > paused.revision() && resumed.tag() == format!("\"{}\"", resumed.revision()));
    assert!(process.get("/v1/destinations/a").await.json["paused"].is_null());
}

/// An `ingest` hears of workers what they left in the store up to some seconds ago.
#[tokio::test]
async fn what_no_worker_has_told_of_yet_is_known_all_the_same() {
    let patience = Duration::from_millis(50);
    let process = Process::with(Setup { works: false, elsewhere: true, patience, ..Setup::default() }).await;
    process.put("new", &console()).await.is(202);
    for (name, status) in [("new", 409), ("nobody", 404)] {
        process.post(&format!("/v1/destinations/{name}/resume"), &json!({})).await.is(status);
    }
    let paused = process.post("/v1/destinations/new/pause", &json!({})).await.is(202);
    assert_eq!(paused.json["in_flight"], Json::Null, "what was left before the change says nothing of it");
    process.post("/v1/destinations/new/resume", &json!({})).await.is(202);
    for (name, status) in [("new", 200), ("nobody", 404)] {
        process.post("/v1/dead-letters/retry", &json!({"destination": name})).await.is(status);
    }
    for what in ["keys/retry", "keys/skip"] {
        let body = json!({"key": "key:k"});
        let said = process.post(&format!("/v1/destinations/new/{what}"), &body).await.is(404).json;
        assert!(said["detail"].as_str().unwrap().contains("not blocked"), "{said}");
    }
}

/// What left the configuration file and is forgotten is listed, waited for and tested no more, and its name is free.
#[tokio::test(start_paused = true)]
async fn what_is_forgotten_leaves_the_registry() {
    let file =
        of_file("[[destination]]\nname = 'gone'\nurl = 'console:'\n[[destination]]\nname = 'b'\nurl = 'console:'");
    let process = Process::with(Setup { file: file.clone(), ..Setup::default() }).await;
    let forget = || process.send("DELETE", "/v1/destinations/gone/progress", &[], "");
    forget().await.problem(409, "conflict");
    let kept: BTreeMap<_, _> = file[1..].iter().map(|known| (known.destination.name.clone(), known)).collect();
    apply(&process.stores, "laneway.toml", &kept).await.unwrap();
    assert_eq!(process.get("/v1/destinations/gone").await.is(200).json["state"], "left");
    // Its worker lets go of it first.
    for _ in 0..500 {
        let forgotten = forget().await;
        if forgotten.status == StatusCode::OK {
            break;
        }
        forgotten.problem(409, "conflict");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    process.get("/v1/destinations/gone").await.problem(404, "not-found");
    let listed = process.get("/v1/destinations").await.is(200).json;
    assert_eq!(listed["items"].as_array().unwrap().len(), 1, "{listed}");
    forget().await.problem(404, "not-found");
    let changes = process.get("/v1/destinations/gone/changes").await.is(200).json;
    assert!(changes["items"][0]["what"].as_str().unwrap().starts_with("deleted"), "{changes}");
    process.put("gone", &console()).await.is(201);
}
