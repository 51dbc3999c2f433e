//! Dead letters that are chosen: those, and no others that share their id or key.

use crate::{Browser, Page, Server, named, tokens};
use axum::body::Body;
use http::{Method, Request, StatusCode};
use laneway_domain::{
    Commit, DestinationStatus, Failure, GivenUp, LaneKey, NextAttempt, RetryState, Role, Tenant, Timestamp,
};
use laneway_http::Token;
use laneway_http::wire::Accepted;
use laneway_ports::{DeadLetters, ProgressStore, Selection, WorkerId};
use std::time::Duration;

/// Gives up the event of that tenant and source at `billing`; all have the same id and key.
async fn bury(server: &Server, tenant: Option<&str>, source: &str) -> String {
    let tenant = tenant.map_or_else(String::new, |tenant| format!(r#""tenant":"{tenant}","#));
    let event = format!(r#"{{{tenant}"id":"evt-1","key":"order-7","type":"t","source":"{source}","data":1}}"#);
    let request = Request::builder().method(Method::POST).uri("/v1/events").header("host", "localhost");
    let request = request.header("content-type", "application/json").body(Body::from(event)).unwrap();
    let accepted: Accepted = serde_json::from_str(&server.send(request).await.text).unwrap();
    let worker = WorkerId("w".into());
    let lease = server.store.claim(accepted.partition, &worker, Duration::from_secs(5)).await.unwrap().unwrap();
    let at = Timestamp::from_millis(9);
    let retry = RetryState {
        attempts: 1,
        first_failure: at,
        next_attempt: NextAttempt::At(at),
        history: vec![Failure::new(at, "422").answered(Some(422))],
    };
    let (destination, key) = (named("billing"), LaneKey::Event(accepted.offset));
    let given_up = GivenUp { destination, offset: accepted.offset, key, at, reason: "rejected".into(), retry };
    let commit = Commit { dead_letters: vec![given_up], ..Commit::default() };
    server.store.commit(&lease, &commit).await.unwrap();
    format!("billing {} {}", accepted.partition, accepted.offset)
}

async fn left(server: &Server) -> Vec<String> {
    let all = laneway_ports::DeadLetterQuery { selection: Selection::of(named("billing")), after: None, most: 10 };
    let letters = server.store.list(&all).await.unwrap();
    letters.into_iter().map(|letter| format!("billing {} {}", letter.partition, letter.given_up.offset)).collect()
}

#[tokio::test]
async fn of_letters_that_share_id_and_key_only_those_that_are_ticked_are_discarded() {
    let server = Server::open();
    server.tells(vec![DestinationStatus::idle(named("billing"), true)]);
    let mut all = Vec::new();
    for (tenant, source) in [(None, "shop"), (Some("acme"), "shop"), (Some("acme"), "till"), (Some("globex"), "shop")] {
        all.push(bury(&server, tenant, source).await);
    }
    let browser = Browser::new(&server);
    let page = browser.get("/console/dead-letters?event_id=evt-1&key=order-7").await;
    let boxes = |page: &Page| page.text.matches("type=\"checkbox\"").count();
    assert_eq!(boxes(&page), 4);
    assert_eq!(boxes(&browser.get("/console/dead-letters?tenant=acme&event_id=evt-1").await), 2);

    let path = "/console/dead-letters/chosen";
    let asked = browser.submit(&page, path, &[("ask", "discard"), ("letter", &all[1]), ("letter", &all[3])]).await;
    assert!(asked.text.contains("Discard 2 dead letters?"), "{}", asked.text);
    let fields = [("do", "discard"), ("letter", &*all[1]), ("letter", &*all[3])];
    assert_eq!(browser.submit(&asked, path, &fields).await.status, StatusCode::SEE_OTHER);
    let mut expected = vec![all[0].clone(), all[2].clone()];
    expected.sort();
    let mut found = left(&server).await;
    found.sort();
    assert_eq!(found, expected);

    // All of a filter are those of its tenant.
    let filter = [("destination", "billing"), ("tenant", "acme"), ("key", "order-7")];
    let asked = browser.submit(&page, path, &[&[("ask", "discard-all")], &filter[..]].concat()).await;
    assert!(asked.text.contains("Discard 1 dead letter?"), "{}", asked.text);
    browser.submit(&asked, path, &[&[("do", "discard-all")], &filter[..]].concat()).await;
    assert_eq!(left(&server).await, [all[0].clone()]);
}

#[tokio::test]
async fn a_tenant_may_leave_its_name_out_of_every_address() {
    let own = Token::new("a-token-of-acme").unwrap().of_tenant(Tenant::new("acme").unwrap());
    let server = Server::with([tokens(), vec![own.named("acme", laneway_http::Roles::of(Role::ALL))]].concat());
    let status = DestinationStatus { pending: 1234, ..DestinationStatus::idle(named("acme:billing"), true) };
    server.tells(vec![status]);
    let browser = Browser::signed_in(&server, "a-token-of-acme").await;
    for page in ["", "/pause", "/keys/skip?key=all"] {
        let [short, whole] = ["billing", "acme%3Abilling"].map(|name| format!("/console/destinations/{name}{page}"));
        let (short, whole) = (browser.get(&short).await, browser.get(&whole).await);
        assert_eq!(short.status, StatusCode::OK, "{page}");
        assert!(short.text.contains("1,234") && short.text.contains("acme:billing"), "{page}: {}", short.text);
        // Its foot says when it was made, and how long ago something was may have changed.
        let said = |page: &Page| {
            let main = page.text.split("<main").nth(1)?.split("</main>").next()?;
            Some(main.split("<time").filter_map(|part| part.split("</time>").last()).collect::<String>())
        };
        assert_eq!(said(&short), said(&whole), "{page}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_pages_look_up_takes_nothing_of_what_programs_may() {
    let own = Token::new("a-token-of-acme").unwrap().of_tenant(Tenant::new("acme").unwrap());
    let server = Server::with([tokens(), vec![own.named("acme", laneway_http::Roles::of(Role::ALL))]].concat());
    let browser = Browser::signed_in(&server, "a-token-of-acme").await;
    for _ in 0..laneway_http::DEFAULT_SEARCHES_PER_MINUTE {
        browser.get("/console/dead-letters").await;
    }
    // Pages have a bound too, and say so.
    assert!(browser.get("/console/dead-letters").await.text.contains("searches_per_minute"));
    let request = Request::builder().uri("/v1/dead-letters").header("host", "localhost");
    let request = request.header("authorization", "Bearer a-token-of-acme").body(Body::empty()).unwrap();
    assert_eq!(server.send(request).await.status, StatusCode::OK);
}
