//! Forms: only those that the server has made for the browser which sends them.

use crate::{BOSS, Browser, OPERATOR, READER, Server, form, named, tokens};
use axum::body::Body;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{Method, Request, StatusCode};
use laneway_domain::{BlockedKey, BreakerStatus, Command, DestinationStatus, LaneKey, Offset, Partition, Timestamp};
use std::convert::Infallible;
use tower::ServiceExt as _;

fn blocked() -> DestinationStatus {
    let key = BlockedKey {
        key: "key:order-7".into(),
        partition: Partition(1),
        head: Offset(5),
        attempts: 3,
        since: Timestamp::from_millis(1),
        next_attempt: None,
        last_error: "the receiver answered 500".into(),
    };
    DestinationStatus {
        blocked_keys: 1,
        blocked: vec![key],
        pending: 2,
        ..DestinationStatus::idle(named("billing"), true)
    }
}

#[tokio::test]
async fn a_form_works_for_the_browser_that_it_was_made_for() {
    let server = Server::with(tokens());
    server.tells(vec![blocked()]);
    let operator = Browser::signed_in(&server, OPERATOR).await;
    let page = operator.get("/console/destinations/billing").await;
    let retry = "/console/destinations/billing/keys/retry";
    let answer = operator.submit(&page, retry, &[("key", "key:order-7")]).await;
    assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, "/console/destinations/billing"));
    let told = std::mem::take(&mut *server.worker.told.lock().unwrap());
    let key = LaneKey::parse("key:order-7").unwrap();
    assert_eq!(told, [Command::RetryKey { destination: named("billing"), key: key.into() }]);
    let after = operator.get("/console/destinations/billing").await;
    assert!(after.text.contains("The failed event of key:order-7 is attempted at billing now."), "{}", after.text);
    assert!(!operator.get("/console/destinations/billing").await.text.contains("is attempted at billing now"));

    // What skipping does is said before.
    let asked = operator.get("/console/destinations/billing/keys/skip?key=key%3Aorder-7").await;
    for said in
        ["Skip 1 event", "dead letter", "has failed 3 times", "the receiver answered 500", "2 events wait for billing"]
    {
        assert!(asked.text.contains(said), "no {said:?} in {}", asked.text);
    }
    let answer = operator.submit(&asked, "/console/destinations/billing/keys/skip", &[("key", "key:order-7")]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert!(matches!(server.worker.told.lock().unwrap()[..], [Command::SkipKey { .. }]));
}

#[tokio::test]
async fn no_other_form_does_anything() {
    let server = Server::with(tokens());
    server.tells(vec![blocked()]);
    let (boss, other) = (Browser::signed_in(&server, BOSS).await, Browser::signed_in(&server, BOSS).await);
    let proof = boss.get("/console/destinations/billing").await.field("csrf");
    let foreign = other.get("/console/destinations/billing").await.field("csrf");
    let path = "/console/destinations/billing/keys/retry";
    let body = |proof: &str| form(&[("csrf", proof), ("key", "key:order-7")]);
    let sent = |body: String, media: &'static str, more: &'static [(&'static str, &'static str)]| {
        let mut request = boss.request(Method::POST, path).header("content-type", media);
        for (name, value) in more {
            request = request.header(*name, *value);
        }
        boss.send(request.body(Body::from(body)).unwrap())
    };
    const FORM: &str = "application/x-www-form-urlencoded";
    for (body, media, headers, status) in [
        (body(""), FORM, &[][..], 403),
        (body(&foreign), FORM, &[], 403),
        ("key=key%3Aorder-7".to_owned(), FORM, &[], 403),
        (body(&proof), "text/plain", &[], 415),
        (body(&proof), "application/json", &[], 415),
        (body(&proof), FORM, &[("sec-fetch-site", "cross-site")], 403),
        (body(&proof), FORM, &[("sec-fetch-site", "same-site")], 403),
        (format!("{}&x={}", body(&proof), "a".repeat(300 * 1024)), FORM, &[], 413),
    ] {
        let page = sent(body, media, headers).await;
        assert_eq!(page.status.as_u16(), status, "{media} {headers:?}: {}", page.text);
    }
    assert!(server.worker.told.lock().unwrap().is_empty(), "something was done");
    assert_eq!(sent(body(&proof), FORM, &[("sec-fetch-site", "same-origin")]).await.status, StatusCode::SEE_OTHER);
    assert_eq!(server.worker.told.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_server_without_tokens_takes_no_forms_of_foreign_pages_either() {
    let server = Server::open();
    server.tells(vec![blocked()]);
    let browser = Browser::new(&server);
    let page = browser.get("/console/destinations/billing").await;
    let body = form(&[("csrf", &page.field("csrf")), ("key", "key:order-7")]);
    for (origin, host, status) in [
        ("https://evil.example", "localhost:8080", 403),
        ("null", "localhost:8080", 403),
        ("http://evil.example:8080", "evil.example:8080", 421),
        ("http://localhost:8080", "localhost:8080", 303),
    ] {
        let mut request = browser.request(Method::POST, "/console/destinations/billing/keys/retry");
        request.headers_mut().unwrap().insert("host", host.parse().unwrap());
        let request = request.header("origin", origin).header("content-type", "application/x-www-form-urlencoded");
        let page = browser.send(request.body(Body::from(body.clone())).unwrap()).await;
        assert_eq!(page.status.as_u16(), status, "{origin}");
    }
    assert_eq!(server.worker.told.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn what_a_role_lacks_is_refused_also_to_a_form_that_was_made_up() {
    let server = Server::with(tokens());
    server.tells(vec![blocked()]);
    let reader = Browser::signed_in(&server, READER).await;
    let page = reader.get("/console/destinations/billing").await;
    for path in ["keys/retry", "keys/skip", "pause", "resume", "test"] {
        let path = format!("/console/destinations/billing/{path}");
        let answer = reader.submit(&page, &path, &[("key", "key:order-7")]).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER);
        let after = reader.get("/console/destinations/billing").await;
        assert!(after.text.contains("The token does not open this"), "{path}: {}", after.text);
    }
    assert!(server.worker.told.lock().unwrap().is_empty(), "something was done");
}

#[tokio::test]
async fn an_open_breaker_can_be_closed_and_a_pause_of_the_configuration_is_left_to_it() {
    let of = async |status: DestinationStatus| {
        let server = Server::open();
        server.tells(vec![status]);
        Browser::new(&server).get("/console/destinations/billing").await.text
    };
    let at = Timestamp::from_millis(1);
    let shown = of(DestinationStatus { breaker: BreakerStatus::Open { since: at, next_probe: at }, ..blocked() }).await;
    assert!(shown.contains(">Resume<") && shown.contains("Pause…"), "{shown}");
    let paused = laneway_domain::PAUSED_IN_CONFIGURATION.to_owned();
    let shown = of(DestinationStatus { paused: Some(paused), ..blocked() }).await;
    assert!(!shown.contains(">Resume<") && !shown.contains("Pause…"), "{shown}");
}

#[tokio::test]
async fn what_acts_at_once_says_before_how_many_events_it_concerns() {
    let test = "A test event is 1 event of Laneway's own";
    let resume = "Resuming delivers them in their order";
    let paused = DestinationStatus { paused: Some(laneway_domain::PAUSED_BY_OPERATOR.to_owned()), ..blocked() };
    let not_all_seen = DestinationStatus { pending_exact: false, ..paused.clone() };
    let nothing = DestinationStatus { pending: 0, blocked_keys: 0, blocked: Vec::new(), ..paused.clone() };
    let key = "those of 1 blocked key as their retries are due";
    for (status, said, not_said) in [
        (blocked(), vec![test, "2 events wait for billing in all", "Retry 1 event now"], vec![resume]),
        (paused, vec![test, "2 events wait for billing in all", resume, key], vec![]),
        (not_all_seen, vec!["at most 2 events wait for billing in all", resume], vec![]),
        (nothing, vec![test, "0 events wait for billing in all"], vec![resume, key]),
    ] {
        let server = Server::with(tokens());
        server.tells(vec![status]);
        let path = "/console/destinations/billing";
        let shown = Browser::signed_in(&server, OPERATOR).await.get(path).await.text;
        for said in said {
            assert!(shown.contains(said), "no {said:?} in {shown}");
        }
        for not_said in not_said {
            assert!(!shown.contains(not_said), "{not_said:?} in {shown}");
        }
        // Whoever may do nothing of that is not told of it.
        let shown = Browser::signed_in(&server, READER).await.get(path).await.text;
        assert!(!shown.contains(test) && !shown.contains(resume), "{shown}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_sends_a_form_slowly_keeps_nobody_from_sending_theirs() {
    let server = Server::with(tokens());
    server.tells(vec![blocked()]);
    let operator = Browser::signed_in(&server, OPERATOR).await;
    let page = operator.get("/console/destinations/billing").await;
    let (began, mut begun) = tokio::sync::mpsc::unbounded_channel();
    let slow: Vec<_> = (0..100)
        .map(|_| {
            let began = began.clone();
            // Its first bytes have come in when it is asked for more, which never come.
            let rest = std::iter::once_with(move || began.send(()).unwrap());
            let rest = futures_util::stream::iter(rest).then(|()| std::future::pending::<Result<Bytes, Infallible>>());
            let first = futures_util::stream::once(async { Ok(Bytes::from_static(b"token=")) });
            let request = Request::builder().method(Method::POST).uri("/console/sign-in").header("host", "localhost");
            let request = request.header("content-type", "application/x-www-form-urlencoded");
            let request = request.body(Body::from_stream(first.chain(rest))).unwrap();
            tokio::spawn(server.router.clone().oneshot(request))
        })
        .collect();
    for _ in 0..slow.len() {
        begun.recv().await.unwrap();
    }
    let answer = operator.submit(&page, "/console/destinations/billing/keys/retry", &[("key", "key:order-7")]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert!(slow.iter().all(|form| !form.is_finished()), "they still come in");
    // At last they are told that it took too long.
    for form in slow {
        assert_eq!(form.await.unwrap().unwrap().status(), StatusCode::REQUEST_TIMEOUT);
    }
}
